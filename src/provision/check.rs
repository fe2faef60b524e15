//! The bad paths, really tried: writes that must be refused, under `probes/`.
//!
//! The one place outside `store` that puts objects, because these are the objects that nobody may put.
//! A probe that gets through is deleted again, by its version, and names the statement that failed.

mod bare;
mod form;

use std::time::Duration;

use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;

use super::fault::{Fault, call};
use super::finding::{ClaimId, Finding, Status};
use super::patience::Pauses;
use super::policy::Sid;
use super::spec::{BackEnd, BucketSpec, Profile};

pub use self::bare::Bare;

/// Where probes are written.
pub const PROBE_PREFIX: &str = "probes/";

const BODY: &[u8] = b"strongroom probe: nobody may write this";

/// 32 zero bytes in base64, and their MD5: nothing is to be stored under them.
const CUSTOMER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const CUSTOMER_KEY_MD5: &str = "cLyPS3KoaSFGi/joRB3OUQ==";

/// A write that must not get through as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Headerless,
    OwnKeysOfS3,
    NamelessKey,
    ForeignKey,
    DualLayer,
    CustomerKey,
}

/// Tries the writes that the policy must refuse, and says what became of them.
///
/// Right after the policy was put it may not yet be in force everywhere: what gets through is tried again for as long
/// as `settling`.
pub async fn refusals(s3: &aws_sdk_s3::Client, spec: &BucketSpec, settling: Duration) -> Vec<Finding> {
    let mut pauses = Pauses::new(settling);
    let mut findings = Vec::new();
    for probe in Probe::ALL {
        findings.push(insist(&mut pauses, || attempt(s3, spec, probe)).await);
    }
    findings
}

/// Tries what somebody could do with an old presigned URL, or with a form; as [`refusals`].
pub async fn leaks(s3: &aws_sdk_s3::Client, bare: &Bare, spec: &BucketSpec, settling: Duration) -> Vec<Finding> {
    let mut pauses = Pauses::new(settling);
    vec![
        insist(&mut pauses, || bare.stale_url(s3, spec)).await,
        insist(&mut pauses, || bare.presigned_post(s3, spec)).await,
    ]
}

/// What a look at the policy says about the probes: what no statement refuses gets through; `missing` are the statements
/// seen not to be in force.
pub(super) fn not_refused(spec: &BucketSpec, missing: &[Sid]) -> Vec<Finding> {
    let writes = Probe::ALL.into_iter().filter(|probe| !probe.is_harmless(spec));
    let writes = writes.map(|probe| (probe.claim(), probe.statement(spec.profile), "refused".to_owned()));
    let leaks = [
        (ClaimId::StalePresignedRefused, Sid::DenyStalePresigned, bare::refused_when_stale(spec)),
        (ClaimId::PresignedPostRefused, Sid::DenyPresignedPost, "refused".to_owned()),
    ];
    let all = writes.chain(leaks).filter(|(_, statement, _)| missing.contains(statement));
    let told = |statement: Sid| format!("{} is not in force", statement.as_str());
    all.map(|(claim, statement, expected)| Finding::failed(claim, expected, told(statement))).collect()
}

fn not_obeyed(statement: Sid) -> String {
    format!("it got through: {} is not in force, or not obeyed", statement.as_str())
}

/// Tries again, while there is time, what the policy may not yet refuse everywhere.
async fn insist<F: Future<Output = Finding>>(pauses: &mut Pauses, attempt: impl Fn() -> F) -> Finding {
    loop {
        let finding = attempt().await;
        if finding.status != Status::Failed || !pauses.pause().await {
            return finding;
        }
    }
}

