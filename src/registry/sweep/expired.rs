//! What has a time and is past it: uploads and drafts of clients, remembered answers.

use std::time::Duration;

use super::remove::{Kind, Thing};
use super::{ROWS, Run, SweepError, sweeper};
use crate::catalog::{ExpiredDraft, ExpiredUpload};
use crate::failpoint;

/// How long after its time an upload may still be being completed.
const COMPLETING: Duration = Duration::from_hours(1);
/// How long an answer is remembered for a client that repeats its request.
const ANSWERS: Duration = Duration::from_hours(48);

impl Run<'_> {
    /// Ends uploads past their time: at S3 first, so that the row stays when that fails.
    pub(super) async fn expired_uploads(&mut self) -> Result<(), SweepError> {
        let mut after = String::new();
        loop {
            let page = self.catalog.expired_uploads(self.began.minus(COMPLETING), &after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.id);
            for ExpiredUpload { id, key, upload_id } in page {
                if let Some(upload_id) = upload_id
                    && !self.remove(&Thing { kind: Kind::Upload, key, id: upload_id, size: 0 }).await?
                {
                    continue;
                }
                failpoint::reached("sweep:after_upload").await;
                if self.options.dry_run || self.catalog.end_expired_upload(&id, self.began).await? {
                    self.report.uploads_ended += 1;
                }
            }
        }
    }

    /// Ends drafts past their time, unless they are kept.
    pub(super) async fn expired_drafts(&mut self) -> Result<(), SweepError> {
        let mut after = String::new();
        loop {
            let page = self.catalog.expired_drafts(self.began, &after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.id);
            for draft in page {
                if self.end_uploads_of(&draft).await?
                    && (self.options.dry_run || self.catalog.end_expired_draft(&draft, self.began, &sweeper()).await?)
                {
                    failpoint::reached("sweep:after_draft").await;
                    self.report.drafts_ended += 1;
                }
            }
        }
    }

    /// True when none is left.
    async fn end_uploads_of(&mut self, draft: &ExpiredDraft) -> Result<bool, SweepError> {
        let prefix = format!("models/{}/{}/", draft.model, draft.prefix);
        let (mut next, mut all) = (None, true);
        loop {
            let page = self.store.list_uploads(&prefix, next.as_ref()).await?;
            for upload in page.uploads {
                let thing = Thing { kind: Kind::Upload, key: upload.key, id: upload.id, size: 0 };
                all &= self.remove(&thing).await?;
            }
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// Forgets answers that no client repeats its request for any more.
    pub(super) async fn old_answers(&mut self) -> Result<(), SweepError> {
        let before = self.began.minus(ANSWERS);
        self.report.answers_forgotten = if self.options.dry_run {
            self.catalog.old_answers(before).await?
        } else {
            self.catalog.forget_answers(before).await?
        };
        Ok(())
    }
}
