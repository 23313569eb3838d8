//! The settings of a bucket that are on or off: public access block and versioning.

use crate::api::Gating;
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, Target};
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::{PublicAccessBlock, Read, VersioningState};

use super::bucket_policy::Part;
use super::unread;

/// All four settings on: S3 replaces the four at once.
const ALL_ON: PublicAccessBlock = PublicAccessBlock {
    block_public_acls: true,
    ignore_public_acls: true,
    block_public_policy: true,
    restrict_public_buckets: true,
};

fn finding(control: Control, bucket: &BucketName, gating: Gating) -> Finding {
    let disposition = match gating {
        Gating::Gating => Disposition::Repair,
        Gating::ReportOnly => Disposition::Note,
    };
    Finding::new(control, Target::Bucket(bucket.clone()), gating, disposition)
}

fn part(findings: Vec<Finding>, gating: Gating, action: Action) -> Part {
    let repairs: Vec<_> = findings.iter().map(Finding::key).collect();
    Part {
        action: (gating == Gating::Gating && !findings.is_empty()).then_some(PlannedAction { action, repairs }),
        findings,
    }
}

/// What a reading comes to: the value, or the findings that stand for its absence.
fn value<'a, T>(
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

/// Judges the public access block of a bucket.
pub(super) fn public_access_block(
    bucket: &BucketName,
    region: &Region,
    gating: Gating,
    read: Option<&Read<Option<PublicAccessBlock>>>,
) -> Part {
    const PATH: &str = "publicAccessBlock";
    let control = Control::S3PublicAccessBlock;
    let state = match value(read, control, bucket, gating, PATH) {
        Ok(state) => *state,
        Err(findings) => return Part { findings, action: None },
    };
    let findings = match state {
        None => vec![
            finding(control, bucket, gating)
                .diff(PATH, "all four on", "absent")
                .message("nothing keeps the bucket from being made public; all four settings are switched on"),
        ],
        Some(PublicAccessBlock {
            block_public_acls,
            ignore_public_acls,
            block_public_policy,
            restrict_public_buckets,
        }) => [
            ("blockPublicAcls", block_public_acls),
            ("ignorePublicAcls", ignore_public_acls),
            ("blockPublicPolicy", block_public_policy),
            ("restrictPublicBuckets", restrict_public_buckets),
        ]
        .into_iter()
        .filter(|(_, on)| !on)
        .map(|(name, _)| {
            finding(control, bucket, gating)
                .diff(format!("{PATH}.{name}"), "true", "false")
                .message("the bucket can be made public this way; the setting is switched on")
        })
        .collect(),
    };
    let action = Action::PutPublicAccessBlock {
        bucket: bucket.clone(),
        region: region.clone(),
        settings: ALL_ON,
    };
    part(findings, gating, action)
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
            .message("overwritten and deleted objects are lost for good; versioning is enabled")
    });
    let action = Action::EnableBucketVersioning {
        bucket: bucket.clone(),
        region: region.clone(),
    };
    part(findings.into_iter().collect(), gating, action)
}
