//! An object that does not decode: stored under another schema. It is told so; everything else on it stays as it is, above
//! all the inventory, and all other policies go on.

use kube::api::DynamicObject;
use serde_json::{Map, Value, json};
use tracing::warn;

use super::pass::Pass;
use super::report::may_write;
use super::rest::Rest;
use crate::api::AIDataProtectionPolicyStatus;
use crate::domain::policy::InvalidSpec;
use crate::domain::report::{self, Judgement, report};

/// Longest part of the decoder's message that is shown, characters.
const MAX_PROBLEM: usize = 512;

/// Says on the object that it is invalid.
pub(super) async fn tell(pass: &mut Pass<'_>, object: &DynamicObject, problem: String) -> Rest {
    warn!(policy = pass.name, problem, "The stored object does not decode.");
    let problem: String = problem.chars().take(MAX_PROBLEM).collect();
    let invalid = InvalidSpec {
        problems: vec![format!(
            "the stored object does not fit this version's schema ({problem}); apply it again in the present form"
        )],
    };
    let stored = object.data.get("status").cloned().unwrap_or_else(|| json!({}));
    let old = readable(&stored);
    let context = report::Context {
        old: Some(&old),
        generation: object.metadata.generation.unwrap_or_default(),
        requested_at: None,
        last_observed: None,
        repairs: &pass.memory.repairs,
        now: pass.now,
        heartbeat: pass.ctx.config.heartbeat,
    };
    let report = report(&Judgement::Invalid(&invalid), &context);
    pass.reason = Some(report.reason);
    // Whether or not it can be written: nobody looks after it any more.
    pass.ctx.metrics.stands(pass.name, &report.status, None);
    let next = with_conditions(&stored, &report.status);
    if next == stored {
        return Rest::Change;
    }
    let permit = || may_write(pass.ctx, "apply policies/status");
    let written = pass.ctx.policies.apply_raw_status(&object.metadata, next, permit);
    match Box::pin(written).await {
        Ok(_) => Rest::Change,
        Err(error) => pass.put_off(&error),
    }
}

/// As much of a stored status as can be read: all of it, else its conditions, else nothing.
fn readable(stored: &Value) -> AIDataProtectionPolicyStatus {
    serde_json::from_value(stored.clone())
        .or_else(|_| {
            let conditions = stored.get("conditions").cloned().unwrap_or_else(|| json!([]));
            serde_json::from_value(conditions).map(|conditions| AIDataProtectionPolicyStatus {
                conditions,
                ..AIDataProtectionPolicyStatus::default()
            })
        })
        .unwrap_or_default()
}

/// The stored status with other conditions.
fn with_conditions(stored: &Value, report: &AIDataProtectionPolicyStatus) -> Value {
    let mut next: Map<String, Value> = stored.as_object().cloned().unwrap_or_default();
    next.insert("observedGeneration".to_owned(), json!(report.observed_generation));
    next.insert("conditions".to_owned(), json!(report.conditions));
    Value::Object(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inventory_of_an_undecodable_object_stays_verbatim() {
        let stored = json!({
            "observedGeneration": 1,
            "targets": {"buckets": [{"name": "data", "state": "SomethingNewer"}]},
            "unknownField": 7,
        });
        let report = AIDataProtectionPolicyStatus {
            observed_generation: 2,
            ..AIDataProtectionPolicyStatus::default()
        };
        let next = with_conditions(&stored, &report);
        assert_eq!(next["targets"], stored["targets"]);
        assert_eq!(next["unknownField"], json!(7));
        assert_eq!(next["observedGeneration"], json!(2));
    }

    #[test]
    fn conditions_are_read_from_a_status_that_is_unreadable_otherwise() {
        let condition = json!({"type": "Ready", "status": "False", "reason": "Invalid", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let stored = json!({"conditions": [condition], "findings": "no list"});
        assert_eq!(readable(&stored).conditions.len(), 1);
        assert_eq!(readable(&json!("garbage")), AIDataProtectionPolicyStatus::default());
    }
}
