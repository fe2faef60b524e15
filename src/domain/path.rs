//! Paths of files inside a version.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// Where a file lies inside its draft or version.
///
/// UTF-8 in normalisation form C, 1 to 700 bytes after normalisation, segments separated by single `/`. Everything but
/// control characters and backslashes is allowed in a segment; `.` and `..` are not segments. 700 bytes keep the S3
/// key below S3's 1,024.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

/// Why a text is not a file path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// Empty or too long.
    #[error("a file path is 1 to 700 bytes long, this one has {len}")]
    Length {
        /// Its length in bytes, normalised.
        len: usize,
    },
    /// A slash at either end, or two in a row.
    #[error("a file path does not start or end with `/` and has no empty segment: {path:?}")]
    EmptySegment {
        /// The path.
        path: String,
    },
    /// `.` or `..` as a segment.
    #[error("a file path has no segment `.` or `..`: {path:?}")]
    DotSegment {
        /// The path.
        path: String,
    },
    /// A control character or a backslash.
    #[error("a file path holds no control character and no backslash: {path:?}")]
    Character {
        /// The path.
        path: String,
    },
}

impl FilePath {
    const MAX_BYTES: usize = 700;

    /// The normalised path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Every folder that the path lies in, outermost first.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl FromStr for FilePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        // Bounded before it is normalised: NFC never shrinks a text to less than a third.
        if text.is_empty() || text.len() > 3 * Self::MAX_BYTES {
            return Err(InvalidPath::Length { len: text.len() });
        }
        let path: String = text.nfc().collect();
        if path.len() > Self::MAX_BYTES {
            return Err(InvalidPath::Length { len: path.len() });
        }
        if path.chars().any(|c| c.is_control() || c == '\\') {
            return Err(InvalidPath::Character { path });
        }
        for segment in path.split('/') {
            match segment {
                "" => return Err(InvalidPath::EmptySegment { path }),
                "." | ".." => return Err(InvalidPath::DotSegment { path }),
                _ => {}
            }
        }
        Ok(Self(path))
    }
}

impl TryFrom<String> for FilePath {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Paths that can stand in one version together.
///
/// Takes no more memory than the paths: folders are found among them, because a path of 700 bytes may lie in 349.
#[derive(Debug, Default)]
pub struct PathSet {
    files: BTreeSet<String>,
}

/// Why a path cannot join the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathConflict {
    /// The same path came twice.
    #[error("the file `{0}` is there twice")]
    Twice(FilePath),
    /// The path is a folder of another, or the other way round.
    #[error("`{0}` is a file and a folder of another file")]
    FileAndFolder(String),
}

impl PathSet {
    /// Adds a path, unless it is there or conflicts with one that is.
    ///
    /// # Errors
    /// [`PathConflict`]; the set is as it was then.
    pub fn insert(&mut self, path: &FilePath) -> Result<(), PathConflict> {
        if self.files.contains(path.as_str()) {
            return Err(PathConflict::Twice(path.clone()));
        }
        // Those below a folder are neighbours in the order of the paths, and begin with its name and a slash.
        let below = format!("{path}/");
        if self.files.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below)) {
            return Err(PathConflict::FileAndFolder(path.to_string()));
        }
        if let Some(folder) = path.folders().find(|folder| self.files.contains(*folder)) {
            return Err(PathConflict::FileAndFolder(folder.to_owned()));
        }
        self.files.insert(path.as_str().to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_odd_names_are_allowed() {
        for text in ["a", "a/b/c.bin", "with space/ü+&=#%'.txt", "...", "a/.hidden", "日本/モデル", "-x", "~"] {
            assert_eq!(text.parse::<FilePath>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_path_is_normalised_to_nfc() {
        assert_eq!("e\u{301}".parse::<FilePath>().unwrap().as_str(), "é");
    }

    #[test]
    fn each_refusal_says_which_rule() {
        let of = |text: &str| text.parse::<FilePath>().unwrap_err();
        assert!(matches!(of(""), InvalidPath::Length { len: 0 }));
        assert!(matches!(of(&"x".repeat(701)), InvalidPath::Length { len: 701 }));
        assert!(matches!(of(&"x".repeat(9000)), InvalidPath::Length { len: 9000 }));
        for text in ["/a", "a/", "a//b", "/"] {
            assert!(matches!(of(text), InvalidPath::EmptySegment { .. }), "{text:?}");
        }
        for text in [".", "..", "../a", "a/../b", "a/./b", "a/.."] {
            assert!(matches!(of(text), InvalidPath::DotSegment { .. }), "{text:?}");
        }
        for text in ["a\0b", "a\nb", "a\\b", "..\\a", "a\u{7f}", "a\u{85}"] {
            assert!(matches!(of(text), InvalidPath::Character { .. }), "{text:?}");
        }
    }

    #[test]
    fn a_path_that_is_file_and_folder_is_refused_in_both_orders() {
        let path = |text: &str| text.parse::<FilePath>().unwrap();
        let mut set = PathSet::default();
        set.insert(&path("a/b")).unwrap();
        assert_eq!(set.insert(&path("a")), Err(PathConflict::FileAndFolder("a".into())));
        assert_eq!(set.insert(&path("a/b/c/d")), Err(PathConflict::FileAndFolder("a/b".into())));
        assert_eq!(set.insert(&path("a/b")), Err(PathConflict::Twice(path("a/b"))));
        set.insert(&path("a/bc")).unwrap();
        // `a/b-c` and `a/b.c` stand before `a/b/` in the order of the bytes, `a/b0` behind it.
        for text in ["x/a/b-c", "x/a/b.c", "x/a/b0", "x/a/b"] {
            set.insert(&path(text)).unwrap();
        }
        assert_eq!(set.insert(&path("x/a")), Err(PathConflict::FileAndFolder("x/a".into())));
    }
}
