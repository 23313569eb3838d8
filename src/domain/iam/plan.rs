//! The plan for one role: what differs from what the policy asks, and the writes that repair it.
//!
//! Does not live here: the documents themselves (`iam::role`), what is wrong with a trust (`iam::trust`), and the bucket's
//! own Deny against the role (`s3`).

mod difference;
mod documents;
mod others;
mod policies;
mod proof;
mod settings;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use super::chain;
use super::observation::{role_seen, state_of};
use super::ownership::{Ownership, ownership};
use super::role::{self, INLINE_POLICY, RoleDocuments};
use crate::api::{Adoption, Gating, Severity, TargetState};
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::observed::{Observed, RoleObservation};
use crate::domain::policy::{ROLE_PATH, RoleTarget, TAG_ADOPT, TAG_MANAGED_BY, ValidatedPolicy};
use crate::domain::target_plan::{TargetFacts, TargetPlan};

/// Path of the finding of [`Control::IamRole`] that is about the role as a whole.
pub const ROLE_ITSELF: &str = "role";

/// Judges one training role and decides what to do about it.
///
/// The order of the writes: first what takes rights away (the boundary, our Deny, the trust), last what gives some (the
/// managed policies). Cut anywhere, the role can do no more than before. The boundary comes before the Deny, since the
/// operator's own rights may let it write documents only on roles that carry that boundary (`domain::rights`). A new role is
/// born with its trust, since it can do nothing before it has a policy; an adopted one gets it last, and only if the role is
/// proven read-only.
pub fn plan_role(policy: &ValidatedPolicy, target: &RoleTarget, observed: &Observed, now: Timestamp) -> TargetPlan {
    let documents = role::documents(policy, target);
    let mut plan = RolePlan::new(policy, target, observed, now);
    let (state, arn) = match role_seen(observed, &target.name) {
        Err(finding) => {
            plan.findings.push(*finding);
            (Some(TargetState::Unknown), None)
        }
        Ok(None) => {
            plan.create(&documents);
            (Some(TargetState::Missing), None)
        }
        Ok(Some(seen)) => match (ownership(policy, seen), target.adoption) {
            (Ownership::Created, _) => {
                plan.keep(seen, &documents, false);
                (None, Some(seen.arn.clone()))
            }
            (Ownership::Adopted | Ownership::Adoptable, Adoption::Tagged) => {
                plan.keep(seen, &documents, true);
                (None, Some(seen.arn.clone()))
            }
            (Ownership::Adopted | Ownership::Adoptable, Adoption::Never) => {
                plan.refuse(
                    HumanReason::AdoptionRefused,
                    &format!("tag {TAG_ADOPT}={}", policy.name),
                    "a role of this name exists and may be taken over, but the policy says adoption: Never; set it to Tagged, or rename the role in the policy",
                );
                (Some(TargetState::Conflict), None)
            }
            (Ownership::OtherCluster(cluster), _) => {
                plan.refuse(
                    HumanReason::Conflict,
                    &format!("cluster {cluster}"),
                    "the operator of another cluster manages the role; give this cluster's role another name",
                );
                (Some(TargetState::Conflict), None)
            }
            (Ownership::Foreign(lacks), _) => {
                plan.refuse(
                    HumanReason::AdoptionRefused,
                    &lacks,
                    &format!(
                        "a role of this name exists and is not ours; rename it in the policy, remove the existing role, or let it be taken over (adoption: Tagged, and on the role the tag {TAG_ADOPT}={})",
                        policy.name
                    ),
                );
                (Some(TargetState::Conflict), None)
            }
        },
    };
    plan.into_target_plan(state, arn)
}

/// When a write is due. What comes later rests on what comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Create,
    Boundary,
    Deny,
    /// In place of another, on a role that is only now taken over: that one may be the narrower of the two.
    BoundaryOfAdopted,
    Trust,
    Settings,
    TakeOff,
    Attach,
    TrustOfAdopted,
}

struct RolePlan<'a> {
    policy: &'a ValidatedPolicy,
    role: &'a RoleTarget,
    observed: &'a Observed,
    now: Timestamp,
    target: Target,
    findings: Vec<Finding>,
    actions: Vec<(Stage, PlannedAction)>,
}

