//! What we want: the secure bucket and its key as plain values, decided before anything is looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use super::policy::{self, Document};

mod key_arn;
mod options;

pub use self::key_arn::{InvalidKeyArn, KeyArn};
pub use self::options::{AccessLog, ObjectLock, Options, Retention};

/// Description of the key, word for word the one of the Pulumi program this service grew from.
pub const KEY_DESCRIPTION: &str = "KMS key for S3 machine learning artifacts";
/// Days between an explicit destruction of the key and its end (KMS allows 7 to 30).
pub const DELETION_WINDOW_DAYS: i32 = 10;
/// Days between two rotations of the key's material, unless the configuration says otherwise.
pub const ROTATION_PERIOD_DAYS: i32 = 365;
/// Days after which S3 itself aborts an unfinished multipart upload; longer than any upload session lives.
pub const ABORT_UPLOADS_AFTER_DAYS: i32 = 7;
/// Id of our lifecycle rule; rules with other ids belong to somebody else.
pub const LIFECYCLE_RULE_ID: &str = "strongroom-abort-incomplete-uploads";
/// Id of our rule that moves objects to Intelligent-Tiering.
pub const TIERING_RULE_ID: &str = "strongroom-intelligent-tiering";
/// Id of our CORS rule.
pub const CORS_RULE_ID: &str = "strongroom-presigned-urls";
/// Longest life of a presigned URL unless the configuration says otherwise.
pub const DEFAULT_MAX_URL_LIFE: Duration = Duration::from_hours(12);
/// Version of the desired state; an older binary never overwrites a newer one's.
pub const SPEC_VERSION: u32 = 1;

pub(in crate::provision) const TAG_MANAGED_BY: &str = "managed-by";
pub(in crate::provision) const TAG_MANAGED_BY_US: &str = "strongroom";
pub(in crate::provision) const TAG_SPEC_VERSION: &str = "strongroom-spec-version";
pub(in crate::provision) const TAG_ALIAS: &str = "strongroom-alias";
pub(in crate::provision) const TAG_NONCE: &str = "strongroom-nonce";
pub(in crate::provision) const TAG_DELETION_WINDOW: &str = "deletion-window-days";

/// Age beyond a URL's own life at which the bucket policy calls a signature stale.
const SIGNATURE_AGE_SLACK: Duration = Duration::from_mins(1);

/// What a run may do to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Make what is absent, leave alone what exists, report what differs.
    Create,
    /// Also bring back what differs.
    Repair,
    /// Only look.
    Verify,
    /// Do not even look, beyond learning the key's ARN.
    Off,
}

/// The kind of endpoint we talk to; it decides which settings are known there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackEnd {
    /// AWS S3 with AWS KMS.
    Aws,
    /// The S3 and KMS of this program itself, on loopback.
    Embedded,
    /// Any other S3 with versioning and SSE-KMS, and any KMS that speaks AWS KMS.
    Compatible,
}

/// The form of the bucket policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Every write must name `aws:kms` and our key; parts are judged by their upload's settings.
    Explicit,
    /// Wrong headers are denied, absent ones fall under the bucket's default key.
    ///
    /// For AWS services that write to the bucket (logs, replication), and for back ends that judge `UploadPart` by its
    /// own missing headers, SeaweedFS first of all; these get a form of their own ([`policy::bucket_policy`]).
    DefaultOk,
}

/// Which key to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyWish {
    /// A key of our own, found by this KMS alias (`alias/…`) and made when it is absent.
    Alias(String),
    /// A key that the operator brings and keeps: used and checked, never changed.
    Brought(KeyArn),
}

/// Everything the operator decides about the bucket and its key.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Name of the bucket.
    pub bucket: String,
    /// Region of the bucket and of its key.
    pub region: String,
    /// Kind of endpoint.
    pub back_end: BackEnd,
    /// Form of the bucket policy; [`BackEnd::profile`] unless overridden.
    pub profile: Profile,
    /// Which key.
    pub key: KeyWish,
    /// ARNs of the roles that may use the key through S3; empty: the key policy leaves it to IAM.
    pub runtime_principals: Vec<String>,
    /// ARNs of the roles that change the bucket or come in an emergency; only the perimeter and the VPC endpoint need
    /// them, to leave a door open.
    pub administrators: Vec<String>,
    /// Days between two rotations of the key's material (KMS allows 90 to 2560); a brought key is never changed.
    pub rotation_days: i32,
    /// What only some want; all off by default.
    pub options: Options,
    /// Longest life of a presigned URL; the policy's signature age follows it.
    pub max_url_life: Duration,
    /// Whether requests name the account that must own the bucket; [`BackEnd::checks_owner`] unless overridden.
    pub names_owner: bool,
    /// Whether requests reach S3 over TLS, or over loopback of the embedded endpoint, which counts as such.
    ///
    /// Over anything else the policy would lock everyone out, its own removal included.
    pub secure_transport: bool,
}

