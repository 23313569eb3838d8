//! Writes: actions of the plan become calls, one attempt each. Where AWS can say it, the state is read again right before,
//! and what was written is read back right after.

mod iam;
mod logging;
mod s3;

use super::call::{WriteError, WriteGuard};
use super::classify::Failure;
use super::session::AccountSession;
use crate::domain::action::Action;
use crate::domain::observed::ErrorClass;
use crate::domain::report::{ActionResult, SkipReason};

/// What became of a write that did not fail.
enum Written {
    /// It is there.
    Done,
    /// The state was no longer the one that the decision rests on; nothing was sent.
    ChangedUnderneath,
    /// It was accepted and cannot be seen.
    NotObserved,
}

type Outcome = Result<Written, WriteError>;

impl AccountSession {
    /// Executes one action. `guard` is asked right before every call that writes, and caps how long that call may take.
    /// Repeating an action that has happened already changes nothing and is no error.
    ///
    /// Actions on Kubernetes are not executed here; they fail as [`ErrorClass::Terminal`].
    pub async fn execute(&self, action: &Action, guard: &dyn WriteGuard) -> ActionResult {
        match self.write(action, guard).await {
            Ok(Written::Done) => ActionResult::Done,
            Ok(Written::ChangedUnderneath) => ActionResult::ChangedUnderneath,
            Ok(Written::NotObserved) => ActionResult::NotObserved,
            Err(WriteError::NotLeader) => ActionResult::Skipped(SkipReason::NotLeader),
            Err(WriteError::Failed(failure)) => ActionResult::Failed(failure.error),
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of action")]
    async fn write(&self, action: &Action, guard: &dyn WriteGuard) -> Outcome {
        match action {
            Action::PutBucketEncryption {
                bucket,
                region,
                seen,
                rule,
            } => {
                self.put_bucket_encryption(&self.place(bucket, region), seen, rule, guard)
                    .await
            }
            Action::PutBucketPolicy {
                bucket,
                region,
                seen,
                document,
            } => {
                let at = self.place(bucket, region);
                self.put_bucket_policy(&at, seen.as_deref(), document, guard).await
            }
            Action::DeleteBucketPolicy { bucket, region, seen } => {
                self.delete_bucket_policy(&self.place(bucket, region), seen, guard)
                    .await
            }
            Action::PutPublicAccessBlock {
                bucket,
                region,
                seen,
                settings,
            } => {
                let at = self.place(bucket, region);
                self.put_public_access_block(&at, *seen, *settings, guard).await
            }
            Action::EnableBucketVersioning { bucket, region, seen } => {
                self.enable_bucket_versioning(&self.place(bucket, region), *seen, guard)
                    .await
            }
            Action::EnforceBucketOwner {
                bucket,
                region,
                seen,
                acl,
            } => {
                self.enforce_bucket_owner(&self.place(bucket, region), *seen, acl, guard)
                    .await
            }
            Action::PutBucketLogging {
                bucket,
                region,
                seen,
                logging,
            } => {
                self.put_bucket_logging(&self.place(bucket, region), seen.as_ref(), logging, guard)
                    .await
            }
            Action::CreateRole {
                role,
                path,
                trust_policy,
                max_session_duration_seconds,
                permissions_boundary_arn,
                tags,
            } => {
                let new = iam::NewRole {
                    path,
                    trust_policy,
                    max_session_duration_seconds: *max_session_duration_seconds,
                    permissions_boundary_arn: permissions_boundary_arn.as_deref(),
                    tags,
                };
                self.create_role(role, new, guard).await
            }
            Action::UpdateAssumeRolePolicy { role, trust_policy } => {
                self.update_assume_role_policy(role, trust_policy, guard).await
            }
            Action::UpdateRole {
                role,
                max_session_duration_seconds,
            } => self.update_role(role, *max_session_duration_seconds, guard).await,
            Action::PutRolePermissionsBoundary {
                role,
                permissions_boundary_arn,
            } => {
                self.put_role_permissions_boundary(role, permissions_boundary_arn, guard)
                    .await
            }
            Action::TagRole { role, tags } => self.tag_role(role, tags, guard).await,
            Action::PutRolePolicy {
                role,
                policy_name,
                document,
            } => self.put_role_policy(role, policy_name, document, guard).await,
            Action::DeleteRolePolicy { role, policy_name } => self.delete_role_policy(role, policy_name, guard).await,
            Action::AttachRolePolicy { role, policy_arn } => self.attach_role_policy(role, policy_arn, guard).await,
            Action::DetachRolePolicy { role, policy_arn } => self.detach_role_policy(role, policy_arn, guard).await,
            Action::DeleteRole {
                role,
                inline_policies,
                attached_policy_arns,
            } => {
                self.delete_role(role, inline_policies, attached_policy_arns, guard)
                    .await
            }
            Action::ApplyNetworkPolicy { .. } | Action::DeleteNetworkPolicy { .. } => {
                Err(Failure::new(action.operation(), ErrorClass::Terminal, "not a write to AWS").into())
            }
        }
    }
}
