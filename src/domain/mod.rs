//! What is right: pure decisions about buckets, roles and egress.
//!
//! Nothing in here talks to a server, reads a clock or spawns a task; every input is a value and every decision a
//! function, so that each rule can be tested on documents.

pub mod action;
pub mod control;
pub mod document;
pub mod egress;
pub mod finding;
pub mod glob;
pub mod iam;
pub mod names;
pub mod observed;
pub mod plan;
pub mod policy;
pub mod report;
pub mod rights;
pub mod s3;
pub mod target_plan;

#[cfg(test)]
pub(crate) mod fixture;
