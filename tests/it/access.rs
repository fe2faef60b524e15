//! Who may do what.

mod callers;
mod matrix;
mod policies;
mod tenants;
mod tokens;
mod workloads;
