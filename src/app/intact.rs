//! Whether every object of a published version is still there and still current: the catalog held against S3's list.
//!
//! A look reads a bounded number of pages; a walk goes on at the next look where the last one ended, and begins again
//! when it is through. What the list does not plainly show to be intact is looked at by itself before it is called
//! damaged: not every S3 lists keys in the order of their bytes.

use std::collections::{BTreeMap, VecDeque};

use super::look::told;
use crate::catalog::{self, Catalog, PinnedObject};
use crate::domain::Timestamp;
use crate::provision::{ClaimId, Finding};
use crate::store::{self, ListedTo, ListedVersion, Store};

/// Pages of S3's list that one look reads; a page has 1,000 versions.
const PAGES: usize = 20;
/// Keys that one look examines by themselves.
const EXAMINED: usize = 200;
/// Damaged objects that are remembered; more are counted.
const REMEMBERED: usize = 1000;
/// Damaged objects that a finding names.
const NAMED: usize = 5;
/// Rows read from the catalog at once.
const ROWS: i64 = 1000;
/// What all keys of files begin with.
const PREFIX: &str = "models/";
const EXPECTED: &str = "every file of a published version stored, and current";

/// Why the walk could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error("there is no bucket: its bytes are gone, restore it from a copy")]
    NoBucket,
    #[error(transparent)]
    Store(store::Error),
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
}

/// Where the walk is, and what it has found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Vaults of the bucket that this round is through with: usually there is one, and none is.
    vaults_through: usize,
    /// Everything up to this key was judged in the vault at hand.
    judged_to: String,
    /// Objects judged in this round.
    seen: u64,
    /// Objects of the last full round, and when it ended.
    through: Option<(u64, Timestamp)>,
    damaged: BTreeMap<String, Damaged>,
    /// Damaged ones of this round that are not remembered.
    uncounted: u64,
    round: u64,
}

#[derive(Debug)]
struct Damaged {
    version_id: String,
    damage: Damage,
    /// The round that saw it last.
    round: u64,
}

/// What happened to an object behind the service's back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Damage {
    /// Other versions or delete markers lie over it.
    Covered { newest: String, by_marker: bool, layers: usize },
    /// The version itself is not there.
    Destroyed,
}

impl Walk {
    /// Goes on from where the last look ended.
    ///
    /// # Errors
    /// [`WalkError`]; what was judged until then counts.
    pub(super) async fn go_on(&mut self, catalog: &Catalog, vault: i64, store: &Store) -> Result<(), WalkError> {
        let mut examined = self.examine_damaged(store).await?;
        let vaults = catalog.vaults_beside(vault).await?;
        let mut list = List::behind(&self.judged_to);
        while let Some(vault) = vaults.get(self.vaults_through) {
            let pinned = catalog.published_objects(*vault, &self.judged_to, ROWS).await?;
            if pinned.is_empty() {
                self.vaults_through += 1;
                self.judged_to.clear();
                list.begin_again();
            }
            for object in pinned {
                let Some(latest) = list.latest_of(&object.key, store).await? else { return Ok(()) };
                let damage = if latest == Latest::Version(object.version_id.clone()) {
                    None
                } else if examined == EXAMINED {
                    return Ok(());
                } else {
                    examined += 1;
                    examine(store, &object).await?
                };
                self.judge(&object, damage);
                self.seen += 1;
                self.judged_to = object.key;
            }
        }
        self.end_round();
        Ok(())
    }

    /// What is to be said of it now; `trouble` is why the walk could not go on.
    pub(super) fn finding(&self, trouble: Option<&WalkError>) -> Finding {
        let claim = ClaimId::ObjectsIntact;
        match (trouble, self.through) {
            (Some(WalkError::NoBucket), _) => Finding::failed(claim, EXPECTED, WalkError::NoBucket.to_string()),
            _ if !self.damaged.is_empty() => Finding::failed(claim, EXPECTED, self.damage_report()),
            (Some(error), _) => Finding::not_verifiable(claim, EXPECTED, told(error)),
            (None, Some((0, _))) => Finding::passed(claim, EXPECTED, "no version is published yet"),
            (None, None) => {
                let seen = self.seen;
                Finding::not_verifiable(
                    claim,
                    EXPECTED,
                    format!("{seen} objects so far, none amiss; the first round goes on"),
                )
            }
            (None, Some((objects, at))) => {
                let more = if self.seen == 0 { String::new() } else { format!("; {} of the next round", self.seen) };
                Finding::passed(claim, EXPECTED, format!("all {objects} objects, the last of them at {at}{more}"))
            }
        }
    }

