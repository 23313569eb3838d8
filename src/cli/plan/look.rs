//! One look at AWS for each policy: validate, observe, plan. No decision of its own.

use std::time::Duration;

use jiff::Timestamp;

use super::documents::PolicyDocument;
use super::offline;
use crate::api::{Gating, Mode};
use crate::aws::Sessions;
use crate::config::{ClusterFacts, Config, NetworkEnforcer};
use crate::domain::action::PlannedAction;
use crate::domain::egress::enforcer::Enforcer;
use crate::domain::finding::{Disposition, Finding, HumanReason};
use crate::domain::observed::{ClusterObservation, EnforcerObservation};
use crate::domain::plan::{guard_account, plan};
use crate::domain::policy::{PolicySource, ValidatedPolicy, validate};
use crate::metrics::Metrics;

/// Readings may be shared between the policies of one run.
const MAX_AGE: Duration = Duration::from_mins(5);
/// Stands for the cluster id where none is given.
const NO_CLUSTER: &str = "not-given";
/// The operator's namespace as the chart has it.
const OPERATOR_NAMESPACE: &str = "aidp-system";

/// What was found for one policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    /// Name of the policy.
    pub policy: String,
    /// Where it comes from.
    pub place: String,
    /// Its mode, under the ceiling of the configuration.
    pub mode: Mode,
    /// Whom AWS takes the caller for.
    pub caller: Option<String>,
    /// Findings, severest first.
    pub findings: Vec<Finding>,
    /// What the operator would do in mode Enforce, in order.
    pub actions: Vec<PlannedAction>,
    /// What was not looked at, and why; one sentence each.
    pub not_looked_at: Vec<String>,
}

impl Look {
    /// Something could not be read: nothing may be concluded from silence.
    pub fn has_gaps(&self) -> bool {
        self.findings.iter().any(|f| match f.disposition {
            Disposition::Unobserved | Disposition::NeedsHuman(HumanReason::AccessDenied) => f.gating == Gating::Gating,
            Disposition::NeedsHuman(_) | Disposition::Repair | Disposition::Note => false,
        })
    }

    /// There is something to do, for the operator or for a human.
    pub fn has_work(&self) -> bool {
        let gating = |f: &Finding| f.gating == Gating::Gating && f.disposition != Disposition::Note;
        !self.actions.is_empty() || self.findings.iter().any(gating)
    }
}

/// Looks at every policy. All problems of validation are told before AWS is asked for anything.
pub(super) async fn look(config: &Config, documents: &[PolicyDocument]) -> Result<Vec<Look>, Vec<String>> {
    let settings = crate::operator::aws_settings(config);
    let sessions = Sessions::load(&settings, &Metrics::new().aws)
        .await
        .map_err(|e| vec![e.to_string()])?;
    let now = Timestamp::now();
    let policies = validated_all(config, sessions.s3_over_plaintext(), documents, now)?;
    let mut problems = Vec::new();
    let mut looks = Vec::with_capacity(policies.len());
    for (document, policy) in policies {
        match look_at(config, &sessions, document, policy, now).await {
            Ok(look) => looks.push(look),
            Err(problem) => problems.push(format!("{}: {problem}", document.place)),
        }
    }
    if problems.is_empty() { Ok(looks) } else { Err(problems) }
}

/// Every policy, validated under the operator's configuration, or every problem with them.
pub(super) fn validated_all<'a>(
    config: &Config,
    s3_over_plaintext: bool,
    documents: &'a [PolicyDocument],
    now: Timestamp,
) -> Result<Vec<(&'a PolicyDocument, ValidatedPolicy)>, Vec<String>> {
    let facts = ClusterFacts {
        cluster_id: config.cluster_id.clone().unwrap_or_else(|| NO_CLUSTER.to_owned()),
        operator_namespace: config
            .operator_namespace
            .clone()
            .unwrap_or_else(|| OPERATOR_NAMESPACE.to_owned()),
        s3_over_plaintext,
    };
    let mut policies = Vec::with_capacity(documents.len());
    let mut problems = Vec::new();
    for document in documents {
        match validated(config, &facts, document, now) {
            Ok(policy) => policies.push((document, policy)),
            Err(found) => problems.extend(found.into_iter().map(|p| format!("{}: {p}", document.place))),
        }
    }
    if problems.is_empty() {
        Ok(policies)
    } else {
        Err(problems)
    }
}

fn validated(
    config: &Config,
    facts: &ClusterFacts,
    document: &PolicyDocument,
    now: Timestamp,
) -> Result<ValidatedPolicy, Vec<String>> {
    let PolicyDocument { place: _, policy } = document;
    let settings = config.settings(&policy.spec.account.id, facts);
    let source = PolicySource {
        name: policy.metadata.name.clone().unwrap_or_default(),
        ..PolicySource::default()
    };
    validate(&policy.spec, source, &settings, now).map_err(|e| e.problems.iter().map(|p| in_spec(p)).collect())
}

/// "spec.interval: …": validation speaks of the spec's fields, a file has more.
fn in_spec(problem: &str) -> String {
    if problem.starts_with("spec") || problem.starts_with("metadata") {
        problem.to_owned()
    } else {
        format!("spec.{problem}")
    }
}

async fn look_at(
    config: &Config,
    sessions: &Sessions,
    document: &PolicyDocument,
    policy: ValidatedPolicy,
    now: Timestamp,
) -> Result<Look, String> {
    let session = sessions
        .session(&policy.account, &policy.region)
        .map_err(|e| e.to_string())?;
    let seen = session.observe(&policy, MAX_AGE).await;
    guard_account(&policy, &seen.caller).map_err(|e| e.to_string())?;
    let policy = policy.cover(&seen.account.selected);
    let enforcer = match &config.network_enforcer {
        NetworkEnforcer::Detect => EnforcerObservation::Unknown,
        NetworkEnforcer::Stated(name) => Some(&Enforcer::stated(name)).into(),
    };
    let mut not_looked_at = offline::left_out(&policy);
    if config.cluster_id.is_none() && !policy.buckets.is_empty() {
        not_looked_at.insert(0, offline::NO_CLUSTER_ID.to_owned());
    }
    let mut findings = offline::egress_findings(&policy);
    // Egress is judged offline only; what is planned from here on is AWS.
    let policy = ValidatedPolicy {
        egress: Vec::new(),
        ..policy
    };
    let observed = seen.with_cluster(Ok(ClusterObservation {
        enforcer,
        ..ClusterObservation::default()
    }));
    let plan = plan(&policy, &observed, now);
    findings.splice(0..0, plan.findings().iter().cloned());
    Ok(Look {
        policy: policy.name.clone(),
        place: document.place.clone(),
        mode: policy.mode,
        caller: observed.caller.ok().flatten().map(|c| c.arn),
        findings,
        actions: plan.targets().iter().flat_map(|t| t.actions.iter().cloned()).collect(),
        not_looked_at,
    })
}
