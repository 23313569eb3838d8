//! Leader election on one Lease, and the permission to write that follows from it.
//!
//! Only the leader writes. Each renewal gives a permission that ends on the local monotonic clock before anybody else may
//! take over; whoever writes asks for what is left of it right before sending, and bounds the call by it. A leader that
//! cannot renew therefore stops by itself, without being told, and becomes a candidate again.
//!
//! The permission ends on the wall clock too, whichever comes first: the monotonic clock stands still while a machine is
//! suspended, and the Lease does not. A wall clock that is set forward costs the permission until the next renewal; one
//! that is set back changes nothing.

mod decide;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::aws::{NotLeader, WriteGuard};
use crate::readiness::{Gate, Readiness};
use decide::{Decision, Sight, decide, look, validity};

/// How long releasing the Lease may take at shutdown.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the time of day comes from.
pub type WallClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where the Lease is and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Name of the Lease.
    pub name: String,
    /// Who we are; unique to this process.
    pub identity: String,
    /// How long a renewal holds.
    pub duration: Duration,
}

impl LeaseSettings {
    /// Pause between two renewals: five fit into the duration of the Lease.
    fn period(&self) -> Duration {
        self.duration / 5
    }

    /// Pause between two looks of a candidate that waits: short enough to find a released Lease soon.
    fn candidate_period(&self) -> Duration {
        self.duration / 10
    }

    /// Bound on one request: two fit into the duration with time to spare.
    fn request_timeout(&self) -> Duration {
        self.duration * 3 / 10
    }
}

/// When a permission to write ends: at the earlier of the two.
#[derive(Clone, Copy, Debug)]
struct Permission {
    until: Instant,
    wall_until: Timestamp,
}

impl Permission {
    /// From a renewal that was sent at `before` and holds for `validity`. None beyond the end of time.
    fn new(before: Instant, wall_before: Timestamp, validity: Duration) -> Option<Self> {
        Some(Self {
            until: before.checked_add(validity)?,
            wall_until: wall_before.checked_add(validity).ok()?,
        })
    }

    fn left(self, now: Instant, wall_now: Timestamp) -> Option<Duration> {
        let left = self.until.checked_duration_since(now)?;
        let wall_left = Duration::try_from(self.wall_until.duration_since(wall_now)).ok()?;
        Some(left.min(wall_left)).filter(|left| *left > Duration::ZERO)
    }
}

/// The leadership of this process, as seen from outside the election. Cheap to clone.
#[derive(Clone)]
pub struct Leadership {
    permission: watch::Receiver<Option<Permission>>,
    wall: WallClock,
}

impl Leadership {
    /// How long this process may still write; None if it may not. A permission dies with the election that gave it: nobody
    /// would take it back.
    pub fn permit(&self) -> Option<Duration> {
        self.permission.has_changed().ok()?;
        let permission = *self.permission.borrow();
        permission.and_then(|permission| permission.left(Instant::now(), (self.wall)()))
    }

