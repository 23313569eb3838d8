//! What the bucket policy comes to: which of the asked rules it enforces, and the one write that makes it enforce the rest.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::{DeletionPolicy, Gating, TLSVersion};
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::document::{PolicyDocument, Statement};
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::{BucketName, Region, RoleName};
use crate::domain::observed::{CallerIdentity, Read};
use crate::domain::policy::{BucketTarget, ValidatedPolicy};

use super::enforced;
use super::merge::{merge, says_the_same};
use super::sid::{self, Rule};
use super::statement;
use super::unread;
use super::writable::{self, Obstacle, Operator};

/// Findings and the write of one concern of a bucket.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub findings: Vec<Finding>,
    pub action: Option<PlannedAction>,
}

/// One rule that the policy asks for, with the statement that would enforce it.
struct Demand {
    control: Control,
    gating: Gating,
    rule: Rule,
    sid: String,
    want: &'static str,
    statement: Statement,
    kind: Kind,
}

enum Kind {
    TlsOnly,
    MinimumTls(TLSVersion),
    RoleWrites(Vec<String>),
}

impl Demand {
    fn enforced_by<'a>(&self, statements: impl IntoIterator<Item = &'a Statement> + Clone, bucket_arn: &str) -> bool {
        match &self.kind {
            Kind::TlsOnly => enforced::tls_only(statements, bucket_arn),
            Kind::MinimumTls(minimum) => enforced::minimum_tls(&statements, bucket_arn, *minimum),
            Kind::RoleWrites(arns) => arns
                .iter()
                .all(|arn| enforced::role_writes_denied(statements.clone(), bucket_arn, arn)),
        }
    }

    fn finding(&self, bucket: &BucketName, disposition: Disposition, have: String, message: String) -> Finding {
        Finding::new(self.control, Target::Bucket(bucket.clone()), self.gating, disposition)
            .diff(path(self.rule), self.want, have)
            .message(message)
    }
}

fn path(rule: Rule) -> String {
    format!("bucketPolicy.{}", sid::plain(rule))
}

/// Judges the bucket policy of a bucket of the policy.
pub(super) fn plan(
    policy: &ValidatedPolicy,
    target: &BucketTarget,
    region: &Region,
    read: Option<&Read<Option<String>>>,
    caller: Option<&CallerIdentity>,
) -> Part {
    let bucket_arn = region.partition().bucket_arn(&target.name);
    let demands = demands(policy, target, &bucket_arn);
    let text = match read {
        Some(Ok(text)) => text.as_deref(),
        Some(Err(error)) => {
            let findings = demands
                .iter()
                .map(|d| unread::failed(d.control, &target.name, d.gating, &path(d.rule), error));
            return Part {
                findings: findings.collect(),
                action: None,
            };
        }
        None => {
            let gating = demands.iter().filter(|d| d.gating == Gating::Gating);
            let findings = gating.map(|d| unread::not_read(d.control, &target.name, &path(d.rule)));
            return Part {
                findings: findings.collect(),
                action: None,
            };
        }
    };
    let current = match text.map_or_else(|| Ok(PolicyDocument::empty()), PolicyDocument::parse) {
        Ok(current) => current,
        Err(error) => {
            let message = format!("the bucket policy can't be read ({error}) and is left alone; correct or remove it");
            let unparsable = Disposition::NeedsHuman(HumanReason::PolicyUnparsable);
            let findings = demands
                .iter()
                .map(|d| d.finding(&target.name, unparsable, "unreadable".into(), message.clone()));
            return Part {
                findings: findings.collect(),
                action: None,
            };
        }
    };
    Planner {
        policy,
        bucket: &target.name,
        region,
        bucket_arn: &bucket_arn,
        operator: Operator {
            caller,
            plaintext: policy.settings.s3_over_plaintext,
        },
        text,
        current: &current,
    }
    .run(&demands)
}

fn demands(policy: &ValidatedPolicy, target: &BucketTarget, bucket_arn: &str) -> Vec<Demand> {
    let sid = |rule: Rule| rule.sid(&policy.settings.cluster_hash, &policy.name);
    let mut demands = Vec::new();
    if let Some(transport) = &target.transport {
        let tls_sid = sid(Rule::DenyInsecureTransport);
        demands.push(Demand {
            control: Control::S3TlsOnly,
            gating: transport.gating,
            rule: Rule::DenyInsecureTransport,
            want: "requests without TLS are denied",
            statement: statement::deny_insecure_transport(&tls_sid, bucket_arn),
            sid: tls_sid,
            kind: Kind::TlsOnly,
        });
        let old_sid = sid(Rule::DenyOldTls);
        demands.push(Demand {
            control: Control::S3MinimumTlsVersion,
            gating: transport.gating,
            rule: Rule::DenyOldTls,
            want: match transport.want {
                TLSVersion::V12 => "TLS below 1.2 is denied",
                TLSVersion::V13 => "TLS below 1.3 is denied",
            },
            statement: statement::deny_old_tls(&old_sid, bucket_arn, transport.want),
            sid: old_sid,
            kind: Kind::MinimumTls(transport.want),
        });
    }
    let arns = role_arns(policy);
    if !arns.is_empty() {
        let role_sid = sid(Rule::DenyRoleWrites);
        demands.push(Demand {
            control: Control::S3RoleWriteDeny,
            gating: Gating::Gating,
            rule: Rule::DenyRoleWrites,
            want: "everything but reading is denied to the training roles",
            statement: statement::deny_role_writes(&role_sid, bucket_arn, &arns),
            sid: role_sid,
            kind: Kind::RoleWrites(arns),
        });
    }
    demands
}

