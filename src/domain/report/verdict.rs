//! What the gating findings amount to once the writes are through.

use std::collections::{BTreeMap, BTreeSet};

use super::outcome::{ActionOutcome, ActionResult, Outcome};
use super::{Context, RepairLog};
use crate::api::{Gating, TargetState};
use crate::domain::control::Part;
use crate::domain::finding::{Disposition, Finding, FindingKey, HumanReason, Target};
use crate::domain::observed::{CallError, ErrorClass};
use crate::domain::plan::Plan;
use crate::domain::policy::ValidatedPolicy;
use crate::domain::target_plan::TargetPlan;

/// What a gating finding asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// A human.
    Human(HumanReason),
    /// Another reconcile.
    Repair,
    /// Another look.
    Unobserved,
}

/// A gating finding and what it asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judged<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// What it asks for.
    pub weight: Weight,
    /// What went wrong with its repair, as a sentence.
    pub failure: Option<String>,
}

/// A failed write that no finding explains, e.g. taking back what has left the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LooseFailure {
    /// Why a human is needed.
    pub reason: HumanReason,
    /// What was to be written to.
    pub resource: String,
    /// A sentence.
    pub message: String,
}

/// The gating findings of a plan, weighed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict<'a> {
    /// In the plan's order, severest first.
    pub gating: Vec<Judged<'a>>,
    /// Failed writes beyond the findings.
    pub loose: Vec<LooseFailure>,
    /// Resources of which something could not be seen, or was not judged, just now; what was known of them stands.
    pub unseen: BTreeSet<String>,
    /// Enforced controls that the server, or the kind of bucket, does not have: no failure, and no reason to claim anything.
    pub inapplicable: Vec<&'a Finding>,
    /// Targets of the policy about which the plan says nothing: a gap, and never the same as compliant.
    pub unjudged: BTreeSet<Target>,
    /// Buckets that a selector found and that have been deleted: they leave the inventory, and the history says so.
    pub departed: Vec<&'a Finding>,
}

impl<'a> Verdict<'a> {
    pub fn of(policy: &ValidatedPolicy, plan: &'a Plan, outcome: &Outcome, context: &Context<'_>) -> Self {
        let mut by_key: BTreeMap<&FindingKey, Vec<&ActionOutcome>> = BTreeMap::new();
        for action in &outcome.actions {
            for key in &action.repairs {
                by_key.entry(key).or_default().push(action);
            }
        }
        let gating = plan
            .findings()
            .iter()
            .filter(|f| f.gating == Gating::Gating)
            .filter_map(|finding| {
                let outcomes = by_key.get(&finding.key()).map(Vec::as_slice).unwrap_or_default();
                weigh(finding, outcomes, context.repairs, policy, context)
            })
            .collect();
        let known: BTreeSet<FindingKey> = plan.findings().iter().map(Finding::key).collect();
        let loose = outcome
            .actions
            .iter()
            .filter(|a| !a.repairs.iter().any(|k| known.contains(k)))
            .filter_map(|a| {
                let (reason, message) = failure(a)?;
                Some(LooseFailure {
                    reason: reason?,
                    resource: a.target.to_string(),
                    message,
                })
            })
            .collect();
        let unjudged = unjudged(policy, plan.targets());
        let departed = plan.findings().iter().filter(|f| has_departed(f)).collect();
        let gating_note = |f: &&Finding| f.gating == Gating::Gating && f.disposition == Disposition::Note;
        let inapplicable = plan.findings().iter().filter(gating_note).collect();
        let unseen = plan
            .findings()
            .iter()
            .filter(|f| f.disposition == Disposition::Unobserved)
            .map(|f| f.target.to_string())
            .chain(unjudged.iter().map(ToString::to_string))
            .collect();
        Self {
            gating,
            loose,
            unseen,
            inapplicable,
            unjudged,
            departed,
        }
    }

    /// The most urgent reason for a human among the findings that `counts` picks, with the first finding that has it.
    pub fn human(&self, counts: impl Fn(&Judged<'a>) -> bool) -> Option<(HumanReason, &Judged<'a>)> {
        self.gating
            .iter()
            .filter(|j| counts(j))
            .filter_map(|j| match j.weight {
                Weight::Human(reason) => Some((reason, j)),
                Weight::Repair | Weight::Unobserved => None,
            })
            .min_by_key(|(reason, _)| *reason)
    }

    /// Something gating is known to be wrong.
    pub fn drifted(&self) -> bool {
        self.gating.iter().any(Judged::is_drift)
    }

    /// Everything gating was seen.
    pub fn complete(&self) -> bool {
        self.unjudged.is_empty()
            && !self.gating.iter().any(|j| match j.finding.disposition {
                Disposition::Unobserved
                | Disposition::NeedsHuman(HumanReason::AccessDenied | HumanReason::SelectorUnusable) => true,
                Disposition::NeedsHuman(_) | Disposition::Repair | Disposition::Note => false,
            })
    }

    /// Something gating could not be seen, for a reason that may pass.
    pub fn has_gaps(&self) -> bool {
        !self.unjudged.is_empty() || self.gating.iter().any(|j| j.weight == Weight::Unobserved)
    }

    /// Whether something about this resource, as a status names it, could not be seen just now.
    pub fn is_unseen(&self, resource: &str) -> bool {
        // A rule that could not be seen hides its namespaces.
        let rule = resource.rsplit_once('/').map(|(rule, _namespace)| rule);
        self.unseen.contains(resource) || rule.is_some_and(|rule| self.unseen.contains(rule))
    }
}

impl Judged<'_> {
    /// The state is known, and wrong; as opposed to not known.
    pub fn is_drift(&self) -> bool {
        match self.finding.disposition {
            Disposition::Repair => true,
            Disposition::NeedsHuman(reason) => !is_unreadable(reason),
            Disposition::Unobserved | Disposition::Note => false,
        }
    }

