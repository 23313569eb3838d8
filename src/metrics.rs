//! The operator's metrics: one registry, every metric with a bounded set of label values.
//!
//! Lives here: what is measured, under which name. Does not live here: when (the code that does the work) and how it is
//! served (`http`).

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::cluster::KubeMetrics;
use crate::controller::ControllerMetrics;

/// Everything that is measured.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Calls to AWS.
    pub aws: AwsMetrics,
    /// Calls to the Kubernetes API.
    pub kube: KubeMetrics,
    /// Reconciles.
    pub controller: ControllerMetrics,
}

impl Metrics {
    /// An empty registry with every metric registered, all under the prefix `aidp_`.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("aidp");
        let aws = AwsMetrics::register(&mut registry);
        let kube = KubeMetrics::register(&mut registry);
        let controller = ControllerMetrics::register(&mut registry);
        Self {
            registry,
            aws,
            kube,
            controller,
        }
    }

    /// The OpenMetrics text exposition.
    ///
    /// # Errors
    /// [`fmt::Error`] if a metric cannot be encoded.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Labels of `aidp_aws_calls_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    account: String,
    service: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

/// Labels of `aidp_aws_call_duration_seconds`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    account: String,
    service: &'static str,
    operation: &'static str,
}

/// Calls to AWS: how many, how they ended, how long they took. A call is one operation, with the repetitions that the SDK
/// makes of a read.
#[derive(Clone, Debug)]
pub struct AwsMetrics {
    calls: Family<CallLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

/// From a fast answer to the deadline of an operation, seconds.
const CALL_BUCKETS: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

impl AwsMetrics {
    /// Adds the metrics to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let calls = Family::default();
        let durations: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(|| Histogram::new(CALL_BUCKETS));
        registry.register("aws_calls", "AWS operations by outcome", calls.clone());
        registry.register_with_unit(
            "aws_call_duration",
            "Duration of AWS operations, repetitions included",
            Unit::Seconds,
            durations.clone(),
        );
        Self { calls, durations }
    }

    /// Counts one call. `account` must come from the operator's configuration, so that the label stays bounded.
    pub fn observe(
        &self,
        account: &str,
        service: &'static str,
        operation: &'static str,
        outcome: &'static str,
        elapsed: Duration,
    ) {
        let labels = CallLabels {
            account: account.to_owned(),
            service,
            operation,
            outcome,
        };
        self.calls.get_or_create(&labels).inc();
        let labels = DurationLabels {
            account: account.to_owned(),
            service,
            operation,
        };
        self.durations.get_or_create(&labels).observe(elapsed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_exposed_by_account_service_operation_and_outcome() {
        let metrics = Metrics::new();
        let elapsed = Duration::from_millis(40);
        metrics
            .aws
            .observe("123456789012", "s3", "GetBucketPolicy", "success", elapsed);
        let text = metrics.encode().unwrap();
        let counter = r#"aidp_aws_calls_total{account="123456789012",service="s3",operation="GetBucketPolicy",outcome="success"} 1"#;
        assert!(text.contains(counter), "{text}");
        let bucket = r#"aidp_aws_call_duration_seconds_bucket{le="0.05",account="123456789012",service="s3",operation="GetBucketPolicy"} 1"#;
        assert!(text.contains(bucket), "{text}");
    }
}