/// Tries a write without credentials; `anonymous` is a client that signs nothing.
pub async fn anonymous_write(s3: &aws_sdk_s3::Client, anonymous: &aws_sdk_s3::Client, spec: &BucketSpec) -> Finding {
    let key = probe_key();
    let request = anonymous.put_object().bucket(&spec.bucket).key(&key).body(ByteStream::from_static(BODY));
    let claim = ClaimId::AnonymousWriteRefused;
    match call("PutObject", request.send()).await {
        Ok(written) => {
            let removed = remove(s3, spec, &key, written.version_id()).await;
            Finding::failed(claim, "refused", format!("a write without credentials got through; {removed}"))
        }
        Err(fault) => judge_refusal(claim, &fault),
    }
}

/// Tries a read without credentials, where the back end has no public access block to look at.
pub async fn anonymous_read(anonymous: &aws_sdk_s3::Client, spec: &BucketSpec) -> Finding {
    let claim = ClaimId::PublicAccessBlocked;
    let listed = call("ListObjectsV2", anonymous.list_objects_v2().bucket(&spec.bucket).max_keys(1).send()).await;
    let got = call("GetObject", anonymous.get_object().bucket(&spec.bucket).key(probe_key()).send()).await;
    match (listed.map(drop), got.map(drop)) {
        (Err(list), Err(get)) if list.denied() && get.denied() => Finding::passed(
            claim,
            "anonymous reads refused",
            "the back end has no such setting; anonymous reads were tried and refused",
        ),
        (Ok(()), _) => Finding::failed(claim, "anonymous reads refused", "anybody may list the bucket"),
        // "No such key" to somebody without credentials: reading as such is open.
        (_, Err(get)) if get.status == Some(404) => {
            Finding::failed(claim, "anonymous reads refused", "anybody may read from the bucket")
        }
        (_, Ok(())) => Finding::failed(claim, "anonymous reads refused", "anybody may read from the bucket"),
        (Err(list), Err(get)) => {
            let fault = if list.denied() { get } else { list };
            Finding::not_verifiable(claim, "anonymous reads refused", fault.to_string())
        }
    }
}

async fn attempt(s3: &aws_sdk_s3::Client, spec: &BucketSpec, probe: Probe) -> Finding {
    let key = probe_key();
    let request = s3.put_object().bucket(&spec.bucket).key(&key).body(ByteStream::from_static(BODY));
    let request = probe.dress(request, spec).set_expected_bucket_owner(spec.owner.clone());
    match call("PutObject", request.send()).await {
        Err(fault) => judge_refusal(probe.claim(), &fault),
        Ok(written) => got_through(s3, spec, probe, &key, &written).await,
    }
}

/// A write got through: fine only where the profile lets it fall under our key, and it did.
async fn got_through(
    s3: &aws_sdk_s3::Client,
    spec: &BucketSpec,
    probe: Probe,
    key: &str,
    written: &PutObjectOutput,
) -> Finding {
    let version = written.version_id();
    let may_fall_under_default =
        spec.profile == Profile::DefaultOk && matches!(probe, Probe::Headerless | Probe::NamelessKey);
    let finding = if may_fall_under_default {
        let head = s3
            .head_object()
            .bucket(&spec.bucket)
            .key(key)
            .set_version_id(version.map(str::to_owned))
            .set_expected_bucket_owner(spec.owner.clone());
        let expected = format!("encrypted under {}", spec.key);
        match call("HeadObject", head.send()).await {
            Ok(seen) => {
                let right = seen.server_side_encryption() == Some(&ServerSideEncryption::AwsKms)
                    && seen.ssekms_key_id() == Some(spec.key.as_str());
                let told = seen.ssekms_key_id().unwrap_or("no KMS key");
                Finding::judged(probe.claim(), right, expected, format!("encrypted under {told}"))
            }
            Err(fault) => Finding::not_verifiable(probe.claim(), expected, fault.to_string()),
        }
    } else {
        Finding::failed(probe.claim(), "refused", not_obeyed(probe.statement(spec.profile)))
    };
    let removed = remove(s3, spec, key, version).await;
    Finding { observed: format!("{}; {removed}", finding.observed), ..finding }
}

