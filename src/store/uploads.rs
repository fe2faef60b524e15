//! Unfinished multipart uploads as S3 lists them, a page at a time.

use super::{Error, Store};

/// An unfinished multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUpload {
    /// S3 key.
    pub key: String,
    /// Upload id.
    pub id: String,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadsTo {
    key: String,
    id: Option<String>,
}

/// At most 1,000 uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPage {
    /// In the order of S3.
    pub uploads: Vec<ListedUpload>,
    /// Where the next page begins; none after the last.
    pub next: Option<UploadsTo>,
}

impl Store {
    /// One page of unfinished uploads below a prefix, from behind `after`.
    ///
    /// # Errors
    /// Of S3.
    pub async fn list_uploads(&self, prefix: &str, after: Option<&UploadsTo>) -> Result<UploadPage, Error> {
        let page = self
            .s3()
            .list_multipart_uploads()
            .bucket(self.bucket())
            .prefix(prefix)
            .set_key_marker(after.map(|after| after.key.clone()))
            .set_upload_id_marker(after.and_then(|after| after.id.clone()))
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map_err(Error::during("ListMultipartUploads"))?;
        let listed = page.uploads.unwrap_or_default().into_iter();
        let uploads = listed.filter_map(|upload| Some(ListedUpload { key: upload.key?, id: upload.upload_id? }));
        let next = match (page.is_truncated, page.next_key_marker) {
            (Some(true), Some(key)) => Some(UploadsTo { key, id: page.next_upload_id_marker }),
            _ => None,
        };
        Ok(UploadPage { uploads: uploads.collect(), next })
    }
}
