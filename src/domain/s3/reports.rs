//! What bears on a bucket's data and is never written: Object Lock, MFA delete, lifecycle rules, replication, and the
//! objects that were there before. Reports only: nothing here holds a policy back, and nothing here says "compliant".
//!
//! Sources: S3 User Guide, "Locking objects with Object Lock", "Configuring MFA delete", "Expiring objects", "Replicating
//! objects", "Setting default server-side encryption behavior" (existing objects keep what they have).

use crate::api::{Gating, Severity};
use crate::domain::control::Control;
use crate::domain::document::{ActionElement, Effect, PolicyDocument, Statement};
use crate::domain::finding::{Disposition, Finding, Target};
use crate::domain::glob::{Case, Glob};
use crate::domain::names::BucketName;
use crate::domain::observed::{
    BucketDetails, BucketObservation, CallError, ErrorClass, ExpiryRule, ObjectLock, Read, ReplicationDestination,
    VersioningState,
};
use crate::domain::policy::{BucketTarget, ValidatedPolicy};

use super::unread;

/// Actions by which S3 itself writes replicas of another bucket's objects, and of their deletion.
const REPLICA_ACTIONS: [&str; 2] = ["s3:ReplicateObject", "s3:ReplicateDelete"];

/// What there is to report about a bucket; of what was not read, nothing.
pub(super) fn findings(policy: &ValidatedPolicy, target: &BucketTarget, seen: &BucketObservation) -> Vec<Finding> {
    let BucketDetails {
        object_lock,
        mfa_delete,
        expiry_rules,
        replication,
    } = &seen.details;
    let reporter = Reporter {
        policy,
        bucket: &target.name,
    };
    let lock = object_lock.as_ref();
    let mut findings: Vec<Finding> = [
        lock.and_then(|read| {
            reporter.read(Control::S3ObjectLock, "objectLock", read, |lock| {
                reporter.lock(lock.as_ref())
            })
        }),
        mfa_delete.as_ref().and_then(|read| {
            reporter.read(Control::S3MfaDelete, "versioning.mfaDelete", read, |on| {
                reporter.mfa_delete(*on, seen)
            })
        }),
        expiry_rules.as_ref().and_then(|read| {
            reporter.read(Control::S3LifecycleExpiry, "lifecycle", read, |rules| {
                reporter.expiry(rules)
            })
        }),
        replication.as_ref().and_then(|read| {
            reporter.read(Control::S3Replication, "replication", read, |destinations| {
                reporter.outbound(destinations)
            })
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(Ok(Some(text))) = &seen.policy {
        findings.extend(reporter.inbound(text));
    }
    // Said as often as the other reports are looked at, for as long as there is something to be said about encryption.
    if target.encryption.is_some() && lock.is_some() {
        findings.push(reporter.existing_objects());
    }
    findings
}

struct Reporter<'a> {
    policy: &'a ValidatedPolicy,
    bucket: &'a BucketName,
}

impl Reporter<'_> {
    fn note(&self, control: Control, path: &str, want: &str, have: impl Into<String>, message: &str) -> Finding {
        let target = Target::Bucket(self.bucket.clone());
        Finding::new(control, target, Gating::ReportOnly, Disposition::Note)
            .diff(path, want, have)
            .message(message)
    }

    fn read<T>(
        &self,
        control: Control,
        path: &str,
        read: &Read<T>,
        judge: impl FnOnce(&T) -> Option<Finding>,
    ) -> Option<Finding> {
        match read {
            Ok(value) => judge(value),
            Err(error) => Some(self.unreadable(control, path, error)),
        }
    }

    fn unreadable(&self, control: Control, path: &str, error: &CallError) -> Finding {
        match error.class {
            ErrorClass::AccessDenied | ErrorClass::Unsupported => {
                unread::failed(control, self.bucket, Gating::ReportOnly, path, error)
            }
            // What is only reported starts no retry: it is looked at again when its time comes. Whether the bucket is there
            // is for the other readings to say.
            ErrorClass::NotFound
            | ErrorClass::Credentials
            | ErrorClass::Throttled
            | ErrorClass::Transient
            | ErrorClass::Terminal => {
                let message = format!(
                    "{} failed, so nothing is known about it; {}",
                    error.operation, error.message
                );
                self.note(control, path, "readable", "unknown", &message)
            }
        }
    }

    fn lock(&self, lock: Option<&ObjectLock>) -> Option<Finding> {
        let have = match lock {
            None => "off",
            Some(ObjectLock {
                default_retention: None,
            }) => "on, without default retention",
            Some(ObjectLock {
                default_retention: Some(_),
            }) => return None,
        };
        Some(self.note(
            Control::S3ObjectLock,
            "objectLock",
            "on, with default retention",
            have,
            "whoever may delete versions can destroy the data; consider Object Lock with a default retention, which can't be switched off again",
        ))
    }

    fn mfa_delete(&self, on: bool, seen: &BucketObservation) -> Option<Finding> {
        let versioned = matches!(seen.versioning, Some(Ok(VersioningState::Enabled)));
        // Retention keeps versions from everybody, a second factor or not.
        let locked = matches!(&seen.details.object_lock, Some(Ok(Some(lock))) if lock.default_retention.is_some());
        (versioned && !on && !locked).then(|| {
            self.note(
                Control::S3MfaDelete,
                "versioning.mfaDelete",
                "Enabled",
                "Disabled",
                "versions can be deleted without a second factor; only the account's root user can enable MFA delete",
            )
        })
    }

    fn expiry(&self, rules: &[ExpiryRule]) -> Option<Finding> {
        // The rule that removes most comes first.
        let first = rules.iter().min_by_key(|rule| !removes_current(rule))?;
        let have = match rules.len() {
            1 => expiry_text(first),
            more => format!("{}; {} more", expiry_text(first), more - 1),
        };
        let mut note = self.note(
            Control::S3LifecycleExpiry,
            "lifecycle",
            "no rule that removes objects",
            have,
            "no bucket policy and no role keeps a lifecycle rule from removing data; check that it is meant to",
        );
        if !removes_current(first) {
            note.severity = Severity::Low;
        }
        Some(note)
    }

    fn outbound(&self, destinations: &std::collections::BTreeSet<ReplicationDestination>) -> Option<Finding> {
        let is_ours = |destination: &&ReplicationDestination| {
            let name = destination.bucket_arn.rsplit(':').next();
            !self.policy.buckets.iter().any(|b| Some(b.name.as_str()) == name)
        };
        let leaving: Vec<&ReplicationDestination> = destinations.iter().filter(is_ours).collect();
        let abroad =
            |d: &&ReplicationDestination| d.account.as_ref().is_some_and(|a| a != self.policy.account.as_str());
        let first = leaving.iter().copied().find(abroad).or(leaving.first().copied())?;
        let account = first.account.as_ref();
        let whose = account.map_or_else(|| "an account that is not named".to_owned(), |a| format!("account {a}"));
        let mut note = self.note(
            Control::S3Replication,
            "replication",
            "copies to buckets of this policy only",
            format!("{} of {whose}", first.bucket_arn),
            "the data is copied to a bucket that this policy does not protect; list that bucket in a policy, or end the replication",
        );
        if !abroad(&first) {
            note.severity = Severity::Low;
        }
        Some(note)
    }

    /// Replication into the bucket can't be read from the bucket; whom its policy lets do it can.
    fn inbound(&self, text: &str) -> Option<Finding> {
        let document = PolicyDocument::parse(text).ok()?;
        let i = document.statements.iter().position(lets_replicas_in)?;
        Some(self.note(
            Control::S3Replication,
            &format!("bucketPolicy.Statement[{i}]"),
            "no replicas from elsewhere",
            "replicas are let in",
            "another bucket's replication may write and delete objects here; remove s3:ReplicateObject and s3:ReplicateDelete if nobody needs it",
        ))
    }

    fn existing_objects(&self) -> Finding {
        self.note(
            Control::S3ExistingObjects,
            "existingObjects",
            "as the policy asks of new objects",
            "Unknown",
            "a change of the default encryption does not touch objects that are there already; an S3 Inventory with EncryptionStatus shows them",
        )
    }
}

fn removes_current(rule: &ExpiryRule) -> bool {
    rule.current_after_days.is_some() || rule.current_on_date
}

fn expiry_text(rule: &ExpiryRule) -> String {
    let ExpiryRule {
        id,
        current_after_days,
        current_on_date,
        noncurrent_after_days,
    } = rule;
    let id = id.as_deref().unwrap_or("without id");
    match (current_after_days, current_on_date, noncurrent_after_days) {
        (Some(days), _, _) => format!("rule {id}: objects after {days} days"),
        (None, true, _) => format!("rule {id}: objects on a date"),
        (None, false, Some(days)) => format!("rule {id}: noncurrent versions after {days} days"),
        (None, false, None) => format!("rule {id}"),
    }
}

fn lets_replicas_in(statement: &Statement) -> bool {
    let matches = |patterns: &[String], action: &str| {
        patterns
            .iter()
            .any(|pattern| Glob::new(pattern, Case::Insensitive).matches(action))
    };
    let covers = |action: &str| match &statement.action {
        ActionElement::Action(patterns) => matches(patterns, action),
        ActionElement::NotAction(patterns) => !matches(patterns, action),
    };
    statement.effect == Effect::Allow && REPLICA_ACTIONS.into_iter().any(covers)
}

#[cfg(test)]
mod tests;
