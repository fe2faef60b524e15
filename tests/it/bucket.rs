//! The bucket commands, by the real binary.

mod destroy;
mod evidence;
mod outputs;
mod place;
mod plan;
mod race;
