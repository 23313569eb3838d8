//! Findings as the object shows them: bounded, in a total order, with the time since when, and counted in the summary.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::verdict::Verdict;
use super::{Context, Standing, text};
use crate::api::{FindingStatus, Gating, HistoryEntry, HistoryOutcome, MAX_FINDINGS, Summary, TargetState, Targets};
use crate::domain::finding::{Disposition, Finding};
use crate::domain::plan::Plan;

/// The findings of a status, and how many there are in all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    /// The first [`MAX_FINDINGS`].
    pub shown: Vec<FindingStatus>,
    total: usize,
    gating: usize,
}

type Key<'a> = (&'a str, &'a str, &'a str);

fn key(finding: &FindingStatus) -> Key<'_> {
    let FindingStatus {
        control,
        resource,
        path,
        ..
    } = finding;
    (control, resource, path)
}

/// The plan's findings, and those of before about resources that could not be seen just now: not seeing does not resolve
/// anything.
pub(super) fn list(plan: &Plan, verdict: &Verdict<'_>, standing: Standing, context: &Context<'_>) -> Listed {
    let old = context.old.map(|o| o.findings.as_slice()).unwrap_or_default();
    let history = context.old.map(|o| o.history.as_slice()).unwrap_or_default();
    let since = Since::new(old, history);
    let failures: BTreeMap<_, _> = verdict
        .gating
        .iter()
        .filter_map(|j| Some((j.finding.key(), j.failure.as_deref()?)))
        .collect();
    let mut all: Vec<FindingStatus> = plan
        .findings()
        .iter()
        // A passing failure after a recent good look is no news.
        .filter(|f| f.disposition != Disposition::Unobserved || standing != Standing::Fresh)
        .map(|f| show(f, failures.get(&f.key()).copied(), &since, context))
        .collect();
    let carried: Vec<FindingStatus> = old
        .iter()
        .filter(|o| verdict.is_unseen(&o.resource) && !all.iter().any(|n| key(n) == key(o)))
        .cloned()
        .collect();
    all.extend(carried);
    all.sort_by(|a, b| order(a).cmp(&order(b)));
    let total = all.len();
    let gating = all.iter().filter(|f| f.gating == Gating::Gating).count();
    all.truncate(MAX_FINDINGS);
    Listed {
        shown: all,
        total,
        gating,
    }
}

/// Severest first, then what holds Ready back, then by name: the same rows survive every look.
fn order(finding: &FindingStatus) -> impl Ord + '_ {
    let FindingStatus {
        control,
        severity,
        resource,
        path,
        want,
        have,
        message,
        since_time: _,
        gating,
    } = finding;
    (severity, gating, control, resource, path, want, have, message)
}

fn show(finding: &Finding, failure: Option<&str>, since: &Since<'_>, context: &Context<'_>) -> FindingStatus {
    let Finding {
        control,
        severity,
        target,
        path,
        want,
        have,
        message,
        gating,
        disposition,
        actor: _,
    } = finding;
    let (gating, message) = match disposition {
        Disposition::Note => (Gating::ReportOnly, message.as_str()),
        // The error's own words change from try to try, and each change would be a write.
        Disposition::Unobserved => (*gating, "could not be read for a passing reason; retried"),
        Disposition::Repair | Disposition::NeedsHuman(_) => (*gating, failure.unwrap_or(message)),
    };
    let mut shown = FindingStatus {
        control: control.id().to_owned(),
        severity: *severity,
        resource: text::shown(&target.to_string()),
        path: text::shown(path),
        want: text::shown(want),
        have: text::shown(have),
        message: text::shown(message),
        since_time: Time(context.now),
        gating,
    };
    if let Some(time) = since.of(key(&shown)) {
        shown.since_time = time;
    }
    shown
}

/// Since when a finding is known: from the list of before or, where it did not fit into that, from the history.
struct Since<'a> {
    times: BTreeMap<Key<'a>, &'a Time>,
}

impl<'a> Since<'a> {
    fn new(old: &'a [FindingStatus], history: &'a [HistoryEntry]) -> Self {
        let open = |e: &&HistoryEntry| match e.outcome {
            HistoryOutcome::Detected | HistoryOutcome::Failed => true,
            HistoryOutcome::Corrected | HistoryOutcome::Resolved => false,
        };
        let from_history = history.iter().filter(open).map(|e| {
            (
                (e.control.as_str(), e.resource.as_str(), e.path.as_str()),
                &e.detected_time,
            )
        });
        let from_list = old.iter().map(|f| (key(f), &f.since_time));
        Self {
            times: from_history.chain(from_list).collect(),
        }
    }

    fn of(&self, key: Key<'_>) -> Option<Time> {
        self.times.get(&key).map(|t| (*t).clone())
    }
}

/// The counts.
pub(super) fn summary(listed: &Listed, targets: &Targets) -> Summary {
    let Targets { buckets, roles, egress } = targets;
    Summary {
        buckets: share(buckets.iter().map(|t| t.state)),
        roles: share(roles.iter().map(|t| t.state)),
        egress: share(egress.iter().map(|t| t.state)),
        findings: count(listed.total),
        gating_findings: count(listed.gating),
        omitted_findings: count(listed.total.saturating_sub(listed.shown.len())),
    }
}

/// "2/3": two of three compliant; None where there is nothing. What has left the spec is not counted.
fn share(states: impl Iterator<Item = TargetState>) -> Option<String> {
    let (compliant, all) = states
        .filter(|s| *s != TargetState::Orphaned)
        .fold((0_usize, 0_usize), |(compliant, all), state| {
            (compliant + usize::from(state == TargetState::Compliant), all + 1)
        });
    (all > 0).then(|| format!("{compliant}/{all}"))
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
