//! `aidp`: a Kubernetes operator that keeps AI training data encrypted, private, read-only to the training roles and
//! reachable over TLS only.

pub mod api;
pub mod cli;
pub mod domain;

#[cfg(feature = "operator")]
pub mod aws;
#[cfg(feature = "operator")]
pub mod cluster;
#[cfg(feature = "operator")]
pub mod config;
#[cfg(feature = "operator")]
pub mod controller;
#[cfg(feature = "operator")]
pub mod http;
#[cfg(feature = "operator")]
pub mod leader;
#[cfg(feature = "operator")]
pub mod metrics;
#[cfg(feature = "operator")]
pub mod operator;
#[cfg(feature = "operator")]
pub mod readiness;
#[cfg(feature = "operator")]
mod shelf;
#[cfg(feature = "operator")]
pub mod telemetry;
#[cfg(feature = "operator")]
mod vital;
