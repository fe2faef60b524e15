//! Manifests and journal entries as they were first written, whatever lies over them by now.
//!
//! Both are create-only, so the oldest version of a key is the service's own: overwrites and delete markers that came
//! behind its back hide nothing. What the service itself removes is gone by its VersionId.

use super::{Error, ListedTo, Store, journal, manifest};

/// The first version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// S3 key.
    pub key: String,
    /// S3 VersionId.
    pub version_id: String,
}

/// A walk over the originals below a prefix.
#[derive(Debug)]
pub struct Originals {
    prefix: String,
    max_bytes: u64,
    next: Option<ListedTo>,
    /// The last key of the page before, of which more versions may come.
    open: Option<Original>,
    is_through: bool,
}

impl Originals {
    /// All manifests.
    pub fn manifests() -> Self {
        Self::below("manifests/".to_owned(), manifest::MAX_BYTES)
    }

    /// All journal entries of a catalog, in the order of their numbers.
    pub fn journal(catalog: &str) -> Self {
        Self::below(format!("journal/{catalog}/"), journal::MAX_BYTES)
    }

    fn below(prefix: String, max_bytes: u64) -> Self {
        Self { prefix, max_bytes, next: None, open: None, is_through: false }
    }
}

impl Store {
    /// The next originals, at most about 1,000; none when the walk is through.
    ///
    /// # Errors
    /// Of S3; the walk is where it was then.
    pub async fn next_originals(&self, walk: &mut Originals) -> Result<Option<Vec<Original>>, Error> {
        if walk.is_through {
            return Ok(None);
        }
        let page = self.list_versions(&walk.prefix, walk.next.as_ref()).await?;
        let mut complete = Vec::new();
        // Within a key the newest comes first: what comes last is the oldest.
        for listed in page.versions.into_iter().filter(|listed| !listed.is_marker) {
            let found = Original { key: listed.key, version_id: listed.version_id };
            match walk.open.replace(found) {
                Some(before) if walk.open.as_ref().is_some_and(|open| open.key != before.key) => complete.push(before),
                _ => {}
            }
        }
        walk.next = page.next;
        if walk.next.is_none() {
            walk.is_through = true;
            complete.extend(walk.open.take());
        }
        Ok(Some(complete))
    }

    /// The bytes of an original that `walk` gave.
    ///
    /// # Errors
    /// Of S3; [`Error::Unfaithful`] when it is larger than the service would ever write.
    pub async fn read_original(&self, walk: &Originals, original: &Original) -> Result<Vec<u8>, Error> {
        let object = self
            .s3()
            .get_object()
            .bucket(self.bucket())
            .key(&original.key)
            .version_id(&original.version_id)
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map_err(Error::during("GetObject"))?;
        manifest::read_at_most(object.body, walk.max_bytes, self.pace()).await
    }
}
