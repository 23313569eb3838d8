//! What every reconcile of one term of leadership shares.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::account::Accounts;
use super::claims::Claims;
use super::events::Events;
use super::memory::{Memory, Notes};
use super::metrics::ControllerMetrics;
use super::object::Policies;
use crate::api::{self, AIDataProtectionPolicy};
use crate::aws::WriteGuard;
use crate::cluster::{Cluster, KubeMetrics, NamespaceSeen, NetworkPolicySeen, PodSeen};
use crate::config::{ClusterFacts, Config};
use crate::domain::egress::Selector;
use crate::domain::egress::desired::label_selector;
use crate::domain::names::BucketName;
use crate::domain::policy::{Conflicts, Selection};

/// A policy as the watch gives it: one that does not decode must not stop the others.
pub(super) type Guarded = DeserializeGuard<AIDataProtectionPolicy>;

/// Where the time of day comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a controller is made of.
#[derive(Clone)]
pub struct Parts {
    /// Client for everything but the Lease.
    pub client: kube::Client,
    /// AWS.
    pub accounts: Arc<dyn Accounts>,
    /// Who allows writes.
    pub guard: Arc<dyn WriteGuard>,
    /// Configuration.
    pub config: Config,
    /// What was found out at start.
    pub facts: ClusterFacts,
    /// Name of this replica, for events.
    pub instance: String,
    /// Metrics of calls to the API server.
    pub kube_metrics: KubeMetrics,
    /// Metrics of reconciles.
    pub metrics: ControllerMetrics,
    /// Clock.
    pub clock: Clock,
}

/// What every reconcile shares.
pub(super) struct Context {
    pub policies: Policies,
    pub cluster: Cluster,
    pub accounts: Arc<dyn Accounts>,
    pub guard: Arc<dyn WriteGuard>,
    pub config: Config,
    pub facts: ClusterFacts,
    pub metrics: ControllerMetrics,
    pub events: Events,
    pub clock: Clock,
    /// The operator stops: nothing new is begun.
    pub stopping: CancellationToken,
    /// Policies as last seen by the watch: for triggers and claims only.
    pub store: Store<Guarded>,
    memories: Mutex<BTreeMap<String, Memory>>,
    notes: Mutex<BTreeMap<String, Notes>>,
    /// Pods of the namespaces that policies look after, by uid, with a fingerprint of their labels: most of what happens to
    /// a pod changes no label.
    pods: Mutex<HashMap<String, u64>>,
    pods_wanted: Notify,
}

/// Most pods whose labels are remembered (~100 bytes each); when there are more, all count as changed once.
const KNOWN_PODS: usize = 100_000;

impl Context {
    pub fn new(parts: Parts, store: Store<Guarded>, stopping: CancellationToken) -> Self {
        let Parts {
            client,
            accounts,
            guard,
            config,
            facts,
            instance,
            kube_metrics,
            metrics,
            clock,
        } = parts;
        Self {
            policies: Policies::new(client.clone(), kube_metrics.clone()),
            cluster: Cluster::new(client.clone(), kube_metrics.clone(), config.network_enforcer.clone()),
            events: Events::new(client, instance, kube_metrics),
            accounts,
            guard,
            config,
            facts,
            metrics,
            clock,
            stopping,
            store,
            memories: Mutex::default(),
            notes: Mutex::default(),
            pods: Mutex::default(),
            pods_wanted: Notify::new(),
        }
    }

    pub fn memories(&self) -> MutexGuard<'_, BTreeMap<String, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn notes(&self) -> MutexGuard<'_, BTreeMap<String, Notes>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy is gone.
    pub fn forget(&self, name: &str) {
        self.memories().remove(name);
        self.notes().remove(name);
        self.metrics.forget(name);
    }

    /// Forgets whatever the store does not hold.
    pub fn forget_missing(&self) {
        let known: Vec<String> = self.memories().keys().chain(self.notes().keys()).cloned().collect();
        for name in known {
            if self.store.get(&ObjectRef::new(&name)).is_none() {
                self.forget(&name);
            }
        }
    }

    /// What other policies hold of what this one names, or its selectors found; noted, to see when that changes.
    pub fn conflicts(&self, policy: &AIDataProtectionPolicy) -> Conflicts {
        let others = self.all_claims();
        let conflicts = self.claims(policy).conflicts(&others);
        self.notes().entry(policy.name_any()).or_default().conflicts = conflicts.clone();
        conflicts
    }

    /// Buckets of this policy's inventory that another policy names and holds.
    pub fn held_elsewhere(&self, policy: &AIDataProtectionPolicy) -> BTreeSet<BucketName> {
        let name = policy.name_any();
        let mut others = self.all_claims();
        others.retain(|claims| claims.name() != name);
        let inventory = policy.status.iter().filter_map(|s| s.targets.as_ref());
        let buckets = inventory.flat_map(|t| &t.buckets);
        buckets
            .filter_map(|bucket| BucketName::new(&bucket.name).ok())
            .filter(|bucket| others.iter().any(|claims| claims.names_and_holds(bucket)))
            .collect()
    }

    /// Which buckets a policy's selectors found: it claims them like those that it names.
    pub fn note_selected(&self, policy: &str, selection: &Selection) {
        let selected = selection.origins.keys().cloned().collect();
        self.notes().entry(policy.to_owned()).or_default().selected = selected;
    }

