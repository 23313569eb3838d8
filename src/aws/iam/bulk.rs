//! All roles of an account at once: far fewer requests than role by role.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_iam::types::{EntityType, ManagedPolicyDetail, RoleDetail};
use tokio::time::Instant;

use super::DEFAULT_SESSION_SECONDS;
use crate::aws::classify::Failure;
use crate::aws::paging::next_marker;
use crate::aws::service::Service;
use crate::aws::session::AccountSession;
use crate::aws::time::timestamp;
use crate::domain::document::decode_if_encoded;
use crate::domain::names::RoleName;
use crate::domain::observed::{AccountRoles, ErrorClass, Read, RoleObservation};
use crate::shelf::RETENTION;

/// Largest page that IAM gives (GetAccountAuthorizationDetails, ListRoles: MaxItems).
const PAGE: i32 = 1_000;
/// Pages of one listing. An account has at most 5,000 roles, but IAM may give smaller pages than asked for.
const MAX_PAGES: usize = 100;
/// Room for the documents of all roles, bytes.
const MAX_BYTES: usize = 64 << 20;

/// All roles, and when they were read.
#[derive(Clone)]
pub(in crate::aws) struct Bulk {
    read_at: Instant,
    roles: Arc<AccountRoles>,
}

impl AccountSession {
    /// Reads every role of the account, not older than `max_age`.
    ///
    /// # Errors
    /// Why they could not be read whole; also if there are more than can be kept (64 MB of documents).
    pub async fn account_roles(&self, max_age: Duration) -> Read<Arc<AccountRoles>> {
        Ok(self.bulk(max_age).await?.roles)
    }

    /// Reads a role out of all of them, or on its own where that is newer or the only way that is allowed.
    pub(in crate::aws) async fn role_from_bulk(
        &self,
        role: &RoleName,
        max_age: Duration,
    ) -> Read<Option<RoleObservation>> {
        match self.bulk(max_age).await {
            // What we have written since is not in there.
            Ok(bulk) if self.shared.written_since(role, bulk.read_at) => self.observe_role(role, max_age).await,
            Ok(bulk) => Ok(find(&bulk.roles, role).cloned()),
            Err(failure) => match failure.error.class {
                ErrorClass::AccessDenied | ErrorClass::Unsupported | ErrorClass::Terminal => {
                    self.observe_role(role, max_age).await
                }
                ErrorClass::Credentials | ErrorClass::NotFound | ErrorClass::Throttled | ErrorClass::Transient => {
                    Err(failure.error)
                }
            },
        }
    }

    async fn bulk(&self, max_age: Duration) -> Result<Bulk, Failure> {
        let kept = &self.shared.readings.account_roles;
        // Not older than our memory of what we have written.
        kept.get(&(), max_age.min(RETENTION), || self.read_account_roles())
            .await
    }

    async fn read_account_roles(&self) -> Result<Bulk, Failure> {
        let read_at = Instant::now();
        let (details, durations) = futures::try_join!(self.authorization_details(), self.session_durations())?;
        let (mut roles, managed_policies) = details;
        for role in &mut roles {
            if let Some(seconds) = durations.get(&role.arn) {
                role.max_session_duration_seconds = *seconds;
            }
        }
        let roles = AccountRoles {
            roles,
            managed_policies,
        };
        Ok(Bulk {
            read_at,
            roles: Arc::new(roles),
        })
    }

