//! What was worth keeping is tried in every run of the tests.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use strongroom_fuzz::{TARGETS, clean_up};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_target_has_a_corpus_and_holds_on_it() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names(&corpus()), targets);
    for target in TARGETS {
        let folder = corpus().join(target.name);
        let files = names(&folder);
        assert!(!files.is_empty(), "{} has no input", target.name);
        for file in files {
            let bytes = fs::read(folder.join(&file)).unwrap();
            assert!(bytes.len() <= target.longest, "{}/{file} is longer than what is tried", target.name);
            // So that a failure names its input.
            let outcome = std::panic::catch_unwind(|| (target.check)(&bytes));
            assert!(outcome.is_ok(), "{}/{file}", target.name);
        }
    }
    clean_up();
}