    /// What was damaged is looked at first: a repair shows at once, not at the end of a round.
    async fn examine_damaged(&mut self, store: &Store) -> Result<usize, WalkError> {
        let known: Vec<PinnedObject> = self
            .damaged
            .iter()
            .take(EXAMINED / 2)
            .map(|(key, damaged)| PinnedObject { key: key.clone(), version_id: damaged.version_id.clone() })
            .collect();
        for object in &known {
            let damage = examine(store, object).await?;
            match damage {
                Some(damage) => _ = self.damaged.get_mut(&object.key).map(|known| known.damage = damage),
                None => _ = self.damaged.remove(&object.key),
            }
        }
        Ok(known.len())
    }

    fn judge(&mut self, object: &PinnedObject, damage: Option<Damage>) {
        match damage {
            None => _ = self.damaged.remove(&object.key),
            Some(_) if self.damaged.len() >= REMEMBERED && !self.damaged.contains_key(&object.key) => {
                self.uncounted += 1;
            }
            Some(damage) => {
                let damaged = Damaged { version_id: object.version_id.clone(), damage, round: self.round };
                self.damaged.insert(object.key.clone(), damaged);
            }
        }
    }

    fn end_round(&mut self) {
        let round = self.round;
        // What this round did not meet belongs to no published version any more.
        self.damaged.retain(|_, damaged| damaged.round == round);
        self.through = Some((self.seen, Timestamp::now()));
        self.round += 1;
        self.seen = 0;
        self.uncounted = 0;
        self.vaults_through = 0;
        self.judged_to.clear();
    }

    fn damage_report(&self) -> String {
        let mut text: Vec<String> = self
            .damaged
            .iter()
            .take(NAMED)
            .map(|(key, damaged)| damaged.damage.way_back(key, &damaged.version_id))
            .collect();
        let count = self.damaged.len() as u64 + self.uncounted;
        let unnamed = count - text.len() as u64;
        if unnamed > 0 {
            text.push(format!("and {unnamed} more"));
        }
        format!("{count} damaged: {}", text.join("; "))
    }
}

impl Damage {
    /// What happened, and how the object comes back.
    fn way_back(&self, key: &str, version_id: &str) -> String {
        match self {
            Self::Covered { newest, by_marker: true, layers: 1 } => {
                format!("{key} was deleted: remove delete marker {newest} of it")
            }
            Self::Covered { newest, by_marker: false, layers: 1 } => {
                format!("{key} was overwritten: delete version {newest} of it")
            }
            Self::Covered { layers, .. } => {
                format!(
                    "{key} lies under {layers} newer versions and delete markers: remove all but version {version_id}"
                )
            }
            Self::Destroyed => {
                format!("version {version_id} of {key} was destroyed: its bytes are gone, restore them from a copy")
            }
        }
    }
}

/// Looks at one key by itself; none when the object is intact.
async fn examine(store: &Store, object: &PinnedObject) -> Result<Option<Damage>, WalkError> {
    let mut of_key = Vec::new();
    let mut next = None;
    for _ in 0..PAGES {
        let page = store.list_versions(&object.key, next.as_ref()).await.map_err(walk_error)?;
        // A longer key that begins alike comes behind this one.
        let others = page.versions.iter().any(|version| version.key != object.key);
        of_key.extend(page.versions.into_iter().filter(|version| version.key == object.key));
        next = page.next;
        let through = others && !of_key.is_empty();
        if through || next.is_none() {
            break;
        }
    }
    Ok(damage(&of_key, &object.version_id))
}

/// What the versions of a key, newest first, say about the one that is pinned.
fn damage(of_key: &[ListedVersion], pinned: &str) -> Option<Damage> {
    if !of_key.iter().any(|version| version.version_id == pinned && !version.is_marker) {
        return Some(Damage::Destroyed);
    }
    let newest = of_key.iter().find(|version| version.is_latest)?;
    if newest.version_id == pinned {
        return None;
    }
    // Nothing was below it: a prefix is written once.
    let layers = of_key.len() - 1;
    Some(Damage::Covered { newest: newest.version_id.clone(), by_marker: newest.is_marker, layers })
}

#[derive(Debug, PartialEq, Eq)]
enum Latest {
    Version(String),
    /// A delete marker, or nothing where the list should have it.
    Nothing,
}

/// S3's list, read on demand and in one direction.
#[derive(Debug)]
struct List {
    page: VecDeque<ListedVersion>,
    next: Option<ListedTo>,
    begun: bool,
    pages_left: usize,
}

