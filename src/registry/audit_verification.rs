//! `audit verify`: the whole log read again, and compared with what the bucket says of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Error;
use crate::catalog::{AUDIT_GUARDS, AuditRow, Catalog};
use crate::domain::{AuditAction, AuditEntry, AuditHead, FIRST_AUDIT_HASH, Sha256Digest};
use crate::provision::claim::Claim;
use crate::store::{self, AuditHeads, Store};

/// Entries that are read at a time.
const PAGE: i64 = 1_000;
/// Findings that are told; more are counted.
const TOLD: usize = 100;
/// Other logs of the same catalog that are told.
const LOGS: usize = 100;

/// What is wrong with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditFindingKind {
    /// An entry does not say any more what it said.
    Altered,
    /// Entries are gone.
    Removed,
    /// An entry stands in another place than it was written to.
    Reordered,
    /// The log goes on from another entry than the one before: it was written anew from here on.
    Broken,
    /// The bucket's head says that the log was another one.
    Rewritten,
    /// The bucket has heads of a log that this one does not speak of, or belongs to another catalog.
    Unknown,
    /// An entry is there that the service did not write.
    Added,
    /// What keeps the log from being changed by mistake was taken off.
    Unguarded,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditFinding {
    /// The number of the entry; of the first one where it is several.
    pub seq: i64,
    /// What.
    pub kind: AuditFindingKind,
    /// In words.
    pub what: String,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AuditReport {
    /// The log; none when nothing was ever written.
    pub chain: Option<String>,
    /// Entries that were read.
    pub entries: u64,
    /// Heads in the bucket that agree with the log.
    pub heads: u64,
    /// The last entry that a head in the bucket vouches for: what comes after it could be cut off without a trace.
    pub vouched_to: i64,
    /// Logs that ended before this one, as it tells itself.
    pub earlier_logs: Vec<String>,
    /// What is wrong, by number.
    pub findings: Vec<AuditFinding>,
    /// So many more.
    pub more: u64,
}

impl AuditReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }

    fn find(&mut self, seq: i64, kind: AuditFindingKind, what: String) {
        if self.findings.len() < TOLD {
            self.findings.push(AuditFinding { seq, kind, what });
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(chain) = &self.chain else { return f.write_str("the audit log has no entries\n") };
        writeln!(f, "audit log {chain}: {} entries", self.entries)?;
        for log in &self.earlier_logs {
            writeln!(f, "an earlier log ended when the catalog was rebuilt: {log}")?;
        }
        for AuditFinding { what, .. } in &self.findings {
            writeln!(f, "WRONG  {what}")?;
        }
        if self.more > 0 {
            writeln!(f, "WRONG  and {} more", self.more)?;
        }
        if self.is_clean() {
            writeln!(f, "every entry is as it was written, and follows the one before it")?;
        }
        let heads = self.heads;
        writeln!(f, "{heads} heads in the bucket agree; entries up to {} are vouched for by them", self.vouched_to)
    }
}

/// Where the bucket says that the logs of a catalog ended: the last head of each, at most 100.
///
/// # Errors
/// Of S3.
pub(super) async fn last_heads(store: &Store, catalog: &str) -> Result<Vec<AuditHead>, store::Error> {
    let (mut walk, mut last) = (AuditHeads::of(catalog), BTreeMap::<String, AuditHead>::new());
    while let Some(heads) = store.next_audit_heads(&mut walk).await? {
        for head in heads {
            if last.len() < LOGS || last.contains_key(&head.chain) {
                last.insert(head.chain.clone(), head);
            }
        }
    }
    Ok(last.into_values().collect())
}