/// The roles whose writes the bucket refuses: all of the policy, whatever they may read. Under Retain also those that have
/// left the spec, as the roles themselves stay.
fn role_arns(policy: &ValidatedPolicy) -> Vec<String> {
    let mut arns: BTreeSet<String> = policy.roles.iter().map(|r| policy.role_arn(&r.name)).collect();
    if policy.deletion_policy == DeletionPolicy::Retain {
        let retained = policy
            .inventory
            .roles
            .iter()
            .filter_map(|r| RoleName::new(&r.name).ok());
        arns.extend(retained.map(|name| policy.role_arn(&name)));
    }
    arns.into_iter().collect()
}

struct Planner<'a> {
    policy: &'a ValidatedPolicy,
    bucket: &'a BucketName,
    region: &'a Region,
    bucket_arn: &'a str,
    operator: Operator<'a>,
    text: Option<&'a str>,
    current: &'a PolicyDocument,
}

impl Planner<'_> {
    fn run(&self, demands: &[Demand]) -> Part {
        let mut part = Part::default();
        // Statements of ours that this plan is in charge of; what is not enforced now stays as it is.
        let mut managed: BTreeSet<String> = demands
            .iter()
            .filter(|d| d.gating == Gating::Gating)
            .map(|d| d.sid.clone())
            .collect();
        let role_sid = Rule::DenyRoleWrites.sid(&self.policy.settings.cluster_hash, &self.policy.name);
        let role_demand = demands.iter().any(|d| d.rule == Rule::DenyRoleWrites);
        if !role_demand && self.own(&role_sid).next().is_some() {
            part.findings.push(self.leftover());
        }
        managed.insert(role_sid);

        let mut wanted = Vec::new();
        for demand in demands {
            let Some(have) = self.gap(demand, &managed) else {
                if demand.gating == Gating::Gating && self.own(&demand.sid).next().is_some() {
                    wanted.push((demand, None));
                }
                continue;
            };
            match demand.gating {
                Gating::ReportOnly => part.findings.push(demand.finding(
                    self.bucket,
                    Disposition::Note,
                    have,
                    "not enforced by the policy, so only reported; give the control mode Enforce to have it repaired".into(),
                )),
                Gating::Gating if self.operator.locked_out_by(&demand.statement, self.bucket_arn) => {
                    part.findings.push(demand.finding(
                        self.bucket,
                        Disposition::NeedsHuman(HumanReason::WouldLockOut),
                        have,
                        "the statement would lock the operator itself out of the bucket policy; let the operator reach S3 over TLS, as a role that is no training role".into(),
                    ));
                    managed.remove(&demand.sid);
                }
                Gating::Gating => wanted.push((demand, Some(have))),
            }
        }
        self.fit(wanted, managed, &mut part);
        let stuck = |f: &Finding| matches!(f.disposition, Disposition::NeedsHuman(_));
        let quiet = part.action.is_none() && !part.findings.iter().any(stuck);
        part.findings.extend(self.dead_principal().filter(|_| quiet));
        part
    }

    fn own<'s>(&'s self, sid: &str) -> impl Iterator<Item = &'s Statement> {
        self.current
            .statements
            .iter()
            .filter(move |s| s.sid.as_deref() == Some(sid))
    }

    /// What is wrong with a demand; None if it is met, by us or by anybody.
    fn gap(&self, demand: &Demand, managed: &BTreeSet<String>) -> Option<String> {
        let own: Vec<_> = self.own(&demand.sid).collect();
        // What stays after the merge whatever we decide; what is only reported is judged on everything.
        let stays = |s: &&Statement| {
            demand.gating == Gating::ReportOnly || !s.sid.as_ref().is_some_and(|sid| managed.contains(sid))
        };
        let others = self.current.statements.iter().filter(stays);
        match own.as_slice() {
            [one] if says_the_same(&demand.statement, one) => None,
            [] if demand.enforced_by(others.clone(), self.bucket_arn) => None,
            [] => Some("no statement denies them".to_owned()),
            _ if demand.gating == Gating::ReportOnly && demand.enforced_by(others, self.bucket_arn) => None,
            [one] => Some(differences(&demand.statement, one)),
            many => Some(format!("{} statements with our Sid", many.len())),
        }
    }

    fn leftover(&self) -> Finding {
        Finding::new(
            Control::S3RoleWriteDeny,
            Target::Bucket(self.bucket.clone()),
            Gating::Gating,
            Disposition::Repair,
        )
        .diff(
            path(Rule::DenyRoleWrites),
            "no statement",
            "a statement for roles that have left the policy",
        )
        .message("the policy has no training roles any more; their statement is removed")
    }

    /// Plans the write with as many of the wanted statements as AWS takes, the most important ones first.
    fn fit(&self, mut wanted: Vec<(&Demand, Option<String>)>, mut managed: BTreeSet<String>, part: &mut Part) {
        let mut left_out = Vec::new();
        let (outcome, obstacle) = loop {
            let statements: Vec<_> = wanted.iter().map(|(d, _)| d.statement.clone()).collect();
            let merged = merge(self.current, &managed, &statements);
            if merged.changes.is_empty() {
                break (None, None);
            }
            let ours = |s: &Statement| s.sid.as_ref().is_some_and(|sid| managed.contains(sid));
            match writable::check(&merged.document, ours, self.operator, self.bucket_arn) {
                Ok(()) => break (Some(merged.document), None),
                Err(obstacle) if obstacle.reason == HumanReason::PolicyTooLarge => {
                    // The last demand with a gap is the one that can wait; its old statement, if any, stays.
                    let Some(i) = wanted.iter().rposition(|(_, gap)| gap.is_some()) else {
                        break (None, Some(obstacle));
                    };
                    let (demand, gap) = wanted.remove(i);
                    managed.remove(&demand.sid);
                    left_out.push((demand, gap, obstacle));
                }
                Err(obstacle) => break (None, Some(obstacle)),
            }
        };
        for (demand, gap, obstacle) in left_out {
            part.findings
                .push(self.refused(demand, gap.unwrap_or_default(), &obstacle));
        }
        for (demand, gap) in &wanted {
            let Some(have) = gap else { continue };
            part.findings.push(match &obstacle {
                Some(obstacle) => self.refused(demand, have.clone(), obstacle),
                None => demand.finding(self.bucket, Disposition::Repair, have.clone(), repair_message(demand)),
            });
        }
        if let Some(obstacle) = &obstacle {
            // A leftover of ours that can't be removed is for a human as well.
            for finding in part
                .findings
                .iter_mut()
                .filter(|f| f.disposition == Disposition::Repair)
            {
                finding.disposition = Disposition::NeedsHuman(obstacle.reason);
                finding.message.clone_from(&obstacle.message);
            }
        }
        part.action = outcome.map(|document| PlannedAction {
            action: write(self.bucket, self.region, self.text, &document),
            repairs: part
                .findings
                .iter()
                .filter(|f| f.disposition == Disposition::Repair)
                .map(Finding::key)
                .collect(),
        });
    }

    fn refused(&self, demand: &Demand, have: String, obstacle: &Obstacle) -> Finding {
        demand.finding(
            self.bucket,
            Disposition::NeedsHuman(obstacle.reason),
            have,
            obstacle.message.clone(),
        )
    }

    /// Foreign statements about deleted identities do no harm until somebody has to write the policy.
    fn dead_principal(&self) -> Option<Finding> {
        let (i, id) = self
            .current
            .statements
            .iter()
            .enumerate()
            .find_map(|(i, s)| Some((i, writable::dead_principal(s)?)))?;
        let mut finding = Finding::new(
            Control::S3Bucket,
            Target::Bucket(self.bucket.clone()),
            Gating::ReportOnly,
            Disposition::Note,
        )
        .diff(
            format!("bucketPolicy.Statement[{i}].Principal"),
            "identities that exist",
            id,
        )
        .message("the statement names a deleted identity, and AWS refuses every later write of this policy; remove it");
        finding.severity = crate::api::Severity::Low;
        Some(finding)
    }
}

