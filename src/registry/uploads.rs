//! Presigned uploads: clients send parts straight to S3, and the service completes them from its own record.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::draft_files::intent;
use super::{Error, IdempotencyKey, Registry, StoreError};
use crate::access::{Action, Caller, Resource};
use crate::catalog::{DraftRow, Elsewhere, FileRow, NewObject, Refusal, UploadKind, UploadRow};
use crate::domain::{Actor, DraftId, FilePath, Integrity, PartLedger, PartPlan, PathSet, Sha256Digest, UploadId};
use crate::failpoint;
use crate::store::{CopySource, ListedPart, PartToSign, PresignedParts, Seat, UploadToComplete};

/// An unfinished upload ends before the bucket's lifecycle rule would abort it, which is after 7 days.
pub(super) const UPLOAD_LIFE: Duration = Duration::from_hours(6 * 24);

/// Files of one declaration that are begun or copied at the same time.
const PARALLEL_BEGINS: usize = 8;

/// Models that are looked at for bytes that can be copied.
const COPY_CANDIDATES: i64 = 16;

/// A file that a client is about to send.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// Where it will lie in the draft.
    pub path: FilePath,
    /// Bytes.
    pub size: u64,
    /// What the client says the digest is.
    pub sha256: Option<Sha256Digest>,
    /// The part size that the client would like.
    pub part_size: Option<u64>,
}

/// What is to be done for a declared file.
#[derive(Debug)]
pub enum Declared {
    /// Nothing: the draft has it.
    Present(FileRow),
    /// Its parts are to be sent.
    Upload {
        /// The upload.
        upload: UploadRow,
        /// How it is cut.
        plan: PartPlan,
    },
}

/// A part that a client is about to send.
#[derive(Debug, Clone, Copy)]
pub struct PartWish {
    /// Its number, from 1.
    pub number: u32,
    /// Its bytes, which follow from the upload's plan.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
}

impl Registry {
    /// Declares files of a draft: each is there already, or gets an upload. Declaring again goes on with what is there.
    ///
    /// # Errors
    /// [`Error::UrlsUnreachable`], [`Error::WritesRefused`], [`Error::PartSize`], [`Error::FileTooLarge`],
    /// [`Error::Refused`]; of the catalog and of S3, where what was begun can be gone on with.
    pub async fn declare(
        &self,
        caller: &Caller,
        draft: DraftId,
        files: Vec<Declaration>,
        key: Option<IdempotencyKey>,
        seat: Seat,
    ) -> Result<Vec<Declared>, Error> {
        let draft = self.open_draft(caller, draft).await?;
        self.posture_state().check().map_err(Error::WritesRefused)?;
        if !self.store().is_reachable_from(seat) {
            return Err(Error::UrlsUnreachable);
        }
        self.bind(caller, key, "declare", &draft, &format!("{files:?}")).await?;
        let mut paths = PathSet::default();
        let mut planned = Vec::with_capacity(files.len());
        for file in files {
            paths.insert(&file.path).map_err(Error::PathConflict)?;
            let plan = PartPlan::for_size(file.size, file.part_size)
                .map_err(|problem| Error::PartSize { path: file.path.clone(), problem })?;
            planned.push((file, plan));
        }
        let (mut outcomes, mut new) = (Vec::with_capacity(planned.len()), Vec::new());
        // When S3 is away, a thousand copies would each wait for it.
        let mut copying = true;
        for (at, (file, plan)) in planned.iter().enumerate() {
            let outcome = match self.have(caller, &draft, file, &mut copying).await? {
                Some(file) => Some(Declared::Present(file)),
                None => self.going_on(caller, &draft, file).await?,
            };
            if outcome.is_none() {
                new.push((at, presigned_row(caller, &draft, file, *plan)));
            }
            outcomes.push(outcome);
        }
        let rows: Vec<UploadRow> = new.iter().map(|(_, upload)| upload.clone()).collect();
        if !rows.is_empty() {
            self.catalog().begin_uploads(&draft, &rows, self.room()).await?;
            failpoint::reached("upload:after_rows").await;
        }
        for (at, upload) in new {
            outcomes[at] = Some(Declared::Upload { upload, plan: planned[at].1 });
        }
        // S3 is asked when all rows are there: what it begins then is always somebody's.
        let begun: Vec<_> = outcomes
            .into_iter()
            .flatten()
            .map(|outcome| async move {
                match outcome {
                    Declared::Upload { upload, plan } if upload.s3_upload_id.is_none() => {
                        Ok(Declared::Upload { upload: self.begin_at_s3(upload).await?, plan })
                    }
                    other => Ok(other),
                }
            })
            .collect();
        stream::iter(begun).buffered(PARALLEL_BEGINS).try_collect().await
    }

