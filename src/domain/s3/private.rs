//! The public access block. What holds for a bucket is its own block and the account's together: a setting is on if either
//! has it on (S3 User Guide, "Blocking public access", "most restrictive combination").

use crate::api::Gating;
use crate::domain::action::Action;
use crate::domain::control::Control;
use crate::domain::finding::Finding;
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::{ErrorClass, PublicAccessBlock, Read};

use super::bucket_policy::Part;
use super::settings::{finding, part, value};
use super::unread;

const CONTROL: Control = Control::S3PublicAccessBlock;
const PATH: &str = "publicAccessBlock";

/// All four settings on: S3 replaces the four at once.
const ALL_ON: PublicAccessBlock = PublicAccessBlock {
    block_public_acls: true,
    ignore_public_acls: true,
    block_public_policy: true,
    restrict_public_buckets: true,
};

const ALL_OFF: PublicAccessBlock = PublicAccessBlock {
    block_public_acls: false,
    ignore_public_acls: false,
    block_public_policy: false,
    restrict_public_buckets: false,
};

/// Judges the public access block of a bucket, by what it and its account have set.
///
/// The bucket's own is read in any case. An account's block that can't be read is not "off": whether the bucket needs one of its own is then not known, and
/// nothing is written.
pub(super) fn plan(
    bucket: &BucketName,
    region: &Region,
    gating: Gating,
    read: Option<&Read<Option<PublicAccessBlock>>>,
    account: Option<&Read<Option<PublicAccessBlock>>>,
) -> Part {
    let by_account = match account {
        Some(Ok(block)) => block.unwrap_or(ALL_OFF),
        Some(Err(_)) | None => ALL_OFF,
    };
    let state = match value(read, CONTROL, bucket, gating, PATH) {
        Ok(state) => *state,
        Err(findings) => return Part { findings, action: None },
    };
    // Whatever the bucket's own block is: the answer shows that the bucket is there and the account's own. One of another
    // account, whose name was free for a moment, is not kept private by this one.
    let effective = either(state.unwrap_or(ALL_OFF), by_account);
    if effective == ALL_ON {
        return Part::default();
    }
    match account {
        Some(Ok(_)) => {}
        // A server that knows no accounts has no block of theirs.
        Some(Err(error)) if error.class == ErrorClass::Unsupported => {}
        Some(Err(error)) => {
            return Part {
                findings: vec![unread::account(
                    CONTROL,
                    bucket,
                    gating,
                    "accountPublicAccessBlock",
                    error,
                )],
                action: None,
            };
        }
        None => {
            let findings = match gating {
                Gating::Gating => vec![unread::not_read(CONTROL, bucket, "accountPublicAccessBlock")],
                Gating::ReportOnly => Vec::new(),
            };
            return Part { findings, action: None };
        }
    }
    let action = Action::PutPublicAccessBlock {
        bucket: bucket.clone(),
        region: region.clone(),
        seen: state,
        settings: ALL_ON,
    };
    part(gaps(bucket, gating, state, effective), gating, action)
}

fn either(a: PublicAccessBlock, b: PublicAccessBlock) -> PublicAccessBlock {
    PublicAccessBlock {
        block_public_acls: a.block_public_acls || b.block_public_acls,
        ignore_public_acls: a.ignore_public_acls || b.ignore_public_acls,
        block_public_policy: a.block_public_policy || b.block_public_policy,
        restrict_public_buckets: a.restrict_public_buckets || b.restrict_public_buckets,
    }
}

fn gaps(
    bucket: &BucketName,
    gating: Gating,
    state: Option<PublicAccessBlock>,
    effective: PublicAccessBlock,
) -> Vec<Finding> {
    if state.is_none() && effective == ALL_OFF {
        let message = "nothing keeps the bucket from being made public; all four settings are switched on";
        return vec![
            finding(CONTROL, bucket, gating)
                .diff(PATH, "all four on", "absent")
                .message(unread::repaired(gating, message)),
        ];
    }
    let PublicAccessBlock {
        block_public_acls,
        ignore_public_acls,
        block_public_policy,
        restrict_public_buckets,
    } = effective;
    let message = "the bucket can be made public this way; the setting is switched on";
    [
        ("blockPublicAcls", block_public_acls),
        ("ignorePublicAcls", ignore_public_acls),
        ("blockPublicPolicy", block_public_policy),
        ("restrictPublicBuckets", restrict_public_buckets),
    ]
    .into_iter()
    .filter(|(_, on)| !on)
    .map(|(name, _)| {
        finding(CONTROL, bucket, gating)
            .diff(format!("{PATH}.{name}"), "true", "false")
            .message(unread::repaired(gating, message))
    })
    .collect()
}

#[cfg(test)]
mod tests;
