//! Files that hold secrets: read only when nobody else may read them, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Largest secret file in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a secret file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} cannot be written")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} is not a regular file")]
    NotAFile { path: PathBuf },
    #[error("{path} can be read by others (mode {mode:o}); take that away with: chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{path} has more than {MAX_BYTES} bytes")]
    TooLarge { path: PathBuf },
}

/// Reads a whole secret file of at most 1 MiB; `None` when there is none.
///
/// A file that its group or the world may touch is refused: its content is no longer a secret.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, SecretFileError> {
    let failed = |source| SecretFileError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile { path: path.to_owned() });
    }
    if let Some(mode) = exposed_mode(&metadata) {
        return Err(SecretFileError::Exposed { path: path.to_owned(), mode });
    }
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if metadata.len() > MAX_BYTES {
        return Err(SecretFileError::TooLarge { path: path.to_owned() });
    }
    // Sized up front: a vector that grows leaves copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Writes a new secret file with mode 0600 that survives a crash whole or not at all; never replaces one.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    write_new(path, bytes).map_err(|source| SecretFileError::Write { path: path.to_owned(), source })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // A link fails where a rename would silently replace a key that is in use.
    fs::hard_link(&unfinished, path)?;
    fs::remove_file(&unfinished)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(unix)]
fn exposed_mode(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn exposed_mode(_: &fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_file_is_private_and_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root-key");
        assert!(read(&path).unwrap().is_none());
        create(&path, b"first").unwrap();
        assert!(matches!(create(&path, b"second"), Err(SecretFileError::Write { .. })));
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"first");
    }

    #[test]
    fn rest_of_a_crashed_write_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root-key");
        fs::write(path.with_extension("unfinished"), b"half").unwrap();
        create(&path, b"whole").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"whole");
    }

    #[cfg(unix)]
    #[test]
    fn file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root-key");
        create(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path), Err(SecretFileError::Exposed { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(&path).is_ok());
        assert!(matches!(read(dir.path()), Err(SecretFileError::NotAFile { .. } | SecretFileError::Read { .. })));
    }
}
