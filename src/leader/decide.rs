//! Who may lead: a pure decision from one look at the Lease.
//!
//! Clocks of different machines are never compared. A candidate trusts its own monotonic clock alone: it counts from the
//! moment at which *it* saw the Lease change, which is never earlier than the moment at which the holder renewed it. The
//! holder counts from before it sent the renewal. So the holder's time is up first, whatever the wall clocks say.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;

/// Longest lease duration believed: a garbled Lease must not keep everybody waiting for good.
const MAX_DURATION: Duration = Duration::from_mins(1);

/// What to do about the Lease now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write ourselves into it; it is free, expired, or does not exist.
    Acquire,
    /// It is ours: renew it.
    Renew,
    /// Somebody else holds it, for at most this long unless it is renewed.
    Wait(Duration),
}

/// Decides from the Lease as read (None: there is none), how long it has been seen unchanged, and our own lease duration.
pub fn decide(lease: Option<&Lease>, me: &str, unchanged_for: Duration, duration: Duration) -> Decision {
    let spec = lease.and_then(|l| l.spec.as_ref());
    let holder = spec
        .and_then(|s| s.holder_identity.as_deref())
        .filter(|h| !h.is_empty());
    // Who held a Lease that is gone since we last looked, nobody knows.
    let gone = lease.is_some_and(|l| l.metadata.resource_version.is_none());
    match holder {
        None if !gone => Decision::Acquire,
        Some(holder) if holder == me && !gone => Decision::Renew,
        None | Some(_) => {
            // Whoever shortens the duration in the Lease does not shorten the holder's own belief: never less than ours.
            let stated = spec
                .and_then(|s| s.lease_duration_seconds)
                .and_then(|s| u64::try_from(s).ok())
                .map_or(duration, Duration::from_secs)
                .min(MAX_DURATION)
                .max(duration);
            match stated.checked_sub(unchanged_for) {
                Some(rest) if rest > Duration::ZERO => Decision::Wait(rest),
                Some(_) | None => Decision::Acquire,
            }
        }
    }
}

/// What a candidate knows of the Lease: the copy last read or written, and since when it has not changed. A copy without
/// resourceVersion stands for a Lease that was deleted: its last holder may still believe in it, so it is waited out.
pub type Sight<T> = Option<(Lease, T)>;

/// Brings what is known up to date with the Lease as read at `now` (None: there is none). Whoever leads for certain need
/// not wait for anybody if the Lease is gone.
pub fn look<T: Copy>(seen: Sight<T>, read: Option<Lease>, leads: bool, now: T) -> Sight<T> {
    if leads && read.is_none() {
        return None;
    }
    see(seen, read, now)
}

fn see<T: Copy>(seen: Sight<T>, read: Option<Lease>, now: T) -> Sight<T> {
    match (read, seen) {
        (None, None) => None,
        (None, Some((old, since))) if old.metadata.resource_version.is_none() => Some((old, since)),
        (None, Some((mut old, _))) => {
            old.metadata.resource_version = None;
            Some((old, now))
        }
        (Some(new), Some((old, since))) if new.metadata.resource_version == old.metadata.resource_version => {
            Some((new, since))
        }
        (Some(new), _) => Some((new, now)),
    }
}

