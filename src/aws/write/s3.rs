//! Writes to buckets. `ExpectedBucketOwner` on every one.

use std::collections::BTreeSet;

use aws_sdk_s3::types::{
    BlockedEncryptionTypes, BucketVersioningStatus, EncryptionType, PublicAccessBlockConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    VersioningConfiguration,
};
use aws_smithy_types::error::operation::BuildError;

use super::{Outcome, Written};
use crate::aws::call::{WriteError, WriteGuard};
use crate::aws::classify::Failure;
use crate::aws::s3::{Place, not_the_owner};
use crate::aws::service::Service;
use crate::aws::session::AccountSession;
use crate::domain::document::PolicyDocument;
use crate::domain::document::equivalence::equivalent;
use crate::domain::observed::{EncryptionRule, EncryptionState, ErrorClass, PublicAccessBlock, VersioningState};
use crate::domain::s3::public_statement;

impl AccountSession {
    pub(super) async fn put_bucket_encryption(
        &self,
        at: &Place,
        seen: &EncryptionState,
        rule: &EncryptionRule,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        const OPERATION: &str = "PutBucketEncryption";
        let configuration = encryption_configuration(rule).map_err(|e| {
            Failure::new(
                OPERATION,
                ErrorClass::Terminal,
                format!("the request cannot be built: {e}"),
            )
        })?;
        if self.get_bucket_encryption(at).await? != *seen {
            self.shared.readings.encryption.invalidate(at);
            return Ok(Written::ChangedUnderneath);
        }
        let request = self
            .clients(&at.region)
            .s3_once
            .put_bucket_encryption()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner())
            .server_side_encryption_configuration(configuration);
        let put = self.shared.caller.write(Service::S3, OPERATION, guard, request.send());
        let put = put.await;
        self.shared.readings.encryption.invalidate(at);
        put?;
        let found = self.get_bucket_encryption(at).await?;
        Ok(observed(encryption_took_effect(rule, &found)))
    }

    pub(super) async fn put_bucket_policy(
        &self,
        at: &Place,
        seen: Option<&str>,
        document: &str,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        let current = self.get_bucket_policy(at).await?;
        if !same_policy(current.as_deref(), seen) {
            self.shared.readings.policy.invalidate(at);
            return Ok(Written::ChangedUnderneath);
        }
        let request = self
            .clients(&at.region)
            .s3_once
            .put_bucket_policy()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner())
            .policy(document);
        let put = self
            .shared
            .caller
            .write(Service::S3, "PutBucketPolicy", guard, request.send());
        let put = put.await;
        self.shared.readings.policy.invalidate(at);
        put.map_err(|error| may_be_public(self.settling_principal(error), document))?;
        let found = self.get_bucket_policy(at).await?;
        Ok(observed(same_policy(found.as_deref(), Some(document))))
    }

    pub(super) async fn delete_bucket_policy(&self, at: &Place, seen: &str, guard: &dyn WriteGuard) -> Outcome {
        let Some(current) = self.get_bucket_policy(at).await? else {
            return Ok(Written::Done);
        };
        if !same_policy(Some(&current), Some(seen)) {
            self.shared.readings.policy.invalidate(at);
            return Ok(Written::ChangedUnderneath);
        }
        let request = self
            .clients(&at.region)
            .s3_once
            .delete_bucket_policy()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner());
        let delete = self
            .shared
            .caller
            .write(Service::S3, "DeleteBucketPolicy", guard, request.send());
        let deleted = delete.await;
        self.shared.readings.policy.invalidate(at);
        deleted.map_err(|error| match error {
            WriteError::Failed(failure) => WriteError::Failed(not_the_owner(failure)),
            WriteError::NotLeader => WriteError::NotLeader,
        })?;
        let found = self.get_bucket_policy(at).await?;
        Ok(observed(found.is_none()))
    }

    pub(super) async fn put_public_access_block(
        &self,
        at: &Place,
        seen: Option<PublicAccessBlock>,
        settings: PublicAccessBlock,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        let PublicAccessBlock {
            block_public_acls,
            ignore_public_acls,
            block_public_policy,
            restrict_public_buckets,
        } = settings;
        if self.get_public_access_block(at).await? != seen {
            self.shared.readings.public_access_block.invalidate(at);
            return Ok(Written::ChangedUnderneath);
        }
        // S3 replaces all four.
        let configuration = PublicAccessBlockConfiguration::builder()
            .block_public_acls(block_public_acls)
            .ignore_public_acls(ignore_public_acls)
            .block_public_policy(block_public_policy)
            .restrict_public_buckets(restrict_public_buckets)
            .build();
        let request = self
            .clients(&at.region)
            .s3_once
            .put_public_access_block()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner())
            .public_access_block_configuration(configuration);
        let put = self
            .shared
            .caller
            .write(Service::S3, "PutPublicAccessBlock", guard, request.send());
        let put = put.await;
        self.shared.readings.public_access_block.invalidate(at);
        put?;
        let found = self.get_public_access_block(at).await?;
        Ok(observed(found == Some(settings)))
    }

    pub(super) async fn enable_bucket_versioning(
        &self,
        at: &Place,
        seen: VersioningState,
        guard: &dyn WriteGuard,
    ) -> Outcome {
        if self.get_bucket_versioning(at).await?.state != seen {
            self.shared.readings.versioning.invalidate(at);
            return Ok(Written::ChangedUnderneath);
        }
        // Never MFADelete: it needs the root user's device.
        let configuration = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Enabled)
            .build();
        let request = self
            .clients(&at.region)
            .s3_once
            .put_bucket_versioning()
            .bucket(at.bucket.as_str())
            .set_expected_bucket_owner(at.expected_owner())
            .versioning_configuration(configuration);
        let put = self
            .shared
            .caller
            .write(Service::S3, "PutBucketVersioning", guard, request.send());
        let put = put.await;
        self.shared.readings.versioning.invalidate(at);
        put?;
        let found = self.get_bucket_versioning(at).await?;
        Ok(observed(found.state == VersioningState::Enabled))
    }

    /// A policy that names a role which is only seconds old is refused as malformed until S3 knows the role.
    fn settling_principal(&self, mut error: WriteError) -> WriteError {
        if let WriteError::Failed(failure) = &mut error
            && failure.has_code("MalformedPolicy")
            && failure.error.message.to_ascii_lowercase().contains("invalid principal")
            && self.shared.any_settling()
        {
            failure.error.class = ErrorClass::Transient;
        }
        error
    }
}

