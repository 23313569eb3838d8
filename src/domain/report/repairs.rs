//! How often a repair may be repeated. Protection is never given up, since reverting twice must not be a way to switch it
//! off; but two writers that undo each other must not do so in a loop either.
//!
//! A repair counts as reverted when the same setting of the same target drifts again although the same value is wanted:
//! neither a change of the spec nor drift in another setting slows anything down.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::{HistoryEntry, HistoryOutcome};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, FindingKey, Target};
use crate::domain::iam::ROLE_ITSELF;

/// Repairs older than this don't count.
const WINDOW: Duration = Duration::from_hours(1);
/// Repairs of one setting within the window from which on the next one is slowed.
const FREE_REPAIRS: usize = 2;
/// AWS shows configuration writes with a delay: a drift seen sooner after our own write is not repaired again yet.
const SETTLE: Duration = Duration::from_secs(10);
/// How long IAM may go on showing what was there before a write (IAM User Guide, "Changes that I make are not always
/// immediately visible"; no number there, a minute covers what is seen in practice).
const IAM_SETTLE: Duration = Duration::from_mins(1);
/// `have` of a finding about something that is not there.
const ABSENT: &str = "absent";
/// Most settings remembered; the oldest go first. A bound, not a tuning value.
const MAX_SETTINGS: usize = 20_000;

/// Our repairs of the last hour, by setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairLog {
    settings: BTreeMap<Setting, Vec<Repair>>,
}

/// A repair: when, and of what. In the order of their times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Repair {
    time: Timestamp,
    have: String,
}

/// A setting and the value that it was brought to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Setting {
    key: FindingKey,
    want: String,
}

/// Whether a target may be repaired now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Yes.
    Now,
    /// Not before this time.
    NotBefore(Timestamp),
}

/// What the log says about a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When it may be repaired.
    pub pace: Pace,
    /// Somebody reverts our repairs: this would be the third or a later repair of one setting within an hour.
    pub conflicting: bool,
}

impl RepairLog {
    /// What a restarted operator still knows: the repairs in a policy's history.
    pub fn from_history(history: &[HistoryEntry]) -> Self {
        let mut log = Self::default();
        for entry in history {
            let Some(control) = Control::ALL.iter().find(|c| c.id() == entry.control) else {
                continue;
            };
            if let (HistoryOutcome::Corrected, Some(time)) = (entry.outcome, &entry.corrected_time) {
                let key = FindingKey {
                    control: control.id(),
                    resource: entry.resource.clone(),
                    path: entry.path.clone(),
                };
                log.add(key, &entry.want, &entry.have, time.0);
            }
        }
        log
    }

