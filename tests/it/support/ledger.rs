//! The reference model of tests that break things: what clients were told, and so what a service must have.
//!
//! What was acknowledged must be there, what was refused must not, and what nobody knows may be either but must then
//! stay as it is. Every attempt has content of its own, so that a version's digest tells whose it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::StatusCode;

use super::service::{Api, bytes, hex_sha256};

/// One try to publish a version.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) model: String,
    pub(crate) files: Vec<File>,
    digest: String,
}

/// A file of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    seed: u64,
    len: usize,
}

/// What became of an attempt, so far as anybody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has this number for ever.
    Present(i64),
    /// It is not there, and will not be unless it is asked for again.
    Absent,
    /// No answer came.
    Unknown,
    /// Its files are on their way, and nobody has asked for a version of them.
    Withheld,
    /// It had this number, and was deleted; its bytes may be gone.
    Trashed(i64),
    /// It has or had this number, and it was asked to delete or to restore it; no answer came.
    Wavering(i64),
}

/// An attempt, and what became of it.
#[derive(Debug, Clone)]
struct Entry {
    attempt: Attempt,
    fate: Fate,
    /// How often its fate has changed.
    changes: u64,
}

/// Everything that clients know.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Mutex<HashMap<String, Entry>>,
    ids: AtomicU64,
}

/// What clients knew at one moment: the fate of each attempt, and how often it had changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(HashMap<String, (Fate, u64)>);

/// Attempts of a ledger by what became of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) present: usize,
    pub(crate) absent: usize,
    pub(crate) unknown: usize,
    pub(crate) deleted: usize,
}

impl File {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        bytes(self.seed, self.len)
    }

    /// The same bytes in another place.
    pub(crate) fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    pub(crate) fn sha256(&self) -> String {
        hex_sha256(&self.bytes())
    }
}

impl Ledger {
    /// A new attempt with files of these paths and sizes, which no other attempt has; unknown until it is told.
    pub(crate) fn attempt(&self, model: &str, files: &[(&str, usize)]) -> Attempt {
        let attempt = self.made_of(model, files, &[]);
        self.enter(&attempt, Fate::Unknown);
        attempt
    }

    /// A new attempt whose files are collected first; it also has files whose bytes others have.
    pub(crate) fn withheld(&self, model: &str, files: &[(&str, usize)], shared: &[File]) -> Attempt {
        let attempt = self.made_of(model, files, shared);
        self.enter(&attempt, Fate::Withheld);
        attempt
    }

