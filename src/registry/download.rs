//! Giving the bytes of a file out, or the way to them.

use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{FileRow, VersionRow};
use crate::domain::{FilePath, VersionRef};
use crate::store::{Bytes, Presigned, Seat};

/// From this size on, bytes go straight from S3 when the client can reach it.
const REDIRECT_FROM: u64 = 8 * 1024 * 1024;

/// Which way the client wants the bytes to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Small ones from the service, large ones from S3.
    Whichever,
    /// From the service.
    Proxy,
    /// From S3, if it can be reached.
    Redirect,
}

/// The bytes of a file, or the way to them.
#[derive(Debug)]
pub enum Download {
    /// A URL to fetch them from.
    Elsewhere(Presigned),
    /// The bytes.
    Here(Bytes),
}

impl Registry {
    /// Looks up one file of a version, for its bytes.
    ///
    /// # Errors
    /// [`Error::VersionQuarantined`], [`Error::FileNotFound`], and of the catalog.
    pub async fn file(&self, caller: &Caller, version: &VersionRow, path: &FilePath) -> Result<FileRow, Error> {
        self.admit(caller, Action::Download, &version.model).await?;
        refuse_quarantined(version)?;
        self.catalog().file(version.id, path).await?.ok_or_else(|| Error::FileNotFound(path.clone()))
    }

    /// Opens a file, or the part of it in `range`; a redirect is always to the whole.
    ///
    /// # Errors
    /// Of the object store.
    pub async fn download(
        &self,
        caller: &Caller,
        version: &VersionRow,
        file: &FileRow,
        range: Option<Range<u64>>,
        wanted: Wanted,
        seat: Seat,
    ) -> Result<Download, Error> {
        let elsewhere = match wanted {
            Wanted::Whichever => file.size >= REDIRECT_FROM,
            Wanted::Redirect => true,
            Wanted::Proxy => false,
        };
        if elsewhere {
            let life = self.limits().download_url_life;
            let url = self
                .store()
                .presign_get(seat, &file.s3_key, &file.s3_version_id, &content_disposition(&file.path), life)
                .await?;
            if let Some(url) = url {
                self.minted_urls(caller, version, [(file, url.expires_at)].into_iter()).await?;
                return Ok(Download::Elsewhere(url));
            }
        }
        let whole = range.is_none().then_some(file.sha256);
        let range = range.unwrap_or(0..file.size);
        let bytes = self.store().open(&file.s3_key, &file.s3_version_id, range.clone(), whole).await?;
        self.note_read(caller, version, file, &range).await?;
        Ok(Download::Here(bytes))
    }
}

/// Refuses a version whose bytes are not given out.
pub(super) fn refuse_quarantined(version: &VersionRow) -> Result<(), Error> {
    match &version.quarantine {
        None => Ok(()),
        Some(reason) => {
            let (model, number) = (version.model.clone(), version.number);
            Err(Error::VersionQuarantined { model, version: VersionRef::Number(number), reason: reason.clone() })
        }
    }
}

/// `Content-Disposition` that makes a browser save the file and never show it (RFC 6266, RFC 8187).
pub fn content_disposition(path: &FilePath) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let name = path.file_name();
    let ascii: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' })
        .collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(name, PLAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_break_out_of_the_header() {
        let of = |path: &str| content_disposition(&path.parse().unwrap());
        assert_eq!(of("a/m.bin"), "attachment; filename=\"m.bin\"; filename*=UTF-8''m.bin");
        assert_eq!(
            of("x\"; evil=\"é%.bin"),
            "attachment; filename=\"x_; evil=___.bin\"; filename*=UTF-8''x%22%3B%20evil%3D%22%C3%A9%25.bin"
        );
    }
}
