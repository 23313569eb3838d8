//! The operator as a process: start, terms of leadership, end.
//!
//! Order at the end: readiness fails, intake stops, what is under way ends (bounded), the Lease is released, the endpoints
//! close. What is missing at the start (API server, CRD) is waited for, not died of. A part that ends though nobody asked it
//! to ends the process with an error, and all its work at once.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::aws::{AccountAccess, AwsSettings, CaBundleError, Sessions};
use crate::cluster::Cluster;
use crate::config::{AccountConfig, AccountGuard, Accounts, ClusterFacts, Config};
use crate::controller::{self, Parts};
use crate::domain::observed::{CallError, ErrorClass};
use crate::http;
use crate::leader::{Election, Leadership, LeaseSettings};
use crate::metrics::Metrics;
use crate::readiness::{Gate, Readiness};
use crate::telemetry;
use crate::vital::{EndedEarly, Vital};

/// How long reconciles may go on after the end was asked for.
const DRAIN: Duration = Duration::from_secs(20);
/// Pause between looks at something that is missing at the start.
const PAUSE: Duration = Duration::from_secs(2);
/// Namespace assumed where neither configuration nor ServiceAccount says which it is.
const NAMESPACE: &str = "aidp-system";

/// What the operator cannot start or go on without.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The operating system refused.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// No way to the API server is configured.
    #[error("no configuration for the Kubernetes API found (neither KUBECONFIG nor a ServiceAccount): {0}")]
    Kubeconfig(Box<dyn std::error::Error + Send + Sync>),
    /// The API server refuses what the operator needs to start.
    #[error("{0}; the chart's ClusterRole (charts/aidp/templates/rbac.yaml) has the rights that the operator needs")]
    Refused(CallError),
    /// `AWS_CA_BUNDLE`.
    #[error(transparent)]
    CaBundle(#[from] CaBundleError),
    /// A part of the operator.
    #[error(transparent)]
    EndedEarly(#[from] EndedEarly),
}

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// [`OperatorError`] if it cannot start, or a part of it has died.
pub fn run(config: Config) -> Result<(), OperatorError> {
    // Which crypto provider is the default must not depend on which crate asks first. An error says that one is set.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if telemetry::init(config.log_format, &config.log_filter).is_err() {
        warn!("A log subscriber was installed before.");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(system("the asynchronous runtime"))?;
    runtime.block_on(operate(config))
}

fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> OperatorError {
    let what = what.into();
    move |source| OperatorError::System { what, source }
}

async fn operate(config: Config) -> Result<(), OperatorError> {
    let readiness = Readiness::default();
    let stop = CancellationToken::new();
    let signals = on_signal(readiness.clone(), stop.clone())?;
    let metrics = Arc::new(Metrics::new());
    let address = config.listen_address;
    let listener = TcpListener::bind(address)
        .await
        .map_err(system(format!("listening on {address}")))?;
    let serving = CancellationToken::new();
    let router = http::router(readiness.clone(), metrics.clone());
    let endpoints = Vital::spawn("the HTTP server", http::serve(listener, router, serving.clone()));
    info!(version = env!("CARGO_PKG_VERSION"), %address, max_mode = ?config.max_mode, "Starting.");

    let mut parts = [endpoints, signals];
    let work = Box::pin(lead(config, metrics, readiness, stop));
    until_one_ends(&mut parts, work).await?;
    serving.cancel();
    let [endpoints, _signals] = parts;
    endpoints.end(Duration::from_secs(2)).await?;
    info!("Stopped.");
    Ok(())
}

/// `work`, unless one of the parts ends before it: then all of it is dropped where it stands.
async fn until_one_ends(
    parts: &mut [Vital],
    work: impl Future<Output = Result<(), OperatorError>>,
) -> Result<(), OperatorError> {
    let ends: FuturesUnordered<_> = parts.iter_mut().map(Vital::ended).collect();
    tokio::select! {
        biased;
        result = work => result,
        (Some(ended), _) = ends.into_future() => Err(ended.into()),
    }
}

/// Waits for what the cluster has to have, then campaigns and works until `stop`.
async fn lead(
    config: Config,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<(), OperatorError> {
    let kubernetes = kubernetes_config().await?;
    let client = client(&kubernetes)?;
    let started = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        started = prepare(&config, &kubernetes, &client, &metrics, &readiness) => started,
    };
    let (facts, sessions) = started?;
    let identity = identity();
    let lease_client = self::client(&kubernetes)?;
    let lease = Api::<Lease>::namespaced(lease_client, &facts.operator_namespace);
    let settings = LeaseSettings {
        name: config.lease_name.clone(),
        identity: identity.clone(),
        duration: config.lease_duration,
    };
    let (election, leadership) = Election::new(lease, settings, readiness.clone(), Arc::new(jiff::Timestamp::now));
    let parts = Parts {
        client,
        accounts: Arc::new(sessions),
        guard: Arc::new(leadership.clone()),
        config,
        facts,
        instance: identity,
        kube_metrics: metrics.kube.clone(),
        metrics: metrics.controller.clone(),
        clock: Arc::new(jiff::Timestamp::now),
    };
    let term = || controller::run(parts.clone(), readiness.clone(), stop.child_token());
    campaign(election, leadership, stop.clone(), term).await
}

/// Runs the election, and `term` for as long as it is won, until `stop`; then gives the Lease back.
async fn campaign<T: Future<Output = ()>>(
    election: Election,
    leadership: Leadership,
    stop: CancellationToken,
    term: impl Fn() -> T,
) -> Result<(), OperatorError> {
    let campaigning = CancellationToken::new();
    let campaign = election.run(campaigning.clone()).map(Ok::<(), Infallible>);
    let mut election = Vital::spawn("the leader election", campaign);
    until_one_ends(std::slice::from_mut(&mut election), terms(leadership, stop, term)).await?;
    campaigning.cancel();
    // It releases the Lease, within a bound of its own.
    election.end(DRAIN).await.map_err(OperatorError::from)
}

/// Leads, loses the leadership, leads again, until `stop`.
async fn terms<T: Future<Output = ()>>(
    mut leadership: Leadership,
    stop: CancellationToken,
    term: impl Fn() -> T,
) -> Result<(), OperatorError> {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            () = leadership.acquired() => {}
        }
        tokio::select! {
            () = term() => if !stop.is_cancelled() {
                let how = "it came to its end".to_owned();
                return Err(EndedEarly { what: "the controller", how }.into());
            },
            // Dropped as it is: whoever leads now does the rest.
            () = leadership.lost() => warn!("Leadership is lost; all work is dropped."),
            () = async { stop.cancelled().await; sleep(DRAIN).await } => {
                warn!("Not everything ended in time.");
            }
        }
    }
    Ok(())
}

