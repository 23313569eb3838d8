//! The user's journey against a real API server, an AWS emulator behind a fault-injecting proxy, and the operator as a
//! process with its own ServiceAccount's rights. One binary, so that its tests share control planes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what is missing must fail the test"
)]

mod admission;
mod alerts;
mod annotations;
mod boundary;
mod canary;
mod chart;
mod cli;
mod common;
mod conditions;
mod converge;
mod crash;
mod crd;
mod egress;
mod enforced_buckets;
mod enforced_pod_identity;
mod enforced_roles;
mod failover;
mod faults;
mod image;
mod keys;
mod memory;
mod odd_buckets;
mod other_servers;
mod outage;
mod ownership;
mod pod_identity;
mod race;
mod roles;
mod rotation;
mod selectors;
mod services;
mod steady;
mod tamper;
mod union;
