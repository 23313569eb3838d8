//! What enforces NetworkPolicy in this cluster: the facts, read; the judgement is `domain::egress::enforcer`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1;
use k8s_openapi::api::core::v1::{ConfigMap, Container as PodContainer};
use kube::api::{Api, ListParams};
use tokio::time::Instant;
use tracing::warn;

use super::call::{call, is_not_found};
use super::{Cluster, list};
use crate::config::NetworkEnforcer;
use crate::domain::egress::enforcer::{CONFIG_MAPS, ClusterFacts, Container, DaemonSet, Enforcer, NAMESPACES, detect};
use crate::domain::observed::{EnforcerObservation, ErrorClass, Read};

/// How long what was found is believed: enforcers come and go with maintenance, not with a sweep.
const BELIEVED: Duration = Duration::from_mins(1);

impl Cluster {
    /// What the configuration states, else what is found.
    pub(super) async fn enforcer(&self) -> Read<EnforcerObservation> {
        match &self.enforcer {
            NetworkEnforcer::Stated(name) => Ok(Some(&Enforcer::stated(name)).into()),
            NetworkEnforcer::Detect => {
                // Held while it is looked for: one look serves all who wait.
                let mut found = self.found.lock().await;
                if let Some((at, enforcer)) = &*found
                    && at.elapsed() < BELIEVED
                {
                    return Ok(enforcer.clone());
                }
                let at = Instant::now();
                let enforcer = self.detect().await?;
                *found = Some((at, enforcer.clone()));
                Ok(enforcer)
            }
        }
    }

    async fn detect(&self) -> Read<EnforcerObservation> {
        match self.facts().await {
            Ok(facts) => Ok(detect(&facts).as_ref().into()),
            // Whoever does not let us look leaves us not knowing; that is no failure of everything else.
            Err(error) if error.class == ErrorClass::AccessDenied => {
                warn!(%error, "What enforces NetworkPolicy cannot be looked for; name it with networkEnforcer.");
                Ok(EnforcerObservation::Unknown)
            }
            Err(error) => Err(error),
        }
    }

    async fn facts(&self) -> Read<ClusterFacts> {
        let groups = call(&self.metrics, "get apis", self.client.list_api_groups()).await?;
        let mut facts = ClusterFacts {
            api_groups: groups.groups.into_iter().map(|g| g.name).collect(),
            ..ClusterFacts::default()
        };
        for namespace in NAMESPACES {
            let api: Api<v1::DaemonSet> = Api::namespaced(self.client.clone(), namespace);
            let params = ListParams::default();
            let found = list::all(&self.metrics, "list daemonsets", &params, |page| {
                let api = api.clone();
                async move { api.list(&page).await }
            })
            .await?;
            facts.daemon_sets.extend(found.into_iter().filter_map(daemon_set));
        }
        for (namespace, name) in CONFIG_MAPS {
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
            match call(&self.metrics, "get configmaps", api.get(name)).await {
                Ok(found) => {
                    let key = (namespace.to_owned(), name.to_owned());
                    facts.config_maps.insert(key, found.data.unwrap_or_default());
                }
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(facts)
    }
}

fn daemon_set(found: v1::DaemonSet) -> Option<DaemonSet> {
    let pod = found.spec?.template.spec?;
    let status = found.status.unwrap_or_default();
    Some(DaemonSet {
        namespace: found.metadata.namespace?,
        name: found.metadata.name?,
        containers: pod.containers.into_iter().map(container).collect(),
        desired: status.desired_number_scheduled,
        ready: status.number_ready,
    })
}

fn container(found: PodContainer) -> Container {
    let mut args = found.command.unwrap_or_default();
    args.extend(found.args.unwrap_or_default());
    let env: BTreeMap<String, String> = found
        .env
        .unwrap_or_default()
        .into_iter()
        .filter_map(|variable| Some((variable.name, variable.value?)))
        .collect();
    Container { args, env }
}