    fn claims(&self, policy: &AIDataProtectionPolicy) -> Claims {
        let claims = Claims::of(policy, self.config.max_mode);
        match self.notes().get(&policy.name_any()) {
            Some(notes) => claims.wanting(&notes.selected),
            None => claims,
        }
    }

    fn all_claims(&self) -> Vec<Claims> {
        let policies = self.store.state();
        let decoded = policies.iter().filter_map(|guarded| guarded.0.as_ref().ok());
        decoded.map(|p| self.claims(p)).collect()
    }

    /// Policies for which it has changed who holds what; each is to be reconciled.
    pub fn claims_moved(&self) -> Vec<ObjectRef<Guarded>> {
        let waiting: Vec<(String, Conflicts)> = self
            .notes()
            .iter()
            .filter(|(_, notes)| !notes.conflicts.is_empty() && !notes.claims)
            .map(|(name, notes)| (name.clone(), notes.conflicts.clone()))
            .collect();
        if waiting.is_empty() {
            return Vec::new();
        }
        let all = self.all_claims();
        let moved: Vec<String> = waiting
            .into_iter()
            .filter(|(name, known)| {
                let own = all.iter().find(|claims| claims.name() == name);
                own.is_some_and(|own| own.conflicts(&all) != *known)
            })
            .map(|(name, _)| name)
            .collect();
        self.note(&moved, |notes| notes.claims = true)
    }

    /// Policies to which it matters that this namespace appeared, changed or went.
    pub fn namespace_moved(&self, seen: &NamespaceSeen) -> Vec<ObjectRef<Guarded>> {
        self.cluster.namespace_moved(seen);
        let policies = self.store.state();
        let concerned: Vec<String> = policies
            .iter()
            .filter_map(|guarded| guarded.0.as_ref().ok())
            .filter(|policy| {
                let matched = |selector: &api::Selector| {
                    Selector::parse(&label_selector(selector)).is_ok_and(|s| s.matches(&seen.labels))
                };
                policy.spec.egress.iter().any(|rule| matched(&rule.namespace_selector)) || {
                    let notes = self.notes();
                    let known = notes.get(&policy.name_any());
                    known.is_some_and(|notes| notes.namespaces.contains(&seen.name))
                }
            })
            .map(ResourceExt::name_any)
            .collect();
        self.note(&concerned, |notes| notes.moved = true)
    }

    /// Policies to which it matters that this NetworkPolicy appeared, changed or went: the one that it belongs to, and those
    /// that look after its namespace.
    pub fn network_policy_moved(&self, seen: &NetworkPolicySeen) -> Vec<ObjectRef<Guarded>> {
        self.cluster.network_policy_moved(seen);
        let mut concerned = self.looking_after(&seen.namespace);
        // A label is anybody's to write: a name that is no policy's leads nowhere.
        let owner = seen
            .policy
            .iter()
            .filter(|p| self.store.get(&ObjectRef::new(p)).is_some());
        concerned.extend(owner.cloned());
        let names: Vec<String> = concerned.into_iter().collect();
        self.note(&names, |notes| notes.moved = true)
    }

    /// Policies to which it matters what happened to this pod. That it is ready, or anything else that is no label, matters
    /// to none.
    pub fn pod_moved(&self, seen: &PodSeen) -> Vec<ObjectRef<Guarded>> {
        let (namespace, changed) = match seen {
            PodSeen::Relisted => {
                self.pods().clear();
                return Vec::new();
            }
            PodSeen::There { namespace, .. } | PodSeen::Gone { namespace, .. }
                if self.looking_after(namespace).is_empty() =>
            {
                return Vec::new();
            }
            PodSeen::There { namespace, uid, labels } => {
                let hash = fingerprint(labels);
                let mut known = self.pods();
                if known.len() >= KNOWN_PODS {
                    known.clear();
                }
                (namespace, known.insert(uid.clone(), hash) != Some(hash))
            }
            PodSeen::Gone { namespace, uid } => (namespace, self.pods().remove(uid).is_some()),
        };
        if !changed {
            return Vec::new();
        }
        self.cluster.pods_moved(namespace);
        let names: Vec<String> = self.looking_after(namespace).into_iter().collect();
        self.note(&names, |notes| notes.stirred = true)
    }

    /// Waits until some policy is about pods.
    pub async fn has_pods_to_watch(&self) {
        self.pods_wanted.notified().await;
    }

    /// A policy was seen.
    pub fn policy_seen(&self, guarded: &Guarded) {
        if guarded.0.as_ref().is_ok_and(|policy| !policy.spec.egress.is_empty()) {
            self.pods_wanted.notify_one();
        }
    }

    fn looking_after(&self, namespace: &str) -> BTreeSet<String> {
        let notes = self.notes();
        let concerned = notes.iter().filter(|(_, notes)| notes.namespaces.contains(namespace));
        concerned.map(|(name, _)| name.clone()).collect()
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, names: &[String], note: impl Fn(&mut Notes)) -> Vec<ObjectRef<Guarded>> {
        let mut all = self.notes();
        for name in names {
            note(all.entry(name.clone()).or_default());
        }
        names.iter().map(|name| ObjectRef::new(name)).collect()
    }
}

/// Equal labels, equal number; for this process only.
fn fingerprint(labels: &BTreeMap<String, String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    hasher.finish()
}
