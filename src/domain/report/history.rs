//! The history: the newest drifts and what became of them, newest first.
//!
//! A drift gets an entry when it first shows in the list of findings (so that a policy with more drift than fits writes no
//! entry twice), and when the operator repairs it. An entry is open while the drift lasts (Detected, Failed) and closed when
//! it is over (Corrected by us, Resolved without us).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::findings::Listed;
use super::outcome::{ActionResult, Outcome};
use super::verdict::{Judged, Verdict, failure};
use super::{Context, shown_key, text};
use crate::api::{HistoryEntry, HistoryOutcome, MAX_HISTORY};
use crate::domain::finding::{Finding, FindingKey};

/// A drift that we repaired is still the same one if it shows again this soon with the same value: AWS shows configuration
/// writes with a delay.
const SETTLE_SECONDS: i64 = 10;

/// What happened to a drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Detected,
    Corrected,
    Resolved,
    Failed,
}

/// A transition, for the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub kind: ChangeKind,
    pub control: String,
    pub resource: String,
}

type Key = (String, String, String);

fn key(entry: &HistoryEntry) -> Key {
    (entry.control.clone(), entry.resource.clone(), entry.path.clone())
}

const fn is_open(entry: &HistoryEntry) -> bool {
    match entry.outcome {
        HistoryOutcome::Detected | HistoryOutcome::Failed => true,
        HistoryOutcome::Corrected | HistoryOutcome::Resolved => false,
    }
}

/// The next history, and what changed in it.
pub(super) fn next(
    listed: &Listed,
    verdict: &Verdict<'_>,
    outcome: &Outcome,
    context: &Context<'_>,
) -> (Vec<HistoryEntry>, Vec<Change>) {
    let now = context.now;
    let mut log = Log {
        entries: context.old.map(|o| o.history.clone()).unwrap_or_default(),
        changes: Vec::new(),
        now,
    };
    let drifts: BTreeMap<Key, &Finding> = verdict
        .gating
        .iter()
        .filter(|j| Judged::is_drift(j))
        .map(|j| (shown_key(&j.finding.key()), j.finding))
        .collect();
    log.close_what_is_gone(&drifts, verdict);
    let results = results(outcome);
    let shown_before: BTreeSet<Key> = context
        .old
        .map(|o| o.findings.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|f| (f.control.clone(), f.resource.clone(), f.path.clone()))
        .collect();
    // Backwards, as each goes to the front: the severest shall end up first.
    for finding in listed.shown.iter().rev() {
        let key = (finding.control.clone(), finding.resource.clone(), finding.path.clone());
        if let Some(drift) = drifts.get(&key) {
            log.see(drift, &key, shown_before.contains(&key));
        }
    }
    for drift in verdict.gating.iter().filter(|j| j.is_drift()).rev() {
        if let Some(result) = results.get(&drift.finding.key()) {
            log.settle(drift.finding, &shown_key(&drift.finding.key()), *result);
        }
    }
    for gone in &verdict.departed {
        let key = shown_key(&gone.key());
        if !shown_before.contains(&key) {
            log.depart(gone);
        }
    }
    log.entries.truncate(MAX_HISTORY);
    (log.entries, log.changes)
}

/// What the actions came to, by finding: repaired only if all that was to be done for it is done.
fn results(outcome: &Outcome) -> BTreeMap<&FindingKey, Option<HistoryOutcome>> {
    let mut out: BTreeMap<&FindingKey, Option<HistoryOutcome>> = BTreeMap::new();
    for action in &outcome.actions {
        let result = match (&action.result, failure(action)) {
            (_, Some(_)) => Some(HistoryOutcome::Failed),
            (ActionResult::Done, None) => Some(HistoryOutcome::Corrected),
            (_, None) => None,
        };
        for key in &action.repairs {
            out.entry(key)
                .and_modify(|before| {
                    *before = match (*before, result) {
                        (Some(HistoryOutcome::Failed), _) | (_, Some(HistoryOutcome::Failed)) => {
                            Some(HistoryOutcome::Failed)
                        }
                        (before, result) if before == result => before,
                        (_, _) => None,
                    };
                })
                .or_insert(result);
        }
    }
    out
}

struct Log {
    entries: Vec<HistoryEntry>,
    changes: Vec<Change>,
    now: Timestamp,
}

