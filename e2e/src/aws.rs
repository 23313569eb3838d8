//! AWS as seen from outside: seeds buckets and roles, tampers with them and judges them, past the proxy and the operator.

use std::net::SocketAddr;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, PublicAccessBlockConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    VersioningConfiguration,
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::Result;
use crate::emulator::{Kind, REGION, SECRET};

/// Clients of the emulator itself.
#[derive(Debug, Clone)]
pub struct Aws {
    /// S3 client.
    pub s3: aws_sdk_s3::Client,
    /// IAM client.
    pub iam: aws_sdk_iam::Client,
    /// KMS client.
    pub kms: aws_sdk_kms::Client,
    /// EKS client. moto has no Pod Identity associations.
    pub eks: aws_sdk_eks::Client,
}

/// Everything about a role that the operator is answerable for.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleSeen {
    /// Path.
    pub path: String,
    /// Trust policy.
    pub trust: Value,
    /// Inline policies by name, in the order of their names.
    pub inline: Vec<(String, Value)>,
    /// ARNs of attached policies, sorted.
    pub attached: Vec<String>,
    /// Tags, sorted.
    pub tags: Vec<(String, String)>,
    /// Permissions boundary.
    pub boundary: Option<String>,
    /// Seconds.
    pub max_session_duration: Option<i32>,
}

/// Everything about a bucket that the operator is answerable for.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketSeen {
    /// `AES256`, `aws:kms …key ARN`; none when there is no configuration.
    pub encryption: Option<String>,
    /// Bucket policy.
    pub policy: Option<Value>,
    /// The four settings, in the order in which AWS documents them; none when there is no block.
    pub public_access_block: Option<[bool; 4]>,
    /// `Enabled`, `Suspended`; none when it was never touched.
    pub versioning: Option<String>,
}

