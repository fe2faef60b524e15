//! Strongroom keeps machine-learning model artifacts in a secured S3 bucket and gives them out over HTTP.
//!
//! In reading order: [`domain`] (values and rules), [`registry`] (what the service does), [`store`] (bytes in S3),
//! [`catalog`] (rows in SQL), [`access`] (who calls), [`provision`] (the secure bucket), [`http`] (the API),
//! [`door`] (connections), [`config`] and [`app`] (how it all starts), [`cli`] (the commands).
//! `docs/ARCHITECTURE.md` is the map.

pub mod access;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod domain;
pub mod door;
pub mod failpoint;
pub mod http;
pub mod provision;
pub mod registry;
pub mod store;
pub mod telemetry;
