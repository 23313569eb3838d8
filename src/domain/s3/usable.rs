//! Whether a bucket may be switched to a key: the key must work, and the policy's roles that read the bucket must be able
//! to decrypt with it. Otherwise the next object written is one that training can't read.
//!
//! Judged with the evaluator of `iam`, on both sides: the key's policy and grants, and what is on the role. What can't be
//! read is not shown, and then nothing is written. Does not live here: the health of keys that are in use (`keys`).

use std::collections::BTreeSet;

use serde_json::json;

use crate::domain::document::{PolicyDocument, PolicyKind};
use crate::domain::finding::{Disposition, HumanReason};
use crate::domain::iam::compiled::Policy;
use crate::domain::iam::context::Context;
use crate::domain::iam::evaluate::{PolicySet, Request, Verdict, decide};
use crate::domain::iam::principal::Caller;
use crate::domain::iam::role::{self, INLINE_POLICY};
use crate::domain::names::Region;
use crate::domain::observed::{CallError, ErrorClass, KeyObservation, KeyQuery, Observed, RoleObservation};
use crate::domain::policy::{BucketTarget, RoleTarget, ValidatedPolicy};

use super::keys::defect;

const DECRYPT: &str = "kms:Decrypt";

/// Why a bucket is not switched to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// What follows.
    pub disposition: Disposition,
    /// One sentence, with the way out.
    pub message: String,
}

impl Obstacle {
    fn not_usable(message: String) -> Self {
        Self {
            disposition: Disposition::NeedsHuman(HumanReason::KeyNotUsable),
            message,
        }
    }

    fn unread(what: &str, error: &CallError) -> Self {
        let disposition = match error.class {
            ErrorClass::AccessDenied => Disposition::NeedsHuman(HumanReason::AccessDenied),
            ErrorClass::Credentials | ErrorClass::Throttled | ErrorClass::Transient => Disposition::Unobserved,
            ErrorClass::NotFound | ErrorClass::Unsupported | ErrorClass::Terminal => {
                Disposition::NeedsHuman(HumanReason::KeyNotUsable)
            }
        };
        let message = if disposition == Disposition::Unobserved {
            // The error's own words change from try to try, and each change would be a write.
            format!(
                "{what} could not be read for a passing reason, so the bucket is not switched to the key yet; retried"
            )
        } else {
            format!(
                "{what} can't be read ({error}), so that the training roles can use the key is not shown and the bucket is not switched to it; let the operator read it, or switch the bucket by hand"
            )
        };
        Self { disposition, message }
    }
}

/// Why the bucket can't be switched to the key of this ARN; None = it can.
pub(super) fn obstacle(
    policy: &ValidatedPolicy,
    target: &BucketTarget,
    region: &Region,
    key_arn: &str,
    observed: &Observed,
) -> Option<Obstacle> {
    let query = KeyQuery {
        region: region.clone(),
        key_id: key_arn.to_owned(),
    };
    let key = match observed.keys.get(&query) {
        Some(Ok(key)) => key,
        Some(Err(error)) if error.class == ErrorClass::NotFound => {
            let message = format!("there is no key {key_arn}; create it, or correct the key's ARN in the policy");
            return Some(Obstacle::not_usable(message));
        }
        Some(Err(error)) => return Some(Obstacle::unread("the key", error)),
        None => {
            return Some(Obstacle {
                disposition: Disposition::Unobserved,
                message: "the key was not read in this sweep; the bucket is switched once it was".to_owned(),
            });
        }
    };
    if let Some((have, way_out)) = defect(key) {
        return Some(Obstacle::not_usable(format!("the key is {have}: {way_out}")));
    }
    let reading = |role: &&RoleTarget| role.read.iter().any(|grant| grant.bucket == target.name);
    let check = Check {
        policy,
        region,
        key,
        observed,
    };
    policy.roles.iter().filter(reading).find_map(|role| check.role(role))
}

/// What is on a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    /// As it was seen.
    AsSeen,
    /// As it will be once our own policy is on it.
    AsWritten,
}

struct Check<'a> {
    policy: &'a ValidatedPolicy,
    region: &'a Region,
    key: &'a KeyObservation,
    observed: &'a Observed,
}

