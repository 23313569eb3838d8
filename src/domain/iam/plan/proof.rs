//! The read-only proof for the role as it will be after the writes, and what it comes to as findings.
//!
//! The role's own Deny closes what is not read here: ACLs, policies of access points, key policies and grants, and trust
//! policies of other roles are given to the proof as unknown, and it holds all the same.

use std::collections::BTreeMap;

use super::RolePlan;
use crate::api::Severity;
use crate::domain::control::Control;
use crate::domain::document::{Effect, PolicyDocument, PolicyKind};
use crate::domain::finding::{Disposition, Finding, HumanReason};
use crate::domain::iam::actions::Place;
use crate::domain::iam::compiled::Policy;
use crate::domain::iam::principal::Caller;
use crate::domain::iam::proof::{BucketFacts, Evidence, Kind, Proof, ProofInput, Reason, RoleFacts, Violation, prove};
use crate::domain::observed::{ErrorClass, Observed, Read, RoleObservation};
use crate::domain::policy::BucketTarget;

/// A policy that is or will be on the role.
pub(super) struct OnRole<'a> {
    /// Name or ARN.
    pub name: &'a str,
    /// Its document, or why it is not known.
    pub document: Result<&'a str, String>,
}

impl<'a> RolePlan<'a> {
    /// Proves the role with these policies on it; returns whether the claim holds.
    pub(super) fn prove_read_only(&mut self, seen: Option<&RoleObservation>, policies: &[OnRole<'_>]) -> bool {
        let findings = match self.proof(seen, policies) {
            Proof::Proven => return true,
            Proof::Violated(violations) => violations.iter().map(|v| self.violated(v)).collect(),
            Proof::Unknown(_) if self.is_unread_for_now(seen) => vec![self.not_read()],
            Proof::Unknown(reasons) => vec![self.unknown(&reasons)],
        };
        self.findings.extend(findings);
        false
    }

    /// Statements of bucket policies that let the role write, but for its own Deny: somebody's attempt, or a mistake that
    /// takes effect as soon as the Deny is gone.
    pub(super) fn report_bucket_grants(&mut self, seen: Option<&RoleObservation>) {
        let Ok(caller) = self.caller(seen) else { return };
        let allows = |bucket: &BucketTarget| {
            let mut facts = self.bucket_facts(bucket);
            facts.acl = Evidence::Outside;
            if let Evidence::Seen(Some(policy)) = &mut facts.policy {
                policy.rules.retain(|rule| rule.effect == Effect::Allow);
            }
            facts
        };
        let granted = prove(&ProofInput {
            role: RoleFacts {
                caller,
                identity: Vec::new(),
                boundary: None,
                trust: Evidence::Outside,
            },
            buckets: self.policy.buckets.iter().map(allows).collect(),
            keys: Evidence::Outside,
            access_points: Evidence::Outside,
            roles: Evidence::Outside,
            organization: Vec::new(),
        });
        let violations = match granted {
            Proof::Violated(violations) => violations,
            Proof::Proven | Proof::Unknown(_) => return,
        };
        // A statement that opens a bucket and its objects is one grant.
        let mut by_statement: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for Violation { origin, actions, .. } in violations {
            by_statement.entry(origin.to_string()).or_default().extend(actions);
        }
        for (statement, mut actions) in by_statement {
            actions.sort_unstable();
            actions.dedup();
            let note = self
                .note(Control::IamReadOnly, Severity::Medium)
                .diff(format!("bucketPolicy[{statement}]"), "no write granted to the role", actions.join(", "))
                .message(format!(
                    "{statement} lets the role write; only the role's own Deny stands against it: take the role out of that statement"
                ));
            self.findings.push(note);
        }
    }

    fn caller(&self, seen: Option<&RoleObservation>) -> Result<Caller, Reason> {
        let arn = seen.map_or_else(
            || self.policy.created_role_arn(&self.role.name),
            |seen| seen.arn.clone(),
        );
        Caller::parse(&arn).map_err(|error| Reason::Unreadable {
            what: "the role's ARN".into(),
            why: error.to_string(),
        })
    }

    fn proof(&self, seen: Option<&RoleObservation>, policies: &[OnRole<'_>]) -> Proof {
        let caller = match self.caller(seen) {
            Ok(caller) => caller,
            Err(reason) => return Proof::Unknown(vec![reason]),
        };
        let unread = || "not read".to_owned();
        prove(&ProofInput {
            role: RoleFacts {
                caller,
                identity: policies.iter().map(identity).collect(),
                boundary: self.boundary_facts(seen),
                trust: Evidence::Outside,
            },
            buckets: self
                .policy
                .buckets
                .iter()
                .map(|bucket| self.bucket_facts(bucket))
                .collect(),
            keys: Evidence::Missing(unread()),
            access_points: Evidence::Missing(unread()),
            roles: Evidence::Missing(unread()),
            organization: Vec::new(),
        })
    }

    /// A boundary only takes away: one that can't be read is left out.
    fn boundary_facts(&self, seen: Option<&RoleObservation>) -> Option<Policy> {
        let found = seen.and_then(|seen| seen.permissions_boundary_arn.as_ref());
        let arn = self.role.permissions_boundary_arn.as_ref().or(found)?;
        let document = self.managed_document(arn).ok()?;
        compiled(PolicyKind::Boundary, arn, document).ok()
    }

    pub(super) fn bucket_facts(&self, bucket: &BucketTarget) -> BucketFacts {
        let arn = self.policy.partition.bucket_arn(&bucket.name);
        let observed = self.observed.buckets.get(&bucket.name);
        let policy = match observed.and_then(|b| b.policy.as_ref()) {
            Some(Ok(None)) => Evidence::Seen(None),
            Some(Ok(Some(text))) => match compiled(PolicyKind::Resource, &arn, text) {
                Ok(policy) => Evidence::Seen(Some(policy)),
                Err(why) => Evidence::Missing(why),
            },
            Some(Err(error)) => Evidence::Missing(error.to_string()),
            None => Evidence::Missing("not read".into()),
        };
        BucketFacts {
            arn,
            policy,
            acl: Evidence::Missing("not read".into()),
        }
    }

    /// A managed policy as it was read, or why it was not.
    pub(super) fn managed_document(&self, arn: &str) -> Result<&'a str, String> {
        let observed: &'a Observed = self.observed;
        match observed.managed_policies.get(arn) {
            Some(read) => read.as_ref().map(String::as_str).map_err(ToString::to_string),
            None => Err("not read".into()),
        }
    }

    fn violated(&self, violation: &Violation) -> Finding {
        let Violation {
            origin,
            kind,
            actions: _,
            resources: _,
            via,
        } = violation;
        let what = match kind {
            Kind::Data(place) => match place {
                Place::Bucket => "bucket",
                Place::Objects => "objects",
                Place::AccessPoints => "access points",
                Place::ObjectLambda => "Object Lambda",
                Place::FileSystems => "file systems",
            },
            Kind::Key => "key",
            Kind::Escalation => "escalation",
        };
        let path = if via.is_empty() {
            format!("readOnly.{what}[{origin}]")
        } else {
            format!("readOnly.{what}[{origin}] via {}", via.join(", "))
        };
        self.finding(Control::IamReadOnly, Disposition::NeedsHuman(HumanReason::NotReadOnly))
            .diff(path, "no way to change the data", violation.to_string())
            .message(format!(
                "close it with {}, or remove that statement; the role is not read-only: {violation}",
                violation.remedy()
            ))
    }

    /// Whether something that the proof needs could not be read for a reason that may pass.
    fn is_unread_for_now(&self, seen: Option<&RoleObservation>) -> bool {
        fn passes<T>(read: &Read<T>) -> bool {
            match read {
                Ok(_) => false,
                Err(error) => match error.class {
                    ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Credentials => true,
                    ErrorClass::AccessDenied
                    | ErrorClass::NotFound
                    | ErrorClass::Unsupported
                    | ErrorClass::Terminal => false,
                },
            }
        }
        let on_role = seen.iter().flat_map(|seen| &seen.attached_policy_arns);
        let mut policies = on_role.chain(&self.role.managed_policy_arns);
        let mut buckets = self.policy.buckets.iter().map(|b| self.observed.buckets.get(&b.name));
        policies.any(|arn| self.observed.managed_policies.get(arn).is_some_and(passes))
            || buckets.any(|seen| seen.is_some_and(|b| passes(&b.region) || b.policy.as_ref().is_some_and(passes)))
    }

    fn not_read(&self) -> Finding {
        self.finding(Control::IamReadOnly, Disposition::Unobserved)
            .diff("readOnly", "proven", "not read")
            .message("what the proof that the role can only read rests on could not be read; read again")
    }

    fn unknown(&self, reasons: &[Reason]) -> Finding {
        let text = reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let mut finding = self
            .finding(Control::IamReadOnly, Disposition::NeedsHuman(HumanReason::NotProven))
            .diff("readOnly", "proven", text.as_str())
            .message(format!("that the role can only read is not proven: {text}"));
        finding.severity = Severity::High;
        finding
    }
}

pub(super) fn identity(policy: &OnRole<'_>) -> Evidence<Policy> {
    let OnRole { name, document } = policy;
    let compiled = document
        .clone()
        .and_then(|text| compiled(PolicyKind::Identity, name, text));
    match compiled {
        Ok(policy) => Evidence::Seen(policy),
        Err(why) => Evidence::Missing(format!("{name}: {why}")),
    }
}

pub(super) fn compiled(kind: PolicyKind, name: &str, text: &str) -> Result<Policy, String> {
    let document = PolicyDocument::parse(text).map_err(|e| e.to_string())?;
    document.check(kind).map_err(|e| e.to_string())?;
    Policy::new(kind, name, &document).map_err(|e| e.to_string())
}
