//! What is said where nothing is written: of readings that failed, which are never "compliant", and of controls that are
//! only reported.

use crate::api::{Gating, Severity};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::BucketName;
use crate::domain::observed::{CallError, ErrorClass};
use crate::domain::rights::action_for;

/// The value shown for a control that the server or the kind of bucket does not have.
pub const NOT_APPLICABLE: &str = "NotApplicable";

/// What is said of a control that is not enforced.
pub(super) const ONLY_REPORTED: &str =
    "not enforced by the policy, so only reported; give the control mode Enforce to have it repaired";

/// The finding for a reading that failed.
pub(super) fn failed(control: Control, bucket: &BucketName, gating: Gating, path: &str, error: &CallError) -> Finding {
    let target = Target::Bucket(bucket.clone());
    let code = error.code.as_deref().unwrap_or(error.operation);
    let finding = |disposition, have: &str, message: String| {
        Finding::new(control, target.clone(), gating, disposition)
            .diff(path, "readable", have)
            .message(message)
    };
    match error.class {
        ErrorClass::AccessDenied => finding(
            Disposition::NeedsHuman(HumanReason::AccessDenied),
            code,
            format!(
                "AWS refuses {}; grant the operator {} on the bucket, or correct the name: a bucket of another account is refused too",
                error.operation,
                iam_action(error.operation)
            ),
        ),
        ErrorClass::NotFound => missing(bucket),
        ErrorClass::Credentials | ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Terminal => finding(
            Disposition::Unobserved,
            "unknown",
            format!("{} failed and is tried again: {}", error.operation, error.message),
        ),
        ErrorClass::Unsupported => {
            let reason = format!("the server has no {}", error.operation);
            not_applicable(control, bucket, gating, path, &reason)
        }
    }
}

/// The same for a reading of the account as a whole.
pub(super) fn account(control: Control, bucket: &BucketName, gating: Gating, path: &str, error: &CallError) -> Finding {
    match error.class {
        ErrorClass::AccessDenied => {
            let code = error.code.as_deref().unwrap_or(error.operation);
            let refused = Disposition::NeedsHuman(HumanReason::AccessDenied);
            Finding::new(control, Target::Bucket(bucket.clone()), gating, refused)
                .diff(path, "readable", code)
                .message(format!(
                    "AWS refuses {}, so what holds for the bucket is not known and nothing is written; grant the operator {} on *",
                    error.operation,
                    iam_action(error.operation)
                ))
        }
        // The account is there, so this is no word about the bucket.
        ErrorClass::NotFound
        | ErrorClass::Credentials
        | ErrorClass::Throttled
        | ErrorClass::Transient
        | ErrorClass::Terminal
        | ErrorClass::Unsupported => {
            Finding::new(control, Target::Bucket(bucket.clone()), gating, Disposition::Unobserved)
                .diff(path, "readable", "unknown")
                .message(format!(
                    "{} failed and is tried again: {}",
                    error.operation, error.message
                ))
        }
    }
}

/// The finding for a control that the server, or this kind of bucket, does not have: no error, and no claim.
pub(super) fn not_applicable(
    control: Control,
    bucket: &BucketName,
    gating: Gating,
    path: &str,
    reason: &str,
) -> Finding {
    let target = Target::Bucket(bucket.clone());
    let mut finding = Finding::new(control, target, gating, Disposition::Note)
        .diff(path, "readable", NOT_APPLICABLE)
        .message(format!(
            "{reason}; nothing is claimed about it, set the control to Ignore to silence this"
        ));
    finding.severity = Severity::Low;
    finding
}

/// The finding for a control that is asked for and was not read this time.
pub(super) fn not_read(control: Control, bucket: &BucketName, path: &str) -> Finding {
    Finding::new(
        control,
        Target::Bucket(bucket.clone()),
        Gating::Gating,
        Disposition::Unobserved,
    )
    .diff(path, "readable", "unknown")
    .message("not read in this sweep; it is read in the next")
}

/// What is said of a setting that is not as asked: what is done about it, unless the control is only reported.
pub(super) fn repaired(gating: Gating, message: &str) -> String {
    match gating {
        Gating::Gating => message,
        Gating::ReportOnly => ONLY_REPORTED,
    }
    .to_owned()
}

/// The finding for a bucket that does not exist.
pub(super) fn missing(bucket: &BucketName) -> Finding {
    Finding::new(
        Control::S3Bucket,
        Target::Bucket(bucket.clone()),
        Gating::Gating,
        Disposition::NeedsHuman(HumanReason::BucketMissing),
    )
    .diff("bucket", "exists", "NoSuchBucket")
    .message("the bucket does not exist in this account; create it, or correct its name in the policy")
}

/// The IAM action behind an operation.
fn iam_action(operation: &str) -> String {
    action_for(operation).map_or_else(|| format!("s3:{operation}"), str::to_owned)
}
