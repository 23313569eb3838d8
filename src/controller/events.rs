//! Events on policies: after the status, best effort. They report something that has happened already.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::warn;

use crate::api::{AIDataProtectionPolicy, FIELD_MANAGER};
use crate::cluster::{KubeMetrics, call};
use crate::domain::report;

/// Most series remembered; beyond it all are forgotten, which costs an event its count.
const MAX_SERIES: usize = 4096;

/// What Kubernetes counts repeats by: policy, reason, action.
type Series = (String, &'static str, String);

/// Sends events.
pub(super) struct Events {
    client: kube::Client,
    reporter: Reporter,
    recorder: Recorder,
    metrics: KubeMetrics,
    /// The note last sent of each series. The recorder would repeat an old note under a new count.
    notes: Mutex<BTreeMap<Series, String>>,
}

impl Events {
    pub fn new(client: kube::Client, instance: String, metrics: KubeMetrics) -> Self {
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: Some(instance),
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter.clone()),
            client,
            reporter,
            metrics,
            notes: Mutex::default(),
        }
    }

    /// Publishes; what fails is logged and lost.
    pub async fn publish(&self, policy: &AIDataProtectionPolicy, events: &[report::Event]) {
        let regarding = policy.object_ref(&());
        for event in events {
            let report::Event {
                event_type,
                reason,
                action,
                note,
            } = event;
            let same = self.is_repeat(&regarding.uid.clone().unwrap_or_default(), event);
            let fresh = (!same).then(|| Recorder::new(self.client.clone(), self.reporter.clone()));
            let recorder = fresh.as_ref().unwrap_or(&self.recorder);
            let event = Event {
                type_: match event_type {
                    report::EventType::Normal => EventType::Normal,
                    report::EventType::Warning => EventType::Warning,
                },
                reason: reason.as_str().to_owned(),
                note: Some(note.clone()),
                action: action.clone(),
                secondary: None,
            };
            let request = recorder.publish(&event, &regarding);
            if let Err(error) = call(&self.metrics, "create events", request).await {
                warn!(%error, reason = event.reason, "Failed to publish an event.");
            }
        }
    }

    /// Whether the last event of this series had the same note.
    fn is_repeat(&self, policy: &str, event: &report::Event) -> bool {
        let series = (policy.to_owned(), event.reason.as_str(), event.action.clone());
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= MAX_SERIES {
            notes.clear();
        }
        notes.insert(series, event.note.clone()).as_ref() == Some(&event.note)
    }
}
