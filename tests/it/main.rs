//! Integration tests.

#![cfg(test)]

mod bucket;
#[cfg(feature = "failpoints")]
mod crash;
mod door;
mod embedded_clients;
mod export;
mod hostile;
mod house;
mod least_privilege;
mod live_aws;
mod memory;
mod openapi;
mod outside;
mod policy_rows;
mod provision;
mod provision_role;
mod reads;
mod start;
mod support;
mod uploads;
mod watch;
