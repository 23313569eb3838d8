//! A policy as a user sees it: JSON from the API server, asked the questions that tests ask.

use serde_json::Value;

/// An `AIDataProtectionPolicy` as read.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyView(pub Value);

/// A condition as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionView {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
    /// Generation that it judges.
    pub observed_generation: Option<i64>,
}

impl PolicyView {
    /// Text at a JSON pointer; empty when absent.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// List at a JSON pointer; empty when absent.
    #[must_use]
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.0
            .pointer(pointer)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// `metadata.generation`.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.0
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or_default()
    }

    /// `status.observedGeneration`.
    #[must_use]
    pub fn observed_generation(&self) -> i64 {
        self.0
            .pointer("/status/observedGeneration")
            .and_then(Value::as_i64)
            .unwrap_or_default()
    }

    /// A condition by type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<ConditionView> {
        let condition = self
            .list("/status/conditions")
            .iter()
            .find(|c| text(c, "type") == kind)?;
        Some(ConditionView {
            status: text(condition, "status").to_owned(),
            reason: text(condition, "reason").to_owned(),
            message: text(condition, "message").to_owned(),
            observed_generation: condition.get("observedGeneration").and_then(Value::as_i64),
        })
    }

    /// A condition in short: `True/Enforced`, `-` when absent.
    #[must_use]
    pub fn short(&self, kind: &str) -> String {
        self.condition(kind)
            .map_or_else(|| "-".to_owned(), |c| format!("{}/{}", c.status, c.reason))
    }

    /// Status of a condition; `-` when absent.
    #[must_use]
    pub fn status(&self, kind: &str) -> String {
        self.condition(kind).map_or_else(|| "-".to_owned(), |c| c.status)
    }

    /// The row of the condition table: Ready, Reconciling, Stalled, Drifted and Ready's reason.
    #[must_use]
    pub fn row(&self) -> String {
        let reason = self.condition("Ready").map(|c| c.reason).unwrap_or_default();
        let status = ["Ready", "Reconciling", "Stalled", "Drifted"].map(|kind| self.status(kind));
        format!("{} {reason}", status.join(" "))
    }

    /// Whether all that was judged is the spec as it is now.
    #[must_use]
    pub fn current(&self) -> bool {
        self.observed_generation() == self.generation()
            && self
                .list("/status/conditions")
                .iter()
                .all(|c| c.get("observedGeneration").and_then(Value::as_i64) == Some(self.generation()))
    }

    /// Findings as `control resource path`, sorted.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        keys(self.list("/status/findings"))
    }

    /// History as `control resource path`, sorted.
    #[must_use]
    pub fn history(&self) -> Vec<String> {
        keys(self.list("/status/history"))
    }

    /// The part of the object that a human reads first, for messages of failed tests.
    #[must_use]
    pub fn summary(&self) -> String {
        let conditions: Vec<String> = self
            .list("/status/conditions")
            .iter()
            .map(|c| {
                format!(
                    "{}={}/{} ({})",
                    text(c, "type"),
                    text(c, "status"),
                    text(c, "reason"),
                    text(c, "message")
                )
            })
            .collect();
        format!(
            "generation {} observed {}; {}; findings {:?}",
            self.generation(),
            self.observed_generation(),
            conditions.join("; "),
            self.findings()
        )
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn keys(entries: &[Value]) -> Vec<String> {
    let mut keys: Vec<String> = entries
        .iter()
        .map(|entry| {
            format!(
                "{} {} {}",
                text(entry, "control"),
                text(entry, "resource"),
                text(entry, "path")
            )
        })
        .collect();
    keys.sort();
    keys
}
