//! Writes to the network: one NetworkPolicy applied or deleted, by the leader only.

use std::time::Duration;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::call::{CALL_TIMEOUT, call_within, is_conflict, is_not_found};
use super::{Cluster, NetworkPolicySeen};
use crate::api::FIELD_MANAGER;
use crate::aws::{NotLeader, WriteGuard};
use crate::domain::action::Action;
use crate::domain::egress::compare::differences;
use crate::domain::finding::Target;
use crate::domain::observed::{CallError, ErrorClass};
use crate::domain::report::{ActionResult, SkipReason};

/// Why a write is not known to have happened.
enum WriteError {
    NotLeader,
    Failed(CallError),
}

impl From<CallError> for WriteError {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
}

impl Cluster {
    /// Executes one action. Actions on AWS are not executed here; they fail as [`ErrorClass::Terminal`].
    pub async fn execute(&self, action: &Action, guard: &dyn WriteGuard) -> ActionResult {
        let result = match action {
            Action::ApplyNetworkPolicy { rule: _, object } => self.apply(object, guard).await,
            Action::DeleteNetworkPolicy {
                rule: _,
                namespace,
                name,
                uid,
            } => self.delete(namespace, name, uid.clone(), guard).await,
            Action::PutBucketEncryption { .. }
            | Action::PutBucketPolicy { .. }
            | Action::DeleteBucketPolicy { .. }
            | Action::PutPublicAccessBlock { .. }
            | Action::EnableBucketVersioning { .. }
            | Action::EnforceBucketOwner { .. }
            | Action::PutBucketLogging { .. }
            | Action::CreateRole { .. }
            | Action::UpdateAssumeRolePolicy { .. }
            | Action::UpdateRole { .. }
            | Action::PutRolePermissionsBoundary { .. }
            | Action::TagRole { .. }
            | Action::PutRolePolicy { .. }
            | Action::DeleteRolePolicy { .. }
            | Action::AttachRolePolicy { .. }
            | Action::DetachRolePolicy { .. }
            | Action::DeleteRole { .. } => Err(terminal(action.operation(), "not a write to the network").into()),
        };
        if let Target::Egress {
            rule: _,
            namespace: Some(namespace),
        } = action.target()
        {
            // Ours, whatever became of it; whose policy it is, the watch says.
            self.readings.network_policy_moved(&NetworkPolicySeen {
                namespace,
                policy: None,
            });
        }
        match result {
            Ok(done) => done,
            Err(WriteError::NotLeader) => ActionResult::Skipped(SkipReason::NotLeader),
            Err(WriteError::Failed(error)) => ActionResult::Failed(error),
        }
    }

    async fn apply(&self, desired: &NetworkPolicy, guard: &dyn WriteGuard) -> Result<ActionResult, WriteError> {
        let operation = "apply networkpolicies";
        let (Some(namespace), Some(name)) = (&desired.metadata.namespace, &desired.metadata.name) else {
            return Err(terminal(operation, "the object has no name or namespace").into());
        };
        let api: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(desired);
        let within = permit(guard)?;
        let request = api.patch(name, &params, &patch);
        let written = call_within(&self.metrics, operation, within, request).await?;
        if differences(&written, desired).is_empty() {
            return Ok(ActionResult::Done);
        }
        // What somebody else put beside our fields outlives an apply. The object is ours, so it is removed by name.
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": written.metadata.resource_version},
            "spec": overriding(&written, desired),
        }));
        let within = permit(guard)?;
        let request = api.patch(name, &params, &patch);
        match call_within(&self.metrics, "patch networkpolicies", within, request).await {
            Ok(written) if differences(&written, desired).is_empty() => Ok(ActionResult::Done),
            Ok(_) => Ok(ActionResult::NotObserved),
            Err(error) if is_conflict(&error) || is_not_found(&error) => Ok(ActionResult::ChangedUnderneath),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<String>,
        guard: &dyn WriteGuard,
    ) -> Result<ActionResult, WriteError> {
        let api: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), namespace);
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid,
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let within = permit(guard)?;
        let request = api.delete(name, &params);
        match call_within(&self.metrics, "delete networkpolicies", within, request).await {
            Ok(_) => Ok(ActionResult::Done),
            Err(error) if is_not_found(&error) => Ok(ActionResult::Done),
            Err(error) if is_conflict(&error) => Ok(ActionResult::ChangedUnderneath),
            Err(error) => Err(error.into()),
        }
    }
}

/// The desired spec as a merge patch: what is there and not desired becomes null.
fn overriding(written: &NetworkPolicy, desired: &NetworkPolicy) -> Value {
    let mut spec = json!(desired.spec);
    if let (Value::Object(spec), Value::Object(written)) = (&mut spec, json!(written.spec)) {
        for (field, _) in written {
            spec.entry(field).or_insert(Value::Null);
        }
    }
    spec
}

fn permit(guard: &dyn WriteGuard) -> Result<Duration, WriteError> {
    match guard.permit() {
        Ok(left) => Ok(left.min(CALL_TIMEOUT)),
        Err(NotLeader) => Err(WriteError::NotLeader),
    }
}

fn terminal(operation: &'static str, message: &str) -> CallError {
    CallError {
        operation,
        class: ErrorClass::Terminal,
        code: None,
        message: message.to_owned(),
    }
}
