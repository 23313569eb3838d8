//! Whether the bucket that access logs are to go to can take them. S3 accepts the setting on trust and then drops the logs
//! unseen, so it is looked at before the setting is written, and afterwards.
//!
//! Sources: S3 User Guide, "Logging requests with server access logging" and "Enabling Amazon S3 server access logging"
//! (same Region and account; the logging service may write, by bucket policy or, with ACLs on, by the log delivery group; no
//! default encryption with KMS keys; not into the bucket itself). What a policy lets in under a condition that can't be
//! told counts as let in: S3 has the last word, and a wrong alarm would keep logging off.

use crate::api::{Gating, Severity};
use crate::domain::control::Control;
use crate::domain::document::{
    ActionElement, Effect, PolicyDocument, PrincipalElement, PrincipalKind, ResourceElement, Statement,
};
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::glob::{Case, Glob};
use crate::domain::names::{AccountId, BucketName, Region};
use crate::domain::observed::{
    BucketAcl, BucketObservation, CallError, EncryptionState, ErrorClass, Grantee, ObjectOwnershipState,
};

use super::enforced::names_everyone;
use super::facts::{self, Facts};
use super::public::public_statement;

/// S3's logging service.
const LOGGING: &str = "logging.s3.amazonaws.com";
/// The group whose grant lets it write where ACLs are on.
const LOG_DELIVERY: &str = "/LogDelivery";
/// What comes behind the prefix in the key of a log.
const LOG_NAME: &str = "2026-01-31-23-59-59-0123456789ABCDEF";

/// A bucket whose logs go to another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery<'a> {
    pub account: &'a AccountId,
    /// The bucket that is logged.
    pub source: &'a BucketName,
    /// Its region.
    pub region: &'a Region,
    /// The bucket that takes the logs.
    pub target: &'a BucketName,
    /// Prefix of their keys.
    pub prefix: &'a str,
}

/// Why the logs would not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub disposition: Disposition,
    /// What was found.
    pub have: String,
    /// One sentence, with the way out.
    pub message: String,
}

