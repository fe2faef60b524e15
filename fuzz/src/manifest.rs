//! Manifests, as a rebuild reads them from the bucket.

use strongroom::domain::{FileEntry, Manifest, version_digest};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    let written = serde_json::to_vec(&manifest).unwrap();
    let again: Manifest = serde_json::from_slice(&written).unwrap();
    assert_eq!(again, manifest, "what is written is read as something else");
    assert_eq!(serde_json::to_vec(&again).unwrap(), written, "it is written in two ways");
    assert!(again.is_of_the_same_version(&manifest) && again.has_the_files_of(&manifest));
    assert_eq!(again.model_ref().to_string(), format!("{}/{}", manifest.namespace, manifest.model));

    let files: Vec<FileEntry> = manifest.files.iter().map(|object| object.file.clone()).collect();
    let digest = version_digest(&files);
    let mut reversed = files.clone();
    reversed.reverse();
    let paths: std::collections::BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    if paths.len() == files.len() {
        assert_eq!(version_digest(&reversed), digest, "the digest depends on the order of the files");
    }
    // Beyond 2^53 canonical JSON has no exact numbers; no object is that large.
    if let Some(last) = reversed.first_mut().filter(|last| last.size < 1 << 53) {
        last.size ^= 1;
        assert_ne!(version_digest(&reversed), digest, "the digest does not depend on a size");
    }
}
