//! Which web pages may read a bucket: checked and stored here, told to browsers by [`cors`](crate::s3::cors).

use crate::{meta::MetaError, s3::Store};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        CORSRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, GetBucketCorsInput, GetBucketCorsOutput,
        PutBucketCorsInput, PutBucketCorsOutput,
    },
    s3_error,
};

const MAX_RULES: usize = 100;
/// What S3 stores of a configuration, in bytes.
const MAX_SIZE: usize = 64 * 1024;
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

pub(in crate::s3) async fn put_bucket_cors(
    store: &Store,
    request: S3Request<PutBucketCorsInput>,
) -> S3Result<S3Response<PutBucketCorsOutput>> {
    let input = request.input;
    let rules = input.cors_configuration.cors_rules;
    check(&rules)?;
    let json = serde_json::to_string(&rules).map_err(MetaError::from)?;
    if json.len() > MAX_SIZE {
        return Err(s3_error!(InvalidRequest, "A CORS configuration has at most {MAX_SIZE} bytes"));
    }
    store.set(&input.bucket, |settings| settings.cors = Some(json)).await?;
    Ok(S3Response::new(PutBucketCorsOutput::default()))
}

pub(in crate::s3) fn get_bucket_cors(
    store: &Store,
    request: S3Request<GetBucketCorsInput>,
) -> S3Result<S3Response<GetBucketCorsOutput>> {
    let (_, settings) = store.configured(&request.input.bucket)?;
    let json =
        settings.cors.ok_or_else(|| s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist"))?;
    let rules: Vec<CORSRule> = serde_json::from_str(&json).map_err(MetaError::from)?;
    Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(rules) }))
}

pub(in crate::s3) async fn delete_bucket_cors(
    store: &Store,
    request: S3Request<DeleteBucketCorsInput>,
) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
    store.set(&request.input.bucket, |settings| settings.cors = None).await?;
    Ok(S3Response::new(DeleteBucketCorsOutput::default()))
}

fn check(rules: &[CORSRule]) -> S3Result<()> {
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(s3_error!(MalformedXML, "A CORS configuration has 1 to {MAX_RULES} rules"));
    }
    rules.iter().try_for_each(check_rule)
}

fn check_rule(rule: &CORSRule) -> S3Result<()> {
    if rule.allowed_methods.is_empty() || rule.allowed_origins.is_empty() {
        return Err(s3_error!(MalformedXML, "A CORS rule needs an AllowedMethod and an AllowedOrigin"));
    }
    if rule.id.as_ref().is_some_and(|id| id.len() > 255) {
        return Err(s3_error!(InvalidArgument, "The ID of a CORS rule has at most 255 characters"));
    }
    if rule.max_age_seconds.is_some_and(|seconds| seconds < 0) {
        return Err(s3_error!(InvalidRequest, "MaxAgeSeconds is not negative"));
    }
    if let Some(method) = rule.allowed_methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        return Err(s3_error!(
            InvalidRequest,
            "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
        ));
    }
    let wildcards = |text: &&String| text.bytes().filter(|byte| *byte == b'*').count();
    if let Some(origin) = rule.allowed_origins.iter().find(|origin| wildcards(origin) > 1) {
        return Err(s3_error!(InvalidRequest, "AllowedOrigin \"{origin}\" can not have more than one wildcard."));
    }
    if let Some(header) = rule.allowed_headers.iter().flatten().find(|header| wildcards(header) > 1) {
        return Err(s3_error!(InvalidRequest, "AllowedHeader \"{header}\" can not have more than one wildcard."));
    }
    if let Some(header) = rule.expose_headers.iter().flatten().find(|header| wildcards(header) > 0) {
        return Err(s3_error!(
            InvalidRequest,
            "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard for ExposeHeader."
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> CORSRule {
        CORSRule {
            allowed_headers: Some(vec!["x-amz-*".to_owned()]),
            allowed_methods: vec!["GET".to_owned(), "HEAD".to_owned()],
            allowed_origins: vec!["https://*.example.org".to_owned()],
            expose_headers: Some(vec!["ETag".to_owned()]),
            id: None,
            max_age_seconds: Some(0),
        }
    }

    #[test]
    fn rules_are_checked_as_s3_does() {
        assert!(check(&[rule()]).is_ok());
        assert!(check(&[]).is_err());
        assert!(check(&vec![rule(); MAX_RULES]).is_ok());
        assert!(check(&vec![rule(); MAX_RULES + 1]).is_err());
        for bad in [
            CORSRule { allowed_methods: vec!["PATCH".to_owned()], ..rule() },
            CORSRule { allowed_methods: vec!["get".to_owned()], ..rule() },
            CORSRule { allowed_methods: Vec::new(), ..rule() },
            CORSRule { allowed_origins: Vec::new(), ..rule() },
            CORSRule { allowed_origins: vec!["https://*.*".to_owned()], ..rule() },
            CORSRule { allowed_headers: Some(vec!["*-*".to_owned()]), ..rule() },
            CORSRule { expose_headers: Some(vec!["*".to_owned()]), ..rule() },
            CORSRule { max_age_seconds: Some(-1), ..rule() },
            CORSRule { id: Some("x".repeat(256)), ..rule() },
        ] {
            assert!(check_rule(&bad).is_err(), "{bad:?}");
        }
    }
}
