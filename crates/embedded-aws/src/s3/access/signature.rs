//! What AWS demands of a signature and the protocol crate does not.
//!
//! It verifies that the signature is right; here it is made sure that the signature covers what decides over the
//! request, was made for this region, and is of the only kind that is supported.

use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use time::OffsetDateTime;

use crate::sigv4;

/// Longest life of a presigned URL in seconds: seven days.
const MAX_EXPIRES: u64 = 604_800;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Query parameters of Signature Version 4; all of them are needed.
const QUERY_AUTH: [&str; 6] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"];

/// Headers that must not be signed to count: the payload hash is part of what is signed anyway.
const EXCUSED: &str = "x-amz-content-sha256";

/// Headers that are lists: they ask what to show, and may be there more than once.
const LISTS: [&str; 2] = ["x-amz-object-attributes", "x-amz-optional-object-attributes"];

/// How a request is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signature {
    None,
    Header,
    /// Presigned, this many milliseconds ago; a clock that runs ahead counts as zero.
    Query {
        age: i64,
    },
}

/// The parameters of a query string, decoded, none of them repeated.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Parses a query; a repeated parameter is refused, because readers disagree on which one counts.
    pub(super) fn of(uri: &Uri) -> S3Result<Self> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| s3_error!(InvalidURI, "Couldn't parse the specified URI."))?;
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(s3_error!(InvalidArgument, "Parameter '{name}' is there more than once"));
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// Inspects how a request is signed; `authenticated` says that its signature was verified.
pub(super) fn inspect(
    authenticated: bool,
    parameters: &Parameters,
    headers: &HeaderMap,
    region: &str,
    now: OffsetDateTime,
) -> S3Result<Signature> {
    single_amz_headers(headers)?;
    if headers.contains_key("x-amz-security-token") || parameters.get("X-Amz-Security-Token").is_some() {
        return Err(s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid."));
    }
    let authorization = match headers.get(header::AUTHORIZATION) {
        Some(value) => Some(value.to_str().map_err(|_| unsupported_mechanism())?),
        None => None,
    };
    let in_query = parameters.names().any(|name| QUERY_AUTH.contains(&name));
    let version_2 = parameters.names().any(|name| matches!(name, "Signature" | "AWSAccessKeyId"));
    match (authorization, in_query) {
        _ if version_2 => Err(unsupported_mechanism()),
        (Some(_), true) => Err(s3_error!(
            InvalidArgument,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
             parameter or the Authorization header should be specified"
        )),
        // Whatever was verified, it was not a signature that is known here.
        (None, false) if authenticated => Err(unsupported_mechanism()),
        (None, false) => Ok(Signature::None),
        (Some(_), false) | (None, true) if !authenticated => Err(access_denied("Access Denied")),
        (Some(authorization), false) => inspect_header(authorization, headers, region).map(|()| Signature::Header),
        (None, true) => inspect_query(parameters, headers, region, now),
    }
}

fn inspect_header(authorization: &str, headers: &HeaderMap, region: &str) -> S3Result<()> {
    let parts = authorization
        .strip_prefix(ALGORITHM)
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_whitespace()))
        .ok_or_else(unsupported_mechanism)?;
    let part = |wanted: &str| {
        parts
            .split(',')
            .find_map(|part| part.trim().split_once('=').filter(|(name, _)| *name == wanted))
            .map(|(_, v)| v)
    };
    let malformed = |reason: &str| {
        S3Error::with_message(
            S3ErrorCode::AuthorizationHeaderMalformed,
            format!("The authorization header is malformed; {reason}"),
        )
    };
    let credential = part("Credential").ok_or_else(|| malformed("Credential is missing"))?;
    check_scope(credential, region).map_err(|reason| malformed(&reason))?;
    let signed = part("SignedHeaders").ok_or_else(|| malformed("SignedHeaders is missing"))?;
    all_signed(signed, headers)
}

