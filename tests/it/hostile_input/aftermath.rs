//! What must be as it was, whatever was sent: the bucket, the directories and the catalog.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::rules::{is_alias, is_file_path, is_id, is_key, is_name};
use super::scene::Scene;
use crate::support::rows::Rows;

/// A question of SQL for names, and what each must be.
type Column = (&'static str, fn(&str) -> bool);

/// Where the catalog keeps what clients have named.
const NAMES: &[Column] = &[
    ("select name from namespaces", is_name),
    ("select name from models", is_name),
    ("select model_namespace from drafts", is_name),
    ("select model_name from drafts", is_name),
    ("select id from drafts", is_id),
    ("select name from aliases", is_alias),
    ("select name from alias_history", is_alias),
    ("select path from draft_files", is_file_path),
    ("select path from uploads", is_file_path),
    ("select path from version_files", is_file_path),
    ("select s3_key from uploads", is_key),
    ("select s3_key from objects", is_key),
    ("select on_name from grants where on_name <> '*'", is_alias),
    ("select name from tokens", is_name),
    ("select principal from grants", is_one_line),
    ("select created_by from versions", is_one_line),
];

fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// All files below a directory, by their path in it.
pub(super) fn files_below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(directory).unwrap().to_owned());
            }
        }
    }
    files
}

/// Whether a file of a data directory is the embedded store's own, under a name that nobody has chosen.
pub(super) fn is_blob(path: &Path) -> bool {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let is_random = |name: &str| name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
    match parts[..] {
        ["embedded", "blobs", shard, name] => is_random(name) && name.starts_with(shard) && shard.len() == 2,
        ["embedded", "incoming", name] => is_random(name),
        _ => false,
    }
}

impl Scene {
    /// Asserts that nothing of what was sent became anything but an object of a model, a row with a right name, or nothing.
    pub(super) async fn assert_nothing_lies_elsewhere(&self) {
        let service = &self.callers.service;
        let bucket = service.in_bucket().await;
        let odd: Vec<&String> = bucket.versions.iter().chain(&bucket.uploads).filter(|key| !is_key(key)).collect();
        assert!(odd.is_empty(), "keys in the bucket: {odd:?}");

        let data = service.data_dir();
        let files = files_below(&data);
        let is_new = |path: &&PathBuf| !self.known.contains(*path) && !is_blob(path);
        // SQLite has them while it is in use.
        let of_catalog = |path: &Path| path.to_str().unwrap().starts_with("catalog.sqlite-");
        let new: Vec<&PathBuf> = files.iter().filter(is_new).filter(|path| !of_catalog(path)).collect();
        assert!(new.is_empty(), "files in the data directory: {new:?}");
        let gone: Vec<&PathBuf> =
            self.known.difference(&files).filter(|path| !is_blob(path) && !of_catalog(path)).collect();
        assert!(gone.is_empty(), "files that are gone: {gone:?}");

        let beside = self.treasures.beside().parent().unwrap();
        let mut names: Vec<_> = fs::read_dir(beside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["data", "secret.txt", "strongroom.toml"]);
        let process = fs::read_to_string(data.join("lock")).unwrap();
        let here = PathBuf::from(format!("/proc/{}/cwd", process.trim())).canonicalize().unwrap();
        assert_eq!(files_below(&here), BTreeSet::from([PathBuf::from("log")]));

        let rows = Rows::of(service).await;
        for (question, is_right) in NAMES {
            let odd: Vec<String> = rows.texts(*question).await.into_iter().filter(|text| !is_right(text)).collect();
            assert!(odd.is_empty(), "{question}: {odd:?}");
        }
        assert!(!service.log().contains("panicked"), "a handler panicked");
    }
}
