//! What the proxy remembers: calls, faults, the kill switch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use super::classify::Operation;
use super::fault::{Act, Fault};

/// Calls kept; older ones are forgotten, so that a long demo does not grow without end.
const MAX_CALLS: usize = 100_000;

/// Calls by `service:Operation`.
pub type Counts = BTreeMap<String, u64>;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Not answered yet.
    Pending,
    /// The emulator answered with this status.
    Answered(u16),
    /// A fault answered with this status; the emulator never saw the call.
    Injected(u16),
    /// The connection was cut, by a fault or by the kill switch before it reached the emulator.
    Dropped,
    /// The emulator did the work, the caller was killed before it learned so.
    KilledAfter(u16),
    /// The emulator did not answer.
    Unreachable,
}

/// One call to AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Position in the order of arrival, from 0; never reused, not even after a reset.
    pub seq: u64,
    /// When it arrived.
    pub time: Timestamp,
    /// `https` or `http`.
    pub scheme: &'static str,
    /// What was asked for.
    #[serde(flatten)]
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
}

impl Call {
    /// `service:Operation`, as IAM writes actions.
    #[must_use]
    pub fn name(&self) -> String {
        self.operation.to_string()
    }

    /// Whether it is a write that the emulator carried out, whatever the caller came to know of it.
    #[must_use]
    pub fn took_effect(&self) -> bool {
        let status = match self.outcome {
            Outcome::Answered(status) | Outcome::KilledAfter(status) => Some(status),
            Outcome::Pending | Outcome::Injected(_) | Outcome::Dropped | Outcome::Unreachable => None,
        };
        self.operation.write && status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether it was signed with this access key.
    #[must_use]
    pub fn is_by(&self, access_key: &str) -> bool {
        self.operation.access_key.as_deref() == Some(access_key)
    }
}

/// Every write that did not take effect exactly once: the lost, the repeated and the unexpected. `expected` are the wanted
/// ones as `service:Operation resource`.
#[must_use]
pub fn not_made_once(calls: &[Call], expected: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut wanted: BTreeMap<String, usize> = expected.into_iter().map(|write| (write, 0)).collect();
    let mut wrong = Vec::new();
    for call in calls.iter().filter(|call| call.took_effect()) {
        let resource = call.operation.resource.as_deref().unwrap_or_default();
        let write = format!("{} {resource}", call.name());
        match wanted.get_mut(&write) {
            Some(times) => *times += 1,
            None => wrong.push(format!("{write}: unexpected")),
        }
    }
    let counted = wanted.into_iter().filter(|(_, times)| *times != 1);
    wrong.extend(counted.map(|(write, times)| format!("{write}: {times} times")));
    wrong
}

#[derive(Debug)]
struct KillSwitch {
    pid: u32,
    writes_left: u32,
    fired: bool,
}

#[derive(Debug, Default)]
struct Memory {
    next_seq: u64,
    calls: VecDeque<Call>,
    counts: Counts,
    faults: Vec<Fault>,
    kill: Option<KillSwitch>,
}

/// What a new call meets.
#[derive(Debug, PartialEq)]
pub(super) struct Admission {
    pub(super) seq: u64,
    pub(super) act: Option<Act>,
}

/// Shared between all connections and the control API.
#[derive(Debug)]
pub(super) struct State {
    memory: Mutex<Memory>,
    closed: watch::Sender<bool>,
    /// Held around a write while the kill switch is armed, so that "the n-th write" means something.
    pub(super) one_write: tokio::sync::Mutex<()>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            memory: Mutex::default(),
            closed: watch::Sender::new(false),
            one_write: tokio::sync::Mutex::default(),
        }
    }
}

impl State {
    /// A test that panicked while it held the lock has failed already; the others go on.
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn admit(&self, operation: Operation, scheme: &'static str) -> Admission {
        let mut memory = self.lock();
        let seq = memory.next_seq;
        memory.next_seq += 1;
        *memory.counts.entry(operation.to_string()).or_default() += 1;
        let act = memory.faults.iter_mut().find_map(|fault| fault.meet(&operation));
        if memory.calls.len() == MAX_CALLS {
            memory.calls.pop_front();
        }
        memory.calls.push_back(Call {
            seq,
            time: Timestamp::now(),
            scheme,
            operation,
            outcome: Outcome::Pending,
        });
        Admission { seq, act }
    }

    pub(super) fn finish(&self, seq: u64, outcome: Outcome) {
        let mut memory = self.lock();
        if let Some(call) = memory.calls.iter_mut().rev().find(|call| call.seq == seq) {
            call.outcome = outcome;
        }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.lock().calls.iter().cloned().collect()
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.lock().next_seq
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    pub(super) fn reset(&self) {
        let mut memory = self.lock();
        *memory = Memory {
            next_seq: memory.next_seq,
            ..Memory::default()
        };
    }

    pub(super) fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    pub(super) fn heal(&self) {
        self.lock().faults.clear();
    }

    pub(super) fn arm(&self, pid: u32, n: u32) {
        self.lock().kill = Some(KillSwitch {
            pid,
            writes_left: n.max(1),
            fired: false,
        });
    }

    pub(super) fn disarm(&self) {
        self.lock().kill = None;
    }

    pub(super) fn armed(&self) -> bool {
        self.lock().kill.is_some()
    }

    pub(super) fn killed(&self) -> bool {
        self.lock().kill.as_ref().is_some_and(|kill| kill.fired)
    }

    /// Counts an answered write; the process to kill, if this was the one.
    pub(super) fn write_answered(&self) -> Option<u32> {
        let mut memory = self.lock();
        let kill = memory.kill.as_mut().filter(|kill| !kill.fired)?;
        kill.writes_left -= 1;
        kill.fired = kill.writes_left == 0;
        kill.fired.then_some(kill.pid)
    }

    /// Ends every connection.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(super) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // An error means that the sender is gone, which is closed enough.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// The longest a fault may hold a call: a bound, so that a forgotten fault can't hang a test run.
    pub(super) const MAX_DELAY: Duration = Duration::from_mins(2);
}
