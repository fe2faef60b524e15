//! S3 and KMS on one loopback listener, on local disk, for one machine.
//!
//! What it accepts, AWS would accept; what it does not support, it refuses with `NotImplemented`.
//! Read in this order: [`config`] (what it may be told), [`server`] (the listener and who answers what),
//! [`identity`] (who calls), [`policy`] (what a bucket policy says of a call), [`payload`] (their bodies on the
//! way in), `kms` (keys), `blob` (encrypted bytes on disk), `meta` (the records about them), `s3` (the operations).

mod blob;
pub mod config;
pub mod identity;
mod kms;
mod meta;
pub mod payload;
pub mod policy;
mod root_key;
mod s3;
mod secret_file;
pub mod server;
mod sigv4;
mod stall;

pub use config::{Config, ConfigError};
pub use identity::{Credentials, IdentityError};
pub use kms::{KmsError, OpenError as KmsOpenError};
pub use root_key::RootKeyError;
pub use secret_file::SecretFileError;
pub use server::{EmbeddedAws, StartError};
