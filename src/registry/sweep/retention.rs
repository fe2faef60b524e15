//! What the rules of models put into the trash.

use super::{ROWS, Run, SweepError};
use crate::catalog::{Deletion, ModelRow};
use crate::domain::{Actor, VersionNumber};

/// Who puts it there.
const BY: &str = "retention";
/// Versions looked at at once.
const VERSIONS: usize = 1000;

impl Run<'_> {
    /// Applies the rules of every model that has some.
    pub(super) async fn retention(&mut self) -> Result<(), SweepError> {
        let mut after = 0;
        loop {
            let page = self.catalog.models_with_rules(after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for model in page {
                self.retain(&model).await?;
            }
        }
    }

    async fn retain(&mut self, model: &ModelRow) -> Result<(), SweepError> {
        let going = self.going(model).await?;
        if self.options.dry_run {
            self.report.versions_trashed += going.len() as u64;
            return Ok(());
        }
        let rules = model.stored_rules();
        let deletion = Deletion { at: self.began, by: BY.to_owned(), purge_at: self.began.plus(self.options.trash) };
        for number in going {
            self.keep().await?;
            if self.catalog.trash_by_rules(&model.model, number, &rules, &deletion, &Actor::service(BY)).await? {
                self.report.versions_trashed += 1;
            }
        }
        Ok(())
    }

    /// All of them before the first one goes: a version's rank follows from those that are there.
    async fn going(&self, model: &ModelRow) -> Result<Vec<VersionNumber>, SweepError> {
        let (mut going, mut before) = (Vec::new(), None);
        let Some(rules) = model.retention else { return Ok(going) };
        loop {
            let page = self.catalog.standings(model.id, before, VERSIONS).await?;
            let goes = page.items.iter().filter(|(_, standing)| rules.keeps(*standing, self.began).is_empty());
            going.extend(goes.map(|(number, _)| *number));
            before = page.next;
            if before.is_none() {
                return Ok(going);
            }
        }
    }
}