impl Check<'_> {
    fn role(&self, target: &RoleTarget) -> Option<Obstacle> {
        let name = &target.name;
        let seen = match self.observed.roles.get(name) {
            Some(Ok(seen)) => seen.as_ref(),
            Some(Err(error)) => return Some(Obstacle::unread(&format!("role {name}"), error)),
            None => {
                return Some(Obstacle {
                    disposition: Disposition::Unobserved,
                    message: format!(
                        "role {name}, which reads the bucket, was not read in this sweep; the bucket is switched once it was"
                    ),
                });
            }
        };
        match self.can_decrypt(target, seen, Rights::AsWritten) {
            Err(obstacle) => return Some(obstacle),
            Ok(Verdict::Allowed) => {}
            Ok(verdict @ (Verdict::ImplicitlyDenied | Verdict::ExplicitlyDenied)) => {
                let why = match verdict {
                    Verdict::ExplicitlyDenied => "a statement denies it",
                    Verdict::Allowed | Verdict::ImplicitlyDenied => {
                        "neither the key's policy nor a grant lets it, or only under a condition that can't be judged here"
                    }
                };
                let message = format!(
                    "role {name} reads the bucket and may not decrypt with the key ({why}), so the bucket is not switched to it; allow the role kms:Decrypt in the key policy, or enable IAM policies there for the account's root"
                );
                return Some(Obstacle::not_usable(message));
            }
        }
        // Who has sessions now must not lose the next object: the right first, the key afterwards.
        let seen = seen?;
        match self.can_decrypt(target, Some(seen), Rights::AsSeen) {
            Ok(Verdict::Allowed) => None,
            Ok(Verdict::ImplicitlyDenied | Verdict::ExplicitlyDenied) => Some(Obstacle {
                disposition: Disposition::Repair,
                message: format!("first role {name} is let use the key, then the bucket is switched to it"),
            }),
            Err(obstacle) => Some(obstacle),
        }
    }

    fn can_decrypt(
        &self,
        target: &RoleTarget,
        seen: Option<&RoleObservation>,
        rights: Rights,
    ) -> Result<Verdict, Obstacle> {
        let arn = seen.map_or_else(|| self.policy.created_role_arn(&target.name), |seen| seen.arn.clone());
        let caller = Caller::parse(&arn).map_err(|error| Obstacle::not_usable(error.to_string()))?;
        let mut identity = Vec::new();
        for (name, text) in seen.iter().flat_map(|seen| &seen.inline_policies) {
            if rights == Rights::AsSeen || name != INLINE_POLICY {
                identity.push(compiled(PolicyKind::Identity, name, text)?);
            }
        }
        let attached = seen.iter().flat_map(|seen| &seen.attached_policy_arns);
        let mut managed: BTreeSet<&String> = attached.collect();
        if rights == Rights::AsWritten {
            // Nothing else in our document allows or denies decrypting.
            let keys = BTreeSet::from([self.key.arn.clone()]);
            let statement = role::decrypt_statement(self.policy.partition, keys);
            let document = json!({"Version": "2012-10-17", "Statement": [statement]});
            identity.push(compiled(PolicyKind::Identity, INLINE_POLICY, &document.to_string())?);
            managed.extend(&target.managed_policy_arns);
        }
        for arn in managed {
            identity.push(compiled(PolicyKind::Identity, arn, self.managed(arn)?)?);
        }
        let found = seen.and_then(|seen| seen.permissions_boundary_arn.as_ref());
        let wanted = target.permissions_boundary_arn.as_ref();
        let boundary = match wanted.filter(|_| rights == Rights::AsWritten).or(found) {
            Some(arn) => Some(compiled(PolicyKind::Boundary, arn, self.managed(arn)?)?),
            None => None,
        };
        let key_policy = match &self.key.policy {
            Ok(text) => compiled(PolicyKind::Resource, "key policy", text)?,
            Err(error) => return Err(Obstacle::unread("the key's policy", error)),
        };
        let mut context = Context::new();
        let service = format!("s3.{}.{}", self.region, self.policy.partition.dns_suffix());
        context.add("kms:ViaService", &service);
        context.add("kms:CallerAccount", self.policy.account.as_str());
        context.add("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT");
        context.add("aws:SecureTransport", "true");
        let request = Request::new(caller, DECRYPT, &self.key.arn, None, context)
            .map_err(|error| Obstacle::not_usable(error.to_string()))?;
        let policies = PolicySet {
            identity,
            boundary,
            resource: Some(key_policy),
            ..PolicySet::default()
        };
        let verdict = decide(&request, &policies).verdict;
        // A grant allows what no policy does; a Deny still beats it. One that holds for some requests only shows nothing.
        let granted = || {
            let grants = self.key.grants.iter().flatten();
            let mut mine = grants.filter(|grant| grant.grantee == arn && !grant.is_constrained);
            mine.any(|grant| grant.operations.contains("Decrypt"))
        };
        Ok(match verdict {
            Verdict::ImplicitlyDenied if granted() => Verdict::Allowed,
            verdict => verdict,
        })
    }

    fn managed(&self, arn: &str) -> Result<&str, Obstacle> {
        match self.observed.managed_policies.get(arn) {
            Some(Ok(text)) => Ok(text),
            Some(Err(error)) => Err(Obstacle::unread(arn, error)),
            None => Err(Obstacle {
                disposition: Disposition::Unobserved,
                message: format!("{arn} was not read in this sweep; the bucket is switched once it was"),
            }),
        }
    }
}

fn compiled(kind: PolicyKind, name: &str, text: &str) -> Result<Policy, Obstacle> {
    let problem = |error: String| {
        Obstacle::not_usable(format!(
            "{name} can't be judged ({error}), so that the training roles can use the key is not shown; correct it, or switch the bucket by hand"
        ))
    };
    let document = PolicyDocument::parse(text).map_err(|error| problem(error.to_string()))?;
    Policy::new(kind, name, &document).map_err(|error| problem(error.to_string()))
}

#[cfg(test)]
mod tests;
