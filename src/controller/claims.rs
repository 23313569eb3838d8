//! Which policy holds a target that several name. Pure.
//!
//! Only a policy that enforces claims. The one whose inventory already holds the target keeps it; else the older one; else
//! the one whose name comes first. Every replica and every reconcile comes to the same answer.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::{AIDataProtectionPolicy, AIDataProtectionPolicyStatus, DeletionPolicy, Mode, TargetState, Targets};
use crate::domain::finding::Target;
use crate::domain::names::{BucketName, RoleName};
use crate::domain::policy::Conflicts;
use crate::domain::report::{READY, Reason, condition};

/// One policy's claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Name of the policy.
    name: String,
    /// It enforces, and is not going: it may want more.
    wants: bool,
    /// When it was created; one without comes last.
    created: Option<Timestamp>,
    /// What its spec names or its selectors found, as the plan knows it.
    wanted: BTreeMap<Claimed, Target>,
    /// What its inventory holds.
    held: BTreeSet<Claimed>,
}

/// A target as it can be claimed once. Egress rules can't: every NetworkPolicy bears its policy's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claimed {
    /// Bucket names are unique in a partition.
    Bucket(String),
    /// Role names are unique in an account, without regard to case.
    Role { account: String, name: String },
}

impl Claims {
    /// What a policy claims under the operator's ceiling; nothing if it does not enforce.
    pub fn of(policy: &AIDataProtectionPolicy, max_mode: Mode) -> Self {
        let metadata = &policy.metadata;
        let mut claims = Self {
            name: metadata.name.clone().unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|t| t.0),
            ..Self::default()
        };
        let spec = &policy.spec;
        if spec.mode != Mode::Enforce || max_mode != Mode::Enforce {
            return claims;
        }
        let role = |name: &str| Claimed::Role {
            account: spec.account.id.clone(),
            name: name.to_ascii_lowercase(),
        };
        // A policy that is going holds what it may still revert, and wants nothing new.
        if metadata.deletion_timestamp.is_none() {
            claims.wants = true;
            // Names that are none are left out; validation refuses them.
            let buckets = spec.buckets.iter().filter_map(|b| BucketName::new(&b.name).ok());
            let roles = spec.training_roles.iter().filter_map(|r| RoleName::new(&r.name).ok());
            claims.wanted = buckets
                .map(|b| (Claimed::Bucket(b.to_string()), Target::Bucket(b)))
                .chain(roles.map(|r| (role(r.as_str()), Target::Role(r))))
                .collect();
        }
        if let Some(Targets {
            buckets,
            roles,
            egress: _,
        }) = policy
            .status
            .as_ref()
            .filter(|s| !audited(s))
            .and_then(|s| s.targets.as_ref())
        {
            let revert = spec.deletion_policy == DeletionPolicy::Revert;
            claims.held = buckets
                .iter()
                .filter(|b| holds(b.state, revert))
                .map(|b| Claimed::Bucket(b.name.clone()))
                .chain(roles.iter().filter(|r| holds(r.state, revert)).map(|r| role(&r.name)))
                .collect();
        }
        claims
    }

    /// The same with buckets that its selectors found.
    #[must_use]
    pub fn wanting<'a>(mut self, selected: impl IntoIterator<Item = &'a BucketName>) -> Self {
        if self.wants {
            let found = selected.into_iter();
            self.wanted
                .extend(found.map(|b| (Claimed::Bucket(b.to_string()), Target::Bucket(b.clone()))));
        }
        self
    }

    /// Name of the policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this policy names the bucket, or has selected it, and has it in its inventory as its own.
    pub fn names_and_holds(&self, bucket: &BucketName) -> bool {
        let claimed = Claimed::Bucket(bucket.to_string());
        self.wanted.contains_key(&claimed) && self.held.contains(&claimed)
    }

    /// What this policy wants and another one holds, with the other one's name.
    pub fn conflicts<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> Conflicts {
        let others: Vec<&Self> = others.into_iter().filter(|o| o.name != self.name).collect();
        let mut conflicts = Conflicts::new();
        for (claimed, target) in &self.wanted {
            let first = others
                .iter()
                .filter(|o| o.wanted.contains_key(claimed) || o.held.contains(claimed))
                .min_by_key(|o| o.rank(claimed))
                .filter(|o| o.rank(claimed) < self.rank(claimed));
            if let Some(first) = first {
                conflicts.insert(target.clone(), first.name.clone());
            }
        }
        conflicts
    }

    /// The lower, the better.
    fn rank(&self, claimed: &Claimed) -> (bool, bool, Option<Timestamp>, &str) {
        (
            !self.held.contains(claimed),
            self.created.is_none(),
            self.created,
            &self.name,
        )
    }
}

/// Whether an entry of the inventory is a hold. What has left the spec is let go, unless it is still to be reverted.
fn holds(state: TargetState, revert: bool) -> bool {
    match state {
        TargetState::Pending
        | TargetState::Compliant
        | TargetState::Drifted
        | TargetState::Unknown
        | TargetState::Missing => true,
        TargetState::Conflict => false,
        TargetState::Orphaned => revert,
    }
}

/// An inventory that was written in mode Audit lists what was looked at and claims nothing of it.
fn audited(status: &AIDataProtectionPolicyStatus) -> bool {
    condition(status, READY).is_some_and(|ready| ready.reason == Reason::Audited.as_str())
}

#[cfg(test)]
mod tests;
