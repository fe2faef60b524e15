//! Signature Version 4 of requests with a small body, which KMS needs; S3's own is checked by its protocol crate.
//!
//! Pure: the clock and the secrets come from the caller. Source: "Create a signed AWS API request" in the IAM user
//! guide, and the messages that AWS gives.

use aws_lc_rs::{digest, hmac};
use axum::http::HeaderMap;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};
use zeroize::Zeroizing;

/// Largest difference between the clocks of client and server.
const MAX_SKEW: Duration = Duration::minutes(15);

/// Headers that decide what a request does, so they must be signed when they are there.
const MUST_BE_SIGNED: [&str; 4] = ["host", "x-amz-date", "x-amz-target", "x-amz-content-sha256"];

const AMZ_DATE: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// Why a request is not authentic.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum SigV4Error {
    #[error("Missing Authentication Token")]
    Missing,
    #[error("{0}")]
    Incomplete(String),
    #[error("The security token included in the request is invalid.")]
    UnknownAccessKey,
    #[error("{0}")]
    Invalid(String),
}

/// What is signed, as it came.
#[derive(Debug)]
pub(crate) struct SignedRequest<'a> {
    pub(crate) method: &'a str,
    /// The path as sent; only `/` occurs, so it needs no further encoding.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Where the signature must be valid, and now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    pub(crate) now: OffsetDateTime,
}

/// The parts of an `Authorization` header.
struct Authorization<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

/// Verifies a request and gives whatever `lookup` has for its access key.
///
/// `lookup` gives the caller and its secret. The signature covers the method, the path, the headers it names and the
/// hash of the body; requests with a query string are not verified here.
pub(crate) fn verify<T>(
    request: &SignedRequest<'_>,
    scope: Scope<'_>,
    lookup: impl FnOnce(&str) -> Option<(T, Zeroizing<String>)>,
) -> Result<T, SigV4Error> {
    let authorization = single(request.headers, "authorization")?.ok_or(SigV4Error::Missing)?;
    let authorization = Authorization::parse(authorization)?;
    let date = single(request.headers, "x-amz-date")?.ok_or_else(|| {
        incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    })?;
    let time = PrimitiveDateTime::parse(date, AMZ_DATE)
        .map_err(|_| incomplete("Date must be in ISO-8601 'basic format'. Got '<unreadable>'."))?
        .assume_utc();
    check_scope(&authorization, date, scope)?;
    check_skew(time, scope.now)?;
    if request.headers.contains_key("x-amz-security-token") {
        return Err(SigV4Error::UnknownAccessKey);
    }
    for name in MUST_BE_SIGNED {
        if request.headers.contains_key(name) && !authorization.signed_headers.contains(&name) {
            return Err(invalid(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")));
        }
    }
    let payload = sha256_hex(request.body);
    if let Some(declared) = single(request.headers, "x-amz-content-sha256")?
        && declared != payload
    {
        return Err(invalid("The body of the request is not the one that was signed.".to_owned()));
    }
    let (caller, secret) = lookup(authorization.access_key).ok_or(SigV4Error::UnknownAccessKey)?;
    let canonical = canonical_request(request, &authorization.signed_headers, &payload)?;
    let string_to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{}/{}/{}/aws4_request\n{}",
        authorization.date,
        authorization.region,
        authorization.service,
        sha256_hex(canonical.as_bytes())
    );
    let mismatch = || {
        invalid(
            "The request signature we calculated does not match the signature you provided. \
             Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
                .to_owned(),
        )
    };
    let signature = hex::decode(authorization.signature).map_err(|_| mismatch())?;
    let key = signing_key(&secret, &authorization);
    // Compares in constant time.
    hmac::verify(&key, string_to_sign.as_bytes(), &signature).map_err(|_| mismatch())?;
    Ok(caller)
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a str) -> Result<Self, SigV4Error> {
        let rest = header
            .strip_prefix("AWS4-HMAC-SHA256")
            .filter(|rest| rest.starts_with([' ', '\t']))
            .ok_or_else(|| incomplete("Authorization header must begin with 'AWS4-HMAC-SHA256'."))?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part
                .trim()
                .split_once('=')
                .ok_or_else(|| incomplete("Authorization header has a part without '='."))?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(incomplete("Authorization header has an unknown part.")),
            };
            if slot.replace(value).is_some() {
                return Err(incomplete("Authorization header has a part twice."));
            }
        }
        let missing = |name: &str| incomplete(&format!("Authorization header requires '{name}' parameter."));
        let credential = credential.ok_or_else(|| missing("Credential"))?;
        let signed_headers = signed_headers.ok_or_else(|| missing("SignedHeaders"))?;
        let signature = signature.ok_or_else(|| missing("Signature"))?;
        let [access_key, date, region, service, "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..] else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            ));
        };
        let signed_headers: Vec<&str> = signed_headers.split(';').collect();
        if !signed_headers.is_sorted_by(|a, b| a < b) {
            return Err(invalid("SignedHeaders must be sorted and without repetition.".to_owned()));
        }
        Ok(Self { access_key, date, region, service, signed_headers, signature })
    }
}

