//! When not to sweep at all: the catalog may not be the one that the bucket belongs to, or not know all of it.

use super::{Run, SweepError};
use crate::domain::{ModelRef, ObjectKey, VersionNumber};
use crate::provision::claim;
use crate::store::{ListedTo, ListedVersion};

/// What may nothing refer to, in percent of all versions, and how many at least, before a sweep stops.
const SUSPICIOUS: (u64, u64) = (25, 100);

/// How to go on after a backup.
const RESTORED: &str = "the catalog is older than the bucket, restored from a backup perhaps: nothing is removed until \
                        it knows what the bucket has (`strongroom rebuild`)";

impl Run<'_> {
    /// Whether the bucket is another catalog's, or has seen more than this catalog; the report says why.
    pub(super) async fn refuses_bucket(&mut self) -> Result<bool, SweepError> {
        let why = match self.store.look_at_claim().await.claim? {
            None => Some("the bucket has no claim: no service says that it is this catalog's".to_owned()),
            Some(bytes) => claim::judge(&bytes, self.catalog.id()).err().map(|error| error.to_string()),
        };
        let why = match why {
            Some(why) => Some(why),
            None => self.unknown_journal().await?,
        };
        self.report.refused.clone_from(&why);
        Ok(why.is_some())
    }

    /// An entry of the journal that this catalog has not written yet.
    async fn unknown_journal(&self) -> Result<Option<String>, SweepError> {
        let (catalog, next) = (self.catalog.id(), self.catalog.next_journal_number().await?);
        let last = ObjectKey::Journal { catalog, seq: next - 1 }.to_string();
        let page = self.store.list_versions(&format!("journal/{catalog}/"), Some(&ListedTo::key(&last))).await?;
        let newer = page.versions.iter().find(|listed| !listed.is_marker);
        Ok(newer.map(|listed| format!("the bucket has {}, which this catalog never wrote; {RESTORED}", listed.key)))
    }

    /// A manifest above the last number of its model, which this catalog cannot have given.
    pub(super) async fn unknown_manifest(
        &self,
        listed: &[ListedVersion],
        known: &mut Option<(ModelRef, i64)>,
    ) -> Result<Option<String>, SweepError> {
        for listed in listed.iter().filter(|listed| !listed.is_marker) {
            let Some((model, number)) = manifest_of(&listed.key) else { continue };
            let last = match known {
                Some((same, last)) if *same == model && number.get() <= *last => continue,
                // Asked after S3 was: who gives a number does that before he writes the manifest.
                _ => self.catalog.last_number(&model).await?,
            };
            if number.get() > last {
                return Ok(Some(format!(
                    "the bucket has a manifest of version {number} of {model}, and this catalog has given {last} \
                     numbers there; {RESTORED}"
                )));
            }
            *known = Some((model, last));
        }
        Ok(None)
    }

    /// Whether so much would go that something else must be wrong; the report says so.
    pub(super) fn refuses_share(&mut self) -> bool {
        let (seen, (percent, at_least)) = (self.report.seen, SUSPICIOUS);
        let suspicious = seen.unreferenced > at_least && seen.unreferenced * 100 > seen.versions * percent;
        if suspicious && !self.options.force {
            self.report.refused = Some(format!(
                "nothing refers to {} of {} object versions below models/, more than {percent} %: if that is right \
                 (uploads of somebody else, a large upload that failed), sweep with --force",
                seen.unreferenced, seen.versions
            ));
            return true;
        }
        false
    }
}

/// The version that a key of a manifest names; none when it is not one.
fn manifest_of(key: &str) -> Option<(ModelRef, VersionNumber)> {
    let mut segments = key.strip_prefix("manifests/")?.split('/');
    let (namespace, name, file) = (segments.next()?, segments.next()?, segments.next()?);
    let number = file.strip_suffix(".json")?.parse().ok()?;
    let model = ModelRef { namespace: namespace.parse().ok()?, name: name.parse().ok()? };
    segments.next().is_none().then_some((model, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_manifests_name_versions() {
        let (model, number) = manifest_of("manifests/a/B.c/12.json").unwrap();
        assert_eq!((model.to_string().as_str(), number.get()), ("a/B.c", 12));
        for key in
            ["manifests/a/b/0.json", "manifests/a/b/1", "manifests/a/1.json", "manifests/a/b/c/1.json", "x/a/b/1.json"]
        {
            assert_eq!(manifest_of(key), None, "{key}");
        }
    }
}
