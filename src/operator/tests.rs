use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::api::Api;

use super::*;
use crate::leader::tests::Server;

/// Work that says when it was dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn candidate(wall: crate::leader::WallClock) -> (Election, Leadership) {
    let settings = LeaseSettings {
        name: "aidp".to_owned(),
        identity: "me".to_owned(),
        duration: Duration::from_secs(10),
    };
    let api = Api::namespaced(Server::default().client(), "aidp-system");
    Election::new(api, settings, Readiness::default(), wall)
}

/// The part that ended, and how.
fn ended(result: Result<(), OperatorError>) -> (&'static str, String) {
    match result {
        Err(OperatorError::EndedEarly(EndedEarly { what, how })) => (what, how),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_election_that_panics_ends_the_operator_with_an_error_and_its_writes_at_once() {
    let (leads, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let leading = leads.clone();
    // It breaks for the election, which is a task of its own, once the replica leads.
    let wall = move || {
        let broken = tokio::task::try_id().is_some() && leading.load(Ordering::Relaxed);
        assert!(!broken, "the clock is broken");
        jiff::Timestamp::now()
    };
    let (election, leadership) = candidate(Arc::new(wall));
    let guard = leadership.clone();
    let term = || {
        assert!(guard.permit().is_some());
        leads.store(true, Ordering::Relaxed);
        let work = Dropped(dropped.clone());
        async move {
            let _work = work;
            pending::<()>().await;
        }
    };
    let (what, how) = ended(campaign(election, leadership.clone(), CancellationToken::new(), term).await);
    assert_eq!(
        (what, how.as_str()),
        ("the leader election", "it panicked: the clock is broken")
    );
    assert!(dropped.load(Ordering::Relaxed), "the work of the term goes on");
    assert_eq!(
        leadership.permit(),
        None,
        "the permission to write outlives the election"
    );
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_comes_to_its_end_ends_the_operator() {
    let (election, leadership) = candidate(Arc::new(jiff::Timestamp::now));
    let term = || std::future::ready(());
    let (what, how) = ended(campaign(election, leadership, CancellationToken::new(), term).await);
    assert_eq!((what, how.as_str()), ("the controller", "it came to its end"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_campaign_without_an_error() {
    let (election, leadership) = candidate(Arc::new(jiff::Timestamp::now));
    let stop = CancellationToken::new();
    let term = || {
        stop.cancel();
        std::future::ready(())
    };
    assert!(campaign(election, leadership, stop.clone(), term).await.is_ok());
}

#[tokio::test]
async fn endpoints_that_die_end_the_operator_and_all_its_work() {
    let dropped = Arc::new(AtomicBool::new(false));
    let work = Dropped(dropped.clone());
    let work = async move {
        let _work = work;
        pending().await
    };
    let endpoints = Vital::spawn("the HTTP server", async { Err::<(), _>("too many open files") });
    let others = Vital::spawn("the handler of signals", pending::<Result<(), Infallible>>());
    let (what, how) = ended(until_one_ends(&mut [others, endpoints], work).await);
    assert_eq!((what, how.as_str()), ("the HTTP server", "too many open files"));
    assert!(dropped.load(Ordering::Relaxed));
}
