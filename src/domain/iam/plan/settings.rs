//! What a role has besides its documents: boundary, session duration, tags.

use std::collections::BTreeMap;

use super::{RolePlan, Stage};
use crate::api::Severity;
use crate::domain::action::Action;
use crate::domain::control::Control;
use crate::domain::finding::Disposition;
use crate::domain::observed::RoleObservation;
use crate::domain::policy::{TAG_MANAGED_BY, TAG_POLICY, ValidatedPolicy};

/// The tags that say whose a role is.
pub(super) fn tags(policy: &ValidatedPolicy) -> BTreeMap<String, String> {
    BTreeMap::from([
        (TAG_MANAGED_BY.to_owned(), policy.settings.cluster_id.clone()),
        (TAG_POLICY.to_owned(), policy.name.clone()),
    ])
}

impl RolePlan<'_> {
    pub(super) fn boundary(&mut self, seen: &RoleObservation) {
        // Where none is asked for, one that somebody else has set only takes rights away.
        let Some(want) = &self.role.permissions_boundary_arn else {
            return;
        };
        if seen.permissions_boundary_arn.as_ref() == Some(want) {
            return;
        }
        let finding = self
            .finding(Control::IamRole, Disposition::Repair)
            .diff(
                "permissionsBoundary",
                want.as_str(),
                seen.permissions_boundary_arn.as_deref().unwrap_or("none"),
            )
            .message("the role does not carry its permissions boundary; it is put on");
        let action = Action::PutRolePermissionsBoundary {
            role: self.role.name.clone(),
            permissions_boundary_arn: want.clone(),
        };
        let ours = seen.tags.get(TAG_MANAGED_BY) == Some(&self.policy.settings.cluster_id);
        let stage = if ours || seen.permissions_boundary_arn.is_none() {
            Stage::Boundary
        } else {
            Stage::BoundaryOfAdopted
        };
        self.repair(vec![finding], stage, action);
    }

    pub(super) fn session(&mut self, seen: &RoleObservation) {
        let (want, have) = (
            self.role.max_session_duration_seconds,
            seen.max_session_duration_seconds,
        );
        if want == have {
            return;
        }
        let mut finding = self
            .finding(Control::IamSessionDuration, Disposition::Repair)
            .diff("maxSessionDurationSeconds", want.to_string(), have.to_string())
            .message("the longest session is not the policy's; it is set");
        if have < want {
            finding.severity = Severity::Low;
        }
        let action = Action::UpdateRole {
            role: self.role.name.clone(),
            max_session_duration_seconds: want,
        };
        self.repair(vec![finding], Stage::Settings, action);
    }

    pub(super) fn tags(&mut self, seen: &RoleObservation) {
        let lacking: BTreeMap<String, String> = tags(self.policy)
            .into_iter()
            .filter(|(key, value)| seen.tags.get(key) != Some(value))
            .collect();
        if lacking.is_empty() {
            return;
        }
        let findings = lacking
            .iter()
            .map(|(key, value)| {
                let mut finding = self
                    .finding(Control::IamRole, Disposition::Repair)
                    .diff(
                        format!("tags.{key}"),
                        value.as_str(),
                        seen.tags.get(key).map_or("absent", String::as_str),
                    )
                    .message("a tag of the role is not the policy's; it is set");
                finding.severity = Severity::Low;
                finding
            })
            .collect();
        let action = Action::TagRole {
            role: self.role.name.clone(),
            tags: lacking,
        };
        self.repair(findings, Stage::Settings, action);
    }
}