/// On SIGTERM or SIGINT readiness fails, and then `stop` is cancelled.
fn on_signal(readiness: Readiness, stop: CancellationToken) -> Result<Vital, OperatorError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(system("a handler for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("a handler for SIGINT"))?;
    Ok(Vital::spawn("the handler of signals", async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("Stopping.");
        readiness.close(Gate::Running, "stopping");
        stop.cancel();
        // Its work is done, and that is no reason to stop more quickly.
        std::future::pending::<Result<(), Infallible>>().await
    }))
}

/// Inside a cluster its ServiceAccount, unless `KUBECONFIG` says otherwise; elsewhere the user's kubeconfig.
async fn kubernetes_config() -> Result<kube::Config, OperatorError> {
    let inside = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && std::env::var_os("KUBECONFIG").is_none();
    let mut config = if inside {
        kube::Config::incluster().map_err(|e| OperatorError::Kubeconfig(Box::new(e)))?
    } else {
        kube::Config::infer()
            .await
            .map_err(|e| OperatorError::Kubeconfig(Box::new(e)))?
    };
    // Repetition is decided in one place: by the controller's backoff.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(config)
}

fn client(config: &kube::Config) -> Result<kube::Client, OperatorError> {
    kube::Client::try_from(config.clone()).map_err(|e| OperatorError::Kubeconfig(Box::new(e)))
}

