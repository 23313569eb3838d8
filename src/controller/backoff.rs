//! When to look again: pure arithmetic on times.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// First pause after a failure.
pub const FIRST: Duration = Duration::from_secs(1);
/// Longest pause between tries.
pub const LONGEST: Duration = Duration::from_mins(5);

/// Pause before try number `attempt` (1 = the first repetition): 1 s, 2 s, 4 s … 5 min, each up to a tenth shorter or
/// longer, so that policies that failed together do not come back together.
pub fn after_failure(policy: &str, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let pause = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    spread(pause, policy, attempt)
}

/// `duration` up to a tenth shorter or longer: the same for the same policy and salt, so that nothing here is random.
pub fn spread(duration: Duration, policy: &str, salt: impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    policy.hash(&mut hasher);
    salt.hash(&mut hasher);
    // 0 to 200, for 0.9 to 1.1.
    let thousandths = u32::try_from(hasher.finish() % 201).unwrap_or(100);
    duration.saturating_mul(900 + thousandths) / 1000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_from_a_second_to_five_minutes() {
        for (attempt, seconds) in (1..).zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]) {
            let exact = Duration::from_secs(seconds);
            let pause = after_failure("fraud-model", attempt);
            assert!(
                pause >= exact * 9 / 10 && pause <= exact * 11 / 10,
                "{pause:?} for {exact:?}"
            );
        }
    }

    #[test]
    fn policies_that_failed_together_come_back_apart() {
        let pauses: std::collections::BTreeSet<Duration> =
            (0..50).map(|n| after_failure(&format!("policy-{n}"), 8)).collect();
        assert!(pauses.len() > 25, "{}", pauses.len());
    }

    proptest! {
        #[test]
        fn a_spread_stays_within_a_tenth(ms in 0..86_400_000u64, policy in ".{0,20}", salt in any::<u64>()) {
            let exact = Duration::from_millis(ms);
            let spread = spread(exact, &policy, salt);
            prop_assert!(spread >= exact * 9 / 10 && spread <= exact * 11 / 10);
        }

        #[test]
        fn no_attempt_waits_longer_than_five_minutes_and_a_tenth(attempt in any::<u32>()) {
            prop_assert!(after_failure("p", attempt) <= LONGEST * 11 / 10);
        }
    }
}
