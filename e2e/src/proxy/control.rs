//! The control API over HTTP, for scripts. Tests use [`Proxy`](super::Proxy)'s methods.
//!
//! | request | does |
//! | --- | --- |
//! | `GET /_proxy/calls?since=N` | the calls since sequence number N, as a JSON list |
//! | `GET /_proxy/counts` | calls by `service:Operation` |
//! | `POST /_proxy/reset` | forgets calls and faults, disarms the kill switch |
//! | `POST /_proxy/faults` | adds the fault in the body |
//! | `DELETE /_proxy/faults` | removes every fault |
//! | `POST /_proxy/kill` | `{"pid": 1, "afterWrites": 2}`: arms the kill switch |
//! | `DELETE /_proxy/kill` | disarms it |

use std::sync::Arc;

use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::fault::Fault;
use super::log::{Call, Counts, State};

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kill {
    pid: u32,
    after_writes: u32,
}

pub(super) async fn serve(listener: TcpListener, state: Arc<State>) {
    let router = Router::new()
        .route("/_proxy/calls", get(calls))
        .route("/_proxy/counts", get(counts))
        .route("/_proxy/reset", post(reset))
        .route("/_proxy/faults", post(inject).delete(heal))
        .route("/_proxy/kill", post(arm).delete(disarm))
        .with_state(state);
    // Serving ends with the proxy; an error has nobody left to hear it.
    let _ = axum::serve(listener, router).await;
}

async fn calls(Shared(state): Shared<Arc<State>>, Query(Since { since }): Query<Since>) -> Json<Vec<Call>> {
    Json(state.calls().into_iter().filter(|call| call.seq >= since).collect())
}

async fn counts(Shared(state): Shared<Arc<State>>) -> Json<Counts> {
    Json(state.counts())
}

async fn reset(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.reset();
    StatusCode::NO_CONTENT
}

async fn inject(Shared(state): Shared<Arc<State>>, Json(fault): Json<Fault>) -> StatusCode {
    state.inject(fault);
    StatusCode::NO_CONTENT
}

async fn heal(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.heal();
    StatusCode::NO_CONTENT
}

async fn arm(Shared(state): Shared<Arc<State>>, Json(Kill { pid, after_writes }): Json<Kill>) -> StatusCode {
    state.arm(pid, after_writes);
    StatusCode::NO_CONTENT
}

async fn disarm(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.disarm();
    StatusCode::NO_CONTENT
}
