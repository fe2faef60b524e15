//! The end of the trash: the journal says so first, then the bytes go, then the manifest; the number stays for ever.

use super::remove::{Kind, Thing};
use super::{ROWS, Run, SweepError, sweeper};
use crate::catalog::Purge;
use crate::domain::ObjectKey;
use crate::failpoint;

impl Run<'_> {
    /// Begins the purge of what has been in the trash long enough: from here on it cannot be restored.
    pub(super) async fn begin_purges(&mut self) -> Result<(), SweepError> {
        let mut after = 0;
        loop {
            self.keep().await?;
            let page = self.catalog.due_versions(self.began, after, ROWS).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for version in page {
                if self.options.dry_run {
                    self.report.versions_purged += 1;
                } else {
                    self.catalog.begin_purge(&version, self.began, &sweeper()).await?;
                    failpoint::reached("sweep:after_purge_begun").await;
                }
            }
        }
        if self.options.dry_run {
            return Ok(());
        }
        let mut after = 0;
        loop {
            let page = self.catalog.due_models(self.began, after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for model in page {
                self.keep().await?;
                while self.catalog.begin_model_purge(&model, self.began, ROWS, &sweeper()).await? > 0 {
                    self.keep().await?;
                }
            }
        }
    }

    /// Takes the files from versions whose end the journal tells, and condemns the objects that only they had.
    ///
    /// The others wait: after a loss of the catalog their manifests would bring them back without their bytes.
    pub(super) async fn unlink_journalled(&mut self) -> Result<Vec<Purge>, SweepError> {
        let (mut after, mut ready) = (0, Vec::new());
        loop {
            self.keep().await?;
            let page = self.catalog.purging_versions(after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(ready) };
            after = last.id;
            for version in page {
                if self.catalog.waits_for_journal(&version.event()).await? {
                    self.report.purges_waiting += 1;
                } else if self.options.dry_run {
                    self.report.versions_purged += 1;
                } else {
                    self.report.objects_condemned += self.catalog.unlink(&version).await?;
                    failpoint::reached("sweep:after_unlink").await;
                    ready.push(version);
                }
            }
        }
    }

    /// Removes the manifests of versions whose bytes are gone; then only their numbers are left.
    pub(super) async fn end_purges(&mut self, versions: Vec<Purge>) -> Result<(), SweepError> {
        for version in versions {
            if self.catalog.bytes_are_going(version.model_id).await? || !self.remove_manifest(&version).await? {
                continue;
            }
            failpoint::reached("sweep:after_manifest").await;
            self.catalog.end_purge(&version).await?;
            self.report.versions_purged += 1;
        }
        let mut after = 0;
        loop {
            let page = self.catalog.due_models(self.began, after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for model in page {
                if self.options.dry_run || self.catalog.end_model_purge(&model, self.began, &sweeper()).await? {
                    self.report.models_purged += 1;
                }
            }
        }
    }

    /// Every version of it, and delete markers over it; true when none is left.
    async fn remove_manifest(&mut self, version: &Purge) -> Result<bool, SweepError> {
        let key = ObjectKey::Manifest { model: &version.model, number: version.number }.to_string();
        let (mut next, mut all) = (None, true);
        loop {
            let page = self.store.list_versions(&key, next.as_ref()).await?;
            for listed in page.versions.into_iter().filter(|listed| listed.key == key) {
                let thing = Thing { kind: Kind::Manifest, key: listed.key, id: listed.version_id, size: listed.size };
                all &= self.remove(&thing).await?;
            }
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }
}