fn judge_refusal(claim: ClaimId, fault: &Fault) -> Finding {
    // S3 hands on what KMS says as `KMS.…`, or as a denial that names an action of KMS.
    let by_kms = fault.code.as_deref().is_some_and(|code| code.starts_with("KMS.")) || fault.message.contains("kms:");
    if by_kms {
        let told = format!("refused by KMS, not by S3, which proves nothing about the policy: {fault}");
        Finding::not_verifiable(claim, "refused", told)
    } else if fault.denied() {
        let code = fault.code.as_deref().unwrap_or("403");
        Finding::passed(claim, "refused", format!("refused ({code})"))
    } else {
        Finding::not_verifiable(claim, "refused", fault.to_string())
    }
}

/// Deletes what should not be there; without a version id, the key.
async fn remove(s3: &aws_sdk_s3::Client, spec: &BucketSpec, key: &str, version: Option<&str>) -> String {
    let request = s3
        .delete_object()
        .bucket(&spec.bucket)
        .key(key)
        .set_version_id(version.map(str::to_owned))
        .set_expected_bucket_owner(spec.owner.clone());
    match call("DeleteObject", request.send()).await {
        Ok(_) => "removed again".to_owned(),
        Err(fault) => {
            tracing::warn!(object.key = key, %fault, "cannot remove a probe");
            format!("and is still there as {key} ({fault})")
        }
    }
}

fn probe_key() -> String {
    format!("{PROBE_PREFIX}{}", ulid::Ulid::generate())
}

impl Probe {
    const ALL: [Self; 6] =
        [Self::Headerless, Self::OwnKeysOfS3, Self::NamelessKey, Self::ForeignKey, Self::DualLayer, Self::CustomerKey];

    fn dress(self, request: PutObjectFluentBuilder, spec: &BucketSpec) -> PutObjectFluentBuilder {
        match self {
            Self::Headerless => request,
            Self::OwnKeysOfS3 => request.server_side_encryption(ServerSideEncryption::Aes256),
            Self::NamelessKey => request.server_side_encryption(ServerSideEncryption::AwsKms),
            Self::ForeignKey => request
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .ssekms_key_id(spec.key.sibling(&random_key_id()).as_str()),
            Self::DualLayer => {
                request.server_side_encryption(ServerSideEncryption::AwsKmsDsse).ssekms_key_id(spec.key.as_str())
            }
            Self::CustomerKey => request
                .sse_customer_algorithm("AES256")
                .sse_customer_key(CUSTOMER_KEY)
                .sse_customer_key_md5(CUSTOMER_KEY_MD5),
        }
    }

    fn claim(self) -> ClaimId {
        match self {
            Self::Headerless => ClaimId::HeaderlessWriteRefused,
            Self::OwnKeysOfS3 => ClaimId::WrongAlgorithmRefused,
            Self::NamelessKey => ClaimId::NamelessKeyRefused,
            Self::ForeignKey => ClaimId::ForeignKeyRefused,
            Self::DualLayer => ClaimId::DualLayerRefused,
            Self::CustomerKey => ClaimId::CustomerKeyWriteRefused,
        }
    }

    /// Whether it may get through even without a policy: what it stores falls under our key by default.
    fn is_harmless(self, spec: &BucketSpec) -> bool {
        spec.profile == Profile::DefaultOk
            && (self == Self::Headerless || (self == Self::NamelessKey && spec.back_end == BackEnd::Compatible))
    }

