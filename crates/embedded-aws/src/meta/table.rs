//! The tables, for reading and for writing.
//!
//! Keys of objects are bytes, so that redb's order is S3's (UTF-8 binary) and a page can seek past a common prefix.
//! Tables of other modules in the same database start with other words than `s3_`.

use super::MetaError;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

macro_rules! tables {
    ($($(#[$doc:meta])* $field:ident: $key:ty => $value:ty, $name:literal;)*) => {
        /// All tables, open in the one write transaction.
        pub(crate) struct Tables<'txn> {
            $($(#[$doc])* pub(crate) $field: Table<'txn, $key, $value>,)*
        }

        impl<'txn> Tables<'txn> {
            pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, MetaError> {
                Ok(Self { $($field: transaction.open_table(TableDefinition::new($name))?,)* })
            }
        }

        /// All tables as they were at one moment.
        #[expect(dead_code, reason = "it mirrors `Tables`, and the counters are only ever counted up")]
        pub(crate) struct Snapshot {
            $($(#[$doc])* pub(crate) $field: ReadOnlyTable<$key, $value>,)*
        }

        impl Snapshot {
            pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, MetaError> {
                Ok(Self { $($field: transaction.open_table(TableDefinition::new($name))?,)* })
            }
        }
    };
}

tables! {
    /// Name → next number.
    counters: &'static str => u64, "s3_counters";
    /// Bucket name → [`Bucket`](super::record::Bucket).
    buckets: &'static str => &'static [u8], "s3_buckets";
    /// Bucket id → [`Settings`](super::record::Settings).
    settings: u64 => &'static [u8], "s3_settings";
    /// (Bucket id, key, inverted sequence) → [`Version`](super::record::Version): newest first.
    versions: (u64, &'static [u8], u64) => &'static [u8], "s3_versions";
    /// (Bucket id, key) → sequence of the newest version, when that is no delete marker.
    current: (u64, &'static [u8]) => u64, "s3_current";
    /// (Bucket id, key) → sequence of the `null` version.
    nulls: (u64, &'static [u8]) => u64, "s3_nulls";
    /// (Version sequence, first byte, part number) → [`Segment`](super::record::Segment).
    segments: (u64, u64, u16) => &'static [u8], "s3_segments";
    /// (Bucket id, key, upload sequence) → [`Upload`](super::record::Upload).
    uploads: (u64, &'static [u8], u64) => &'static [u8], "s3_uploads";
    /// (Upload sequence, part number) → [`Part`](super::record::Part).
    parts: (u64, u16) => &'static [u8], "s3_parts";
    /// Upload sequence → [`Completed`](super::record::Completed).
    completed: u64 => &'static [u8], "s3_completed";
    /// Every blob that a segment or a part refers to; a file that is not here is garbage.
    blobs: [u8; 16] => (), "s3_blobs";
}

impl Tables<'_> {
    /// The next number, never given out twice; versions, uploads and buckets draw from one sequence.
    pub(crate) fn next_sequence(&mut self) -> Result<u64, MetaError> {
        let next = self.counters.get("sequence")?.map_or(1, |value| value.value());
        self.counters.insert("sequence", next + 1)?;
        Ok(next)
    }
}
