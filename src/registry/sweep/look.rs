//! What is in the bucket, and what of it no row needs.

use std::collections::HashMap;

use ulid::Ulid;

use super::remove::{Kind, Thing};
use super::{Run, SweepError};
use crate::catalog::{Pin, Sighted, Sighting};
use crate::domain::Timestamp;
use crate::store::{ListedUpload, ListedVersion};

const MODELS: &str = "models/";
const MANIFESTS: &str = "manifests/";
const PROBES: &str = "probes/";
/// Rows read for one page of S3's list, which has 1,000 versions.
const PINS: i64 = 10_000;
/// A probe that is this young may still be under way.
const PROBE_MILLIS: u64 = 10 * 60 * 1000;

/// What may go, so far as one run may remove it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) things: Vec<Thing>,
}

impl Run<'_> {
    /// Reads all of the bucket; none when something there forbids to remove anything.
    pub(super) async fn look(&mut self) -> Result<Option<Found>, SweepError> {
        let mut found = Found::default();
        if !self.look_at_manifests().await? {
            return Ok(None);
        }
        for prefix in [MODELS, PROBES] {
            self.look_at_uploads(prefix, &mut found).await?;
        }
        self.look_at_models(&mut found).await?;
        self.look_at_probes(&mut found).await?;
        if self.refuses_share() {
            return Ok(None);
        }
        Ok(Some(found))
    }

    /// False when one is there that this catalog cannot know of.
    async fn look_at_manifests(&mut self) -> Result<bool, SweepError> {
        let (mut next, mut known) = (None, None);
        loop {
            self.keep().await?;
            let page = self.store.list_versions(MANIFESTS, next.as_ref()).await?;
            self.report.seen.manifests +=
                page.versions.iter().filter(|listed| listed.is_latest && !listed.is_marker).count() as u64;
            if let Some(why) = self.unknown_manifest(&page.versions, &mut known).await? {
                self.report.refused = Some(why);
                return Ok(false);
            }
            next = page.next;
            if next.is_none() {
                return Ok(true);
            }
        }
    }

    async fn look_at_uploads(&mut self, prefix: &str, found: &mut Found) -> Result<(), SweepError> {
        let mut next = None;
        loop {
            self.keep().await?;
            let page = self.store.list_uploads(prefix, next.as_ref()).await?;
            self.report.seen.uploads += page.uploads.len() as u64;
            let mut dangling = Vec::new();
            for ListedUpload { key, id } in page.uploads {
                let needed = if prefix == PROBES {
                    !is_old_probe(&key, self.began)
                } else {
                    self.catalog.needs_upload(draft_of(&key), &key, &id).await?
                };
                if !needed {
                    dangling.push(Thing { kind: Kind::Upload, key, id, size: 0 });
                }
            }
            self.report.seen.dangling += dangling.len() as u64;
            self.sight(Sighted::Upload, dangling, found).await?;
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    async fn look_at_models(&mut self, found: &mut Found) -> Result<(), SweepError> {
        let (mut next, mut there) = (None, 0);
        loop {
            self.keep().await?;
            let page = self.store.list_versions(MODELS, next.as_ref()).await?;
            self.report.seen.versions += page.versions.len() as u64;
            let unneeded = self.unneeded(page.versions, &mut there).await?;
            self.report.seen.unreferenced += unneeded.len() as u64;
            self.sight(Sighted::Version, unneeded, found).await?;
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let pinned = self.catalog.pinned_before(self.store.bucket(), self.began).await?;
        self.report.missing = pinned.saturating_sub(there);
        Ok(())
    }

    /// Of a page of S3's list, what no row needs; `there` counts what rows do need.
    async fn unneeded(&self, listed: Vec<ListedVersion>, there: &mut u64) -> Result<Vec<Thing>, SweepError> {
        let bucket = self.store.bucket();
        let first = listed.iter().map(|listed| listed.key.as_str()).min().unwrap_or_default();
        let last = listed.iter().map(|listed| listed.key.as_str()).max().unwrap_or_default();
        let pins = self.catalog.pins(bucket, first, last, PINS).await?;
        let pins: std::collections::HashSet<Pin> = pins.into_iter().collect();
        let mut busy: HashMap<String, bool> = HashMap::new();
        let mut unneeded = Vec::new();
        for ListedVersion { key, version_id, is_marker, size, .. } in listed {
            let pin = Pin { key, version_id };
            if pins.contains(&pin) {
                *there += 1;
                continue;
            }
            let Pin { key, version_id } = pin;
            let draft = draft_of(&key).to_owned();
            // Whose draft is over is asked before what rows name: both change in one transaction.
            if !busy.contains_key(&draft) {
                let now = self.catalog.needs_version(bucket, &draft, "", "").await?;
                busy.insert(draft.clone(), now);
            }
            if busy[&draft] {
                continue;
            }
            if self.catalog.needs_version(bucket, &draft, &key, &version_id).await? {
                *there += 1;
                continue;
            }
            let kind = if is_marker { Kind::Marker } else { Kind::Version };
            unneeded.push(Thing { kind, key, id: version_id, size });
        }
        Ok(unneeded)
    }

    async fn look_at_probes(&mut self, found: &mut Found) -> Result<(), SweepError> {
        let mut next = None;
        loop {
            self.keep().await?;
            let page = self.store.list_versions(PROBES, next.as_ref()).await?;
            let old = page.versions.into_iter().filter(|listed| is_old_probe(&listed.key, self.began));
            let old: Vec<Thing> = old
                .map(|listed| Thing { kind: Kind::Probe, key: listed.key, id: listed.version_id, size: listed.size })
                .collect();
            self.report.seen.probes += old.len() as u64;
            self.sight(Sighted::Version, old, found).await?;
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Remembers what was seen; what was first seen long enough ago may go.
    async fn sight(&mut self, kind: Sighted, things: Vec<Thing>, found: &mut Found) -> Result<(), SweepError> {
        let seen: Vec<Sighting> =
            things.iter().map(|thing| Sighting { kind, key: thing.key.clone(), id: thing.id.clone() }).collect();
        let since = self.since(&seen).await?;
        for (thing, since) in things.into_iter().zip(since) {
            if !self.is_old(since) {
                self.report.waiting += 1;
            } else if (found.things.len() as u64) < self.options.max_deletions {
                found.things.push(thing);
            } else {
                self.report.capped = true;
            }
        }
        Ok(())
    }

    /// Since when each of these has been seen; a dry run remembers nothing.
    pub(super) async fn since(&self, seen: &[Sighting]) -> Result<Vec<Timestamp>, SweepError> {
        if !self.options.dry_run {
            return Ok(if seen.is_empty() { Vec::new() } else { self.catalog.sight(seen, self.began).await? });
        }
        let mut since = Vec::with_capacity(seen.len());
        for sighting in seen {
            since.push(self.catalog.sighted(sighting).await?.unwrap_or(self.began));
        }
        Ok(since)
    }
}

/// The segment of a key that names its draft: `models/{namespace}/{name}/{draft}/{path}`.
pub(super) fn draft_of(key: &str) -> &str {
    let mut segments = key.splitn(5, '/');
    match (segments.nth(3), segments.next()) {
        (Some(draft), Some(_)) if !draft.is_empty() => draft,
        // Nobody's: no draft is called that.
        _ => "-",
    }
}

/// Whether a key is one that a probe made, long enough ago; whatever else lies there is somebody's.
fn is_old_probe(key: &str, now: Timestamp) -> bool {
    let id = key.strip_prefix(PROBES).and_then(|id| Ulid::from_string(id).ok().filter(|ulid| ulid.to_string() == id));
    let now = u64::try_from(now.millis()).unwrap_or_default();
    id.is_some_and(|id| id.timestamp_ms().saturating_add(PROBE_MILLIS) <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_of_a_key_is_its_fourth_segment() {
        assert_eq!(draft_of("models/a/b/01D/x/y"), "01D");
        for key in ["models/a/b/01D", "models/a/b", "models/x", "models/a/b//x", ""] {
            assert_eq!(draft_of(key), "-", "{key}");
        }
    }

    #[test]
    fn only_old_ulids_below_probes_are_leftovers() {
        let now = Timestamp::now();
        let of = |id: &str| is_old_probe(&format!("probes/{id}"), now);
        assert!(of("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert!(!of(&Ulid::generate().to_string()), "a probe that is under way");
        for id in ["mine.txt", "", "01arz3ndektsv4rrffq69g5fav", "01ARZ3NDEKTSV4RRFFQ69G5FAV/x"] {
            assert!(!of(id), "{id}");
        }
    }
}
