//! Roles: what a policy document decides, what a role's credentials can do, and what a role must look like.

pub mod compiled;
pub mod condition;
pub mod context;
pub mod evaluate;
pub mod principal;
pub mod template;