/// How long a holder may act on a renewal, counted from before it was sent: a tenth less than the others wait, for clocks
/// that do not run equally fast.
pub fn validity(duration: Duration) -> Duration {
    duration.saturating_sub(duration / 10)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use kube::api::ObjectMeta;
    use proptest::prelude::*;

    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    fn lease(holder: Option<&str>, seconds: Option<i32>) -> Lease {
        Lease {
            metadata: ObjectMeta {
                resource_version: Some("1".to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                lease_duration_seconds: seconds,
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_missing_or_released_lease_is_free() {
        assert_eq!(decide(None, "me", Duration::ZERO, TEN), Decision::Acquire);
        for holder in [None, Some("")] {
            let lease = lease(holder, Some(10));
            assert_eq!(decide(Some(&lease), "me", Duration::ZERO, TEN), Decision::Acquire);
        }
    }

    #[test]
    fn our_own_lease_is_renewed_however_old_it_is() {
        let lease = lease(Some("me"), Some(10));
        assert_eq!(
            decide(Some(&lease), "me", Duration::from_hours(1), TEN),
            Decision::Renew
        );
    }

    #[test]
    fn anothers_lease_is_waited_out_from_when_it_was_last_seen_to_change() {
        let lease = lease(Some("other"), Some(10));
        let four = Duration::from_secs(4);
        assert_eq!(
            decide(Some(&lease), "me", four, TEN),
            Decision::Wait(Duration::from_secs(6))
        );
        assert_eq!(decide(Some(&lease), "me", TEN, TEN), Decision::Acquire);
    }

    #[test]
    fn a_garbled_duration_neither_hurries_nor_blocks_the_take_over() {
        for seconds in [None, Some(0), Some(-5), Some(1)] {
            let lease = lease(Some("other"), seconds);
            assert_eq!(decide(Some(&lease), "me", Duration::ZERO, TEN), Decision::Wait(TEN));
        }
        let lease = lease(Some("other"), Some(i32::MAX));
        assert_eq!(
            decide(Some(&lease), "me", Duration::ZERO, TEN),
            Decision::Wait(MAX_DURATION)
        );
    }

    #[test]
    fn an_unchanged_lease_keeps_its_age_and_a_renewed_one_is_new() {
        let version = |v: &str| {
            let mut lease = lease(Some("other"), Some(10));
            lease.metadata.resource_version = Some(v.to_owned());
            lease
        };
        let seen = see(None, Some(version("1")), 100);
        assert_eq!(seen, Some((version("1"), 100)));
        let seen = see(seen, Some(version("1")), 200);
        assert_eq!(seen, Some((version("1"), 100)));
        let seen = see(seen, Some(version("2")), 300);
        assert_eq!(seen, Some((version("2"), 300)));
    }

    #[test]
    fn a_deleted_lease_is_waited_out_from_when_it_was_missed() {
        for holder in [Some("other"), Some("me"), None] {
            let seen = see(Some((lease(holder, Some(10)), 100)), None, 200);
            let mut gone = lease(holder, Some(10));
            gone.metadata.resource_version = None;
            assert_eq!(seen, Some((gone.clone(), 200)));
            assert_eq!(see(seen, None, 300), Some((gone.clone(), 200)));
            assert_eq!(decide(Some(&gone), "me", Duration::ZERO, TEN), Decision::Wait(TEN));
            assert_eq!(decide(Some(&gone), "me", TEN, TEN), Decision::Acquire);
        }
    }

    /// One step of one candidate of the simulation below.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Reads the Lease.
        Read(usize),
        /// Does what it decides on the copy it last read, if nobody was faster. The answer may get lost.
        Act(usize, bool),
        /// Milliseconds pass.
        Pass(u64),
    }

    #[derive(Clone, Default)]
    struct Candidate {
        seen: Sight<u64>,
        /// Believes to lead until then.
        leads_until: u64,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3usize).prop_map(Step::Read),
            (0..3usize, prop::bool::weighted(0.8)).prop_map(|(i, heard)| Step::Act(i, heard)),
            (1..4_000u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Three candidates and a server that compares versions, in any order, with answers lost and the Lease deleted
        /// once by somebody: never two leaders.
        #[test]
        fn never_do_two_candidates_believe_to_lead(
            steps in prop::collection::vec(step(), 1..200),
            deleted_at in 0..200usize,
        ) {
            let names = ["a", "b", "c"];
            let (mut version, mut now) = (1u64, 0u64);
            let versioned = |mut lease: Lease, version: u64| {
                lease.metadata.resource_version = Some(version.to_string());
                lease
            };
            let mut stored = Some(versioned(lease(None, Some(10)), version));
            let mut candidates = vec![Candidate { seen: see(None, stored.clone(), 0), leads_until: 0 }; 3];
            for (n, step) in steps.into_iter().enumerate() {
                if n == deleted_at {
                    stored = None;
                }
                match step {
                    Step::Pass(ms) => now += ms,
                    Step::Read(i) => {
                        let leads = candidates[i].leads_until > now;
                        candidates[i].seen = look(candidates[i].seen.take(), stored.clone(), leads, now);
                    }
                    Step::Act(i, heard) => {
                        let (copy, since) = candidates[i].seen.clone().unzip();
                        let unchanged = Duration::from_millis(now - since.unwrap_or(now));
                        let rv = |lease: Option<&Lease>| lease.and_then(|l| l.metadata.resource_version.clone());
                        match decide(copy.as_ref(), names[i], unchanged, TEN) {
                            Decision::Acquire | Decision::Renew if rv(copy.as_ref()) == rv(stored.as_ref()) => {
                                version += 1;
                                stored = Some(versioned(lease(Some(names[i]), Some(10)), version));
                                if heard {
                                    candidates[i].seen = stored.clone().map(|s| (s, now));
                                    candidates[i].leads_until =
                                        now + u64::try_from(validity(TEN).as_millis()).unwrap();
                                }
                            }
                            // It waits, or the server refuses since somebody was faster.
                            Decision::Wait(_) | Decision::Acquire | Decision::Renew => {}
                        }
                    }
                }
                let leaders = candidates.iter().filter(|c| c.leads_until > now).count();
                prop_assert!(leaders <= 1, "{leaders} leaders at {now}");
            }
        }
    }
}
