//! What a rule reaches with what enforces NetworkPolicy in this cluster: the rung, and the holes that are known of it.

use super::address::AddressSet;
use super::rung::Rung;
use crate::api::{Gating, Severity};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::observed::EnforcerObservation;
use crate::domain::policy::{Destination, EgressTarget};

/// What enforces a rule.
pub(super) struct Enforcement<'a> {
    /// The enforcer's name.
    pub enforcer: Option<&'a str>,
    /// What says so.
    pub evidence: Option<&'a str>,
    /// The rung that the rule reaches with it.
    pub rung: Option<Rung>,
    reason: HumanReason,
    observed: &'a EnforcerObservation,
}

impl<'a> Enforcement<'a> {
    /// Judges one rule.
    pub fn of(rule: &EgressTarget, observed: &'a EnforcerObservation) -> Self {
        let (enforcer, evidence, rung, reason) = match observed {
            EnforcerObservation::Found {
                name,
                evidence,
                holes: _,
            } => (
                Some(name.as_str()),
                Some(evidence.as_str()),
                Some(reached(rule)),
                HumanReason::NotEnforced,
            ),
            EnforcerObservation::NotEnforcing { name, evidence } => (
                Some(name.as_str()),
                Some(evidence.as_str()),
                None,
                HumanReason::NotEnforced,
            ),
            EnforcerObservation::Unknown => (None, None, None, HumanReason::EnforcerUnknown),
        };
        Self {
            enforcer,
            evidence,
            rung,
            reason,
            observed,
        }
    }

    /// What is to be said about it.
    pub fn findings(&self, rule: &EgressTarget, target: &Target) -> Vec<Finding> {
        let mut out: Vec<Finding> = self.missing(rule, target).into_iter().collect();
        let holes = match self.observed {
            EnforcerObservation::Found { holes, .. } => holes.as_slice(),
            EnforcerObservation::NotEnforcing { .. } | EnforcerObservation::Unknown => &[],
        };
        out.extend(holes.iter().map(|hole| {
            Finding {
                severity: Severity::Medium,
                ..Finding::new(
                    Control::NetEnforcement,
                    target.clone(),
                    Gating::ReportOnly,
                    Disposition::Note,
                )
                .diff(
                    format!("enforcer.{}", hole.id),
                    "closed",
                    self.enforcer.unwrap_or_default(),
                )
                .message(hole.message)
            }
        }));
        out
    }

    fn missing(&self, rule: &EgressTarget, target: &Target) -> Option<Finding> {
        let asked = Rung::asked(rule.assurance);
        if self.rung.is_some_and(|reached| reached >= asked) {
            return None;
        }
        let name = self.enforcer.unwrap_or("nothing known");
        let have = self
            .rung
            .map_or_else(|| name.to_owned(), |r| format!("{} ({name})", r.reason()));
        let message = match (self.reason, self.rung) {
            (_, Some(_)) => "a NetworkPolicy of this rule can't give more; narrow allow, or lower the assurance",
            (HumanReason::EnforcerUnknown, None) => {
                "it is not known what enforces NetworkPolicy in this cluster; name it with networkEnforcer"
            }
            (_, None) => "the network plugin does not enforce NetworkPolicy: the pods are not restricted",
        };
        Some(
            Finding::new(
                Control::NetEnforcement,
                target.clone(),
                Gating::Gating,
                Disposition::NeedsHuman(self.reason),
            )
            .diff("assurance", asked.reason(), have)
            .message(message),
        )
    }
}

/// What plain NetworkPolicies of this rule give: the destinations, unless one of them is "anywhere"; never TLS, since a
/// port says nothing about what is spoken on it.
fn reached(rule: &EgressTarget) -> Rung {
    let blocks = rule.allow.iter().filter_map(|d| match d {
        Destination::Cidr { cidr, ports: _ } => Some(*cidr),
        Destination::AwsService { .. } | Destination::Pods { .. } => None,
    });
    // In one block or in several.
    let together: AddressSet = blocks.collect();
    let anywhere = |v4: bool| {
        let all = AddressSet::all_of(v4, !v4).difference(&AddressSet::reserved());
        all.is_subset(&together)
    };
    if anywhere(true) || anywhere(false) {
        Rung::PortRestricted
    } else {
        Rung::DestinationRestricted
    }
}