impl Delivery<'_> {
    /// Why the target can't take the logs; None = it can, as far as it can be seen.
    pub fn obstacle(self, seen: &BucketObservation) -> Option<Obstacle> {
        let Self {
            account: _,
            source,
            region,
            target,
            prefix: _,
        } = self;
        match &seen.region {
            Ok(there) if there == region => {}
            Ok(there) => {
                let message = format!(
                    "S3 delivers access logs within a region, and {target} is in {there}; name a log bucket in {region} for this bucket"
                );
                return Some(unusable(there.to_string(), message));
            }
            Err(error) if error.class == ErrorClass::NotFound => {
                let message =
                    format!("the log bucket {target} does not exist; create it, or correct its name in accessLogging");
                return Some(unusable("NoSuchBucket".to_owned(), message));
            }
            Err(error) => return self.unread(error),
        }
        // What can't be read is not taken for harmless: the logs would be lost unseen.
        let unread = [
            seen.encryption.as_ref().and_then(|read| read.as_ref().err()),
            seen.access_logging.as_ref().and_then(|read| read.as_ref().err()),
        ];
        if let Some(obstacle) = unread.into_iter().flatten().find_map(|error| self.unread(error)) {
            return Some(obstacle);
        }
        if let Some(Ok(EncryptionState::Rules(rules))) = &seen.encryption {
            let kms = |a: &&str| a.starts_with("aws:kms");
            if let Some(algorithm) = rules.iter().filter_map(|r| r.algorithm.as_deref()).find(kms) {
                let message = format!(
                    "S3 delivers no access logs to a bucket with default encryption by KMS keys; set SSE-S3 on {target}, or name another log bucket"
                );
                return Some(unusable(algorithm.to_owned(), message));
            }
        }
        if let Some(Ok(Some(logging))) = &seen.access_logging
            && logging.target_bucket == source.as_str()
        {
            let message = format!(
                "the access logs of {target} come back to this bucket, so that each log would make another; end the logging of one of them"
            );
            return Some(unusable("logs to this bucket".to_owned(), message));
        }
        self.refused(seen)
    }

    /// Whether neither policy nor ACL of the target lets the logging service in, or its policy keeps it out.
    fn refused(self, seen: &BucketObservation) -> Option<Obstacle> {
        let target = self.target;
        let text = match seen.policy.as_ref()? {
            Ok(text) => text.as_deref(),
            Err(error) => return self.unread(error),
        };
        let Ok(document) = text.map_or_else(|| Ok(PolicyDocument::empty()), PolicyDocument::parse) else {
            let message =
                format!("the bucket policy of {target} can't be read, so whether logs arrive is not known; correct it");
            return Some(unusable("unreadable bucket policy".to_owned(), message));
        };
        let about = |effect: Effect| {
            let statements = document.statements.iter().enumerate();
            statements
                .filter(move |(_, s)| s.effect == effect)
                .map(|(i, s)| (i, self.concerns(s)))
        };
        if let Some((i, _)) = about(Effect::Deny).find(|(_, concerns)| *concerns == Some(true)) {
            let message = format!(
                "statement {i} of the bucket policy of {target} keeps {LOGGING} out; exempt it there (aws:PrincipalServiceName)"
            );
            return Some(unusable(format!("bucketPolicy.Statement[{i}] of {target}"), message));
        }
        if about(Effect::Allow).any(|(_, concerns)| concerns != Some(false)) {
            return None;
        }
        match &seen.acl {
            Some(Ok(acl)) if lets_log_delivery_write(acl) => None,
            Some(Err(error)) => self.unread(error),
            Some(Ok(_)) | None => match &seen.object_ownership {
                Some(Err(error)) => self.unread(error),
                None => None,
                Some(Ok(_)) => {
                    let message = format!(
                        "nothing lets {LOGGING} write to {target}, so the logs would be lost; allow it s3:PutObject in that bucket's policy"
                    );
                    Some(unusable("not writable for S3's logging service".to_owned(), message))
                }
            },
        }
    }

    /// Whether a statement is about the delivery of a log: for certain, for certain not, or it can't be told.
    fn concerns(self, statement: &Statement) -> Option<bool> {
        let Self {
            account,
            source,
            region,
            target,
            prefix,
        } = self;
        let partition = region.partition();
        let log = format!("{}/{prefix}{LOG_NAME}", partition.bucket_arn(target));
        let action = match &statement.action {
            ActionElement::Action(list) => Some(matches(list, "s3:PutObject", Case::Insensitive)),
            ActionElement::NotAction(list) => Some(!matches(list, "s3:PutObject", Case::Insensitive)),
        };
        let resource = |list: &[String]| match matches(list, &log, Case::Sensitive) {
            true => Some(true),
            false if list.iter().any(|p| p.contains("${")) => None,
            false => Some(false),
        };
        let resource = match &statement.resource {
            Some(ResourceElement::Resource(list)) => resource(list),
            Some(ResourceElement::NotResource(list)) => resource(list).map(|r| !r),
            None => Some(true),
        };
        let principal = match &statement.principal {
            Some(PrincipalElement::Principal(p)) => {
                let services = p.entries.get(&PrincipalKind::Service);
                Some(names_everyone(p) || services.is_some_and(|list| list.iter().any(|s| s == LOGGING)))
            }
            Some(PrincipalElement::NotPrincipal(_)) | None => None,
        };
        let request = Facts::default()
            .is("aws:SecureTransport", "true")
            .is("aws:PrincipalIsAWSService", "true")
            .is("aws:PrincipalServiceName", LOGGING)
            .is("aws:SourceAccount", account.as_str())
            .is("aws:SourceArn", &partition.bucket_arn(source));
        let conditions = request.all_hold(&statement.conditions);
        facts::all([action, resource, principal, conditions].into_iter())
    }

    fn unread(self, error: &CallError) -> Option<Obstacle> {
        let target = self.target;
        let disposition = match error.class {
            ErrorClass::AccessDenied => Disposition::NeedsHuman(HumanReason::AccessDenied),
            // A server that lacks the call has no such rule either.
            ErrorClass::Unsupported => return None,
            ErrorClass::NotFound
            | ErrorClass::Credentials
            | ErrorClass::Throttled
            | ErrorClass::Transient
            | ErrorClass::Terminal => Disposition::Unobserved,
        };
        let message = if disposition == Disposition::Unobserved {
            // The error's own words change from try to try, and each change would be a write.
            format!(
                "the log bucket {target} could not be read for a passing reason, so whether it can take the logs is not known; retried"
            )
        } else {
            format!(
                "whether the log bucket {target} can take the logs is not known ({error}); it must be of the same account, and the operator must be allowed to read it"
            )
        };
        Some(Obstacle {
            disposition,
            have: "unknown".to_owned(),
            message,
        })
    }

    /// What else there is to say about the target. Reported only: it is not the policy's to change.
    pub fn notes(self, seen: &BucketObservation) -> Vec<Finding> {
        let note = |path: &str, want: &str, have: String, message: &str| {
            let bucket = Target::Bucket(self.source.clone());
            let mut note = Finding::new(Control::S3AccessLogging, bucket, Gating::ReportOnly, Disposition::Note)
                .diff(format!("accessLogging.bucket.{path}"), want, have)
                .message(message);
            note.severity = Severity::Medium;
            note
        };
        let target = self.target;
        let mut notes = Vec::new();
        if let Some(have) = open_to_everybody(seen) {
            notes.push(note(
                "access",
                "for named principals",
                format!("{target}: {have}"),
                "who asked for the data can be read by everybody; switch on the log bucket's public access block",
            ));
        }
        let to_itself = |seen: &BucketObservation| {
            let logging = seen.access_logging.as_ref()?.as_ref().ok()?.as_ref()?;
            Some(logging.target_bucket == target.as_str())
        };
        if to_itself(seen) == Some(true) {
            notes.push(note(
                "accessLogging",
                "elsewhere, or off",
                target.to_string(),
                "the log bucket logs to itself, so that each log makes another; end its logging",
            ));
        }
        notes
    }
}

