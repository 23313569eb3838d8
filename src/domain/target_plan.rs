//! What one target comes to: the planners of buckets, roles and egress make it, the plan of the policy is made of it.

use super::action::PlannedAction;
use super::finding::{Finding, Target};
use crate::api::TargetState;

/// What one target (a bucket, a role, an egress rule) comes to. Made by `s3::plan`, `iam::plan`, `egress::plan`.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetPlan {
    /// What it is about.
    pub target: Target,
    /// State for the inventory.
    pub state: TargetState,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// What repairs it, in the order in which it must be done. Already empty where nothing may be written for reasons of
    /// the target itself; mode, suspension, conflicts and the cap are `plan`'s business.
    pub actions: Vec<PlannedAction>,
    /// What the inventory says besides the state.
    pub facts: TargetFacts,
}

/// What the inventory shows of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// Bucket: region.
    pub region: Option<String>,
    /// Role: ARN.
    pub arn: Option<String>,
    /// Egress: enforcer.
    pub enforcer: Option<String>,
    /// Egress: rung reached.
    pub rung: Option<String>,
    /// Egress: evidence.
    pub evidence: Option<String>,
}
