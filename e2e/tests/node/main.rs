//! The chart, the operator in its pods, and training pods on a real node whose NetworkPolicies are enforced. Run by
//! `e2e/node/test.sh`, which starts the node; the tests run one after the other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what is missing must fail the test"
)]

mod egress;
mod failover;
mod install;
mod lifecycle;
mod stage;
