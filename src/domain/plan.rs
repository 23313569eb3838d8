//! The plan: what was found and what is to be done about it, from everything that was seen. Pure and total.

use jiff::Timestamp;

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

/// Everything found and everything to do. Only `plan` makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    findings: Vec<Finding>,
    actions: Vec<PlannedAction>,
    targets: Vec<TargetPlan>,
    next_wakeup: Option<Timestamp>,
}

impl Plan {
    /// Findings, severest first, in a total order.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Writes to be done now, in order; empty in Audit and while suspended, never more than the cap.
    pub fn actions(&self) -> &[PlannedAction] {
        &self.actions
    }

    /// One entry for each target, with its own findings and the actions it would take without mode, suspension and cap.
    pub fn targets(&self) -> &[TargetPlan] {
        &self.targets
    }

    /// When something changes by the clock alone (end of a suspension).
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.next_wakeup
    }
}