impl<'a> RolePlan<'a> {
    fn new(policy: &'a ValidatedPolicy, role: &'a RoleTarget, observed: &'a Observed, now: Timestamp) -> Self {
        Self {
            policy,
            role,
            observed,
            now,
            target: Target::Role(role.name.clone()),
            findings: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// `state`: None = as the findings say. `arn`: of a role that is ours.
    fn into_target_plan(mut self, state: Option<TargetState>, arn: Option<String>) -> TargetPlan {
        if let Some(arn) = &arn {
            let chain = chain::findings(self.policy, self.role, arn, self.observed);
            self.findings.extend(chain);
        }
        self.actions.sort_by_key(|(stage, _)| *stage);
        TargetPlan {
            target: self.target,
            state: state.unwrap_or_else(|| state_of(&self.findings)),
            findings: self.findings,
            actions: self.actions.into_iter().map(|(_, action)| action).collect(),
            facts: TargetFacts {
                arn,
                ..TargetFacts::default()
            },
        }
    }

    /// A finding that holds nothing back.
    fn note(&self, control: Control, severity: Severity) -> Finding {
        let mut note = Finding::new(control, self.target.clone(), Gating::ReportOnly, Disposition::Note);
        note.severity = severity;
        note
    }

    fn finding(&self, control: Control, disposition: Disposition) -> Finding {
        Finding::new(control, self.target.clone(), Gating::Gating, disposition)
    }

    fn repair(&mut self, findings: Vec<Finding>, stage: Stage, action: Action) {
        let repairs = findings.iter().map(Finding::key).collect();
        self.findings.extend(findings);
        self.actions.push((stage, PlannedAction { action, repairs }));
    }

    /// A role that exists and is ours, or is to be.
    fn keep(&mut self, seen: &'a RoleObservation, documents: &'a RoleDocuments, adopted: bool) {
        let RoleDocuments { trust, inline } = documents;
        let own = self.inline(seen, inline);
        self.boundary(seen);
        self.session(seen);
        self.tags(seen);
        let read_only = self.policies(Some(seen), own);
        self.other_roles();
        self.trust(seen, trust, adopted, read_only);
        self.review_use(seen);
    }

    fn create(&mut self, documents: &RoleDocuments) {
        let RoleDocuments { trust, inline } = documents;
        let (trust, inline) = match (trust, inline) {
            (Ok(trust), Ok(inline)) => (trust, inline),
            (trust, inline) => {
                if let Err(error) = trust {
                    self.unmakable(Control::IamTrust, documents::TRUST_PATH, error);
                }
                if let Err(error) = inline {
                    self.unmakable(Control::IamReadOnly, documents::INLINE_PATH, error);
                }
                return;
            }
        };
        let role = self.role.name.clone();
        let finding = self
            .finding(Control::IamRole, Disposition::Repair)
            .diff(ROLE_ITSELF, self.policy.created_role_arn(&role), "absent")
            .message("the training role does not exist; it is created");
        let key = finding.key();
        self.repair(
            vec![finding],
            Stage::Create,
            Action::CreateRole {
                role: role.clone(),
                path: ROLE_PATH.to_owned(),
                trust_policy: trust.json.clone(),
                max_session_duration_seconds: self.role.max_session_duration_seconds,
                permissions_boundary_arn: self.role.permissions_boundary_arn.clone(),
                tags: settings::tags(self.policy),
            },
        );
        let put = Action::PutRolePolicy {
            role,
            policy_name: INLINE_POLICY.to_owned(),
            document: inline.json.clone(),
        };
        let repairs = vec![key];
        self.actions.push((Stage::Deny, PlannedAction { action: put, repairs }));
        self.policies(None, Some(&inline.json));
    }

    fn refuse(&mut self, reason: HumanReason, have: &str, message: &str) {
        let finding = self
            .finding(Control::IamRole, Disposition::NeedsHuman(reason))
            .diff(
                ROLE_ITSELF,
                format!(
                    "path {ROLE_PATH}, tag {TAG_MANAGED_BY}={}",
                    self.policy.settings.cluster_id
                ),
                have,
            )
            .message(format!("{message}; nothing is written to it"));
        self.findings.push(finding);
    }
}
