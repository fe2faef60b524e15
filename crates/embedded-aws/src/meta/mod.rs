//! Records about buckets, object versions and uploads, in redb: every change is one durable transaction.
//!
//! [`record`] says what is stored, [`table`] where, [`commit`] how a change becomes durable.
//! [`objects`] and [`uploads`] are the changes with rules of their own, [`listing`] reads pages.
//! Nothing here knows S3's wire format, and no file is touched: blobs are named by id only.

pub(crate) mod commit;
pub(crate) mod id;
pub(crate) mod listing;
pub(crate) mod lock;
pub(crate) mod lookup;
pub(crate) mod objects;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod uploads;

use thiserror::Error;

pub(crate) use commit::Meta;
pub(crate) use id::SequencedId;

/// Why a record could not be read or a change not be made durable.
#[derive(Debug, Error)]
pub(crate) enum MetaError {
    #[error("the metadata database failed")]
    Database(#[source] Box<redb::Error>),
    #[error("a metadata record cannot be read")]
    Record(#[from] serde_json::Error),
    #[error("the change was not committed, because its transaction failed")]
    NotCommitted,
}

macro_rules! database_error {
    ($($source:ty),*) => {$(
        impl From<$source> for MetaError {
            fn from(source: $source) -> Self {
                Self::Database(Box::new(source.into()))
            }
        }
    )*};
}

database_error!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError);