    /// The statement that should have refused it.
    fn statement(self, profile: Profile) -> Sid {
        match (self, profile) {
            (Self::Headerless, Profile::Explicit) => Sid::DenyMissingSseHeader,
            (Self::OwnKeysOfS3 | Self::DualLayer, Profile::Explicit) => Sid::DenyWrongSseAlgorithm,
            (Self::Headerless | Self::OwnKeysOfS3 | Self::DualLayer, Profile::DefaultOk) => {
                Sid::DenyWrongSseAlgorithmIfSent
            }
            (Self::CustomerKey, _) => Sid::DenySseC,
            (Self::NamelessKey | Self::ForeignKey, Profile::Explicit) => Sid::DenyWrongKmsKey,
            (Self::NamelessKey | Self::ForeignKey, Profile::DefaultOk) => Sid::DenyWrongKmsKeyIfSent,
        }
    }
}

/// The id of a key that does not exist, in the form that KMS gives ids.
fn random_key_id() -> String {
    let hex = format!("{:032x}", ulid::Ulid::generate().0);
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::fault::tests::fault;
    use crate::provision::plan::tests::spec;

    #[test]
    fn only_a_refusal_counts_as_refused() {
        for (status, code, verdict) in [
            (403, "AccessDenied", Status::Passed),
            (403, "", Status::Passed),
            (400, "KMS.NotFoundException", Status::NotVerifiable),
            (500, "InternalError", Status::NotVerifiable),
            (0, "", Status::NotVerifiable),
        ] {
            let finding = judge_refusal(ClaimId::HeaderlessWriteRefused, &fault(status, code));
            assert_eq!(finding.status, verdict, "{status} {code}");
        }
        for (status, code) in [(400, "KMS.NotFoundException"), (403, "KMS.AccessDeniedException")] {
            let foreign = judge_refusal(ClaimId::ForeignKeyRefused, &fault(status, code));
            assert_eq!(foreign.status, Status::NotVerifiable, "{code}");
            assert!(foreign.observed.contains("proves nothing about the policy"), "{}", foreign.observed);
        }
        let by_kms = Fault {
            message: "User: arn:aws:iam::1:user/u is not authorized to perform: kms:GenerateDataKey".into(),
            ..fault(403, "AccessDenied")
        };
        assert_eq!(judge_refusal(ClaimId::ForeignKeyRefused, &by_kms).status, Status::NotVerifiable);
    }

    #[test]
    fn probe_whose_statement_is_missing_is_known_to_get_through() {
        let spec = spec();
        let told = |missing: &[Sid]| not_refused(&spec, missing);
        assert_eq!(told(&[]), []);
        let [nameless, foreign] = told(&[Sid::DenyWrongKmsKey]).try_into().unwrap();
        assert_eq!((nameless.claim, foreign.claim), (ClaimId::NamelessKeyRefused, ClaimId::ForeignKeyRefused));
        assert_eq!((foreign.status, foreign.observed.as_str()), (Status::Failed, "DenyWrongKmsKey is not in force"));
        let all: Vec<ClaimId> = told(&Sid::BUCKET).iter().map(|finding| finding.claim).collect();
        let but_anonymous = ClaimId::PROBES.into_iter().filter(|claim| *claim != ClaimId::AnonymousWriteRefused);
        assert_eq!(all, but_anonymous.collect::<Vec<_>>());
    }

    #[test]
    fn what_falls_under_our_key_by_default_needs_no_statement() {
        let mut spec = BucketSpec { profile: Profile::DefaultOk, ..spec() };
        let told =
            |spec: &BucketSpec| not_refused(spec, &Sid::BUCKET).iter().map(|found| found.claim).collect::<Vec<_>>();
        assert!(!told(&spec).contains(&ClaimId::HeaderlessWriteRefused));
        assert!(told(&spec).contains(&ClaimId::NamelessKeyRefused));
        spec.back_end = BackEnd::Compatible;
        assert!(!told(&spec).contains(&ClaimId::NamelessKeyRefused));
        assert!(told(&spec).contains(&ClaimId::ForeignKeyRefused));
    }

    #[test]
    fn random_key_id_looks_like_one_of_kms_and_never_repeats() {
        let id = random_key_id();
        let lengths: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_ne!(id, random_key_id());
    }
}
