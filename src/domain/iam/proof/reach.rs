//! Whom a statement reaches: at its widest for Allows, at its narrowest for Denies.

use super::verdict::{Origin, Reason};
use super::{always_holds, every_action};
use crate::domain::document::{Effect, PrincipalElement, PrincipalKind, Principals};
use crate::domain::glob::{Case, Glob};
use crate::domain::iam::compiled::{Actions, Resources, Rule};
use crate::domain::iam::principal::{Caller, Closeness};

/// Something that may give permissions.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) origin: Origin,
    pub(super) actions: std::borrow::Cow<'a, Actions>,
    pub(super) resources: std::borrow::Cow<'a, Resources>,
    /// Whether the role's boundary limits it.
    pub(super) capped: bool,
}

impl<'a> Source<'a> {
    pub(super) fn of(rule: &'a Rule, capped: bool) -> Self {
        Self {
            origin: Origin::Statement(rule.reference.clone()),
            actions: std::borrow::Cow::Borrowed(&rule.actions),
            resources: std::borrow::Cow::Borrowed(&rule.resources),
            capped,
        }
    }

    /// What could not be read may allow everything.
    pub(super) fn unknown(reason: Reason) -> Self {
        Self::other(Origin::Unknown(reason), every_action())
    }

    /// A source that is no statement, and gives these actions wherever it applies.
    pub(super) fn other(origin: Origin, actions: Actions) -> Self {
        Self {
            origin,
            actions: std::borrow::Cow::Owned(actions),
            resources: std::borrow::Cow::Owned(Resources::AllBut(Vec::new())),
            capped: false,
        }
    }

    /// What an Allow of a resource's policy gives the caller by itself. Naming only his account gives nothing: it leaves
    /// the decision to his own policies, which are judged anyway.
    pub(super) fn of_resource_policy(rule: &'a Rule, caller: &Caller) -> Option<Self> {
        match granted(rule, caller)? {
            Closeness::Exact => Some(Self::of(rule, false)),
            Closeness::Identity => Some(Self::of(rule, true)),
            Closeness::Account => None,
        }
    }
}

/// How closely an Allow of a resource's policy may name the caller, in any of his sessions.
pub(super) fn granted(rule: &Rule, caller: &Caller) -> Option<Closeness> {
    match (rule.effect, &rule.principal) {
        (Effect::Deny, _) => None,
        // "The permissions specified in the policy statement will be granted to all principals except for the ones
        // specified", and an exception for the role leaves its sessions in doubt. Without the element, which no resource
        // policy may lack, nobody is excepted.
        (Effect::Allow, None | Some(PrincipalElement::NotPrincipal(_))) => Some(Closeness::Exact),
        (Effect::Allow, Some(PrincipalElement::Principal(Principals { everyone, entries }))) => {
            let everyone = everyone.then_some(Closeness::Exact);
            let entries = entries
                .iter()
                .flat_map(|(kind, values)| values.iter().map(|v| (*kind, v)));
            entries
                .filter_map(|(kind, value)| may_name(kind, value, caller))
                .chain(everyone)
                .max()
        }
    }
}

fn may_name(kind: PrincipalKind, value: &str, caller: &Caller) -> Option<Closeness> {
    match kind {
        // A session made from a token is also named by the token's provider ("OIDC session principals").
        PrincipalKind::Federated => Some(Closeness::Exact),
        PrincipalKind::Service | PrincipalKind::CanonicalUser => None,
        PrincipalKind::Aws => caller.named_by(kind, value).max(may_name_role(value, caller)),
    }
}

/// Sessions of the role by name, and names with wildcards, which AWS refuses and we don't rely on that.
pub(super) fn may_name_role(value: &str, caller: &Caller) -> Option<Closeness> {
    let Caller::Role {
        partition,
        account,
        name,
        ..
    } = caller
    else {
        return None;
    };
    let wild = Glob::new(value, Case::Sensitive);
    let mut sessions = Glob::literal(
        &format!("arn:{partition}:sts::{account}:assumed-role/{name}/"),
        Case::Sensitive,
    );
    sessions.push_pattern("*");
    let role = caller.principal_arn();
    if wild.intersects(&sessions) {
        Some(Closeness::Exact)
    } else if role.is_some_and(|arn| wild.matches(&arn)) {
        Some(Closeness::Identity)
    } else {
        None
    }
}

/// Whether a Deny surely hits every request of the caller that its actions and resources cover: no condition, or only such
/// as hold in all of them, and a principal that surely means him. Deny with NotPrincipal is not relied on.
pub(super) fn surely_denies(rule: &Rule, caller: &Caller) -> bool {
    let concerned = match &rule.principal {
        None => true,
        Some(PrincipalElement::Principal(principals)) => caller.named_in(principals).is_some(),
        Some(PrincipalElement::NotPrincipal(_)) => false,
    };
    rule.effect == Effect::Deny && concerned && always_holds(rule, caller)
}
