//! The public contract: the `AIDataProtectionPolicy` custom resource, version `aidp.dev/v1alpha1`.
//!
//! Lives here: spec and status types, the CEL rules of the schema, the CRD as we publish it, and the names (annotations,
//! labels, condition types) that users see. Does not live here: what a spec means (`domain::policy`) and how a status
//! comes about (`domain::report`).

mod crd;
mod spec;
mod status;

pub use crd::crd;
pub use spec::*;
pub use status::*;

/// API group.
pub const GROUP: &str = "aidp.dev";
/// Field manager of every server-side apply, and the reporting controller of events.
pub const FIELD_MANAGER: &str = "aidp";
/// Finalizer; only on policies with `deletionPolicy: Revert`.
pub const FINALIZER: &str = "aidp.dev/revert";
/// Annotation: reconcile now. Any new value triggers; it is echoed in `status.lastHandledReconcileAt`.
pub const RECONCILE_REQUESTED_AT: &str = "aidp.dev/reconcile-requested-at";
/// Annotation: RFC 3339 time until which nothing is written (capped by the operator's `--max-suspension`).
pub const SUSPEND_UNTIL: &str = "aidp.dev/suspend-until";
/// Annotation: name of a bucket that has left a selector and may be let go.
pub const RELEASE: &str = "aidp.dev/release";
