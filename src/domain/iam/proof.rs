//! The read-only proof: *no request signed with credentials of this role, or of roles it can assume in this account, is
//! authorised to change the data or destroy its key.*
//!
//! Sound: Allows are taken at their widest (conditions met, variables anything, unknown actions writes), Denies at their
//! narrowest (only without conditions, or with conditions that hold in every request of the role). So a proof is never
//! wrong about the documents it saw; a violation may be one that a condition prevents.
//!
//! Not covered by the claim: services that act with their own roles, replication into the bucket, lifecycle rules, presigned
//! URLs made by others, roles of other accounts (reported as [`Reason::OtherAccounts`]), sessions issued before a repair.

mod chain;
mod facts;
mod keys;
mod reach;
mod region;
mod storage;
#[cfg(test)]
mod tests;
mod verdict;

pub use chain::assumable_with_token;
pub use facts::{
    AccessPointFacts, AclFacts, AclGrant, AclGrantee, AclPermission, BucketFacts, Evidence, KeyFacts, KeyGrant,
    ProofInput, RoleFacts,
};
pub use verdict::{Kind, Origin, Proof, Reason, Violation};

use std::collections::BTreeSet;

use super::actions::escalations;
use super::compiled::{Actions, Policy, Rule};
use super::evaluate::context_of;
use crate::domain::document::{Effect, PolicyKind};
use reach::{Source, surely_denies};
use region::{Piece, Target, closes, may_reach, opened};
use verdict::Findings;

/// Judges the role of `input`, and every role that it can assume.
pub fn prove(input: &ProofInput) -> Proof {
    let mut findings = Findings::default();
    let mut seen = BTreeSet::from([input.role.arn()]);
    let mut open = vec![(&input.role, Vec::new())];
    // Each role is judged once, so the loop ends with the account's roles.
    while let Some((role, via)) = open.pop() {
        let judge = Judge::new(role, input, via.clone());
        judge.storage(&mut findings);
        judge.escalations(&mut findings);
        judge.keys(&mut findings);
        for next in judge.assumable(&mut findings) {
            if seen.insert(next.arn()) {
                let via = via.iter().cloned().chain([next.arn()]).collect();
                open.push((next, via));
            }
        }
    }
    findings.into_proof()
}

/// One role before the judge.
struct Judge<'a> {
    role: &'a RoleFacts,
    input: &'a ProofInput,
    /// Roles assumed on the way to this one.
    via: Vec<String>,
    /// Denies of the role's own policies, its boundary and its service control policies: they hold whatever the resource.
    denials: Vec<&'a Rule>,
    /// Denies of resource control policies: they hold for the organization's own buckets and keys.
    denials_on_own: Vec<&'a Rule>,
    /// What the role's own policies give.
    sources: Vec<Source<'a>>,
}

