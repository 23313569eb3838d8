//! Whose a role is. Ours bears our path and our tags; everything else is somebody else's and is not written.

use crate::domain::observed::RoleObservation;
use crate::domain::policy::{ROLE_PATH, TAG_ADOPT, TAG_MANAGED_BY, ValidatedPolicy};

/// Whose a role is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Made by this cluster's operator.
    Created,
    /// Made by somebody else, taken over by this cluster's operator, and still tagged for this policy. Never deleted.
    Adopted,
    /// Made by somebody else, and tagged to be taken over by this policy.
    Adoptable,
    /// Managed by another cluster's operator, by its id.
    OtherCluster(String),
    /// None of these: with what it lacks.
    Foreign(String),
}

/// Judges by path and tags. The tag `aidp.dev/adopt` is an administrator's consent, given in AWS: a policy can't give it to
/// itself, and once it is withdrawn nothing more is written to the role.
pub fn ownership(policy: &ValidatedPolicy, role: &RoleObservation) -> Ownership {
    let ours = match role.tags.get(TAG_MANAGED_BY) {
        Some(cluster) if *cluster == policy.settings.cluster_id => true,
        Some(cluster) => return Ownership::OtherCluster(cluster.clone()),
        None => false,
    };
    match (role.tags.get(TAG_ADOPT), ours, role.path == ROLE_PATH) {
        (Some(name), true, _) if *name == policy.name => Ownership::Adopted,
        (Some(name), false, _) if *name == policy.name => Ownership::Adoptable,
        (Some(name), _, _) => Ownership::Foreign(format!("tag {TAG_ADOPT}={name}")),
        (None, true, true) => Ownership::Created,
        (None, _, false) => Ownership::Foreign(format!("path {}", role.path)),
        (None, false, true) => Ownership::Foreign(format!("no tag {TAG_MANAGED_BY}")),
    }
}
