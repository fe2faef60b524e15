//! Input by which others were broken: names that lead elsewhere, content that would run, pages that ask in one's name.

mod aftermath;
mod bodies;
mod browser;
mod content;
mod cross_site;
mod paths;
mod payloads;
mod rules;
mod scene;
mod store;
mod wire;