impl Log {
    fn change(&mut self, kind: ChangeKind, entry_control: &str, entry_resource: &str) {
        self.changes.push(Change {
            kind,
            control: entry_control.to_owned(),
            resource: entry_resource.to_owned(),
        });
    }

    /// Open entries whose drift is no longer there, unless it could not be looked at.
    fn close_what_is_gone(&mut self, drifts: &BTreeMap<Key, &Finding>, verdict: &Verdict<'_>) {
        let now = self.now;
        let mut gone = Vec::new();
        for entry in self.entries.iter_mut().filter(|e| is_open(e)) {
            if drifts.contains_key(&key(entry)) || !is_visible(&entry.resource, verdict) {
                continue;
            }
            entry.outcome = HistoryOutcome::Resolved;
            entry.corrected_time = Some(Time(now));
            gone.push((entry.control.clone(), entry.resource.clone()));
        }
        for (control, resource) in gone {
            self.change(ChangeKind::Resolved, &control, &resource);
        }
    }

    /// A drift that is there and listed.
    fn see(&mut self, drift: &Finding, drift_key: &Key, shown_before: bool) {
        let now = self.now;
        match self.entries.iter_mut().find(|e| key(e) == *drift_key) {
            Some(entry) if is_open(entry) => {
                // Still the same drift; somebody may have changed the value once more.
                entry.want = text::shown(&drift.want);
                entry.have = text::shown(&drift.have);
            }
            Some(entry) if just_corrected(entry, drift, now) => {
                entry.outcome = HistoryOutcome::Detected;
                entry.corrected_time = None;
            }
            // Listed before and without an entry: the entry has made room for newer ones.
            None if shown_before => {}
            Some(_) | None => self.detect(drift),
        }
    }

    fn detect(&mut self, drift: &Finding) {
        let entry = HistoryEntry {
            control: drift.control.id().to_owned(),
            resource: text::shown(&drift.target.to_string()),
            path: text::shown(&drift.path),
            want: text::shown(&drift.want),
            have: text::shown(&drift.have),
            detected_time: Time(self.now),
            corrected_time: None,
            outcome: HistoryOutcome::Detected,
            actor: drift.actor.as_deref().map(text::shown),
        };
        self.change(ChangeKind::Detected, &entry.control, &entry.resource);
        self.entries.insert(0, entry);
    }

    /// Nothing is left to be corrected: the entry is closed as soon as it is made.
    fn depart(&mut self, gone: &Finding) {
        self.detect(gone);
        let now = self.now;
        if let Some(entry) = self.entries.first_mut() {
            entry.outcome = HistoryOutcome::Resolved;
            entry.corrected_time = Some(Time(now));
        }
    }

    /// What became of its repair.
    fn settle(&mut self, drift: &Finding, drift_key: &Key, result: Option<HistoryOutcome>) {
        let Some(result) = result else { return };
        let has_open = self.entries.iter().any(|e| is_open(e) && key(e) == *drift_key);
        if result == HistoryOutcome::Corrected && !has_open {
            // Repaired without having been listed: there was more drift than fits.
            self.detect(drift);
        }
        let now = self.now;
        let Some(entry) = self.entries.iter_mut().find(|e| is_open(e) && key(e) == *drift_key) else {
            return;
        };
        if entry.outcome == result {
            return;
        }
        entry.outcome = result;
        entry.corrected_time = (result == HistoryOutcome::Corrected).then_some(Time(now));
        let kind = if result == HistoryOutcome::Corrected {
            ChangeKind::Corrected
        } else {
            ChangeKind::Failed
        };
        self.change(kind, drift.control.id(), &drift_key.1);
    }
}

fn just_corrected(entry: &HistoryEntry, drift: &Finding, now: Timestamp) -> bool {
    entry.outcome == HistoryOutcome::Corrected
        && entry.have == text::shown(&drift.have)
        && entry.want == text::shown(&drift.want)
        && entry
            .corrected_time
            .as_ref()
            .is_some_and(|t| t.0 <= now && now.as_second() - t.0.as_second() < SETTLE_SECONDS)
}

/// Whether the resource of an entry was looked at.
fn is_visible(resource: &str, verdict: &Verdict<'_>) -> bool {
    let unreadable = verdict
        .gating
        .iter()
        .any(|j| j.is_unreadable() && j.finding.target.to_string() == resource);
    !unreadable && !verdict.is_unseen(resource)
}