    async fn authorization_details(&self) -> Result<(Vec<RoleObservation>, BTreeMap<String, String>), Failure> {
        const OPERATION: &str = "GetAccountAuthorizationDetails";
        let iam = self.home_clients().iam;
        let (mut roles, mut policies, mut bytes) = (Vec::new(), BTreeMap::new(), 0);
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let request = iam
                .get_account_authorization_details()
                .filter(EntityType::Role)
                .filter(EntityType::LocalManagedPolicy)
                .max_items(PAGE)
                .set_marker(marker.clone());
            let page = self.shared.caller.read(Service::Iam, OPERATION, request.send()).await?;
            for detail in page.role_detail_list.unwrap_or_default() {
                let role = role(detail)?;
                bytes += size(&role);
                roles.push(role);
            }
            for detail in page.policies.unwrap_or_default() {
                let (arn, document) = managed_policy(detail)?;
                bytes += document.len();
                policies.insert(arn, document);
            }
            if bytes > MAX_BYTES {
                break;
            }
            marker = next_marker(OPERATION, page.is_truncated, page.marker, marker.as_ref())?;
            if marker.is_none() {
                return Ok((roles, policies));
            }
        }
        let message =
            "the account has more roles than can be kept; not judged, because it could only be judged in part";
        Err(Failure::new(OPERATION, ErrorClass::Terminal, message))
    }

    /// `MaxSessionDuration` by ARN: the one property that the authorization details lack.
    async fn session_durations(&self) -> Result<HashMap<String, i32>, Failure> {
        const OPERATION: &str = "ListRoles";
        let iam = self.home_clients().iam;
        let mut durations = HashMap::new();
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let request = iam.list_roles().max_items(PAGE).set_marker(marker.clone());
            let page = self.shared.caller.read(Service::Iam, OPERATION, request.send()).await?;
            durations.extend(page.roles.into_iter().map(|role| {
                let seconds = role.max_session_duration.unwrap_or(DEFAULT_SESSION_SECONDS);
                (role.arn, seconds)
            }));
            marker = next_marker(OPERATION, page.is_truncated, page.marker, marker.as_ref())?;
            if marker.is_none() {
                return Ok(durations);
            }
        }
        Err(Failure::new(
            OPERATION,
            ErrorClass::Terminal,
            "more pages than an account can have",
        ))
    }
}

/// The role of this name. IAM takes names that differ in case only for the same.
fn find<'a>(all: &'a AccountRoles, name: &RoleName) -> Option<&'a RoleObservation> {
    all.roles.iter().find(|role| {
        let found = role.arn.rsplit('/').next().unwrap_or_default();
        found.eq_ignore_ascii_case(name.as_str())
    })
}

fn size(role: &RoleObservation) -> usize {
    role.trust_policy.len() + role.inline_policies.values().map(String::len).sum::<usize>()
}

/// A document of somebody's that cannot be decoded is kept as it is: what it says is then unknown, of this role only.
fn decoded(document: String) -> String {
    decode_if_encoded(&document).unwrap_or(document)
}

fn role(detail: RoleDetail) -> Result<RoleObservation, Failure> {
    let incomplete = |lacks| Failure::incomplete("GetAccountAuthorizationDetails", lacks);
    let boundary = detail.permissions_boundary.and_then(|b| b.permissions_boundary_arn);
    let trust = detail.assume_role_policy_document;
    let inline = detail.role_policy_list.unwrap_or_default().into_iter();
    let attached = detail.attached_managed_policies.unwrap_or_default().into_iter();
    Ok(RoleObservation {
        arn: detail.arn.ok_or_else(|| incomplete("ARN of a role"))?,
        role_id: detail.role_id.ok_or_else(|| incomplete("id of a role"))?,
        path: detail.path.ok_or_else(|| incomplete("path of a role"))?,
        trust_policy: trust.map(decoded).ok_or_else(|| incomplete("trust policy of a role"))?,
        max_session_duration_seconds: DEFAULT_SESSION_SECONDS,
        permissions_boundary_arn: boundary,
        tags: detail
            .tags
            .unwrap_or_default()
            .into_iter()
            .map(|t| (t.key, t.value))
            .collect(),
        inline_policies: inline
            .map(|p| Some((p.policy_name?, decoded(p.policy_document?))))
            .collect::<Option<_>>()
            .ok_or_else(|| incomplete("inline policy of a role"))?,
        attached_policy_arns: attached
            .map(|p| p.policy_arn)
            .collect::<Option<_>>()
            .ok_or_else(|| incomplete("ARN of an attached policy"))?,
        created_time: detail.create_date.as_ref().and_then(timestamp),
        last_used_time: detail
            .role_last_used
            .and_then(|used| used.last_used_date)
            .as_ref()
            .and_then(timestamp),
    })
}

fn managed_policy(detail: ManagedPolicyDetail) -> Result<(String, String), Failure> {
    let incomplete = |lacks| Failure::incomplete("GetAccountAuthorizationDetails", lacks);
    let arn = detail.arn.ok_or_else(|| incomplete("ARN of a policy"))?;
    let versions = detail.policy_version_list.unwrap_or_default().into_iter();
    let default = versions.into_iter().find(|version| version.is_default_version);
    let document = default.and_then(|version| version.document);
    Ok((
        arn,
        document
            .map(decoded)
            .ok_or_else(|| incomplete("document of a policy"))?,
    ))
}
