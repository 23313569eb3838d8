//! One bucket, judged whole.

use std::collections::BTreeSet;

use crate::api::{Gating, TargetState};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::BucketName;
use crate::domain::observed::{BucketObservation, CallerIdentity, ErrorClass, Observed};
use crate::domain::policy::{BucketTarget, ValidatedPolicy};
use crate::domain::target_plan::{TargetFacts, TargetPlan};

use super::bucket_policy::{self, Part};
use super::encryption::DefaultKey;
use super::unread;
use super::writable::Operator;
use super::{encryption, leave, private, reports, select, settings};

/// Judges every bucket of the policy, and those that have left it and are still in its inventory.
pub fn plan_buckets(policy: &ValidatedPolicy, observed: &Observed) -> Vec<TargetPlan> {
    let caller = caller_of(observed);
    let mut plans: Vec<TargetPlan> = policy
        .buckets
        .iter()
        .map(|target| match observed.buckets.get(&target.name) {
            _ if target.name.is_directory_bucket() => directory_bucket(policy, target),
            Some(seen) => plan_bucket(policy, target, seen, observed),
            None => unobserved(&target.name),
        })
        .map(|plan| select::of_selector(policy, plan))
        .collect();
    plans.extend(select::plan_selectors(policy));
    let named: BTreeSet<&BucketName> = policy.buckets.iter().map(|b| &b.name).collect();
    plans.extend(
        leave::inventory(policy)
            .filter(|name| !named.contains(name))
            .map(|name| plan_orphan_of(policy, &name, observed, caller)),
    );
    plans
}

/// Whom AWS takes the operator for; None where the account guard is switched off.
fn caller_of(observed: &Observed) -> Option<&CallerIdentity> {
    observed.caller.as_ref().ok().and_then(Option::as_ref)
}

fn plan_orphan_of(
    policy: &ValidatedPolicy,
    name: &BucketName,
    observed: &Observed,
    caller: Option<&CallerIdentity>,
) -> TargetPlan {
    leave::plan_orphan(policy, name, observed.buckets.get(name), caller)
}

/// Judges one bucket of the policy.
///
/// `observed` has what bears on the bucket without hanging on it: its keys, the roles that read it, the account, and whom
/// AWS takes the operator for. The actions come in the order
/// in which they must be done: the bucket policy before the public access block, which may refuse later policies.
pub fn plan_bucket(
    policy: &ValidatedPolicy,
    target: &BucketTarget,
    seen: &BucketObservation,
    observed: &Observed,
) -> TargetPlan {
    let name = &target.name;
    if name.is_directory_bucket() {
        return directory_bucket(policy, target);
    }
    let BucketObservation {
        region,
        encryption: seen_encryption,
        policy: seen_policy,
        public_access_block,
        object_ownership: seen_ownership,
        acl,
        versioning: seen_versioning,
        access_logging: seen_logging,
        // In the reports.
        details: _,
    } = seen;
    let region = match region {
        Ok(region) => region,
        Err(error) => {
            let finding = unread::failed(Control::S3Bucket, name, Gating::Gating, "bucket", error);
            return assemble(name, true, vec![finding], Vec::new(), TargetFacts::default());
        }
    };
    let BucketTarget {
        name: _,
        region_hint: _,
        encryption,
        transport: _,
        public_access,
        object_ownership,
        versioning,
        access_logging,
    } = target;
    let default_key = DefaultKey::of(policy, region, seen_encryption.as_ref());
    let policy_part = bucket_policy::plan(
        policy,
        target,
        region,
        seen_policy.as_ref(),
        &default_key,
        Operator {
            caller: caller_of(observed),
            plaintext: policy.settings.s3_over_plaintext,
            tls13: observed.account.s3_offers_tls13.get(region).copied().unwrap_or(false),
        },
    );
    let mut encryption_part = encryption
        .as_ref()
        .map(|c| encryption::plan(policy, target, c, region, seen_encryption.as_ref(), observed));
    if let (Some(part), Some(stuck)) = (&mut encryption_part, bucket_policy::key_rule_stuck(&policy_part)) {
        encryption::hold_back(part, stuck, encryption::ONLY_THE_OLD_KEY);
    }
    let of_account = observed.account.public_access_block.as_ref();
    let logging = settings::AccessLogging {
        account: &policy.account,
        bucket: name,
        region,
        targets: &observed.account.log_targets,
    };
    // The policy first: it must let a new key in before the default is switched to it, and the public access block may
    // refuse later policies.
    let parts = [
        Some(policy_part),
        encryption_part,
        public_access
            .as_ref()
            .map(|c| private::plan(name, region, c.gating, public_access_block.as_ref(), of_account)),
        versioning
            .as_ref()
            .map(|c| settings::versioning(name, region, c.gating, seen_versioning.as_ref())),
        object_ownership
            .as_ref()
            .map(|c| settings::object_ownership(name, region, c.gating, seen_ownership.as_ref(), acl.as_ref())),
        access_logging.as_ref().map(|c| logging.judge(c, seen_logging.as_ref())),
    ];
    let (mut findings, mut actions) = (Vec::new(), Vec::new());
    for Part {
        findings: found,
        action,
    } in parts.into_iter().flatten()
    {
        findings.extend(found);
        actions.extend(action);
    }
    findings.extend(reports::findings(policy, target, seen));
    let facts = TargetFacts {
        region: Some(region.to_string()),
        ..TargetFacts::default()
    };
    assemble(name, target.is_enforced(), findings, actions, facts)
}

