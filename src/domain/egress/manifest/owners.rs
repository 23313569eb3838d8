//! Whose pods they are: replicas count as what made them, once.

use std::collections::{BTreeMap, BTreeSet};

use super::{PodShape, WorkloadName};

/// The most owners over each other: a Pod's Job, its CronJob, and what operators put above.
const MAX_OWNERS: usize = 8;
/// The label by which a Deployment tells its ReplicaSets apart; their names end with its value.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Something with a controlling owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// The owner.
    pub owner: WorkloadName,
    /// A pod that sends nothing any more.
    pub ended: bool,
}

/// Lists what has an owner as that owner's. A template says what the next pods look like, and the pods what there is now:
/// one of which somebody has changed a label is another one for policies, so both count.
pub(super) fn merge(workloads: &mut BTreeMap<WorkloadName, BTreeSet<PodShape>>, owned: &BTreeMap<WorkloadName, Owned>) {
    let given: BTreeSet<WorkloadName> = workloads.keys().cloned().collect();
    for (name, Owned { owner: _, ended }) in owned {
        let Some(top) = top(name, owned, &given, workloads) else {
            continue;
        };
        let is_pod = name.kind == "Pod";
        let known = given.contains(&top);
        if !known && !is_pod {
            continue;
        }
        let shapes = workloads.remove(name).unwrap_or_default();
        if is_pod && !(known && *ended) {
            workloads.entry(top).or_default().extend(shapes);
        }
    }
}

/// The uppermost owner that is among the manifests, else the next one; None without an owner, or if owners own each other.
fn top(
    name: &WorkloadName,
    owned: &BTreeMap<WorkloadName, Owned>,
    given: &BTreeSet<WorkloadName>,
    workloads: &BTreeMap<WorkloadName, BTreeSet<PodShape>>,
) -> Option<WorkloadName> {
    let mut at = name.clone();
    for _ in 0..MAX_OWNERS {
        let Some(Owned { owner, .. }) = owned.get(&at) else {
            return (at != *name).then_some(at);
        };
        if given.contains(owner) {
            at = owner.clone();
        } else if let Some(deployment) = deployment(owner, workloads.get(&at)).filter(|d| given.contains(d)) {
            at = deployment;
        } else {
            return Some(if at == *name { owner.clone() } else { at });
        }
    }
    None
}

/// The Deployment that made a ReplicaSet that is not among the manifests, as the labels of its pods tell.
fn deployment(owner: &WorkloadName, shapes: Option<&BTreeSet<PodShape>>) -> Option<WorkloadName> {
    let hash = shapes?.first()?.labels.get(TEMPLATE_HASH)?;
    let name = owner.name.strip_suffix(hash)?.strip_suffix('-')?;
    (owner.kind == "ReplicaSet").then(|| WorkloadName {
        namespace: owner.namespace.clone(),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
    })
}
