//! The one way to the API server: every call has a deadline, a metric and a span, and its failure a class.

use std::future::Future;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, debug, debug_span};

use crate::domain::observed::{CallError, ErrorClass, Read};

/// Deadline of one call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest message kept of an answer, characters.
const MAX_MESSAGE: usize = 512;

/// Labels of `aidp_kube_calls_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: &'static str,
    outcome: &'static str,
}

/// Labels of `aidp_kube_call_duration_seconds`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    operation: &'static str,
}

/// Calls to the API server: how many, how they ended, how long they took. Watches are not counted.
#[derive(Clone, Debug)]
pub struct KubeMetrics {
    calls: Family<CallLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

/// From an answer out of the cache to the deadline, seconds.
const BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

impl KubeMetrics {
    /// Adds the metrics to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let calls = Family::default();
        let durations: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register("kube_calls", "Calls to the Kubernetes API by outcome", calls.clone());
        registry.register_with_unit(
            "kube_call_duration",
            "Duration of calls to the Kubernetes API",
            Unit::Seconds,
            durations.clone(),
        );
        Self { calls, durations }
    }

    fn observe(&self, operation: &'static str, outcome: &'static str, elapsed: Duration) {
        self.calls.get_or_create(&CallLabels { operation, outcome }).inc();
        self.durations
            .get_or_create(&DurationLabels { operation })
            .observe(elapsed.as_secs_f64());
    }
}

/// One call, within [`CALL_TIMEOUT`].
pub(crate) async fn call<T>(
    metrics: &KubeMetrics,
    operation: &'static str,
    request: impl Future<Output = kube::Result<T>>,
) -> Read<T> {
    call_within(metrics, operation, CALL_TIMEOUT, request).await
}

/// One call, within a deadline of its own: what is left of the lease, for a write.
pub(crate) async fn call_within<T>(
    metrics: &KubeMetrics,
    operation: &'static str,
    within: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Read<T> {
    let started = Instant::now();
    let span = debug_span!("kube", operation);
    let result = match timeout(within, request.instrument(span)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(classify(operation, &error)),
        Err(_) => Err(CallError {
            operation,
            class: ErrorClass::Transient,
            code: Some("Timeout".to_owned()),
            message: format!("no answer within {} s", within.as_secs()),
        }),
    };
    let outcome = result.as_ref().map_or_else(|e| class_label(e.class), |_| "success");
    metrics.observe(operation, outcome, started.elapsed());
    result.inspect_err(|error| debug!(%error, operation, "A call to the Kubernetes API failed."))
}

const fn class_label(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::AccessDenied => "access_denied",
        ErrorClass::Credentials => "credentials",
        ErrorClass::NotFound => "not_found",
        ErrorClass::Throttled => "throttled",
        ErrorClass::Transient => "transient",
        ErrorClass::Unsupported => "unsupported",
        ErrorClass::Terminal => "terminal",
    }
}

pub(super) fn classify(operation: &'static str, error: &kube::Error) -> CallError {
    let (class, code, message) = match error {
        kube::Error::Api(status) => {
            let class = match status.code {
                // A namespace that is going away refuses what is created in it as "forbidden"; nobody need grant anything.
                403 if status.message.contains("being terminated") => ErrorClass::Transient,
                401 => ErrorClass::Credentials,
                403 => ErrorClass::AccessDenied,
                404 => ErrorClass::NotFound,
                405 | 406 | 415 | 501 => ErrorClass::Unsupported,
                429 => ErrorClass::Throttled,
                // Conflict, or a list that took too long to page through.
                409 | 410 => ErrorClass::Transient,
                400..=499 => ErrorClass::Terminal,
                _ => ErrorClass::Transient,
            };
            (class, Some(status.reason.clone()), status.message.clone())
        }
        other => (ErrorClass::Transient, None, other.to_string()),
    };
    CallError {
        operation,
        class,
        code: code.filter(|c| !c.is_empty()),
        message: message.chars().take(MAX_MESSAGE).collect(),
    }
}

/// Whether the object changed since it was read.
pub(crate) fn is_conflict(error: &CallError) -> bool {
    error.code.as_deref() == Some("Conflict")
}

/// Whether the object is gone.
pub(crate) fn is_not_found(error: &CallError) -> bool {
    error.class == ErrorClass::NotFound
}
