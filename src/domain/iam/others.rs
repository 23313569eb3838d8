//! The other roles that the pods of a training role can get: those whose trust lets the ServiceAccounts' tokens in, and
//! those that a Pod Identity association gives them. The claim is about what the pods can do, so that it is about these too.

use std::collections::BTreeSet;

use super::compiled::Policy;
use super::principal::Caller;
use super::proof::{Evidence, RoleFacts, assumable_with_token};
use super::role::{oidc_provider, subject};
use crate::domain::document::{PolicyDocument, PolicyKind};
use crate::domain::observed::{AccountRoles, PodIdentityAssociation, RoleObservation};
use crate::domain::policy::{RoleTarget, ServiceAccount, ValidatedPolicy};

/// Stands for a provider that nobody names. No AWS account has this number.
const UNNAMED: &str = "arn:aws:iam::000000000000:oidc-provider/unnamed";

/// A role, and the first listed ServiceAccount that can have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherRole<'a> {
    /// The role.
    pub role: &'a RoleObservation,
    /// The ServiceAccount.
    pub by: &'a ServiceAccount,
}

/// The roles of the account besides the policy's own, which are judged in their own right, that a ServiceAccount of `role`
/// can assume. A role whose trust can't be read is among them; where the operator has no OIDC provider configured, so is a
/// role that lets in such a token of any cluster.
pub fn other_roles<'a>(
    policy: &ValidatedPolicy,
    role: &'a RoleTarget,
    all: &'a AccountRoles,
    associations: Option<&BTreeSet<PodIdentityAssociation>>,
) -> Vec<OtherRole<'a>> {
    // By name, which is unique in an account without regard to case: an adopted role keeps its path.
    let own: BTreeSet<String> = policy
        .roles
        .iter()
        .map(|r| r.name.as_str().to_ascii_lowercase())
        .collect();
    let provider = oidc_provider(policy).map(|provider| provider.arn);
    let mut out = Vec::new();
    for other in all.roles.iter().filter(|other| !own.contains(&name_of(other))) {
        // Most roles trust no provider at all: those need not be understood.
        let providers = providers(&other.trust_policy, provider.as_deref());
        let facts = providers.first().and_then(|_| trust_facts(other));
        let by = role.service_accounts.iter().find(|account| {
            let by_token = providers.iter().any(|provider| match &facts {
                Some(facts) => {
                    !assumable_with_token(std::slice::from_ref(facts), provider, &subject(account)).is_empty()
                }
                None => true,
            });
            by_token || associations.is_some_and(|all| all.iter().any(|a| gives(a, account, &other.arn)))
        });
        out.extend(by.map(|by| OtherRole { role: other, by }));
    }
    out
}

fn name_of(role: &RoleObservation) -> String {
    role.arn.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}

/// Whether a trust policy's text can let in another role at all; most let in services only, and need not be understood.
pub fn may_trust_roles(role: &RoleObservation) -> bool {
    let trust = &role.trust_policy;
    trust.contains("AWS") || trust.contains('*') || trust.contains('\\') || trust.contains("NotPrincipal")
}

/// The providers of the cluster's tokens that a trust policy's text can let in, by ARN: the configured one, else every one
/// that is named, and one for all that are not.
fn providers<'a>(trust: &'a str, configured: Option<&'a str>) -> Vec<&'a str> {
    // Escapes would hide the name; nobody writes them, but they are JSON.
    let any = trust.contains('*') || trust.contains('\\') || trust.contains("NotPrincipal");
    if let Some(provider) = configured {
        let trusted = any || trust.contains(provider);
        return Vec::from_iter(trusted.then_some(provider));
    }
    let named = trust.split('"').filter(|text| text.contains(":oidc-provider/"));
    named.chain(any.then_some(UNNAMED)).collect()
}

fn gives(association: &PodIdentityAssociation, account: &ServiceAccount, arn: &str) -> bool {
    let PodIdentityAssociation {
        id: _,
        namespace,
        service_account,
        role_arn,
        target_role_arn,
        session_tags_disabled: _,
    } = association;
    let is_of = *namespace == account.namespace && *service_account == account.name;
    is_of && (role_arn == arn || target_role_arn.as_deref() == Some(arn))
}

/// The role with nothing but its trust; None if its ARN is none.
fn trust_facts(role: &RoleObservation) -> Option<RoleFacts> {
    Some(RoleFacts {
        caller: Caller::parse(&role.arn).ok()?,
        identity: Vec::new(),
        boundary: None,
        trust: trust_of(role),
    })
}

/// A role's trust policy, for the proof.
pub fn trust_of(role: &RoleObservation) -> Evidence<Policy> {
    let parsed = PolicyDocument::parse(&role.trust_policy).map_err(|e| e.to_string());
    let compiled = parsed.and_then(|d| Policy::new(PolicyKind::Trust, &role.arn, &d).map_err(|e| e.to_string()));
    match compiled {
        Ok(policy) => Evidence::Seen(policy),
        Err(why) => Evidence::Missing(why),
    }
}
