//! The end of a key, on an operator's explicit word, and only when nothing in the bucket needs it any more.
//!
//! The claim of the catalog here and what probes left are ours to remove; anything else in the bucket, the claim of
//! another catalog, delete markers and unfinished uploads included, refuses the whole run. The bucket itself stays.

mod claimed;
mod contents;

use aws_sdk_kms::types::KeyState;

use self::claimed::Listed;
pub use self::contents::Contents;
use self::contents::{Entry, Kind};
use super::Clients;
use super::claim::CLAIM_KEY;
use super::fault::{BucketMeaning, Fault, call};
use super::key::{KeyFacts, ObservedKey, aliases, observe_key};
use super::spec::{BucketSpec, DELETION_WINDOW_DAYS, KeyArn, KeySpec, KeyWish, TAG_ALIAS, Wanted};
use crate::domain::Timestamp;

/// Pages of a list that are read; a thousand entries each.
const PAGES: usize = 1_000;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// The key whose deletion is scheduled.
    pub key: KeyArn,
    /// Its alias, which goes with it.
    pub alias: String,
    /// When the key ends.
    pub ends: Option<Timestamp>,
    /// Whether its deletion had been scheduled before; then nothing was done.
    pub already: bool,
    /// Versions, markers and uploads of our own that were removed: the claim and what probes left.
    pub removed: usize,
    /// What the bucket still holds: heads of audit logs, and more if the deletion had been scheduled before.
    pub left: Contents,
    /// Whether there is a bucket.
    pub bucket_exists: bool,
}

/// Why the key stays; nothing was deleted unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum DestroyError {
    /// The operator's own key.
    #[error("KMS key {arn} is your own (STRONGROOM_KMS_KEY_ARN): strongroom never deletes it; nothing was changed")]
    Brought {
        /// Its ARN.
        arn: KeyArn,
    },
    /// There is no key.
    #[error("there is no KMS key named {alias}; nothing was changed")]
    NoKey {
        /// The alias.
        alias: String,
    },
    /// KMS did not let us look.
    #[error("cannot look at the KMS key ({reason}); nothing was changed")]
    KeyUnreadable {
        /// What KMS said.
        reason: String,
    },
    /// Somebody else made it, or made it for something else.
    #[error("KMS key {arn} was not made by strongroom for this bucket ({reason}); nothing was changed")]
    NotOurs {
        /// Its ARN.
        arn: KeyArn,
        /// Why we think so.
        reason: String,
    },
    /// Somebody else uses it.
    #[error("KMS key {arn} has other names: {}; something else may use it, so nothing was changed", .names.join(", "))]
    Shared {
        /// Its ARN.
        arn: KeyArn,
        /// Its other aliases.
        names: Vec<String>,
    },
    /// The bucket is in use.
    #[error(
        "bucket `{bucket}` still holds {held}: without the key they are lost for ever. Delete them first (every \
         version, every delete marker, every unfinished upload); nothing was changed"
    )]
    InUse {
        /// Its name.
        bucket: String,
        /// What is in it.
        held: Contents,
    },
    /// Another service may use it.
    #[error(
        "bucket `{bucket}` is claimed by {whose}: run this where that catalog is; or, once the service that made it has \
         ended for good, delete every version of `{CLAIM_KEY}` yourself and run this again. Nothing was changed"
    )]
    Claimed {
        /// Its name.
        bucket: String,
        /// Whose it is, and what is here.
        whose: String,
    },
    /// Something was written meanwhile.
    #[error(
        "bucket `{bucket}` is in use: {held} appeared meanwhile; stop every service that writes to it. {key}, and our \
         claim is removed: the next start of the service writes it again"
    )]
    Appeared {
        /// Its name.
        bucket: String,
        /// What is in it now.
        held: Contents,
        /// What became of the key.
        key: String,
    },
    /// A call failed.
    #[error("{action} failed; {state}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// How things stand now.
        state: String,
        /// What the server said.
        source: Box<Fault>,
    },
}

/// Schedules the deletion of the bucket's key, if nothing in the bucket needs it.
///
/// `catalog` is the id of the catalog here, if there is one: only its claim is removed.
///
/// # Errors
/// [`DestroyError`]; the key can still be used then.
pub async fn destroy(clients: &Clients, wanted: &Wanted, catalog: Option<&str>) -> Result<Destroyed, DestroyError> {
    let key = deletable(clients, wanted).await?;
    let spec = BucketSpec::new(wanted, key.facts.arn.clone());
    let end = End { clients, spec: &spec, key: &key };
    let Seen { contents: before, bucket_exists, claims } = end.look("looking into the bucket", UNCHANGED).await?;
    if key.facts.state == KeyState::PendingDeletion {
        let ends = end.ends().await;
        return Ok(end.done(ends, true, 0, before, bucket_exists));
    }
    if before.foreign() > 0 {
        return Err(DestroyError::InUse { bucket: spec.bucket.clone(), held: before });
    }
    if bucket_exists {
        claimed::refuse_foreign(clients, &spec, &claims, catalog).await?;
        end.remove_ours(&claims).await?;
        let left = end.look("looking into the bucket again", CLAIM_GONE).await?.contents;
        if !left.is_empty() {
            let key = "The key was not touched".to_owned();
            return Err(DestroyError::Appeared { bucket: spec.bucket.clone(), held: left, key });
        }
    }
    let ends = end.schedule().await?;
    // Between the last look and now somebody may have stored something under the key.
    match end.look("looking into the bucket a last time", CLAIM_GONE).await {
        Ok(Seen { contents: left, .. }) if left.is_empty() => {
            Ok(end.done(ends, false, before.ours, left, bucket_exists))
        }
        Ok(Seen { contents: left, .. }) => {
            let key = end.take_back().await;
            Err(DestroyError::Appeared { bucket: spec.bucket.clone(), held: left, key })
        }
        Err(DestroyError::Failed { action, source, .. }) => {
            Err(DestroyError::Failed { action, state: end.take_back().await, source })
        }
        Err(error) => Err(error),
    }
}

