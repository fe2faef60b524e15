//! Objects in S3: the only module that writes them, and never without [`Encryption`].
//!
//! Uploads fill parts of bounded memory ([`Intake`]) and stay invisible ([`Pending`]) until the caller commits them, or
//! go straight to S3 in parts ([`PresignedParts`]) that are joined from our own record ([`UploadToComplete`]); what S3 says it stored is checked ([`Stored`]) before anybody may refer to it. Every read names the S3 VersionId.

mod attempts;
mod audit;
mod budget;
mod canary;
mod claim;
mod copy;
mod encryption;
mod error;
mod examine;
mod found;
mod head;
mod intake;
mod journal;
mod listing;
mod look;
mod manifest;
mod multipart;
mod originals;
mod pace;
mod parts;
mod pending;
mod presign;
mod read;
mod recover;
mod stored;
mod uploads;

pub use audit::AuditHeads;
pub use budget::MemoryBudget;
pub use canary::{CanaryError, Leftover, MAX_SKEW};
pub use copy::{Copied, CopySource};
pub use encryption::Encryption;
pub use error::Error;
pub use examine::{Fault, Hashed, Pinned};
pub use found::Found;
pub use head::HeadFacts;
pub use intake::Intake;
pub use listing::{ListedTo, ListedVersion, VersionPage};
pub use look::ClaimSeen;
pub use originals::{Original, Originals};
pub use parts::{ListedPart, PartToSign, UploadToComplete};
pub use pending::Pending;
pub use presign::{Presigned, PresignedPart, PresignedParts, Reach, Seat};
pub use read::Bytes;
pub use stored::Stored;
pub use uploads::{ListedUpload, UploadPage, UploadsTo};

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;

/// One bucket and the way to it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Parts>,
}

/// What a [`Store`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// For everything but presigning.
    pub s3: Client,
    /// Sends presigned requests as a client would.
    pub direct: SharedHttpConnector,
    /// Who can reach the bucket's endpoint, and under which name.
    pub reach: Reach,
    /// The same credentials as the clients': their expiry bounds the life of a URL.
    pub credentials: SharedCredentialsProvider,
    /// The bucket.
    pub bucket: String,
    /// What every write states.
    pub encryption: Encryption,
    /// The account that must own the bucket; none where the back end has no accounts.
    pub expected_owner: Option<String>,
    /// Memory of all uploads together.
    pub budget: MemoryBudget,
    /// How long S3 may take for a small request; what takes longer by its nature gets a multiple.
    pub patience: Duration,
}

impl Store {
    /// A store of these parts; no call is made.
    pub fn new(parts: Parts) -> Self {
        Self { inner: Arc::new(parts) }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.inner.bucket
    }

    fn s3(&self) -> &Client {
        &self.inner.s3
    }

    fn pace(&self) -> pace::Pace {
        pace::Pace::new(self.inner.patience * 2)
    }

    fn owner(&self) -> Option<String> {
        self.inner.expected_owner.clone()
    }
}
