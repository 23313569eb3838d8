//! Roles that lead to roles: who can be assumed from here.

use super::Judge;
use super::facts::{Evidence, RoleFacts};
use super::reach::{granted, surely_denies};
use super::region::{Piece, Target, closes};
use super::verdict::{Findings, Origin, Reason};
use crate::domain::document::{Effect, PrincipalElement, PrincipalKind};
use crate::domain::glob::{Case, Glob};
use crate::domain::iam::compiled::{Policy, Rule};
use crate::domain::iam::condition::CompiledCondition;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, decide};
use crate::domain::iam::principal::{Caller, Closeness};

const ASSUME: &str = "sts:AssumeRole";

impl<'a> Judge<'a> {
    /// The roles of the account that this one can assume, as far as they are known.
    pub(super) fn assumable(&self, findings: &mut Findings) -> Vec<&'a RoleFacts> {
        self.other_accounts(findings);
        let account = self.role.caller.account().unwrap_or("*");
        let any = Glob::new(
            &format!("arn:{}:iam::{account}:role/*", self.partition()),
            Case::Sensitive,
        );
        let any = Target::Like(any);
        if self.refuses(ASSUME, &any) {
            return Vec::new();
        }
        match &self.input.roles {
            Evidence::Seen(roles) => roles.iter().filter(|other| self.can_assume(other, findings)).collect(),
            Evidence::Missing(why) => {
                findings.unknown(Reason::RolesUnknown(why.clone()));
                Vec::new()
            }
            Evidence::Outside => {
                if self.sources.iter().any(|s| self.opens_in(s, ASSUME, &any)) {
                    findings.unknown(Reason::RolesUnknown(
                        "the role may assume roles that were not given".to_owned(),
                    ));
                }
                Vec::new()
            }
        }
    }

    fn can_assume(&self, other: &RoleFacts, findings: &mut Findings) -> bool {
        let target = Target::One(other.arn());
        if self.refuses(ASSUME, &target) {
            return false;
        }
        match &other.trust {
            Evidence::Seen(trust) => self.trusted_by(trust, &target),
            Evidence::Outside => false,
            Evidence::Missing(why) => {
                let (what, why) = (format!("the trust policy of {}", other.arn()), why.clone());
                findings.unknown(Reason::Unreadable { what, why });
                false
            }
        }
    }

    fn trusted_by(&self, trust: &Policy, target: &Target) -> bool {
        let assuming = || trust.rules.iter().filter(|rule| rule.actions.matches(ASSUME));
        let refused = assuming().any(|rule| surely_denies(rule, &self.role.caller));
        let trusted = |rule: &Rule| match closeness(rule, &self.role.caller) {
            // Named itself, a role needs no permission of its own.
            Some(Closeness::Exact) => true,
            Some(Closeness::Identity) => self.bounds_allow(target),
            Some(Closeness::Account) => self.sources.iter().any(|s| self.opens_in(s, ASSUME, target)),
            None => false,
        };
        !refused && assuming().any(trusted)
    }

    fn bounds_allow(&self, target: &Target) -> bool {
        let piece = Piece::whole(target);
        self.role.boundary.as_ref().is_none_or(|boundary| {
            boundary.rules.iter().any(|rule| {
                let allows = rule.effect == Effect::Allow && rule.actions.matches(ASSUME);
                allows && super::may_reach(&rule.resources, &piece)
            })
        })
    }

    /// Roles of other accounts can't be looked at; that they may be assumed is said.
    fn other_accounts(&self, findings: &mut Findings) {
        let own = self.role.caller.account().unwrap_or_default();
        let inside = Glob::new(&format!("arn:{}:iam::{own}:role/*", self.partition()), Case::Sensitive);
        let outside = Target::Like(Glob::new("arn:*:iam::*:role/*", Case::Sensitive));
        for source in &self.sources {
            if !source.actions.matches(ASSUME) {
                continue;
            }
            for piece in super::opened(&source.resources, &outside) {
                let closed = self
                    .denials
                    .iter()
                    .any(|d| d.actions.matches(ASSUME) && closes(&d.resources, &piece));
                if closed || piece.is_within(&inside) || !self.bounded_to(source, ASSUME, &piece) {
                    continue;
                }
                match &source.origin {
                    Origin::Statement(statement) => findings.unknown(Reason::OtherAccounts {
                        statement: statement.clone(),
                        resource: piece.to_string(),
                    }),
                    Origin::Unknown(reason) => findings.unknown(reason.clone()),
                    Origin::Acl(_) | Origin::Grant(_) => {}
                }
            }
        }
    }
}

/// How closely a trust policy may name the caller. Providers are of no use to him: he has credentials, not tokens.
fn closeness(rule: &Rule, caller: &Caller) -> Option<Closeness> {
    let Some(PrincipalElement::Principal(principals)) = &rule.principal else {
        return granted(rule, caller);
    };
    let mut aws = principals.clone();
    aws.entries.remove(&PrincipalKind::Federated);
    let rule = Rule {
        principal: Some(PrincipalElement::Principal(aws)),
        ..rule.clone()
    };
    granted(&rule, caller)
}

/// The roles that a ServiceAccount can assume with its token, of an issuer whose provider has this ARN: all of them have to
/// be proven, not only those that name it on purpose. `subject` is the token's `sub`, e.g.
/// `system:serviceaccount:ml:trainer`, and all that is known of its requests: what an Allow asks of anything else may be met
/// (its audience is whatever the pod asks for, since projected volumes take any), what a Deny asks may not. A role whose
/// trust policy is not known is among them.
pub fn assumable_with_token<'a>(roles: &'a [RoleFacts], provider_arn: &str, subject: &str) -> Vec<&'a RoleFacts> {
    let issuer = provider_arn
        .split_once(":oidc-provider/")
        .map_or("", |(_, issuer)| issuer);
    let sub = format!("{issuer}:sub");
    let known =
        |condition: &CompiledCondition| condition.key().eq_ignore_ascii_case(&sub) && !condition.has_variables();
    let trusts = |role: &&RoleFacts| {
        let trust = match &role.trust {
            Evidence::Seen(trust) => trust,
            Evidence::Missing(_) => return true,
            Evidence::Outside => return false,
        };
        let mut context = Context::new();
        context.add(&sub, subject);
        let mut trust = trust.clone();
        trust.rules.retain(|rule| match (rule.effect, &rule.principal) {
            (Effect::Allow, _) => true,
            (Effect::Deny, Some(PrincipalElement::NotPrincipal(_))) => false,
            (Effect::Deny, Some(PrincipalElement::Principal(_)) | None) => rule.conditions.iter().all(known),
        });
        for rule in &mut trust.rules {
            rule.conditions.retain(known);
        }
        let caller = Caller::Federated(provider_arn.to_owned());
        let request = Request::new(caller, "sts:AssumeRoleWithWebIdentity", &role.arn(), None, context);
        let policies = PolicySet {
            resource: Some(trust),
            ..PolicySet::default()
        };
        // What can't be asked can't be ruled out.
        request.map_or(true, |request| decide(&request, &policies).is_allowed())
    };
    roles.iter().filter(trusts).collect()
}
