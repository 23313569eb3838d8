//! What the bucket policy comes to: which of the asked rules it enforces, and the one write that makes it enforce the rest.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::api::Gating;
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::document::{PolicyDocument, Statement};
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::Read;
use crate::domain::policy::{BucketTarget, ValidatedPolicy};

use super::demand::{Demand, Demands, control, demands, path};
use super::encryption::DefaultKey;
use super::merge::{merge, says_the_same};
use super::public::public_statement;
use super::sid::Rule;
use super::unread;
use super::writable::{self, Obstacle, Operator};

/// Findings and the write of one concern of a bucket.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub findings: Vec<Finding>,
    pub action: Option<PlannedAction>,
}

/// Judges the bucket policy of a bucket of the policy. `default_key` is the key of the bucket's default encryption.
pub(super) fn plan(
    policy: &ValidatedPolicy,
    target: &BucketTarget,
    region: &Region,
    read: Option<&Read<Option<String>>>,
    default_key: &DefaultKey,
    operator: Operator<'_>,
) -> Part {
    let bucket = &target.name;
    let unread = |finding: &dyn Fn(&Demand) -> Option<Finding>| Part {
        findings: demands(policy, target, region, default_key, None)
            .list
            .iter()
            .filter_map(finding)
            .collect(),
        action: None,
    };
    let text = match read {
        Some(Ok(text)) => text.as_deref(),
        Some(Err(error)) => {
            return unread(&|d| Some(unread::failed(control(d.rule), bucket, d.gating, &path(d.rule), error)));
        }
        None => {
            return unread(&|d| {
                (d.gating == Gating::Gating).then(|| unread::not_read(control(d.rule), bucket, &path(d.rule)))
            });
        }
    };
    let current = match text.map_or_else(|| Ok(PolicyDocument::empty()), PolicyDocument::parse) {
        Ok(current) => current,
        Err(error) => {
            let message = format!("the bucket policy can't be read ({error}) and is left alone; correct or remove it");
            let unparsable = Disposition::NeedsHuman(HumanReason::PolicyUnparsable);
            return unread(&|d| Some(d.finding(bucket, unparsable, "unreadable".into(), message.clone())));
        }
    };
    let demands = demands(policy, target, region, default_key, Some(&current));
    Planner {
        policy,
        bucket,
        region,
        bucket_arn: &region.partition().bucket_arn(bucket),
        operator,
        text,
        current: &current,
        is_private: target.public_access.is_some(),
    }
    .run(demands)
}

/// Why no TLS version is asked for where the account guard is off.
const NOT_AWS: &str = "s3:TlsVersion is a condition key of AWS's, and with accountGuard Disabled the S3 server is another, which refuses it";

const NO_STATEMENT: &str = "no statement denies them";

/// Why our statement against other KMS keys can't be changed, if it had to be and is there, or may be.
pub(super) fn key_rule_stuck(part: &Part) -> Option<Disposition> {
    let rule = path(Rule::DenyWrongKmsKey);
    let may_be_there = |f: &&Finding| f.path == rule && f.have != NO_STATEMENT;
    part.findings
        .iter()
        .filter(may_be_there)
        .find_map(|f| match f.disposition {
            stuck @ (Disposition::NeedsHuman(_) | Disposition::Unobserved) => Some(stuck),
            Disposition::Repair | Disposition::Note => None,
        })
}

struct Planner<'a> {
    policy: &'a ValidatedPolicy,
    bucket: &'a BucketName,
    region: &'a Region,
    bucket_arn: &'a str,
    operator: Operator<'a>,
    text: Option<&'a str>,
    current: &'a PolicyDocument,
    is_private: bool,
}