const UNCHANGED: &str = "nothing was changed";
const CLAIM_GONE: &str = "the key was not touched; our claim may be gone, and the next start of the service writes it \
                          again";

/// A key that is ours to delete.
struct Deletable {
    facts: KeyFacts,
    alias: String,
}

/// The key, when it is ours, and ours alone.
async fn deletable(clients: &Clients, wanted: &Wanted) -> Result<Deletable, DestroyError> {
    let alias = match &wanted.key {
        KeyWish::Brought(arn) => return Err(DestroyError::Brought { arn: arn.clone() }),
        KeyWish::Alias(alias) => alias.clone(),
    };
    let spec = KeySpec::new(wanted);
    let facts = match observe_key(clients, &spec).await {
        ObservedKey::Present(facts) => *facts,
        ObservedKey::Absent { .. } => return Err(DestroyError::NoKey { alias }),
        ObservedKey::Unreadable(reason) => return Err(DestroyError::KeyUnreadable { reason }),
    };
    let not_ours = |reason: String| DestroyError::NotOurs { arn: facts.arn.clone(), reason };
    if !facts.ours(&spec) {
        return Err(not_ours("its tags do not say so".to_owned()));
    }
    match facts.tags.known().and_then(|tags| tags.get(TAG_ALIAS)) {
        Some(made_for) if *made_for != alias => return Err(not_ours(format!("its tags say {made_for}"))),
        _ => {}
    }
    let names = aliases(&clients.kms, facts.arn.as_str()).await;
    let mut names = names.map_err(|fault| failed("listing the key's names", UNCHANGED, fault))?;
    names.retain(|name| *name != alias);
    if names.is_empty() { Ok(Deletable { facts, alias }) } else { Err(DestroyError::Shared { arn: facts.arn, names }) }
}

fn failed(action: &'static str, state: &str, fault: Fault) -> DestroyError {
    DestroyError::Failed { action, state: state.to_owned(), source: Box::new(fault) }
}

/// One run, after the key was judged.
struct End<'a> {
    clients: &'a Clients,
    spec: &'a BucketSpec,
    key: &'a Deletable,
}

/// What a look into the bucket saw.
struct Seen {
    contents: Contents,
    bucket_exists: bool,
    /// Versions of the claim.
    claims: Vec<Listed>,
}

