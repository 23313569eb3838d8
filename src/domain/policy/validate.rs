//! Spec → [`ValidatedPolicy`]. Most of what can be wrong is refused by the CRD's CEL rules already; it is checked here
//! again, since `aidp plan` reads files and an object may be older than the rule.

mod buckets;
mod egress;
mod roles;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{Conflicts, EgressTarget, OperatorSettings, Selection, ValidatedPolicy};
use crate::api::{AIDataProtectionPolicySpec, EgressRule, Limits, Mode, Targets};
use crate::domain::names::{AccountId, BucketName, NameError, Region};
use buckets::{BucketContext, effective_controls, validate_buckets, validate_selectors};
use egress::validate_egress;
use roles::validate_roles;

/// Default cap on writes in one reconcile.
const DEFAULT_MAX_WRITES: usize = 50;
/// Longest interval.
const MAX_INTERVAL: Duration = Duration::from_hours(24);

/// Everything that is wrong with a spec, by field. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("; "))]
pub struct InvalidSpec {
    /// One sentence each: field, problem, way out.
    pub problems: Vec<String>,
}

/// Where a policy comes from: what its metadata and status say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySource {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Annotation `aidp.dev/suspend-until`, raw.
    pub suspend_until: Option<String>,
    /// When that annotation was set ([`super::annotated_at`]); None: now.
    pub suspended_at: Option<Timestamp>,
    /// Annotation `aidp.dev/release`, raw: bucket names, separated by commas.
    pub release: Option<String>,
    /// `status.targets`.
    pub inventory: Targets,
    /// Targets that other policies claim first.
    pub conflicts: Conflicts,
    /// Buckets of the inventory that another policy names and holds.
    pub held_elsewhere: BTreeSet<BucketName>,
}

/// Checks a spec and resolves defaults, overrides and caps. `now` is for the cap on suspensions.
///
/// # Errors
/// [`InvalidSpec`] with *all* problems.
pub fn validate(
    spec: &AIDataProtectionPolicySpec,
    source: PolicySource,
    settings: &OperatorSettings,
    now: Timestamp,
) -> Result<ValidatedPolicy, InvalidSpec> {
    let AIDataProtectionPolicySpec {
        mode,
        interval,
        suspension,
        deletion_policy,
        account,
        bucket_controls,
        buckets,
        bucket_selectors,
        training_roles,
        egress,
        limits,
    } = spec;
    let mut problems = Problems::default();
    let PolicySource {
        name,
        generation,
        suspend_until,
        suspended_at,
        release,
        inventory,
        conflicts,
        held_elsewhere,
    } = source;

    let account_id = problems.name("account.id", AccountId::new(&account.id));
    let region = problems.name("account.region", Region::new(&account.region));
    let interval = problems.interval(interval, settings.min_interval);
    let by_spec = suspension
        .as_ref()
        .and_then(|s| problems.time("suspension.untilTime", &s.until_time));
    // The annotation is for humans in a hurry; the cap keeps a forgotten one from switching protection off for good. So it
    // counts from when the annotation was set: counted from now it would never be reached.
    let set = suspended_at.unwrap_or(now).min(now);
    let latest = set.checked_add(settings.max_suspension).unwrap_or(Timestamp::MAX);
    let by_annotation = suspend_until
        .and_then(|t| problems.time("metadata.annotations[aidp.dev/suspend-until]", &t))
        .map(|t| t.min(latest));
    let suspended_until = by_spec.into_iter().chain(by_annotation).max().filter(|t| *t > now);

    let mode = if settings.max_mode == Mode::Audit {
        Mode::Audit
    } else {
        *mode
    };
    if buckets.is_empty() && bucket_selectors.is_empty() && training_roles.is_empty() && egress.is_empty() {
        problems.add(
            "spec: the policy protects nothing: name at least one of buckets, bucketSelectors, trainingRoles, egress",
        );
    }
    let (Some(account_id), Some(region), Some(interval)) = (account_id, region, interval) else {
        return Err(problems.into_error());
    };
    let partition = region.partition();

    let context = BucketContext {
        mode,
        region: &region,
        partition,
        account: &account_id,
        settings,
        inventory: &inventory,
    };
    let controls = effective_controls(bucket_controls.as_ref());
    let buckets = validate_buckets(buckets, &controls, &context, &mut problems);
    let selectors = validate_selectors(bucket_selectors, &controls, &context, &mut problems);
    let roles = validate_roles(
        training_roles,
        &buckets,
        (&account_id, partition),
        settings,
        &mut problems,
    );
    let egress = validate_egress(egress, &settings.operator_namespace, &mut problems);
    let max_writes = cap_on_writes(limits.as_ref());
    let Some(max_writes) = max_writes else {
        problems.add("limits.maxWritesPerReconcile: must be at least 1");
        return Err(problems.into_error());
    };
    if !problems.list.is_empty() {
        return Err(problems.into_error());
    }
    Ok(ValidatedPolicy {
        name,
        generation,
        mode,
        interval,
        suspended_until,
        deletion_policy: *deletion_policy,
        account: account_id,
        region,
        partition,
        buckets,
        selectors,
        selection: Selection::default(),
        released: released(release.as_deref()),
        roles,
        egress,
        max_writes,
        inventory,
        conflicts,
        held_elsewhere,
        settings: settings.clone(),
    })
}

