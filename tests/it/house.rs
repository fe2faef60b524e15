//! The house rules of docs/ARCHITECTURE.md, as text that must not be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::source;

/// Who may not name whom.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("src/domain", &["crate::", "axum::", "aws_sdk", "aws_config", "sqlx::", "tokio::", "reqwest::"]),
    ("src/catalog", &["crate::http", "crate::registry", "crate::store", "crate::app", "axum::", "aws_"]),
    ("src/store", &["crate::http", "crate::registry", "crate::catalog", "crate::app", "axum::", "sqlx::"]),
    ("src/access", &["crate::http", "crate::registry", "crate::store", "crate::app", "axum::", "sqlx::", "aws_sdk"]),
    ("src/registry", &["crate::http", "crate::app", "axum::", "sqlx::", "aws_"]),
    (
        "src/door",
        &[
            "crate::http",
            "crate::registry",
            "crate::catalog",
            "crate::store",
            "crate::provision",
            "crate::access",
            "crate::app",
            "aws_sdk",
            "sqlx::",
        ],
    ),
    ("src/http", &["crate::catalog", "crate::store", "crate::provision", "crate::app", "aws_", "sqlx::"]),
    (
        "src/provision",
        &["crate::http", "crate::registry", "crate::catalog", "crate::store", "crate::app", "axum::", "sqlx::"],
    ),
    ("src/cli", &["crate::registry", "crate::catalog", "crate::store", "axum::", "sqlx::", "aws_"]),
    ("crates/embedded-aws/src", &["strongroom::", "sqlx::", "utoipa::"]),
];

/// What only one place may say, and which.
const RESERVED: &[(&str, &[&str])] = &[
    (".put_object()", &["src/store/pending.rs", "src/provision/check.rs"]),
    (".create_multipart_upload()", &["src/store/multipart.rs"]),
    (".copy_object()", &["src/store/copy.rs"]),
    ("ssekms_key_id(", &["src/store/encryption.rs", "src/provision/check.rs"]),
    ("std::env", &["src/config.rs"]),
    ("from_conf(", &["src/app/aws.rs"]),
    ("presigned(", &["src/store/presign.rs", "src/store/canary.rs", "src/provision/check/bare.rs"]),
];

/// Folders whose files are no modules of ours.
const LONGEST: usize = 600;

/// Path and text of every Rust file below a folder.
pub(crate) fn rust_files(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![source(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push((relative(&path), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} has no Rust file");
    files.sort();
    files
}

fn relative(path: &Path) -> String {
    let root: PathBuf = source("");
    path.strip_prefix(root).unwrap().display().to_string()
}

/// The code without comments and without the tests at its end.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn nobody_names_whom_he_may_not_know() {
    let mut offences = Vec::new();
    for (folder, words) in FORBIDDEN {
        for (file, text) in rust_files(folder) {
            let code = code(&text);
            offences.extend(words.iter().filter(|word| code.contains(**word)).map(|word| format!("{file}: {word}")));
        }
    }
    assert_eq!(offences, Vec::<String>::new());
}

#[test]
fn what_one_place_may_do_is_done_there_only() {
    let mut offences = Vec::new();
    for (file, text) in rust_files("src") {
        let code = code(&text);
        for (word, places) in RESERVED {
            if code.contains(word) && !places.contains(&file.as_str()) {
                offences.push(format!("{file}: {word}"));
            }
        }
    }
    assert_eq!(offences, Vec::<String>::new());
}

#[test]
fn every_module_says_what_it_is_and_none_is_too_long() {
    for folder in ["src", "crates/embedded-aws/src", "crates/embedded-aws/tests", "fuzz", "tests/it"] {
        for (file, text) in rust_files(folder) {
            assert!(text.starts_with("//!"), "{file} does not begin with `//!`");
            let lines = code(&text).lines().count();
            assert!(lines <= LONGEST, "{file} has {lines} lines: split it by concept");
        }
    }
}

#[test]
fn nothing_is_left_undone_and_no_test_is_switched_off() {
    for folder in ["src", "crates", "fuzz", "tests/it"] {
        for (file, text) in rust_files(folder) {
            if file == "tests/it/house.rs" {
                continue;
            }
            for word in ["todo!(", "unimplemented!(", "#[ignore", "FIXME", "TODO", "dbg!(", "should_panic"] {
                assert!(!text.contains(word), "{file} has {word}");
            }
        }
    }
}

/// What the readers of the configuration are called with: the keys that there are.
fn settings() -> BTreeSet<String> {
    const READERS: [&str; 10] =
        ["text", "parsed", "parsed_shortly", "number", "address", "url", "flag", "principals", "count", "networks"];
    let mut keys = BTreeSet::new();
    for (_, text) in rust_files("src/config") {
        let code = code(&text);
        for reader in READERS {
            let call = format!("{reader}(\"");
            keys.extend(code.split(&call).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    assert!(keys.contains("listen") && keys.contains("object_lock_days") && keys.len() > 30, "{keys:?}");
    keys
}

#[test]
fn every_setting_is_documented_and_no_other() {
    let text = fs::read_to_string(source("docs/OPERATIONS.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Settings\n")).unwrap();
    let documented: BTreeSet<String> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned)).collect();
    assert_eq!(documented, settings());
}

#[test]
fn no_module_is_named_after_nothing() {
    for folder in ["src", "crates/embedded-aws/src"] {
        for (file, _) in rust_files(folder) {
            for name in ["utils", "util", "common", "helpers", "helper", "misc"] {
                assert!(!file.split(['/', '.']).any(|part| part == name), "{file}");
            }
        }
    }
}

#[test]
fn every_failpoint_is_in_the_list_and_stands_in_one_place() {
    let mut places: Vec<String> = Vec::new();
    for (_, text) in rust_files("src") {
        let calls = code(&text);
        places.extend(
            calls.split("failpoint::reached(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()),
        );
    }
    places.sort();
    let mut listed: Vec<&str> = strongroom::failpoint::POINTS.to_vec();
    listed.sort_unstable();
    assert_eq!(places, listed);
}
