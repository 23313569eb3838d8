//! The seam to AWS: what a reconcile needs of an account. One implementation talks to AWS; tests bring their own.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::aws::{AccountSession, AwsObservation, Sessions, WriteGuard};
use crate::domain::action::Action;
use crate::domain::names::{AccountId, Region};
use crate::domain::observed::CallError;
use crate::domain::policy::ValidatedPolicy;
use crate::domain::report::ActionResult;

/// An account, for one policy.
pub trait Account: Send + Sync {
    /// Everything AWS has to say about the policy; no reading older than `max_age`.
    fn observe<'a>(&'a self, policy: &'a ValidatedPolicy, max_age: Duration) -> BoxFuture<'a, AwsObservation>;

    /// One write.
    fn execute<'a>(&'a self, action: &'a Action, guard: &'a dyn WriteGuard) -> BoxFuture<'a, ActionResult>;
}

/// Every account the operator can reach.
pub trait Accounts: Send + Sync {
    /// The account with this id; `home` is the region of its global services.
    ///
    /// # Errors
    /// If the operator's configuration has no such account.
    fn account(&self, id: &AccountId, home: &Region) -> Result<Arc<dyn Account>, CallError>;
}

impl Account for AccountSession {
    fn observe<'a>(&'a self, policy: &'a ValidatedPolicy, max_age: Duration) -> BoxFuture<'a, AwsObservation> {
        self.observe(policy, max_age).boxed()
    }

    fn execute<'a>(&'a self, action: &'a Action, guard: &'a dyn WriteGuard) -> BoxFuture<'a, ActionResult> {
        self.execute(action, guard).boxed()
    }
}

impl Accounts for Sessions {
    fn account(&self, id: &AccountId, home: &Region) -> Result<Arc<dyn Account>, CallError> {
        Ok(Arc::new(self.session(id, home)?))
    }
}
