//! Roles: what a policy document decides, what a role's credentials can do, what a role must look like, and the plan for
//! one role.

pub mod actions;
pub mod chain;
pub mod compiled;
pub mod condition;
pub mod context;
pub mod evaluate;
pub mod limits;
mod observation;
pub mod others;
mod ownership;
mod plan;
pub mod pod_identity;
pub mod principal;
pub mod proof;
mod revert;
pub mod review;
pub mod role;
#[cfg(test)]
pub(crate) mod simulated;
pub mod template;
pub mod trust;

pub use plan::{ROLE_ITSELF, plan_role};
pub use revert::revert_role;
