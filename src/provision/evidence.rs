//! Evidence for an auditor: what was checked, by what, how every claim stands, what was called and what was answered.

mod markdown;

use serde::Serialize;
use serde_json::Value;

use super::journal::{Call, Journal};
use super::posture::Report;
use super::spec::{BackEnd, BucketSpec, Mode, Profile};
use crate::domain::{Sha256Digest, Timestamp};

/// Everything that one check found out; it holds no secret, because neither claims nor calls do.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// What this is.
    pub kind: &'static str,
    /// Version of this form.
    pub format: u32,
    /// Version of strongroom.
    pub version: &'static str,
    /// When the check began, in UTC.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Who vouches for it.
    pub signed_by: Option<String>,
    /// Name of the bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// ARN of its key.
    pub kms_key_arn: String,
    /// Kind of endpoint.
    pub back_end: BackEnd,
    /// Form of the bucket policy.
    pub policy_profile: Profile,
    /// What a service with this configuration may change by itself.
    pub mode: Mode,
    /// Every claim, the controls set apart, and the overrides in force.
    pub posture: Report,
    /// Every call to S3 and KMS, in the order of the answers.
    pub calls: Vec<Call>,
    /// Calls after the first 10,000.
    pub calls_not_kept: u64,
}

/// The two files of one evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// For programs.
    pub json: String,
    /// For people.
    pub markdown: String,
}

impl Evidence {
    /// What a check of `spec` found between two moments.
    pub fn new(
        spec: &BucketSpec,
        mode: Mode,
        posture: Report,
        journal: Journal,
        (started_at, ended_at): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            kind: "strongroom bucket check",
            format: 1,
            version: env!("CARGO_PKG_VERSION"),
            started_at,
            ended_at,
            signed_by: None,
            bucket: spec.bucket.clone(),
            region: spec.region.clone(),
            kms_key_arn: spec.key.to_string(),
            back_end: spec.back_end,
            policy_profile: spec.profile,
            mode,
            posture,
            calls: journal.calls,
            calls_not_kept: journal.not_kept,
        }
    }

    /// The same as JSON and as Markdown, both with the digest: SHA-256 of the RFC 8785 canonical form of the JSON without
    /// its member `digest`.
    ///
    /// # Errors
    /// Never for values of this kind.
    pub fn files(&self) -> Result<Files, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        let digest = format!("sha256:{}", Sha256Digest::of(&serde_json_canonicalizer::to_vec(&value)?));
        if let Value::Object(members) = &mut value {
            members.insert("digest".to_owned(), digest.clone().into());
        }
        let json = serde_json::to_string_pretty(&value)? + "\n";
        Ok(Files { json, markdown: markdown::render(self, &digest) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::finding::{ClaimId, Finding, apart};
    use crate::provision::plan::tests::spec;
    use crate::provision::{Options, journal};

    fn evidence() -> Evidence {
        let at = Timestamp::from_millis(0);
        let findings = vec![
            Finding::passed(ClaimId::Versioned, "Enabled", "Enabled"),
            Finding::failed(ClaimId::PolicyGrantsNothing, "no Allow", "<b>|`x`\nAllow"),
        ];
        let posture = Report::of(findings, at, apart(&Options::default()), Vec::new());
        let call = Call {
            operation: "HeadBucket".to_owned(),
            at,
            millis: 3,
            answer: journal::Answer::Error,
            status: Some(403),
            code: None,
            request_id: Some("R1".to_owned()),
        };
        Evidence::new(&spec(), Mode::Create, posture, Journal { calls: vec![call], not_kept: 0 }, (at, at))
    }

    #[test]
    fn digest_is_that_of_the_canonical_form_without_itself() {
        let files = evidence().files().unwrap();
        let mut value: Value = serde_json::from_str(&files.json).unwrap();
        let told = value.as_object_mut().unwrap().remove("digest").unwrap();
        let digest = Sha256Digest::of(&serde_json_canonicalizer::to_vec(&value).unwrap());
        assert_eq!(told, format!("sha256:{digest}"));
        assert!(files.markdown.contains(told.as_str().unwrap()));
    }

    #[test]
    fn markdown_has_every_claim_call_and_control_and_lines_to_sign() {
        let mut evidence = evidence();
        let text = evidence.files().unwrap().markdown;
        for part in ["versioned", "policy_grants_nothing", "HeadBucket", "403", "R1", "MFA delete", "Name: ____"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains(r"\<b>\|\`x\` Allow"), "{text}");
        evidence.signed_by = Some("A. Auditor".to_owned());
        let text = evidence.files().unwrap().markdown;
        assert!(text.contains("Name: A. Auditor") && text.contains("Date: 1970-01-01"), "{text}");
    }
}
