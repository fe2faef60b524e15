//! What reads bytes from outside, and what must hold of it whatever the bytes are.
//!
//! A target takes bytes and panics when a property does not hold. `fuzz/run` gives them to libFuzzer one by one, and
//! `tests/corpus.rs` tries what is in `corpus/` in every run of the tests. In reading order: `input` (how bytes become
//! what a target needs), the parsers of the service, those of the embedded endpoint, and last the endpoints as a
//! whole, which `wire` speaks to as a client would.

#![allow(clippy::unwrap_used, reason = "to panic is how a target says that a property does not hold")]

mod address;
mod api;
mod aws_chunked;
mod bucket_policy;
mod digest;
mod form;
mod input;
mod journal;
mod json;
mod jwt;
mod key_set;
mod kms;
mod manifest;
mod name;
mod path;
mod policy;
mod range;
mod s3;
mod wire;

pub use wire::clean_up;

/// What must hold of one kind of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Also that of its corpus.
    pub name: &'static str,
    /// Longest input that is worth trying, in bytes.
    pub longest: usize,
    /// Panics when a property does not hold.
    pub check: fn(&[u8]),
}

/// All of them, by name.
pub const TARGETS: [Target; 17] = [
    Target { name: "address", longest: 512, check: address::check },
    Target { name: "api", longest: 4096, check: api::check },
    Target { name: "aws_chunked", longest: 2048, check: aws_chunked::check },
    Target { name: "bucket_policy", longest: 4096, check: bucket_policy::check },
    Target { name: "digest", longest: 512, check: digest::check },
    Target { name: "form", longest: 4096, check: form::check },
    Target { name: "journal", longest: 4096, check: journal::check },
    Target { name: "json", longest: 4096, check: json::check },
    Target { name: "jwt", longest: 4096, check: jwt::check },
    Target { name: "key_set", longest: 8192, check: key_set::check },
    Target { name: "kms", longest: 2048, check: kms::check },
    Target { name: "manifest", longest: 4096, check: manifest::check },
    Target { name: "name", longest: 2048, check: name::check },
    Target { name: "path", longest: 4096, check: path::check },
    Target { name: "policy", longest: 4096, check: policy::check },
    Target { name: "range", longest: 512, check: range::check },
    Target { name: "s3", longest: 4096, check: s3::check },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
