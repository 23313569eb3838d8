use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::jiff::SignedDuration;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// A server that holds one Lease and compares resourceVersions, as the real one does.
#[derive(Clone, Default)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    down: bool,
    /// Everything is answered with 429, as under API priority and fairness.
    busy: bool,
    writes: usize,
}

impl Server {
    pub(crate) fn client(&self) -> kube::Client {
        let server = self.clone();
        kube::Client::new(
            tower::service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move { server.answer(request).await }
            }),
            "aidp-system",
        )
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn holder(&self) -> Option<String> {
        let state = self.state();
        let holder = state.lease.as_ref()?.pointer("/spec/holderIdentity")?.as_str()?;
        Some(holder.to_owned())
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, std::convert::Infallible> {
        if self.state().down {
            std::future::pending::<()>().await;
        }
        if self.state().busy {
            return Ok(Response::builder()
                .status(StatusCode::TOO_MANY_REQUESTS)
                .body(Body::from(
                    serde_json::to_vec(&failure(429, "TooManyRequests")).unwrap(),
                ))
                .unwrap());
        }
        let (parts, body) = request.into_parts();
        let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default();
        let mut state = self.state();
        let version = |v: &Value| v.pointer("/metadata/resourceVersion").cloned();
        let stored = state.lease.clone();
        let (status, answer) = match (parts.method, stored) {
            (Method::GET | Method::PUT, None) => (StatusCode::NOT_FOUND, failure(404, "NotFound")),
            (Method::GET, Some(lease)) => (StatusCode::OK, lease),
            (Method::POST, Some(_)) => (StatusCode::CONFLICT, failure(409, "AlreadyExists")),
            (Method::PUT, Some(lease)) if version(&lease) != version(&body) => {
                (StatusCode::CONFLICT, failure(409, "Conflict"))
            }
            (Method::POST | Method::PUT, _) => {
                state.version += 1;
                state.writes += 1;
                let mut lease = body;
                lease["metadata"]["resourceVersion"] = json!(state.version.to_string());
                state.lease = Some(lease.clone());
                (StatusCode::OK, lease)
            }
            (method, _) => panic!("unexpected {method}"),
        };
        Ok(Response::builder()
            .status(status)
            .body(Body::from(serde_json::to_vec(&answer).unwrap()))
            .unwrap())
    }
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason, "reason": reason, "code": code})
}

struct Replica {
    leadership: Leadership,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    readiness: Readiness,
}

fn replica(server: &Server, identity: &str) -> Replica {
    replica_with(server, identity, Arc::new(Timestamp::now))
}

fn replica_with(server: &Server, identity: &str, wall: WallClock) -> Replica {
    let settings = LeaseSettings {
        name: "aidp".to_owned(),
        identity: identity.to_owned(),
        duration: Duration::from_secs(10),
    };
    let readiness = Readiness::default();
    readiness.open(Gate::Crd);
    let api = Api::namespaced(server.client(), "aidp-system");
    let (election, leadership) = Election::new(api, settings, readiness.clone(), wall);
    let stop = CancellationToken::new();
    let task = tokio::spawn(election.run(stop.clone()));
    Replica {
        leadership,
        stop,
        task,
        readiness,
    }
}

async fn within<T>(seconds: u64, what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(seconds), what).await.expect("in time")
}

#[tokio::test(start_paused = true)]
async fn the_first_candidate_leads_and_the_second_waits() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    let b = replica(&server, "b");
    sleep(Duration::from_mins(1)).await;
    assert!(a.leadership.permit().is_some());
    assert_eq!(b.leadership.permit(), None);
    assert_eq!(server.holder().as_deref(), Some("a"));
    assert_eq!(b.readiness.check(), Ok(()), "a replica that waits is ready");
}

