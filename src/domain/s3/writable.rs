//! Whether a merged bucket policy may be written: AWS's limits, foreign statements that make every write fail, and the
//! lock-out guard.

use std::collections::BTreeSet;

use crate::domain::document::{
    ActionElement, Effect, PolicyDocument, PrincipalElement, PrincipalKind, Principals, ResourceElement, Statement,
};
use crate::domain::finding::HumanReason;
use crate::domain::glob::{Case, Glob};
use crate::domain::observed::CallerIdentity;

use super::enforced::names_everyone;
use super::facts::{self, Fact, Facts};
use super::statement::{PRINCIPAL_ARN, SECURE_TRANSPORT, TLS_VERSION};

/// Longest bucket policy, in bytes (AWS S3 User Guide, "Bucket policies": 20 KB).
pub const MAX_POLICY_BYTES: usize = 20_480;

/// What the operator must still be able to do after a write: else it could never repair or revert it.
const OWN_ACTIONS: [&str; 2] = ["s3:PutBucketPolicy", "s3:GetBucketPolicy"];

/// Why a policy may not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The condition reason.
    pub reason: HumanReason,
    /// One sentence with the way out.
    pub message: String,
}

/// Whose requests the operator's are.
#[derive(Clone, Copy, Debug)]
pub struct Operator<'a> {
    /// The principal; None where the account guard is switched off.
    pub caller: Option<&'a CallerIdentity>,
    /// It reaches S3 without TLS.
    pub plaintext: bool,
    /// It is known to reach S3 over TLS 1.3; else the version is 1.2 or 1.3, older ones S3 refuses.
    pub tls13: bool,
}

/// Whether `document`, whose foreign part was read from the bucket, may be sent to `PutBucketPolicy`.
///
/// # Errors
/// The first [`Obstacle`], with what a human does about it.
pub fn check(
    document: &PolicyDocument,
    is_ours: impl Fn(&Statement) -> bool,
    operator: Operator<'_>,
    bucket_arn: &str,
) -> Result<(), Obstacle> {
    let foreign = || document.statements.iter().enumerate().filter(|(_, s)| !is_ours(s));
    // What a foreign statement denies for certain; where it can't be told, having read the policy is the better evidence.
    if let Some((i, action)) = foreign().find_map(|(i, s)| {
        let denied = |action: &&str| operator.denied_by(s, action, bucket_arn) == Some(true);
        OWN_ACTIONS.into_iter().find(denied).map(|action| (i, action))
    }) {
        return Err(Obstacle {
            reason: HumanReason::WouldLockOut,
            message: format!(
                "foreign statement {i} of the bucket policy denies the operator {action}; exempt the operator's role from it"
            ),
        });
    }
    if let Some((i, id)) = foreign().find_map(|(i, s)| Some((i, dead_principal(s)?))) {
        return Err(unwritable(format!(
            "statement {i} of the bucket policy names {id}, the id of a deleted identity, and AWS refuses every policy with it; remove it there"
        )));
    }
    let mut seen = BTreeSet::new();
    // AWS takes any number of empty Sids; Terraform has written them into every statement.
    if let Some(sid) = document
        .statements
        .iter()
        .filter_map(|s| s.sid.as_deref())
        .find(|sid| !sid.is_empty() && !seen.insert(*sid))
    {
        return Err(unwritable(format!(
            "two statements of the bucket policy have Sid {sid:?}, and AWS refuses such a policy; rename one"
        )));
    }
    let size = document.to_json().len();
    if size > MAX_POLICY_BYTES {
        return Err(Obstacle {
            reason: HumanReason::PolicyTooLarge,
            message: format!(
                "with our statements the bucket policy would have {size} bytes, and AWS takes {MAX_POLICY_BYTES}; shorten the foreign statements"
            ),
        });
    }
    Ok(())
}

fn unwritable(message: String) -> Obstacle {
    Obstacle {
        reason: HumanReason::ForeignPolicyUnwritable,
        message,
    }
}

