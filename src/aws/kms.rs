//! Reads of KMS keys. Nothing is ever written to a key.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kms::types::{KeyManagerType, KeyMetadata, KeySpec, KeyState as SdkState, OriginType};

use super::call::Service;
use super::classify::Failure;
use super::iam::next_marker;
use super::session::AccountSession;
use super::time::timestamp;
use crate::domain::names::Region;
use crate::domain::observed::{
    ErrorClass, KeyGrant, KeyManager, KeyObservation, KeyQuery, KeyRotation, KeyState, Read,
};

/// Pages of one key's grants, of 50 each by default. AWS allows 50,000 grants on a key; who has that many is not judged.
const MAX_PAGES: usize = 20;

impl AccountSession {
    /// Reads a key, not older than `max_age`.
    ///
    /// # Errors
    /// Why it could not be described; [`ErrorClass::NotFound`] if there is no such key. Rotation, policy and grants fail
    /// on their own.
    pub async fn observe_key(&self, query: &KeyQuery, max_age: Duration) -> Read<KeyObservation> {
        let keys = &self.shared.readings.keys;
        let reading = keys.get(query, max_age, || self.read_key(query)).await;
        reading.map_err(Into::into)
    }

    async fn read_key(&self, query: &KeyQuery) -> Result<KeyObservation, Failure> {
        const OPERATION: &str = "DescribeKey";
        let request = self.clients(&query.region).kms.describe_key().key_id(&query.key_id);
        let output = self.shared.caller.read(Service::Kms, OPERATION, request.send()).await?;
        let metadata = output.key_metadata();
        let metadata = metadata.ok_or_else(|| Failure::incomplete(OPERATION, "key"))?;
        let arn = metadata.arn().ok_or_else(|| Failure::incomplete(OPERATION, "ARN"))?;
        let state = metadata.key_state();
        let state = key_state(state.ok_or_else(|| Failure::incomplete(OPERATION, "state"))?);
        // By ARN: GetKeyRotationStatus and GetKeyPolicy take no alias.
        let (rotation, policy, grants) = futures::join!(
            self.key_rotation(&query.region, arn, metadata),
            self.key_policy(&query.region, arn),
            self.key_grants(&query.region, arn),
        );
        Ok(KeyObservation {
            arn: arn.to_owned(),
            state,
            spec: metadata.key_spec().map(|s| s.as_str().to_owned()),
            usage: metadata.key_usage().map(|u| u.as_str().to_owned()),
            manager: key_manager(metadata),
            origin: metadata.origin().map(|o| o.as_str().to_owned()),
            valid_to: metadata.valid_to().and_then(timestamp),
            deletion_time: metadata.deletion_date().and_then(timestamp),
            rotation: rotation.map_err(Into::into),
            policy: policy.map_err(Into::into),
            grants: grants.map_err(Into::into),
        })
    }

    async fn key_rotation(&self, region: &Region, arn: &str, metadata: &KeyMetadata) -> Result<KeyRotation, Failure> {
        if let Some(known) = rotation_without_asking(metadata) {
            return Ok(known);
        }
        let request = self.clients(region).kms.get_key_rotation_status().key_id(arn);
        let read = self
            .shared
            .caller
            .read(Service::Kms, "GetKeyRotationStatus", request.send());
        match read.await {
            Ok(output) if output.key_rotation_enabled() => Ok(KeyRotation::Enabled),
            Ok(_) => Ok(KeyRotation::Disabled),
            Err(failure) if failure.has_code("UnsupportedOperationException") => Ok(KeyRotation::NotApplicable),
            Err(failure) => Err(failure),
        }
    }

    async fn key_policy(&self, region: &Region, arn: &str) -> Result<String, Failure> {
        const OPERATION: &str = "GetKeyPolicy";
        // A key has exactly one policy, of this name.
        let request = self
            .clients(region)
            .kms
            .get_key_policy()
            .key_id(arn)
            .policy_name("default");
        let output = self.shared.caller.read(Service::Kms, OPERATION, request.send()).await?;
        output.policy.ok_or_else(|| Failure::incomplete(OPERATION, "policy"))
    }

    async fn key_grants(&self, region: &Region, arn: &str) -> Result<BTreeSet<KeyGrant>, Failure> {
        const OPERATION: &str = "ListGrants";
        let kms = self.clients(region).kms;
        let mut grants = BTreeSet::new();
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let request = kms.list_grants().key_id(arn).limit(100).set_marker(marker.clone());
            let page = self.shared.caller.read(Service::Kms, OPERATION, request.send()).await?;
            for grant in page.grants() {
                let grantee = grant.grantee_principal().or(grant.grantee_service_principal());
                let grantee = grantee.ok_or_else(|| Failure::incomplete(OPERATION, "grantee"))?;
                grants.insert(KeyGrant {
                    id: grant.grant_id().unwrap_or_default().to_owned(),
                    grantee: grantee.to_owned(),
                    operations: grant.operations().iter().map(|o| o.as_str().to_owned()).collect(),
                });
            }
            marker = next_marker(OPERATION, page.truncated, page.next_marker, marker.as_ref())?;
            if marker.is_none() {
                return Ok(grants);
            }
        }
        let message = format!("more than {MAX_PAGES} pages; not judged, because it could only be judged in part");
        Err(Failure::new(OPERATION, ErrorClass::Terminal, message))
    }
}

/// What "Rotate AWS KMS keys" says without a call: AWS rotates its own keys, and some keys cannot rotate.
fn rotation_without_asking(metadata: &KeyMetadata) -> Option<KeyRotation> {
    let own_material = metadata.origin().is_some_and(|origin| *origin != OriginType::AwsKms);
    let asymmetric = metadata
        .key_spec()
        .is_some_and(|spec| *spec != KeySpec::SymmetricDefault);
    if own_material || asymmetric {
        return Some(KeyRotation::NotApplicable);
    }
    (metadata.key_manager() == Some(&KeyManagerType::Aws)).then_some(KeyRotation::Enabled)
}

fn key_state(state: &SdkState) -> KeyState {
    match state {
        SdkState::Enabled => KeyState::Enabled,
        SdkState::Disabled => KeyState::Disabled,
        SdkState::PendingDeletion | SdkState::PendingReplicaDeletion => KeyState::PendingDeletion,
        SdkState::PendingImport => KeyState::PendingImport,
        SdkState::Unavailable => KeyState::Unavailable,
        other => KeyState::Other(other.as_str().to_owned()),
    }
}

fn key_manager(metadata: &KeyMetadata) -> Option<KeyManager> {
    match metadata.key_manager()? {
        KeyManagerType::Aws => Some(KeyManager::Aws),
        KeyManagerType::Customer => Some(KeyManager::Customer),
        _ => None,
    }
}
