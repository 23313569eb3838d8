//! What moved in the cluster: triggers, not knowledge. Metadata only, and nothing of it is kept.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt, future};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tracing::warn;

use crate::api::FIELD_MANAGER;
use crate::domain::egress::plan::{LABEL_MANAGED_BY, LABEL_POLICY};

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

/// Names of policies whose NetworkPolicies appeared, changed or went; also when only our label was taken off. Never ends.
pub fn network_policies(client: kube::Client) -> impl Stream<Item = String> + Send {
    let api: Api<PartialObjectMeta<NetworkPolicy>> = Api::all(client);
    let config = watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={FIELD_MANAGER}"));
    touched(api, config, "networkpolicies").filter_map(|object| {
        let mut labels = object.metadata.labels.unwrap_or_default();
        future::ready(labels.remove(LABEL_POLICY))
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