/// Lower-case hex of the SHA-256.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// Parses `20130524T000000Z`.
pub(crate) fn parse_amz_date(text: &str) -> Option<OffsetDateTime> {
    PrimitiveDateTime::parse(text, AMZ_DATE).ok().map(PrimitiveDateTime::assume_utc)
}

fn check_scope(authorization: &Authorization<'_>, date: &str, scope: Scope<'_>) -> Result<(), SigV4Error> {
    if authorization.region != scope.region {
        return Err(invalid(format!(
            "Credential should be scoped to a valid region, not '{}'. ",
            authorization.region
        )));
    }
    if authorization.service != scope.service {
        return Err(invalid(format!("Credential should be scoped to correct service: '{}'. ", scope.service)));
    }
    if !date.starts_with(authorization.date) || authorization.date.len() != 8 {
        return Err(invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from '{date}'.",
            authorization.date,
            date.get(..8).unwrap_or_default(),
        )));
    }
    Ok(())
}

fn check_skew(time: OffsetDateTime, now: OffsetDateTime) -> Result<(), SigV4Error> {
    let show = |time: OffsetDateTime| time.format(AMZ_DATE).unwrap_or_default();
    if time < now - MAX_SKEW {
        return Err(invalid(format!(
            "Signature expired: {} is now earlier than {} ({} - 15 min.)",
            show(time),
            show(now - MAX_SKEW),
            show(now)
        )));
    }
    if time > now + MAX_SKEW {
        return Err(invalid(format!(
            "Signature not yet current: {} is still later than {} ({} + 15 min.)",
            show(time),
            show(now + MAX_SKEW),
            show(now)
        )));
    }
    Ok(())
}

fn canonical_request(request: &SignedRequest<'_>, signed: &[&str], payload: &str) -> Result<String, SigV4Error> {
    let mut canonical = format!("{}\n{}\n\n", request.method, request.path);
    for name in signed {
        let mut values = Vec::new();
        for value in request.headers.get_all(*name) {
            let value = value.to_str().map_err(|_| invalid(format!("Header '{name}' is not ASCII.")))?;
            values.push(value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        }
        if values.is_empty() {
            return Err(invalid(format!("Signed header '{name}' is not in the request.")));
        }
        canonical.extend([name, ":", &values.join(","), "\n"]);
    }
    canonical.extend(["\n", &signed.join(";"), "\n", payload]);
    Ok(canonical)
}

fn signing_key(secret: &str, authorization: &Authorization<'_>) -> hmac::Key {
    let first = Zeroizing::new(format!("AWS4{secret}"));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for part in [authorization.date, authorization.region, authorization.service, "aws4_request"] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}

/// The only value of a header; two of them are refused, because readers disagree on which one counts.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, SigV4Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(incomplete(&format!("Header '{name}' is there more than once.")));
    }
    value.to_str().map(Some).map_err(|_| incomplete(&format!("Header '{name}' is not ASCII.")))
}

