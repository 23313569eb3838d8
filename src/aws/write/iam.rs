//! Writes to roles. IAM is eventually consistent, so nothing is read back here: the next look is the proof.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::future::Future;

use aws_sdk_iam::types::Tag;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Outcome, Written};
use crate::aws::call::{WriteError, WriteGuard};
use crate::aws::classify::Failure;
use crate::aws::service::Service;
use crate::aws::session::AccountSession;
use crate::domain::names::RoleName;
use crate::domain::observed::ErrorClass;
use crate::domain::policy::ROLE_PATH;

/// All that a role is created with.
pub(super) struct NewRole<'a> {
    pub path: &'a str,
    pub trust_policy: &'a str,
    pub max_session_duration_seconds: i32,
    pub permissions_boundary_arn: Option<&'a str>,
    pub tags: &'a BTreeMap<String, String>,
}

/// What it means that IAM does not know something that the write names.
#[derive(Clone, Copy)]
enum Missing {
    /// It was to be removed: done.
    Done,
    /// The role has gone since it was seen.
    Changed,
    /// Either the role or a managed policy that the write names; which one, only IAM's message says.
    Failed,
}

impl AccountSession {
    pub(super) async fn create_role(&self, role: &RoleName, new: NewRole<'_>, guard: &dyn WriteGuard) -> Outcome {
        const OPERATION: &str = "CreateRole";
        let NewRole {
            path,
            trust_policy,
            max_session_duration_seconds,
            permissions_boundary_arn,
            tags,
        } = new;
        let request = self
            .home_clients()
            .iam_once
            .create_role()
            .role_name(role.as_str())
            .path(path)
            .assume_role_policy_document(trust_policy)
            .max_session_duration(max_session_duration_seconds)
            .set_permissions_boundary(permissions_boundary_arn.map(str::to_owned))
            .set_tags(Some(sdk_tags(OPERATION, tags)?));
        let create = self.shared.caller.write(Service::Iam, OPERATION, guard, request.send());
        let created = create.await;
        self.shared.role_written(role);
        match created {
            Ok(_) => {
                self.shared.role_created(role);
                Ok(Written::Done)
            }
            // There is one by now, or one whose name differs in case only.
            Err(WriteError::Failed(failure)) if failure.has_code("EntityAlreadyExists") => {
                Ok(Written::ChangedUnderneath)
            }
            Err(error) => Err(self.settling(role, error)),
        }
    }

    pub(super) async fn update_assume_role_policy(
        &self,
        role: &RoleName,
        trust_policy: &str,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        let iam = self.home_clients().iam_once;
        let request = iam
            .update_assume_role_policy()
            .role_name(role.as_str())
            .policy_document(trust_policy);
        self.write_role(role, "UpdateAssumeRolePolicy", Missing::Changed, guard, request.send())
            .await
    }

    pub(super) async fn update_role(&self, role: &RoleName, seconds: i32, guard: &dyn WriteGuard) -> Outcome {
        let iam = self.home_clients().iam_once;
        let request = iam.update_role().role_name(role.as_str()).max_session_duration(seconds);
        self.write_role(role, "UpdateRole", Missing::Changed, guard, request.send())
            .await
    }

    pub(super) async fn put_role_permissions_boundary(
        &self,
        role: &RoleName,
        boundary_arn: &str,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        let iam = self.home_clients().iam_once;
        let request = iam
            .put_role_permissions_boundary()
            .role_name(role.as_str())
            .permissions_boundary(boundary_arn);
        self.write_role(
            role,
            "PutRolePermissionsBoundary",
            Missing::Failed,
            guard,
            request.send(),
        )
        .await
    }

    pub(super) async fn tag_role(
        &self,
        role: &RoleName,
        tags: &BTreeMap<String, String>,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        const OPERATION: &str = "TagRole";
        let iam = self.home_clients().iam_once;
        let tags = sdk_tags(OPERATION, tags)?;
        let request = iam.tag_role().role_name(role.as_str()).set_tags(Some(tags));
        self.write_role(role, OPERATION, Missing::Changed, guard, request.send())
            .await
    }

