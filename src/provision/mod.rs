//! The secure bucket as data: wanted, observed, planned, applied, proven.
//!
//! [`spec`] says what we want and [`policy`] what the bucket denies; [`observe`], [`read`] and [`key`] look; [`plan`] is
//! pure and gives [`change::Change`]s; [`apply`] and [`apply_key`] make them, round by round; [`verify`] judges what was seen and
//! [`check`] tries what must be refused; [`mod@posture`] keeps writes out while that is not proven.

mod alias;
pub mod apply;
pub mod apply_key;
pub mod change;
pub mod check;
pub mod claim;
pub mod compare;
pub mod destroy;
pub mod evidence;
pub mod export;
mod fault;
pub mod finding;
pub mod iam;
pub mod journal;
pub mod key;
pub mod observe;
mod patience;
pub mod plan;
pub mod policy;
pub mod posture;
pub mod read;
mod run;
pub mod spec;
pub mod verify;

use std::time::Duration;

use serde::Serialize;

use self::apply::ApplyError;
pub use self::change::{Change, Difference, Kind, Step};
pub use self::check::Bare;
pub use self::fault::{Fault, Lost};
pub use self::finding::{Apart, ClaimId, Effect, Finding, Status, apart};
use self::key::{ObservedKey, observe_key};
use self::observe::{Observed, ObservedBucket, Setting};
pub use self::patience::Patience;
use self::plan::{Plan, Unplannable, plan_bucket, plan_key};
pub use self::posture::{
    GateClosed, Gauges, InvalidOverride, Judged, Override, OverrideNews, Posture, Report, Transition, remedy,
};
use self::read::{BucketRefused, observe_bucket};
use self::run::Run;
pub use self::spec::{
    AccessLog, BackEnd, BucketSpec, KeyArn, KeySpec, KeyWish, Mode, ObjectLock, Options, Profile, Retention, Wanted,
};

/// How long a probe that got through is tried again at start, when the policy may be new.
pub const POLICY_SETTLING: Duration = Duration::from_secs(30);
/// The same for probes whose claims refuse nothing: some back ends never pass them, and a start should not wait for that.
const LEAK_SETTLING: Duration = Duration::from_secs(3);

/// The clients to work with; only `app` builds them.
#[derive(Debug, Clone)]
pub struct Clients {
    /// S3 with the provisioning credentials.
    pub s3: aws_sdk_s3::Client,
    /// KMS with the same.
    pub kms: aws_sdk_kms::Client,
    /// S3 without any credentials (`allow_no_auth`), for the probes of somebody unknown; `None`: they are left out.
    pub anonymous: Option<aws_sdk_s3::Client>,
    /// For the probes that the SDK does not send; `None`: they are left out.
    pub bare: Option<Bare>,
    /// How long to wait for what AWS does in a while; two and a half minutes unless somebody needs an answer sooner.
    pub patience: Patience,
}

/// What a run achieved.
#[derive(Debug, Clone)]
pub struct Provisioned {
    /// What others need to know.
    pub outputs: Outputs,
    /// The desired state, for later looks and probes.
    pub spec: BucketSpec,
    /// Every change made, as told to the operator; empty when all was in order.
    pub changes_made: Vec<String>,
    /// The posture after it.
    pub findings: Vec<Finding>,
    /// Settings that the back end does not have.
    pub unsupported: Vec<Setting>,
}

/// What a run would do.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The desired state.
    pub spec: BucketSpec,
    /// The changes, in the order they would be made.
    pub changes: Vec<Change>,
    /// What differs, and the mode leaves alone.
    pub left_alone: Vec<Difference>,
}

/// The names under which the bucket and its key are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outputs {
    /// Name of the bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Full ARN of the key.
    #[serde(rename = "kms_key_arn")]
    pub key_arn: String,
    /// Its alias; none for a key that the operator brought.
    #[serde(rename = "kms_key_alias")]
    pub key_alias: Option<String>,
}