fn unusable(have: String, message: String) -> Obstacle {
    Obstacle {
        disposition: Disposition::NeedsHuman(HumanReason::LogTargetUnusable),
        have,
        message,
    }
}

fn matches(patterns: &[String], text: &str, case: Case) -> bool {
    patterns.iter().any(|p| Glob::new(p, case).matches(text))
}

fn lets_log_delivery_write(acl: &BucketAcl) -> bool {
    acl.grants.iter().any(|grant| {
        matches!(&grant.grantee, Grantee::Group(uri) if uri.ends_with(LOG_DELIVERY))
            && matches!(grant.permission.as_str(), "WRITE" | "FULL_CONTROL")
    })
}

/// How the bucket is open, if nothing of its own public access block keeps that from taking effect.
fn open_to_everybody(seen: &BucketObservation) -> Option<String> {
    // Not known is not open: this is a report, and the account's block may be on.
    let block = seen.public_access_block.as_ref()?.as_ref().ok()?;
    let policy = seen.policy.as_ref()?.as_ref().ok()?.as_deref();
    let statement = policy
        .and_then(|text| PolicyDocument::parse(text).ok())
        .and_then(|d| public_statement(&d))
        .filter(|_| !block.is_some_and(|b| b.restrict_public_buckets));
    if let Some(i) = statement {
        return Some(format!("bucketPolicy.Statement[{i}] names everybody"));
    }
    let acls_off = matches!(
        seen.object_ownership,
        Some(Ok(Some(ObjectOwnershipState::BucketOwnerEnforced)))
    );
    let acl = seen.acl.as_ref()?.as_ref().ok()?;
    let everybody = |uri: &str| uri.ends_with("/AllUsers") || uri.ends_with("/AuthenticatedUsers");
    let open = acl
        .grants
        .iter()
        .any(|g| matches!(&g.grantee, Grantee::Group(uri) if everybody(uri)));
    (open && !acls_off && !block.is_some_and(|b| b.ignore_public_acls)).then(|| "its ACL names everybody".to_owned())
}

#[cfg(test)]
mod tests;
