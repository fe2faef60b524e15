//! Ending what a crash or an outage interrupted: published versions go forward, unfinished uploads go away.

use super::{Error, Registry, UploadRow};
use crate::catalog::Unfinished;
use crate::domain::DraftId;
use crate::failpoint;

/// Rows looked at in one round; the next round takes the rest.
const BATCH: i64 = 500;

/// Failures of the object store in a row after which a round ends: it is away, and each of them takes a minute.
const AWAY: u32 = 3;

/// What one round did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Versions that were made visible.
    pub published: usize,
    /// Drafts and files on their way that were removed with what they brought.
    pub discarded: usize,
}

impl Registry {
    /// One round of recovery: at start, and every minute.
    ///
    /// # Errors
    /// Of the catalog; a version or draft that fails alone is left for the next round.
    pub async fn recover(&self) -> Result<Recovered, Error> {
        let (mut recovered, mut away) = (Recovered::default(), 0);
        for version in self.catalog().unfinished(None, BATCH).await? {
            if away == AWAY {
                return Ok(recovered);
            }
            failpoint::reached("recover:before_version").await;
            match self.roll_forward(&version).await {
                Ok(()) => {
                    failpoint::reached("recover:after_version").await;
                    recovered.published += 1;
                    away = 0;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        version.number = %version.number,
                        "a version is still not visible"
                    );
                    away += u32::from(error.is_outage());
                }
            }
        }
        for draft in self.catalog().request_drafts(BATCH).await? {
            if away == AWAY {
                return Ok(recovered);
            }
            // In this order: a request that has just ended has published or removed its draft before it stopped being
            // live, and the list is older than that. What a published draft brought must never be removed.
            if !self.live.has(draft.id) && self.catalog().draft_exists(draft.id).await? {
                failpoint::reached("recover:before_draft").await;
                if self.discard(&draft).await {
                    recovered.discarded += 1;
                    away = 0;
                } else {
                    away += 1;
                }
                failpoint::reached("recover:after_draft").await;
            }
        }
        for upload in self.catalog().streamed_uploads(BATCH).await? {
            if away == AWAY {
                return Ok(recovered);
            }
            match self.end_abandoned(&upload).await? {
                Some(true) => (recovered.discarded, away) = (recovered.discarded + 1, 0),
                Some(false) => away += 1,
                None => {}
            }
        }
        Ok(recovered)
    }

    /// Ends what requests left of uploads into a draft through the service, so far as the object store answers: nobody
    /// goes on with those, and nobody who has sent the file again should wait for the next round.
    pub(super) async fn end_abandoned_of(&self, draft: DraftId) -> Result<(), Error> {
        for upload in self.catalog().streamed_uploads(BATCH).await? {
            if upload.draft == draft && self.end_abandoned(&upload).await? == Some(false) {
                break;
            }
        }
        Ok(())
    }

    /// Whether an upload through the service could be ended; none when a request works on it, or has just ended it.
    async fn end_abandoned(&self, upload: &UploadRow) -> Result<Option<bool>, Error> {
        // In the same order as drafts: what a file of a draft brought is looked for by its token.
        if self.live_uploads.has(upload.id) || !self.catalog().upload_exists(upload.id).await? {
            return Ok(None);
        }
        Ok(Some(self.end_upload(upload).await))
    }

    /// Writes the manifest of a version that has its number, and shows it.
    ///
    /// Numbers become visible in order. One below that another request is still describing is described here too:
    /// the manifest is create-only and the same whoever writes it, so nobody waits for anybody.
    pub(super) async fn roll_forward(&self, version: &Unfinished) -> Result<(), Error> {
        self.describe(version).await?;
        failpoint::reached("publish:after_manifest").await;
        if self.catalog().finish_publish(version).await? {
            return Ok(());
        }
        for lower in self.catalog().unfinished(Some(version.model_id), BATCH).await? {
            if lower.number < version.number {
                self.describe(&lower).await?;
                self.catalog().finish_publish(&lower).await?;
            }
        }
        self.catalog().finish_publish(version).await?;
        Ok(())
    }

    async fn describe(&self, version: &Unfinished) -> Result<(), Error> {
        let manifest = self.catalog().manifest(version.id).await?;
        Ok(self.store().put_manifest(&manifest).await?)
    }
}
