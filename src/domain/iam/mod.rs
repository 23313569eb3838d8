//! Roles: what a policy document decides, what a role's credentials can do, and what a role must look like.

pub mod compiled;
pub mod condition;
pub mod context;
pub mod evaluate;
pub mod principal;
pub mod template;
//! What is right for training roles: the documents that a role of ours carries, who may assume it, and the plan for one
//! role.

pub mod limits;
mod observation;
mod ownership;
mod plan;
mod revert;
pub mod role;
pub mod trust;

#[cfg(test)]
mod simulated;

pub use plan::plan_role;
pub use revert::revert_role;