impl Aws {
    /// Clients of moto at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self::of(Kind::Moto, address)
    }

    /// Clients of the emulator at `address`.
    #[must_use]
    pub fn of(kind: Kind, address: SocketAddr) -> Self {
        let endpoint = format!("http://{address}");
        let credentials = Credentials::new(kind.outsider(), SECRET, None, None, "e2e");
        let behavior = BehaviorVersion::v2026_01_12();
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version(behavior)
            .endpoint_url(&endpoint)
            .region(Region::new(REGION))
            .credentials_provider(credentials.clone())
            // A server at an address knows no buckets in host names.
            .force_path_style(true)
            .build();
        let iam = aws_sdk_iam::Config::builder()
            .behavior_version(aws_sdk_iam::config::BehaviorVersion::v2026_01_12())
            .endpoint_url(&endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials.clone())
            .build();
        let kms = aws_sdk_kms::Config::builder()
            .behavior_version(aws_sdk_kms::config::BehaviorVersion::v2026_01_12())
            .endpoint_url(&endpoint)
            .region(Region::new(REGION))
            .credentials_provider(credentials.clone())
            .build();
        let eks = aws_sdk_eks::Config::builder()
            .behavior_version(aws_sdk_eks::config::BehaviorVersion::v2026_01_12())
            .endpoint_url(&endpoint)
            .region(Region::new(REGION))
            .credentials_provider(credentials)
            .build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            iam: aws_sdk_iam::Client::from_conf(iam),
            kms: aws_sdk_kms::Client::from_conf(kms),
            eks: aws_sdk_eks::Client::from_conf(eks),
        }
    }

    /// Creates a bucket in the home region, bare: no encryption, no policy, no public access block.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn create_bucket(&self, name: &str) -> Result<()> {
        self.create_bucket_in(name, REGION).await
    }

    /// Creates a bare bucket in a region.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn create_bucket_in(&self, name: &str, region: &str) -> Result<()> {
        let place = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(region))
            .build();
        let there = aws_sdk_s3::config::Builder::default().region(Region::new(region.to_owned()));
        let request = self.s3.create_bucket().bucket(name).create_bucket_configuration(place);
        request.customize().config_override(there).send().await?;
        Ok(())
    }

    /// Reads everything about a bucket.
    ///
    /// # Errors
    /// The emulator's, but for "not there".
    pub async fn bucket(&self, name: &str) -> Result<BucketSeen> {
        Ok(BucketSeen {
            encryption: self.encryption(name).await?,
            policy: self.policy(name).await?,
            public_access_block: self.public_access_block(name).await?,
            versioning: self.versioning(name).await?,
        })
    }

    async fn versioning(&self, name: &str) -> Result<Option<String>> {
        match self.s3.get_bucket_versioning().bucket(name).send().await {
            Ok(output) => Ok(output.status.map(|status| status.as_str().to_owned())),
            // moto's answer has another root element than the SDK expects.
            Err(error) => {
                let body = error
                    .raw_response()
                    .filter(|r| r.status().is_success())
                    .and_then(|r| r.body().bytes());
                let text = String::from_utf8_lossy(body.ok_or_else(|| crate::chain(&error))?).into_owned();
                let status = text
                    .split_once("<Status>")
                    .and_then(|(_, rest)| rest.split_once("</Status>"));
                Ok(status.map(|(status, _)| status.to_owned()))
            }
        }
    }

    async fn encryption(&self, name: &str) -> Result<Option<String>> {
        let answer = self.s3.get_bucket_encryption().bucket(name).send().await;
        let Some(output) = absent_as_none(answer, "ServerSideEncryptionConfigurationNotFoundError")? else {
            return Ok(None);
        };
        let rules = output
            .server_side_encryption_configuration
            .map(|c| c.rules)
            .unwrap_or_default();
        Ok(rules
            .into_iter()
            .find_map(|rule| rule.apply_server_side_encryption_by_default)
            .map(|default| {
                let algorithm = default.sse_algorithm.as_str().to_owned();
                default
                    .kms_master_key_id
                    .map_or(algorithm.clone(), |key| format!("{algorithm} {key}"))
            }))
    }

    /// The bucket policy as a value.
    ///
    /// # Errors
    /// The emulator's, or when what is stored is no JSON.
    pub async fn policy(&self, name: &str) -> Result<Option<Value>> {
        Ok(self
            .policy_text(name)
            .await?
            .map(|text| serde_json::from_str(&text))
            .transpose()?)
    }

    /// The bucket policy as stored.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn policy_text(&self, name: &str) -> Result<Option<String>> {
        let answer = self.s3.get_bucket_policy().bucket(name).send().await;
        Ok(absent_as_none(answer, "NoSuchBucketPolicy")?.and_then(|output| output.policy))
    }

    async fn public_access_block(&self, name: &str) -> Result<Option<[bool; 4]>> {
        let answer = self.s3.get_public_access_block().bucket(name).send().await;
        let output = absent_as_none(answer, "NoSuchPublicAccessBlockConfiguration")?;
        Ok(output
            .and_then(|output| output.public_access_block_configuration)
            .map(|block| {
                [
                    block.block_public_acls,
                    block.ignore_public_acls,
                    block.block_public_policy,
                    block.restrict_public_buckets,
                ]
                .map(Option::unwrap_or_default)
            }))
    }

    /// Stores a bucket policy, or whatever text is given.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn put_policy(&self, name: &str, document: &str) -> Result<()> {
        self.s3.put_bucket_policy().bucket(name).policy(document).send().await?;
        Ok(())
    }

    /// Sets the default encryption.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn put_encryption(&self, name: &str, algorithm: ServerSideEncryption, key: Option<&str>) -> Result<()> {
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(algorithm)
            .set_kms_master_key_id(key.map(str::to_owned))
            .build()?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .build();
        let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build()?;
        let request = self.s3.put_bucket_encryption().bucket(name);
        request
            .server_side_encryption_configuration(configuration)
            .send()
            .await?;
        Ok(())
    }

    /// Suspends versioning.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn suspend_versioning(&self, name: &str) -> Result<()> {
        let suspended = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Suspended)
            .build();
        self.s3
            .put_bucket_versioning()
            .bucket(name)
            .versioning_configuration(suspended)
            .send()
            .await?;
        Ok(())
    }

    /// Sets the four settings of the public access block alike.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn put_public_access_block(&self, name: &str, on: bool) -> Result<()> {
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(on)
            .ignore_public_acls(on)
            .block_public_policy(on)
            .restrict_public_buckets(on)
            .build();
        self.s3
            .put_public_access_block()
            .bucket(name)
            .public_access_block_configuration(block)
            .send()
            .await?;
        Ok(())
    }

    /// Creates a symmetric KMS key with rotation in the home region and returns its ARN.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn create_key(&self) -> Result<String> {
        let output = self.kms.create_key().send().await?;
        let key = output.key_metadata.ok_or("CreateKey without a key")?;
        let rotation = self.kms.enable_key_rotation().key_id(key.key_id());
        rotation.send().await?;
        Ok(key.arn.ok_or("CreateKey without an ARN")?)
    }

    /// Reads everything about a role; none when there is no such role.
    ///
    /// # Errors
    /// The emulator's, but for "not there".
    pub async fn role(&self, name: &str) -> Result<Option<RoleSeen>> {
        let answer = self.iam.get_role().role_name(name).send().await;
        let Some(role) = absent_as_none(answer, "NoSuchEntity")?.and_then(|output| output.role) else {
            return Ok(None);
        };
        let mut inline = Vec::new();
        for policy in self.iam.list_role_policies().role_name(name).send().await?.policy_names {
            let output = self
                .iam
                .get_role_policy()
                .role_name(name)
                .policy_name(&policy)
                .send()
                .await?;
            inline.push((policy, decoded(&output.policy_document)?));
        }
        inline.sort_by(|a, b| a.0.cmp(&b.0));
        let attached = self.iam.list_attached_role_policies().role_name(name).send().await?;
        let mut attached: Vec<String> = attached
            .attached_policies
            .unwrap_or_default()
            .into_iter()
            .filter_map(|policy| policy.policy_arn)
            .collect();
        attached.sort();
        let mut tags: Vec<(String, String)> = role
            .tags
            .unwrap_or_default()
            .into_iter()
            .map(|tag| (tag.key, tag.value))
            .collect();
        tags.sort();
        Ok(Some(RoleSeen {
            path: role.path,
            trust: decoded(role.assume_role_policy_document.as_deref().unwrap_or_default())?,
            inline,
            attached,
            tags,
            boundary: role
                .permissions_boundary
                .and_then(|boundary| boundary.permissions_boundary_arn),
            max_session_duration: role.max_session_duration,
        }))
    }

    /// Creates a managed policy and returns its ARN.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn create_policy(&self, name: &str, document: &Value) -> Result<String> {
        let output = self
            .iam
            .create_policy()
            .policy_name(name)
            .policy_document(document.to_string())
            .send()
            .await?;
        Ok(output
            .policy
            .and_then(|policy| policy.arn)
            .ok_or("CreatePolicy without an ARN")?)
    }

    /// Creates a role that is not the operator's.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn create_role(&self, name: &str, trust: &Value) -> Result<()> {
        self.iam
            .create_role()
            .role_name(name)
            .assume_role_policy_document(trust.to_string())
            .send()
            .await?;
        Ok(())
    }

    /// Deletes a role with everything that hangs on it, as an administrator who cleans up would.
    ///
    /// # Errors
    /// The emulator's.
    pub async fn delete_role(&self, name: &str) -> Result<()> {
        for policy in self.iam.list_role_policies().role_name(name).send().await?.policy_names {
            self.iam
                .delete_role_policy()
                .role_name(name)
                .policy_name(policy)
                .send()
                .await?;
        }
        let attached = self
            .iam
            .list_attached_role_policies()
            .role_name(name)
            .send()
            .await?
            .attached_policies;
        for policy in attached.unwrap_or_default() {
            self.iam
                .detach_role_policy()
                .role_name(name)
                .set_policy_arn(policy.policy_arn)
                .send()
                .await?;
        }
        self.iam.delete_role().role_name(name).send().await?;
        Ok(())
    }
}

/// IAM sends documents percent-encoded (RFC 3986), and the SDK hands them on like that.
fn decoded(document: &str) -> Result<Value> {
    Ok(serde_json::from_str(&percent_decode_str(document).decode_utf8()?)?)
}

fn absent_as_none<T, E, R>(
    answer: std::result::Result<T, aws_sdk_s3::error::SdkError<E, R>>,
    code: &str,
) -> Result<Option<T>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match answer {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.as_service_error().and_then(ProvideErrorMetadata::code) == Some(code) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
