//! `/metrics`, `/livez` and `/readyz` on one port.
//!
//! Readiness is not liveness: `/readyz` says whether the operator can do its work, `/livez` only that the process turns.
//! Restarting the operator makes neither a missing CRD nor the API server appear.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Something the operator needs to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// The API server answers.
    ApiServer,
    /// The CRD is served.
    Crd,
    /// The operator is not stopping.
    Running,
}

impl Gate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ApiServer => "api-server",
            Self::Crd => "crd",
            Self::Running => "running",
        }
    }
}

/// What is open and what is not, shared by all who know.
#[derive(Clone, Debug)]
pub struct Readiness {
    closed: Arc<Mutex<BTreeMap<Gate, String>>>,
}

impl Default for Readiness {
    /// Nothing is known yet, so nothing is ready.
    fn default() -> Self {
        let starting = || "starting".to_owned();
        Self {
            closed: Arc::new(Mutex::new(BTreeMap::from([
                (Gate::ApiServer, starting()),
                (Gate::Crd, starting()),
            ]))),
        }
    }
}

impl Readiness {
    /// The gate is open.
    pub fn open(&self, gate: Gate) {
        self.lock().remove(&gate);
    }

    /// The gate is closed, and why.
    pub fn close(&self, gate: Gate, reason: impl Into<String>) {
        self.lock().insert(gate, reason.into());
    }

    /// Ready, or else every closed gate with its reason, one a line.
    ///
    /// # Errors
    /// The text for a human.
    pub fn check(&self) -> Result<(), String> {
        let closed = self.lock();
        if closed.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = closed
            .iter()
            .map(|(gate, reason)| format!("{}: {reason}", gate.as_str()))
            .collect();
        Err(lines.join("\n") + "\n")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Gate, String>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The three endpoints.
pub fn router(readiness: Readiness, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(exposition).with_state(metrics))
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    match readiness.check() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(closed) => (StatusCode::SERVICE_UNAVAILABLE, closed),
    }
}

async fn exposition(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    match metrics.encode() {
        Ok(text) => (
            StatusCode::OK,
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Serves until `stop`, then lets open requests end.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_ready_before_the_api_server_and_the_crd_were_seen() {
        let readiness = Readiness::default();
        assert_eq!(
            readiness.check(),
            Err("api-server: starting\ncrd: starting\n".to_owned())
        );
        readiness.open(Gate::ApiServer);
        readiness.open(Gate::Crd);
        assert_eq!(readiness.check(), Ok(()));
    }

    #[test]
    fn shutdown_makes_a_ready_operator_unready() {
        let readiness = Readiness::default();
        readiness.open(Gate::ApiServer);
        readiness.open(Gate::Crd);
        readiness.close(Gate::Running, "stopping");
        assert_eq!(readiness.check(), Err("running: stopping\n".to_owned()));
    }

    #[tokio::test]
    async fn livez_answers_while_readyz_refuses() {
        let readiness = Readiness::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(
            listener,
            router(readiness, Arc::new(Metrics::new())),
            stop.clone(),
        ));
        assert!(request(address, "/livez").await.starts_with("HTTP/1.1 200"));
        assert!(request(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        assert!(request(address, "/metrics").await.contains("# EOF"));
        stop.cancel();
        server.await.unwrap().unwrap();
    }

    async fn request(address: std::net::SocketAddr, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}
