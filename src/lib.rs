//! `aidp`: a Kubernetes operator that keeps AI training data encrypted, private, read-only to the training roles and
//! reachable over TLS only.

pub mod api;
pub mod domain;
