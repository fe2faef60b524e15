//! The IAM policies to grant, for one configuration: who provisions, who serves, who sweeps, who destroys.
//!
//! [`permissions`] says which actions and why; here they become documents, each on exactly this bucket and key.

mod permissions;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use self::permissions::needed;
pub use self::permissions::{PROVISIONER_BUCKET, Permission, RUNTIME, SWEEPER, Target, When, runtime};
use super::check::PROBE_PREFIX;
use super::claim::CLAIM_KEY;
use super::spec::{BackEnd, DELETION_WINDOW_DAYS, KeyArn, KeyWish, TAG_MANAGED_BY, TAG_MANAGED_BY_US, Wanted};

/// What a managed policy of IAM may have, in characters that are not white space.
pub const MAX_POLICY_CHARACTERS: usize = 6_144;

/// Prefixes of the objects that the service reads and writes, besides the claim.
const PREFIXES: [&str; 5] = ["models/", "manifests/", "journal/", "audit/", PROBE_PREFIX];
/// Prefixes that the sweeper removes from. The journal, the heads of the audit log and the claim stay for ever.
const SWEPT: [&str; 3] = ["models/", "manifests/", PROBE_PREFIX];

/// A job that deserves a role of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Makes the bucket and the key, and changes their settings.
    Provisioner,
    /// Serves: every replica runs with it.
    Runtime,
    /// Removes versions that nobody refers to.
    Sweeper,
    /// Schedules the deletion of the key (`strongroom bucket destroy`).
    Destroyer,
}

/// What the policies are about.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The bucket and its key, as configured.
    pub wanted: &'a Wanted,
    /// The key, once it exists.
    pub key: Option<&'a KeyArn>,
    /// The role that the service assumes for provisioning, when it is configured to.
    pub provision_role: Option<&'a str>,
}

/// Why there is no policy for a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPolicy {
    /// A policy on all keys would fail every audit (FSBP KMS.1, KMS.2), also with conditions on it.
    #[error(
        "the policy of the {role} role names the KMS key by its ARN, which is not known yet: run `strongroom bucket \
         apply` with the provisioner's policy first, then this again"
    )]
    KeyUnknown {
        /// Which role.
        role: Role,
    },
    /// The key is the operator's.
    #[error("the KMS key is your own: strongroom never deletes it, so there is no destroyer's policy")]
    NothingToDestroy,
}

/// An identity policy, as IAM takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IdentityPolicy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: Effect,
    action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Effect {
    Allow,
    Deny,
}

/// By operator and key; several values of one key: any of them.
type Condition = BTreeMap<&'static str, BTreeMap<String, Vec<String>>>;

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Provisioner, Self::Runtime, Self::Sweeper, Self::Destroyer];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioner => "provisioner",
            Self::Runtime => "runtime",
            Self::Sweeper => "sweeper",
            Self::Destroyer => "destroyer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl IdentityPolicy {
    /// Every action that it allows, with how it is limited left aside.
    pub fn allowed(&self) -> Vec<&'static str> {
        let allows = self.statement.iter().filter(|statement| statement.effect == Effect::Allow);
        allows.flat_map(|statement| statement.action.iter().copied()).collect()
    }
}

/// The policy to grant to a role.
///
/// # Errors
/// [`NoPolicy`], when it would have to name a key that does not exist.
pub fn policy(role: Role, scope: &Scope<'_>) -> Result<IdentityPolicy, NoPolicy> {
    let place = Place::new(scope);
    let statement = match role {
        Role::Provisioner => provisioner(scope, &place),
        Role::Runtime => serving(scope, &place, scope.key.ok_or(NoPolicy::KeyUnknown { role })?),
        Role::Sweeper => sweeper(scope, &place, scope.key.ok_or(NoPolicy::KeyUnknown { role })?),
        Role::Destroyer => destroyer(scope, &place)?,
    };
    Ok(IdentityPolicy { version: "2012-10-17", statement })
}

