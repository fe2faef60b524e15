//! Removing, one thing after the other, as far as one run may and as far as the role may.

use super::look::{Found, draft_of};
use super::{Run, SweepError};
use crate::failpoint;

/// After this many refusals in a row no more are asked for: the role may not remove at all.
const PATIENCE: u32 = 20;

/// What is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Version,
    Marker,
    Upload,
    Probe,
    Object,
    Manifest,
}

/// Something in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thing {
    pub(super) kind: Kind,
    pub(super) key: String,
    /// VersionId, or upload id.
    pub(super) id: String,
    pub(super) size: u64,
}

/// How much a run may still remove.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    refused_in_a_row: u32,
}

impl Budget {
    pub(super) fn new(left: u64) -> Self {
        Self { left, refused_in_a_row: 0 }
    }
}

impl Run<'_> {
    /// Removes something; true when it is gone, also when it was gone before. A dry run counts it and leaves it.
    ///
    /// The caller has asked the catalog, a moment ago, whether anything needs it.
    pub(super) async fn remove(&mut self, thing: &Thing) -> Result<bool, SweepError> {
        self.keep().await?;
        if self.budget.left == 0 {
            self.report.capped = true;
            return Ok(false);
        }
        if self.budget.refused_in_a_row >= PATIENCE {
            self.report.denied += 1;
            return Ok(false);
        }
        let Thing { kind, key, id, size } = thing;
        if !self.options.dry_run {
            let removed = match kind {
                Kind::Upload => self.store.abort_upload(key, id).await,
                _ => self.store.remove_version(key, id).await,
            };
            match removed {
                Ok(()) => tracing::debug!(?kind, key, id, "swept"),
                Err(error) if error.is_refused() => {
                    tracing::debug!(error = &error as &dyn std::error::Error, ?kind, key, id, "not swept");
                    self.budget.refused_in_a_row += 1;
                    self.report.denied += 1;
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.budget.refused_in_a_row = 0;
        self.budget.left -= 1;
        let removed = &mut self.report.removed;
        removed.bytes += size;
        *match kind {
            Kind::Version => &mut removed.versions,
            Kind::Marker => &mut removed.markers,
            Kind::Upload => &mut removed.uploads,
            Kind::Probe => &mut removed.probes,
            Kind::Object => &mut removed.objects,
            Kind::Manifest => &mut removed.manifests,
        } += 1;
        Ok(true)
    }

    /// Removes what nothing referred to when it was looked at, and still does not.
    pub(super) async fn remove_found(&mut self, found: Found) -> Result<(), SweepError> {
        for thing in found.things {
            let draft = draft_of(&thing.key);
            let needed = match thing.kind {
                Kind::Upload if thing.key.starts_with("models/") => {
                    self.catalog.needs_upload(draft, &thing.key, &thing.id).await?
                }
                Kind::Version | Kind::Marker => {
                    self.catalog.needs_version(self.store.bucket(), draft, &thing.key, &thing.id).await?
                }
                Kind::Upload | Kind::Probe | Kind::Object | Kind::Manifest => false,
            };
            if !needed {
                self.remove(&thing).await?;
                failpoint::reached("sweep:after_version").await;
            }
        }
        // All of the bucket was looked at: what was not seen is gone, or something refers to it again.
        if !self.options.dry_run {
            self.catalog.forget_sightings(self.began).await?;
        }
        Ok(())
    }
}
