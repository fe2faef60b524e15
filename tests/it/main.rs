//! Integration tests.

#![cfg(test)]

mod access;
mod aliases;
mod audit;
mod bucket;
#[cfg(feature = "failpoints")]
mod crash;
mod door;
mod drafts;
mod embedded_clients;
mod export;
mod hostile;
mod hostile_input;
mod house;
mod integrity;
mod least_privilege;
mod limits;
mod live_aws;
mod memory;
mod oidc;
mod openapi;
mod outside;
mod parts;
mod policy_rows;
mod provision;
mod provision_role;
mod reads;
mod rebuild;
mod start;
mod support;
pub(crate) mod sweep;
mod threats;
mod trash;
mod uploads;
mod verify;
mod watch;
