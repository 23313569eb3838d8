//! Reads of KMS keys. Nothing is ever written to a key.
//!
//! A key costs one call a sweep, however many buckets have it. Rotation is only reported, and so read once an hour; so are its
//! policy and grants, unless a decision rests on them: a proof about a role, or the switch of a bucket to the key.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kms::types::{GrantConstraints, KeyManagerType, KeyMetadata, KeySpec, KeyState as SdkState, OriginType};

use jiff::Timestamp;

use super::classify::Failure;
use super::paging::next_marker;
use super::s3::Cadence;
use super::service::Service;
use super::session::AccountSession;
use super::time::timestamp;
use crate::domain::names::Region;
use crate::domain::observed::{
    CallError, ErrorClass, KeyGrant, KeyManager, KeyObservation, KeyQuery, KeyRotation, KeyState, Read,
};

/// Pages of one key's grants, of 50 each by default. AWS allows 50,000 grants on a key; who has that many is not judged.
const MAX_PAGES: usize = 20;

/// What `DescribeKey` says.
#[derive(Clone, Debug)]
pub(super) struct Described {
    arn: String,
    state: KeyState,
    spec: Option<String>,
    usage: Option<String>,
    manager: Option<KeyManager>,
    origin: Option<String>,
    valid_to: Option<Timestamp>,
    deletion_time: Option<Timestamp>,
    /// Where it is known without asking.
    rotation: Option<KeyRotation>,
}

/// A key, by region and ARN: several aliases may mean the same.
pub(super) type KeyPlace = (Region, String);

impl AccountSession {
    /// Reads a key, not older than `max_age`; its policy and grants as often as `rights` says (never is an hour, too).
    ///
    /// # Errors
    /// Why it could not be described; [`ErrorClass::NotFound`] if there is no such key. Rotation, policy and grants fail
    /// on their own.
    pub async fn observe_key(&self, query: &KeyQuery, max_age: Duration, rights: Cadence) -> Read<KeyObservation> {
        let kept = &self.shared.readings;
        let described = kept.keys.get(query, max_age, || self.describe_key(query)).await;
        let Described {
            arn,
            state,
            spec,
            usage,
            manager,
            origin,
            valid_to,
            deletion_time,
            rotation,
        } = described.map_err(CallError::from)?;
        // By ARN: GetKeyRotationStatus and GetKeyPolicy take no alias.
        let at = (query.region.clone(), arn.clone());
        let reported = Cadence::Occasionally.age(max_age).unwrap_or(max_age);
        let rights = rights.age(max_age).unwrap_or(reported);
        let (rotation, policy, grants) = futures::join!(
            async {
                match rotation {
                    Some(known) => Ok(known),
                    None => kept.key_rotation.get(&at, reported, || self.key_rotation(&at)).await,
                }
            },
            kept.key_policies.get(&at, rights, || self.key_policy(&at)),
            kept.key_grants.get(&at, rights, || self.key_grants(&at)),
        );
        Ok(KeyObservation {
            arn,
            state,
            spec,
            usage,
            manager,
            origin,
            valid_to,
            deletion_time,
            rotation: rotation.map_err(Into::into),
            policy: policy.map_err(Into::into),
            grants: grants.map_err(Into::into),
        })
    }

    async fn describe_key(&self, query: &KeyQuery) -> Result<Described, Failure> {
        const OPERATION: &str = "DescribeKey";
        let request = self.clients(&query.region).kms.describe_key().key_id(&query.key_id);
        let output = self.shared.caller.read(Service::Kms, OPERATION, request.send()).await?;
        let metadata = output.key_metadata();
        let metadata = metadata.ok_or_else(|| Failure::incomplete(OPERATION, "key"))?;
        let arn = metadata.arn().ok_or_else(|| Failure::incomplete(OPERATION, "ARN"))?;
        let state = metadata.key_state();
        let state = key_state(state.ok_or_else(|| Failure::incomplete(OPERATION, "state"))?);
        Ok(Described {
            arn: arn.to_owned(),
            state,
            spec: metadata.key_spec().map(|s| s.as_str().to_owned()),
            usage: metadata.key_usage().map(|u| u.as_str().to_owned()),
            manager: key_manager(metadata),
            origin: metadata.origin().map(|o| o.as_str().to_owned()),
            valid_to: metadata.valid_to().and_then(timestamp),
            deletion_time: metadata.deletion_date().and_then(timestamp),
            rotation: rotation_without_asking(metadata),
        })
    }

    async fn key_rotation(&self, (region, arn): &KeyPlace) -> Result<KeyRotation, Failure> {
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

    async fn key_policy(&self, (region, arn): &KeyPlace) -> Result<String, Failure> {
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

    async fn key_grants(&self, (region, arn): &KeyPlace) -> Result<BTreeSet<KeyGrant>, Failure> {
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
                    is_constrained: grant.constraints().is_some_and(is_bound),
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

/// Whether there is anything in it.
fn is_bound(constraints: &GrantConstraints) -> bool {
    *constraints != GrantConstraints::builder().build()
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