/// S3 Express has none of these controls, or has them by another API: nothing is claimed about such a bucket.
fn directory_bucket(policy: &ValidatedPolicy, target: &BucketTarget) -> TargetPlan {
    let BucketTarget {
        name,
        region_hint: _,
        encryption,
        transport,
        public_access,
        object_ownership,
        versioning,
        access_logging,
    } = target;
    let roles = (!policy.roles.is_empty()).then_some(Gating::Gating);
    let asked = [
        (
            Control::S3DefaultEncryption,
            "encryption",
            encryption.as_ref().map(|c| c.gating),
        ),
        (Control::S3TlsOnly, "bucketPolicy", transport.as_ref().map(|c| c.gating)),
        (
            Control::S3MinimumTlsVersion,
            "bucketPolicy",
            transport.as_ref().map(|c| c.gating),
        ),
        (Control::S3RoleWriteDeny, "bucketPolicy", roles),
        (
            Control::S3PublicAccessBlock,
            "publicAccessBlock",
            public_access.as_ref().map(|c| c.gating),
        ),
        (
            Control::S3ObjectOwnership,
            "objectOwnership",
            object_ownership.as_ref().map(|c| c.gating),
        ),
        (
            Control::S3AccessLogging,
            "accessLogging",
            access_logging.as_ref().map(|c| c.gating),
        ),
        (
            Control::S3Versioning,
            "versioning.status",
            versioning.as_ref().map(|c| c.gating),
        ),
    ];
    let reason = "this is a directory bucket (S3 Express One Zone), whose protections are others";
    let findings = asked
        .into_iter()
        .filter_map(|(control, path, gating)| Some(unread::not_applicable(control, name, gating?, path, reason)))
        .collect();
    assemble(name, target.is_enforced(), findings, Vec::new(), TargetFacts::default())
}

fn unobserved(name: &BucketName) -> TargetPlan {
    let finding = unread::not_read(Control::S3Bucket, name, "bucket");
    assemble(name, true, vec![finding], Vec::new(), TargetFacts::default())
}

fn assemble(
    name: &BucketName,
    is_enforced: bool,
    mut findings: Vec<Finding>,
    mut actions: Vec<crate::domain::action::PlannedAction>,
    facts: TargetFacts,
) -> TargetPlan {
    let missing = Disposition::NeedsHuman(HumanReason::BucketMissing);
    if findings.iter().any(|f| f.disposition == missing) {
        // Deleted under our hands: nothing else that was read means anything.
        findings = vec![unread::missing(name)];
        actions.clear();
    }
    TargetPlan {
        target: Target::Bucket(name.clone()),
        state: state(is_enforced, &findings),
        findings,
        actions,
        facts,
    }
}

/// A state that claims nothing beyond the findings: wrong beats unknown, and a control that does not apply is no proof. Of
/// a bucket with nothing enforced no control is unmet; so what could not be seen of it counts, though only reported.
fn state(is_enforced: bool, findings: &[Finding]) -> TargetState {
    let gating = || {
        findings
            .iter()
            .filter(|f| f.gating == Gating::Gating)
            .map(|f| f.disposition)
    };
    let drifted = |d: Disposition| match d {
        Disposition::Repair => true,
        Disposition::NeedsHuman(reason) => !reason.is_unknown(),
        Disposition::Unobserved | Disposition::Note => false,
    };
    if gating().any(|d| d == Disposition::NeedsHuman(HumanReason::BucketMissing)) {
        TargetState::Missing
    } else if gating().any(drifted) {
        TargetState::Drifted
    } else if gating().next().is_some() || (!is_enforced && findings.iter().any(is_unseen)) {
        TargetState::Unknown
    } else {
        TargetState::Compliant
    }
}

fn is_unseen(finding: &Finding) -> bool {
    match finding.disposition {
        Disposition::Unobserved => true,
        Disposition::NeedsHuman(reason) => reason.is_unknown(),
        Disposition::Repair => false,
        Disposition::Note => finding.have == unread::NOT_APPLICABLE,
    }
}

/// Whether a reading failed because the bucket is gone.
pub(super) fn is_gone(error: &crate::domain::observed::CallError) -> bool {
    error.class == ErrorClass::NotFound
}