/// The partition of a region, where no key says it.
pub fn partition_of(region: &str) -> &'static str {
    const BY_PREFIX: [(&str, &str); 6] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("us-iso-", "aws-iso"),
        ("eu-isoe-", "aws-iso-e"),
    ];
    BY_PREFIX.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

/// Where things are, and how ARNs name them.
struct Place {
    partition: String,
    region: String,
    /// `*` while no key says it: an identity policy reaches no further than its own account anyway.
    account: String,
    bucket: String,
}

impl Place {
    fn new(scope: &Scope<'_>) -> Self {
        let region = scope.wanted.region.clone();
        Self {
            partition: scope.key.map_or_else(|| partition_of(&region), KeyArn::partition).to_owned(),
            account: scope.key.map_or("*", KeyArn::account).to_owned(),
            bucket: scope.wanted.bucket.clone(),
            region,
        }
    }

    fn bucket(&self) -> String {
        format!("arn:{}:s3:::{}", self.partition, self.bucket)
    }

    fn below(&self, prefixes: &[&str]) -> Vec<String> {
        prefixes.iter().map(|prefix| format!("{}/{prefix}*", self.bucket())).collect()
    }

    fn claim(&self) -> String {
        format!("{}/{CLAIM_KEY}", self.bucket())
    }

    fn kms(&self, resource: &str) -> String {
        format!("arn:{}:kms:{}:{}:{resource}", self.partition, self.region, self.account)
    }

    fn s3_service(&self) -> String {
        let domain = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("s3.{}.{domain}", self.region)
    }
}

fn serving(scope: &Scope<'_>, place: &Place, key: &KeyArn) -> Vec<Statement> {
    let permissions = runtime(scope);
    let mut objects = place.below(&PREFIXES);
    objects.push(place.claim());
    let key = vec![key.to_string()];
    let mut statements = vec![
        allow("SeeBucket", on(Target::Bucket, &permissions), vec![place.bucket()]),
        allow("KeepObjects", on(Target::Objects, &permissions), objects),
        allow("UseKeyThroughS3", on(Target::KeyThroughS3, &permissions), key.clone()).only(through_s3(scope, place)),
        allow("SeeKey", on(Target::Key, &permissions), key),
    ];
    if let Some(role) = scope.provision_role {
        statements.push(allow("BecomeProvisioner", vec!["sts:AssumeRole"], vec![role.to_owned()]));
    }
    statements
}

fn sweeper(scope: &Scope<'_>, place: &Place, key: &KeyArn) -> Vec<Statement> {
    let permissions = needed(scope, &SWEEPER);
    let decrypt = allow("DecryptClaimThroughS3", on(Target::KeyThroughS3, &permissions), vec![key.to_string()]);
    vec![
        allow("SeeBucket", on(Target::Bucket, &permissions), vec![place.bucket()]),
        allow("RemoveVersions", on(Target::Objects, &permissions), place.below(&SWEPT)),
        allow("ReadClaim", on(Target::Claim, &permissions), vec![place.claim()]),
        decrypt.only(through_s3(scope, place)),
    ]
}

fn provisioner(scope: &Scope<'_>, place: &Place) -> Vec<Statement> {
    let bucket = on(Target::Bucket, &needed(scope, &PROVISIONER_BUCKET));
    let mut statements = vec![allow("ConfigureBucket", bucket, vec![place.bucket()])];
    match &scope.wanted.key {
        // A key that the operator brought is looked at, never changed.
        KeyWish::Brought(arn) => statements.push(allow(
            "SeeKey",
            vec!["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags"],
            vec![arn.to_string()],
        )),
        KeyWish::Alias(alias) => statements.extend(key_maker(place, alias)),
    }
    statements
}