    /// Signs URLs for parts of an upload, now; each binds the part's length and digest.
    ///
    /// # Errors
    /// [`Error::Part`], [`Error::UrlsUnreachable`], [`Error::Refused`]; of the catalog and of the store.
    pub async fn part_urls(
        &self,
        caller: &Caller,
        draft: DraftId,
        upload: UploadId,
        parts: &[PartWish],
        life: Option<Duration>,
        seat: Seat,
    ) -> Result<PresignedParts, Error> {
        let model = self.open_draft(caller, draft).await?.model;
        self.posture_state().check().map_err(Error::WritesRefused)?;
        let (upload, _) = self.catalog().upload(draft, upload).await?;
        let plan = plan_of(&upload)?;
        for part in parts {
            match plan.size_of(part.number) {
                Some(size) if size == part.size => {}
                expected => return Err(Error::Part { number: part.number, size: part.size, expected }),
            }
        }
        let s3_upload_id = begun(&upload)?;
        // Recorded before they are signed: what arrives is completed with these digests only.
        let digests: Vec<_> = parts.iter().map(|part| (part.number, part.sha256)).collect();
        self.catalog().record_parts(draft, upload.id, &digests).await?;
        let limits = self.limits();
        let life = life.unwrap_or(limits.download_url_life).min(limits.max_download_url_life);
        let to_sign: Vec<_> =
            parts.iter().map(|part| PartToSign { number: part.number, size: part.size, sha256: part.sha256 }).collect();
        let signed = self.store().presign_parts(seat, &upload.s3_key, s3_upload_id, &to_sign, life).await?;
        let signed = signed.ok_or(Error::UrlsUnreachable)?;
        self.minted_part_urls(caller, &model, &upload, &signed).await?;
        Ok(signed)
    }

    /// Completes an upload from the service's own record and S3's list, and makes it a file of the draft.
    ///
    /// Repeating it is harmless: the file is there.
    ///
    /// # Errors
    /// [`StoreError::PartsMissing`] and [`StoreError::PartMismatch`] leave the upload as it is; [`Error::Refused`];
    /// [`Error::DigestMismatch`] when the client says another digest than it declared; of the catalog and of S3.
    pub async fn complete_upload(
        &self,
        caller: &Caller,
        draft: DraftId,
        upload: UploadId,
        sha256: Option<Sha256Digest>,
    ) -> Result<FileRow, Error> {
        self.draft(caller, draft).await?;
        self.posture_state().check().map_err(Error::WritesRefused)?;
        let (upload, ledger) = match self.catalog().upload(draft, upload).await.map_err(Error::from) {
            Ok(found) => found,
            Err(error @ Error::Refused(Refusal::UploadNotFound(_))) => {
                let file = self.catalog().brought_by(draft, upload).await?;
                let file = file.ok_or(error)?;
                return match sha256.filter(|said| *said != file.sha256) {
                    Some(declared) => Err(Error::DigestMismatch { path: file.path, declared, actual: file.sha256 }),
                    None => Ok(file),
                };
            }
            Err(error) => return Err(error),
        };
        let plan = plan_of(&upload)?;
        let sha256 = match (upload.sha256, sha256) {
            (Some(declared), Some(actual)) if declared != actual => {
                return Err(Error::DigestMismatch { path: upload.path, declared, actual });
            }
            (Some(sha256), _) | (None, Some(sha256)) => sha256,
            (None, None) => return Err(Error::DigestRequired(upload.path)),
        };
        let parts = recorded(&plan, &ledger)?;
        if upload.sha256.is_none() {
            // Who asks again after a crash need not say it again.
            self.catalog().state_digest(upload.id, sha256).await?;
        }
        let (registry, by) = (self.clone(), caller.actor());
        // It goes on when the client goes away: S3 may take minutes, and what it made must find its row.
        let task = self.tasks.spawn(async move { registry.complete(upload, plan, parts, sha256, &by).await });
        task.await.unwrap_or(Err(Error::Interrupted))
    }

