//! The reference model of tests that break things: what clients were told, and so what a service must have.
//!
//! What was acknowledged must be there, what was refused must not, and what nobody knows may be either but must then
//! stay as it is. Every attempt has content of its own, so that a version's digest tells whose it is.

use std::collections::{BTreeMap, HashMap};
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
enum Fate {
    /// It has this number for ever.
    Present(i64),
    /// It is not there and will never be.
    Absent,
    /// No answer came.
    Unknown,
}

/// Everything that clients know.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    attempts: Mutex<HashMap<String, (Attempt, Fate)>>,
    ids: AtomicU64,
}

/// Attempts of a ledger by what became of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) present: usize,
    pub(crate) absent: usize,
    pub(crate) unknown: usize,
}

impl File {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        bytes(self.seed, self.len)
    }
}

impl Ledger {
    /// A new attempt with files of these paths and sizes, which no other attempt has; unknown until it is told.
    pub(crate) fn attempt(&self, model: &str, files: &[(&str, usize)]) -> Attempt {
        let id = self.ids.fetch_add(1, Ordering::SeqCst) + 1;
        let file = |(place, (path, len)): (usize, &(&str, usize))| File {
            path: (*path).to_owned(),
            seed: id * 1000 + place as u64,
            len: *len,
        };
        let mut files: Vec<File> = files.iter().enumerate().map(file).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let entry = |file: &File| {
            let sha256 = hex_sha256(&file.bytes());
            format!(r#"{{"path":"{}","sha256":"{sha256}","size":{}}}"#, file.path, file.len)
        };
        let canonical = format!("[{}]", files.iter().map(entry).collect::<Vec<_>>().join(","));
        let digest = format!("sha256:{}", hex_sha256(canonical.as_bytes()));
        let attempt = Attempt { model: model.to_owned(), files, digest };
        self.attempts.lock().unwrap().insert(attempt.digest.clone(), (attempt.clone(), Fate::Unknown));
        attempt
    }

    /// It was acknowledged with this number.
    pub(crate) fn acknowledged(&self, attempt: &Attempt, number: i64) {
        self.decide(attempt, Fate::Present(number));
    }

    /// It was refused, or can only be refused.
    pub(crate) fn refused(&self, attempt: &Attempt) {
        self.decide(attempt, Fate::Absent);
    }

    fn decide(&self, attempt: &Attempt, fate: Fate) {
        let mut attempts = self.attempts.lock().unwrap();
        let decided = &mut attempts.get_mut(&attempt.digest).unwrap().1;
        assert!(
            *decided == Fate::Unknown || *decided == fate,
            "{attempt:?} was {decided:?} and is told to be {fate:?}"
        );
        *decided = fate;
    }

    /// Every version that must be there now.
    pub(crate) fn present(&self) -> Vec<(Attempt, i64)> {
        let attempts = self.attempts.lock().unwrap();
        let present = attempts.values().filter_map(|(attempt, fate)| match fate {
            Fate::Present(number) => Some((attempt.clone(), *number)),
            Fate::Absent | Fate::Unknown => None,
        });
        let mut present: Vec<_> = present.collect();
        present.sort_by(|(a, m), (b, n)| (&a.model, m).cmp(&(&b.model, n)));
        present
    }

    pub(crate) fn count(&self) -> Count {
        let mut count = Count::default();
        for (_, fate) in self.attempts.lock().unwrap().values() {
            match fate {
                Fate::Present(_) => count.present += 1,
                Fate::Absent => count.absent += 1,
                Fate::Unknown => count.unknown += 1,
            }
        }
        count
    }

    /// Asserts that a list of a model's versions is one that may be seen while others publish.
    ///
    /// `known` are those that were present before the list was asked for.
    pub(crate) fn may_be_seen(&self, model: &str, known: &[(Attempt, i64)], listed: &[(i64, String)]) {
        let numbers: Vec<i64> = listed.iter().map(|(number, _)| *number).collect();
        let count = i64::try_from(listed.len()).unwrap();
        assert_eq!(numbers, (1..=count).rev().collect::<Vec<_>>(), "numbers of {model} have a gap");
        let by_number: BTreeMap<i64, &String> = listed.iter().map(|(number, digest)| (*number, digest)).collect();
        for (attempt, number) in known.iter().filter(|(attempt, _)| attempt.model == model) {
            let found = by_number.get(number);
            assert_eq!(found, Some(&&attempt.digest), "version {number} of {model} is lost or another");
        }
        let attempts = self.attempts.lock().unwrap();
        for (number, digest) in listed {
            let Some((attempt, fate)) = attempts.get(digest) else {
                panic!("version {number} of {model} is nobody's: {digest}")
            };
            assert_eq!(attempt.model, model);
            assert!(
                *fate == Fate::Unknown || *fate == Fate::Present(*number),
                "version {number} of {model} should be {fate:?}"
            );
        }
    }

    /// Compares with what a service has while nobody else uses it, and reads what is there for the first time.
    ///
    /// What was unknown is decided, for ever.
    pub(crate) async fn settle(&self, api: &Api) {
        let known = self.present();
        for model in self.models() {
            let listed = api.versions(&model).await.unwrap();
            self.may_be_seen(&model, &known, &listed);
            for (number, digest) in &listed {
                let (attempt, fate) = self.attempts.lock().unwrap()[digest].clone();
                if fate == Fate::Unknown {
                    self.acknowledged(&attempt, *number);
                    attempt.reads_right(api, *number).await.unwrap();
                }
            }
        }
        for (_, fate) in self.attempts.lock().unwrap().values_mut() {
            if *fate == Fate::Unknown {
                *fate = Fate::Absent;
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
        let attempts = self.attempts.lock().unwrap();
        let mut models: Vec<String> = attempts.values().map(|(attempt, _)| attempt.model.clone()).collect();
        models.sort();
        models.dedup();
        models
    }
}

impl Attempt {
    /// Reads every file of the version that it became.
    ///
    /// # Errors
    /// When the service does not answer, or not to the end.
    pub(crate) async fn reads_right(&self, api: &Api, number: i64) -> reqwest::Result<()> {
        let (status, version) = api.page(&format!("/v1/models/{}/versions/{number}", self.model)).await?;
        assert_eq!(status, StatusCode::OK, "{version}");
        assert_eq!(version["digest"], self.digest.as_str());
        assert_eq!(version["file_count"], self.files.len());
        for file in &self.files {
            let (status, bytes) = api.bytes(&self.model, number, &file.path).await?;
            let what = || format!("{} of version {number} of {}", file.path, self.model);
            assert_eq!(status, StatusCode::OK, "{}: {}", what(), String::from_utf8_lossy(&bytes));
            assert!(bytes == file.bytes(), "{} came back changed", what());
        }
        Ok(())
    }
}
