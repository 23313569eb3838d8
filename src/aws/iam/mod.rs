//! Reads of roles and managed policies. Documents arrive percent-encoded and leave decoded.

mod bulk;
mod managed;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_iam::types::Role;
use futures::{StreamExt, TryStreamExt, stream};

use super::classify::Failure;
use super::paging::next_marker;
use super::service::Service;
use super::session::AccountSession;
use super::time::timestamp;
use crate::domain::document::decode_if_encoded;
use crate::domain::names::RoleName;
use crate::domain::observed::{ErrorClass, Read, RoleObservation};

pub(super) use bulk::Bulk;
pub(super) use managed::PolicyVersions;

/// Pages of one listing. A role has at most 20 managed policies and 10 KB of inline ones: far fewer than 20 pages.
const MAX_PAGES: usize = 20;
/// Inline policies of one role read at once.
const CONCURRENCY: usize = 4;
/// What AWS takes where a role says nothing ("CreateRole", MaxSessionDuration).
const DEFAULT_SESSION_SECONDS: i32 = 3600;

impl AccountSession {
    /// Reads a role with all that hangs on it, not older than `max_age`; `Ok(None)` = AWS says that there is none.
    ///
    /// # Errors
    /// Why it could not be read whole: part of a role is never passed off as the role.
    pub async fn observe_role(&self, role: &RoleName, max_age: Duration) -> Read<Option<RoleObservation>> {
        let roles = &self.shared.readings.roles;
        let reading = roles.get(role, max_age, || self.read_role(role)).await;
        reading.map_err(Into::into)
    }

    pub(super) async fn read_role(&self, role: &RoleName) -> Result<Option<RoleObservation>, Failure> {
        const OPERATION: &str = "GetRole";
        let request = self.home_clients().iam.get_role().role_name(role.as_str()).send();
        let output = match self.shared.caller.read(Service::Iam, OPERATION, request).await {
            Ok(output) => output,
            Err(failure) if failure.has_code("NoSuchEntity") => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let found = output.role.ok_or_else(|| Failure::incomplete(OPERATION, "role"))?;
        let (inline_policies, attached_policy_arns) =
            futures::try_join!(self.inline_policies(role), self.attached_policies(role)).map_err(while_reading)?;
        role_observation(found, inline_policies, attached_policy_arns).map(Some)
    }

    async fn inline_policies(&self, role: &RoleName) -> Result<BTreeMap<String, String>, Failure> {
        const OPERATION: &str = "ListRolePolicies";
        let iam = self.home_clients().iam;
        let mut names = BTreeSet::new();
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let request = iam
                .list_role_policies()
                .role_name(role.as_str())
                .set_marker(marker.clone());
            let page = self.shared.caller.read(Service::Iam, OPERATION, request.send()).await?;
            names.extend(page.policy_names);
            marker = next_marker(OPERATION, page.is_truncated, page.marker, marker.as_ref())?;
            if marker.is_none() {
                return stream::iter(names)
                    .map(|name| self.inline_policy(role, name))
                    .buffer_unordered(CONCURRENCY)
                    .try_collect()
                    .await;
            }
        }
        Err(too_many(OPERATION))
    }

    async fn inline_policy(&self, role: &RoleName, name: String) -> Result<(String, String), Failure> {
        const OPERATION: &str = "GetRolePolicy";
        let iam = self.home_clients().iam;
        let request = iam.get_role_policy().role_name(role.as_str()).policy_name(&name);
        let output = self.shared.caller.read(Service::Iam, OPERATION, request.send()).await?;
        let document = decode(OPERATION, output.policy_document())?;
        Ok((name, document))
    }

    async fn attached_policies(&self, role: &RoleName) -> Result<BTreeSet<String>, Failure> {
        const OPERATION: &str = "ListAttachedRolePolicies";
        let iam = self.home_clients().iam;
        let mut arns = BTreeSet::new();
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let request = iam
                .list_attached_role_policies()
                .role_name(role.as_str())
                .set_marker(marker.clone());
            let page = self.shared.caller.read(Service::Iam, OPERATION, request.send()).await?;
            for policy in page.attached_policies() {
                let arn = policy.policy_arn();
                let arn = arn.ok_or_else(|| Failure::incomplete(OPERATION, "ARN of a policy"))?;
                arns.insert(arn.to_owned());
            }
            marker = next_marker(OPERATION, page.is_truncated, page.marker, marker.as_ref())?;
            if marker.is_none() {
                return Ok(arns);
            }
        }
        Err(too_many(OPERATION))
    }
}

fn too_many(operation: &'static str) -> Failure {
    let message = format!("more than {MAX_PAGES} pages; not judged, because it could only be judged in part");
    Failure::new(operation, ErrorClass::Terminal, message)
}

/// What was there a moment ago is gone: somebody is changing it, so look again later.
fn while_reading(mut failure: Failure) -> Failure {
    if failure.error.class == ErrorClass::NotFound {
        failure.error.class = ErrorClass::Transient;
        failure.error.message = format!("changed while it was read: {}", failure.error.message);
    }
    failure
}

fn decode(operation: &'static str, document: &str) -> Result<String, Failure> {
    decode_if_encoded(document).map_err(|e| Failure::new(operation, ErrorClass::Terminal, format!("document: {e}")))
}

pub(super) fn role_observation(
    role: Role,
    inline_policies: BTreeMap<String, String>,
    attached_policy_arns: BTreeSet<String>,
) -> Result<RoleObservation, Failure> {
    const OPERATION: &str = "GetRole";
    let trust_policy = role.assume_role_policy_document();
    let trust_policy = trust_policy.ok_or_else(|| Failure::incomplete(OPERATION, "trust policy"))?;
    Ok(RoleObservation {
        trust_policy: decode(OPERATION, trust_policy)?,
        max_session_duration_seconds: role.max_session_duration().unwrap_or(DEFAULT_SESSION_SECONDS),
        permissions_boundary_arn: role
            .permissions_boundary()
            .and_then(|b| b.permissions_boundary_arn())
            .map(str::to_owned),
        tags: role
            .tags()
            .iter()
            .map(|t| (t.key().to_owned(), t.value().to_owned()))
            .collect(),
        created_time: timestamp(&role.create_date),
        last_used_time: role
            .role_last_used
            .as_ref()
            .and_then(|used| used.last_used_date())
            .and_then(timestamp),
        arn: role.arn,
        role_id: role.role_id,
        path: role.path,
        inline_policies,
        attached_policy_arns,
    })
}
