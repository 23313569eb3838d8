//! The choke point: every call to AWS goes through here, and gets a place in the budget, a deadline, a metric, a span and
//! an error class.

use std::error::Error;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use super::budget::{Budgets, Lanes};
use super::classify::{Failure, classify};
use super::service::Service;
use crate::domain::observed::ErrorClass;
use crate::metrics::AwsMetrics;

/// Longest wait for a place in the budget.
const MAX_QUEUEING: Duration = Duration::from_mins(1);
/// Deadline of one call, repetitions of a read included. The SDK's own (30 s) comes first; this one also covers the loading
/// of credentials.
pub(super) const DEADLINE: Duration = Duration::from_secs(35);

/// Deadline of a look-up of a host's addresses.
const LOOK_UP: Duration = Duration::from_secs(5);

/// This replica may not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLeader;

/// Who allows writes. Asked right before every single one.
pub trait WriteGuard: Send + Sync {
    /// How long writes are allowed from now on: what is left of the lease.
    ///
    /// # Errors
    /// [`NotLeader`] if they are not.
    fn permit(&self) -> Result<Duration, NotLeader>;
}

/// Why a write is not known to have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    /// Nothing was sent.
    NotLeader,
    /// It failed, or its answer is not known.
    Failed(Failure),
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A request of the SDK's that has not been sent yet.
type Request<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send + 'a>>;

/// The choke point of one account.
pub(super) struct Caller {
    label: String,
    lanes: Lanes,
    metrics: AwsMetrics,
}

impl Caller {
    /// `label` is the account as metrics name it; from the configuration, so bounded.
    pub fn new(label: String, budgets: &Budgets, metrics: AwsMetrics) -> Self {
        Self {
            label,
            lanes: Lanes::new(budgets),
            metrics,
        }
    }

    /// One read.
    pub fn read<'a, T: 'a, E>(
        &'a self,
        service: Service,
        operation: &'static str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send + 'a,
    ) -> impl Future<Output = Result<T, Failure>> + Send + 'a
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        // Boxed before anything else: the SDK's futures are tens of kilobytes, and would be copied into every caller's.
        let request: Request<'a, T, E> = Box::pin(request);
        async move {
            let _place = self.queue(service, operation).await?;
            self.send(service, operation, DEADLINE, request).await
        }
    }

    /// One write: not sent unless `guard` allows it at that moment, and not waited for longer than it does.
    pub fn write<'a, T: 'a, E>(
        &'a self,
        service: Service,
        operation: &'static str,
        guard: &'a dyn WriteGuard,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send + 'a,
    ) -> impl Future<Output = Result<T, WriteError>> + Send + 'a
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let request: Request<'a, T, E> = Box::pin(request);
        async move {
            let _place = self.queue(service, operation).await?;
            let allowed = guard.permit().map_err(|NotLeader| WriteError::NotLeader)?;
            Ok(self.send(service, operation, allowed.min(DEADLINE), request).await?)
        }
    }

    /// The addresses of a host of AWS's; the way there is no call, but counted like one.
    pub async fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        const OPERATION: &str = "LookUpHost";
        let span = tracing::debug_span!("aws_look_up", account = self.label, host);
        let started = Instant::now();
        let looked_up = tokio::net::lookup_host((host, 443)).instrument(span.clone());
        let result = match timeout(LOOK_UP, looked_up).await {
            Ok(Ok(addresses)) => Ok(addresses.map(|a| a.ip()).collect()),
            Ok(Err(error)) => Err(format!("{host} has no address: {error}")),
            Err(_) => Err(format!("no address of {host} within {} s", LOOK_UP.as_secs())),
        };
        let result = result.map_err(|message| Failure::new(OPERATION, ErrorClass::Transient, message));
        let _entered = span.entered();
        self.counted("dns", OPERATION, started.elapsed(), result)
    }

    async fn queue(&self, service: Service, operation: &'static str) -> Result<SemaphorePermit<'_>, Failure> {
        if let Ok(Ok(place)) = timeout(MAX_QUEUEING, self.lanes.of(service).place()).await {
            return Ok(place);
        }
        let service = service.as_str();
        let message = format!("not sent: the operator's own request budget for {service} is used up");
        Err(Failure::new(operation, ErrorClass::Throttled, message))
    }

    async fn send<T, E>(
        &self,
        service: Service,
        operation: &'static str,
        deadline: Duration,
        request: Request<'_, T, E>,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let span = tracing::debug_span!("aws_call", account = self.label, service = service.as_str(), operation);
        let started = Instant::now();
        let result = match timeout(deadline, request.instrument(span.clone())).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => Err(classify(operation, &error)),
            Err(_) => Err(Failure::new(
                operation,
                ErrorClass::Transient,
                format!("no answer within {} s", deadline.as_secs()),
            )),
        };
        let _entered = span.entered();
        self.counted(service.as_str(), operation, started.elapsed(), result)
    }

    /// The metric, and the failure's line in the log, in the current span.
    fn counted<T>(
        &self,
        service: &'static str,
        operation: &'static str,
        elapsed: Duration,
        result: Result<T, Failure>,
    ) -> Result<T, Failure> {
        let outcome = match &result {
            Ok(_) => "success",
            Err(failure) => outcome_label(failure.error.class),
        };
        self.metrics.observe(&self.label, service, operation, outcome, elapsed);
        if let Err(Failure { error, .. }) = &result {
            tracing::debug!(outcome, code = error.code, message = error.message, "AWS call failed.");
        }
        result
    }
}

/// The class as a metric label.
const fn outcome_label(class: ErrorClass) -> &'static str {
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
