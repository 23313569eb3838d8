//! How much of what was said before still stands when nothing, or not everything, can be seen.

use jiff::{SignedDuration, Timestamp};

use super::conditions::{READY, condition};
use super::{Context, Reason};
use crate::api::AIDataProtectionPolicyStatus;
use crate::domain::policy::ValidatedPolicy;

/// What the last observation still allows to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// This generation was judged, and everything was seen less than two intervals ago.
    Fresh,
    /// This generation was judged, but that is longer ago.
    Stale,
    /// This generation was never judged on an observation.
    Never,
}

impl Standing {
    pub fn of(policy: &ValidatedPolicy, context: &Context<'_>) -> Self {
        let judged = |old: &&AIDataProtectionPolicyStatus| old.observed_generation == context.generation;
        let Some((old, ready)) = context
            .old
            .filter(judged)
            .and_then(|old| Some((old, condition(old, READY)?)))
        else {
            return Self::Never;
        };
        let seen: Vec<Timestamp> = [context.last_observed, old.last_verified_time.as_ref().map(|t| t.0)]
            .into_iter()
            .flatten()
            .collect();
        if seen.is_empty() || ready.reason == Reason::Progressing.as_str() {
            // Never seen whole; but that must not stay unsaid for ever either.
            let waiting = context.now.duration_since(ready.last_transition_time.0);
            return if waiting < two_intervals(policy) {
                Self::Never
            } else {
                Self::Stale
            };
        }
        // A time in the future is no observation: the clock or the status is wrong, and silence must not last for ever.
        match seen.into_iter().filter(|t| *t <= context.now).max() {
            Some(last) if context.now.duration_since(last) < two_intervals(policy) => Self::Fresh,
            Some(_) | None => Self::Stale,
        }
    }
}

fn two_intervals(policy: &ValidatedPolicy) -> SignedDuration {
    SignedDuration::try_from(policy.interval.saturating_mul(2)).unwrap_or(SignedDuration::MAX)
}