fn repair_message(demand: &Demand) -> String {
    let sid = &demand.sid;
    match &demand.kind {
        Kind::TlsOnly => format!("the bucket answers requests without TLS; statement {sid} denies them"),
        Kind::MinimumTls(_) => {
            format!("the bucket answers requests with an old TLS version; statement {sid} denies them")
        }
        Kind::RoleWrites(_) => {
            format!("only IAM keeps the training roles from writing; statement {sid} makes the bucket refuse it")
        }
    }
}

/// The write that leaves `document` behind: a policy without statements is malformed, so the last one goes with it.
pub(super) fn write(bucket: &BucketName, region: &Region, seen: Option<&str>, document: &PolicyDocument) -> Action {
    match seen {
        Some(seen) if document.statements.is_empty() => Action::DeleteBucketPolicy {
            bucket: bucket.clone(),
            region: region.clone(),
            seen: seen.to_owned(),
        },
        seen => Action::PutBucketPolicy {
            bucket: bucket.clone(),
            region: region.clone(),
            seen: seen.map(str::to_owned),
            document: document.to_json(),
        },
    }
}

/// The elements of our statement that somebody changed, as they stand now.
fn differences(want: &Statement, have: &Statement) -> String {
    let differing = have
        .raw()
        .iter()
        .filter(|(key, value)| want.raw().get(*key) != Some(*value));
    let mut texts: Vec<String> = differing.map(|(key, value)| format!("{key}: {value}")).collect();
    let missing = want.raw().iter().filter(|(key, _)| !have.raw().contains_key(*key));
    texts.extend(missing.map(|(key, _): (&String, &Value)| format!("{key}: absent")));
    texts.join(", ")
}