fn key_maker(place: &Place, alias: &str) -> Vec<Statement> {
    let keys = || vec![place.kms("key/*")];
    let marked = |key: &str| format!("aws:{key}/{TAG_MANAGED_BY}");
    let ours = || vec![TAG_MANAGED_BY_US.to_owned()];
    let of_ours = || when([("StringEquals", &marked("ResourceTag"), ours())]);
    let nameless = || when([("Null", "kms:ResourceAliases", vec!["true".to_owned()])]);
    vec![
        // Neither list can be limited to a key; nothing but names comes back.
        allow("ListKeys", vec!["kms:ListKeys", "kms:ListAliases"], vec!["*".to_owned()]),
        // Asked of the alias before there is a key, and what does not exist has no ARN; nothing but metadata comes back.
        allow("SeeKeys", vec!["kms:DescribeKey"], vec!["*".to_owned()]),
        allow("MakeKey", vec!["kms:CreateKey"], vec!["*".to_owned()]).only(when([
            ("StringEquals", &marked("RequestTag"), ours()),
            ("StringEquals", "kms:KeySpec", vec!["SYMMETRIC_DEFAULT".to_owned()]),
            ("StringEquals", "kms:KeyUsage", vec!["ENCRYPT_DECRYPT".to_owned()]),
        ])),
        // Tags given while a key is made. A key in use has an alias: it cannot be made "ours" by tagging it.
        allow("TagNewKey", vec!["kms:TagResource"], vec!["*".to_owned()])
            .only(when([("StringEquals", &marked("RequestTag"), ours())]))
            .only(nameless()),
        allow(
            "ConfigureOurKeys",
            vec![
                "kms:CreateAlias",
                "kms:EnableKeyRotation",
                "kms:GetKeyPolicy",
                "kms:GetKeyRotationStatus",
                "kms:ListResourceTags",
                "kms:PutKeyPolicy",
                "kms:TagResource",
                "kms:UpdateKeyDescription",
            ],
            keys(),
        )
        .only(of_ours()),
        allow("NameKey", vec!["kms:CreateAlias"], vec![place.kms(alias)]),
        // Of several runs that start together one names its key; the others remove theirs, which never had a name.
        // A key with an alias, and that is every key in use, is out of reach.
        allow("RemoveKeyThatLostTheRace", vec!["kms:ScheduleKeyDeletion"], keys())
            .only(of_ours())
            .only(nameless())
            .only(slowly()),
        Statement {
            effect: Effect::Deny,
            ..allow("NeverLockOut", vec!["kms:CreateKey", "kms:PutKeyPolicy"], vec!["*".to_owned()]).only(when([(
                "Bool",
                "kms:BypassPolicyLockoutSafetyCheck",
                vec!["true".to_owned()],
            )]))
        },
    ]
}

/// What `bucket destroy` calls: it counts what is left, removes the claim and probes, and takes the key's deletion back
/// when something appears meanwhile.
fn destroyer(scope: &Scope<'_>, place: &Place) -> Result<Vec<Statement>, NoPolicy> {
    if matches!(scope.wanted.key, KeyWish::Brought(_)) {
        return Err(NoPolicy::NothingToDestroy);
    }
    let key = vec![scope.key.ok_or(NoPolicy::KeyUnknown { role: Role::Destroyer })?.to_string()];
    let mut leftovers = place.below(&[PROBE_PREFIX]);
    leftovers.push(place.claim());
    Ok(vec![
        allow(
            "SeeBucket",
            vec!["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListBucketVersions"],
            vec![place.bucket()],
        ),
        allow("RemoveClaimAndProbes", vec!["s3:AbortMultipartUpload", "s3:DeleteObjectVersion"], leftovers),
        // Only the claim of the operator's own catalog is removed: it is read first.
        allow("ReadClaim", vec!["s3:GetObjectVersion"], vec![place.claim()]),
        allow("DecryptClaimThroughS3", vec!["kms:Decrypt"], key.clone()).only(through_s3(scope, place)),
        allow("ListNames", vec!["kms:ListAliases"], vec!["*".to_owned()]),
        allow(
            "SeeKeyAndTakeBack",
            vec!["kms:CancelKeyDeletion", "kms:DescribeKey", "kms:EnableKey", "kms:ListResourceTags"],
            key.clone(),
        ),
        allow("EndKey", vec!["kms:ScheduleKeyDeletion"], key).only(slowly()),
    ])
}