/// Reads the whole log, and compares it with the heads in the bucket.
///
/// # Errors
/// Of the catalog and of S3.
pub async fn verify_audit(catalog: &Catalog, store: &Store) -> Result<AuditReport, Error> {
    let mut report = AuditReport::default();
    for guard in catalog.missing_audit_guards().await? {
        report.find(0, AuditFindingKind::Unguarded, format!("the catalog's {guard} was removed or replaced"));
        if guard == AUDIT_GUARDS[0] {
            // Whatever stands in its place is no log to be read.
            return Ok(report);
        }
    }
    report.chain = catalog.audit_head().await?.map(|end| end.chain);
    let owner = owner(catalog, store, &mut report).await?;
    let mut heads = Heads::new(store, &owner, report.chain.clone());
    let mut walk = Walk::default();
    let mut after = i64::MIN;
    loop {
        let page = catalog.stored_audit(after, PAGE).await?;
        if page.is_empty() {
            // Heads that were written while the log was read are of entries that were written meanwhile, too.
            match heads.peek().await? {
                Some(head) if head.seq > after && !catalog.stored_audit(after, 1).await?.is_empty() => continue,
                _ => break,
            }
        }
        for (seq, row) in page {
            after = seq;
            if walk.step(&mut report, seq, row) {
                heads.compare(&mut report, seq, walk.hash).await?;
            }
        }
    }
    let unnumbered = catalog.unnumbered_audit().await?;
    if unnumbered > 0 {
        report.find(0, AuditFindingKind::Added, format!("{unnumbered} entries without a number were added"));
    }
    walk.finish(&mut report, catalog.audit_ends().await?);
    heads.finish(&mut report, walk.last).await?;
    for head in heads.others {
        let told = format!("{} with {} entries, the last {}", head.chain, head.seq, head.hash);
        // A rebuild says so in the bucket, too, where who can only write the catalog cannot.
        if heads.is_begun_by_rebuild && walk.told_logs.contains(&head.chain) {
            report.earlier_logs.push(told);
        } else {
            let what = format!(
                "the bucket has heads of another audit log of this catalog, which no rebuild tells of: {told}; the log \
                 here may have been put in its place"
            );
            report.find(0, AuditFindingKind::Unknown, what);
        }
    }
    report.findings.sort_by_key(|finding| finding.seq);
    Ok(report)
}

/// The catalog that the bucket belongs to, whatever the one here says of itself.
async fn owner(catalog: &Catalog, store: &Store, report: &mut AuditReport) -> Result<String, Error> {
    let claim = store.look_at_claim().await.claim?.and_then(|claim| Claim::parse(&claim).ok());
    let Some(claim) = claim else {
        let what = "the bucket has no claim that can be read: nobody knows whose heads are in it".to_owned();
        report.find(0, AuditFindingKind::Unknown, what);
        return Ok(catalog.id().to_owned());
    };
    if claim.catalog_id() != catalog.id() {
        let (owner, here) = (claim.catalog_id(), catalog.id());
        let what = format!("the bucket belongs to the catalog {owner}, and the one here says that it is {here}");
        report.find(0, AuditFindingKind::Unknown, what);
    }
    Ok(claim.catalog_id().to_owned())
}

/// The way through the rows.
struct Walk {
    /// The number of the last row.
    last: i64,
    /// Its hash, as stored.
    hash: Sha256Digest,
    /// Rows that are not what was written in their place.
    altered: Vec<(i64, Option<Box<AuditRow>>)>,
    /// Earlier logs that rebuilds told of.
    told_logs: Vec<String>,
}

impl Default for Walk {
    fn default() -> Self {
        Self { last: 0, hash: FIRST_AUDIT_HASH, altered: Vec::new(), told_logs: Vec::new() }
    }
}

impl Walk {
    /// Takes the next row; false when it is none that the service can have written.
    fn step(&mut self, report: &mut AuditReport, seq: i64, row: Result<AuditRow, crate::catalog::Error>) -> bool {
        report.entries += 1;
        if seq <= self.last {
            let what = match seq {
                ..1 => format!("an entry with the number {seq} was added: numbers begin with 1"),
                _ => format!("entry {seq} is there more than once"),
            };
            report.find(seq, AuditFindingKind::Added, what);
            return false;
        }
        let missing = self.last + 1..seq;
        if !missing.is_empty() {
            let what = match missing.end - missing.start {
                1 => format!("entry {} was removed", missing.start),
                _ => format!("entries {} to {} were removed", missing.start, missing.end - 1),
            };
            report.find(missing.start, AuditFindingKind::Removed, what);
        }
        match row {
            Ok(row) => {
                let is_as_written = row.entry.hash() == row.hash && row.is_stored_rightly;
                if !is_as_written {
                    self.alter(report, seq, Some(Box::new(row.clone())));
                } else if missing.is_empty() && row.entry.prev != self.hash {
                    let what = format!("entry {seq} does not follow the entry before it: one of them was written anew");
                    report.find(seq, AuditFindingKind::Broken, what);
                }
                if row.entry.deed.action == AuditAction::CatalogRebuild {
                    let logs = row.entry.deed.details["earlier_logs"].as_array();
                    let chains = logs.into_iter().flatten().filter_map(|log| log["chain"].as_str());
                    self.told_logs.extend(chains.take(LOGS).map(str::to_owned));
                }
                self.hash = row.hash;
            }
            Err(_unreadable) => {
                self.alter(report, seq, None);
                // No hash is this one: the next entry is compared with nothing.
                self.hash = FIRST_AUDIT_HASH;
            }
        }
        self.last = seq;
        true
    }

    fn alter(&mut self, report: &mut AuditReport, seq: i64, row: Option<Box<AuditRow>>) {
        if self.altered.len() < TOLD {
            self.altered.push((seq, row));
        } else {
            report.more += 1;
        }
    }