/// The desired state of the bucket, complete: a pure function of [`Wanted`] and the key's ARN.
#[derive(Debug, Clone)]
pub struct BucketSpec {
    /// Name of the bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Kind of endpoint.
    pub back_end: BackEnd,
    /// Form of the policy.
    pub profile: Profile,
    /// The key that encrypts every object.
    pub key: KeyArn,
    /// Whether the operator brought it: KMS need not be asked about it then.
    pub brought: bool,
    /// The account that must own the bucket, where the back end checks it.
    pub owner: Option<String>,
    /// Bucket policy.
    pub policy: Document,
    /// Tags that must be there; others are left alone.
    pub tags: BTreeMap<String, String>,
    /// What only some want.
    pub options: Options,
    /// Age beyond which the policy refuses a presigned request.
    pub max_signature_age: Duration,
    /// Whether default encryption also refuses keys that customers bring in headers (SSE-C).
    pub block_sse_c: bool,
    /// Whether the policy's demand for TLS can be met by this very service.
    pub secure_transport: bool,
}

/// The desired state of the key.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// Which key.
    pub wish: KeyWish,
    /// Region it must be in; `None` where the back end does not care.
    pub region: Option<String>,
    /// Tags that must be there.
    pub tags: BTreeMap<String, String>,
    /// Days between two rotations.
    pub rotation_days: i32,
    wanted: Wanted,
}

impl Mode {
    /// Whether a run in this mode may change anything.
    pub fn changes(self) -> bool {
        matches!(self, Self::Create | Self::Repair)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Repair => "repair",
            Self::Verify => "verify",
            Self::Off => "off",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "create" => Ok(Self::Create),
            "repair" => Ok(Self::Repair),
            "verify" => Ok(Self::Verify),
            "off" => Ok(Self::Off),
            _ => Err(format!("`{text}` is not one of create, repair, verify, off")),
        }
    }
}

impl BackEnd {
    /// The form of the bucket policy that this back end can live with.
    pub fn profile(self) -> Profile {
        match self {
            Self::Aws | Self::Embedded => Profile::Explicit,
            Self::Compatible => Profile::DefaultOk,
        }
    }

    /// Whether the account in the key's ARN is the account that owns the bucket, and the back end compares it.
    pub fn checks_owner(self) -> bool {
        matches!(self, Self::Aws | Self::Embedded)
    }
}

impl Wanted {
    /// The usual wish for a bucket on a back end: a key of our own under [`default_alias`].
    pub fn new(bucket: impl Into<String>, region: impl Into<String>, back_end: BackEnd) -> Self {
        let bucket = bucket.into();
        Self {
            key: KeyWish::Alias(default_alias(&bucket)),
            bucket,
            region: region.into(),
            back_end,
            profile: back_end.profile(),
            runtime_principals: Vec::new(),
            administrators: Vec::new(),
            rotation_days: ROTATION_PERIOD_DAYS,
            options: Options::default(),
            max_url_life: DEFAULT_MAX_URL_LIFE,
            names_owner: back_end.checks_owner(),
            secure_transport: true,
        }
    }

    /// Age beyond which the bucket policy refuses a presigned request.
    pub fn max_signature_age(&self) -> Duration {
        self.max_url_life + SIGNATURE_AGE_SLACK
    }
}

/// The KMS alias of a bucket's key: `alias/{bucket}`, dots written as `_`.
///
/// KMS forbids dots in aliases and S3 forbids `_` in bucket names, so no two buckets share an alias.
pub fn default_alias(bucket: &str) -> String {
    format!("alias/{}", bucket.replace('.', "_"))
}

