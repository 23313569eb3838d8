//! Conditions: from a situation to the object's list, in a fixed order, with the time of the last real change.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::situation::{Progress, Reason, Refusal, Situation};
use super::verdict::{Judged, Verdict, Weight, whole};
use super::{Context, Standing, text};
use crate::api::{AIDataProtectionPolicyStatus, TargetState};
use crate::domain::control::Part;
use crate::domain::finding::{HumanReason, Target};
use crate::domain::plan::Plan;
use crate::domain::policy::{BucketTarget, ValidatedPolicy};

/// Every enforced control is met (in Audit: everything was looked at).
pub const READY: &str = "Ready";
/// Work is going on; kstatus says InProgress. Absent unless True.
pub const RECONCILING: &str = "Reconciling";
/// It won't get better without a human; kstatus says Failed. Absent unless True.
pub const STALLED: &str = "Stalled";
/// A gating control is not met.
pub const DRIFTED: &str = "Drifted";
/// Part: the buckets.
pub const BUCKETS_PROTECTED: &str = "BucketsProtected";
/// Part: the training roles.
pub const ROLES_READ_ONLY: &str = "RolesReadOnly";
/// Part: the training pods' egress.
pub const EGRESS_RESTRICTED: &str = "EgressRestricted";

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tri {
    True,
    False,
    Unknown,
}

impl Tri {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition of a status.
pub fn condition<'a>(status: &'a AIDataProtectionPolicyStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|c| c.type_ == kind)
}

/// What one part's condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartCondition {
    pub part: Part,
    pub status: Tri,
    pub reason: String,
    pub message: String,
}

/// The parts that a policy promises something about, in the order of their conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts(Vec<Part>);

impl Parts {
    /// Nothing can be said about any of them, for one and the same reason.
    pub fn all_unknown(&self, reason: Reason) -> Vec<PartCondition> {
        self.0
            .iter()
            .map(|part| PartCondition {
                part: *part,
                status: Tri::Unknown,
                reason: reason.as_str().to_owned(),
                message: "not known, see Ready".to_owned(),
            })
            .collect()
    }
}

const ALL_PARTS: [Part; 3] = [Part::Buckets, Part::Roles, Part::Egress];

const fn part_type(part: Part) -> &'static str {
    match part {
        Part::Buckets => BUCKETS_PROTECTED,
        Part::Roles => ROLES_READ_ONLY,
        Part::Egress => EGRESS_RESTRICTED,
    }
}

/// The parts that the policy names targets of.
pub(super) fn promised(policy: &ValidatedPolicy) -> Parts {
    let named = |part: &Part| match part {
        Part::Buckets => !(policy.buckets.is_empty() && policy.selectors.is_empty()),
        Part::Roles => !policy.roles.is_empty(),
        Part::Egress => !policy.egress.is_empty(),
    };
    Parts(ALL_PARTS.into_iter().filter(named).collect())
}

/// The parts that the status speaks of already: all that is known of a policy that cannot be read.
pub(super) fn stated(old: Option<&AIDataProtectionPolicyStatus>) -> Parts {
    let stated = |part: &Part| old.is_some_and(|s| condition(s, part_type(*part)).is_some());
    Parts(ALL_PARTS.into_iter().filter(stated).collect())
}

/// The whole list.
pub(super) fn build(
    situation: &Situation,
    message: &str,
    parts: &[PartCondition],
    context: &Context<'_>,
) -> Vec<Condition> {
    let (ready, progress, drifted) = situation.row();
    let reason = situation.reason().as_str();
    let mut out = List {
        old: context.old.map(|o| o.conditions.as_slice()).unwrap_or_default(),
        generation: context.generation,
        now: context.now,
        conditions: Vec::with_capacity(7),
    };
    out.push(READY, ready, reason, message);
    match progress {
        Progress::None => {}
        Progress::Reconciling => out.push(RECONCILING, Tri::True, reason, message),
        Progress::Stalled => out.push(STALLED, Tri::True, reason, message),
    }
    let drift_message = match drifted {
        Tri::True => "a gating control is not met, see findings",
        Tri::False => "no gating control has drifted",
        Tri::Unknown => "not known, see Ready",
    };
    out.push(DRIFTED, drifted, reason, drift_message);
    for part in parts {
        out.push(part_type(part.part), part.status, &part.reason, &part.message);
    }
    out.conditions
}

/// Turns conditions into stalled ones: Drifted and the parts keep what they say.
pub(super) fn stall(
    conditions: &mut Vec<Condition>,
    refusal: Refusal,
    message: &str,
    old: Option<&AIDataProtectionPolicyStatus>,
    now: Timestamp,
) {
    let generation = conditions.first().and_then(|c| c.observed_generation).unwrap_or(-1);
    let rest: Vec<Condition> = conditions
        .drain(..)
        .filter(|c| ![READY, RECONCILING, STALLED].contains(&c.type_.as_str()))
        .collect();
    let reason = Reason::Refused(refusal).as_str();
    let mut out = List {
        old: old.map(|o| o.conditions.as_slice()).unwrap_or_default(),
        generation,
        now,
        conditions: Vec::with_capacity(7),
    };
    out.push(READY, Tri::False, reason, message);
    out.push(STALLED, Tri::True, reason, message);
    out.conditions.extend(rest);
    *conditions = out.conditions;
}

struct List<'a> {
    old: &'a [Condition],
    generation: i64,
    now: Timestamp,
    conditions: Vec<Condition>,
}

