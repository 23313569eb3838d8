//! After a pass: when the next one is due. Pure.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::backoff::{after_failure, spread};
use super::memory::{Due, Memory, Next};
use crate::domain::finding::Disposition;
use crate::domain::observed::ErrorClass;
use crate::domain::plan::Plan;
use crate::domain::report::{ActionResult, Outcome, SkipReason};

/// Pause before what was written is looked at again, or the rest of a large plan follows.
const SOON: Duration = Duration::from_secs(1);

/// What a pass came to, for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// All was said and done: after the interval.
    Interval(Duration),
    /// Something was written, or is still to be written: at once.
    Soon,
    /// Something failed that may pass: with backoff.
    Retry,
    /// Nothing to be done before something changes.
    Change,
    /// The policy is gone.
    Gone,
}

impl Rest {
    /// What follows from a plan and what became of it.
    pub fn of(plan: &Plan, outcome: &Outcome, interval: Duration) -> Self {
        let passing = |class: ErrorClass| match class {
            ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Credentials => true,
            ErrorClass::AccessDenied | ErrorClass::NotFound | ErrorClass::Unsupported | ErrorClass::Terminal => false,
        };
        let unseen = plan.findings().iter().any(|f| f.disposition == Disposition::Unobserved);
        let failed = outcome.actions.iter().any(|action| match &action.result {
            ActionResult::Failed(error) => passing(error.class),
            ActionResult::ChangedUnderneath | ActionResult::Skipped(SkipReason::NotLeader | SkipReason::OutOfTime) => {
                true
            }
            ActionResult::Done
            | ActionResult::NotObserved
            | ActionResult::Skipped(SkipReason::EarlierFailure | SkipReason::RepairedTooOften) => false,
        });
        let wrote = outcome.actions.iter().any(|action| action.result == ActionResult::Done);
        if unseen || failed {
            Self::Retry
        } else if wrote {
            Self::Soon
        } else {
            Self::Interval(interval)
        }
    }
}

/// When the next pass is due, and how many in a row did not come to a rest. `wake` is a time by which to look in any case.
pub(super) fn next(
    policy: &str,
    rest: Rest,
    due: Due,
    memory: &Memory,
    wake: Option<Timestamp>,
    (now, time): (Instant, Timestamp),
) -> (Next, u32) {
    // A look at the cluster alone puts off nothing, and says nothing about AWS.
    let beside = due == Due::Cluster;
    let planned = match memory.next {
        Next::Sweep(at) | Next::Fresh(at) if beside && at > now => Some(memory.next),
        Next::Sweep(_) | Next::Fresh(_) | Next::Change => None,
    };
    let (next, attempts) = match rest {
        Rest::Interval(interval) => {
            let swept = Next::Sweep(now + spread(interval, policy, 0u8));
            (planned.unwrap_or(swept), if beside { memory.attempts } else { 0 })
        }
        Rest::Soon => (Next::Sweep(now + SOON), 0),
        Rest::Retry => {
            let attempts = memory.attempts.saturating_add(u32::from(planned.is_none()));
            let again = Next::Fresh(now + after_failure(policy, attempts));
            (planned.unwrap_or(again), attempts)
        }
        Rest::Change | Rest::Gone => (Next::Change, 0),
    };
    let wake = wake.map(|at| now + Duration::try_from(at.duration_since(time)).unwrap_or(Duration::ZERO));
    let next = match (next, wake) {
        (Next::Sweep(at) | Next::Fresh(at), Some(wake)) if wake < at => Next::Fresh(wake),
        (Next::Change, Some(wake)) => Next::Fresh(wake),
        (next, Some(_) | None) => next,
    };
    (next, attempts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::memory::Fingerprint;
    use crate::domain::fixture;

    const FIVE: Duration = Duration::from_mins(5);

    fn memory(now: Instant, next: Next, attempts: u32) -> Memory {
        Memory {
            next,
            attempts,
            ..Memory::new(Fingerprint::default(), now)
        }
    }

    fn at(next: Next) -> Instant {
        match next {
            Next::Sweep(at) | Next::Fresh(at) => at,
            Next::Change => panic!("no time"),
        }
    }

    #[test]
    fn a_look_at_the_cluster_puts_off_neither_the_sweep_nor_the_retry() {
        let now = Instant::now();
        for planned in [Next::Sweep(now + FIVE / 5), Next::Fresh(now + FIVE / 5)] {
            let memory = memory(now, planned, 3);
            for rest in [Rest::Interval(FIVE), Rest::Retry] {
                let (then, attempts) = next("p", rest, Due::Cluster, &memory, None, (now, fixture::now()));
                assert_eq!((then, attempts), (planned, 3), "{rest:?}");
            }
        }
    }

    #[test]
    fn a_rest_forgets_the_failures_before_it() {
        let now = Instant::now();
        let memory = memory(now, Next::Change, 7);
        let (then, attempts) = next(
            "p",
            Rest::Interval(FIVE),
            Due::Sweep,
            &memory,
            None,
            (now, fixture::now()),
        );
        assert_eq!(attempts, 0);
        assert!(at(then) >= now + FIVE * 9 / 10 && at(then) <= now + FIVE * 11 / 10);
    }

    #[test]
    fn a_time_to_wake_comes_first_if_it_is_earlier_and_at_once_if_it_has_passed() {
        let now = Instant::now();
        let time = fixture::now();
        let memory = memory(now, Next::Change, 0);
        let wake = |seconds: i64| Timestamp::from_second(time.as_second() + seconds).ok();
        let then = |wake| next("p", Rest::Interval(FIVE), Due::Fresh, &memory, wake, (now, time)).0;
        assert_eq!(then(wake(7)), Next::Fresh(now + Duration::from_secs(7)));
        assert_eq!(then(wake(-7)), Next::Fresh(now));
        assert!(matches!(then(wake(3600)), Next::Sweep(_)));
    }

    #[test]
    fn a_policy_that_waits_for_a_change_waits_without_end() {
        let now = Instant::now();
        let memory = memory(now, Next::Change, 0);
        let (then, _) = next("p", Rest::Change, Due::Fresh, &memory, None, (now, fixture::now()));
        assert_eq!(then, Next::Change);
    }
}