/// Why there is no secure bucket; each message says what the operator can do.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The bucket cannot be worked with.
    #[error(transparent)]
    Bucket(#[from] BucketRefused),
    /// There is none, and this run may not make it.
    #[error("there is no bucket `{bucket}`; run once with STRONGROOM_PROVISION=create, or `strongroom bucket apply`")]
    BucketMissing {
        /// Its name.
        bucket: String,
    },
    /// No plan can be made.
    #[error(transparent)]
    Unplannable(#[from] Unplannable),
    /// A change could not be made.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Everything was applied, and is still not seen.
    #[error(
        "the {subject} does not show what was set, although every change was accepted (still to do: {}); something \
         else may be changing it back",
        .left.join("; ")
    )]
    NotSettled {
        /// "key" or "bucket".
        subject: &'static str,
        /// The changes that a new plan would make.
        left: Vec<String>,
    },
}

/// Brings the key and the bucket to what is wanted, as far as `mode` allows, and proves it by reading back.
///
/// Idempotent, and safe to end at any point: the next run goes on from what it finds. Several replicas may run it at
/// once; the key's alias decides whose key is used. Takes seconds, and at most a few minutes while AWS catches up.
///
/// # Errors
/// Whatever keeps the bucket from being worked with. Drift that `create` may not touch is no error but a finding.
pub async fn provision(clients: &Clients, wanted: &Wanted, mode: Mode) -> Result<Provisioned, ProvisionError> {
    provision_telling(clients, wanted, mode, &|change| tracing::info!(%mode, "provisioning: {change}")).await
}

/// As [`provision`], telling `made` each change as soon as it is made.
///
/// # Errors
/// As [`provision`].
pub async fn provision_telling(
    clients: &Clients,
    wanted: &Wanted,
    mode: Mode,
    made: &(dyn Fn(&Change) + Sync),
) -> Result<Provisioned, ProvisionError> {
    let key_spec = KeySpec::new(wanted);
    let mut run = Run::new(clients, wanted, mode, made);
    if mode == Mode::Off {
        let key_arn = run.key_arn_only(&key_spec).await?;
        return Ok(run.done(BucketSpec::new(wanted, key_arn), verify::unlooked(&wanted.options)));
    }
    // Before anything is made: a bucket that is not ours must not cost a key.
    let bucket = observe_bucket(clients, &wanted.bucket, &wanted.region, None, &wanted.options).await?;
    if bucket == ObservedBucket::Absent && !mode.changes() {
        return Err(ProvisionError::BucketMissing { bucket: wanted.bucket.clone() });
    }
    if mode.changes() && !wanted.secure_transport {
        return Err(Unplannable::PlainHttp.into());
    }
    let key = observe_key(clients, &key_spec).await;
    match planned(wanted, &key_spec, &key, &bucket, mode) {
        // What could not be read may only be too new, and is read again where it is needed.
        Ok(_) | Err(Unplannable::Unreadable(_)) => {}
        Err(refused) => return Err(refused.into()),
    }
    let (arn, key) = run.settle_key(&key_spec, &bucket, key).await?;
    let spec = BucketSpec::new(wanted, arn);
    let bucket = run.settle_bucket(&spec).await?;
    let mut findings = verify::verify(&key_spec, &spec, &key, &bucket);
    look_as_stranger(clients, &spec, &bucket, &mut findings).await;
    if let KeyWish::Alias(alias) = &wanted.key {
        findings.push(alias::named(alias, &spec.key));
    }
    Ok(run.done(spec, findings))
}

/// What a run in `mode` would do now; nothing is changed.
///
/// The ARN of a key that does not exist yet ends in `key/not-yet-made`.
///
/// # Errors
/// As [`provision`].
pub async fn preview(clients: &Clients, wanted: &Wanted, mode: Mode) -> Result<Preview, ProvisionError> {
    let key_spec = KeySpec::new(wanted);
    let bucket = observe_bucket(clients, &wanted.bucket, &wanted.region, None, &wanted.options).await?;
    if bucket == ObservedBucket::Absent && !mode.changes() {
        return Err(ProvisionError::BucketMissing { bucket: wanted.bucket.clone() });
    }
    let key = observe_key(clients, &key_spec).await;
    Ok(planned(wanted, &key_spec, &key, &bucket, mode)?)
}

/// What a run in `mode` would do in an account that holds neither the key nor the bucket.
///
/// # Errors
/// As [`provision`].
pub fn preview_of_nothing(wanted: &Wanted, mode: Mode) -> Result<Preview, Unplannable> {
    let key = ObservedKey::Absent { orphan: None };
    planned(wanted, &KeySpec::new(wanted), &key, &ObservedBucket::Absent, mode)
}

