//! Streaming one file through the service into a draft.

use std::sync::Arc;

use super::take_in::{Destination, TakeIn};
use super::{Error, IncomingStream, Registry, StoreError};
use crate::access::Caller;
use crate::catalog::{DraftRow, FileRow, NewObject, UploadKind, UploadRow};
use crate::domain::{Actor, DraftId, FilePath, Integrity, ObjectKey, Sha256Digest, Timestamp, UploadId, UploadToken};
use crate::failpoint;

impl Registry {
    /// Takes one file into a draft, in the place of one with the same path.
    ///
    /// The work goes on in a task of its own: when the client goes away, what was sent is removed.
    ///
    /// # Errors
    /// [`Error`]; the draft is as it was then, and no object and no upload is left.
    pub async fn put_draft_file(
        &self,
        caller: &Caller,
        draft: DraftId,
        path: FilePath,
        size: Option<u64>,
        body: IncomingStream,
    ) -> Result<FileRow, Error> {
        let draft = self.open_draft(caller, draft).await?;
        self.posture_state().check().map_err(Error::WritesRefused)?;
        let turn = self.turn().await?;
        let upload = intent(caller, &draft, &path, size, None);
        let (registry, by) = (self.clone(), caller.actor());
        let task = self.tasks.spawn(async move {
            let _turn = turn;
            registry.stream_into(draft, upload, body, &by).await
        });
        task.await.unwrap_or(Err(Error::Interrupted))
    }

    async fn stream_into(
        &self,
        draft: DraftRow,
        upload: UploadRow,
        body: IncomingStream,
        by: &Actor,
    ) -> Result<FileRow, Error> {
        // Live before the row is there, so that recovery never sees it alone.
        let live = self.live_uploads.begin(upload.id);
        self.catalog().begin_uploads(&draft, std::slice::from_ref(&upload), self.room()).await?;
        failpoint::reached("put:after_row").await;
        let outcome = self.stored(&draft, &upload, body, by).await;
        if outcome.is_err() {
            let registry = self.clone();
            self.removing(async move {
                registry.end_upload(&upload).await;
                drop(live);
            })
            .await;
        }
        outcome
    }

    async fn stored(
        &self,
        draft: &DraftRow,
        upload: &UploadRow,
        body: IncomingStream,
        by: &Actor,
    ) -> Result<FileRow, Error> {
        let destination = Destination { model: &draft.model, prefix: draft.prefix, token: &upload.token };
        let mut take_in = TakeIn::default();
        let read = take_in.read(self, &destination, body).await;
        let read = read.and_then(|()| self.posture_state().check().map_err(Error::WritesRefused));
        if let Err(error) = read {
            self.removing(take_in.abort()).await;
            return Err(error);
        }
        let Some(taken) = take_in.taken.pop() else { return Err(Error::NoFiles) };
        let stored = taken.pending.commit_over().await?;
        failpoint::reached("put:after_commit").await;
        let object = NewObject {
            path: taken.path,
            s3_key: stored.key,
            s3_version_id: stored.version_id,
            kms_key_arn: stored.kms_key_arn,
            s3_checksum: stored.checksum,
            size: taken.size,
            sha256: taken.sha256,
            integrity: Integrity::Verified,
        };
        self.place(upload, &object, by).await
    }

    /// Makes stored bytes a file of the draft; removes them when that fails, unless a row pins them.
    pub(super) async fn place(&self, upload: &UploadRow, object: &NewObject, by: &Actor) -> Result<FileRow, Error> {
        match self.catalog().place_upload(upload, object, self.room(), by).await {
            Ok(placed) => {
                self.remove_condemned(placed.condemned).await;
                Ok(placed.file)
            }
            Err(error) => {
                self.remove_unless_pinned(&object.s3_key, &object.s3_version_id).await;
                Err(error.into())
            }
        }
    }

    /// Removes what an upload through the service left, and its row; what cannot be removed now is left to recovery.
    ///
    /// False when the object store did not answer.
    pub(super) async fn end_upload(&self, upload: &UploadRow) -> bool {
        let ended = async {
            // Others may be on their way to the same key. The catalog is asked after S3, so that it knows those that S3
            // has listed; while it knows of one without an id the parts are left to the sweeper.
            let listed = self.store().uploads_to(&upload.s3_key).await?;
            if let Some(others) = self.catalog().s3_uploads_beside(upload).await? {
                for id in listed.iter().filter(|id| !others.contains(id)) {
                    self.store().abort_upload(&upload.s3_key, id).await?;
                }
            }
            match self.store().remove_carrying(&upload.s3_key, &upload.token).await {
                // Whole objects need somebody who may delete them.
                Err(error) if error.is_refused_deletion() => tracing::info!(
                    upload.id = %upload.id,
                    "an object that an upload left stays until it is swept: the service's role needs \
                     s3:DeleteObjectVersion to remove it itself"
                ),
                outcome => outcome?,
            }
            self.catalog().forget_upload(upload.id).await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = ended.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                upload.id = %upload.id,
                "what an upload left could not be removed; it will be tried again"
            );
            return !error.is_outage();
        }
        true
    }

    /// A turn to have a body read; who waits costs no more than a connection.
    pub(super) async fn turn(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Error> {
        let wait = self.limits().memory_wait;
        let turn = tokio::time::timeout(wait, Arc::clone(&self.turns).acquire_owned()).await;
        Ok(turn.ok().and_then(Result::ok).ok_or(StoreError::Busy(wait))?)
    }
}

/// The row that is there before the bytes of a file that ends with its request.
pub(super) fn intent(
    caller: &Caller,
    draft: &DraftRow,
    path: &FilePath,
    size: Option<u64>,
    sha256: Option<Sha256Digest>,
) -> UploadRow {
    let now = Timestamp::now();
    UploadRow {
        id: UploadId::generate(),
        draft: draft.id,
        kind: UploadKind::Streamed,
        path: path.clone(),
        size,
        sha256,
        part_size: None,
        part_count: None,
        s3_key: ObjectKey::File { model: &draft.model, draft: &draft.prefix, path }.to_string(),
        s3_upload_id: None,
        token: UploadToken::generate(),
        created_at: now,
        created_by: caller.principal.clone(),
        expires_at: now.plus(super::uploads::UPLOAD_LIFE),
    }
}