impl List {
    fn behind(key: &str) -> Self {
        let next = (!key.is_empty()).then(|| ListedTo::key(key));
        Self { page: VecDeque::new(), next, begun: false, pages_left: PAGES }
    }

    /// Back to the first key; what was read counts.
    fn begin_again(&mut self) {
        *self = Self { pages_left: self.pages_left, ..Self::behind("") };
    }

    /// What a read of this key gets; none when the look has read enough. Keys are to be asked for in order.
    async fn latest_of(&mut self, key: &str, store: &Store) -> Result<Option<Latest>, WalkError> {
        loop {
            while let Some(front) = self.page.front() {
                match front.key.as_str().cmp(key) {
                    std::cmp::Ordering::Greater => return Ok(Some(Latest::Nothing)),
                    std::cmp::Ordering::Equal if front.is_latest => {
                        let latest = match front {
                            ListedVersion { is_marker: true, .. } => Latest::Nothing,
                            ListedVersion { version_id, .. } => Latest::Version(version_id.clone()),
                        };
                        return Ok(Some(latest));
                    }
                    _ => self.page.pop_front(),
                };
            }
            if self.begun && self.next.is_none() {
                return Ok(Some(Latest::Nothing));
            }
            if self.pages_left == 0 {
                return Ok(None);
            }
            let page = store.list_versions(PREFIX, self.next.as_ref()).await.map_err(walk_error)?;
            self.page = page.versions.into();
            self.next = page.next;
            self.begun = true;
            self.pages_left -= 1;
        }
    }
}

fn walk_error(error: store::Error) -> WalkError {
    // A list has no object to miss.
    if matches!(error, store::Error::NotFound { .. }) { WalkError::NoBucket } else { WalkError::Store(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(version_id: &str, is_latest: bool, is_marker: bool) -> ListedVersion {
        ListedVersion { key: "models/a/b/c/w".into(), version_id: version_id.into(), is_latest, is_marker, size: 1 }
    }

    #[test]
    fn what_happened_to_an_object_is_told_with_the_way_back() {
        let told = |of_key: &[ListedVersion]| {
            damage(of_key, "v1").map(|damage| damage.way_back("k", "v1")).unwrap_or_default()
        };
        assert_eq!(told(&[listed("v1", true, false)]), "");
        let overwritten = [listed("v2", true, false), listed("v1", false, false)];
        assert_eq!(told(&overwritten), "k was overwritten: delete version v2 of it");
        let deleted = [listed("m1", true, true), listed("v1", false, false)];
        assert_eq!(told(&deleted), "k was deleted: remove delete marker m1 of it");
        let both = [listed("m1", true, true), listed("v2", false, false), listed("v1", false, false)];
        assert_eq!(told(&both), "k lies under 2 newer versions and delete markers: remove all but version v1");
        for gone in [&[][..], &[listed("v2", true, false)], &[listed("m1", true, true)]] {
            assert!(told(gone).contains("its bytes are gone"), "{gone:?}");
        }
    }

    #[test]
    fn damage_is_reported_until_the_object_is_seen_intact_and_names_few() {
        let mut walk = Walk::default();
        let object = |n: usize| PinnedObject { key: format!("k{n}"), version_id: "v".into() };
        for n in 0..7 {
            walk.judge(&object(n), Some(Damage::Destroyed));
        }
        walk.end_round();
        let told = walk.finding(None).observed;
        assert!(told.starts_with("7 damaged: ") && told.ends_with("; and 2 more"), "{told}");
        for n in 0..6 {
            walk.judge(&object(n), None);
        }
        assert!(walk.finding(None).observed.starts_with("1 damaged"));
        // Not met again in a whole round: no published version has it any more.
        walk.end_round();
        assert_eq!(walk.finding(None).status, crate::provision::Status::Passed);
    }

    #[test]
    fn first_round_that_is_not_through_proves_nothing_and_memory_is_bounded() {
        let mut walk = Walk { seen: 20_000, ..Walk::default() };
        assert_eq!(walk.finding(None).status, crate::provision::Status::NotVerifiable);
        for n in 0..REMEMBERED + 5 {
            walk.judge(&PinnedObject { key: n.to_string(), version_id: "v".into() }, Some(Damage::Destroyed));
        }
        assert_eq!(walk.damaged.len(), REMEMBERED);
        assert!(walk.finding(None).observed.starts_with(&format!("{} damaged", REMEMBERED + 5)));
    }
}