/// For objects of this bucket, and where the back end knows that, asked by S3 itself.
fn through_s3(scope: &Scope<'_>, place: &Place) -> Condition {
    let bucket = place.bucket();
    let objects = format!("{bucket}/*");
    let mut condition = when([("StringLike", "kms:EncryptionContext:aws:s3:arn", vec![bucket, objects])]);
    if scope.wanted.back_end == BackEnd::Aws {
        condition.extend(when([("StringEquals", "kms:ViaService", vec![place.s3_service()])]));
    }
    condition
}

/// Not sooner than the window that leaves time to take it back.
fn slowly() -> Condition {
    let days = DELETION_WINDOW_DAYS.to_string();
    when([("NumericGreaterThanEquals", "kms:ScheduleKeyDeletionPendingWindowInDays", vec![days])])
}

fn on(target: Target, permissions: &[Permission]) -> Vec<&'static str> {
    permissions.iter().filter(|permission| permission.on == target).map(|permission| permission.action).collect()
}

fn allow(sid: &'static str, action: Vec<&'static str>, resource: Vec<String>) -> Statement {
    Statement { sid, effect: Effect::Allow, action, resource, condition: Condition::new() }
}

impl Statement {
    /// Adds a condition to those it has.
    fn only(mut self, condition: Condition) -> Self {
        for (operator, keys) in condition {
            self.condition.entry(operator).or_default().extend(keys);
        }
        self
    }
}