fn inspect_query(
    parameters: &Parameters,
    headers: &HeaderMap,
    region: &str,
    now: OffsetDateTime,
) -> S3Result<Signature> {
    let refused = |message: String| S3Error::with_message(S3ErrorCode::AuthorizationQueryParametersError, message);
    let [algorithm, credential, date, expires, signed, _signature] = QUERY_AUTH.map(|name| parameters.get(name));
    let (Some(algorithm), Some(credential), Some(date), Some(expires), Some(signed)) =
        (algorithm, credential, date, expires, signed)
    else {
        return Err(refused(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
             X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
                .to_owned(),
        ));
    };
    if algorithm != ALGORITHM {
        return Err(refused(format!("X-Amz-Algorithm only supports \"{ALGORITHM}\"")));
    }
    check_scope(credential, region)
        .map_err(|reason| refused(format!("Error parsing the X-Amz-Credential parameter; {reason}")))?;
    match expires.parse::<u64>() {
        Err(_) => return Err(refused("X-Amz-Expires should be a number".to_owned())),
        Ok(expires) if expires > MAX_EXPIRES => {
            return Err(refused(format!(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less \
                 than {MAX_EXPIRES} seconds"
            )));
        }
        Ok(_) => {}
    }
    // Some signers move headers into the query. What is not read from there must not be accepted there.
    let moved = parameters.names().find(|name| {
        let lower = name.to_ascii_lowercase();
        lower.starts_with("x-amz-") && lower != EXCUSED && !QUERY_AUTH.contains(name)
    });
    if let Some(name) = moved {
        return Err(s3_error!(NotImplemented, "'{name}' is supported as a header only, not as a query parameter"));
    }
    if parameters.0.iter().any(|(name, value)| name.eq_ignore_ascii_case(EXCUSED) && value != "UNSIGNED-PAYLOAD") {
        return Err(s3_error!(NotImplemented, "X-Amz-Content-Sha256 of a presigned URL can be UNSIGNED-PAYLOAD only"));
    }
    all_signed(signed, headers)?;
    let signed_at = sigv4::parse_amz_date(date)
        .ok_or_else(|| refused("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"".to_owned()))?;
    let age = (now - signed_at).whole_milliseconds();
    Ok(Signature::Query { age: i64::try_from(age).unwrap_or(i64::MAX).max(0) })
}

/// Demands that the signature covers `host` and every `x-amz-*` header that is there.
fn all_signed(signed: &str, headers: &HeaderMap) -> S3Result<()> {
    let is_signed = |name: &str| signed.split(';').any(|signed| signed.eq_ignore_ascii_case(name));
    let must = |name: &str| name == "host" || (name.starts_with("x-amz-") && name != EXCUSED);
    if is_signed("host") && headers.keys().all(|name| !must(name.as_str()) || is_signed(name.as_str())) {
        return Ok(());
    }
    Err(access_denied("There were headers present in the request which were not signed"))
}

/// Refuses an `x-amz-*` header that is there twice: the check and the operation could read different ones.
fn single_amz_headers(headers: &HeaderMap) -> S3Result<()> {
    let single = |name: &str| name.starts_with("x-amz-") && !LISTS.contains(&name);
    for name in headers.keys().filter(|name| single(name.as_str())) {
        if headers.get_all(name).iter().count() > 1 {
            return Err(s3_error!(InvalidArgument, "Header '{name}' is there more than once"));
        }
    }
    Ok(())
}

/// Checks `key/date/region/service/aws4_request`; the error says what is wrong with it.
fn check_scope(credential: &str, region: &str) -> Result<(), String> {
    let [_, _, scope_region, service, "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..] else {
        return Err(
            "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".".to_owned()
        );
    };
    if scope_region != region {
        return Err(format!("the region '{scope_region}' is wrong; expecting '{region}'"));
    }
    if service != "s3" {
        return Err(format!("incorrect service \"{service}\". This endpoint belongs to \"s3\"."));
    }
    Ok(())
}

fn unsupported_mechanism() -> S3Error {
    s3_error!(
        InvalidRequest,
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
    )
}

fn access_denied(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::AccessDenied, message)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-05-01 12:00:00 UTC);
    const SCOPE: &str = "EMBDTEST/20260501/us-east-1/s3/aws4_request";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1"));
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn look(authenticated: bool, query: &str, headers: &HeaderMap) -> Result<Signature, String> {
        let uri: Uri = format!("/bucket/key?{query}").parse().unwrap();
        Parameters::of(&uri)
            .and_then(|parameters| inspect(authenticated, &parameters, headers, "us-east-1", NOW))
            .map_err(|error| error.code().as_str().to_owned())
    }

    fn presigned(scope: &str, expires: &str, signed: &str) -> String {
        format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date=20260501T115950Z&X-Amz-Expires={expires}\
             &X-Amz-SignedHeaders={}&X-Amz-Signature=00",
            scope.replace('/', "%2F"),
            signed.replace(';', "%3B"),
        )
    }

    fn authorization(scope: &str, signed: &str) -> String {
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature=00")
    }

    #[test]
    fn presigned_request_has_the_age_of_its_signature() {
        let query = presigned(SCOPE, "604800", "host");
        assert_eq!(look(true, &query, &headers(&[])), Ok(Signature::Query { age: 10_000 }));
        let ahead = query.replace("115950", "120005");
        assert_eq!(look(true, &ahead, &headers(&[])), Ok(Signature::Query { age: 0 }));
    }

    #[test]
    fn unsigned_amz_headers_are_refused_in_both_kinds() {
        let query = presigned(SCOPE, "60", "host");
        let added = |name: &'static str| headers(&[(name, "x")]);
        assert_eq!(look(true, &query, &added("x-amz-acl")), Err("AccessDenied".into()));
        assert_eq!(look(true, &query, &added("x-amz-server-side-encryption")), Err("AccessDenied".into()));
        assert_eq!(look(true, &query, &added("x-amz-meta-a")), Err("AccessDenied".into()));
        assert!(look(true, &query, &added("x-amz-content-sha256")).is_ok());
        assert!(look(true, &query, &added("content-md5")).is_ok());
        assert!(look(true, &presigned(SCOPE, "60", "host;x-amz-acl"), &added("x-amz-acl")).is_ok());

        let with = |signed: &str| headers(&[("authorization", &authorization(SCOPE, signed)), ("x-amz-acl", "x")]);
        assert_eq!(look(true, "", &with("host;x-amz-date")), Err("AccessDenied".into()));
        assert_eq!(look(true, "", &with("host;x-amz-acl;x-amz-date")), Ok(Signature::Header));
        assert_eq!(look(true, "", &with("x-amz-acl;x-amz-date")), Err("AccessDenied".into()));
    }

    #[test]
    fn scope_must_name_this_region_and_service() {
        let west = SCOPE.replace("us-east-1", "us-west-2");
        let sts = SCOPE.replace("/s3/", "/sts/");
        for scope in [&west, &sts, "a/b"] {
            let header = headers(&[("authorization", &authorization(scope, "host"))]);
            assert_eq!(look(true, "", &header), Err("AuthorizationHeaderMalformed".into()), "{scope}");
            let query = presigned(scope, "60", "host");
            assert_eq!(look(true, &query, &headers(&[])), Err("AuthorizationQueryParametersError".into()), "{scope}");
        }
    }

    #[test]
    fn presigned_url_lives_a_week_at_most() {
        for expires in ["604801", "-1", "x", "99999999999999999999"] {
            let refused = look(true, &presigned(SCOPE, expires, "host"), &headers(&[]));
            assert_eq!(refused, Err("AuthorizationQueryParametersError".into()), "{expires}");
        }
    }

    #[test]
    fn only_version_4_and_only_one_signature_is_taken() {
        let v2_header = headers(&[("authorization", "AWS AKID:sig")]);
        assert_eq!(look(true, "", &v2_header), Err("InvalidRequest".into()));
        let v2_query = "AWSAccessKeyId=A&Signature=b&Expires=1";
        assert_eq!(look(true, v2_query, &headers(&[])), Err("InvalidRequest".into()));
        assert_eq!(look(false, v2_query, &headers(&[])), Err("InvalidRequest".into()));
        let both = headers(&[("authorization", &authorization(SCOPE, "host"))]);
        assert_eq!(look(true, &presigned(SCOPE, "60", "host"), &both), Err("InvalidArgument".into()));
        assert_eq!(look(true, "", &headers(&[])), Err("InvalidRequest".into()));
        assert_eq!(look(false, "", &headers(&[])), Ok(Signature::None));
        let half = presigned(SCOPE, "60", "host").replace("X-Amz-Signature", "X-Amz-Sig");
        assert_eq!(look(false, &half, &headers(&[])), Err("AccessDenied".into()));
    }

    #[test]
    fn tokens_repetitions_and_moved_headers_are_refused() {
        let token = headers(&[("x-amz-security-token", "t"), ("authorization", &authorization(SCOPE, "host"))]);
        assert_eq!(look(true, "", &token), Err("InvalidToken".into()));
        let query = presigned(SCOPE, "60", "host");
        assert_eq!(look(true, &format!("{query}&X-Amz-Security-Token=t"), &headers(&[])), Err("InvalidToken".into()));
        let moved = format!("{query}&x-amz-server-side-encryption=aws%3Akms");
        assert_eq!(look(true, &moved, &headers(&[])), Err("NotImplemented".into()));
        assert!(look(true, &format!("{query}&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"), &headers(&[])).is_ok());
        assert!(look(true, &format!("{query}&x-id=GetObject&versionId=1"), &headers(&[])).is_ok());
        assert_eq!(look(false, "versionId=1&versionId=2", &headers(&[])), Err("InvalidArgument".into()));
        let list = headers(&[("x-amz-object-attributes", "ETag"), ("x-amz-object-attributes", "Checksum")]);
        assert!(look(false, "", &list).is_ok());
        let twice = headers(&[("x-amz-acl", "private"), ("x-amz-acl", "public-read")]);
        assert_eq!(look(false, "", &twice), Err("InvalidArgument".into()));
    }
}