    /// A human must first make it readable.
    pub fn is_unreadable(&self) -> bool {
        match self.finding.disposition {
            Disposition::NeedsHuman(reason) => is_unreadable(reason),
            Disposition::Repair | Disposition::Unobserved | Disposition::Note => false,
        }
    }

    /// The promise it belongs to.
    pub fn part(&self) -> Part {
        self.finding.control.info().part
    }
}

/// The reasons for which nothing can be said about the state (design: Drifted is Unknown for these): buckets that nobody
/// could search for were not looked at either.
fn is_unreadable(reason: HumanReason) -> bool {
    matches!(
        reason,
        HumanReason::AccessDenied | HumanReason::PolicyUnparsable | HumanReason::SelectorUnusable
    )
}

fn weigh<'a>(
    finding: &'a Finding,
    outcomes: &[&ActionOutcome],
    repairs: &RepairLog,
    policy: &ValidatedPolicy,
    context: &Context<'_>,
) -> Option<Judged<'a>> {
    let (weight, message) = match finding.disposition {
        Disposition::Note => return None,
        Disposition::Unobserved => (Weight::Unobserved, None),
        Disposition::NeedsHuman(reason) => (Weight::Human(reason), None),
        Disposition::Repair => {
            let failures: Vec<(Option<HumanReason>, String)> = outcomes.iter().filter_map(|a| failure(a)).collect();
            let worst = failures
                .into_iter()
                .min_by_key(|(reason, _)| (reason.is_none(), *reason));
            let reverted = policy.writes_allowed(context.now)
                && repairs
                    .allowed_finding(finding, policy.interval, context.now)
                    .conflicting;
            match worst {
                Some((Some(reason), message)) => (Weight::Human(reason), Some(message)),
                Some((None, message)) if !reverted => (Weight::Repair, Some(message)),
                Some((None, _)) | None if reverted => (
                    Weight::Human(HumanReason::ConflictingWriter),
                    Some(reverted_by(finding, policy)),
                ),
                Some((None, _)) | None => (Weight::Repair, None),
            }
        }
    };
    Some(Judged {
        finding,
        weight,
        failure: message,
    })
}

fn reverted_by(finding: &Finding, policy: &ValidatedPolicy) -> String {
    let actor = finding.actor.as_deref().unwrap_or("somebody");
    format!(
        "{actor} keeps undoing the repair; repaired at most every {}s until that stops",
        policy.interval.as_secs()
    )
}

/// What is wrong with an action's outcome: why a human is needed (None: it is simply tried again), and a sentence.
pub(super) fn failure(action: &ActionOutcome) -> Option<(Option<HumanReason>, String)> {
    match &action.result {
        ActionResult::Done | ActionResult::ChangedUnderneath | ActionResult::Skipped(_) => None,
        ActionResult::NotObserved => Some((
            Some(HumanReason::WriteNotObserved),
            format!(
                "{} was accepted but does not show; repeated at most once per interval",
                action.operation
            ),
        )),
        ActionResult::Failed(error @ CallError { class, .. }) => {
            let reason = match class {
                ErrorClass::AccessDenied => Some(HumanReason::AccessDenied),
                ErrorClass::Unsupported | ErrorClass::Terminal => Some(HumanReason::WriteRefused),
                // Gone or not there yet (IAM shows new roles with a delay), or nothing to do with this write: look again.
                ErrorClass::NotFound | ErrorClass::Credentials | ErrorClass::Throttled | ErrorClass::Transient => None,
            };
            Some((reason, error.to_string()))
        }
    }
}

/// A bucket that is gone without having been promised by name holds nothing back.
fn has_departed(finding: &Finding) -> bool {
    finding.gating == Gating::ReportOnly && finding.disposition == Disposition::NeedsHuman(HumanReason::BucketMissing)
}

/// Targets of the policy that the plan leaves out, or calls neither compliant nor anything else.
fn unjudged(policy: &ValidatedPolicy, targets: &[TargetPlan]) -> BTreeSet<Target> {
    let silent = |t: &TargetPlan| match t.state {
        TargetState::Compliant | TargetState::Orphaned => false,
        TargetState::Pending
        | TargetState::Drifted
        | TargetState::Unknown
        | TargetState::Conflict
        | TargetState::Missing => t.findings.is_empty(),
    };
    let judged: BTreeSet<Target> = targets.iter().map(|t| whole(&t.target)).collect();
    named(policy)
        .into_iter()
        .filter(|t| !judged.contains(t))
        .chain(targets.iter().filter(|t| silent(t)).map(|t| whole(&t.target)))
        .collect()
}

/// The targets that the spec names.
pub(super) fn named(policy: &ValidatedPolicy) -> BTreeSet<Target> {
    let buckets = policy.buckets.iter().map(|b| Target::Bucket(b.name.clone()));
    let selectors = policy.selectors.iter().map(|s| Target::BucketSelector(s.name.clone()));
    let roles = policy.roles.iter().map(|r| Target::Role(r.name.clone()));
    let egress = policy.egress.iter().map(|e| Target::Egress {
        rule: e.name.clone(),
        namespace: None,
    });
    buckets.chain(selectors).chain(roles).chain(egress).collect()
}

/// The target as the inventory keeps it: an egress rule without its namespaces.
pub(super) fn whole(target: &Target) -> Target {
    match target {
        Target::Egress { rule, namespace: _ } => Target::Egress {
            rule: rule.clone(),
            namespace: None,
        },
        Target::Bucket(_) | Target::BucketSelector(_) | Target::Role(_) => target.clone(),
    }
}
