//! AWS's decision on one request: who may do what to which resource under which policies.
//!
//! Source: "Policy evaluation logic", "Permissions boundaries", "Session policies" (AWS IAM User Guide); "SCP evaluation"
//! and "Resource control policies" (AWS Organizations User Guide); "Key policies in AWS KMS" (AWS KMS Developer Guide).
//! Exact for what the documents say. Not modelled, because no policy document says it: ACLs, KMS grants, the S3 block on
//! public access, the lists of services that support resource control policies, that nobody can change AWS's own managed
//! policies and reserved roles, which kind of VPC endpoint has a policy (a gateway takes an account for its root user), and
//! which context keys are multivalued (one value is compared as it is, also without a set operator, of which AWS says only
//! that such keys require one).
//!
//! In a `Resource` a `*` crosses colons wherever it stands; AWS documents it for one at the end of a segment. The read-only
//! proof relies on no more than that.

#[cfg(test)]
mod adversary;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

use std::fmt;

use super::compiled::{Policy, Rule, StatementRef};
use super::context::Context;
use super::principal::{Caller, Closeness};
use crate::domain::document::{Effect, PolicyKind, PrincipalElement};

/// A question: may this caller do this?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    caller: Caller,
    action: String,
    resource: String,
    resource_account: Option<String>,
    context: Context,
}

/// A question that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not one action.
    #[error("{0:?} is no action; expected service:Name without wildcards, such as s3:GetObject")]
    Action(String),
    /// Not one resource.
    #[error(
        "{0:?} is no resource; expected an ARN such as arn:aws:s3:::bucket/key, or * for actions without a resource"
    )]
    Resource(String),
    /// Not an account.
    #[error("{0:?} is no account id; expected 12 digits")]
    Account(String),
}

impl Request {
    /// A question about `caller` doing `action` (`service:Name`) to `resource` (an ARN, or `*`).
    ///
    /// `resource_account` is the account that owns the resource; None takes it from the ARN, and else the caller's (the ARN
    /// of a bucket has no account). Context keys that follow from the rest (`aws:PrincipalArn`, `aws:PrincipalAccount`,
    /// `aws:PrincipalType`, `aws:username`, `aws:PrincipalIsAWSService`, `aws:ResourceAccount`) are filled in unless given;
    /// the role of a session whose path is not known is taken to have none.
    ///
    /// # Errors
    /// [`RequestError`] for an action or resource with wildcards, or an account that is none.
    pub fn new(
        caller: Caller,
        action: &str,
        resource: &str,
        resource_account: Option<&str>,
        context: Context,
    ) -> Result<Self, RequestError> {
        let short = |text: &str| text.chars().take(200).collect();
        let word = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        match action.split_once(':') {
            Some((service, name)) if word(service) && word(name) => {}
            Some(_) | None => return Err(RequestError::Action(short(action))),
        }
        let parts: Vec<&str> = resource.splitn(6, ':').collect();
        match parts[..] {
            ["*"] => {}
            ["arn", partition, service, _, _, name]
                if !partition.is_empty() && !service.is_empty() && !name.is_empty() => {}
            _ => return Err(RequestError::Resource(short(resource))),
        }
        if let Some(account) = resource_account.filter(|a| !is_account(a)) {
            return Err(RequestError::Account(short(account)));
        }
        let resource_account = resource_account
            .or(account_in(resource))
            .or(caller.account())
            .map(str::to_owned);
        let mut context = completed(context, &caller, resource_account.as_deref());
        // Every session has the key, though its own ARN does not tell the role's path.
        if let Some(arn) = caller.role_arn_without_path() {
            context.add_default("aws:PrincipalArn", &arn);
        }
        Ok(Self {
            context,
            action: action.to_owned(),
            resource: resource.to_owned(),
            resource_account,
            caller,
        })
    }

    fn same_account(&self) -> bool {
        self.resource_account.as_deref() == self.caller.account()
    }

