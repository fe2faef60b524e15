//! Who may do what.

pub(crate) mod callers;
pub(crate) mod matrix;
mod policies;
mod tenants;
mod tokens;
mod workloads;
