//! What was read of the cluster lately. A watch says what has become stale; the rest still serves when something moves, so
//! that one change costs a few requests whatever the size of the cluster. Every sweep reads everything anew.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::watch::NetworkPolicySeen;
use crate::domain::observed::{
    AdminObservation, CallError, NamespaceObservation, PluginPolicy, PodObservation, ResolverObservation,
    ServiceAccountObservation,
};
use crate::shelf::Shelf;

/// How old readings may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Of what a watch follows: namespaces, NetworkPolicies, pods.
    pub watched: Duration,
    /// Of everything else.
    pub polled: Duration,
}

impl Ages {
    /// Everything is read now.
    pub const FRESH: Self = Self {
        watched: Duration::ZERO,
        polled: Duration::ZERO,
    };
}

/// Longest that a reading serves, whatever the interval.
const KEPT: Duration = Duration::from_hours(1);
/// Most namespaces whose readings are kept; those beyond are read anew each time.
const NAMESPACES: usize = 10_000;
/// Most selectors, or policies, whose readings are kept.
const POLICIES: usize = 1_000;

/// A list that is shared, not copied.
pub(super) type Kept<T> = Arc<Vec<T>>;

/// The readings of one operator.
pub(super) struct Readings {
    /// Namespaces by selector, as the API server takes it.
    pub matching: Shelf<String, Kept<NamespaceObservation>, CallError>,
    /// Namespaces by name; None = gone.
    pub namespaces: Shelf<String, Option<NamespaceObservation>, CallError>,
    /// Namespaces in which NetworkPolicies of ours lie, by policy.
    pub ours: Shelf<String, Kept<String>, CallError>,
    /// By namespace.
    pub network_policies: Shelf<String, Kept<NetworkPolicy>, CallError>,
    /// By namespace.
    pub pods: Shelf<String, Kept<PodObservation>, CallError>,
    /// By policy and generation.
    pub service_accounts: Shelf<(String, i64), Kept<ServiceAccountObservation>, CallError>,
    pub admin_policies: Shelf<(), Kept<AdminObservation>, CallError>,
    pub plugin_policies: Shelf<(), Kept<PluginPolicy>, CallError>,
    pub resolvers: Shelf<(), ResolverObservation, CallError>,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            matching: Shelf::keeping(POLICIES, KEPT),
            namespaces: Shelf::keeping(NAMESPACES, KEPT),
            ours: Shelf::keeping(POLICIES, KEPT),
            network_policies: Shelf::keeping(NAMESPACES, KEPT),
            pods: Shelf::keeping(NAMESPACES, KEPT),
            service_accounts: Shelf::keeping(POLICIES, KEPT),
            admin_policies: Shelf::keeping(1, KEPT),
            plugin_policies: Shelf::keeping(1, KEPT),
            resolvers: Shelf::keeping(1, KEPT),
        }
    }
}

impl Readings {
    pub fn namespace_moved(&self, name: &str) {
        self.matching.invalidate_all();
        self.namespaces.invalidate(&name.to_owned());
    }

    pub fn network_policy_moved(&self, seen: &NetworkPolicySeen) {
        self.network_policies.invalidate(&seen.namespace);
        if let Some(policy) = &seen.policy {
            self.ours.invalidate(policy);
        }
    }

    pub fn pods_moved(&self, namespace: &str) {
        self.pods.invalidate(&namespace.to_owned());
    }
}
