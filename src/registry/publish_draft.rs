//! A client's draft becomes a version.

use std::time::{Duration, Instant};

use super::drafts::DraftState;
use super::{Error, IdempotencyKey, Published, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{DraftRow, DraftToPublish, Once, Refusal, Unfinished};
use crate::domain::{Actor, AliasChange, DraftId, FileEntry, FilePath, Metadata, ModelRef, version_digest};
use crate::failpoint;

/// How often a publication begins anew because somebody changed the draft meanwhile.
const TRIES: usize = 5;

/// How long a publication waits for files to be verified, before it is answered that they will be.
const VERIFYING: Duration = Duration::from_secs(5);
/// How long it waits before it looks again, when nothing is told: another process may be reading.
const VERIFYING_PAUSE: Duration = Duration::from_millis(500);

/// Files of a draft that are read at a time.
const PAGE: usize = 5_000;

/// What came of freezing a draft.
enum Frozen {
    /// It is a version.
    Version(Unfinished),
    /// So many of its files are to be verified first.
    Unverified(u64),
}

/// What the publication of a draft is to come with.
#[derive(Debug, Clone, Default)]
pub struct DraftPublication {
    /// What is said of the version, instead of what the draft says.
    pub metadata: Option<Metadata>,
    /// Aliases that are to name the version as soon as it is visible; where they are to go is not stated.
    pub aliases: Vec<AliasChange>,
}

impl Registry {
    /// Freezes a draft into the model's next version; repeating it is harmless.
    ///
    /// The work goes on in a task of its own when the caller goes away.
    ///
    /// # Errors
    /// [`Error::WritesRefused`], [`Error::Refused`], and of the catalog; the draft is as it was then.
    pub async fn publish_client_draft(
        &self,
        caller: &Caller,
        id: DraftId,
        wish: DraftPublication,
        key: Option<IdempotencyKey>,
    ) -> Result<(ModelRef, Published), Error> {
        let draft = match self.draft(caller, id).await? {
            DraftState::Open(draft) => *draft,
            DraftState::Published { .. } => return self.published_already(id).await,
        };
        self.admit(caller, Action::Publish, &draft.model).await?;
        self.admit_aliases(caller, &draft.model, &wish.aliases).await?;
        let bound = self.bind(caller, key, "publish", &draft, &format!("{wish:?}")).await?;
        // The version that the first request with the key made; a kept draft may have changed since.
        let first = bound.as_ref().and_then(|bound| bound.first.as_ref()?.parse().ok());
        if let Some(version) = first.or_else(|| draft.unchanged_since()) {
            let version = self.catalog().numbered(version).await?;
            return Ok((draft.model.clone(), self.finish(&draft.model, &version).await?));
        }
        self.posture_state().check().map_err(Error::WritesRefused)?;
        let (registry, by) = (self.clone(), caller.actor());
        let once = bound.map(|bound| bound.once);
        let task = self.tasks.spawn(async move { registry.freeze_and_finish(draft, by, wish, once).await });
        task.await.unwrap_or(Err(Error::Interrupted))
    }

    async fn freeze_and_finish(
        &self,
        draft: DraftRow,
        by: Actor,
        wish: DraftPublication,
        once: Option<Once>,
    ) -> Result<(ModelRef, Published), Error> {
        let (id, model) = (draft.id, draft.model.clone());
        match self.freeze_once_verified(draft, by, wish).await {
            Ok(Frozen::Version(version)) => {
                if let Some(once) = &once {
                    self.catalog().answer_bound(once, &version.id.to_string()).await?;
                }
                let published = self.finish(&model, &version).await?;
                // What clients declared is read soon.
                self.verification.wake();
                Ok((model, published))
            }
            Ok(Frozen::Unverified(files)) => Ok((model, Published::Verifying { draft: id, files })),
            // Another request published it first, or the answer to our own commit was lost.
            Err(Error::Refused(Refusal::DraftNotFound(_))) => self.published_already(id).await,
            Err(error) => Err(error),
        }
    }

    /// Freezes a draft; where files must be verified first they are read now, and waited for a little.
    async fn freeze_once_verified(&self, draft: DraftRow, by: Actor, wish: DraftPublication) -> Result<Frozen, Error> {
        let deadline = Instant::now() + VERIFYING;
        loop {
            let unverified = match self.freeze(draft.clone(), by.clone(), &wish).await {
                Ok(version) => return Ok(Frozen::Version(version)),
                Err(Error::Refused(Refusal::Unverified { count })) => count,
                Err(error) => return Err(error),
            };
            self.verification.urge(draft.id);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Frozen::Unverified(unverified));
            }
            self.verification.something_recorded(left.min(VERIFYING_PAUSE)).await;
        }
    }

    async fn freeze(&self, mut draft: DraftRow, by: Actor, wish: &DraftPublication) -> Result<Unfinished, Error> {
        let mut tidied = false;
        for _ in 1..TRIES {
            let digest = version_digest(&self.entries(draft.id).await?);
            let metadata = wish.metadata.clone().unwrap_or_else(|| draft.metadata.clone());
            let new = DraftToPublish {
                draft: draft.clone(),
                digest,
                by: by.clone(),
                metadata,
                aliases: wish.aliases.clone(),
            };
            let frozen = self.catalog().begin_publish_draft(&new).await;
            failpoint::reached("freeze:after_number").await;
            match frozen.map_err(Error::from) {
                // The files may have been read while they changed; the revision tells.
                Err(Error::Refused(Refusal::DraftChanging)) => {
                    draft = self.catalog().client_draft(draft.id).await?;
                    // Somebody else published exactly this: repeating it is harmless, also at the same moment.
                    if let Some(version) = draft.unchanged_since() {
                        return Ok(self.catalog().numbered(version).await?);
                    }
                }
                // What an outage left of a request is no reason to wait.
                Err(Error::Refused(Refusal::UploadsUnfinished { .. })) if !tidied => {
                    tidied = true;
                    self.end_abandoned_of(draft.id).await?;
                }
                outcome => return outcome,
            }
        }
        Err(Error::Refused(Refusal::DraftChanging))
    }

    async fn entries(&self, draft: DraftId) -> Result<Vec<FileEntry>, Error> {
        let (mut entries, mut after): (Vec<FileEntry>, Option<FilePath>) = (Vec::new(), None);
        // A draft has at most `max_files` files, so this ends.
        loop {
            let page = self.catalog().draft_files(draft, after.as_ref(), PAGE).await?;
            let entry =
                |file: crate::catalog::FileRow| FileEntry { path: file.path, size: file.size, sha256: file.sha256 };
            entries.extend(page.items.into_iter().map(entry));
            after = page.next;
            if after.is_none() {
                return Ok(entries);
            }
        }
    }

    async fn published_already(&self, id: DraftId) -> Result<(ModelRef, Published), Error> {
        let Some((model, version)) = self.catalog().published_from(id).await? else {
            return Err(Error::Refused(Refusal::DraftNotFound(id)));
        };
        let published = self.finish(&model, &version).await?;
        Ok((model, published))
    }
}
