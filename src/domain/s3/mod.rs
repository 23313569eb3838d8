//! Buckets: what is right at rest and in transit, and what must be written to get there.
//!
//! Lives here: the comparison of a bucket with its controls, the statements that we put into bucket policies and their
//! merge with everybody else's, what becomes of a bucket that leaves a policy. Does not live here: policy documents as
//! such (`domain::document`), decisions on single requests and the roles' own documents (`domain::iam`), any call to AWS
//! (`aws`).

mod bucket_policy;
mod demand;
mod encryption;
mod enforced;
mod facts;
mod key;
mod keys;
mod leave;
mod log_target;
mod merge;
mod plan;
mod private;
mod public;
mod reports;
mod select;
mod settings;
mod sid;
mod statement;
mod unread;
mod usable;
mod writable;

pub use enforced::{minimum_tls, role_writes_denied, tls_only};
pub use key::KeyRef;
pub use leave::{plan_orphan, revert_bucket, revert_buckets};
pub use merge::{Change, Merged, merge};
pub use plan::{plan_bucket, plan_buckets};
pub use public::public_statement;
pub use sid::{Rule, has_our_shape};
pub use statement::{
    deny_insecure_transport, deny_kms_without_key_id, deny_old_tls, deny_role_writes, deny_sse_c, deny_wrong_kms_key,
    deny_wrong_sse_algorithm,
};
pub use unread::NOT_APPLICABLE;
pub use writable::MAX_POLICY_BYTES;

#[cfg(test)]
mod checklist;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod uploads;
