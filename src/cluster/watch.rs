//! What moved in the cluster: triggers, not knowledge. Metadata only, and nothing of it is kept.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt, future};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tracing::warn;

use super::list::LIVING;
use crate::api::FIELD_MANAGER;
use crate::domain::egress::ownership::{LABEL_MANAGED_BY, LABEL_POLICY};

/// Length of one watch request, seconds: load balancers drop connections that are idle for longer (Azure: 240 s).
pub(crate) const WATCH_SECONDS: u32 = 200;

/// A namespace appeared, changed or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceSeen {
    /// Name.
    pub name: String,
    /// Its labels now.
    pub labels: BTreeMap<String, String>,
}

/// Namespaces as they appear, change and go. Never ends; a broken watch is mended with backoff, and everything is then
/// seen once more.
pub fn namespaces(client: kube::Client) -> impl Stream<Item = NamespaceSeen> + Send {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    touched(api, watcher::Config::default(), "namespaces").filter_map(|object| {
        let metadata = object.metadata;
        future::ready(metadata.name.map(|name| NamespaceSeen {
            name,
            labels: metadata.labels.unwrap_or_default(),
        }))
    })
}

/// A NetworkPolicy, anybody's, appeared, changed or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicySeen {
    /// Its namespace.
    pub namespace: String,
    /// The policy that its labels say it belongs to. Labels are anybody's to write.
    pub policy: Option<String>,
}

/// NetworkPolicies as they appear, change and go. Never ends.
pub fn network_policies(client: kube::Client) -> impl Stream<Item = NetworkPolicySeen> + Send {
    let api: Api<PartialObjectMeta<NetworkPolicy>> = Api::all(client);
    touched(api, watcher::Config::default(), "networkpolicies").filter_map(|object| {
        let metadata = object.metadata;
        let mut labels = metadata.labels.unwrap_or_default();
        let ours = labels.get(LABEL_MANAGED_BY).map(String::as_str) == Some(FIELD_MANAGER);
        future::ready(metadata.namespace.map(|namespace| NetworkPolicySeen {
            namespace,
            policy: labels.remove(LABEL_POLICY).filter(|_| ours),
        }))
    })
}

/// What happened to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodSeen {
    /// It is there.
    There {
        /// Namespace.
        namespace: String,
        /// Uid.
        uid: String,
        /// Its labels now.
        labels: BTreeMap<String, String>,
    },
    /// It has ended or is gone.
    Gone {
        /// Namespace.
        namespace: String,
        /// Uid.
        uid: String,
    },
    /// Everything is seen once more; what went in between was not seen.
    Relisted,
}

/// Living pods as they appear, change in any way, and end. Never ends.
pub fn pods(client: kube::Client) -> impl Stream<Item = PodSeen> + Send {
    let api: Api<PartialObjectMeta<Pod>> = Api::all(client);
    let config = watcher::Config::default().fields(LIVING).timeout(WATCH_SECONDS);
    watcher(api, config).default_backoff().filter_map(|event| {
        let there = |object: PartialObjectMeta<Pod>| {
            Some(PodSeen::There {
                namespace: object.metadata.namespace?,
                uid: object.metadata.uid?,
                labels: object.metadata.labels.unwrap_or_default(),
            })
        };
        let gone = |object: PartialObjectMeta<Pod>| {
            Some(PodSeen::Gone {
                namespace: object.metadata.namespace?,
                uid: object.metadata.uid?,
            })
        };
        future::ready(match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => there(object),
            Ok(Event::Delete(object)) => gone(object),
            Ok(Event::Init) => Some(PodSeen::Relisted),
            Ok(Event::InitDone) => None,
            Err(error) => {
                warn!(%error, resource = "pods", "A watch failed; it is tried again.");
                None
            }
        })
    })
}

fn touched<K>(
    api: Api<PartialObjectMeta<K>>,
    config: watcher::Config,
    resource: &'static str,
) -> impl Stream<Item = PartialObjectMeta<K>> + Send
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static,
    PartialObjectMeta<K>: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned,
{
    watcher(api, config.timeout(WATCH_SECONDS))
        .default_backoff()
        .filter_map(move |event| {
            future::ready(match event {
                Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => Some(object),
                Ok(Event::Init | Event::InitDone) => None,
                Err(error) => {
                    warn!(%error, resource, "A watch failed; it is tried again.");
                    None
                }
            })
        })
}
