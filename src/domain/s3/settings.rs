//! The settings of a bucket besides encryption: Object Ownership, versioning, access
//! logging. (The public access block is in `private`.)

use std::collections::BTreeMap;

use crate::api::Gating;
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::{AccountId, BucketName, Region};
use crate::domain::observed::{
    AccessLoggingState, BucketAcl, BucketObservation, Grantee, ObjectOwnershipState, Read, VersioningState,
};
use crate::domain::policy::{Controlled, WantAccessLogging};

use super::bucket_policy::Part;
use super::log_target::{Delivery, Obstacle};
use super::unread;

pub(super) fn finding(control: Control, bucket: &BucketName, gating: Gating) -> Finding {
    let disposition = match gating {
        Gating::Gating => Disposition::Repair,
        Gating::ReportOnly => Disposition::Note,
    };
    Finding::new(control, Target::Bucket(bucket.clone()), gating, disposition)
}

pub(super) fn part(findings: Vec<Finding>, gating: Gating, action: Action) -> Part {
    let repairs: Vec<_> = findings.iter().map(Finding::key).collect();
    Part {
        action: (gating == Gating::Gating && !findings.is_empty()).then_some(PlannedAction { action, repairs }),
        findings,
    }
}

/// What a reading comes to: the value, or the findings that stand for its absence.
pub(super) fn value<'a, T>(
    read: Option<&'a Read<T>>,
    control: Control,
    bucket: &BucketName,
    gating: Gating,
    path: &str,
) -> Result<&'a T, Vec<Finding>> {
    let findings = match read {
        Some(Ok(value)) => return Ok(value),
        Some(Err(error)) => vec![unread::failed(control, bucket, gating, path, error)],
        None if gating == Gating::Gating => vec![unread::not_read(control, bucket, path)],
        None => Vec::new(),
    };
    Err(findings)
}

/// Judges the versioning of a bucket.
pub(super) fn versioning(
    bucket: &BucketName,
    region: &Region,
    gating: Gating,
    read: Option<&Read<VersioningState>>,
) -> Part {
    const PATH: &str = "versioning.status";
    let control = Control::S3Versioning;
    let state = match value(read, control, bucket, gating, PATH) {
        Ok(state) => state,
        Err(findings) => return Part { findings, action: None },
    };
    let have = match state {
        VersioningState::Enabled => None,
        VersioningState::Unversioned => Some("Unversioned"),
        VersioningState::Suspended => Some("Suspended"),
    };
    let findings = have.map(|have| {
        finding(control, bucket, gating)
            .diff(PATH, "Enabled", have)
            .message(unread::repaired(
                gating,
                "overwritten and deleted objects are lost for good; versioning is enabled",
            ))
    });
    let action = Action::EnableBucketVersioning {
        bucket: bucket.clone(),
        region: region.clone(),
        seen: *state,
    };
    part(findings.into_iter().collect(), gating, action)
}

/// Judges Object Ownership, and the ACL where it counts.
pub(super) fn object_ownership(
    bucket: &BucketName,
    region: &Region,
    gating: Gating,
    read: Option<&Read<Option<ObjectOwnershipState>>>,
    acl: Option<&Read<BucketAcl>>,
) -> Part {
    const PATH: &str = "objectOwnership";
    let control = Control::S3ObjectOwnership;
    let state = match value(read, control, bucket, gating, PATH) {
        Ok(state) => state,
        Err(findings) => return Part { findings, action: None },
    };
    let have = match state {
        Some(ObjectOwnershipState::BucketOwnerEnforced) => return Part::default(),
        Some(ObjectOwnershipState::BucketOwnerPreferred) => "BucketOwnerPreferred",
        Some(ObjectOwnershipState::ObjectWriter) => "ObjectWriter",
        None => "ObjectWriter (nothing configured)",
    };
    let mut found = finding(control, bucket, gating)
        .diff(PATH, "BucketOwnerEnforced", have)
        .message(unread::repaired(
            gating,
            "ACLs can let others in past every policy; they are switched off",
        ));
    let mut findings: Vec<Finding> = acl
        .and_then(|a| a.as_ref().ok())
        .and_then(|a| public_grant(bucket, a))
        .into_iter()
        .collect();
    if gating == Gating::ReportOnly {
        findings.push(found);
        return Part { findings, action: None };
    }
    match value(acl, control, bucket, gating, "acl") {
        Ok(acl) => {
            if let Some(grantee) = foreign_grantee(acl) {
                found.disposition = Disposition::NeedsHuman(HumanReason::AclInUse);
                let message = format!(
                    "the bucket's ACL grants {grantee} access, and S3 keeps ACLs on as long as it does; replace the grant by a bucket policy"
                );
                findings.push(found.message(message));
                return Part { findings, action: None };
            }
            let action = Action::EnforceBucketOwner {
                bucket: bucket.clone(),
                region: region.clone(),
                seen: *state,
                acl: acl.clone(),
            };
            let repairs = vec![found.key()];
            findings.push(found);
            Part {
                findings,
                action: Some(PlannedAction { action, repairs }),
            }
        }
        // Whose grants would be lost is not known, so nothing is written; that ACLs are on is known all the same. (Where the
        // server has none of these calls there is nothing to switch off.)
        Err(unread) => {
            if unread.iter().any(|f| f.disposition != Disposition::Note) {
                let message = "ACLs can let others in past every policy; they are switched off once it can be read whom the ACL lets in";
                findings.push(found.message(message));
            }
            findings.extend(unread);
            Part { findings, action: None }
        }
    }
}