fn incomplete(message: &str) -> SigV4Error {
    SigV4Error::Incomplete(message.to_owned())
}

fn invalid(message: String) -> SigV4Error {
    SigV4Error::Invalid(message)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use time::macros::datetime;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const NOW: OffsetDateTime = datetime!(2015-08-30 12:36:00 UTC);

    struct Sample {
        headers: HeaderMap,
        body: Vec<u8>,
    }

    impl Sample {
        /// "post-vanilla" of AWS's own test suite for Signature Version 4.
        fn vanilla() -> Self {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("example.amazonaws.com"));
            headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
            headers.insert(
                "authorization",
                HeaderValue::from_static(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, \
                     Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
                ),
            );
            Self { headers, body: Vec::new() }
        }

        fn with(mut self, name: &'static str, value: &str) -> Self {
            self.headers.insert(name, HeaderValue::from_str(value).unwrap());
            self
        }

        /// Signs anew for the headers that `signed` names.
        fn sign(self, scope: &str, signed: &str) -> Self {
            let date = self.headers["x-amz-date"].to_str().unwrap().to_owned();
            let parts: Vec<&str> = scope.split('/').collect();
            let authorization = Authorization {
                access_key: "AKIDEXAMPLE",
                date: parts[0],
                region: parts[1],
                service: parts[2],
                signed_headers: signed.split(';').collect(),
                signature: "",
            };
            let request = SignedRequest { method: "POST", path: "/", headers: &self.headers, body: &self.body };
            let canonical =
                canonical_request(&request, &authorization.signed_headers, &sha256_hex(&self.body)).unwrap();
            let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}/aws4_request\n{}", sha256_hex(canonical.as_bytes()));
            let signature = hex::encode(hmac::sign(&signing_key(SECRET, &authorization), text.as_bytes()));
            let header = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}/aws4_request, SignedHeaders={signed}, Signature={signature}"
            );
            self.with("authorization", &header)
        }

        fn verify_at(&self, now: OffsetDateTime) -> Result<&'static str, SigV4Error> {
            let request = SignedRequest { method: "POST", path: "/", headers: &self.headers, body: &self.body };
            let scope = Scope { region: "us-east-1", service: "service", now };
            verify(&request, scope, |access_key| {
                (access_key == "AKIDEXAMPLE").then(|| ("caller", Zeroizing::new(SECRET.to_owned())))
            })
        }

        fn verify(&self) -> Result<&'static str, SigV4Error> {
            self.verify_at(NOW)
        }
    }

    #[test]
    fn request_of_the_aws_test_suite_is_authentic() {
        assert_eq!(Sample::vanilla().verify(), Ok("caller"));
    }

    #[test]
    fn any_change_breaks_the_signature() {
        let mut body = Sample::vanilla();
        body.body.push(b'x');
        assert!(matches!(body.verify(), Err(SigV4Error::Invalid(_))));
        assert!(matches!(Sample::vanilla().with("host", "other.amazonaws.com").verify(), Err(SigV4Error::Invalid(_))));
        let header = Sample::vanilla().headers["authorization"].to_str().unwrap().to_owned();
        for (from, to) in [("5da7", "5da8"), ("d6b", "d6"), ("5da7", "zzzz")] {
            let changed = Sample::vanilla().with("authorization", &header.replace(from, to));
            assert!(matches!(changed.verify(), Err(SigV4Error::Invalid(_))), "{to}");
        }
    }

    #[test]
    fn clock_may_differ_by_15_minutes_either_way() {
        let sample = Sample::vanilla();
        for (minutes, seconds, good) in [(15, 0, true), (15, 1, false), (-15, 0, true), (-15, -1, false)] {
            let now = NOW + Duration::minutes(minutes) + Duration::seconds(seconds);
            assert_eq!(sample.verify_at(now).is_ok(), good, "{minutes} min {seconds} s");
        }
        let late = sample.verify_at(NOW + Duration::minutes(20)).unwrap_err();
        assert_eq!(
            late.to_string(),
            "Signature expired: 20150830T123600Z is now earlier than 20150830T124100Z (20150830T125600Z - 15 min.)"
        );
    }

    #[test]
    fn scope_must_name_this_region_this_service_and_the_day() {
        let signed = |scope: &str| Sample::vanilla().sign(scope, "host;x-amz-date").verify();
        assert_eq!(signed("20150830/us-east-1/service"), Ok("caller"));
        assert!(signed("20150830/us-west-2/service").unwrap_err().to_string().contains("'us-west-2'"));
        assert!(signed("20150830/us-east-1/s3").unwrap_err().to_string().contains("correct service"));
        assert!(signed("20150829/us-east-1/service").unwrap_err().to_string().contains("Credential scope"));
    }

    #[test]
    fn deciding_headers_must_be_signed_when_present() {
        let scope = "20150830/us-east-1/service";
        let target = || Sample::vanilla().with("x-amz-target", "TrentService.Decrypt");
        assert_eq!(target().sign(scope, "host;x-amz-date;x-amz-target").verify(), Ok("caller"));
        assert!(matches!(target().sign(scope, "host;x-amz-date").verify(), Err(SigV4Error::Invalid(_))));
        assert!(matches!(Sample::vanilla().sign(scope, "x-amz-date").verify(), Err(SigV4Error::Invalid(_))));
        assert!(matches!(Sample::vanilla().sign(scope, "host").verify(), Err(SigV4Error::Invalid(_))));
        let repeated = Sample::vanilla().sign(scope, "host;host;x-amz-date");
        assert!(matches!(repeated.verify(), Err(SigV4Error::Invalid(_))));
    }

    #[test]
    fn declared_hash_must_be_that_of_the_body() {
        let scope = "20150830/us-east-1/service";
        let declared = |hash: &str| {
            Sample::vanilla().with("x-amz-content-sha256", hash).sign(scope, "host;x-amz-content-sha256;x-amz-date")
        };
        assert_eq!(declared(&sha256_hex(b"")).verify(), Ok("caller"));
        assert!(matches!(declared(&sha256_hex(b"other")).verify(), Err(SigV4Error::Invalid(_))));
        assert!(matches!(declared("UNSIGNED-PAYLOAD").verify(), Err(SigV4Error::Invalid(_))));
    }

    #[test]
    fn incomplete_requests_say_what_they_lack() {
        let mut sample = Sample::vanilla();
        sample.headers.remove("authorization");
        assert_eq!(sample.verify(), Err(SigV4Error::Missing));
        let mut sample = Sample::vanilla();
        sample.headers.remove("x-amz-date");
        assert!(matches!(sample.verify(), Err(SigV4Error::Incomplete(_))));
        for header in [
            "AWS AKIDEXAMPLE:abc",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request",
            "AWS4-HMAC-SHA256 Credential=A/B, SignedHeaders=host, Signature=00",
            "AWS4-HMAC-SHA256 Signature=00, Signature=00",
            "AWS4-HMAC-SHA256 nonsense",
        ] {
            assert!(matches!(Sample::vanilla().with("authorization", header).verify(), Err(SigV4Error::Incomplete(_))));
        }
        let mut twice = Sample::vanilla();
        let copy = twice.headers["authorization"].clone();
        twice.headers.append("authorization", copy);
        assert!(matches!(twice.verify(), Err(SigV4Error::Incomplete(_))));
        let unknown = Sample::vanilla().headers["authorization"].to_str().unwrap().replace("AKIDEXAMPLE", "NOBODY");
        assert_eq!(Sample::vanilla().with("authorization", &unknown).verify(), Err(SigV4Error::UnknownAccessKey));
        let token = Sample::vanilla().with("x-amz-security-token", "t");
        assert_eq!(token.verify(), Err(SigV4Error::UnknownAccessKey));
    }
}
