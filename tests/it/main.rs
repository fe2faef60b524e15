//! Integration tests.

#![cfg(test)]

mod bucket;
mod door;
mod embedded_clients;
mod house;
mod memory;
mod openapi;
mod outside;
mod provision;
mod provision_role;
mod reads;
mod start;
mod support;
mod uploads;
