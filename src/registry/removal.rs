//! Removing bytes at once that nobody needs any more; whatever stays is the sweeper's.

use std::time::Duration;

use super::{Error, Registry};
use crate::catalog::ObjectPlace;
use crate::failpoint;

/// How long a client waits for what it brought to be removed before it gets its error; the removal goes on.
const REMOVAL_WAIT: Duration = Duration::from_secs(10);

/// Most pages of a prefix that are removed at once; a draft has at most 100,000 files, and a page 1,000 versions.
const MAX_PAGES: usize = 10_000;

impl Registry {
    /// Removes something in a task of its own, and waits for that a moment: while the object store is away it takes
    /// minutes, and who waits has an error of its own to hear of.
    pub(super) async fn removing(&self, removal: impl Future<Output = ()> + Send + 'static) {
        let removal = self.tasks.spawn(removal);
        let _late = tokio::time::timeout(REMOVAL_WAIT, removal).await;
    }

    /// Removes the bytes of a condemned object and forgets its row.
    pub(super) async fn remove_condemned(&self, condemned: Option<ObjectPlace>) {
        let Some(place) = condemned else { return };
        if let Err(error) = self.remove_place(&place).await {
            let error = &error as &dyn std::error::Error;
            tracing::info!(error, "bytes that nobody needs stay until they are swept");
        }
    }

    async fn remove_place(&self, place: &ObjectPlace) -> Result<(), Error> {
        self.store().remove_version(&place.s3_key, &place.s3_version_id).await?;
        failpoint::reached("removal:after_bytes").await;
        self.catalog().forget_object(place.id).await?;
        Ok(())
    }

    /// Removes the bytes that a failed write left, unless a row pins them by now.
    pub(super) async fn remove_unless_pinned(&self, s3_key: &str, s3_version_id: &str) {
        let removed = async {
            if !self.catalog().is_pinned(s3_key, s3_version_id).await? {
                self.store().remove_version(s3_key, s3_version_id).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = removed.await {
            let error = &error as &dyn std::error::Error;
            tracing::info!(error, "what a failed write left stays until it is swept");
        }
    }

    /// Removes every unfinished upload below a prefix that nobody writes to any more, and every version that no live row
    /// pins; rows of those that were condemned go with them.
    ///
    /// # Errors
    /// The first: a draft may have many files, and while the object store is away each would take a minute.
    pub(super) async fn remove_unpinned(&self, prefix: &str) -> Result<(), Error> {
        self.store().abort_uploads_below(prefix).await?;
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let page = self.store().list_versions(prefix, after.as_ref()).await?;
            for listed in page.versions {
                match self.catalog().object_at(&listed.key, &listed.version_id).await? {
                    Some((_, is_live)) if is_live => {}
                    Some((place, _)) => self.remove_place(&place).await?,
                    None => self.store().remove_version(&listed.key, &listed.version_id).await?,
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }
}