impl<'a> Judge<'a> {
    fn new(role: &'a RoleFacts, input: &'a ProofInput, via: Vec<String>) -> Self {
        let policies = || role.identity.iter().filter_map(Evidence::seen);
        let denying = |policies: &mut dyn Iterator<Item = &'a Policy>| {
            let rules = policies.flat_map(|p| &p.rules);
            rules.filter(|rule| surely_denies(rule, &role.caller)).collect()
        };
        // Neither kind is for service-linked roles.
        let control = |kind| {
            let organization = input.organization.iter();
            organization.filter(move |p| p.kind == kind && !role.caller.is_service_linked())
        };
        let own = policies().chain(&role.boundary);
        let denials = denying(&mut own.chain(control(PolicyKind::ServiceControl)));
        let denials_on_own = denying(&mut control(PolicyKind::ResourceControl));
        let given = policies()
            .flat_map(|p| &p.rules)
            .filter(|rule| rule.effect == Effect::Allow);
        let missing = role.identity.iter().filter_map(|policy| match policy {
            Evidence::Missing(why) => Some(Source::unknown(Reason::Unreadable {
                what: format!("a policy of role {}", role.arn()),
                why: why.clone(),
            })),
            Evidence::Seen(_) | Evidence::Outside => None,
        });
        Self {
            role,
            input,
            via,
            denials,
            denials_on_own,
            sources: given.map(|rule| Source::of(rule, true)).chain(missing).collect(),
        }
    }

    /// Denies of a resource's policy, besides the role's own.
    fn denials_with(&self, policy: Option<&'a Policy>) -> Vec<&'a Rule> {
        let more = policy.into_iter().flat_map(|p| &p.rules);
        let more = more.filter(|rule| surely_denies(rule, &self.role.caller));
        self.denials.iter().copied().chain(more).collect()
    }

    /// The same for a bucket or key of the organization.
    fn denials_on_own_with(&self, policy: Option<&'a Policy>) -> Vec<&'a Rule> {
        let own = self.denials_on_own.iter().copied();
        self.denials_with(policy).into_iter().chain(own).collect()
    }

    /// Whether the role's boundary lets an action through to the piece, where it has a say.
    fn bounded_to(&self, source: &Source<'_>, action: &str, piece: &Piece) -> bool {
        match self.role.boundary.as_ref().filter(|_| source.capped) {
            None => true,
            Some(boundary) => boundary.rules.iter().any(|rule| {
                rule.effect == Effect::Allow && rule.actions.matches(action) && may_reach(&rule.resources, piece)
            }),
        }
    }

    /// The pieces of the target that a source reaches, each with the Denies that surely cover it.
    fn reached<'d>(source: &Source<'_>, target: &Target, denials: &[&'d Rule]) -> Vec<(Piece, Vec<&'d Rule>)> {
        let covering = |piece: &Piece| {
            denials
                .iter()
                .copied()
                .filter(|d| closes(&d.resources, piece))
                .collect()
        };
        let pieces = opened(&source.resources, target).into_iter();
        pieces
            .map(|piece| {
                let covering = covering(&piece);
                (piece, covering)
            })
            .collect()
    }

    /// The first of the pieces on which the source opens this action.
    fn opens<'p>(&self, source: &Source<'_>, action: &str, pieces: &'p [(Piece, Vec<&Rule>)]) -> Option<&'p Piece> {
        if !source.actions.matches(action) {
            return None;
        }
        let open = |(piece, covering): &&(Piece, Vec<&Rule>)| {
            !covering.iter().any(|d| d.actions.matches(action)) && self.bounded_to(source, action, piece)
        };
        pieces.iter().find(open).map(|(piece, _)| piece)
    }

    /// Whether a source opens this action somewhere in the target, under the role's own Denies.
    fn opens_in(&self, source: &Source<'_>, action: &str, target: &Target) -> bool {
        let pieces = Self::reached(source, target, &self.denials);
        self.opens(source, action, &pieces).is_some()
    }

    /// Ways to permissions that the role's own policies don't give.
    fn escalations(&self, findings: &mut Findings) {
        let anything = Target::anything();
        for source in &self.sources {
            let pieces = Self::reached(source, &anything, &self.denials);
            // Access grants and jobs are no buckets, so `s3:*` on some other bucket leads to none of them.
            let (elsewhere, here): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|(p, _)| self.is_other_bucket(p));
            for escalation in escalations() {
                let open = self.opens(source, escalation.name, &here);
                let everywhere = || self.opens(source, escalation.name, &elsewhere);
                if let Some(piece) = open.or_else(|| everywhere().filter(|_| !escalation.is_of_s3())) {
                    findings.add(
                        &source.origin,
                        Kind::Escalation,
                        escalation.name,
                        &piece.to_string(),
                        &self.via,
                    );
                }
            }
        }
    }

    /// Whether the piece lies in buckets, or their objects, that need no protection.
    fn is_other_bucket(&self, piece: &Piece) -> bool {
        let protected = |bucket: &BucketFacts| {
            let objects = Target::Under(format!("{}/", bucket.arn));
            piece.meets(&objects.glob()) || piece.meets(&Target::One(bucket.arn.clone()).glob())
        };
        piece.is_within(&self.buckets_by_arn()) && !self.input.buckets.iter().any(protected)
    }

    /// Whether some Deny of the role's own closes this action everywhere in the target.
    fn refuses(&self, action: &str, target: &Target) -> bool {
        let whole = Piece::whole(target);
        self.denials
            .iter()
            .any(|d| d.actions.matches(action) && closes(&d.resources, &whole))
    }

    fn partition(&self) -> &str {
        self.role.caller.partition().unwrap_or("aws")
    }
}

/// Everything, of every service.
fn every_action() -> Actions {
    Actions::AllBut(Vec::new())
}

/// The keys that hold the same value in every request of a caller.
fn always_holds(rule: &Rule, caller: &super::principal::Caller) -> bool {
    let known = context_of(caller);
    rule.conditions.iter().all(|c| c.always_holds(&known))
}
