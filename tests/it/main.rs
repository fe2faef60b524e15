//! Integration tests.

#![cfg(test)]

mod bucket;
mod door;
mod embedded_clients;
mod export;
mod house;
mod integrity;
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
mod verify;
mod watch;