/// The buckets that an administrator lets go. A name that is none releases nothing.
fn released(annotation: Option<&str>) -> BTreeSet<BucketName> {
    let names = annotation.into_iter().flat_map(|names| names.split(','));
    names.filter_map(|name| BucketName::new(name.trim()).ok()).collect()
}

/// None: out of bounds.
fn cap_on_writes(limits: Option<&Limits>) -> Option<usize> {
    match limits.and_then(|l| l.max_writes_per_reconcile) {
        None => Some(DEFAULT_MAX_WRITES),
        Some(n) => usize::try_from(n).ok().filter(|n| *n >= 1),
    }
}

/// Checks and resolves the egress rules alone: all that the offline analysis needs of a policy.
///
/// # Errors
/// [`InvalidSpec`] with all problems of the rules.
pub fn egress_targets(rules: &[EgressRule], operator_namespace: &str) -> Result<Vec<EgressTarget>, InvalidSpec> {
    let mut problems = Problems::default();
    let targets = validate_egress(rules, operator_namespace, &mut problems);
    if problems.list.is_empty() {
        Ok(targets)
    } else {
        Err(problems.into_error())
    }
}

#[derive(Default)]
struct Problems {
    list: Vec<String>,
}

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.list.push(problem.into());
    }

    fn name<T>(&mut self, field: &str, result: Result<T, NameError>) -> Option<T> {
        result.map_err(|e| self.add(format!("{field}: {e}"))).ok()
    }

    fn time(&mut self, field: &str, text: &str) -> Option<Timestamp> {
        text.parse::<Timestamp>()
            .inspect_err(|_| {
                self.add(format!(
                    "{field}: {text:?} is not an RFC 3339 time, e.g. 2026-12-01T00:00:00Z"
                ));
            })
            .ok()
    }

    fn interval(&mut self, text: &str, min: Duration) -> Option<Duration> {
        match parse_duration(text) {
            Some(d) if d < min => {
                self.add(format!("interval: {text:?} is too short; at least {}s", min.as_secs()));
                None
            }
            Some(d) if d > MAX_INTERVAL => {
                self.add(format!("interval: {text:?} is too long; at most 24h"));
                None
            }
            Some(d) => Some(d),
            None => {
                self.add(format!(
                    "interval: {text:?} is no duration; expected e.g. 90s, 5m, 1h30m"
                ));
                None
            }
        }
    }

    fn into_error(self) -> InvalidSpec {
        InvalidSpec { problems: self.list }
    }
}

/// Gateway API duration (GEP-2257): `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest
            .split_at_checked(digits)
            .filter(|(n, _)| (1..=5).contains(&n.len()))?;
        let number: u64 = number.parse().ok()?;
        let (unit, tail) = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
            .into_iter()
            .find_map(|(unit, ms)| tail.strip_prefix(unit).map(|tail| (ms, tail)))?;
        total += Duration::from_millis(number * unit);
        rest = tail;
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

#[cfg(test)]
mod tests;