fn planned(
    wanted: &Wanted,
    key_spec: &KeySpec,
    key: &ObservedKey,
    bucket: &ObservedBucket,
    mode: Mode,
) -> Result<Preview, Unplannable> {
    let Plan { mut changes, mut left_alone } = plan_key(key_spec, key, bucket, mode)?;
    let arn = match (key, &wanted.key) {
        (ObservedKey::Present(facts), _) => facts.arn.clone(),
        (ObservedKey::Absent { orphan: Some(arn) }, _) | (_, KeyWish::Brought(arn)) => arn.clone(),
        (ObservedKey::Absent { orphan: None } | ObservedKey::Unreadable(_), _) => not_yet_made(wanted),
    };
    let spec = BucketSpec::new(wanted, arn);
    let plan = plan_bucket(&spec, bucket, mode)?;
    changes.extend(plan.changes);
    left_alone.extend(plan.left_alone);
    Ok(Preview { spec, changes, left_alone })
}

/// The posture now, only by reading: what the watch calls.
pub async fn posture(clients: &Clients, wanted: &Wanted, spec: &BucketSpec) -> Vec<Finding> {
    // The key that the bucket was set up for is looked at by its ARN, and judged as the one that was wished for.
    let this_key = KeySpec::new(&Wanted { key: KeyWish::Brought(spec.key.clone()), ..wanted.clone() });
    let key_spec = KeySpec::new(wanted);
    let named = async {
        match &wanted.key {
            KeyWish::Alias(alias) => Some(alias::key_named(clients, alias, &spec.key).await),
            KeyWish::Brought(_) => None,
        }
    };
    let (key, bucket, named) = tokio::join!(
        observe_key(clients, &this_key),
        // A dozen reads at once: too much for the stacks of all who wait for this.
        Box::pin(observe_bucket(clients, &spec.bucket, &spec.region, spec.owner.as_deref(), &spec.options)),
        named,
    );
    let mut findings = match bucket {
        Ok(bucket) => {
            let mut findings = verify::verify(&key_spec, spec, &key, &bucket);
            look_as_stranger(clients, spec, &bucket, &mut findings).await;
            findings
        }
        Err(refused) => {
            let mut findings = verify::verify(&key_spec, spec, &key, &ObservedBucket::Absent);
            let told = verify::unreachable(&spec.options, &refused.to_string());
            findings.retain(|finding| told.iter().all(|other| other.claim != finding.claim));
            findings.extend(told);
            findings
        }
    };
    findings.extend(named);
    findings
}

/// Tries every write that must be refused: at start and on `bucket check`, never in the watch.
pub async fn probe(clients: &Clients, spec: &BucketSpec, settling: Duration) -> Vec<Finding> {
    let mut findings = check::refusals(&clients.s3, spec, settling).await;
    if let Some(bare) = &clients.bare {
        findings.extend(check::leaks(&clients.s3, bare, spec, settling.min(LEAK_SETTLING)).await);
    }
    if let Some(anonymous) = &clients.anonymous {
        findings.push(check::anonymous_write(&clients.s3, anonymous, spec).await);
    }
    findings
}

/// Where there is no public access block to look at, anonymous reads are tried instead.
async fn look_as_stranger(clients: &Clients, spec: &BucketSpec, bucket: &ObservedBucket, findings: &mut [Finding]) {
    let ObservedBucket::Present(settings) = bucket else { return };
    let (Observed::Unsupported, Some(anonymous)) = (&settings.public_access, &clients.anonymous) else { return };
    let tried = check::anonymous_read(anonymous, spec).await;
    if let Some(finding) = findings.iter_mut().find(|finding| finding.claim == tried.claim) {
        *finding = tried;
    }
}

/// Stands in plans for a key that does not exist yet.
fn not_yet_made(wanted: &Wanted) -> KeyArn {
    format!("arn:aws:kms:{}:000000000000:key/not-yet-made", wanted.region).parse().unwrap_or_else(|_| {
        "arn:aws:kms:us-east-1:000000000000:key/not-yet-made".parse().expect("a constant ARN is valid")
    })
}
