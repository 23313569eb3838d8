//! The inventory (`status.targets`): what this policy has claimed, so that a crash forgets nothing. It is written before the
//! first write to a new target, and it is never dropped to save room.

use std::collections::{BTreeMap, BTreeSet};

use super::Standing;
use super::conditions::rung_index;
use super::verdict::{Verdict, named, whole};
use crate::api::{
    AIDataProtectionPolicyStatus, BucketTargetStatus, EgressTargetStatus, RoleTargetStatus, TargetState, Targets,
};
use crate::domain::finding::Target;
use crate::domain::plan::Plan;
use crate::domain::policy::ValidatedPolicy;
use crate::domain::target_plan::{TargetFacts, TargetPlan};

/// Bounds of the schema.
const MAX_BUCKETS: usize = 5000;
const MAX_ROLES: usize = 200;
const MAX_EGRESS: usize = 100;

/// The inventory after a look. A target that has left the spec stays until the plan has neither a finding nor an action for
/// it: then nothing of ours is left. What the plan does not speak of stays as it is.
pub(super) fn next(
    policy: &ValidatedPolicy,
    plan: &Plan,
    verdict: &Verdict<'_>,
    standing: Standing,
    old: Option<&Targets>,
) -> Targets {
    let empty = Targets::default();
    let Targets { buckets, roles, egress } = old.unwrap_or(&empty);
    let old_buckets: BTreeMap<&str, &BucketTargetStatus> = buckets.iter().map(|b| (b.name.as_str(), b)).collect();
    let old_roles: BTreeMap<&str, &RoleTargetStatus> = roles.iter().map(|r| (r.name.as_str(), r)).collect();
    let old_egress: BTreeMap<&str, &EgressTargetStatus> = egress.iter().map(|e| (e.name.as_str(), e)).collect();
    let mut next = Targets::default();
    let named = named(policy);
    let merged = merge(plan.targets());
    let departed: BTreeSet<&Target> = verdict.departed.iter().map(|f| &f.target).collect();
    let stays = |target: &Target, m: &Merged| (m.busy || named.contains(target)) && !departed.contains(target);
    for (target, merged) in merged.iter().filter(|(target, m)| stays(target, m)) {
        // What could not be seen just now keeps the state it was seen in; what is known to be wrong is wrong.
        let unseen = standing == Standing::Fresh && verdict.is_unseen(&target.to_string());
        let keeps = unseen && merged.state == TargetState::Unknown;
        let state = |before: Option<TargetState>| before.filter(|_| keeps).unwrap_or(merged.state);
        let TargetFacts {
            region,
            arn,
            enforcer,
            rung,
            evidence,
        } = merged.facts.clone();
        match target {
            Target::Bucket(name) => {
                let before = old_buckets.get(name.as_str());
                next.buckets.push(BucketTargetStatus {
                    name: name.as_str().to_owned(),
                    region: region.or_else(|| before.and_then(|b| b.region.clone())),
                    selector: policy.selection.selector_of(name).map(ToOwned::to_owned),
                    state: state(before.map(|b| b.state)),
                });
            }
            // It is no resource: nothing of ours hangs on it.
            Target::BucketSelector(_) => {}
            Target::Role(name) => {
                let before = old_roles.get(name.as_str());
                next.roles.push(RoleTargetStatus {
                    name: name.as_str().to_owned(),
                    arn: arn.or_else(|| before.and_then(|r| r.arn.clone())),
                    state: state(before.map(|r| r.state)),
                });
            }
            Target::Egress { rule, namespace: _ } => {
                let before = old_egress.get(rule.as_str());
                let kept = before.filter(|_| unseen);
                next.egress.push(EgressTargetStatus {
                    name: rule.clone(),
                    enforcer: enforcer.or_else(|| kept.and_then(|e| e.enforcer.clone())),
                    rung: rung.or_else(|| kept.and_then(|e| e.rung.clone())),
                    evidence: evidence
                        .map(|e| super::text::shown(&e))
                        .or_else(|| kept.and_then(|e| e.evidence.clone())),
                    state: state(before.map(|e| e.state)),
                });
            }
        }
    }
    let spoken_of: BTreeSet<String> = merged.keys().map(ToString::to_string).collect();
    let silent = |kind: &str, name: &str| !spoken_of.contains(&format!("{kind}/{name}"));
    let kept = buckets.iter().filter(|b| silent("bucket", &b.name));
    next.buckets.extend(kept.cloned());
    next.roles
        .extend(roles.iter().filter(|r| silent("role", &r.name)).cloned());
    next.egress
        .extend(egress.iter().filter(|e| silent("egress", &e.name)).cloned());
    next.buckets.sort_by(|a, b| a.name.cmp(&b.name));
    next.roles.sort_by(|a, b| a.name.cmp(&b.name));
    next.egress.sort_by(|a, b| a.name.cmp(&b.name));
    bound(&mut next.buckets, MAX_BUCKETS, |b| {
        old_buckets.contains_key(b.name.as_str())
    });
    bound(&mut next.roles, MAX_ROLES, |r| old_roles.contains_key(r.name.as_str()));
    bound(&mut next.egress, MAX_EGRESS, |e| {
        old_egress.contains_key(e.name.as_str())
    });
    next
}