/// The first grantee who is not the bucket's owner.
fn foreign_grantee(acl: &BucketAcl) -> Option<String> {
    let BucketAcl { owner, grants } = acl;
    grants.iter().find_map(|grant| match &grant.grantee {
        Grantee::CanonicalUser(id) if Some(id) == owner.as_ref() => None,
        Grantee::CanonicalUser(id) => Some(format!("canonical user {id}")),
        Grantee::Group(uri) => Some(format!("group {}", uri.rsplit('/').next().unwrap_or(uri))),
        Grantee::Email(_) => Some("an account by e-mail address".to_owned()),
        Grantee::Unknown => Some("somebody".to_owned()),
    })
}

/// A grant to everybody, or to everybody with an AWS account. Reported only: IgnorePublicAcls keeps it from taking effect.
fn public_grant(bucket: &BucketName, acl: &BucketAcl) -> Option<Finding> {
    let group = acl.grants.iter().find_map(|grant| match &grant.grantee {
        Grantee::Group(uri) => ["AllUsers", "AuthenticatedUsers"]
            .into_iter()
            .find(|g| uri.ends_with(&format!("/{g}"))),
        Grantee::CanonicalUser(_) | Grantee::Email(_) | Grantee::Unknown => None,
    })?;
    let target = Target::Bucket(bucket.clone());
    Some(
        Finding::new(Control::S3Acl, target, Gating::ReportOnly, Disposition::Note)
            .diff("acl", "no grant to everybody", group)
            .message("only the public access block keeps the grant from taking effect; remove it"),
    )
}

/// A bucket whose access logging is judged, and what was seen of the buckets that take logs.
#[derive(Clone, Copy)]
pub(super) struct AccessLogging<'a> {
    pub account: &'a AccountId,
    pub bucket: &'a BucketName,
    pub region: &'a Region,
    pub targets: &'a BTreeMap<BucketName, BucketObservation>,
}

impl AccessLogging<'_> {
    /// Judges server access logging, and whether the logs can arrive.
    pub fn judge(
        self,
        control: &Controlled<WantAccessLogging>,
        read: Option<&Read<Option<AccessLoggingState>>>,
    ) -> Part {
        let Controlled { gating, want } = control;
        let mut part = access_logging(self.bucket, self.region, control, read);
        let (Some(target), Some(Ok(state))) = (&want.bucket, read) else {
            return part;
        };
        let Some(seen) = self.targets.get(target).filter(|_| target != self.bucket) else {
            return part;
        };
        let prefix = want
            .prefix
            .as_deref()
            .or(state.as_ref().map(|s| s.target_prefix.as_str()));
        let delivery = Delivery {
            account: self.account,
            source: self.bucket,
            region: self.region,
            target,
            prefix: prefix.unwrap_or_default(),
        };
        if let Some(obstacle) = delivery.obstacle(seen) {
            hold_back(&mut part, self.bucket, *gating, obstacle);
        }
        part.findings.extend(delivery.notes(seen));
        part
    }
}