/// Waits for API server and CRD, and finds out what the configuration leaves open.
async fn prepare(
    config: &Config,
    kubernetes: &kube::Config,
    client: &kube::Client,
    metrics: &Metrics,
    readiness: &Readiness,
) -> Result<(ClusterFacts, Sessions), OperatorError> {
    loop {
        match controller::crd_served(client, &metrics.kube).await {
            Ok(()) => break,
            Err(error) => {
                wait_for(&error, readiness)?;
                warn!(%error, "Waiting for the API server to serve AIDataProtectionPolicies.");
                sleep(PAUSE).await;
            }
        }
    }
    readiness.open(Gate::ApiServer);
    readiness.open(Gate::Crd);
    let cluster = Cluster::new(client.clone(), metrics.kube.clone(), config.network_enforcer.clone());
    let cluster_id = loop {
        if let Some(id) = &config.cluster_id {
            break id.clone();
        }
        match cluster.uid().await {
            Ok(Some(uid)) => break uid,
            Ok(None) => warn!("Namespace kube-system has no uid; waiting."),
            Err(error) => {
                wait_for(&error, readiness)?;
                warn!(%error, "Waiting for namespace kube-system.");
            }
        }
        sleep(PAUSE).await;
    };
    let sessions = Sessions::load(&aws_settings(config), &metrics.aws).await?;
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let found = in_cluster.then(|| kubernetes.default_namespace.clone());
    let facts = ClusterFacts {
        cluster_id,
        operator_namespace: config
            .operator_namespace
            .clone()
            .or(found)
            .unwrap_or_else(|| NAMESPACE.to_owned()),
        s3_over_plaintext: sessions.s3_over_plaintext(),
    };
    info!(
        cluster_id = facts.cluster_id,
        namespace = facts.operator_namespace,
        "Ready to lead."
    );
    Ok((facts, sessions))
}

/// Closes the gate that a failure at start is about; what will not pass by itself ends the start.
fn wait_for(error: &CallError, readiness: &Readiness) -> Result<(), OperatorError> {
    match error.class {
        ErrorClass::AccessDenied | ErrorClass::Credentials => return Err(OperatorError::Refused(error.clone())),
        ErrorClass::NotFound => {
            readiness.open(Gate::ApiServer);
            readiness.close(
                Gate::Crd,
                "the CustomResourceDefinition is missing; apply it: aidp crd | kubectl apply -f -",
            );
        }
        ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Unsupported | ErrorClass::Terminal => {
            readiness.close(Gate::ApiServer, error.to_string());
        }
    }
    Ok(())
}

pub(crate) fn aws_settings(config: &Config) -> AwsSettings {
    let accounts = match &config.accounts {
        Accounts::Default => Vec::new(),
        Accounts::Listed(accounts) => accounts
            .values()
            .map(|account| {
                let AccountConfig {
                    id,
                    role_arn,
                    external_id,
                    allowed_buckets: _,
                    allowed_kms_accounts: _,
                    role_boundary_arn: _,
                } = account.clone();
                AccountAccess {
                    id,
                    role_arn,
                    external_id,
                    region: None,
                }
            })
            .collect(),
    };
    AwsSettings {
        accounts,
        account_guard_off: config.account_guard == AccountGuard::Disabled,
        ..AwsSettings::default()
    }
}

/// Who we are, unique to this process: the pod's name and when it started.
fn identity() -> String {
    let host = std::env::var("POD_NAME")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "aidp".to_owned());
    format!(
        "{host}_{}_{:x}",
        std::process::id(),
        jiff::Timestamp::now().as_nanosecond()
    )
}

#[cfg(test)]
mod tests;