    /// Remembers that these findings were repaired at `now`. To be called after the report of the same reconcile.
    pub fn record<'a>(&mut self, repaired: impl IntoIterator<Item = &'a Finding>, now: Timestamp) {
        for finding in repaired {
            self.add(finding.key(), &finding.want, &finding.have, now);
        }
        self.prune(now);
    }

    fn add(&mut self, key: FindingKey, want: &str, have: &str, time: Timestamp) {
        let setting = Setting {
            key,
            want: super::text::shown(want),
        };
        let repairs = self.settings.entry(setting).or_default();
        repairs.push(Repair {
            time,
            have: super::text::shown(have),
        });
        repairs.sort_unstable();
        // More than these decide nothing.
        let surplus = repairs.len().saturating_sub(FREE_REPAIRS);
        repairs.drain(..surplus);
    }

    fn prune(&mut self, now: Timestamp) {
        self.settings.retain(|_, repairs| {
            repairs.retain(|r| within(r.time, now, WINDOW));
            !repairs.is_empty()
        });
        while self.settings.len() > MAX_SETTINGS {
            let oldest = self
                .settings
                .iter()
                .min_by_key(|(_, repairs)| repairs.last().map(|r| r.time))
                .map(|(s, _)| s.clone());
            match oldest {
                Some(setting) => self.settings.remove(&setting),
                None => break,
            };
        }
    }

    /// Whether `target` may be repaired at `now`, given what drifted on it. All its settings wait for the slowest: a target
    /// is repaired whole.
    pub fn allowed(&self, target: &Target, drifted: &[Finding], interval: Duration, now: Timestamp) -> Decision {
        let mut decision = Decision {
            pace: Pace::Now,
            conflicting: false,
        };
        for finding in drifted.iter().filter(|f| f.target == *target) {
            let one = self.allowed_finding(finding, interval, now);
            decision.conflicting |= one.conflicting;
            decision.pace = match (decision.pace, one.pace) {
                (Pace::NotBefore(a), Pace::NotBefore(b)) => Pace::NotBefore(a.max(b)),
                (wait @ Pace::NotBefore(_), Pace::Now) | (Pace::Now, wait) => wait,
            };
        }
        decision
    }

    /// The same for one drifted setting.
    pub fn allowed_finding(&self, finding: &Finding, interval: Duration, now: Timestamp) -> Decision {
        let setting = Setting {
            key: finding.key(),
            want: super::text::shown(&finding.want),
        };
        let recent: Vec<Timestamp> = self
            .settings
            .get(&setting)
            .map(|repairs| {
                let times = repairs.iter().map(|r| r.time);
                times.filter(|t| within(*t, now, WINDOW)).collect()
            })
            .unwrap_or_default();
        let conflicting = recent.len() >= FREE_REPAIRS;
        let wait = if conflicting {
            interval.max(SETTLE)
        } else {
            match finding.target {
                Target::Bucket(_) | Target::BucketSelector(_) | Target::Role(_) => SETTLE,
                // The Kubernetes API shows a write at once.
                Target::Egress { .. } => Duration::ZERO,
            }
        };
        let until = recent.last().and_then(|last| last.checked_add(wait).ok());
        let pace = match until {
            Some(until) if until > now => Pace::NotBefore(until),
            Some(_) | None => Pace::Now,
        };
        Decision { pace, conflicting }
    }

    /// Until when a finding about a role counts as what IAM showed before a write of ours, and so as no drift yet: for a
    /// minute the very value that was repaired, or the lack of something on a role that was made just now. None for anything
    /// else: that is somebody's doing.
    pub fn echo_until(&self, finding: &Finding, now: Timestamp) -> Option<Timestamp> {
        let is_role = match finding.target {
            Target::Role(_) => true,
            Target::Bucket(_) | Target::BucketSelector(_) | Target::Egress { .. } => false,
        };
        if !is_role || finding.disposition != Disposition::Repair {
            return None;
        }
        let (key, have) = (finding.key(), super::text::shown(&finding.have));
        let made = FindingKey {
            control: Control::IamRole.id(),
            resource: key.resource.clone(),
            path: ROLE_ITSELF.to_owned(),
        };
        let want = super::text::shown(&finding.want);
        let of_finding = self.settings.get(&Setting { key, want }).into_iter().flatten();
        let repaired = of_finding.filter(|repair| repair.have == have);
        let from = Setting {
            key: made.clone(),
            want: String::new(),
        };
        let of_role = self
            .settings
            .range(from..)
            .take_while(|(setting, _)| setting.key == made);
        let makings = of_role.flat_map(|(_, repairs)| repairs).filter(|_| have == ABSENT);
        repaired
            .chain(makings)
            .filter(|repair| repair.time <= now)
            .filter_map(|repair| repair.time.checked_add(IAM_SETTLE).ok())
            .filter(|until| *until > now)
            .max()
    }
}

/// Whether `time` lies at most `window` before `now`. A time in the future (the clock jumped back) lies outside: better one
/// repair too many than none for a long time.
fn within(time: Timestamp, now: Timestamp, window: Duration) -> bool {
    time <= now && now.duration_since(time).unsigned_abs() <= window
}

#[cfg(test)]
mod tests;