    /// Waits until this process leads. Does not end if the election has ended.
    pub async fn acquired(&mut self) {
        while self.permit().is_none() {
            if self.permission.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until this process leads no more: the Lease went to somebody else, or could not be renewed in time.
    pub async fn lost(&mut self) {
        loop {
            let Some(Permission { until, wall_until: _ }) = *self.permission.borrow_and_update() else {
                return;
            };
            tokio::select! {
                () = sleep_until(until) => if self.permit().is_none() { return },
                changed = self.permission.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl WriteGuard for Leadership {
    fn permit(&self) -> Result<Duration, NotLeader> {
        Self::permit(self).ok_or(NotLeader)
    }
}

/// A candidate.
pub struct Election {
    api: Api<Lease>,
    settings: LeaseSettings,
    readiness: Readiness,
    permission: watch::Sender<Option<Permission>>,
    wall: WallClock,
    seen: Sight<Instant>,
    /// The Lease may have changed since.
    doubt: bool,
}

/// Why a look at the Lease came to nothing.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("{operation} of the Lease: no answer within {within:?}")]
    Timeout { operation: &'static str, within: Duration },
    #[error("{operation} of the Lease: {source}")]
    Api {
        operation: &'static str,
        source: Box<kube::Error>,
    },
}

impl LeaseError {
    fn is_conflict(&self) -> bool {
        match self {
            Self::Timeout { .. } => false,
            Self::Api { source, .. } => {
                matches!(source.as_ref(), kube::Error::Api(s) if s.is_conflict() || s.is_already_exists() || s.is_not_found())
            }
        }
    }
}

impl Election {
    /// A candidate for the Lease in the namespace of `api`. The client should be one of its own, without retries: a
    /// crowded client must not cost the leadership.
    pub fn new(api: Api<Lease>, settings: LeaseSettings, readiness: Readiness, wall: WallClock) -> (Self, Leadership) {
        let (permission, receiver) = watch::channel(None);
        let election = Self {
            api,
            settings,
            readiness,
            permission,
            wall: wall.clone(),
            seen: None,
            doubt: true,
        };
        let leadership = Leadership {
            permission: receiver,
            wall,
        };
        (election, leadership)
    }

    /// Campaigns, and renews once elected, until `stop`; then releases the Lease. Cancel `stop` only after the last write
    /// has ended.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let pause = self.turn().await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        self.release().await;
    }

    /// One look and what follows from it; returns how long to pause.
    async fn turn(&mut self) -> Duration {
        match self.step().await {
            Ok(pause) => {
                self.readiness.open(Gate::ApiServer);
                pause
            }
            Err(error) if error.is_conflict() => {
                // Somebody wrote to it: what is in the Lease now decides. Until then our permission runs on, and out.
                self.doubt = true;
                self.settings.period() / 4
            }
            Err(error) => {
                warn!(error = %error, "Failed to reach the Lease.");
                self.doubt = true;
                if self.left().is_none() {
                    self.step_down("it could not be renewed in time");
                    self.readiness.close(Gate::ApiServer, error.to_string());
                }
                self.settings.period() / 2
            }
        }
    }

    async fn step(&mut self) -> Result<Duration, LeaseError> {
        // The holder knows what it wrote last; if somebody changed it, the server refuses the renewal.
        if self.doubt || !self.seen.as_ref().is_some_and(|(lease, _)| self.is_mine(lease)) {
            let read = self.bounded("get", self.api.get_opt(&self.settings.name)).await?;
            self.seen = look(self.seen.take(), read, self.left().is_some(), Instant::now());
            self.doubt = false;
        }
        let (current, unchanged_for) = match &self.seen {
            Some((lease, since)) => (Some(lease.clone()), since.elapsed()),
            None => (None, Duration::ZERO),
        };
        let me = self.settings.identity.as_str();
        match decide(current.as_ref(), me, unchanged_for, self.settings.duration) {
            Decision::Acquire | Decision::Renew => {
                let (before, wall_before) = (Instant::now(), (self.wall)());
                let written = self.write(current).await?;
                self.seen = Some((written, before));
                let permission = Permission::new(before, wall_before, validity(self.settings.duration));
                if self.permission.send_replace(permission).is_none() {
                    info!(
                        lease = self.settings.name,
                        identity = self.settings.identity,
                        "Became leader."
                    );
                }
                Ok(self.settings.period())
            }
            Decision::Wait(left) => {
                self.step_down("another replica holds the Lease");
                debug!(left_seconds = left.as_secs(), "Another replica leads.");
                Ok(left.min(self.settings.candidate_period()))
            }
        }
    }

    async fn write(&self, current: Option<Lease>) -> Result<Lease, LeaseError> {
        let now = MicroTime((self.wall)());
        let name = self.settings.name.as_str();
        let old = current.as_ref().and_then(|l| l.spec.clone()).unwrap_or_default();
        let same_holder = old.holder_identity.as_deref() == Some(self.settings.identity.as_str());
        let spec = LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: i32::try_from(self.settings.duration.as_millis().div_ceil(1000)).ok(),
            acquire_time: if same_holder {
                old.acquire_time
            } else {
                Some(now.clone())
            },
            renew_time: Some(now),
            lease_transitions: Some(
                old.lease_transitions
                    .unwrap_or(0)
                    .saturating_add(i32::from(!same_holder && current.is_some())),
            ),
            preferred_holder: None,
            strategy: None,
        };
        let pp = PostParams::default();
        match current {
            Some(lease) if lease.metadata.resource_version.is_some() => {
                let lease = Lease {
                    metadata: lease.metadata,
                    spec: Some(spec),
                };
                self.bounded("update", self.api.replace(name, &pp, &lease)).await
            }
            Some(_) | None => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(name.to_owned()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(spec),
                };
                self.bounded("create", self.api.create(&pp, &lease)).await
            }
        }
    }

    /// Gives the Lease back, so that another replica takes over at once.
    async fn release(&mut self) {
        let held = self.left().is_some();
        self.permission.send_replace(None);
        let Some((lease, _)) = self.seen.take().filter(|(lease, _)| held && self.is_mine(lease)) else {
            return;
        };
        let released = Lease {
            metadata: lease.metadata,
            spec: Some(LeaseSpec {
                holder_identity: None,
                lease_duration_seconds: Some(1),
                renew_time: Some(MicroTime((self.wall)())),
                ..lease.spec.unwrap_or_default()
            }),
        };
        let pp = PostParams::default();
        match timeout(RELEASE_TIMEOUT, self.api.replace(&self.settings.name, &pp, &released)).await {
            Ok(Ok(_)) => info!(lease = self.settings.name, "Released the Lease."),
            Ok(Err(error)) => warn!(error = %error, "Failed to release the Lease; it will expire."),
            Err(_) => warn!("Failed to release the Lease in time; it will expire."),
        }
    }

    fn step_down(&self, why: &str) {
        if self.permission.send_replace(None).is_some() {
            warn!(lease = self.settings.name, why, "No longer leader.");
        }
    }

    fn left(&self) -> Option<Duration> {
        (*self.permission.borrow()).and_then(|permission| permission.left(Instant::now(), (self.wall)()))
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref());
        holder == Some(self.settings.identity.as_str())
    }

    async fn bounded<T: Debug>(
        &self,
        operation: &'static str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, LeaseError> {
        let within = self.settings.request_timeout();
        match timeout(within, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(LeaseError::Api {
                operation,
                source: Box::new(source),
            }),
            Err(_) => Err(LeaseError::Timeout { operation, within }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