pub(super) fn observed(is_there: bool) -> Written {
    if is_there { Written::Done } else { Written::NotObserved }
}

/// With `BlockPublicPolicy` on, at the bucket or the account, S3 refuses a whole document for one public statement in it,
/// with the same code as for a missing right (S3 User Guide, "Blocking public access").
fn may_be_public(mut error: WriteError, document: &str) -> WriteError {
    let public = || PolicyDocument::parse(document).ok().and_then(|d| public_statement(&d));
    if let WriteError::Failed(Failure { error, .. }) = &mut error
        && error.class == ErrorClass::AccessDenied
        && let Some(i) = public()
    {
        error.message = format!(
            "statement {i} of the bucket policy lets everybody in, and AWS refuses every policy with it while BlockPublicPolicy is on; narrow its principal ({})",
            error.message
        );
    }
    error
}

/// Whether two readings of a bucket policy are the same text, or say the same. What does not parse is only the same as
/// itself.
fn same_policy(a: Option<&str>, b: Option<&str>) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    matches!(
        (PolicyDocument::parse(a), PolicyDocument::parse(b)),
        (Ok(a), Ok(b)) if equivalent(&a, &b)
    )
}

fn encryption_configuration(rule: &EncryptionRule) -> Result<ServerSideEncryptionConfiguration, BuildError> {
    let EncryptionRule {
        algorithm,
        kms_key_id,
        bucket_key_enabled,
        blocked_encryption_types,
    } = rule;
    let by_default = ServerSideEncryptionByDefault::builder()
        .set_sse_algorithm(algorithm.as_deref().map(ServerSideEncryption::from))
        .set_kms_master_key_id(kms_key_id.clone())
        .build()?;
    let blocked = blocked_encryption_types.as_ref().map(|types| {
        let types = types.iter().map(|t| EncryptionType::from(t.as_str())).collect();
        BlockedEncryptionTypes::builder()
            .set_encryption_type(Some(types))
            .build()
    });
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default)
        .set_bucket_key_enabled(*bucket_key_enabled)
        .set_blocked_encryption_types(blocked)
        .build();
    ServerSideEncryptionConfiguration::builder().rules(rule).build()
}

