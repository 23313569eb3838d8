//! What is measured of reconciles. A policy's name is a label only of the gauges that say how *that* policy stands, and goes
//! with the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::api::{AIDataProtectionPolicyStatus, Gating};
use crate::domain::finding::{Disposition, Finding};
use crate::domain::report::{ActionResult, DRIFTED, Outcome, READY, Reason, STALLED, SkipReason, condition};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct FindingLabels {
    policy: String,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StalledLabels {
    policy: String,
    reason: String,
}

/// The series of a policy that exist only while there is something to say.
#[derive(Debug, Default)]
struct Shown {
    findings: BTreeSet<FindingLabels>,
    stalled: Option<StalledLabels>,
}

/// What is measured of reconciles.
#[derive(Clone, Debug)]
pub struct ControllerMetrics {
    reconciles: Family<ReconcileLabels, Counter>,
    duration: Histogram,
    findings: Family<FindingLabels, Gauge>,
    writes: Family<WriteLabels, Counter>,
    ready: Family<PolicyLabels, Gauge>,
    drifted: Family<PolicyLabels, Gauge>,
    stalled: Family<StalledLabels, Gauge>,
    verified: Family<PolicyLabels, Gauge>,
    revert_stalled: Family<PolicyLabels, Gauge>,
    leader: Gauge,
    /// What is shown of each policy, to take back what no longer holds; None on a replica that does not lead. Held while a
    /// policy's series change: a reconcile that was computing when the leadership ended comes too late to show anything.
    shown: Arc<Mutex<Option<BTreeMap<String, Shown>>>>,
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
            drifted: Family::default(),
            stalled: Family::default(),
            verified: Family::default(),
            revert_stalled: Family::default(),
            leader: Gauge::default(),
            shown: Arc::default(),
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
            "Open findings of a policy by control and whether they hold Ready back",
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
        registry.register(
            "policy_drifted",
            "Condition Drifted of a policy: 1 True, 0 False, -1 Unknown",
            metrics.drifted.clone(),
        );
        registry.register(
            "policy_stalled",
            "1 while a policy waits for a human, by the reason of its condition Stalled",
            metrics.stalled.clone(),
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

    /// Whether this replica leads. One that does not knows nothing of any policy, whatever it knew when it did.
    pub(crate) fn leads(&self, leads: bool) {
        let mut shown = self.shown();
        self.leader.set(i64::from(leads));
        if leads {
            shown.get_or_insert_default();
        } else {
            *shown = None;
            self.findings.clear();
            self.ready.clear();
            self.drifted.clear();
            self.stalled.clear();
            self.verified.clear();
            self.revert_stalled.clear();
        }
    }

    fn shown(&self) -> MutexGuard<'_, Option<BTreeMap<String, Shown>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut shown = self.shown();
        let Some(shown) = shown.as_mut() else { return };
        let labels = PolicyLabels {
            policy: policy.to_owned(),
        };
        self.ready.get_or_create(&labels).set(level(status, READY));
        self.drifted.get_or_create(&labels).set(level(status, DRIFTED));
        let stalled = condition(status, STALLED)
            .filter(|c| c.status == "True")
            .map(|c| StalledLabels {
                policy: policy.to_owned(),
                reason: c.reason.clone(),
            });
        self.stalls(shown.entry(policy.to_owned()).or_default(), stalled);
        let stored = status.last_verified_time.as_ref().map(|t| t.0.as_second());
        if let Some(seconds) = observed.max(stored) {
            self.verified.get_or_create(&labels).set(seconds);
        }
    }

    fn stalls(&self, shown: &mut Shown, now: Option<StalledLabels>) {
        if shown.stalled == now {
            return;
        }
        if let Some(past) = &shown.stalled {
            self.stalled.remove(past);
        }
        if let Some(now) = &now {
            self.stalled.get_or_create(now).set(1);
        }
        shown.stalled = now;
    }

    /// The findings of a policy now.
    pub(super) fn found(&self, policy: &str, findings: &[Finding]) {
        let mut counts: BTreeMap<FindingLabels, i64> = BTreeMap::new();
        for finding in findings {
            let labels = FindingLabels {
                policy: policy.to_owned(),
                control: finding.control.id(),
                // As in the status: a note holds nothing back.
                gating: match (finding.gating, finding.disposition) {
                    (_, Disposition::Note) | (Gating::ReportOnly, _) => "false",
                    (Gating::Gating, _) => "true",
                },
            };
            *counts.entry(labels).or_default() += 1;
        }
        let mut shown = self.shown();
        let Some(shown) = shown.as_mut() else { return };
        let shown = shown.entry(policy.to_owned()).or_default();
        for past in shown.findings.iter().filter(|labels| !counts.contains_key(labels)) {
            self.findings.remove(past);
        }
        for (labels, count) in &counts {
            self.findings.get_or_create(labels).set(*count);
        }
        shown.findings = counts.into_keys().collect();
    }

    /// The deletion of a policy waits, or no longer.
    pub(super) fn revert_stalls(&self, policy: &str, stalls: bool) {
        let shown = self.shown();
        if shown.is_none() {
            return;
        }
        let labels = PolicyLabels {
            policy: policy.to_owned(),
        };
        self.revert_stalled.get_or_create(&labels).set(i64::from(stalls));
    }

    /// The policy is gone.
    pub(super) fn forget(&self, policy: &str) {
        let mut shown = self.shown();
        let labels = PolicyLabels {
            policy: policy.to_owned(),
        };
        self.ready.remove(&labels);
        self.verified.remove(&labels);
        self.revert_stalled.remove(&labels);
        self.drifted.remove(&labels);
        let shown = shown.as_mut().and_then(|shown| shown.remove(policy));
        let Shown { findings, stalled } = shown.unwrap_or_default();
        for labels in &findings {
            self.findings.remove(labels);
        }
        if let Some(labels) = &stalled {
            self.stalled.remove(labels);
        }
    }
}

/// A condition as a number: 1 True, 0 False, -1 Unknown or absent.
fn level(status: &AIDataProtectionPolicyStatus, kind: &str) -> i64 {
    match condition(status, kind).map(|c| c.status.as_str()) {
        Some("True") => 1,
        Some("False") => 0,
        Some(_) | None => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::control::Control;
    use crate::domain::finding::{Disposition, Target};
    use crate::domain::names::BucketName;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    fn finding(control: Control) -> Finding {
        let bucket = Target::Bucket(BucketName::new("fraud-training-data").unwrap());
        Finding::new(control, bucket, Gating::Gating, Disposition::Repair)
    }

    fn leading(registry: &mut Registry) -> ControllerMetrics {
        let metrics = ControllerMetrics::register(registry);
        metrics.leads(true);
        metrics
    }

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    fn lines(registry: &Registry, prefix: &str) -> Vec<String> {
        let text = text(registry);
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn findings_are_counted_by_policy_and_control_and_go_when_they_are_closed() {
        let mut registry = Registry::with_prefix("aidp");
        let metrics = leading(&mut registry);
        let (versioning, transport) = (Control::S3Versioning, Control::S3TlsOnly);
        metrics.found("a", &[finding(versioning), finding(versioning), finding(transport)]);
        metrics.found("b", &[finding(versioning)]);
        let line = |policy: &str, control: &str, count: i64| {
            format!(r#"aidp_findings{{policy="{policy}",control="{control}",gating="true"}} {count}"#)
        };
        let all = [
            line("a", "S3.TLSOnly", 1),
            line("a", "S3.Versioning", 2),
            line("b", "S3.Versioning", 1),
        ];
        assert_eq!(lines(&registry, "aidp_findings{"), all);
        metrics.found("a", &[finding(transport)]);
        assert_eq!(
            lines(&registry, "aidp_findings{"),
            [line("a", "S3.TLSOnly", 1), line("b", "S3.Versioning", 1)]
        );
        metrics.forget("b");
        assert_eq!(lines(&registry, "aidp_findings{"), [line("a", "S3.TLSOnly", 1)]);
    }

    #[test]
    fn only_the_reason_that_holds_now_is_shown() {
        let mut registry = Registry::with_prefix("aidp");
        let metrics = leading(&mut registry);
        let status = |reason: Option<&str>| AIDataProtectionPolicyStatus {
            conditions: reason
                .map(|reason| Condition {
                    type_: STALLED.to_owned(),
                    status: "True".to_owned(),
                    reason: reason.to_owned(),
                    message: String::new(),
                    observed_generation: None,
                    last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                        k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
                    ),
                })
                .into_iter()
                .collect(),
            ..AIDataProtectionPolicyStatus::default()
        };
        metrics.stands("a", &status(Some("AccessDenied")), None);
        metrics.stands("a", &status(Some("Conflict")), None);
        let shown = r#"aidp_policy_stalled{policy="a",reason="Conflict"} 1"#;
        assert_eq!(lines(&registry, "aidp_policy_stalled{"), [shown]);
        metrics.stands("a", &status(None), None);
        assert_eq!(lines(&registry, "aidp_policy_stalled{"), Vec::<String>::new());
    }

    #[test]
    fn a_replica_that_leads_no_more_shows_no_policy() {
        let mut registry = Registry::with_prefix("aidp");
        let metrics = leading(&mut registry);
        metrics.stands("fraud-model", &AIDataProtectionPolicyStatus::default(), Some(1));
        metrics.found("fraud-model", &[finding(Control::S3Versioning)]);
        metrics.revert_stalls("fraud-model", true);
        assert!(text(&registry).contains("fraud-model"));
        metrics.leads(false);
        assert!(!text(&registry).contains("fraud-model"), "{}", text(&registry));
        // A reconcile that was at work when the leadership ended.
        metrics.stands("fraud-model", &AIDataProtectionPolicyStatus::default(), Some(1));
        metrics.found("fraud-model", &[finding(Control::S3Versioning)]);
        metrics.revert_stalls("fraud-model", true);
        assert!(!text(&registry).contains("fraud-model"), "{}", text(&registry));
        metrics.leads(true);
        metrics.found("fraud-model", &[finding(Control::S3Versioning)]);
        assert!(text(&registry).contains("fraud-model"));
    }

    #[test]
    fn a_policy_that_is_gone_is_no_label_any_more() {
        let mut registry = Registry::with_prefix("aidp");
        let metrics = leading(&mut registry);
        metrics.stands("fraud-model", &AIDataProtectionPolicyStatus::default(), Some(1));
        metrics.found("fraud-model", &[finding(Control::S3Versioning)]);
        assert!(text(&registry).contains("fraud-model"));
        metrics.forget("fraud-model");
        assert!(!text(&registry).contains("fraud-model"), "{}", text(&registry));
    }
}
