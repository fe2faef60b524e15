//! Conditional requests on objects: RFC 9110's order, S3's answers.

use crate::{
    meta::objects::Precondition,
    s3::{clock, object::not_implemented},
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use s3s::{
    S3Error, S3Result,
    dto::{ETagCondition, Timestamp, TimestampFormat},
    s3_error,
};

/// The conditions of a read or of a copy's source.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "they are the headers' names")]
pub(in crate::s3) struct Conditions {
    pub(in crate::s3) if_match: Option<ETagCondition>,
    pub(in crate::s3) if_none_match: Option<ETagCondition>,
    pub(in crate::s3) if_modified_since: Option<Timestamp>,
    pub(in crate::s3) if_unmodified_since: Option<Timestamp>,
}

/// How the conditions came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Proceed,
    NotModified,
    Failed,
}

impl Conditions {
    /// Compares with a version's `ETag` (without quotes) and time; times count in whole seconds.
    pub(super) fn evaluate(&self, etag: &str, modified_ms: i64) -> Outcome {
        let modified = modified_ms.div_euclid(1000);
        let seconds = |time: &Timestamp| clock::millis(time).div_euclid(1000);
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !matches(condition, etag) => return Outcome::Failed,
            (None, Some(time)) if modified > seconds(time) => return Outcome::Failed,
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) if matches(condition, etag) => Outcome::NotModified,
            (None, Some(time)) if modified <= seconds(time) => Outcome::NotModified,
            _ => Outcome::Proceed,
        }
    }

    /// As a read answers: 412, or 304 with the validators.
    pub(super) fn check_read(&self, etag: &str, modified_ms: i64) -> S3Result<()> {
        match self.evaluate(etag, modified_ms) {
            Outcome::Proceed => Ok(()),
            Outcome::Failed => Err(failed()),
            Outcome::NotModified => {
                let mut headers = HeaderMap::new();
                if let Ok(value) = HeaderValue::from_str(&format!("\"{etag}\"")) {
                    headers.insert(header::ETAG, value);
                }
                insert_time(&mut headers, header::LAST_MODIFIED, modified_ms);
                let mut error = s3_error!(NotModified, "Not Modified");
                error.set_headers(headers);
                Err(error)
            }
        }
    }

    /// As a copy answers: whatever does not hold is 412.
    pub(super) fn check_copy(&self, etag: &str, modified_ms: i64) -> S3Result<()> {
        match self.evaluate(etag, modified_ms) {
            Outcome::Proceed => Ok(()),
            Outcome::Failed | Outcome::NotModified => Err(failed()),
        }
    }
}

/// The condition of a write; S3 knows `If-None-Match: *` and `If-Match` with an `ETag` or `*`.
pub(in crate::s3) fn precondition(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Precondition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Precondition::None),
        (None, Some(ETagCondition::Any)) => Ok(Precondition::Absent),
        (Some(ETagCondition::Any), None) => Ok(Precondition::Present),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Precondition::Matches(etag.value().to_owned())),
        (None, Some(ETagCondition::ETag(_))) => Err(not_implemented("If-None-Match with an ETag on a write")),
        (Some(_), Some(_)) => Err(not_implemented("If-Match together with If-None-Match on a write")),
    }
}

/// Sets an HTTP date.
pub(super) fn insert_time(headers: &mut HeaderMap, name: HeaderName, ms: i64) {
    let mut text = Vec::new();
    if clock::timestamp(ms).format(TimestampFormat::HttpDate, &mut text).is_ok()
        && let Ok(value) = HeaderValue::from_bytes(&text)
    {
        headers.insert(name, value);
    }
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.value() == etag,
    }
}

fn failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag(value: &str) -> ETagCondition {
        value.parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        clock::timestamp(seconds * 1000)
    }

    fn outcome(conditions: &Conditions) -> Outcome {
        conditions.evaluate("abc", 10_500)
    }

    #[test]
    fn etags_win_over_times() {
        let none = Conditions::default;
        assert_eq!(outcome(&none()), Outcome::Proceed);
        assert_eq!(outcome(&Conditions { if_match: Some(etag("\"abc\"")), ..none() }), Outcome::Proceed);
        assert_eq!(outcome(&Conditions { if_match: Some(etag("\"x\"")), ..none() }), Outcome::Failed);
        assert_eq!(outcome(&Conditions { if_none_match: Some(etag("*")), ..none() }), Outcome::NotModified);
        assert_eq!(outcome(&Conditions { if_unmodified_since: Some(at(9)), ..none() }), Outcome::Failed);
        assert_eq!(outcome(&Conditions { if_unmodified_since: Some(at(10)), ..none() }), Outcome::Proceed);
        assert_eq!(outcome(&Conditions { if_modified_since: Some(at(10)), ..none() }), Outcome::NotModified);
        assert_eq!(outcome(&Conditions { if_modified_since: Some(at(9)), ..none() }), Outcome::Proceed);
        let both = Conditions { if_match: Some(etag("\"abc\"")), if_unmodified_since: Some(at(9)), ..none() };
        assert_eq!(outcome(&both), Outcome::Proceed);
        let both = Conditions { if_none_match: Some(etag("\"x\"")), if_modified_since: Some(at(10)), ..none() };
        assert_eq!(outcome(&both), Outcome::Proceed);
    }

    #[test]
    fn writes_know_three_conditions() {
        assert_eq!(precondition(None, Some(&etag("*"))).unwrap(), Precondition::Absent);
        assert_eq!(precondition(Some(&etag("\"a\"")), None).unwrap(), Precondition::Matches("a".into()));
        assert!(precondition(None, Some(&etag("\"a\""))).is_err());
        assert!(precondition(Some(&etag("*")), Some(&etag("*"))).is_err());
    }
}