    pub(super) async fn put_role_policy(
        &self,
        role: &RoleName,
        name: &str,
        document: &str,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        let iam = self.home_clients().iam_once;
        let request = iam
            .put_role_policy()
            .role_name(role.as_str())
            .policy_name(name)
            .policy_document(document);
        self.write_role(role, "PutRolePolicy", Missing::Changed, guard, request.send())
            .await
    }

    pub(super) async fn delete_role_policy(&self, role: &RoleName, name: &str, guard: &dyn WriteGuard) -> Outcome {
        let iam = self.home_clients().iam_once;
        let request = iam.delete_role_policy().role_name(role.as_str()).policy_name(name);
        self.write_role(role, "DeleteRolePolicy", Missing::Done, guard, request.send())
            .await
    }

    pub(super) async fn attach_role_policy(&self, role: &RoleName, arn: &str, guard: &dyn WriteGuard) -> Outcome {
        let iam = self.home_clients().iam_once;
        let request = iam.attach_role_policy().role_name(role.as_str()).policy_arn(arn);
        self.write_role(role, "AttachRolePolicy", Missing::Failed, guard, request.send())
            .await
    }

    pub(super) async fn detach_role_policy(&self, role: &RoleName, arn: &str, guard: &dyn WriteGuard) -> Outcome {
        let iam = self.home_clients().iam_once;
        let request = iam.detach_role_policy().role_name(role.as_str()).policy_arn(arn);
        self.write_role(role, "DetachRolePolicy", Missing::Done, guard, request.send())
            .await
    }

    pub(super) async fn delete_role(
        &self,
        role: &RoleName,
        inline_policies: &BTreeSet<String>,
        attached_policy_arns: &BTreeSet<String>,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        // Looked at once more before anything is taken off: nothing may go that the plan has not seen.
        let Some(found) = self.read_role(role).await? else {
            self.shared.role_written(role);
            return Ok(Written::Done);
        };
        let foreign = found.path != ROLE_PATH
            || !found.inline_policies.keys().all(|name| inline_policies.contains(name))
            || !found.attached_policy_arns.is_subset(attached_policy_arns);
        if foreign {
            self.shared.role_written(role);
            return Ok(Written::ChangedUnderneath);
        }
        for arn in &found.attached_policy_arns {
            self.detach_role_policy(role, arn, guard).await?;
        }
        for name in found.inline_policies.keys() {
            self.delete_role_policy(role, name, guard).await?;
        }
        let request = self.home_clients().iam_once.delete_role().role_name(role.as_str());
        let deleted = self
            .write_role(role, "DeleteRole", Missing::Done, guard, request.send())
            .await;
        match deleted {
            // Something was hung on it meanwhile.
            Err(WriteError::Failed(failure)) if failure.has_code("DeleteConflict") => Ok(Written::ChangedUnderneath),
            other => other,
        }
    }

    async fn write_role<T, E>(
        &self,
        role: &RoleName,
        operation: &'static str,
        missing: Missing,
        guard: &dyn WriteGuard,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    ) -> Outcome
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let written = self.shared.caller.write(Service::Iam, operation, guard, request).await;
        self.shared.role_written(role);
        let error = match written {
            Ok(_) => return Ok(Written::Done),
            Err(error) => self.settling(role, error),
        };
        match (&error, missing) {
            (WriteError::Failed(f), Missing::Done) if f.error.class == ErrorClass::NotFound => Ok(Written::Done),
            (WriteError::Failed(f), Missing::Changed) if f.error.class == ErrorClass::NotFound => {
                Ok(Written::ChangedUnderneath)
            }
            _ => Err(error),
        }
    }

    /// For a minute after it was created, parts of IAM may not know a role, nor take it for a principal.
    fn settling(&self, role: &RoleName, mut error: WriteError) -> WriteError {
        if let WriteError::Failed(failure) = &mut error {
            let unknown_role = failure.error.class == ErrorClass::NotFound && self.shared.is_settling(role);
            let unknown_principal = failure.has_code("MalformedPolicyDocument")
                && failure.error.message.to_ascii_lowercase().contains("invalid principal")
                && self.shared.any_settling();
            if unknown_role || unknown_principal {
                failure.error.class = ErrorClass::Transient;
            }
        }
        error
    }
}

fn sdk_tags(operation: &'static str, tags: &BTreeMap<String, String>) -> Result<Vec<Tag>, Failure> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::new(operation, ErrorClass::Terminal, format!("tags: {e}")))
}
