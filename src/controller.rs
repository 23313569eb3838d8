//! The controller: watches policies and what they are about, and keeps each of them true.
//!
//! Lives here: when a policy is reconciled, in which steps, what is remembered in between, and who holds what. Does not live
//! here: what is right (`domain`), and how AWS and Kubernetes are reached (`aws`, `cluster`).

mod account;
mod backoff;
mod claims;
mod context;
mod enforce;
mod events;
mod leave;
mod memory;
mod metrics;
mod object;
mod observe;
mod pass;
mod reconcile;
mod report;
mod rest;
mod undecodable;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt, future, stream};
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event, watcher};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, error, info_span, warn};

pub use account::{Account, Accounts};
pub use context::{Clock, Parts};
pub use metrics::ControllerMetrics;

use crate::cluster::{self, KubeMetrics, WATCH_SECONDS};
use crate::domain::observed::Read;
use crate::readiness::{Gate, Readiness};
use context::{Context, Guarded};
use object::Policies;

/// Objects a page of the list of policies: they may be large.
const PAGE: u32 = 50;
/// Pause after a reconcile that panicked.
const AFTER_PANIC: Duration = Duration::from_mins(5);

/// Whether the CRD is served.
///
/// # Errors
/// [`crate::domain::observed::ErrorClass::NotFound`] if it is not there; other classes if that can't be told.
pub async fn crd_served(client: &kube::Client, metrics: &KubeMetrics) -> Read<()> {
    Policies::new(client.clone(), metrics.clone()).served().await
}

/// Reconciles for as long as this replica leads and until `stop`, then ends what is under way and returns. Dropping the
/// future ends everything at once.
pub async fn run(parts: Parts, readiness: Readiness, stop: CancellationToken) {
    let concurrency = parts.config.concurrency.get();
    let client = parts.client.clone();
    let metrics = parts.metrics.clone();
    let (store, writer) = reflector::store();
    let ctx = Arc::new(Context::new(parts, store.clone(), stop.clone()));
    metrics.leads(true);
    let _lead = Lead {
        metrics,
        readiness: readiness.clone(),
    };

    let policies = policies(client.clone(), writer, ctx.clone(), readiness).boxed();
    let namespaces = {
        let ctx = ctx.clone();
        cluster::namespaces(client.clone()).flat_map(move |seen| stream::iter(ctx.namespace_moved(&seen)))
    };
    let network_policies = {
        let ctx = ctx.clone();
        cluster::network_policies(client.clone()).flat_map(move |seen| stream::iter(ctx.network_policy_moved(&seen)))
    };
    let pods = {
        // A cluster whose policies are about buckets only is not asked for its pods.
        let (ctx, wanted) = (ctx.clone(), ctx.clone());
        stream::once(async move { wanted.has_pods_to_watch().await })
            .flat_map(move |()| cluster::pods(client.clone()))
            .flat_map(move |seen| stream::iter(ctx.pod_moved(&seen)))
    };
    let queue = stream::select_all([policies, namespaces.boxed(), network_policies.boxed(), pods.boxed()])
        .take_until(stop.cancelled_owned())
        .map(Ok::<_, Infallible>);
    applier(
        spawned,
        |_, never: &Infallible, _| match *never {},
        ctx,
        store,
        queue,
        Config::default().concurrency(concurrency),
    )
    .for_each(|result| {
        if let Err(error) = result {
            // A policy that is gone by now; anything else can't happen.
            debug!(%error, "Not reconciled.");
        }
        future::ready(())
    })
    .await;
}

/// A reconcile as a task of its own: a plan over thousands of buckets takes time on a processor.
fn spawned(object: Arc<Guarded>, ctx: Arc<Context>) -> future::BoxFuture<'static, Result<Action, Infallible>> {
    let span = info_span!("reconcile", policy = object.name_any());
    let task = AbortOnDropHandle::new(tokio::spawn(reconcile::reconcile(object, ctx).instrument(span)));
    task.map(|ended| {
        ended.unwrap_or_else(|panic| {
            error!(error = %panic, "A reconcile panicked: a bug in the operator.");
            Ok(Action::requeue(AFTER_PANIC))
        })
    })
    .boxed()
}

/// Policies as they appear, change and go. Never ends.
fn policies(
    client: kube::Client,
    writer: reflector::store::Writer<Guarded>,
    ctx: Arc<Context>,
    readiness: Readiness,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send {
    let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
    watcher(Api::<Guarded>::all(client), config)
        .default_backoff()
        .modify(slim)
        .reflect(writer)
        .map(move |event| {
            note_served(&readiness, &event);
            match event {
                Ok(event) => on_event(&ctx, &event),
                Err(error) => {
                    warn!(%error, "The watch on policies failed; it is tried again.");
                    Vec::new()
                }
            }
        })
        .flat_map(stream::iter)
}

/// What the watch on policies says about the CRD.
fn note_served(readiness: &Readiness, seen: &watcher::Result<Event<Guarded>>) {
    match seen {
        Ok(Event::Apply(_) | Event::Delete(_) | Event::InitApply(_) | Event::InitDone) => readiness.open(Gate::Crd),
        Err(error) if is_missing(error) => readiness.close(Gate::Crd, "the CustomResourceDefinition is missing"),
        // `Init` is said before anything is asked of the API server; of a connection that broke, a watch that goes on where
        // it left off says nothing.
        Ok(Event::Init) | Err(_) => {}
    }
}

/// Whether the API server does not know the resource.
fn is_missing(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        // By code: for a path that it does not serve the API server answers in plain text, without a reason.
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// What the store need not hold: the reconcile reads the object itself.
fn slim(guarded: &mut Guarded) {
    if let Ok(policy) = &mut guarded.0 {
        policy.metadata.managed_fields = None;
        if let Some(status) = &mut policy.status {
            status.findings.clear();
            status.history.clear();
        }
    }
}

fn on_event(ctx: &Context, event: &Event<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let own = match event {
        Event::Apply(object) | Event::InitApply(object) => {
            ctx.policy_seen(object);
            Some(ObjectRef::from_obj(object))
        }
        Event::Delete(object) => {
            ctx.forget(&object.name_any());
            None
        }
        Event::Init => None,
        Event::InitDone => {
            ctx.forget_missing();
            None
        }
    };
    own.into_iter().chain(ctx.claims_moved()).collect()
}

/// A term of leadership. However it ends, this replica then shows no policy, and, not watching any more, does not stay
/// unready over a CRD that may have come back.
struct Lead {
    metrics: ControllerMetrics,
    readiness: Readiness,
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.metrics.leads(false);
        self.readiness.open(Gate::Crd);
    }
}

#[cfg(test)]
mod tests;
