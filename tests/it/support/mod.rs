//! What the tests stand on: servers and clients that others wrote.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod browser;
pub(crate) mod clients;
pub(crate) mod dice;
pub(crate) mod drafts;
pub(crate) mod fault_proxy;
pub(crate) mod ledger;
pub(crate) mod outside;
pub(crate) mod process;
pub(crate) mod rows;
pub(crate) mod scripted_s3;
pub(crate) mod service;
