//! Bearer tokens of identity providers: which are believed, and what they can make the service do.

mod keys;
pub(crate) mod provider;
mod settings;
pub(crate) mod signer;
mod tls;
mod tokens;