impl List<'_> {
    fn push(&mut self, kind: &str, status: Tri, reason: &str, message: &str) {
        let since = self
            .old
            .iter()
            .find(|c| c.type_ == kind && c.status == status.as_str())
            .map_or(Time(self.now), |c| c.last_transition_time.clone());
        self.conditions.push(Condition {
            last_transition_time: since,
            message: text::message(message),
            observed_generation: Some(self.generation),
            reason: reason.to_owned(),
            status: status.as_str().to_owned(),
            type_: kind.to_owned(),
        });
    }
}

/// What each part's condition says after a look.
pub(super) fn parts(
    policy: &ValidatedPolicy,
    plan: &Plan,
    verdict: &Verdict<'_>,
    standing: Standing,
    context: &Context<'_>,
) -> Vec<PartCondition> {
    promised(policy)
        .0
        .into_iter()
        .map(|part| part_condition(part, policy, plan, verdict, standing, context))
        .collect()
}

fn part_condition(
    part: Part,
    policy: &ValidatedPolicy,
    plan: &Plan,
    verdict: &Verdict<'_>,
    standing: Standing,
    context: &Context<'_>,
) -> PartCondition {
    let mine: Vec<&Judged<'_>> = verdict.gating.iter().filter(|j| j.part() == part).collect();
    let human = |unknown: bool| {
        mine.iter()
            .filter_map(|j| match j.weight {
                // A write that was refused leaves a drift that is known.
                Weight::Human(reason) if (reason.is_unknown() && j.failure.is_none()) == unknown => Some((reason, *j)),
                Weight::Human(_) | Weight::Repair | Weight::Unobserved => None,
            })
            .min_by_key(|(reason, _)| *reason)
    };
    let repair = mine.iter().find(|j| j.weight == Weight::Repair);
    let gap = mine.iter().any(|j| j.weight == Weight::Unobserved) || verdict.unjudged.iter().any(|t| t.part() == part);
    let say = |status, reason: &str, message: String| PartCondition {
        part,
        status,
        reason: reason.to_owned(),
        message,
    };
    if let Some((reason, judged)) = human(false) {
        return say(Tri::False, reason.as_str(), about(judged));
    }
    if let Some(judged) = repair {
        return say(Tri::False, "Drifted", about(judged));
    }
    if let Some((reason, judged)) = human(true) {
        return say(Tri::Unknown, reason.as_str(), about(judged));
    }
    if gap {
        let before = context.old.and_then(|o| condition(o, part_type(part)));
        return match (standing, before) {
            (Standing::Fresh, Some(c)) if c.observed_generation == Some(context.generation) => say(
                match c.status.as_str() {
                    "True" => Tri::True,
                    "False" => Tri::False,
                    _ => Tri::Unknown,
                },
                &c.reason,
                c.message.clone(),
            ),
            (Standing::Fresh | Standing::Stale, _) => say(
                Tri::Unknown,
                Reason::ObservationFailed.as_str(),
                "it could not be read for now".to_owned(),
            ),
            (Standing::Never, _) => say(
                Tri::Unknown,
                Reason::Progressing.as_str(),
                "not observed yet".to_owned(),
            ),
        };
    }
    // What does not exist is not met either: the promise can't be made.
    if let Some(finding) = verdict.inapplicable.iter().find(|f| f.control.info().part == part) {
        let what = format!("{} on {}: {}", finding.control.id(), finding.target, finding.message);
        return say(Tri::Unknown, "NotApplicable", what);
    }
    match part {
        Part::Buckets if policy.buckets.is_empty() => say(
            Tri::Unknown,
            "NothingEnforced",
            "the selectors find no bucket, so that there is none to protect".to_owned(),
        ),
        Part::Buckets if !policy.buckets.iter().all(BucketTarget::is_enforced) => say(
            Tri::Unknown,
            "NothingEnforced",
            "of at least one bucket no control is enforced; see bucketControls".to_owned(),
        ),
        Part::Buckets => say(
            Tri::True,
            "Protected",
            "every bucket meets every enforced control".to_owned(),
        ),
        Part::Roles => say(
            Tri::True,
            "Proven",
            "every role's credentials can read its data and not change it".to_owned(),
        ),
        Part::Egress => match weakest_rung(plan) {
            Some(rung) => say(Tri::True, rung, format!("every rule is in place and enforced: {rung}")),
            // Without a rung there is no evidence of enforcement, whatever else is in place.
            None => say(
                Tri::Unknown,
                HumanReason::EnforcerUnknown.as_str(),
                "it is not known what enforces NetworkPolicy here".to_owned(),
            ),
        },
    }
}

fn about(judged: &Judged<'_>) -> String {
    let what = format!("{} on {}", judged.finding.control.id(), judged.finding.target);
    match (&judged.failure, judged.finding.message.as_str()) {
        (Some(failure), _) => format!("{what}: {failure}"),
        (None, "") => what,
        (None, message) => format!("{what}: {message}"),
    }
}

/// Rungs of assurance, weakest first.
pub(super) const RUNGS: [&str; 3] = ["PortRestricted", "DestinationRestricted", "TLSRequired"];

/// The rung that every rule reaches; None if one reaches none.
fn weakest_rung(plan: &Plan) -> Option<&'static str> {
    let rungs: Option<Vec<usize>> = plan
        .targets()
        .iter()
        .filter(|t| matches!(whole(&t.target), Target::Egress { .. }) && t.state != TargetState::Orphaned)
        .map(|t| rung_index(t.facts.rung.as_deref()))
        .collect();
    rungs?.into_iter().min().and_then(|i| RUNGS.get(i).copied())
}

/// Place of a rung in [`RUNGS`].
pub(super) fn rung_index(rung: Option<&str>) -> Option<usize> {
    RUNGS.iter().position(|r| Some(*r) == rung)
}