    /// Whether the resource's own policy must agree even within one account: keys and roles.
    fn needs_resource_policy(&self) -> bool {
        let action = self.action.to_ascii_lowercase();
        let name = self.resource.splitn(6, ':').nth(5).unwrap_or_default();
        match action.split_once(':') {
            Some(("kms", _)) => name.starts_with("key/"),
            Some(("sts", what)) => {
                name.starts_with("role/")
                    && (what.starts_with("assumerole") || what == "tagsession" || what == "setsourceidentity")
            }
            Some(_) | None => false,
        }
    }

    /// "The account root user can get, put and delete the bucket policy even if the policy denies it." (PutBucketPolicy,
    /// Amazon S3 API Reference.)
    fn bucket_policy_by_root(&self) -> bool {
        let action = self.action.to_ascii_lowercase();
        let own = matches!(self.caller, Caller::Root { .. }) && self.same_account();
        own && ["s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy"].contains(&action.as_str())
    }
}

/// The account that an ARN names as the resource's owner; none in the ARNs of buckets and their objects.
pub fn account_in(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|field| is_account(field))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The context keys that follow from who asks, and so are the same in all of his requests.
pub fn context_of(caller: &Caller) -> Context {
    completed(Context::new(), caller, None)
}

fn completed(mut context: Context, caller: &Caller, resource_account: Option<&str>) -> Context {
    if let Some(arn) = caller.principal_arn() {
        context.add_default("aws:PrincipalArn", &arn);
    }
    if let Some(account) = caller.account() {
        context.add_default("aws:PrincipalAccount", account);
    }
    if let Some(kind) = caller.principal_type() {
        context.add_default("aws:PrincipalType", kind);
    }
    if let Caller::User { path_and_name, .. } = caller {
        context.add_default("aws:username", path_and_name.rsplit('/').next().unwrap_or_default());
    }
    if let Caller::Service(name) = caller {
        context.add_default("aws:PrincipalServiceName", name);
    }
    let service = matches!(caller, Caller::Service(_));
    context.add_default("aws:PrincipalIsAWSService", if service { "true" } else { "false" });
    if let Some(account) = resource_account {
        context.add_default("aws:ResourceAccount", account);
    }
    context
}

/// Every policy that has a say in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySet {
    /// The caller's own policies.
    pub identity: Vec<Policy>,
    /// The caller's permissions boundary.
    pub boundary: Option<Policy>,
    /// Session policies; empty means that the session has none, which leaves the session of a federated user without
    /// permissions.
    pub session: Vec<Policy>,
    /// The resource's policy; for `sts:AssumeRole` the role's trust policy, for a key its key policy.
    pub resource: Option<Policy>,
    /// Service control policies of the caller's account, level by level (root, units, account); empty means no
    /// organization.
    pub service_control: Vec<Vec<Policy>>,
    /// Resource control policies of the resource's account, level by level. `RCPFullAWSAccess`, which AWS attaches
    /// everywhere and nobody can detach, need not be given.
    pub resource_control: Vec<Vec<Policy>>,
    /// Policy of the VPC endpoint that the request comes through.
    pub vpc_endpoint: Option<Policy>,
}

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Allowed.
    Allowed,
    /// Denied, since nothing allows it.
    ImplicitlyDenied,
    /// Denied by a Deny.
    ExplicitlyDenied,
}

impl Verdict {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "Allowed",
            Self::ImplicitlyDenied => "ImplicitlyDenied",
            Self::ExplicitlyDenied => "ExplicitlyDenied",
        }
    }
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// This statement allows, or denies.
    Statement(StatementRef),
    /// No statement allows it in the policies of this kind. For control policies: at this level, from 0.
    NothingAllows(PolicyKind, Option<usize>),
    /// The root user needs no policy.
    RootUser,
    /// "No permissions are required to perform this operation" (GetCallerIdentity, AWS STS API Reference).
    NeedsNoPermission,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement(reference) => write!(f, "{reference}"),
            Self::NothingAllows(kind, None) => write!(f, "no {} allows it", kind.as_str()),
            Self::NothingAllows(kind, Some(level)) => write!(f, "no {} of level {level} allows it", kind.as_str()),
            Self::RootUser => f.write_str("the account's root user needs no policy"),
            Self::NeedsNoPermission => f.write_str("the operation needs no permission"),
        }
    }
}