/// Whether everything that was sent can be seen. What was not sent may be anything.
fn encryption_took_effect(sent: &EncryptionRule, found: &EncryptionState) -> bool {
    let EncryptionState::Rules(rules) = found else {
        return false;
    };
    let [found] = rules.as_slice() else {
        return false;
    };
    let EncryptionRule {
        algorithm,
        kms_key_id,
        bucket_key_enabled,
        blocked_encryption_types,
    } = sent;
    // An absent list, an empty one and ["NONE"] all mean that nothing is blocked (semantics of BlockedEncryptionTypes).
    let blocked = |types: &Option<Vec<String>>| -> BTreeSet<String> {
        let types = types.iter().flatten();
        types.filter(|t| *t != "NONE").cloned().collect()
    };
    *algorithm == found.algorithm
        && (kms_key_id.is_none() || *kms_key_id == found.kms_key_id)
        && bucket_key_enabled.is_none_or(|sent| sent == found.bucket_key_enabled.unwrap_or(false))
        && (blocked_encryption_types.is_none()
            || blocked(blocked_encryption_types) == blocked(&found.blocked_encryption_types))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(algorithm: &str, blocked: Option<&[&str]>) -> EncryptionRule {
        EncryptionRule {
            algorithm: Some(algorithm.to_owned()),
            kms_key_id: None,
            bucket_key_enabled: None,
            blocked_encryption_types: blocked.map(|b| b.iter().map(|&t| t.to_owned()).collect()),
        }
    }

    #[test]
    fn an_encryption_setting_took_effect_only_if_every_field_sent_can_be_seen() {
        let sent = rule("aws:kms", Some(&["SSE-C"]));
        let table = [
            (EncryptionState::Rules(vec![sent.clone()]), true),
            (EncryptionState::Implicit, false),
            (EncryptionState::Rules(vec![]), false),
            (EncryptionState::Rules(vec![sent.clone(), sent.clone()]), false),
            (EncryptionState::Rules(vec![rule("aws:kms", None)]), false),
            (EncryptionState::Rules(vec![rule("AES256", Some(&["SSE-C"]))]), false),
        ];
        for (found, expected) in table {
            assert_eq!(encryption_took_effect(&sent, &found), expected, "{found:?}");
        }
        let nothing_blocked = rule("AES256", Some(&["NONE"]));
        assert!(encryption_took_effect(
            &nothing_blocked,
            &EncryptionState::Rules(vec![rule("AES256", None)])
        ));
    }

    #[test]
    fn a_policy_is_the_same_whatever_its_spelling_and_nothing_else_is() {
        let a = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}"#;
        let b = r#"{"Version":"2012-10-17","Statement":{"Action":["s3:*"],"Effect":"Deny","Principal":{"AWS":"*"},"Resource":"*"}}"#;
        let other = a.replace("s3:*", "s3:PutObject");
        assert!(same_policy(Some(a), Some(b)));
        assert!(same_policy(Some("garbage"), Some("garbage")));
        assert!(same_policy(None, None));
        for different in [Some(other.as_str()), Some("garbage"), None] {
            assert!(!same_policy(Some(a), different), "{different:?}");
        }
    }
}