/// What an Audit has listed it has only looked at: a policy that enforces from now on takes nothing from whoever holds it.
/// Until its first plan has found out, nothing counts as held by it.
pub(super) fn let_go(status: &mut AIDataProtectionPolicyStatus) {
    let Some(Targets {
        buckets,
        roles,
        egress: _,
    }) = &mut status.targets
    else {
        return;
    };
    let buckets = buckets.iter_mut().map(|b| &mut b.state);
    let roles = roles.iter_mut().map(|r| &mut r.state);
    for state in buckets.chain(roles) {
        *state = TargetState::Conflict;
    }
}

/// Over the schema's bound, new claims wait: what is claimed already is kept, and what is not in the inventory is not
/// written to.
fn bound<T>(list: &mut Vec<T>, max: usize, claimed: impl Fn(&T) -> bool) {
    let mut surplus = list.len().saturating_sub(max);
    if surplus == 0 {
        return;
    }
    let mut kept: Vec<T> = Vec::with_capacity(max);
    for item in list.drain(..).rev() {
        if surplus > 0 && !claimed(&item) {
            surplus -= 1;
        } else {
            kept.push(item);
        }
    }
    kept.reverse();
    kept.truncate(max);
    *list = kept;
}

struct Merged {
    state: TargetState,
    facts: TargetFacts,
    /// There is a finding or something to do.
    busy: bool,
}

/// One entry for each target, by name; an egress rule's namespaces become one entry, with the worst state and the weakest
/// rung.
fn merge(plans: &[TargetPlan]) -> BTreeMap<Target, Merged> {
    let mut out: BTreeMap<Target, Merged> = BTreeMap::new();
    for TargetPlan {
        target,
        state,
        findings,
        actions,
        facts,
    } in plans
    {
        let busy = !findings.is_empty() || !actions.is_empty();
        out.entry(whole(target))
            .and_modify(|m| {
                m.busy |= busy;
                if badness(*state) > badness(m.state) {
                    m.state = *state;
                }
                if rung_index(facts.rung.as_deref()) < rung_index(m.facts.rung.as_deref()) {
                    m.facts = facts.clone();
                }
            })
            .or_insert_with(|| Merged {
                state: *state,
                facts: facts.clone(),
                busy,
            });
    }
    out
}

const fn badness(state: TargetState) -> u8 {
    match state {
        TargetState::Orphaned => 0,
        TargetState::Compliant => 1,
        TargetState::Pending => 2,
        TargetState::Unknown => 3,
        TargetState::Drifted => 4,
        TargetState::Missing => 5,
        TargetState::Conflict => 6,
    }
}

/// Whether the stored inventory holds a target. Nothing is written to a target that it does not hold.
pub fn holds(stored: Option<&AIDataProtectionPolicyStatus>, target: &Target) -> bool {
    let Some(targets) = stored.and_then(|s| s.targets.as_ref()) else {
        return false;
    };
    match target {
        Target::Bucket(name) => targets.buckets.iter().any(|b| b.name == name.as_str()),
        Target::BucketSelector(_) => false,
        Target::Role(name) => targets.roles.iter().any(|r| r.name == name.as_str()),
        Target::Egress { rule, namespace: _ } => targets.egress.iter().any(|e| e.name == *rule),
    }
}

/// Whether the plan writes to a target that the stored inventory does not hold yet: the report must be written first, with
/// the default outcome.
pub fn unclaimed(stored: Option<&AIDataProtectionPolicyStatus>, plan: &Plan) -> bool {
    plan.actions().iter().any(|a| !holds(stored, &a.action.target()))
}
