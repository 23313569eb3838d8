//! What is remembered of a policy between two passes, and whether a pass is due. Pure but for the monotonic time it is
//! given.
//!
//! Our own status writes come back as watch events. What decides about a pass is therefore never *that* something arrived,
//! but whether what matters of the object changed, its time has come, or something moved in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use tokio::time::Instant;

use crate::api::{FINALIZER, RECONCILE_REQUESTED_AT, RELEASE, SUSPEND_UNTIL};
use crate::domain::finding::Target;
use crate::domain::names::BucketName;
use crate::domain::policy::Conflicts;
use crate::domain::report::RepairLog;

/// Shortest pause between two passes that the cluster's events ask for: an object that somebody edits without end must not
/// keep the operator busy without end.
const SHORTEST: Duration = Duration::from_secs(1);

/// The same for pods: they come and go by the hundred, what protects them is there before them, and what is found about
/// them can wait a little.
const STIRRED: Duration = Duration::from_secs(5);

/// What of an object makes a pass necessary when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    uid: Option<String>,
    generation: Option<i64>,
    deleting: bool,
    finalizer: bool,
    annotations: [Option<String>; 3],
}

impl Fingerprint {
    /// The fingerprint of an object.
    pub fn of(metadata: &ObjectMeta) -> Self {
        let annotation = |key: &str| metadata.annotations.as_ref().and_then(|a| a.get(key)).cloned();
        Self {
            uid: metadata.uid.clone(),
            generation: metadata.generation,
            deleting: metadata.deletion_timestamp.is_some(),
            finalizer: metadata.finalizers.iter().flatten().any(|f| f == FINALIZER),
            annotations: [RECONCILE_REQUESTED_AT, SUSPEND_UNTIL, RELEASE].map(annotation),
        }
    }

    /// Whether it is the same object, not another one of the same name.
    pub fn same_object(&self, other: &Self) -> bool {
        self.uid == other.uid
    }

    /// We set or removed our finalizer ourselves.
    pub fn finalizer_set(&mut self, finalizer: bool) {
        self.finalizer = finalizer;
    }
}

/// Whether to look, and how closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// At everything, with fresh readings.
    Fresh,
    /// At everything: the interval is over. Readings that another policy of the account made just now will do.
    Sweep,
    /// At the cluster; what AWS said in this interval will do.
    Cluster,
    /// Not before this time has passed.
    In(Duration),
    /// Not before something changes.
    Idle,
}

/// When the next pass is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At this time, as a sweep.
    Sweep(Instant),
    /// At this time, with fresh readings: something was written or failed.
    Fresh(Instant),
    /// When something changes.
    Change,
}

/// What is remembered of a policy.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The object as last judged.
    pub fingerprint: Fingerprint,
    /// When the next pass is due.
    pub next: Next,
    /// When the last pass ended.
    pub ended: Instant,
    /// Passes in a row that did not come to a rest.
    pub attempts: u32,
    /// When everything was last seen.
    pub last_observed: Option<Timestamp>,
    /// Our repairs of the last hour.
    pub repairs: RepairLog,
    /// Writes that were accepted and could not be seen, and when.
    pub not_observed: BTreeMap<(&'static str, Target), Timestamp>,
    /// Targets whose writes came to nothing when they last had their turn; none once all have had one.
    pub late: BTreeSet<Target>,
    /// It was said that the deletion waits for a human.
    pub stalled: bool,
}

impl Memory {
    /// Nothing is known of the policy yet.
    pub fn new(fingerprint: Fingerprint, now: Instant) -> Self {
        Self {
            fingerprint,
            next: Next::Change,
            ended: now,
            attempts: 0,
            last_observed: None,
            repairs: RepairLog::default(),
            not_observed: BTreeMap::new(),
            late: BTreeSet::new(),
            stalled: false,
        }
    }
}

/// What others may note about a policy while it is being reconciled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Something moved in the cluster.
    pub moved: bool,
    /// Pods came, changed or went.
    pub stirred: bool,
    /// Another policy let go, or laid hold, of something this one names.
    pub claims: bool,
    /// Namespaces that its rules matched, and those of the ServiceAccounts that its roles list.
    pub namespaces: BTreeSet<String>,
    /// Targets that others held when it was last judged.
    pub conflicts: Conflicts,
    /// Buckets that its selectors found.
    pub selected: BTreeSet<BucketName>,
}

/// Decides.
pub fn due(memory: Option<&Memory>, fingerprint: &Fingerprint, notes: &Notes, now: Instant) -> Due {
    let Some(memory) = memory else { return Due::Fresh };
    if memory.fingerprint != *fingerprint || notes.claims {
        return Due::Fresh;
    }
    let left = |at: Instant| at.saturating_duration_since(now);
    let scheduled = match memory.next {
        Next::Sweep(at) if at <= now => return Due::Sweep,
        Next::Fresh(at) if at <= now => return Due::Fresh,
        Next::Sweep(at) | Next::Fresh(at) => Some(left(at)),
        Next::Change => None,
    };
    let quiet = match notes {
        Notes { moved: true, .. } => Some(SHORTEST),
        Notes { stirred: true, .. } => Some(STIRRED),
        Notes { .. } => None,
    };
    if let Some(quiet) = quiet {
        let pause = left(memory.ended + quiet);
        return match scheduled {
            _ if pause.is_zero() => Due::Cluster,
            Some(sooner) if sooner < pause => Due::In(sooner),
            Some(_) | None => Due::In(pause),
        };
    }
    scheduled.map_or(Due::Idle, Due::In)
}