    /// Tells of what was altered, and whether the end is where it should be.
    fn finish(&self, report: &mut AuditReport, ends: Option<(AuditHead, i64, String)>) {
        for (seq, row) in &self.altered {
            let written_as = row.as_ref().and_then(|row| self.place_of(row));
            if let Some(place) = written_as {
                let what = format!("entry {seq} stands in the wrong place: it was written as entry {place}");
                report.find(*seq, AuditFindingKind::Reordered, what);
            } else {
                let what = format!("entry {seq} was altered: it does not have the hash that was written with it");
                report.find(*seq, AuditFindingKind::Altered, what);
            }
        }
        match ends {
            None if self.last > 0 => {
                let what = "the record of the log's end was removed".to_owned();
                report.find(self.last, AuditFindingKind::Removed, what);
            }
            None => {}
            Some((end, last, _)) if end.seq > last => {
                let (from, to) = (last + 1, end.seq);
                let what = format!("entries {from} to {to} were removed from the end");
                report.find(from, AuditFindingKind::Removed, what);
            }
            Some((end, last, hash)) => {
                // Before the first entry there is none whose hash it could be.
                let is_right = end.seq == last && (hash == end.hash.to_string() || last == 0);
                if !is_right {
                    let what = format!(
                        "the record of the log's end says that entry {} is the last, with the hash {}; the last one is \
                         {last}: entries were added, or the record was changed",
                        end.seq, end.hash
                    );
                    report.find(last, AuditFindingKind::Broken, what);
                }
            }
        }
    }

    /// The place among those that are not right in which this entry would be.
    fn place_of(&self, row: &AuditRow) -> Option<i64> {
        let places = self.altered.iter().map(|(seq, _)| *seq).filter(|seq| *seq != row.entry.seq);
        places.into_iter().find(|seq| AuditEntry { seq: *seq, ..row.entry.clone() }.hash() == row.hash)
    }
}

/// The heads in the bucket, next to the walk through the rows.
struct Heads<'a> {
    store: &'a Store,
    walk: AuditHeads,
    chain: Option<String>,
    /// Heads of this log that are to come.
    ahead: std::collections::VecDeque<AuditHead>,
    /// The last head of each other log.
    others: Vec<AuditHead>,
    more_others: u64,
    /// Whether the command that makes a catalog anew began this log.
    is_begun_by_rebuild: bool,
}

impl<'a> Heads<'a> {
    fn new(store: &'a Store, catalog: &str, chain: Option<String>) -> Self {
        let ahead = std::collections::VecDeque::new();
        Self {
            store,
            walk: AuditHeads::of(catalog),
            chain,
            ahead,
            others: Vec::new(),
            more_others: 0,
            is_begun_by_rebuild: false,
        }
    }

    /// The next head of this log; heads of others are put aside.
    async fn peek(&mut self) -> Result<Option<&AuditHead>, Error> {
        while self.ahead.is_empty() {
            let Some(page) = self.store.next_audit_heads(&mut self.walk).await? else { break };
            for head in page {
                if Some(&head.chain) == self.chain.as_ref() {
                    if head.seq == 0 {
                        self.is_begun_by_rebuild = true;
                        continue;
                    }
                    self.ahead.push_back(head);
                    continue;
                }
                if self.others.last().is_some_and(|last| last.chain == head.chain) {
                    self.others.pop();
                }
                if self.others.len() < LOGS {
                    self.others.push(head);
                } else {
                    self.more_others += 1;
                }
            }
        }
        Ok(self.ahead.front())
    }

    /// Compares the entry that was read with the heads of its number.
    async fn compare(&mut self, report: &mut AuditReport, seq: i64, hash: Sha256Digest) -> Result<(), Error> {
        while let Some(head) = self.peek().await? {
            if head.seq > seq {
                break;
            }
            if head.seq == seq && head.hash == hash {
                report.heads += 1;
                report.vouched_to = seq;
            } else if head.seq == seq {
                let what = format!("entry {seq} is another one than the bucket's head says: {}", head.hash);
                report.find(seq, AuditFindingKind::Rewritten, what);
            }
            // One below is of an entry that is gone, which was told.
            self.ahead.pop_front();
        }
        Ok(())
    }

    /// Reads the rest: heads of entries that are not there any more.
    async fn finish(&mut self, report: &mut AuditReport, last: i64) -> Result<(), Error> {
        let mut end = None;
        while let Some(head) = self.peek().await? {
            end = Some(head.seq);
            self.ahead.pop_front();
        }
        if let Some(end) = end {
            let from = last + 1;
            let what = format!("entries {from} to {end} were removed from the end: the bucket has a head at {end}");
            report.find(from, AuditFindingKind::Removed, what);
        }
        if self.more_others > 0 {
            report.more += self.more_others;
        }
        Ok(())
    }
}
