//! What is said about bucket selectors, and about buckets that are in the policy by selector alone: one that its selector
//! finds no more stays protected, and one that has been deleted leaves.

use std::collections::BTreeSet;

use crate::api::{Gating, Severity, TargetState};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::BucketName;
use crate::domain::observed::{CallError, ErrorClass};
use crate::domain::policy::{MAX_SELECTED, Matched, Presence, SelectorTarget, ValidatedPolicy};
use crate::domain::rights::action_for;
use crate::domain::target_plan::{TargetFacts, TargetPlan};

const PATH: &str = "bucketSelectors";
/// Most names that a message lists.
const MAX_LISTED: usize = 3;

/// One entry for each selector: what it found is the buckets' own matter, whether the search went through is said here.
pub(super) fn plan_selectors(policy: &ValidatedPolicy) -> Vec<TargetPlan> {
    policy
        .selectors
        .iter()
        .map(|selector| judge(policy, selector))
        .collect()
}

fn judge(policy: &ValidatedPolicy, selector: &SelectorTarget) -> TargetPlan {
    let target = Target::BucketSelector(selector.name.clone());
    let finding = |gating, disposition| Finding::new(Control::S3Bucket, target.clone(), gating, disposition);
    let mut findings = Vec::new();
    match policy.selection.matched.get(&selector.name) {
        None => findings.push(
            finding(Gating::Gating, Disposition::Unobserved)
                .diff(PATH, "readable", "unknown")
                .message("not searched in this sweep; searched in the next"),
        ),
        Some(Matched::Unread(error)) => findings.push(unread(&target, error)),
        Some(Matched::Found {
            buckets,
            refused,
            surplus,
        }) => {
            if *surplus > 0 {
                let reason = Disposition::NeedsHuman(HumanReason::SelectorUnusable);
                findings.push(
                    finding(Gating::Gating, reason)
                        .diff(PATH, format!("{MAX_SELECTED} buckets at most"), format!("{surplus} more"))
                        .message(format!(
                            "the policy's selectors find more than the {MAX_SELECTED} buckets that one policy can protect; narrow them, or split the policy"
                        )),
                );
            }
            if !refused.is_empty() {
                let mut found = finding(Gating::ReportOnly, Disposition::Note)
                    .diff(format!("{PATH}.refused"), "covered", listed(refused))
                    .message("not covered: the operator's configuration (allowedBuckets) or the naming rules of S3 do not have these names");
                found.severity = Severity::Medium;
                findings.push(found);
            }
            if *buckets == 0 {
                let mut found = finding(Gating::ReportOnly, Disposition::Note)
                    .diff(format!("{PATH}.found"), "at least one bucket", "none")
                    .message("the selector finds no bucket; mind a mistyped prefix or tag");
                found.severity = Severity::Low;
                findings.push(found);
            }
        }
    }
    let unknown = findings.iter().any(|f| f.gating == Gating::Gating);
    TargetPlan {
        target,
        state: if unknown {
            TargetState::Unknown
        } else {
            TargetState::Compliant
        },
        findings,
        actions: Vec::new(),
        facts: TargetFacts::default(),
    }
}

fn listed(names: &BTreeSet<String>) -> String {
    let first: Vec<&str> = names.iter().take(MAX_LISTED).map(String::as_str).collect();
    match names.len().saturating_sub(MAX_LISTED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// A search that failed is never "no buckets".
fn unread(target: &Target, error: &CallError) -> Finding {
    let finding = |disposition, have: &str, message: String| {
        Finding::new(Control::S3Bucket, target.clone(), Gating::Gating, disposition)
            .diff(PATH, "readable", have)
            .message(message)
    };
    let CallError {
        operation,
        class,
        code,
        message,
    } = error;
    let code = code.as_deref().unwrap_or(operation);
    match class {
        ErrorClass::AccessDenied => finding(
            Disposition::NeedsHuman(HumanReason::AccessDenied),
            code,
            format!(
                "AWS refuses {operation}, so which buckets the selector finds is not known; grant the operator {}",
                action_for(operation).unwrap_or(operation)
            ),
        ),
        ErrorClass::Unsupported => finding(
            Disposition::NeedsHuman(HumanReason::SelectorUnusable),
            code,
            format!("the server has no {operation}; select by namePrefix alone, or name the buckets"),
        ),
        ErrorClass::Terminal => finding(
            Disposition::NeedsHuman(HumanReason::SelectorUnusable),
            code,
            format!("{operation} is refused for good: {message}"),
        ),
        ErrorClass::Credentials | ErrorClass::NotFound | ErrorClass::Throttled | ErrorClass::Transient => finding(
            Disposition::Unobserved,
            "unknown",
            format!("{operation} failed and is tried again: {message}"),
        ),
    }
}

/// Adds to the plan of a bucket what follows from its being there by selector.
pub(super) fn of_selector(policy: &ValidatedPolicy, mut plan: TargetPlan) -> TargetPlan {
    let Target::Bucket(name) = &plan.target else {
        return plan;
    };
    let Some(origin) = policy.selection.origins.get(name) else {
        return plan;
    };
    let gone = Disposition::NeedsHuman(HumanReason::BucketMissing);
    if plan.findings.iter().any(|f| f.disposition == gone) {
        return departed(name, &origin.selector);
    }
    match origin.presence {
        Presence::Selected | Presence::Unknown => {}
        Presence::Left => {
            let finding = Finding::new(
                Control::S3Bucket,
                plan.target.clone(),
                Gating::ReportOnly,
                Disposition::NeedsHuman(HumanReason::Orphaned),
            )
            .diff(PATH, format!("found by {}", origin.selector), "not found")
            .message(format!(
                "its selector finds the bucket no more; it stays protected until it is found again or released: kubectl annotate adpp {} aidp.dev/release={name}",
                policy.name
            ));
            plan.findings.push(finding);
        }
    }
    plan
}

/// Nobody promised that such a bucket exists: its end holds nothing back.
fn departed(name: &BucketName, selector: &str) -> TargetPlan {
    let target = Target::Bucket(name.clone());
    let gone = Disposition::NeedsHuman(HumanReason::BucketMissing);
    let finding = Finding::new(Control::S3Bucket, target.clone(), Gating::ReportOnly, gone)
        .diff("bucket", format!("found by {selector}"), "NoSuchBucket")
        .message("the bucket has been deleted and leaves the policy");
    TargetPlan {
        target,
        state: TargetState::Missing,
        findings: vec![finding],
        actions: Vec::new(),
        facts: TargetFacts::default(),
    }
}

#[cfg(test)]
mod tests;