impl BucketSpec {
    /// The bucket that `wanted` describes, encrypted under `key`.
    pub fn new(wanted: &Wanted, key: KeyArn) -> Self {
        Self {
            bucket: wanted.bucket.clone(),
            region: wanted.region.clone(),
            back_end: wanted.back_end,
            profile: wanted.profile,
            brought: matches!(wanted.key, KeyWish::Brought(_)),
            owner: wanted.names_owner.then(|| key.account().to_owned()),
            policy: policy::bucket_policy(wanted, &key),
            options: wanted.options.clone(),
            max_signature_age: wanted.max_signature_age(),
            tags: our_tags(),
            secure_transport: wanted.secure_transport,
            // The embedded endpoint refuses SSE-C altogether and does not know the setting.
            block_sse_c: wanted.back_end == BackEnd::Aws,
            key,
        }
    }
}

impl KeySpec {
    /// The key that `wanted` describes.
    pub fn new(wanted: &Wanted) -> Self {
        let mut tags = our_tags();
        tags.insert(TAG_DELETION_WINDOW.to_owned(), DELETION_WINDOW_DAYS.to_string());
        if let KeyWish::Alias(alias) = &wanted.key {
            tags.insert(TAG_ALIAS.to_owned(), alias.clone());
        }
        Self {
            wish: wanted.key.clone(),
            // Elsewhere the KMS may stand apart from the S3 and call its region what it likes.
            region: wanted.back_end.checks_owner().then(|| wanted.region.clone()),
            tags,
            rotation_days: wanted.rotation_days,
            wanted: wanted.clone(),
        }
    }

    /// Name of the bucket that the key is for.
    pub fn bucket(&self) -> &str {
        &self.wanted.bucket
    }

    /// Whether the key policy says who may use the key, rather than leaving it to IAM.
    pub fn limits_key(&self) -> bool {
        !self.wanted.runtime_principals.is_empty()
    }

    /// The key policy that limits the use of the key; `None` when that is left to IAM.
    ///
    /// It needs the key's ARN, because account and partition are only known from there.
    pub fn policy(&self, key: &KeyArn) -> Option<Document> {
        let wanted = &self.wanted;
        self.limits_key().then(|| {
            policy::key_policy(key, &wanted.bucket, &wanted.region, &wanted.runtime_principals, wanted.back_end)
        })
    }

    /// The text of the policy that a key of ours must have: the limiting one, or the one that leaves it to IAM.
    pub fn policy_text(&self, key: &KeyArn) -> String {
        self.policy(key).map_or_else(|| policy::delegating_key_policy(key).to_string(), |policy| policy.render())
    }
}

fn our_tags() -> BTreeMap<String, String> {
    BTreeMap::from([
        (TAG_MANAGED_BY.to_owned(), TAG_MANAGED_BY_US.to_owned()),
        (TAG_SPEC_VERSION.to_owned(), SPEC_VERSION.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alias_of_a_dotted_bucket_is_legal_and_unambiguous() {
        assert_eq!(default_alias("ml-artifacts"), "alias/ml-artifacts");
        assert_eq!(default_alias("ml.artifacts"), "alias/ml_artifacts");
    }

    #[test]
    fn signature_age_exceeds_the_longest_url() {
        let mut wanted = Wanted::new("b", "eu-west-1", BackEnd::Aws);
        assert_eq!(wanted.max_signature_age().as_millis(), 43_260_000);
        wanted.max_url_life = Duration::from_mins(15);
        assert_eq!(wanted.max_signature_age().as_millis(), 960_000);
    }

    #[test]
    fn mode_is_read_as_it_is_written() {
        for mode in [Mode::Create, Mode::Repair, Mode::Verify, Mode::Off] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("Create".parse::<Mode>().is_err());
    }

    #[test]
    fn owner_is_the_key_account_only_where_the_back_end_compares_it() {
        let key: KeyArn = "arn:aws:kms:eu-west-1:123456789012:key/1".parse().unwrap();
        let owner = |back_end| BucketSpec::new(&Wanted::new("b", "eu-west-1", back_end), key.clone()).owner;
        assert_eq!(owner(BackEnd::Aws).as_deref(), Some("123456789012"));
        assert_eq!(owner(BackEnd::Embedded).as_deref(), Some("123456789012"));
        assert_eq!(owner(BackEnd::Compatible), None);
    }
}
