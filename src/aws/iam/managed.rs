//! Managed policies: the document of the default version.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{decode, while_reading};
use crate::aws::classify::Failure;
use crate::aws::service::Service;
use crate::aws::session::AccountSession;
use crate::domain::observed::Read;

impl AccountSession {
    /// The document of a managed policy's default version, not older than `max_age`.
    ///
    /// # Errors
    /// Why it could not be read; [`ErrorClass::NotFound`] if there is no such policy.
    pub async fn managed_policy(&self, arn: &str, max_age: Duration) -> Read<String> {
        let policies = &self.shared.readings.managed_policies;
        let reading = policies
            .get(&arn.to_owned(), max_age, || self.read_managed_policy(arn))
            .await;
        reading.map_err(Into::into)
    }

    async fn read_managed_policy(&self, arn: &str) -> Result<String, Failure> {
        let iam = self.home_clients().iam;
        let request = iam.get_policy().policy_arn(arn).send();
        let output = self.shared.caller.read(Service::Iam, "GetPolicy", request).await?;
        let version = output.policy().and_then(|p| p.default_version_id());
        let version = version.ok_or_else(|| Failure::incomplete("GetPolicy", "default version"))?;
        let documents = &self.shared.readings.policy_versions;
        if let Some(document) = documents.get(arn, version) {
            return Ok(document);
        }
        let request = iam.get_policy_version().policy_arn(arn).version_id(version).send();
        let read = self.shared.caller.read(Service::Iam, "GetPolicyVersion", request).await;
        let output = read.map_err(while_reading)?;
        let document = output.policy_version().and_then(|v| v.document());
        let document = document.ok_or_else(|| Failure::incomplete("GetPolicyVersion", "document"))?;
        let document = decode("GetPolicyVersion", document)?;
        documents.put(arn, version, &document);
        Ok(document)
    }
}

/// Documents of policy versions. A version never changes, so they are kept for as long as there is room.
pub(in crate::aws) struct PolicyVersions(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_version: HashMap<(String, String), String>,
    bytes: usize,
}

impl PolicyVersions {
    /// Room for all of them, bytes. AWS's own policies are up to 100 KB long (ReadOnlyAccess), a customer's up to 6 KB.
    const CAPACITY: usize = 4 << 20;

    pub fn new() -> Self {
        Self(Mutex::default())
    }

    fn get(&self, arn: &str, version: &str) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_version.get(&(arn.to_owned(), version.to_owned())).cloned()
    }

    fn put(&self, arn: &str, version: &str, document: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + document.len() > Self::CAPACITY {
            *kept = Kept::default();
        }
        kept.bytes += document.len();
        kept.by_version
            .insert((arn.to_owned(), version.to_owned()), document.to_owned());
    }
}
