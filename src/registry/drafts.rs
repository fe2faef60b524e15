//! Drafts: sets of files that clients fill over hours or weeks, and that nobody else sees.

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::replay::fingerprint;
use super::{Error, IdempotencyKey, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{DraftRow, FileRow, Page, Refusal, Room, UploadRow};
use crate::domain::{
    Actor, DraftId, FilePath, Metadata, ModelRef, ObjectKey, Sha256Digest, Timestamp, VersionNumber, VersionRef,
};
use crate::failpoint;
use crate::store::ListedPart;

/// Uploads whose parts are asked of S3 at the same time, when a draft is shown.
const PARALLEL_LISTS: usize = 8;

/// How a draft begins.
#[derive(Debug, Default)]
pub struct DraftWish {
    /// The version whose files it has from the start.
    pub base: Option<VersionRef>,
    /// What is said of the version to be.
    pub metadata: Metadata,
    /// Whether it stays until it is discarded.
    pub keep: bool,
    /// The key of a request that may be sent again.
    pub key: Option<IdempotencyKey>,
}

/// What has become of a draft.
#[derive(Debug)]
pub enum DraftState {
    /// It can be filled.
    Open(Box<DraftRow>),
    /// It is a version, visible or about to be.
    Published {
        /// Of this model.
        model: ModelRef,
        /// With this number.
        number: VersionNumber,
    },
}

/// A file of a draft: complete, or on its way.
#[derive(Debug)]
pub enum DraftFile {
    /// All its bytes are there.
    Complete(FileRow),
    /// An upload that has not been completed; `parts` is none where S3 has nothing of it.
    Arriving {
        /// The upload.
        upload: UploadRow,
        /// The parts that S3 has.
        parts: Option<Vec<ListedPart>>,
    },
}

impl Registry {
    /// Begins a draft of a model.
    ///
    /// # Errors
    /// [`Error::WritesRefused`]; [`Error::Refused`]; of the base, as [`Self::version`]; of the catalog.
    pub async fn begin_draft(&self, caller: &Caller, model: ModelRef, wish: DraftWish) -> Result<DraftRow, Error> {
        self.admit(caller, Action::Draft, &model).await?;
        self.posture_state().check().map_err(Error::WritesRefused)?;
        let mut draft = DraftRow::new(model, self.inner.vault, &caller.principal);
        if let Some(base) = &wish.base {
            let base = self.version(caller, &draft.model, base).await?;
            draft.base = Some(base.number);
            draft.model = base.model;
        }
        draft.metadata = wish.metadata;
        draft.keep = wish.keep;
        draft.expires_at = (!wish.keep).then(|| draft.created_at.plus(self.limits().draft_life));
        let asked = fingerprint(Sha256Digest::of(b""), &draft.metadata, &format!("{:?} {}", wish.base, wish.keep));
        let once = wish.key.map(|key| (key.of(caller, "draft", &draft.model), asked));
        let once = once.as_ref().map(|(once, asked)| (once, *asked));
        self.catalog().begin_client_draft(&mut draft, self.limits().drafts, once, &caller.actor()).await?;
        Ok(draft)
    }

    /// A draft, or the version that it became.
    ///
    /// # Errors
    /// [`Refusal::DraftNotFound`], and of the catalog.
    pub async fn draft(&self, caller: &Caller, id: DraftId) -> Result<DraftState, Error> {
        let none = || Error::Refused(Refusal::DraftNotFound(id));
        let state = match self.catalog().client_draft(id).await.map_err(Error::from) {
            Ok(draft) => DraftState::Open(Box::new(draft)),
            Err(Error::Refused(Refusal::DraftNotFound(_))) => {
                let Some((model, version)) = self.catalog().published_from(id).await? else {
                    // What is not there takes as long as what the caller may not see.
                    if let (Ok(namespace), Ok(name)) = ("nowhere".parse(), "nothing".parse()) {
                        let _refused = self.decide(caller, Action::Draft, &ModelRef { namespace, name }).await;
                    }
                    return Err(none());
                };
                DraftState::Published { model, number: version.number }
            }
            Err(error) => return Err(error),
        };
        let model = match &state {
            DraftState::Open(draft) => &draft.model,
            DraftState::Published { model, .. } => model,
        };
        match self.decide(caller, Action::Draft, model).await {
            Ok(()) => Ok(state),
            // Readers of the model do not see its drafts either.
            Err(Error::Forbidden { .. } | Error::ModelNotFound(_)) => Err(none()),
            Err(error) => Err(error),
        }
    }

    /// A draft that can be filled.
    ///
    /// # Errors
    /// As [`Self::draft`].
    pub(super) async fn open_draft(&self, caller: &Caller, id: DraftId) -> Result<DraftRow, Error> {
        match self.draft(caller, id).await? {
            DraftState::Open(draft) => Ok(*draft),
            DraftState::Published { .. } => Err(Error::Refused(Refusal::DraftNotFound(id))),
        }
    }

    /// Drafts of a model, oldest first.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn drafts(
        &self,
        caller: &Caller,
        model: &ModelRef,
        after: Option<DraftId>,
        limit: usize,
    ) -> Result<Page<DraftRow, DraftId>, Error> {
        self.admit(caller, Action::Draft, model).await?;
        Ok(self.catalog().client_drafts(model, after, limit).await?)
    }

    /// Files of a draft by path, complete ones and those on their way with the parts that S3 has.
    ///
    /// # Errors
    /// Of the catalog and of S3.
    pub async fn draft_files(
        &self,
        caller: &Caller,
        draft: &DraftRow,
        after: Option<&FilePath>,
        limit: usize,
    ) -> Result<Page<DraftFile, FilePath>, Error> {
        self.admit(caller, Action::Draft, &draft.model).await?;
        let complete = self.catalog().draft_files(draft.id, after, limit).await?;
        let uploads = self.catalog().uploads(draft.id, after, limit).await?;
        // Each list is cut by itself: what lies behind the nearer cut comes with the next page.
        let end = match (&complete.next, &uploads.next) {
            (Some(a), Some(b)) => Some(a.min(b).clone()),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        let within = |path: &FilePath| end.as_ref().is_none_or(|end| path <= end);
        let arriving: Vec<_> = uploads
            .items
            .into_iter()
            .filter(|upload| within(&upload.path))
            .map(|upload| async move {
                let parts = self.parts_there(&upload).await?;
                Ok::<_, Error>((upload.path.clone(), DraftFile::Arriving { upload, parts }))
            })
            .collect();
        let mut items: Vec<(FilePath, DraftFile)> =
            stream::iter(arriving).buffered(PARALLEL_LISTS).try_collect().await?;
        let files = complete.items.into_iter().filter(|file| within(&file.path));
        items.extend(files.map(|file| (file.path.clone(), DraftFile::Complete(file))));
        items.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Page { items: items.into_iter().map(|(_, file)| file).collect(), next: end })
    }

    /// Changes what is said of a draft, and whether it is kept.
    ///
    /// # Errors
    /// [`Error::Refused`], and of the catalog.
    pub async fn change_draft(
        &self,
        caller: &Caller,
        id: DraftId,
        metadata: Option<&Metadata>,
        keep: Option<bool>,
    ) -> Result<DraftState, Error> {
        self.open_draft(caller, id).await?;
        let expires_at = Timestamp::now().plus(self.limits().draft_life);
        self.catalog().change_draft(id, metadata, keep, expires_at, &caller.actor()).await?;
        self.draft(caller, id).await
    }

    /// Takes a file out of a draft.
    ///
    /// # Errors
    /// [`Error::Refused`], and of the catalog.
    pub async fn remove_draft_file(&self, caller: &Caller, draft: DraftId, path: &FilePath) -> Result<(), Error> {
        self.open_draft(caller, draft).await?;
        let condemned = self.catalog().remove_file(draft, path, self.room(), &caller.actor()).await?;
        self.remove_condemned(condemned).await;
        Ok(())
    }

    /// Ends a draft and removes what only it needs; a draft that is not there is an error.
    ///
    /// # Errors
    /// [`Refusal::DraftPublished`], [`Refusal::DraftNotFound`], and of the catalog. What S3 did not remove is left to the sweeper.
    pub async fn discard_draft(&self, caller: &Caller, id: DraftId) -> Result<(), Error> {
        let published = |model, number| Error::Refused(Refusal::DraftPublished { model, number });
        let draft = match self.draft(caller, id).await? {
            DraftState::Open(draft) => draft,
            DraftState::Published { model, number } => return Err(published(model, number)),
        };
        if self.end_draft(&draft, &caller.actor()).await? {
            return Ok(());
        }
        // Somebody else published or discarded it in the same moment.
        match self.draft(caller, id).await? {
            DraftState::Published { model, number } => Err(published(model, number)),
            DraftState::Open(_) => Err(Error::Refused(Refusal::DraftChanging)),
        }
    }

    /// Ends a client's draft: its rows first, so that nothing can be added any more, then its bytes; false when it was
    /// none any more.
    async fn end_draft(&self, draft: &DraftRow, by: &Actor) -> Result<bool, Error> {
        if !self.catalog().forget_draft(draft.id, Some(by)).await? {
            return Ok(false);
        }
        failpoint::reached("end_draft:after_rows").await;
        let prefix = ObjectKey::DraftPrefix { model: &draft.model, draft: &draft.prefix }.to_string();
        let (registry, id) = (self.clone(), draft.id);
        self.removing(async move {
            // Nobody writes below the prefix of a draft that is gone; objects that versions share have other prefixes,
            // but those that a kept draft published from have not, so rows decide.
            if let Err(error) = registry.remove_unpinned(&prefix).await {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    draft.id = %id,
                    "what a discarded draft left stays until it is swept"
                );
            }
        })
        .await;
        Ok(true)
    }

    /// What a draft may still take.
    pub(super) fn room(&self) -> Room {
        let limits = self.limits();
        Room { max_files: limits.files, max_bytes: limits.namespace_bytes, draft_life: limits.draft_life }
    }
}