/// Takes the write back that would send logs where they don't arrive, and says so where they are sent already.
fn hold_back(part: &mut Part, bucket: &BucketName, gating: Gating, obstacle: Obstacle) {
    let Obstacle {
        disposition,
        have,
        message,
    } = obstacle;
    if part.action.take().is_some() {
        // That a reading failed for now makes what is wrong none that was not seen: it stays, and is looked at again.
        let later = (disposition == Disposition::Unobserved).then(|| {
            let target = Target::Bucket(bucket.clone());
            Finding::new(Control::S3AccessLogging, target, Gating::ReportOnly, disposition)
                .diff("accessLogging.bucket", "a bucket that can take the logs", have)
                .message(message.clone())
        });
        for finding in &mut part.findings {
            if later.is_none() {
                finding.disposition = disposition;
            }
            finding.message.clone_from(&message);
        }
        part.findings.extend(later);
        return;
    }
    // What can't be read is no news of what works already: S3 looked at the target when it was set.
    let unusable = disposition == Disposition::NeedsHuman(HumanReason::LogTargetUnusable);
    let (gating, disposition) = match gating {
        Gating::Gating if unusable => (gating, disposition),
        Gating::Gating | Gating::ReportOnly => (Gating::ReportOnly, Disposition::Note),
    };
    let target = Target::Bucket(bucket.clone());
    part.findings.push(
        Finding::new(Control::S3AccessLogging, target, gating, disposition)
            .diff("accessLogging.bucket", "a bucket that can take the logs", have)
            .message(message),
    );
}

/// Judges the setting alone.
fn access_logging(
    bucket: &BucketName,
    region: &Region,
    control: &Controlled<WantAccessLogging>,
    read: Option<&Read<Option<AccessLoggingState>>>,
) -> Part {
    const PATH: &str = "accessLogging";
    const CONTROL: Control = Control::S3AccessLogging;
    let Controlled { gating, want } = control;
    let WantAccessLogging { bucket: target, prefix } = want;
    if target.as_ref() == Some(bucket) {
        let reason = "the bucket takes the logs itself, and logging it would never end";
        let finding = unread::not_applicable(CONTROL, bucket, Gating::ReportOnly, PATH, reason);
        return Part {
            findings: vec![finding],
            action: None,
        };
    }
    let state = match value(read, CONTROL, bucket, *gating, PATH) {
        Ok(state) => state.as_ref(),
        Err(findings) => return Part { findings, action: None },
    };
    let found = |path: &str, want: &str, have: &str, message: &str| {
        finding(CONTROL, bucket, *gating)
            .diff(path, want, have)
            .message(unread::repaired(*gating, message))
    };
    let mut findings = Vec::new();
    match state {
        None => findings.push(found(
            PATH,
            target.as_ref().map_or("on", BucketName::as_str),
            "off",
            "nobody could say afterwards who read the data; access logging is switched on",
        )),
        Some(state) => {
            if let Some(target) = target.as_ref().filter(|t| t.as_str() != state.target_bucket) {
                let message = "the logs go to another bucket than the policy's; they are sent there";
                findings.push(found(
                    "accessLogging.bucket",
                    target.as_str(),
                    &state.target_bucket,
                    message,
                ));
            }
            if let Some(prefix) = prefix.as_ref().filter(|p| **p != state.target_prefix) {
                let message = "the logs have another prefix than the policy's; it is set";
                findings.push(found("accessLogging.prefix", prefix, &state.target_prefix, message));
            }
        }
    }
    let Some(target) = target else {
        return Part { findings, action: None };
    };
    let action = Action::PutBucketLogging {
        bucket: bucket.clone(),
        region: region.clone(),
        seen: state.cloned(),
        logging: AccessLoggingState {
            target_bucket: target.to_string(),
            target_prefix: prefix
                .clone()
                .or_else(|| state.map(|s| s.target_prefix.clone()))
                .unwrap_or_default(),
            key_format: state.and_then(|s| s.key_format.clone()),
            target_grants: state.map(|s| s.target_grants.clone()).unwrap_or_default(),
        },
    };
    part(findings, *gating, action)
}

#[cfg(test)]
mod tests;
