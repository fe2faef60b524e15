//! A network and an object store that go wrong: no wrong byte is acknowledged or given out, nothing acknowledged is
//! lost, every request ends in time, and nothing stays behind.

mod client;
mod copies;
mod downloads;
mod drafts;
mod faults;
mod kms;
mod parts;
mod recovery;
mod scene;
mod storm;
mod uploads;