fn when<const N: usize>(conditions: [(&'static str, &str, Vec<String>); N]) -> Condition {
    let mut all = Condition::new();
    for (operator, key, values) in conditions {
        all.entry(operator).or_default().insert(key.to_owned(), values);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::spec::{AccessLog, ObjectLock, Options, Retention};

    const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/0f1e2d3c-1111-2222-3333-444455556666";

    fn arn() -> KeyArn {
        ARN.parse().unwrap()
    }

    /// The longest of everything.
    fn everything() -> Wanted {
        let roles = vec!["arn:aws:iam::123456789012:role/r".to_owned()];
        let mut wanted = Wanted::new("b".repeat(63), "ap-southeast-1", BackEnd::Aws);
        wanted.runtime_principals.clone_from(&roles);
        wanted.administrators = roles;
        wanted.options = Options {
            perimeter: true,
            vpc_endpoint: Some("vpce-1".into()),
            object_lock: Some(ObjectLock { mode: Retention::Governance, days: 1 }),
            access_log: Some(AccessLog { bucket: "logs".into(), prefix: "a/".into() }),
            event_bridge: true,
            cors_origins: vec!["https://a.example".into()],
            intelligent_tiering: true,
        };
        wanted
    }

    fn plain() -> Wanted {
        Wanted::new("ml", "eu-west-1", BackEnd::Aws)
    }

    fn printed(role: Role, wanted: &Wanted) -> serde_json::Value {
        let key = arn();
        let scope = Scope { wanted, key: Some(&key), provision_role: None };
        serde_json::to_value(policy(role, &scope).unwrap()).unwrap()
    }

    #[test]
    fn every_policy_fits_a_managed_policy_of_iam() {
        for role in Role::ALL {
            let text = printed(role, &everything()).to_string();
            assert!(text.len() <= MAX_POLICY_CHARACTERS, "{role}: {}", text.len());
        }
    }

    #[test]
    fn no_policy_decrypts_with_another_key_or_destroys_what_is_published() {
        for role in Role::ALL {
            for statement in printed(role, &everything())["Statement"].as_array().unwrap() {
                let actions: Vec<_> =
                    statement["Action"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
                assert!(actions.iter().all(|action| !action.contains('*')), "{statement}");
                if actions.contains(&"kms:Decrypt") {
                    assert!(matches!(role, Role::Runtime | Role::Sweeper | Role::Destroyer), "{statement}");
                    assert_eq!(statement["Resource"], serde_json::json!([ARN]));
                    assert_eq!(
                        statement["Condition"]["StringEquals"]["kms:ViaService"],
                        serde_json::json!(["s3.ap-southeast-1.amazonaws.com"])
                    );
                }
                if actions.contains(&"s3:DeleteObjectVersion") {
                    assert_ne!(role, Role::Runtime);
                    assert_eq!(statement.to_string().contains("/models/"), role == Role::Sweeper);
                }
                if actions.contains(&"kms:ScheduleKeyDeletion") {
                    let window = &statement["Condition"]["NumericGreaterThanEquals"];
                    assert_eq!(window["kms:ScheduleKeyDeletionPendingWindowInDays"], serde_json::json!(["10"]));
                    let nameless = statement["Condition"]["Null"]["kms:ResourceAliases"] == serde_json::json!(["true"]);
                    assert_eq!(nameless, role == Role::Provisioner);
                }
            }
        }
    }

    #[test]
    fn options_that_are_off_ask_for_nothing() {
        for role in [Role::Provisioner, Role::Runtime] {
            let text = printed(role, &plain()).to_string();
            for word in ["ObjectLock", "Logging", "Notification", "CORS"] {
                assert!(!text.contains(word), "{role}: {word}");
                assert!(printed(role, &everything()).to_string().contains(word), "{role}: {word}");
            }
        }
        let brought = Wanted { key: KeyWish::Brought(arn()), ..plain() };
        assert!(!printed(Role::Runtime, &brought).to_string().contains("kms:ListResourceTags"));
    }

    #[test]
    fn role_that_needs_the_key_has_no_policy_before_there_is_one() {
        let wanted = plain();
        let scope = Scope { wanted: &wanted, key: None, provision_role: None };
        for role in [Role::Runtime, Role::Sweeper, Role::Destroyer] {
            assert_eq!(policy(role, &scope), Err(NoPolicy::KeyUnknown { role }));
        }
        let provisioner = serde_json::to_string(&policy(Role::Provisioner, &scope).unwrap()).unwrap();
        assert!(provisioner.contains("arn:aws:kms:eu-west-1:*:alias/ml"), "{provisioner}");
    }

    #[test]
    fn key_that_was_brought_is_only_looked_at() {
        let wanted = Wanted { key: KeyWish::Brought(arn()), ..plain() };
        let text = printed(Role::Provisioner, &wanted).to_string();
        for verb in ["kms:Create", "kms:Put", "kms:Tag", "kms:Schedule", "kms:Enable"] {
            assert!(!text.contains(verb), "{verb}");
        }
        let key = arn();
        let scope = Scope { wanted: &wanted, key: Some(&key), provision_role: None };
        assert_eq!(policy(Role::Destroyer, &scope), Err(NoPolicy::NothingToDestroy));
    }

    #[test]
    fn partition_follows_the_key_and_without_one_the_region() {
        let china = Wanted::new("ml", "cn-north-1", BackEnd::Aws);
        let key: KeyArn = "arn:aws-cn:kms:cn-north-1:123456789012:key/1".parse().unwrap();
        let scope = Scope { wanted: &china, key: Some(&key), provision_role: None };
        let text = serde_json::to_string(&policy(Role::Runtime, &scope).unwrap()).unwrap();
        assert!(text.contains("s3.cn-north-1.amazonaws.com.cn") && !text.contains("arn:aws:"), "{text}");
        assert_eq!(partition_of("us-gov-west-1"), "aws-us-gov");
        assert_eq!(partition_of("us-isob-east-1"), "aws-iso-b");
        assert_eq!(partition_of("eu-west-1"), "aws");
    }

    #[test]
    fn role_assumed_for_provisioning_is_named_and_no_other() {
        let (wanted, key) = (plain(), arn());
        let role = "arn:aws:iam::123456789012:role/provision";
        let scope = Scope { wanted: &wanted, key: Some(&key), provision_role: Some(role) };
        let text = serde_json::to_string(&policy(Role::Runtime, &scope).unwrap()).unwrap();
        assert!(text.contains(&format!(r#""Action":["sts:AssumeRole"],"Resource":["{role}"]"#)), "{text}");
    }
}
