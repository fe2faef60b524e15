//! One request, one version.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::replay::fingerprint;
use super::take_in::{Destination, TakeIn, Taken};
use super::{Error, IdempotencyKey, IncomingStream, Registry};
use crate::access::Caller;
use crate::catalog::{Deletion, DraftRow, ModelStanding, NewObject, NewVersion, Once, Unfinished, VersionRow};
use crate::domain::{DraftId, FileEntry, Integrity, ModelRef, ObjectKey, VersionNumber, version_digest};

/// Files of one request that are committed at the same time.
const PARALLEL_COMMITS: usize = 8;

/// Tries to write a manifest before the version is left to the recovery loop.
const MANIFEST_TRIES: u32 = 4;

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
    /// [`Error`]; no object, no upload and no row is left then.
    pub async fn publish(
        &self,
        caller: &Caller,
        model: ModelRef,
        key: Option<IdempotencyKey>,
        body: IncomingStream,
    ) -> Result<Published, Error> {
        self.posture_state().check().map_err(Error::WritesRefused)?;
        // Asked again when the version gets its number; here, before any bytes are sent in vain.
        if let ModelStanding::Trashed(Deletion { purge_at: until, .. }) = self.catalog().model_standing(&model).await? {
            return Err(Error::ModelTrashed { model, until });
        }
        // Before a byte of the body is asked for.
        let turn = self.turn().await?;
        let once = key.map(|key| key.of(caller, "publish", &model));
        let draft = DraftRow::new(model, self.inner.vault, &caller.principal);
        let registry = self.clone();
        let task = self.tasks.spawn(async move {
            let _turn = turn;
            registry.publish_draft(draft, once, body).await
        });
        task.await.unwrap_or(Err(Error::Interrupted))
    }

    async fn publish_draft(
        &self,
        mut draft: DraftRow,
        once: Option<Once>,
        body: IncomingStream,
    ) -> Result<Published, Error> {
        // Live before the row is there, so that recovery never sees it alone.
        let live = self.live.begin(draft.id);
        if let Some(first) = self.catalog().begin_draft(&mut draft, once.as_ref()).await? {
            return self.replay(&draft.model, &first, "", body).await;
        }
        let mut take_in = TakeIn::default();
        let read = take_in.read(self, &Destination::of(&draft), body).await;
        // A body may take hours: what was safe when it began need not be now.
        let read = read.and_then(|()| self.posture_state().check().map_err(Error::WritesRefused));
        if let Err(error) = read {
            take_in.abort().await;
            self.discard(&draft).await;
            return Err(error);
        }
        let metadata = take_in.metadata.unwrap_or_default();
        let files = match self.commit(take_in.taken).await {
            Ok(files) => files,
            Err(error) => {
                self.discard(&draft).await;
                return Err(error);
            }
        };
        let entries: Vec<FileEntry> = files
            .iter()
            .map(|file| FileEntry { path: file.path.clone(), size: file.size, sha256: file.sha256 })
            .collect();
        let digest = version_digest(&entries);
        let new = NewVersion {
            draft: draft.clone(),
            digest,
            files,
            fingerprint: fingerprint(digest, &metadata, ""),
            metadata,
            max_bytes: self.limits().namespace_bytes,
        };
        let version = match self.catalog().begin_publish(&new).await {
            Ok(version) => version,
            Err(error) => {
                // The answer to the commit may be what was lost: the draft's row tells.
                if self.catalog().draft_exists(draft.id).await.unwrap_or(false) {
                    self.discard(&draft).await;
                }
                return Err(error.into());
            }
        };
        drop(live);
        self.finish(&draft.model, &version).await
    }

    /// Turns every file into an object.
    async fn commit(&self, taken: Vec<Taken>) -> Result<Vec<NewObject>, Error> {
        let commits = taken.into_iter().map(|Taken { path, sha256, size, pending }| async move {
            let stored = pending.commit().await?;
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
        // All are awaited also after a failure: a commit that is dropped half-way could leave an object behind
        // after the draft's prefix was cleaned.
        let outcomes: Vec<_> = stream::iter(commits).buffer_unordered(PARALLEL_COMMITS).collect().await;
        stream::iter(outcomes).try_collect().await
    }

    /// From a number to a visible version; what fails here is finished by the recovery loop.
    pub(super) async fn finish(&self, model: &ModelRef, version: &Unfinished) -> Result<Published, Error> {
        for attempt in 0..MANIFEST_TRIES {
            match self.roll_forward(version).await {
                Ok(()) => {
                    // The version is there: that it cannot be read at this moment is no failure of the publication.
                    let row = self.catalog().version_by_number(model, version.number).await.ok().flatten();
                    return Ok(row.map_or(Published::Underway(version.number), |row| Published::Visible(Box::new(row))));
                }
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
        Ok(Published::Underway(version.number))
    }

    /// Removes everything that a draft brought; what cannot be removed now is left to the recovery loop.
    pub(super) async fn discard(&self, draft: &DraftRow) {
        let prefix = ObjectKey::DraftPrefix { model: &draft.model, draft: &draft.id }.to_string();
        let removed = async {
            self.store().remove_prefix(&prefix).await?;
            self.catalog().forget_draft(draft.id).await?;
            Ok::<_, Error>(())
        };
        match removed.await {
            Ok(()) => {}
            // Its unfinished uploads are gone by now; whole objects need somebody who may delete them.
            Err(Error::Store(error)) if error.is_refused_deletion() => {
                tracing::info!(
                    draft.id = %draft.id,
                    "objects of an unfinished upload stay until they are swept: the service's role needs \
                     s3:DeleteObjectVersion to remove them itself"
                );
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    draft.id = %draft.id,
                    "could not remove an unfinished upload; it will be tried again"
                );
            }
        }
    }
}