/// A decision with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The outcome.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    fn allowed(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Allowed,
            reason,
        }
    }

    fn not_allowed(kind: PolicyKind) -> Self {
        Self {
            verdict: Verdict::ImplicitlyDenied,
            reason: Reason::NothingAllows(kind, None),
        }
    }

    /// Whether the request goes through.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allowed
    }
}

/// Decides a request in AWS's order: an explicit Deny anywhere; what the organization and the VPC endpoint let through; then
/// the resource's policy, the caller's policies, boundary and session, in the way their accounts stand to each other.
pub fn decide(request: &Request, policies: &PolicySet) -> Decision {
    if request.action.eq_ignore_ascii_case("sts:GetCallerIdentity") {
        return Decision::allowed(Reason::NeedsNoPermission);
    }
    if let Some(rule) = explicit_deny(request, policies) {
        return Decision {
            verdict: Verdict::ExplicitlyDenied,
            reason: Reason::Statement(rule.reference.clone()),
        };
    }
    if let Some(level) = blocked_at(request, policies) {
        return Decision {
            verdict: Verdict::ImplicitlyDenied,
            reason: Reason::NothingAllows(PolicyKind::ServiceControl, Some(level)),
        };
    }
    if let Some(policy) = &policies.vpc_endpoint
        && allowing(policy, request, None).is_none()
    {
        return Decision::not_allowed(PolicyKind::VpcEndpoint);
    }
    let grant = policies
        .resource
        .as_ref()
        .and_then(|policy| closest_grant(policy, request));
    match &request.caller {
        Caller::Service(_) | Caller::Federated(_) | Caller::Anonymous => match grant {
            Some((_, rule)) => Decision::allowed(Reason::Statement(rule.reference.clone())),
            None => Decision::not_allowed(resource_kind(policies)),
        },
        Caller::Root { .. } | Caller::Role { .. } | Caller::User { .. } | Caller::FederatedUser { .. } => {
            decide_identity(request, policies, grant)
        }
    }
}

/// The rest of the decision for a caller with an account.
fn decide_identity(request: &Request, policies: &PolicySet, grant: Option<(Closeness, &Rule)>) -> Decision {
    let (closeness, granting) = grant.unzip();
    let needs_grant = !request.same_account() || request.needs_resource_policy();
    if needs_grant && granting.is_none() {
        return Decision::not_allowed(resource_kind(policies));
    }
    // Across accounts the resource's policy only opens the door; the caller's own account must let him go through it.
    let direct = closeness.filter(|_| request.same_account());
    let direct = match (direct, granting) {
        (Some(Closeness::Exact), Some(rule)) => return Decision::allowed(Reason::Statement(rule.reference.clone())),
        (Some(Closeness::Identity), Some(rule)) => Some(Reason::Statement(rule.reference.clone())),
        (Some(Closeness::Account | Closeness::Exact | Closeness::Identity) | None, _) => None,
    };
    let reason = match (direct, &request.caller) {
        (Some(reason), _) => reason,
        (None, Caller::Root { .. }) => return Decision::allowed(Reason::RootUser),
        (None, _) => match policies.identity.iter().find_map(|p| allowing(p, request, None)) {
            Some(rule) => Reason::Statement(rule.reference.clone()),
            None => return Decision::not_allowed(PolicyKind::Identity),
        },
    };
    if let Some(policy) = &policies.boundary
        && allowing(policy, request, None).is_none()
    {
        return Decision::not_allowed(PolicyKind::Boundary);
    }
    let session = &policies.session;
    // "If you do not pass a policy, then the resulting federated user session has no permissions." (GetFederationToken)
    let limited = !session.is_empty() || matches!(request.caller, Caller::FederatedUser { .. });
    if limited && !session.iter().any(|p| allowing(p, request, None).is_some()) {
        return Decision::not_allowed(PolicyKind::Session);
    }
    Decision::allowed(reason)
}

