//! One request, one version.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::live::Working;
use super::replay::fingerprint;
use super::take_in::{Destination, TakeIn, Taken};
use super::{Error, IdempotencyKey, IncomingStream, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{Deletion, DraftRow, ModelStanding, NewObject, NewVersion, Once, Unfinished, VersionRow};
use crate::domain::{
    AliasChange, DraftId, FileEntry, Integrity, ModelRef, ObjectKey, Origin, VersionNumber, version_digest,
};
use crate::failpoint;

/// Files of one request that are committed at the same time.
const PARALLEL_COMMITS: usize = 8;

/// Tries to write a manifest before the version is left to the recovery loop.
const MANIFEST_TRIES: u32 = 4;

/// How long a client waits for its version to become visible before it is told to come back.
const VISIBLE_WAIT: Duration = Duration::from_secs(10);

/// What a publication is to come with.
#[derive(Debug, Default)]
pub struct PublishWish {
    /// Bytes of the body, where they are known: what does not fit is refused before it is read.
    pub size: Option<u64>,
    /// The key of a request that may be sent again.
    pub key: Option<IdempotencyKey>,
    /// Aliases that are to name the version as soon as it is visible; where they are to go is not stated.
    pub aliases: Vec<AliasChange>,
}

/// What became of a publication.
#[derive(Debug)]
pub enum Published {
    /// The version is there.
    Visible(Box<VersionRow>),
    /// The version has its number and will be there; the service goes on by itself.
    Underway(VersionNumber),
    /// The namespace demands that files are verified first, and the service is reading them: publish again then.
    Verifying {
        /// The draft, which stays as it is.
        draft: DraftId,
        /// Files that are not verified yet.
        files: u64,
    },
}

impl Registry {
    /// Makes one version of a model out of one request.
    ///
    /// The work goes on in a task of its own: when the client goes away, what was sent is removed.
    ///
    /// # Errors
    /// [`Error`]; no object, no upload and no row is left then, or they are being removed while the object store is slow.
    pub async fn publish(
        &self,
        caller: &Caller,
        model: ModelRef,
        wish: PublishWish,
        body: IncomingStream,
    ) -> Result<Published, Error> {
        self.admit(caller, Action::Publish, &model).await?;
        self.admit_aliases(caller, &model, &wish.aliases).await?;
        self.posture_state().check().map_err(Error::WritesRefused)?;
        // Asked again when the version gets its number; here, before any bytes are sent in vain.
        if let ModelStanding::Trashed(Deletion { purge_at: until, .. }) = self.catalog().model_standing(&model).await? {
            return Err(Error::ModelTrashed { model, until });
        }
        self.catalog().refuse_full(&model, wish.size.unwrap_or_default(), self.room()).await?;
        // Before a byte of the body is asked for.
        let turn = self.turn().await?;
        let once = wish.key.map(|key| key.of(caller, "publish", &model));
        let aliases = wish.aliases;
        let draft = DraftRow::new(model, self.inner.vault, &caller.principal);
        let (registry, origin) = (self.clone(), caller.origin.clone());
        let task = self.tasks.spawn(async move {
            let _turn = turn;
            registry.publish_draft(draft, origin, once, aliases, body).await
        });
        task.await.unwrap_or(Err(Error::Interrupted))
    }

    async fn publish_draft(
        &self,
        mut draft: DraftRow,
        origin: Origin,
        once: Option<Once>,
        aliases: Vec<AliasChange>,
        body: IncomingStream,
    ) -> Result<Published, Error> {
        // Live before the row is there, so that recovery never sees it alone.
        let live = self.live.begin(draft.id);
        failpoint::reached("publish:before_draft").await;
        if let Some(first) = self.catalog().begin_draft(&mut draft, once.as_ref()).await? {
            return self.replay(&draft.model, &first, &told(&aliases), body).await;
        }
        failpoint::reached("publish:after_draft").await;
        let mut take_in = TakeIn::default();
        let read = take_in.read(self, &Destination::of(&draft), body).await;
        // A body may take hours: what was safe when it began need not be now.
        let read = read.and_then(|()| self.posture_state().check().map_err(Error::WritesRefused));
        if let Err(error) = read {
            self.remove(live, draft, Some(take_in)).await;
            return Err(error);
        }
        failpoint::reached("publish:after_body").await;
        let metadata = take_in.metadata.unwrap_or_default();
        let files = match self.commit(take_in.taken).await {
            Ok(files) => files,
            Err(error) => {
                self.remove(live, draft, None).await;
                return Err(error);
            }
        };
        failpoint::reached("publish:after_commits").await;
        let entries: Vec<FileEntry> = files
            .iter()
            .map(|file| FileEntry { path: file.path.clone(), size: file.size, sha256: file.sha256 })
            .collect();
        let digest = version_digest(&entries);
        let new = NewVersion {
            draft: draft.clone(),
            origin,
            digest,
            files,
            fingerprint: fingerprint(digest, &metadata, &told(&aliases)),
            aliases,
            metadata,
            max_bytes: self.limits().namespace_bytes,
        };
        let version = match self.catalog().begin_publish(&new).await {
            Ok(version) => version,
            Err(error) => {
                // The answer to the commit may be what was lost: the draft's row tells.
                if self.catalog().draft_exists(draft.id).await.unwrap_or(false) {
                    self.remove(live, draft, None).await;
                }
                return Err(error.into());
            }
        };
        failpoint::reached("publish:after_number").await;
        drop(live);
        self.finish(&draft.model, &version).await
    }

    /// Turns every file into an object.
    async fn commit(&self, taken: Vec<Taken>) -> Result<Vec<NewObject>, Error> {
        // After a failure none is begun any more: when the object store is away, thousands would each wait for it.
        let failed = &AtomicBool::new(false);
        let commits = taken.into_iter().map(|Taken { path, sha256, size, pending }| async move {
            if failed.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            failpoint::reached("publish:before_commit").await;
            let stored = pending.commit().await.inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            failpoint::reached("publish:after_commit").await;
            Ok::<_, Error>(NewObject {
                path,
                s3_key: stored.key,
                s3_version_id: stored.version_id,
                kms_key_arn: stored.kms_key_arn,
                s3_checksum: stored.checksum,
                size,
                sha256,
                integrity: Integrity::Verified,
            })
        });
        // All that were begun are awaited also after a failure: a commit that is dropped half-way could leave an object
        // behind after the draft's prefix was cleaned. The failure itself comes first.
        let outcomes: Vec<_> = stream::iter(commits).buffer_unordered(PARALLEL_COMMITS).collect().await;
        stream::iter(outcomes).try_collect().await
    }

    /// From a number to a visible version; what fails here is finished by the recovery loop.
    pub(super) async fn finish(&self, model: &ModelRef, version: &Unfinished) -> Result<Published, Error> {
        let (registry, number, version_id, version) = (self.clone(), version.number, version.id, version.clone());
        let finishing = self.tasks.spawn(async move { registry.keep_rolling(&version).await });
        let is_visible = matches!(tokio::time::timeout(VISIBLE_WAIT, finishing).await, Ok(Ok(true)));
        if !is_visible {
            return Ok(Published::Underway(number));
        }
        failpoint::reached("publish:after_visible").await;
        self.journal_due();
        if let Some(lost) = self.catalog().lost_alias(version_id).await? {
            return Err(Error::AliasConflict { number, lost });
        }
        // The version is there: that it cannot be read at this moment is no failure of the publication.
        let row = self.catalog().version_by_number(model, number).await.ok().flatten();
        Ok(row.map_or(Published::Underway(number), |row| Published::Visible(Box::new(row))))
    }

    async fn keep_rolling(&self, version: &Unfinished) -> bool {
        for attempt in 0..MANIFEST_TRIES {
            match self.roll_forward(version).await {
                Ok(()) => return true,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        attempt,
                        version.number = %version.number,
                        "a version is not visible yet"
                    );
                    tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
                }
            }
        }
        false
    }

    /// Removes what a failed request brought.
    async fn remove(&self, live: Working<DraftId>, draft: DraftRow, brought: Option<TakeIn>) {
        let registry = self.clone();
        self.removing(async move {
            if let Some(brought) = brought {
                brought.abort().await;
            }
            registry.discard(&draft).await;
            drop(live);
        })
        .await;
    }

    /// Removes everything that a draft brought; what cannot be removed now is left to the recovery loop.
    ///
    /// False when the object store did not answer.
    pub(super) async fn discard(&self, draft: &DraftRow) -> bool {
        match self.try_discard(draft).await {
            Ok(()) => true,
            // Its unfinished uploads are gone by now; whole objects need somebody who may delete them.
            Err(Error::Store(error)) if error.is_refused_deletion() => {
                tracing::info!(
                    draft.id = %draft.id,
                    "objects of an unfinished upload stay until they are swept: the service's role needs \
                     s3:DeleteObjectVersion to remove them itself"
                );
                true
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    draft.id = %draft.id,
                    "could not remove an unfinished upload; it will be tried again"
                );
                !error.is_outage()
            }
        }
    }

    async fn try_discard(&self, draft: &DraftRow) -> Result<(), Error> {
        let prefix = ObjectKey::DraftPrefix { model: &draft.model, draft: &draft.id }.to_string();
        failpoint::reached("discard:before_removal").await;
        self.store().remove_prefix(&prefix).await?;
        failpoint::reached("discard:after_removal").await;
        self.catalog().forget_draft(draft.id, None).await?;
        failpoint::reached("discard:after_row").await;
        Ok(())
    }
}

/// Aliases as part of what a request asked for.
fn told(aliases: &[AliasChange]) -> String {
    if aliases.is_empty() { String::new() } else { serde_json::json!(aliases).to_string() }
}
