//! A network and an object store that go wrong: no wrong byte is acknowledged or given out, nothing acknowledged is
//! lost, every request ends in time, and nothing stays behind.

mod downloads;
mod recovery;
mod scene;
mod storm;
mod uploads;