fn resource_kind(policies: &PolicySet) -> PolicyKind {
    policies.resource.as_ref().map_or(PolicyKind::Resource, |p| p.kind)
}

/// The first Deny that hits the request.
fn explicit_deny<'a>(request: &Request, policies: &'a PolicySet) -> Option<&'a Rule> {
    let PolicySet {
        identity,
        boundary,
        session,
        resource,
        service_control,
        resource_control,
        vpc_endpoint,
    } = policies;
    let resource = resource.as_ref().filter(|_| !request.bucket_policy_by_root());
    // "RCPs do not restrict … calls made by a service-linked role."
    let of_resource = resource_control
        .iter()
        .flatten()
        .filter(|_| !request.caller.is_service_linked());
    let of_caller = service_control
        .iter()
        .flatten()
        .filter(|_| under_service_control(&request.caller));
    let control = of_caller.chain(of_resource);
    let caller = [identity.as_slice(), boundary.as_slice(), session.as_slice()]
        .into_iter()
        .flatten();
    let all = caller.chain(resource).chain(control).chain(vpc_endpoint);
    let bounded = boundary.is_some();
    all.flat_map(|policy| &policy.rules).find(|rule| {
        rule.effect == Effect::Deny
            && concerns(rule, &request.caller, bounded)
            && rule.covers(&request.action, &request.resource, &request.context)
    })
}

/// "SCPs affect only IAM users and roles that are managed by accounts that are part of the organization", the root user
/// included; neither service-linked roles nor services themselves.
fn under_service_control(caller: &Caller) -> bool {
    caller.account().is_some() && !caller.is_service_linked()
}

/// The first level of service control policies at which nothing allows the request.
fn blocked_at(request: &Request, policies: &PolicySet) -> Option<usize> {
    if !under_service_control(&request.caller) {
        return None;
    }
    let open = |level: &Vec<Policy>| level.iter().any(|p| allowing(p, request, None).is_some());
    policies.service_control.iter().position(|level| !open(level))
}

/// The first statement that allows the request, to a caller named at least this closely.
fn allowing<'a>(policy: &'a Policy, request: &Request, at_least: Option<Closeness>) -> Option<&'a Rule> {
    policy.rules.iter().find(|rule| {
        rule.effect == Effect::Allow
            && granted_to(rule, &request.caller).is_some_and(|c| at_least.is_none_or(|least| c >= least))
            && rule.covers(&request.action, &request.resource, &request.context)
    })
}

/// The statement of a resource policy that allows the request and names the caller most closely.
fn closest_grant<'a>(policy: &'a Policy, request: &Request) -> Option<(Closeness, &'a Rule)> {
    [Closeness::Exact, Closeness::Identity, Closeness::Account]
        .into_iter()
        .find_map(|closeness| allowing(policy, request, Some(closeness)).map(|rule| (closeness, rule)))
}

/// How closely an Allow names the caller. In policies without principals it names whoever has the policy.
fn granted_to(rule: &Rule, caller: &Caller) -> Option<Closeness> {
    match &rule.principal {
        None => Some(Closeness::Exact),
        Some(PrincipalElement::Principal(principals)) => caller.named_in(principals),
        // Everybody but the listed ones, anonymous requests included.
        Some(PrincipalElement::NotPrincipal(principals)) => {
            caller.named_in(principals).is_none().then_some(Closeness::Exact)
        }
    }
}

/// Whether a Deny is about the caller. "The NotPrincipal element with a Deny effect will always deny any IAM principal that
/// has a permissions boundary policy attached, regardless of the values specified in the NotPrincipal element."
fn concerns(rule: &Rule, caller: &Caller, bounded: bool) -> bool {
    match &rule.principal {
        None => true,
        Some(PrincipalElement::Principal(principals)) => caller.named_in(principals).is_some(),
        Some(PrincipalElement::NotPrincipal(principals)) => bounded || !caller.excepted_by(principals),
    }
}
