//! What enforces NetworkPolicy in this cluster.

use super::Cluster;
use crate::config::NetworkEnforcer;
use crate::domain::observed::{EnforcerObservation, Read};

impl Cluster {
    /// What the configuration states.
    pub(super) async fn enforcer(&self) -> Read<EnforcerObservation> {
        std::future::ready(Ok(match &self.enforcer {
            NetworkEnforcer::Stated(name) => EnforcerObservation::Found {
                name: name.clone(),
                evidence: "stated by configuration".to_owned(),
            },
            NetworkEnforcer::Detect => EnforcerObservation::Unknown,
        }))
        .await
    }
}
