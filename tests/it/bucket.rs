//! The bucket commands, by the real binary.

mod destroy;
mod directory;
mod evidence;
mod outputs;
mod overrides;
mod place;
mod plan;
mod race;
