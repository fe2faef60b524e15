//! The sweeper, rule by rule: what it removes, what it leaves, and when it removes nothing at all.

mod guards;
mod history;
mod purge;
pub(crate) mod scene;
mod unneeded;