/// Whether the object carries our finalizer.
pub fn has_finalizer(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|f| f == FINALIZER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_mins(5);

    fn fingerprint(generation: i64) -> Fingerprint {
        Fingerprint {
            generation: Some(generation),
            ..Fingerprint::default()
        }
    }

    fn memory(now: Instant, next: Next) -> Memory {
        Memory {
            next,
            ..Memory::new(fingerprint(1), now)
        }
    }

    fn moved() -> Notes {
        Notes {
            moved: true,
            ..Notes::default()
        }
    }

    #[test]
    fn an_unknown_policy_is_looked_at_at_once() {
        assert_eq!(
            due(None, &fingerprint(1), &Notes::default(), Instant::now()),
            Due::Fresh
        );
    }

    #[test]
    fn our_own_status_write_asks_for_nothing() {
        let now = Instant::now();
        let memory = memory(now, Next::Sweep(now + INTERVAL));
        assert_eq!(
            due(Some(&memory), &fingerprint(1), &Notes::default(), now),
            Due::In(INTERVAL)
        );
    }

    #[test]
    fn a_new_generation_is_looked_at_afresh() {
        let now = Instant::now();
        let memory = memory(now, Next::Change);
        assert_eq!(due(Some(&memory), &fingerprint(2), &Notes::default(), now), Due::Fresh);
        assert_eq!(due(Some(&memory), &fingerprint(1), &Notes::default(), now), Due::Idle);
    }

    #[test]
    fn annotations_deletion_and_finalizer_count_and_others_do_not() {
        let plain = ObjectMeta::default();
        let with = |key: &str| ObjectMeta {
            annotations: Some(BTreeMap::from([(key.to_owned(), "x".to_owned())])),
            ..ObjectMeta::default()
        };
        let base = Fingerprint::of(&plain);
        for key in [RECONCILE_REQUESTED_AT, SUSPEND_UNTIL, RELEASE] {
            assert_ne!(Fingerprint::of(&with(key)), base, "{key}");
        }
        assert_eq!(
            Fingerprint::of(&with("kubectl.kubernetes.io/last-applied-configuration")),
            base
        );
        let finalizer = ObjectMeta {
            finalizers: Some(vec![FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        };
        assert_ne!(Fingerprint::of(&finalizer), base);
    }

    #[test]
    fn the_interval_brings_a_sweep() {
        let now = Instant::now();
        let memory = memory(now, Next::Sweep(now + INTERVAL));
        let notes = Notes::default();
        assert_eq!(due(Some(&memory), &fingerprint(1), &notes, now + INTERVAL), Due::Sweep);
    }

    #[test]
    fn what_moves_in_the_cluster_is_looked_at_within_a_second_but_not_more_often() {
        let start = Instant::now();
        let memory = memory(start, Next::Sweep(start + INTERVAL));
        let half = Duration::from_millis(500);
        assert_eq!(
            due(Some(&memory), &fingerprint(1), &moved(), start + half),
            Due::In(half)
        );
        assert_eq!(
            due(Some(&memory), &fingerprint(1), &moved(), start + SHORTEST),
            Due::Cluster
        );
    }

    #[test]
    fn pods_that_come_and_go_are_looked_at_every_five_seconds_at_most() {
        let start = Instant::now();
        let stirred = Notes {
            stirred: true,
            ..Notes::default()
        };
        let memory = memory(start, Next::Sweep(start + INTERVAL));
        let due_after = |seconds| {
            due(
                Some(&memory),
                &fingerprint(1),
                &stirred,
                start + Duration::from_secs(seconds),
            )
        };
        assert_eq!(due_after(1), Due::In(Duration::from_secs(4)));
        assert_eq!(due_after(5), Due::Cluster);
        let both = Notes {
            moved: true,
            ..stirred.clone()
        };
        assert_eq!(
            due(Some(&memory), &fingerprint(1), &both, start + SHORTEST),
            Due::Cluster,
            "a NetworkPolicy does not wait for pods"
        );
    }

    #[test]
    fn a_pause_after_failure_is_not_cut_short_for_aws_by_what_moves_in_the_cluster() {
        let start = Instant::now();
        let memory = memory(start, Next::Fresh(start + INTERVAL));
        assert_eq!(
            due(Some(&memory), &fingerprint(1), &moved(), start + SHORTEST),
            Due::Cluster
        );
    }

    #[test]
    fn a_released_claim_is_looked_at_at_once() {
        let now = Instant::now();
        let memory = memory(now, Next::Sweep(now + INTERVAL));
        let notes = Notes {
            claims: true,
            ..Notes::default()
        };
        assert_eq!(due(Some(&memory), &fingerprint(1), &notes, now), Due::Fresh);
    }
}