impl Planner<'_> {
    fn run(&self, demands: Demands) -> Part {
        let Demands {
            list: demands,
            mut managed,
            key_rule_waits,
        } = demands;
        let mut part = Part::default();
        for rule in Rule::ALL {
            let sid = rule.sid(&self.policy.settings.cluster_hash, &self.policy.name);
            let demanded = demands.iter().any(|d| d.rule == rule);
            if managed.contains(&sid) && !demanded && self.own(&sid).next().is_some() {
                part.findings.push(self.leftover(rule));
            }
        }
        if key_rule_waits {
            part.findings.push(self.key_rule_waits());
        }
        let mut wanted = Vec::new();
        for demand in &demands {
            let Some(have) = self.gap(demand, &managed) else {
                if demand.gating == Gating::Gating && self.own(&demand.sid).next().is_some() {
                    wanted.push((demand, None));
                }
                continue;
            };
            match demand.gating {
                // Written all the same, it would be refused, and the statements beside it with it.
                _ if demand.rule == Rule::DenyOldTls && !self.policy.settings.account_guard => {
                    let (path, reason) = (path(demand.rule), NOT_AWS);
                    part.findings.push(unread::not_applicable(
                        control(demand.rule),
                        self.bucket,
                        demand.gating,
                        &path,
                        reason,
                    ));
                    managed.remove(&demand.sid);
                }
                Gating::ReportOnly => part.findings.push(demand.finding(
                    self.bucket,
                    Disposition::Note,
                    have,
                    unread::ONLY_REPORTED.into(),
                )),
                Gating::Gating if self.operator.locked_out_by(&demand.statement, self.bucket_arn) => {
                    part.findings.push(demand.finding(
                        self.bucket,
                        Disposition::NeedsHuman(HumanReason::WouldLockOut),
                        have,
                        self.lock_out(demand.rule).to_owned(),
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
        part.findings.extend(self.public_statement());
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
            [] => Some(NO_STATEMENT.to_owned()),
            _ if demand.gating == Gating::ReportOnly && demand.enforced_by(others, self.bucket_arn) => None,
            [one] => Some(differences(&demand.statement, one)),
            many => Some(format!("{} statements with our Sid", many.len())),
        }
    }

    fn lock_out(&self, rule: Rule) -> &'static str {
        if rule == Rule::DenyOldTls && !self.operator.plaintext {
            "the statement could lock the operator itself out of the bucket policy: it reaches S3 through an interface endpoint, which has no TLS 1.3, or a way that can't be told; ask for 1.2, or let it reach S3's public endpoint directly"
        } else {
            "the statement would lock the operator itself out of the bucket policy; let the operator reach S3 over TLS, as a role that is no training role"
        }
    }

    fn leftover(&self, rule: Rule) -> Finding {
        self.finding(rule)
            .diff(path(rule), "no statement", "a statement that is no longer asked for")
            .message("the policy does not ask for it any more; our statement is removed")
    }

    fn key_rule_waits(&self) -> Finding {
        let rule = Rule::DenyWrongKmsKey;
        self.finding(rule)
            .diff(path(rule), "uploads with another KMS key are denied", NO_STATEMENT)
            .message("first the bucket's default key is switched, then the statement is added; else uploads would be refused in between")
    }

    fn finding(&self, rule: Rule) -> Finding {
        let target = Target::Bucket(self.bucket.clone());
        Finding::new(control(rule), target, Gating::Gating, Disposition::Repair)
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
                None => demand.finding(self.bucket, Disposition::Repair, have.clone(), demand.repair_message()),
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

    /// Reported only: it is not ours, and the public access block keeps it from taking effect.
    fn public_statement(&self) -> Option<Finding> {
        let i = public_statement(self.current).filter(|_| self.is_private)?;
        Some(
            Finding::new(
                Control::S3PublicPolicy,
                Target::Bucket(self.bucket.clone()),
                Gating::ReportOnly,
                Disposition::Note,
            )
            .diff(format!("bucketPolicy.Statement[{i}]"), "access for named principals", "access for everybody")
            .message("only the public access block keeps the statement from taking effect, and while it stands AWS refuses changes of the policy; narrow its principal"),
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