    fn made_of(&self, model: &str, files: &[(&str, usize)], shared: &[File]) -> Attempt {
        let id = self.ids.fetch_add(1, Ordering::SeqCst) + 1;
        let file = |(place, (path, len)): (usize, &(&str, usize))| File {
            path: (*path).to_owned(),
            seed: id * 1000 + place as u64,
            len: *len,
        };
        let mut files: Vec<File> = files.iter().enumerate().map(file).chain(shared.iter().cloned()).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let entry =
            |file: &File| format!(r#"{{"path":"{}","sha256":"{}","size":{}}}"#, file.path, file.sha256(), file.len);
        let canonical = format!("[{}]", files.iter().map(entry).collect::<Vec<_>>().join(","));
        let digest = format!("sha256:{}", hex_sha256(canonical.as_bytes()));
        Attempt { model: model.to_owned(), files, digest }
    }

    fn enter(&self, attempt: &Attempt, fate: Fate) {
        let entry = Entry { attempt: attempt.clone(), fate, changes: 0 };
        self.entries.lock().unwrap().insert(attempt.digest.clone(), entry);
    }

    /// It is asked for, perhaps again: from now on it may appear.
    pub(crate) fn asked(&self, attempt: &Attempt) {
        if !matches!(self.fate(attempt), Fate::Present(_)) {
            self.change(attempt, Fate::Unknown, |fate| matches!(fate, Fate::Withheld | Fate::Absent | Fate::Unknown));
        }
    }

    /// It was acknowledged with this number.
    pub(crate) fn acknowledged(&self, attempt: &Attempt, number: i64) {
        self.change(attempt, Fate::Present(number), |fate| fate == Fate::Unknown);
    }

    /// It was refused, or can only be refused.
    pub(crate) fn refused(&self, attempt: &Attempt) {
        self.change(attempt, Fate::Absent, |fate| matches!(fate, Fate::Unknown | Fate::Withheld));
    }

    /// It can be read, after it wavered.
    pub(crate) fn stays(&self, attempt: &Attempt) {
        let number = self.number(attempt).unwrap();
        self.change(attempt, Fate::Present(number), |fate| fate == Fate::Wavering(number));
    }

    fn change(&self, attempt: &Attempt, to: Fate, may: impl Fn(Fate) -> bool) {
        let mut entries = self.entries.lock().unwrap();
        let entry = entries.get_mut(&attempt.digest).unwrap();
        assert!(entry.fate == to || may(entry.fate), "{attempt:?} was {:?} and is told to be {to:?}", entry.fate);
        entry.changes += u64::from(entry.fate != to);
        entry.fate = to;
    }

    pub(crate) fn fate(&self, attempt: &Attempt) -> Fate {
        self.entries.lock().unwrap()[&attempt.digest].fate
    }

    /// The number that it has or had.
    pub(crate) fn number(&self, attempt: &Attempt) -> Option<i64> {
        match self.fate(attempt) {
            Fate::Present(number) | Fate::Trashed(number) | Fate::Wavering(number) => Some(number),
            Fate::Absent | Fate::Unknown | Fate::Withheld => None,
        }
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Known {
        let entries = self.entries.lock().unwrap();
        Known(entries.iter().map(|(digest, entry)| (digest.clone(), (entry.fate, entry.changes))).collect())
    }

    /// Every version that must be there now.
    pub(crate) fn present(&self) -> Vec<(Attempt, i64)> {
        let entries = self.entries.lock().unwrap();
        let present = entries.values().filter_map(|entry| match entry.fate {
            Fate::Present(number) => Some((entry.attempt.clone(), number)),
            _ => None,
        });
        let mut present: Vec<_> = present.collect();
        present.sort_by(|(a, m), (b, n)| (&a.model, m).cmp(&(&b.model, n)));
        present
    }

    pub(crate) fn count(&self) -> Count {
        let mut count = Count::default();
        for entry in self.entries.lock().unwrap().values() {
            *match entry.fate {
                Fate::Present(_) => &mut count.present,
                Fate::Absent => &mut count.absent,
                Fate::Unknown | Fate::Withheld => &mut count.unknown,
                Fate::Trashed(_) | Fate::Wavering(_) => &mut count.deleted,
            } += 1;
        }
        count
    }

    /// Asserts that a list of a model's versions is one that may be seen while others publish and delete.
    ///
    /// `known` is what was known before the list was asked for. What was said of an attempt meanwhile may be seen or
    /// not; of the others the list must have exactly those that are present.
    pub(crate) fn may_be_seen(&self, model: &str, known: &Known, listed: &[(i64, String)]) {
        let entries = self.entries.lock().unwrap();
        let mut seen: BTreeMap<i64, &str> = BTreeMap::new();
        for (number, digest) in listed {
            assert!(seen.insert(*number, digest).is_none(), "{model} has two versions {number}");
            let entry = entries.get(digest);
            assert!(
                entry.is_some_and(|entry| entry.attempt.model == model),
                "version {number} of {model} is nobody's: {digest}"
            );
        }
        let mut deleted = BTreeSet::new();
        for (digest, entry) in entries.iter().filter(|(_, entry)| entry.attempt.model == model) {
            let numbers: Vec<i64> =
                listed.iter().filter(|(_, seen)| seen == digest).map(|(number, _)| *number).collect();
            let quiet = entry.is_as_then(known);
            let what = || format!("{:?} is listed as {numbers:?}, and should be {:?}", entry.attempt, entry.fate);
            match entry.fate {
                Fate::Present(number) if quiet => assert_eq!(numbers, [number], "{}", what()),
                Fate::Trashed(number) if quiet => {
                    assert!(numbers.is_empty(), "{}", what());
                    deleted.insert(number);
                }
                Fate::Present(number) | Fate::Trashed(number) | Fate::Wavering(number) => {
                    assert!(numbers.is_empty() || numbers == [number], "{}", what());
                    deleted.insert(number);
                }
                Fate::Absent | Fate::Withheld => assert!(numbers.is_empty(), "{}", what()),
                Fate::Unknown => assert!(numbers.len() < 2, "{}", what()),
            }
        }
        let last = seen.keys().next_back().copied().unwrap_or_default();
        let gap = (1..=last).find(|number| !seen.contains_key(number) && !deleted.contains(number));
        assert_eq!(gap, None, "numbers of {model} have a gap: {listed:?}");
    }

    /// Compares with what a service has while nobody else uses it, and reads what is there for the first time.
    ///
    /// What was unknown is decided.
    pub(crate) async fn settle(&self, api: &Api) {
        let known = self.known();
        for model in self.models() {
            let listed = api.versions(&model).await.unwrap();
            self.may_be_seen(&model, &known, &listed);
            for (number, digest) in &listed {
                let Entry { attempt, fate, .. } = self.entries.lock().unwrap()[digest].clone();
                match fate {
                    Fate::Unknown => self.acknowledged(&attempt, *number),
                    Fate::Wavering(_) => self.stays(&attempt),
                    _ => continue,
                }
                attempt.reads_right(api, *number).await.unwrap();
            }
        }
        for entry in self.entries.lock().unwrap().values_mut() {
            match entry.fate {
                Fate::Unknown => entry.fate = Fate::Absent,
                Fate::Wavering(number) => entry.fate = Fate::Trashed(number),
                _ => {}
            }
        }
    }

    /// Reads everything that must be there.
    pub(crate) async fn reads_right(&self, api: &Api) {
        for (attempt, number) in self.present() {
            attempt.reads_right(api, number).await.unwrap();
        }
    }

    fn models(&self) -> Vec<String> {
        let entries = self.entries.lock().unwrap();
        let mut models: Vec<String> = entries.values().map(|entry| entry.attempt.model.clone()).collect();
        models.sort();
        models.dedup();
        models
    }
}

/// What only clients of a service say that is killed under them.
#[cfg(feature = "failpoints")]
impl Ledger {
    /// It is asked to delete or to restore it.
    pub(crate) fn wavers(&self, attempt: &Attempt) {
        let number = self.number(attempt).unwrap();
        let before = |fate| matches!(fate, Fate::Present(_) | Fate::Trashed(_));
        self.change(attempt, Fate::Wavering(number), before);
    }

    /// It cannot be read any more, after it wavered.
    pub(crate) fn went(&self, attempt: &Attempt) {
        let number = self.number(attempt).unwrap();
        self.change(attempt, Fate::Trashed(number), |fate| fate == Fate::Wavering(number));
    }

    /// Whether nothing was said of it since then.
    pub(crate) fn is_as_then(&self, attempt: &Attempt, then: &Known) -> bool {
        self.entries.lock().unwrap()[&attempt.digest].is_as_then(then)
    }
}

impl Entry {
    fn is_as_then(&self, then: &Known) -> bool {
        then.0.get(&self.attempt.digest) == Some(&(self.fate, self.changes))
    }
}

impl Attempt {
    /// Reads every file of the version that it became.
    ///
    /// # Errors
    /// When the service does not answer, or not to the end.
    pub(crate) async fn reads_right(&self, api: &Api, number: i64) -> reqwest::Result<()> {
        assert!(self.is_read(api, number).await?, "version {number} of {} is lost", self.model);
        Ok(())
    }

    /// As [`Self::reads_right`]; false when it is not to be read: deleted, or never there.
    ///
    /// # Errors
    /// When the service does not answer, or not to the end.
    pub(crate) async fn is_read(&self, api: &Api, number: i64) -> reqwest::Result<bool> {
        let gone = [StatusCode::NOT_FOUND, StatusCode::GONE];
        let (status, version) = api.page(&format!("/v1/models/{}/versions/{number}", self.model)).await?;
        if gone.contains(&status) {
            return Ok(false);
        }
        assert_eq!(status, StatusCode::OK, "{version}");
        assert_eq!(version["digest"], self.digest.as_str());
        assert_eq!(version["file_count"], self.files.len());
        for file in &self.files {
            let (status, bytes) = api.bytes(&self.model, number, &file.path).await?;
            if gone.contains(&status) {
                return Ok(false);
            }
            let what = || format!("{} of version {number} of {}", file.path, self.model);
            assert_eq!(status, StatusCode::OK, "{}: {}", what(), String::from_utf8_lossy(&bytes));
            assert!(bytes == file.bytes(), "{} came back changed", what());
        }
        Ok(true)
    }
}
