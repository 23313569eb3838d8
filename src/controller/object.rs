//! The policy object at the API server: read whole, its status applied, its finalizer set and removed.

use std::time::Duration;

use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::memory::has_finalizer;
use crate::api::{AIDataProtectionPolicy, AIDataProtectionPolicyStatus, FIELD_MANAGER, FINALIZER};
use crate::cluster::{CALL_TIMEOUT, KubeMetrics, call, call_within, is_conflict, is_not_found};
use crate::domain::egress::fields;
use crate::domain::observed::{CallError, ErrorClass, Read};

/// Tries of one status write while others edit the object.
const STATUS_TRIES: usize = 4;

/// The policies of the cluster. Cheap to clone.
#[derive(Clone)]
pub(super) struct Policies {
    api: Api<DynamicObject>,
    metrics: KubeMetrics,
}

/// A policy as read.
pub(super) enum Stored {
    /// It is what this version understands.
    Policy(Box<AIDataProtectionPolicy>),
    /// It is not: stored under another schema. With what the decoder said.
    Undecodable(Box<DynamicObject>, String),
}

impl Policies {
    pub fn new(client: kube::Client, metrics: KubeMetrics) -> Self {
        let api = Api::all_with(client, &resource());
        Self { api, metrics }
    }

    /// The object as it is now, not as some cache has it. None if it is gone.
    pub async fn get(&self, name: &str) -> Read<Option<Stored>> {
        let object = match call(&self.metrics, "get policies", self.api.get(name)).await {
            Ok(object) => object,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let decoded = serde_json::to_value(&object).and_then(serde_json::from_value::<AIDataProtectionPolicy>);
        Ok(Some(match decoded {
            Ok(policy) => match unknown_field(&object, &policy) {
                None => Stored::Policy(Box::new(policy)),
                Some(field) => Stored::Undecodable(Box::new(object), format!("unknown field {field}")),
            },
            Err(error) => Stored::Undecodable(Box::new(object), error.to_string()),
        }))
    }

    /// Whether the CRD is there. Asks as little as possible.
    pub async fn served(&self) -> Read<()> {
        let params = kube::api::ListParams::default().limit(1);
        call(&self.metrics, "list policies", self.api.list_metadata(&params))
            .await
            .map(drop)
    }

    /// Applies the whole status to the object as it was `seen`; returns its new resourceVersion. `permit` says, before each
    /// try, how long it may take.
    ///
    /// # Errors
    /// Also if there is another object of that name by now: what was found out about the one says nothing about the other.
    pub async fn apply_status(
        &self,
        seen: &ObjectMeta,
        status: &AIDataProtectionPolicyStatus,
        permit: impl Fn() -> Read<Duration>,
    ) -> Read<Option<String>> {
        self.apply_raw_status(seen, json!(status), permit).await
    }

    /// The same with the status given as JSON.
    pub async fn apply_raw_status(
        &self,
        seen: &ObjectMeta,
        status: Value,
        permit: impl Fn() -> Read<Duration>,
    ) -> Read<Option<String>> {
        let operation = "apply policies/status";
        let name = seen.name.as_deref().unwrap_or_default();
        let resource = resource();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let mut version = seen.resource_version.clone();
        // By resourceVersion the API server refuses what was found out about an object that was replaced since.
        for _ in 0..STATUS_TRIES {
            let patch = Patch::Apply(json!({
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {"resourceVersion": version},
                "status": status,
            }));
            let within = permit()?.min(CALL_TIMEOUT);
            let request = self.api.patch_status(name, &params, &patch);
            match call_within(&self.metrics, operation, within, request).await {
                Err(error) if is_conflict(&error) => {}
                written => return written.map(|object| object.metadata.resource_version),
            }
            // Edited meanwhile; the status is ours all the same, and says which generation it is about.
            let now = call(&self.metrics, "get policies", self.api.get_metadata(name)).await?;
            if now.metadata.uid != seen.uid {
                return Err(moved(operation, "there is another policy of this name by now"));
            }
            version = now.metadata.resource_version;
        }
        Err(moved(operation, "the object keeps changing"))
    }

    /// Adds our finalizer, unless the object has changed since it was read. Waits no longer than `within`, what is left of
    /// the lease.
    pub async fn add_finalizer(&self, object: &AIDataProtectionPolicy, within: Duration) -> Read<()> {
        let mut finalizers = object.finalizers().to_vec();
        if !has_finalizer(object) {
            finalizers.push(FINALIZER.to_owned());
        }
        self.set_finalizers(object, &finalizers, within).await
    }

    /// Removes our finalizer, unless the object has changed since it was read. An object that is gone needs none. Waits no
    /// longer than `within`, what is left of the lease.
    pub async fn remove_finalizer(&self, object: &AIDataProtectionPolicy, within: Duration) -> Read<()> {
        let mut finalizers = object.finalizers().to_vec();
        finalizers.retain(|f| f != FINALIZER);
        match self.set_finalizers(object, &finalizers, within).await {
            Err(error) if is_not_found(&error) => Ok(()),
            result => result,
        }
    }

    async fn set_finalizers(
        &self,
        object: &AIDataProtectionPolicy,
        finalizers: &[String],
        within: Duration,
    ) -> Read<()> {
        // With the resourceVersion: somebody else's finalizer must not get lost.
        let patch = Patch::Merge(json!({"metadata": {
            "resourceVersion": object.resource_version(),
            "finalizers": finalizers,
        }}));
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let name = object.name_any();
        let request = self.api.patch_metadata(&name, &params, &patch);
        let within = within.min(CALL_TIMEOUT);
        call_within(&self.metrics, "patch policies", within, request)
            .await
            .map(drop)
    }
}

/// A field that the CRD lets in and this version does not know: of a newer version, as after a rollback. What it asks for
/// would go unheard, and the policy be called met all the same. What is to be taken back depends on no such field.
fn unknown_field(stored: &DynamicObject, policy: &AIDataProtectionPolicy) -> Option<String> {
    let spec = stored
        .data
        .get("spec")
        .filter(|_| stored.metadata.deletion_timestamp.is_none());
    spec.and_then(|spec| fields::unknown_field("spec", spec, &policy.spec))
}

fn moved(operation: &'static str, message: &str) -> CallError {
    CallError {
        operation,
        class: ErrorClass::Transient,
        code: Some("Conflict".to_owned()),
        message: message.to_owned(),
    }
}

fn resource() -> ApiResource {
    ApiResource::erase::<AIDataProtectionPolicy>(&<AIDataProtectionPolicy as Resource>::DynamicType::default())
}

/// Whether the API server refused the object for its size: etcd's limit on a request, or the server's on a body.
pub(super) fn is_too_large(error: &CallError) -> bool {
    let message = &error.message;
    error.code.as_deref() == Some("RequestEntityTooLarge")
        || message.contains("request is too large")
        || message.contains("ResourceExhausted")
        || message.contains("trying to send message larger than max")
        || message.contains("Request entity too large")
}
