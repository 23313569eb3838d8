//! `aidp health`: whether an installation works, from where its users are.

use std::process::ExitCode;
use std::time::Duration;

use axum::http::{Request, Uri};
use tokio::time::{Instant, sleep, timeout};

/// How long an installation may take to be ready: pods start, and a Lease left by a replica that is gone runs out.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bound on one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Ask a running operator whether it is ready and one of its replicas leads.
///
/// Waits for that up to 30 s. This is what `helm test` runs. From elsewhere: `kubectl port-forward deployment/aidp 8080` and
/// `aidp health http://localhost:8080`; that reaches one replica, which may not be the one that leads.
#[derive(Debug, clap::Args)]
pub(super) struct Health {
    /// Where the operator's endpoints are, e.g. http://aidp.aidp-system:8080
    url: Uri,
}

impl Health {
    pub(super) fn run(self) -> ExitCode {
        let Self { url } = self;
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("aidp health: the asynchronous runtime: {error}");
                return ExitCode::FAILURE;
            }
        };
        match runtime.block_on(healthy(&url)) {
            Ok(()) => {
                println!("{url} is ready, and a replica leads.");
                ExitCode::SUCCESS
            }
            Err(problem) => {
                eprintln!("aidp health: {url}: {problem}");
                ExitCode::FAILURE
            }
        }
    }
}

async fn healthy(url: &Uri) -> Result<(), String> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let problem = match look(url).await {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        if Instant::now() >= deadline {
            return Err(problem);
        }
        sleep(PAUSE).await;
    }
}

/// One look at one replica: each look is a connection of its own, so that a Service chooses again.
async fn look(url: &Uri) -> Result<(), String> {
    // The client of the Kubernetes API speaks HTTP like any other; the operator brings no second one.
    let mut config = kube::Config::new(url.clone());
    config.connect_timeout = Some(REQUEST_TIMEOUT);
    config.default_retry = false;
    let client = kube::Client::try_from(config).map_err(|error| error.to_string())?;
    get(&client, "/readyz").await?;
    let metrics = get(&client, "/metrics").await?;
    if leads(&metrics) {
        Ok(())
    } else {
        Err("no replica leads; see AidpLeaderMissing in the runbooks".to_owned())
    }
}

async fn get(client: &kube::Client, path: &str) -> Result<String, String> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    match timeout(REQUEST_TIMEOUT, client.request_text(request)).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(kube::Error::Api(status))) => Err(format!("{path} says {}: {}", status.code, status.message.trim())),
        Ok(Err(error)) => Err(format!("{path}: {}", chain(&error))),
        Err(_) => Err(format!("{path}: no answer within {} s", REQUEST_TIMEOUT.as_secs())),
    }
}

/// An error with its causes: what refused a connection is told by the innermost.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn leads(metrics: &str) -> bool {
    metrics.lines().any(|line| line == "aidp_leader 1")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::http::{router, serve};
    use crate::metrics::Metrics;
    use crate::readiness::{Gate, Readiness};

    /// The operator's own endpoints.
    async fn endpoints(readiness: &Readiness, metrics: &Arc<Metrics>) -> Uri {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router(readiness.clone(), metrics.clone());
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        url.parse().unwrap()
    }

    #[tokio::test]
    async fn healthy_is_ready_and_led_and_what_is_missing_is_told() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (readiness, metrics) = (Readiness::default(), Arc::new(Metrics::new()));
        let url = endpoints(&readiness, &metrics).await;
        let unready = look(&url).await;
        assert_eq!(
            unready,
            Err("/readyz says 503: api-server: starting\ncrd: starting".to_owned())
        );
        readiness.open(Gate::ApiServer);
        readiness.open(Gate::Crd);
        let problem = look(&url).await.unwrap_err();
        assert!(problem.starts_with("no replica leads"), "{problem}");
        metrics.controller.leads(true);
        assert_eq!(look(&url).await, Ok(()));
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_with_its_cause() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let problem = look(&url).await.unwrap_err();
        assert!(
            problem.starts_with("/readyz: ") && problem.contains("refused"),
            "{problem}"
        );
    }
}