/// The unique id of a deleted role or user that stands where its ARN stood (AWS IAM User Guide, "Principal": ids are shown
/// when AWS can't map them back to an ARN).
pub fn dead_principal(statement: &Statement) -> Option<&str> {
    let (PrincipalElement::Principal(principals) | PrincipalElement::NotPrincipal(principals)) =
        statement.principal.as_ref()?;
    let unique_id = |v: &&String| {
        ["AROA", "AIDA"].iter().any(|prefix| v.starts_with(prefix)) && v.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    principals
        .entries
        .get(&PrincipalKind::Aws)?
        .iter()
        .find(unique_id)
        .map(String::as_str)
}

impl Operator<'_> {
    /// Whether `statement`, which we are about to add, could lock the operator out. What can't be told counts as yes.
    pub fn locked_out_by(self, statement: &Statement, bucket_arn: &str) -> bool {
        let denied = |action| self.denied_by(statement, action, bucket_arn);
        OWN_ACTIONS.into_iter().any(|action| denied(action) != Some(false))
    }

    /// Whether `statement` denies the operator `action` on the bucket.
    fn denied_by(self, statement: &Statement, action: &str, bucket_arn: &str) -> Option<bool> {
        // "The root user can always get, put and delete the bucket policy" (S3 API reference, PutBucketPolicy).
        let root = self.caller.is_some_and(|c| c.arn.ends_with(":root"));
        if statement.effect == Effect::Allow || root {
            return Some(false);
        }
        let named = |list: &[String], text: &str, case| list.iter().any(|p| Glob::new(p, case).matches(text));
        let action = match &statement.action {
            ActionElement::Action(list) => named(list, action, Case::Insensitive),
            ActionElement::NotAction(list) => !named(list, action, Case::Insensitive),
        };
        let resource = match &statement.resource {
            Some(ResourceElement::Resource(list)) => named(list, bucket_arn, Case::Sensitive),
            Some(ResourceElement::NotResource(list)) => !named(list, bucket_arn, Case::Sensitive),
            None => true,
        };
        let principal = match &statement.principal {
            Some(PrincipalElement::Principal(p)) => self.is_named_by(p),
            // Documents and observation disagree on Deny with NotPrincipal.
            Some(PrincipalElement::NotPrincipal(_)) | None => None,
        };
        facts::all(
            [
                Some(action),
                Some(resource),
                principal,
                self.facts().all_hold(&statement.conditions),
            ]
            .into_iter(),
        )
    }

    fn facts(self) -> Facts {
        let facts = if self.plaintext {
            Facts::default()
                .is(SECURE_TRANSPORT, "false")
                .with(TLS_VERSION, Fact::Absent)
        } else {
            let versions: &[&str] = if self.tls13 { &["1.3"] } else { &["1.2", "1.3"] };
            let version = Fact::OneOf(versions.iter().map(|v| (*v).to_owned()).collect());
            Facts::default().is(SECURE_TRANSPORT, "true").with(TLS_VERSION, version)
        };
        let Some(caller) = self.caller else {
            return facts.with(PRINCIPAL_ARN, Fact::Absent);
        };
        facts
            .is("aws:PrincipalAccount", caller.account.as_str())
            .with(PRINCIPAL_ARN, Fact::OneOf(principal_arns(caller)))
    }

    fn is_named_by(self, principals: &Principals) -> Option<bool> {
        if names_everyone(principals) {
            return Some(true);
        }
        let caller = self.caller?;
        let account = caller.account.as_str();
        let root = format!("arn:{}:iam::{account}:root", caller.partition);
        let arns = principal_arns(caller);
        let listed = principals
            .entries
            .get(&PrincipalKind::Aws)
            .map_or(&[][..], Vec::as_slice);
        facts::any(listed.iter().map(|value| {
            if value == account || *value == root || *value == caller.arn || arns == [value.as_str()] {
                return Some(true);
            }
            let literal = Glob::literal(value, Case::Sensitive);
            let maybe = arns
                .iter()
                .any(|arn| Glob::new(arn, Case::Sensitive).intersects(&literal));
            if maybe { None } else { Some(false) }
        }))
    }
}

/// What `aws:PrincipalArn` may be: for a session the ARN of its role, whose path STS does not tell.
fn principal_arns(caller: &CallerIdentity) -> Vec<String> {
    let CallerIdentity {
        account,
        partition,
        arn,
    } = caller;
    let session = format!("arn:{partition}:sts::{account}:assumed-role/");
    match arn.strip_prefix(&session).and_then(|rest| rest.split('/').next()) {
        Some(role) => vec![
            format!("arn:{partition}:iam::{account}:role/{role}"),
            format!("arn:{partition}:iam::{account}:role/*/{role}"),
        ],
        None => vec![arn.clone()],
    }
}

#[cfg(test)]
mod tests;
