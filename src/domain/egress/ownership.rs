//! Which NetworkPolicies are ours: the labels that say so.

use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::api::FIELD_MANAGER;
use crate::domain::policy::ValidatedPolicy;

/// Label on every NetworkPolicy of ours, with value [`FIELD_MANAGER`] (kubernetes.io, "Recommended labels").
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: name of the AIDataProtectionPolicy.
pub const LABEL_POLICY: &str = "aidp.dev/policy";
/// Label: name of the egress rule.
pub const LABEL_RULE: &str = "aidp.dev/rule";

fn label<'a>(object: &'a NetworkPolicy, key: &str) -> Option<&'a str> {
    object.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Is it a NetworkPolicy of this policy?
pub(super) fn is_ours(policy: &ValidatedPolicy, object: &NetworkPolicy) -> bool {
    label(object, LABEL_MANAGED_BY) == Some(FIELD_MANAGER) && label(object, LABEL_POLICY) == Some(policy.name.as_str())
}

/// The rule that a NetworkPolicy of ours is for.
pub(super) fn rule_of(object: &NetworkPolicy) -> Option<&str> {
    label(object, LABEL_RULE)
}
