//! Whose a role is. Ours bears our path and our tags; everything else is somebody else's and is not written.

use crate::domain::observed::RoleObservation;
use crate::domain::policy::{ROLE_PATH, TAG_MANAGED_BY, ValidatedPolicy};

/// Whose a role is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Made by this cluster's operator.
    Ours,
    /// Made by another cluster's operator, by its id.
    OtherCluster(String),
    /// Neither: with what it lacks.
    Foreign(String),
}

/// Judges by path and by the tag `aidp.dev/managed-by`.
pub fn ownership(policy: &ValidatedPolicy, role: &RoleObservation) -> Ownership {
    if role.path != ROLE_PATH {
        return Ownership::Foreign(format!("path {}", role.path));
    }
    match role.tags.get(TAG_MANAGED_BY) {
        Some(cluster) if *cluster == policy.settings.cluster_id => Ownership::Ours,
        Some(cluster) => Ownership::OtherCluster(cluster.clone()),
        None => Ownership::Foreign(format!("no tag {TAG_MANAGED_BY}")),
    }
}
