//! Objects that lost their last file: condemned, removed from the bucket, forgotten.

use super::remove::{Kind, Thing};
use super::{ROWS, Run, SweepError};
use crate::catalog::{Sighted, Sighting};
use crate::failpoint;

impl Run<'_> {
    /// Condemns objects that no file refers to, once that has been so for long enough.
    pub(super) async fn unreferenced_rows(&mut self) -> Result<(), SweepError> {
        let mut after = 0;
        loop {
            self.keep().await?;
            let page = self.catalog.unreferenced_objects(self.store.bucket(), after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let of = |key: &String, id: &String| Sighting { kind: Sighted::Object, key: key.clone(), id: id.clone() };
            let seen: Vec<Sighting> = page.iter().map(|object| of(&object.key, &object.version_id)).collect();
            for (object, since) in page.iter().zip(self.since(&seen).await?) {
                if !self.is_old(since) {
                    self.report.waiting += 1;
                } else if self.options.dry_run || self.catalog.condemn(object.id).await? {
                    self.report.objects_condemned += 1;
                }
            }
        }
    }

    /// Removes condemned objects, each in exactly the version that its row names, and then the row.
    pub(super) async fn condemned_objects(&mut self) -> Result<(), SweepError> {
        let mut after = 0;
        loop {
            let page = self.catalog.condemned_objects(self.store.bucket(), after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for object in page {
                if !self.catalog.is_condemned(object.id).await? {
                    continue;
                }
                let (key, id) = (object.key.clone(), object.version_id.clone());
                let gone = self.remove(&Thing { kind: Kind::Object, key, id, size: object.size }).await?;
                if gone && !self.options.dry_run {
                    failpoint::reached("sweep:after_object").await;
                    self.catalog.forget_object(object.id).await?;
                }
            }
        }
    }
}
