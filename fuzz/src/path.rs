//! Paths of files, a line each, as one version would have them.

use std::collections::BTreeSet;

use strongroom::domain::{DraftId, FilePath, ModelRef, ObjectKey, PathConflict, PathSet};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut set = PathSet::default();
    let mut inside: BTreeSet<String> = BTreeSet::new();
    for line in text.split('\n') {
        let Ok(path) = line.parse::<FilePath>() else { continue };
        sound(&path);
        let outcome = set.insert(&path);
        // The same judgement by the definition: file by file.
        let path = path.as_str();
        let twice = inside.contains(path);
        let under = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        let folder = inside.iter().any(|other| under(other, path) || under(path, other));
        match outcome {
            Ok(()) => assert!(!twice && !folder, "{path:?} joined {inside:?}"),
            Err(PathConflict::Twice(_)) => assert!(twice, "{path:?} in {inside:?}"),
            Err(PathConflict::FileAndFolder(_)) => assert!(folder && !twice, "{path:?} in {inside:?}"),
        }
        if outcome.is_ok() {
            inside.insert(path.to_owned());
        }
    }
}

fn sound(path: &FilePath) {
    let text = path.as_str();
    assert!((1..=700).contains(&text.len()));
    assert_eq!(text.parse::<FilePath>().as_ref(), Ok(path), "normalising twice changes it");
    assert!(!text.starts_with('/') && !text.ends_with('/') && !text.contains("//"));
    assert!(text.split('/').all(|segment| !matches!(segment, "." | ".." | "")));
    assert!(!text.contains(['\\', '\0', '\r', '\n']));
    assert!(text.ends_with(path.file_name()) && !path.file_name().contains('/'));
    for folder in path.folders() {
        assert!(text.starts_with(folder) && text[folder.len()..].starts_with('/'));
    }
    if let Some(folder) = path.folders().last() {
        folder.parse::<FilePath>().unwrap();
    }
    let json = serde_json::to_string(path).unwrap();
    assert_eq!(&serde_json::from_str::<FilePath>(&json).unwrap(), path);
    let model = ModelRef { namespace: "n".parse().unwrap(), name: "m".parse().unwrap() };
    let draft: DraftId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let prefix = ObjectKey::DraftPrefix { model: &model, draft: &draft }.to_string();
    let key = ObjectKey::File { model: &model, draft: &draft, path }.to_string();
    assert_eq!(key.strip_prefix(&prefix), Some(text));
    assert!(key.len() <= 1024 && std::path::Path::new(&key).components().count() == key.split('/').count());
}