    async fn complete(
        &self,
        upload: UploadRow,
        plan: PartPlan,
        parts: Vec<PartToSign>,
        sha256: Sha256Digest,
        by: &Actor,
    ) -> Result<FileRow, Error> {
        let size: u64 = parts.iter().map(|part| part.size).sum();
        let s3_upload_id = begun(&upload)?;
        // An upload that S3 has completed already has no parts to list: its object is found by its token.
        let listed = match self.store().list_parts(&upload.s3_key, s3_upload_id).await {
            Ok(listed) => listed,
            Err(StoreError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let stored = self
            .store()
            .complete_upload(&UploadToComplete {
                key: &upload.s3_key,
                upload_id: s3_upload_id,
                token: &upload.token,
                size,
                parts: &parts,
                listed: &listed,
                // A file that is replaced has an earlier version under the same key.
                create_only: false,
            })
            .await;
        let stored = match stored {
            // Its draft was discarded, or it was aborted, in the same moment: no fault of S3.
            Err(StoreError::NotFound { .. } | StoreError::PartsMissing { .. })
                if !self.catalog().upload_exists(upload.id).await? =>
            {
                let file = self.catalog().brought_by(upload.draft, upload.id).await?;
                return file.ok_or(Error::Refused(Refusal::UploadNotFound(upload.id)));
            }
            outcome => outcome?,
        };
        failpoint::reached("upload:after_complete").await;
        // One part is the whole file: S3 has proven its digest.
        let integrity = match (&parts[..], plan.part_count) {
            ([only], 1) if only.sha256 == sha256 => Integrity::Verified,
            ([only], 1) => {
                self.remove_unless_pinned(&stored.key, &stored.version_id).await;
                self.catalog().forget_upload(upload.id).await?;
                let (path, actual) = (upload.path, only.sha256);
                return Err(Error::DigestMismatch { path, declared: sha256, actual });
            }
            _ => Integrity::Declared,
        };
        let object = NewObject {
            path: upload.path.clone(),
            s3_key: stored.key,
            s3_version_id: stored.version_id,
            kms_key_arn: stored.kms_key_arn,
            s3_checksum: stored.checksum,
            size,
            sha256,
            integrity,
        };
        let placed = self.place(&upload, &object, by).await;
        if integrity == Integrity::Declared {
            self.verification.wake();
        }
        match placed {
            // Two completed it at once, and the other was first.
            Err(Error::Refused(Refusal::UploadNotFound(_))) => {
                let file = self.catalog().brought_by(upload.draft, upload.id).await?;
                file.ok_or(Error::Refused(Refusal::UploadNotFound(upload.id)))
            }
            outcome => outcome,
        }
    }

    /// Aborts an upload; what S3 has of it is removed.
    ///
    /// # Errors
    /// [`Error::Refused`], and of the catalog. What S3 did not remove is left to the sweeper.
    pub async fn abort_upload(&self, caller: &Caller, draft: DraftId, upload: UploadId) -> Result<(), Error> {
        let model = self.open_draft(caller, draft).await?.model;
        let (upload, _) = self.catalog().upload(draft, upload).await?;
        self.catalog().abort_upload(&upload, &model, &caller.actor()).await?;
        if let Some(id) = &upload.s3_upload_id
            && let Err(error) = self.store().abort_upload(&upload.s3_key, id).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::info!(error, "parts of an aborted upload stay until they are swept");
        }
        Ok(())
    }

    /// One upload, and the parts that S3 has of it.
    ///
    /// # Errors
    /// [`Error::Refused`]; of the catalog and of S3.
    pub async fn upload(
        &self,
        caller: &Caller,
        draft: DraftId,
        upload: UploadId,
    ) -> Result<(UploadRow, Option<Vec<ListedPart>>), Error> {
        self.draft(caller, draft).await?;
        let (upload, _) = self.catalog().upload(draft, upload).await?;
        let parts = self.parts_there(&upload).await?;
        Ok((upload, parts))
    }

    /// The parts that S3 has; none when S3 does not have the upload.
    pub(super) async fn parts_there(&self, upload: &UploadRow) -> Result<Option<Vec<ListedPart>>, Error> {
        let Some(id) = upload.s3_upload_id.as_ref().filter(|_| upload.kind == UploadKind::Presigned) else {
            return Ok(None);
        };
        match self.store().list_parts(&upload.s3_key, id).await {
            Ok(parts) => Ok(Some(parts)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The file, when its bytes need not be sent: the draft has it, the model has them verified, or another model of
    /// the namespace that the caller may read.
    ///
    /// `copying`: whether S3 is asked for a copy; no more once it did not answer.
    async fn have(
        &self,
        caller: &Caller,
        draft: &DraftRow,
        file: &Declaration,
        copying: &mut bool,
    ) -> Result<Option<FileRow>, Error> {
        let Some(sha256) = file.sha256 else { return Ok(None) };
        if let Some(there) = self.catalog().draft_file(draft.id, &file.path).await?
            && (there.sha256, there.size) == (sha256, file.size)
            && there.integrity != Integrity::Wrong
        {
            return Ok(Some(there));
        }
        let placed =
            self.catalog().place_verified(draft, &file.path, sha256, file.size, self.room(), &caller.actor()).await?;
        if let Some(placed) = placed {
            self.remove_condemned(placed.condemned).await;
            return Ok(Some(placed.file));
        }
        if !*copying {
            return Ok(None);
        }
        let found = self.catalog().verified_elsewhere(&draft.model, sha256, file.size, COPY_CANDIDATES).await?;
        // Only what the caller may download counts, and nothing is said of the rest.
        let mut source = None;
        for found in found {
            let labels = self.labels_for_policies(&found.model).await?;
            if caller.may(Action::Download, Resource::Model(&found.model, &labels)) {
                source = Some(found);
                break;
            }
        }
        let Some(source) = source else { return Ok(None) };
        match self.copied(caller, draft, file, sha256, &source).await {
            Ok(file) => Ok(Some(file)),
            Err(error) => {
                tracing::info!(error = &error as &dyn std::error::Error, "a copy failed; the client sends the bytes");
                *copying = !error.is_outage();
                Ok(None)
            }
        }
    }

    /// A server-side copy; what one that fails leaves is removed.
    async fn copied(
        &self,
        caller: &Caller,
        draft: &DraftRow,
        file: &Declaration,
        sha256: Sha256Digest,
        source: &Elsewhere,
    ) -> Result<FileRow, Error> {
        let upload = intent(caller, draft, &file.path, Some(file.size), Some(sha256));
        let _live = self.live_uploads.begin(upload.id);
        let copy = async {
            self.catalog().begin_uploads(draft, std::slice::from_ref(&upload), self.room()).await?;
            let from = CopySource {
                key: &source.place.s3_key,
                version_id: &source.place.s3_version_id,
                size: file.size,
                sha256,
            };
            let copied = self.store().copy(from, &upload.s3_key, &upload.token).await?;
            let object = NewObject {
                path: file.path.clone(),
                s3_key: copied.stored.key,
                s3_version_id: copied.stored.version_id,
                kms_key_arn: copied.stored.kms_key_arn,
                s3_checksum: copied.stored.checksum,
                size: file.size,
                sha256,
                integrity: if copied.verified { Integrity::Verified } else { Integrity::Declared },
            };
            self.place(&upload, &object, &caller.actor()).await
        };
        let outcome = copy.await;
        if outcome.is_err() {
            self.end_upload(&upload).await;
        }
        outcome
    }

    /// An open upload of the same file, or the file itself where only the answer to its completion was lost.
    async fn going_on(&self, caller: &Caller, draft: &DraftRow, file: &Declaration) -> Result<Option<Declared>, Error> {
        let found = self.catalog().same_upload(draft, &file.path, file.size, file.sha256).await?;
        let Some(upload) = found else { return Ok(None) };
        let plan = plan_of(&upload)?;
        if upload.s3_upload_id.is_none() || self.parts_there(&upload).await?.is_some() {
            return Ok(Some(Declared::Upload { upload, plan }));
        }
        // S3 does not have it any more: it was completed, or somebody else aborted it.
        let (_, ledger) = self.catalog().upload(draft.id, upload.id).await?;
        if let (Some(sha256), Ok(parts)) = (upload.sha256.or(file.sha256), recorded(&plan, &ledger)) {
            match self.complete(upload.clone(), plan, parts, sha256, &caller.actor()).await {
                Ok(file) => return Ok(Some(Declared::Present(file))),
                Err(Error::Store(StoreError::NotFound { .. } | StoreError::PartsMissing { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        self.catalog().forget_upload(upload.id).await?;
        Ok(None)
    }

    async fn begin_at_s3(&self, mut upload: UploadRow) -> Result<UploadRow, Error> {
        let id = self.store().begin_upload(&upload.s3_key, &upload.token).await?;
        failpoint::reached("upload:after_create").await;
        if self.catalog().upload_begun(upload.id, &id).await? {
            upload.s3_upload_id = Some(id);
            return Ok(upload);
        }
        // Somebody else began it in the same moment, or ended it.
        self.store().abort_upload(&upload.s3_key, &id).await?;
        Ok(self.catalog().upload(upload.draft, upload.id).await?.0)
    }
}

fn plan_of(upload: &UploadRow) -> Result<PartPlan, Error> {
    let (Some(size), Some(part_size)) = (upload.size, upload.part_size) else {
        return Err(Error::Refused(Refusal::UploadNotFound(upload.id)));
    };
    PartPlan::for_size(size, Some(part_size)).map_err(|problem| Error::PartSize { path: upload.path.clone(), problem })
}

fn begun(upload: &UploadRow) -> Result<&str, Error> {
    upload.s3_upload_id.as_deref().ok_or_else(|| Error::UploadNotBegun(upload.path.clone()))
}

/// Every part with the digest that its URL was signed for.
fn recorded(plan: &PartPlan, ledger: &PartLedger) -> Result<Vec<PartToSign>, StoreError> {
    let mut numbers = Vec::new();
    let mut parts = Vec::with_capacity(plan.part_count as usize);
    for number in 1..=plan.part_count {
        match (ledger.digest(number), plan.size_of(number)) {
            (Some(sha256), Some(size)) => parts.push(PartToSign { number, size, sha256 }),
            _ => numbers.push(number),
        }
    }
    if numbers.is_empty() { Ok(parts) } else { Err(StoreError::PartsMissing { numbers }) }
}

fn presigned_row(caller: &Caller, draft: &DraftRow, file: &Declaration, plan: PartPlan) -> UploadRow {
    let mut row = intent(caller, draft, &file.path, Some(file.size), file.sha256);
    row.kind = UploadKind::Presigned;
    (row.part_size, row.part_count) = (Some(plan.part_size), Some(plan.part_count));
    row
}