#[tokio::test(start_paused = true)]
async fn a_permission_never_reaches_beyond_the_lease() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    for _ in 0..50 {
        assert!(a.leadership.permit().unwrap() <= Duration::from_secs(9));
        sleep(Duration::from_millis(331)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_replaced_within_15_seconds() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    let mut b = replica(&server, "b");
    sleep(Duration::from_secs(7)).await;
    a.task.abort();
    within(15, b.leadership.acquired()).await;
    assert_eq!(a.leadership.permit(), None);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_is_replaced_within_2_seconds() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    let mut b = replica(&server, "b");
    sleep(Duration::from_secs(7)).await;
    a.stop.cancel();
    within(2, a.task).await.unwrap();
    within(2, b.leadership.acquired()).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_an_api_server_stops_before_its_lease_ends_and_comes_back() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    server.state().down = true;
    within(9, a.leadership.lost()).await;
    assert_eq!(a.leadership.permit(), None);
    sleep(Duration::from_mins(1)).await;
    assert!(a.readiness.check().is_err());
    server.state().down = false;
    within(5, a.leadership.acquired()).await;
    assert_eq!(a.readiness.check(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_only_answered_429_stops_before_its_lease_ends_and_comes_back() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    server.state().busy = true;
    // A storm that is over before the Lease is costs nothing.
    sleep(Duration::from_secs(6)).await;
    assert!(a.leadership.permit().is_some());
    server.state().busy = false;
    sleep(Duration::from_secs(3)).await;
    assert!(a.leadership.permit().is_some());
    server.state().busy = true;
    within(9, a.leadership.lost()).await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(a.leadership.permit(), None);
    assert!(a.readiness.check().is_err());
    server.state().busy = false;
    within(5, a.leadership.acquired()).await;
    assert_eq!(a.readiness.check(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lease_ends_the_leadership_at_the_next_look() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    {
        let mut state = server.state();
        let lease = state.lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        lease["metadata"]["resourceVersion"] = json!("1000");
    }
    within(4, a.leadership.lost()).await;
    assert_eq!(server.holder().as_deref(), Some("thief"), "it is not fought over");
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_the_lease_by_somebody_else_does_not_cost_the_leadership() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    server.state().lease.as_mut().unwrap()["metadata"]["resourceVersion"] = json!("1000");
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        assert!(a.leadership.permit().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_made_again_by_its_holder() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    let b = replica(&server, "b");
    sleep(Duration::from_secs(5)).await;
    server.state().lease = None;
    sleep(Duration::from_secs(30)).await;
    assert!(a.leadership.permit().is_some());
    assert_eq!(b.leadership.permit(), None);
    assert_eq!(server.holder().as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_written_once_per_fifth_of_its_duration() {
    let server = Server::default();
    let mut a = replica(&server, "a");
    within(5, a.leadership.acquired()).await;
    let before = server.state().writes;
    sleep(Duration::from_mins(1)).await;
    let written = server.state().writes - before;
    assert!((29..=31).contains(&written), "{written}");
}

/// A wall clock that runs with the tests' time and can be set.
#[derive(Clone)]
struct Wall {
    start: Instant,
    set_forward: Arc<Mutex<SignedDuration>>,
}

impl Wall {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            set_forward: Arc::default(),
        }
    }

    fn clock(&self) -> WallClock {
        let Self { start, set_forward } = self.clone();
        let noon: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        Arc::new(move || noon + start.elapsed() + *set_forward.lock().unwrap())
    }

    fn set(&self, by: SignedDuration) {
        *self.set_forward.lock().unwrap() += by;
    }
}

#[tokio::test(start_paused = true)]
async fn no_jump_of_the_wall_clock_makes_two_leaders_or_moves_the_lease() {
    let day = SignedDuration::from_hours(24);
    for jump in [day, -day, SignedDuration::from_secs(11), SignedDuration::from_secs(-11)] {
        for jumps_at_leader in [true, false] {
            let (server, there, here) = (Server::default(), Wall::new(), Wall::new());
            let mut a = replica_with(&server, "a", there.clock());
            within(5, a.leadership.acquired()).await;
            let b = replica_with(&server, "b", here.clock());
            sleep(Duration::from_secs(5)).await;
            (if jumps_at_leader { &there } else { &here }).set(jump);
            let jumped = Instant::now();
            let mut back_after = None;
            for _ in 0..300 {
                assert_eq!(b.leadership.permit(), None, "{jump:?}");
                if a.leadership.permit().is_some() {
                    back_after.get_or_insert(jumped.elapsed());
                }
                sleep(Duration::from_millis(100)).await;
            }
            assert!(a.leadership.permit().is_some(), "{jump:?}");
            assert_eq!(server.holder().as_deref(), Some("a"), "{jump:?}");
            // Recovery: by the next renewal, a fifth of the Lease's duration.
            assert!(
                back_after.unwrap() <= Duration::from_secs(2),
                "{jump:?}: {back_after:?}"
            );
        }
    }
}

/// The monotonic clock of a suspended machine stands still, the wall clock does not.
#[tokio::test(start_paused = true)]
async fn a_leader_whose_machine_was_suspended_may_not_write_before_it_has_renewed() {
    let (server, wall) = (Server::default(), Wall::new());
    let mut a = replica_with(&server, "a", wall.clock());
    within(5, a.leadership.acquired()).await;
    assert!(a.leadership.permit().is_some());
    wall.set(SignedDuration::from_secs(10));
    assert_eq!(a.leadership.permit(), None);
    server.state().down = true;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(a.leadership.permit(), None);
    server.state().down = false;
    within(5, a.leadership.acquired()).await;
    assert!(a.leadership.permit().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_time_of_renewal_that_lies_in_the_future_holds_nobody_up() {
    let server = Server::default();
    let far = Wall::new();
    far.set(SignedDuration::from_hours(24 * 365));
    let mut a = replica_with(&server, "a", far.clock());
    within(5, a.leadership.acquired()).await;
    let mut b = replica_with(&server, "b", Wall::new().clock());
    sleep(Duration::from_secs(5)).await;
    a.task.abort();
    within(15, b.leadership.acquired()).await;
}
