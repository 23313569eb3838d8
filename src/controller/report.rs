//! Step five: the report is delivered: one status patch if it changed, then events.

use std::time::Duration;

use kube::api::ObjectMeta;
use tracing::{info, warn};

use super::context::Context;
use super::object::is_too_large;
use crate::api::{AIDataProtectionPolicy, AIDataProtectionPolicyStatus};
use crate::aws::NotLeader;
use crate::domain::observed::{CallError, ErrorClass, Read};
use crate::domain::report::{self, READY, Report, condition, too_large};

/// Writes the report and says what the object's status is then.
///
/// # Errors
/// If the status could not be written.
pub(super) async fn deliver(
    ctx: &Context,
    policy: &AIDataProtectionPolicy,
    report: Report,
    context: &report::Context<'_>,
) -> Read<Delivered> {
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    let metadata = &policy.metadata;
    let (report, version) = match write(ctx, metadata, &report, context).await {
        Ok(version) => (report, version),
        Err(error) if is_too_large(&error) => {
            warn!(%error, "The status is too large; it is written without findings and history.");
            let smaller = too_large(&report, context);
            let version = write(ctx, metadata, &smaller, context).await?;
            (smaller, version)
        }
        Err(error) => {
            // Where the object can't say it, the metrics do.
            if !ready(&report) {
                ctx.metrics.stands(name, &report.status, None);
            }
            return Err(error);
        }
    };
    ctx.events.publish(policy, &report.events).await;
    let seconds = report.complete.then(|| context.now.as_second());
    ctx.metrics.stands(name, &report.status, seconds);
    Ok(Delivered {
        status: report.status,
        version: version.or_else(|| policy.metadata.resource_version.clone()),
        complete: report.complete,
        reason: report.reason,
    })
}

fn ready(report: &Report) -> bool {
    condition(&report.status, READY).is_some_and(|ready| ready.status == "True")
}

/// What the object says now.
pub(super) struct Delivered {
    pub status: AIDataProtectionPolicyStatus,
    /// The object's resourceVersion.
    pub version: Option<String>,
    pub complete: bool,
    pub reason: report::Reason,
}

impl Delivered {
    /// Brings the object up to date.
    pub fn put_on(self, object: &mut AIDataProtectionPolicy) {
        object.metadata.resource_version = self.version;
        object.status = Some(self.status);
    }
}

/// Writes the status if it changed; returns the object's new resourceVersion.
async fn write(
    ctx: &Context,
    seen: &ObjectMeta,
    report: &Report,
    context: &report::Context<'_>,
) -> Read<Option<String>> {
    if !report.changed(context.old) {
        return Ok(None);
    }
    let permit = || may_write(ctx, "apply policies/status");
    // Boxed: it is large, and part of every reconcile.
    let version = Box::pin(ctx.policies.apply_status(seen, &report.status, permit)).await?;
    info!(reason = report.reason.as_str(), "Status written.");
    Ok(version)
}

/// Status and finalizers are the leader's as well: for how long it may write them.
///
/// # Errors
/// If this replica leads no more.
pub(super) fn may_write(ctx: &Context, operation: &'static str) -> Read<Duration> {
    ctx.guard.permit().map_err(|NotLeader| CallError {
        operation,
        class: ErrorClass::Transient,
        code: Some("NotLeader".to_owned()),
        message: "this replica leads no more".to_owned(),
    })
}
