//! A bucket that leaves: because it left the spec, or because the policy is deleted. Our statements go or stay as
//! `deletionPolicy` says; a *setting* of the bucket is never changed back.

use std::collections::BTreeSet;

use crate::api::{DeletionPolicy, Gating, TargetState};
use crate::domain::action::PlannedAction;
use crate::domain::control::Control;
use crate::domain::document::PolicyDocument;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::BucketName;
use crate::domain::observed::{BucketObservation, CallerIdentity, Observed};
use crate::domain::policy::ValidatedPolicy;
use crate::domain::target_plan::{TargetFacts, TargetPlan};

use super::bucket_policy::write;
use super::merge::{Change, merge};
use super::plan::is_gone;
use super::sid::Rule;
use super::unread;
use super::writable::{self, Operator};

const PATH: &str = "bucketPolicy";

/// The buckets in the policy's inventory. (A name that is none can't have got there through us.)
pub(super) fn inventory(policy: &ValidatedPolicy) -> impl Iterator<Item = BucketName> + '_ {
    policy
        .inventory
        .buckets
        .iter()
        .filter_map(|b| BucketName::new(&b.name).ok())
}

/// Judges a bucket that is in the inventory and no longer in the spec. Under Retain: a finding, as long as the policy
/// lives. Under Revert: as [`revert_bucket`]; without findings and actions nothing of ours is left and it may leave the
/// inventory.
pub fn plan_orphan(
    policy: &ValidatedPolicy,
    bucket: &BucketName,
    seen: Option<&BucketObservation>,
    caller: Option<&CallerIdentity>,
) -> TargetPlan {
    match policy.deletion_policy {
        DeletionPolicy::Retain if policy.released.contains(bucket) => orphan(bucket, seen, Vec::new(), None),
        DeletionPolicy::Retain => {
            let finding = finding(bucket, Gating::ReportOnly, Disposition::NeedsHuman(HumanReason::Orphaned))
                .diff("spec.buckets", "named", "not named")
                .message("the bucket has left the policy and keeps what the operator wrote; name it again, release it by annotation aidp.dev/release, or set deletionPolicy Revert to have our statements removed");
            orphan(bucket, seen, vec![finding], None)
        }
        DeletionPolicy::Revert => revert_bucket(policy, bucket, seen, caller),
    }
}

/// Plans the removal of our statements from every bucket in the inventory: the policy is being deleted with
/// `deletionPolicy: Revert`.
pub fn revert_buckets(policy: &ValidatedPolicy, observed: &Observed) -> Vec<TargetPlan> {
    let caller = observed.caller.as_ref().ok().and_then(Option::as_ref);
    let buckets: BTreeSet<BucketName> = inventory(policy).collect();
    buckets
        .iter()
        .map(|name| revert_bucket(policy, name, observed.buckets.get(name), caller))
        .collect()
}

/// Plans the removal of our statements, of this policy and cluster only, from one bucket; where another policy of the
/// cluster holds it, only of those that no policy but this one has. No findings and no actions: there
/// is nothing of ours left, or no bucket.
pub fn revert_bucket(
    policy: &ValidatedPolicy,
    bucket: &BucketName,
    seen: Option<&BucketObservation>,
    caller: Option<&CallerIdentity>,
) -> TargetPlan {
    let unreadable = |finding: Finding| orphan(bucket, seen, vec![finding], None);
    let Some(observation) = seen else {
        return unreadable(unread::not_read(Control::S3Bucket, bucket, PATH));
    };
    let (region, text) = match (&observation.region, &observation.policy) {
        (Err(error), _) | (Ok(_), Some(Err(error))) if is_gone(error) => return orphan(bucket, seen, Vec::new(), None),
        (Err(error), _) | (Ok(_), Some(Err(error))) => {
            return unreadable(unread::failed(Control::S3Bucket, bucket, Gating::Gating, PATH, error));
        }
        (Ok(_), None) => return unreadable(unread::not_read(Control::S3Bucket, bucket, PATH)),
        (Ok(_), Some(Ok(None))) => return orphan(bucket, seen, Vec::new(), None),
        (Ok(region), Some(Ok(Some(text)))) => (region, text),
    };
    let current = match PolicyDocument::parse(text) {
        Ok(current) => current,
        Err(error) => {
            return unreadable(
                finding(
                    bucket,
                    Gating::Gating,
                    Disposition::NeedsHuman(HumanReason::PolicyUnparsable),
                )
                .diff(PATH, "our statements removed", "unreadable")
                .message(format!(
                    "the bucket policy can't be read ({error}) and is left alone; correct or remove it"
                )),
            );
        }
    };
    let sid = |rule: Rule| rule.sid(&policy.settings.cluster_hash, &policy.name);
    // What serves the bucket whichever policy holds it is not this one's to take away while another does.
    let is_shared = policy.held_elsewhere.contains(bucket);
    let leaving = Rule::ALL.into_iter().filter(|rule| rule.per_policy() || !is_shared);
    let ours: BTreeSet<String> = leaving.map(sid).collect();
    let merged = merge(&current, &ours, &[]);
    if merged.changes.is_empty() {
        return orphan(bucket, seen, Vec::new(), None);
    }
    let sids: Vec<&str> = merged
        .changes
        .iter()
        .map(|change| match change {
            Change::Add { sid } | Change::Replace { sid, .. } | Change::Remove { sid } => sid.as_str(),
        })
        .collect();
    let found = finding(bucket, Gating::Gating, Disposition::Repair)
        .diff(PATH, "our statements removed", sids.join(", "))
        .message("the bucket leaves the policy with deletionPolicy Revert; our statements are removed");
    let operator = Operator {
        caller,
        plaintext: policy.settings.s3_over_plaintext,
        // Nothing is added that could ask for it.
        tls13: false,
    };
    let arn = region.partition().bucket_arn(bucket);
    let delete = merged.document.statements.is_empty();
    match writable::check(&merged.document, |_| false, operator, &arn) {
        Err(obstacle) if !delete => {
            let mut found = found.message(obstacle.message);
            found.disposition = Disposition::NeedsHuman(obstacle.reason);
            unreadable(found)
        }
        Ok(()) | Err(_) => {
            let action = PlannedAction {
                action: write(bucket, region, Some(text), &merged.document),
                repairs: vec![found.key()],
            };
            orphan(bucket, seen, vec![found], Some(action))
        }
    }
}

fn finding(bucket: &BucketName, gating: Gating, disposition: Disposition) -> Finding {
    Finding::new(Control::S3Bucket, Target::Bucket(bucket.clone()), gating, disposition)
}

fn orphan(
    bucket: &BucketName,
    seen: Option<&BucketObservation>,
    findings: Vec<Finding>,
    action: Option<PlannedAction>,
) -> TargetPlan {
    let region = seen.and_then(|s| s.region.as_ref().ok()).map(ToString::to_string);
    TargetPlan {
        target: Target::Bucket(bucket.clone()),
        state: TargetState::Orphaned,
        findings,
        actions: action.into_iter().collect(),
        facts: TargetFacts {
            region,
            ..TargetFacts::default()
        },
    }
}
