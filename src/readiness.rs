//! Whether the operator can do its work, as those know it who found out.
//!
//! Readiness is not liveness: restarting the operator makes neither a missing CRD nor the API server appear. How it is
//! asked for lives in `http`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

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
}