impl End<'_> {
    /// Counts what is in the bucket, if there is one.
    async fn look(&self, action: &'static str, state: &str) -> Result<Seen, DestroyError> {
        let mut contents = Contents::default();
        let mut claims = Vec::new();
        let head = self.clients.s3.head_bucket().bucket(&self.spec.bucket);
        match call("HeadBucket", head.set_expected_bucket_owner(self.spec.owner.clone()).send()).await {
            Ok(_) => {}
            Err(fault) if fault.bucket_meaning(&self.spec.region) == BucketMeaning::Absent => {
                return Ok(Seen { contents, bucket_exists: false, claims });
            }
            Err(fault) => return Err(failed(action, state, fault)),
        }
        let versions = self.each_version(async |entry| {
            contents.count(&entry);
            claims.extend(entry.claim());
            Ok(!contents.more)
        });
        let all_versions = versions.await.map_err(|fault| failed(action, state, fault))?;
        let uploads = self.each_upload(async |entry| {
            contents.count(&entry);
            Ok(!contents.more)
        });
        let all_uploads = uploads.await.map_err(|fault| failed(action, state, fault))?;
        contents.more |= !(all_versions && all_uploads);
        Ok(Seen { contents, bucket_exists: true, claims })
    }

    /// Removes the claim, in these versions of it and no later one, and what probes left, each by its version.
    async fn remove_ours(&self, claims: &[Listed]) -> Result<(), DestroyError> {
        let (s3, spec) = (&self.clients.s3, self.spec);
        let versions = self.each_version(async |entry| {
            let judged = entry.claim().is_some_and(|claim| claims.contains(&claim));
            if judged || entry.is_claims_marker() || entry.is_probe() {
                let request = s3.delete_object().bucket(&spec.bucket).key(entry.key).version_id(entry.id);
                call("DeleteObject", request.set_expected_bucket_owner(spec.owner.clone()).send()).await?;
            }
            Ok(true)
        });
        versions.await.map_err(|fault| failed("removing our claim and what probes left", CLAIM_GONE, fault))?;
        let uploads = self.each_upload(async |entry| {
            if entry.is_probe() {
                let request = s3.abort_multipart_upload().bucket(&spec.bucket).key(entry.key).upload_id(entry.id);
                call("AbortMultipartUpload", request.set_expected_bucket_owner(spec.owner.clone()).send()).await?;
            }
            Ok(true)
        });
        uploads.await.map_err(|fault| failed("ending the uploads that probes left", CLAIM_GONE, fault))?;
        Ok(())
    }

    /// Shows every version and delete marker to `see` until it has seen enough; false when the list was too long.
    async fn each_version(&self, mut see: impl AsyncFnMut(Entry<'_>) -> Result<bool, Fault>) -> Result<bool, Fault> {
        let list = self.clients.s3.list_object_versions().bucket(&self.spec.bucket);
        let list = list.set_expected_bucket_owner(self.spec.owner.clone());
        let (mut key_marker, mut id_marker) = (None, None);
        for _ in 0..PAGES {
            let request = list.clone().set_key_marker(key_marker).set_version_id_marker(id_marker);
            let page = call("ListObjectVersions", request.send()).await?;
            let versions = page.versions().iter().map(|found| {
                // A size that is not told is none of a probe's.
                let size = found.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(u64::MAX);
                (found.key(), found.version_id(), Kind::Version(size))
            });
            let markers = page.delete_markers().iter().map(|found| (found.key(), found.version_id(), Kind::Marker));
            for (key, id, kind) in versions.chain(markers) {
                let entry = Entry { key: key.unwrap_or_default(), id: id.unwrap_or("null"), kind };
                if !see(entry).await? {
                    return Ok(true);
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(true);
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_version_id_marker);
        }
        Ok(false)
    }

    /// Shows every unfinished upload to `see` until it has seen enough; false when the list was too long.
    async fn each_upload(&self, mut see: impl AsyncFnMut(Entry<'_>) -> Result<bool, Fault>) -> Result<bool, Fault> {
        let list = self.clients.s3.list_multipart_uploads().bucket(&self.spec.bucket);
        let list = list.set_expected_bucket_owner(self.spec.owner.clone());
        let (mut key_marker, mut id_marker) = (None, None);
        for _ in 0..PAGES {
            let request = list.clone().set_key_marker(key_marker).set_upload_id_marker(id_marker);
            let page = call("ListMultipartUploads", request.send()).await?;
            for found in page.uploads() {
                let (key, id) = (found.key().unwrap_or_default(), found.upload_id().unwrap_or_default());
                let entry = Entry { key, id, kind: Kind::Upload };
                if !see(entry).await? {
                    return Ok(true);
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(true);
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
        Ok(false)
    }

    async fn schedule(&self) -> Result<Option<Timestamp>, DestroyError> {
        let request = self.clients.kms.schedule_key_deletion().key_id(self.key.facts.arn.as_str());
        let request = request.pending_window_in_days(DELETION_WINDOW_DAYS);
        let scheduled = call("ScheduleKeyDeletion", request.send()).await;
        let scheduled = scheduled.map_err(|fault| failed("scheduling the key's deletion", CLAIM_GONE, fault))?;
        Ok(timestamp(scheduled.deletion_date()))
    }

    /// Cancels the deletion and makes the key what it was; says what became of it.
    async fn take_back(&self) -> String {
        let arn = self.key.facts.arn.as_str();
        let cancelled = call("CancelKeyDeletion", self.clients.kms.cancel_key_deletion().key_id(arn).send()).await;
        let enabled = match cancelled {
            Ok(_) if self.key.facts.state == KeyState::Enabled => {
                call("EnableKey", self.clients.kms.enable_key().key_id(arn).send()).await.map(drop)
            }
            other => other.map(drop),
        };
        match enabled {
            Ok(()) => "The key's deletion was cancelled, and it is as it was".to_owned(),
            Err(fault) => format!(
                "CANCEL THE KEY'S DELETION YOURSELF (aws kms cancel-key-deletion --key-id {arn}; aws kms enable-key \
                 --key-id {arn}): we could not ({fault})"
            ),
        }
    }

    async fn ends(&self) -> Option<Timestamp> {
        let request = self.clients.kms.describe_key().key_id(self.key.facts.arn.as_str());
        let described = call("DescribeKey", request.send()).await.ok()?;
        timestamp(described.key_metadata().and_then(|key| key.deletion_date()))
    }

    fn done(
        &self,
        ends: Option<Timestamp>,
        already: bool,
        removed: usize,
        left: Contents,
        bucket_exists: bool,
    ) -> Destroyed {
        let Deletable { facts, alias } = self.key;
        Destroyed { key: facts.arn.clone(), alias: alias.clone(), ends, already, removed, left, bucket_exists }
    }
}

fn timestamp(at: Option<&aws_smithy_types::DateTime>) -> Option<Timestamp> {
    at.and_then(|at| at.to_millis().ok()).map(Timestamp::from_millis)
}
