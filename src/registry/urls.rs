//! Presigned URLs for the files of a version.

use std::time::Duration;

use super::download::{content_disposition, refuse_quarantined};
use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{FileRow, VersionRow};
use crate::store::{Presigned, Seat};

/// A file and the URL to read it from.
#[derive(Debug)]
pub struct FileUrl {
    /// The file.
    pub file: FileRow,
    /// Where it can be read, and until when.
    pub presigned: Presigned,
}

impl Registry {
    /// Signs a URL for each of these files of a version.
    ///
    /// `life` is shortened to the configured maximum and to the life of the signing credentials.
    ///
    /// # Errors
    /// [`Error::VersionQuarantined`]; [`Error::UrlsUnreachable`] when the client could not use one; of the object store.
    pub async fn download_urls(
        &self,
        caller: &Caller,
        version: &VersionRow,
        files: Vec<FileRow>,
        life: Option<Duration>,
        seat: Seat,
    ) -> Result<Vec<FileUrl>, Error> {
        self.admit(caller, Action::Download, &version.model).await?;
        refuse_quarantined(version)?;
        if !self.store().is_reachable_from(seat) {
            return Err(Error::UrlsUnreachable);
        }
        let limits = self.limits();
        let life = life.unwrap_or(limits.download_url_life).min(limits.max_download_url_life);
        let mut urls = Vec::with_capacity(files.len());
        for file in files {
            let disposition = content_disposition(&file.path);
            let presigned =
                self.store().presign_get(seat, &file.s3_key, &file.s3_version_id, &disposition, life).await?;
            urls.push(FileUrl { presigned: presigned.ok_or(Error::UrlsUnreachable)?, file });
        }
        self.minted_urls(caller, version, urls.iter().map(|url| (&url.file, url.presigned.expires_at))).await?;
        Ok(urls)
    }
}
