//! Bearer tokens of identity providers: which are believed, and what they can make the service do.

mod keys;
mod provider;
mod settings;
mod signer;
mod tls;
mod tokens;
