//! The audit log: what is appended besides changes, who may read it, and how its end gets into the bucket.
//!
//! Changes append their entries in their own transactions, in the catalog. What changes nothing (URLs, bytes given out,
//! refusals) is gathered here, so that many requests share one transaction; each waits until its entry is there.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tokio::sync::oneshot;

use super::admit::decide_on_system;
use super::{Error, Registry};
use crate::access::{Action, Caller, Resource};
use crate::catalog::{AuditFilter, AuditOrder, AuditRow, FileRow, Page, UploadRow, VersionRow};
use crate::domain::{Actor, AuditAction, AuditHead, Deed, ModelRef, Namespace, Subject, Timestamp};
use crate::store::PresignedParts;

/// Most entries of one transaction.
const BATCH: usize = 500;

/// The log in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditGauges {
    /// Entries.
    pub entries: i64,
    /// Entries after the last head that this process wrote into the bucket.
    pub unvouched: i64,
}

/// What waits to be appended.
#[derive(Debug, Default)]
pub(super) struct Trail {
    waiting: Mutex<Vec<Waiting>>,
    /// Held by whoever writes.
    turn: tokio::sync::Mutex<()>,
    /// What the bucket was told last.
    head: Mutex<Option<AuditHead>>,
}

#[derive(Debug)]
struct Waiting {
    entry: (Actor, Deed),
    written: oneshot::Sender<bool>,
}

impl Registry {
    /// Appends what changes nothing else, and comes back when it is durable.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when it could not be written; the cause is logged.
    pub(super) async fn append(&self, by: Actor, deed: Deed) -> Result<(), Error> {
        let (written, outcome) = oneshot::channel();
        let waiting = Waiting { entry: (by, deed), written };
        self.trail.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
        // A task of its own: who goes away while it writes for others takes nothing from them.
        let registry = self.clone();
        self.tasks.spawn(async move { registry.write_waiting().await });
        if outcome.await.unwrap_or(false) { Ok(()) } else { Err(Error::Interrupted) }
    }

    /// Writes what waits; whoever comes meanwhile is written by the next, all of them in one transaction.
    async fn write_waiting(&self) {
        let _turn = self.trail.turn.lock().await;
        let batch: Vec<Waiting> = {
            let mut waiting = self.trail.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let size = waiting.len().min(BATCH);
            waiting.drain(..size).collect()
        };
        if batch.is_empty() {
            return;
        }
        let written = self.catalog().append_audit(batch.iter().map(|waiting| &waiting.entry)).await;
        if let Err(error) = &written {
            let entries = batch.len();
            tracing::error!(error = error as &dyn std::error::Error, entries, "the audit log could not be written");
        }
        for waiting in batch {
            // Who asked may have gone away.
            let _gone = waiting.written.send(written.is_ok());
        }
    }

    /// Notes URLs that are about to be handed out; without the note they are not.
    pub(super) async fn minted_urls<'a>(
        &self,
        caller: &Caller,
        version: &VersionRow,
        urls: impl Iterator<Item = (&'a FileRow, Timestamp)>,
    ) -> Result<(), Error> {
        let url = |(file, expires_at): (&FileRow, Timestamp)| {
            let (path, sha256) = (file.path.as_str(), file.sha256.to_string());
            json!({ "path": path, "sha256": sha256, "expires_at": expires_at })
        };
        let urls: Vec<_> = urls.map(url).collect();
        if urls.is_empty() {
            return Ok(());
        }
        let details = json!({ "digest": format!("sha256:{}", version.digest), "urls": urls });
        let on = Subject::version(&version.model, version.number);
        self.append(caller.actor(), Deed::done(AuditAction::DownloadUrlMint, on, details)).await
    }

    /// Notes URLs for parts that are about to be handed out; without the note they are not.
    pub(super) async fn minted_part_urls(
        &self,
        caller: &Caller,
        model: &ModelRef,
        upload: &UploadRow,
        signed: &PresignedParts,
    ) -> Result<(), Error> {
        let details = json!({
            "path": upload.path.as_str(),
            "upload": upload.id.to_string(),
            "parts": signed.parts.iter().map(|part| part.number).collect::<Vec<_>>(),
            "expires_at": signed.expires_at,
        });
        let on = Subject::draft(model, upload.draft);
        self.append(caller.actor(), Deed::done(AuditAction::UploadUrlMint, on, details)).await
    }

    /// Notes bytes that are about to be given out; without the note they are not.
    pub(super) async fn note_read(
        &self,
        caller: &Caller,
        version: &VersionRow,
        file: &FileRow,
        range: &Range<u64>,
    ) -> Result<(), Error> {
        let details = json!({
            "digest": format!("sha256:{}", version.digest),
            "path": file.path.as_str(),
            "sha256": file.sha256.to_string(),
            "from": range.start,
            "to": range.end,
        });
        let on = Subject::version(&version.model, version.number);
        self.append(caller.actor(), Deed::done(AuditAction::FileRead, on, details)).await
    }

    /// Entries of the log: all of them for who operates the service, those of a namespace for who governs it.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::NamespaceNotFound`]; of the catalog.
    pub async fn audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        order: AuditOrder,
        limit: usize,
    ) -> Result<Page<AuditRow, i64>, Error> {
        if !caller.may(Action::Operate, Resource::System) {
            match filter.namespace.as_ref().and_then(|namespace| namespace.parse::<Namespace>().ok()) {
                Some(namespace) => self.admit_namespace(caller, Action::Govern, &namespace).await?,
                None => self.admit_system(caller, Action::Operate).await?,
            }
        }
        Ok(self.catalog().audit(filter, order, limit).await?)
    }

    /// The log in numbers.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; of the catalog.
    pub async fn audit_gauges(&self, caller: &Caller) -> Result<AuditGauges, Error> {
        decide_on_system(caller, Action::Observe)?;
        let entries = self.catalog().audit_head().await?.map_or(0, |head| head.seq);
        let vouched =
            self.trail.head.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |head| head.seq);
        Ok(AuditGauges { entries, unvouched: (entries - vouched).max(0) })
    }

    /// Writes into the bucket where the log ends, unless it was written before.
    ///
    /// # Errors
    /// Of the object store and the catalog.
    pub async fn flush_audit_head(&self) -> Result<(), Error> {
        // A bucket that is not ours, or not secured, gets nothing.
        if self.posture_state().check().is_err() {
            return Ok(());
        }
        let Some(head) = self.catalog().audit_head().await? else { return Ok(()) };
        if self.trail.head.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(&head) {
            return Ok(());
        }
        self.store().put_audit_head(self.catalog().id(), &head).await?;
        *self.trail.head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
        Ok(())
    }
}
