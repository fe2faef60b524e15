//! S3 and KMS on one loopback listener, on local disk, for one machine.
//!
//! What it accepts, AWS would accept; what it does not support, it refuses with `NotImplemented`.
//! Read in this order: [`config`] (what it may be told), `server` (the listener and who answers what),
//! [`identity`] (who calls), [`policy`] (what a bucket policy says of a call), `kms` (keys),
//! `blob` (encrypted bytes on disk), `meta` (the records about them), `s3` (the operations).

pub mod config;
pub mod identity;
mod kms;
pub mod policy;
mod root_key;
mod secret_file;
mod sigv4;
mod blob;
mod meta;
mod s3;
