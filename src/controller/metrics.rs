//! What is measured of reconciles. A policy's name is a label only of the gauges that say how *that* policy stands, and goes
//! with the policy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::api::{AIDataProtectionPolicyStatus, Gating};
use crate::domain::finding::Finding;
use crate::domain::report::{ActionResult, Outcome, READY, Reason, SkipReason, condition};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct FindingLabels {
    control: &'static str,
    gating: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    policy: String,
}

type Counts = BTreeMap<FindingLabels, i64>;

/// What is measured of reconciles.
#[derive(Clone, Debug)]
pub struct ControllerMetrics {
    reconciles: Family<ReconcileLabels, Counter>,
    duration: Histogram,
    findings: Family<FindingLabels, Gauge>,
    writes: Family<WriteLabels, Counter>,
    ready: Family<PolicyLabels, Gauge>,
    verified: Family<PolicyLabels, Gauge>,
    revert_stalled: Family<PolicyLabels, Gauge>,
    leader: Gauge,
    /// Findings by policy, for the sums.
    counts: Arc<Mutex<BTreeMap<String, Counts>>>,
}

/// From a look at nothing to the longest reconcile, seconds.
const BUCKETS: [f64; 8] = [0.05, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0, 300.0];

impl ControllerMetrics {
    /// Adds the metrics to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            duration: Histogram::new(BUCKETS),
            findings: Family::default(),
            writes: Family::default(),
            ready: Family::default(),
            verified: Family::default(),
            revert_stalled: Family::default(),
            leader: Gauge::default(),
            counts: Arc::default(),
        };
        registry.register(
            "reconcile",
            "Reconciles by what they came to",
            metrics.reconciles.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Duration of reconciles",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "findings",
            "Open findings of all policies by control and whether they hold Ready back",
            metrics.findings.clone(),
        );
        registry.register(
            "writes",
            "Planned writes by what became of them",
            metrics.writes.clone(),
        );
        registry.register(
            "policy_ready",
            "Condition Ready of a policy: 1 True, 0 False, -1 Unknown",
            metrics.ready.clone(),
        );
        registry.register_with_unit(
            "policy_last_verified_timestamp",
            "When everything of a policy was last observed, Unix time",
            Unit::Seconds,
            metrics.verified.clone(),
        );
        registry.register(
            "policy_revert_stalled",
            "1 while the deletion of a policy waits for something that cannot be taken back",
            metrics.revert_stalled.clone(),
        );
        registry.register("leader", "1 on the replica that leads", metrics.leader.clone());
        metrics
    }

    /// Whether this replica leads.
    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// One reconcile came to this.
    pub(super) fn reconciled(&self, reason: Reason, elapsed: Duration) {
        let outcome = reason.as_str();
        self.reconciles.get_or_create(&ReconcileLabels { outcome }).inc();
        self.duration.observe(elapsed.as_secs_f64());
    }

    /// One reconcile did not get as far as a report.
    pub(super) fn failed(&self, elapsed: Duration) {
        self.reconciles
            .get_or_create(&ReconcileLabels { outcome: "Failed" })
            .inc();
        self.duration.observe(elapsed.as_secs_f64());
    }

    /// What became of a plan's writes.
    pub(super) fn wrote(&self, outcome: &Outcome) {
        for action in &outcome.actions {
            let labels = WriteLabels {
                operation: action.operation,
                outcome: match &action.result {
                    ActionResult::Done => "done",
                    ActionResult::Failed(_) => "failed",
                    ActionResult::ChangedUnderneath => "changed_underneath",
                    ActionResult::NotObserved => "not_observed",
                    ActionResult::Skipped(reason) => SkipReason::as_str(*reason),
                },
            };
            self.writes.get_or_create(&labels).inc();
        }
    }

    /// How a policy stands now.
    pub(super) fn stands(&self, policy: &str, status: &AIDataProtectionPolicyStatus, observed: Option<i64>) {
        let labels = PolicyLabels {
            policy: policy.to_owned(),
        };
        let ready = match condition(status, READY).map(|c| c.status.as_str()) {
            Some("True") => 1,
            Some("False") => 0,
            Some(_) | None => -1,
        };
        self.ready.get_or_create(&labels).set(ready);
        let stored = status.last_verified_time.as_ref().map(|t| t.0.as_second());
        if let Some(seconds) = observed.max(stored) {
            self.verified.get_or_create(&labels).set(seconds);
        }
    }

    /// The findings of a policy now.
    pub(super) fn found(&self, policy: &str, findings: &[Finding]) {
        let mut counts = Counts::new();
        for finding in findings {
            let labels = FindingLabels {
                control: finding.control.id(),
                gating: match finding.gating {
                    Gating::Gating => "true",
                    Gating::ReportOnly => "false",
                },
            };
            *counts.entry(labels).or_default() += 1;
        }
        self.count(policy, Some(counts));
    }

    /// The deletion of a policy waits, or no longer.
    pub(super) fn revert_stalls(&self, policy: &str, stalls: bool) {
        let labels = PolicyLabels {
            policy: policy.to_owned(),
        };
        self.revert_stalled.get_or_create(&labels).set(i64::from(stalls));
    }

    /// The policy is gone.
    pub(super) fn forget(&self, policy: &str) {
        let labels = PolicyLabels {
            policy: policy.to_owned(),
        };
        self.ready.remove(&labels);
        self.verified.remove(&labels);
        self.revert_stalled.remove(&labels);
        self.count(policy, None);
    }

    fn count(&self, policy: &str, counts: Option<Counts>) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let old = match counts {
            Some(counts) => all.insert(policy.to_owned(), counts),
            None => all.remove(policy),
        };
        let new = all.get(policy);
        let labels = old
            .iter()
            .flat_map(BTreeMap::keys)
            .chain(new.into_iter().flat_map(BTreeMap::keys));
        for labels in labels {
            let sum = all.values().filter_map(|counts| counts.get(labels)).sum();
            self.findings.get_or_create(labels).set(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::control::Control;
    use crate::domain::finding::{Disposition, Target};
    use crate::domain::names::BucketName;

    fn finding(control: Control) -> Finding {
        let bucket = Target::Bucket(BucketName::new("fraud-training-data").unwrap());
        Finding::new(control, bucket, Gating::Gating, Disposition::Repair)
    }

    #[test]
    fn findings_are_summed_over_policies_and_go_with_them() {
        let mut registry = Registry::with_prefix("aidp");
        let metrics = ControllerMetrics::register(&mut registry);
        let text = |registry: &Registry| {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
            text
        };
        let versioning = r#"aidp_findings{control="S3.Versioning",gating="true"}"#;
        metrics.found("a", &[finding(Control::S3Versioning), finding(Control::S3TlsOnly)]);
        metrics.found("b", &[finding(Control::S3Versioning)]);
        assert!(
            text(&registry).contains(&format!("{versioning} 2\n")),
            "{}",
            text(&registry)
        );
        metrics.found("a", &[]);
        assert!(
            text(&registry).contains(&format!("{versioning} 1\n")),
            "{}",
            text(&registry)
        );
        metrics.forget("b");
        assert!(
            text(&registry).contains(&format!("{versioning} 0\n")),
            "{}",
            text(&registry)
        );
    }

    #[test]
    fn a_policy_that_is_gone_is_no_label_any_more() {
        let mut registry = Registry::with_prefix("aidp");
        let metrics = ControllerMetrics::register(&mut registry);
        metrics.stands("fraud-model", &AIDataProtectionPolicyStatus::default(), Some(1));
        metrics.forget("fraud-model");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(!text.contains("fraud-model"), "{text}");
    }
}
