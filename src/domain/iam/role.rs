//! The two documents of a training role: who may assume it (trust), and what it may do (the inline policy). Generated from
//! the policy, the same text for the same policy, checked against IAM's limits. Does not live here: what becomes of a role
//! that carries other documents (`iam::plan`), and what a document allows (`iam::evaluate`).

#[cfg(test)]
mod effect_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use effect_tests::LEFT_OPEN;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::actions::KEY_ACTIONS;
use super::{limits, pod_identity};
use crate::api::WorkloadIdentity;
use crate::domain::document::{ParseError, PolicyDocument};
use crate::domain::names::{BucketName, Partition};
use crate::domain::policy::{BucketTarget, RoleTarget, ServiceAccount, ValidatedPolicy};

/// Name of our inline policy on a role.
pub const INLINE_POLICY: &str = "aidp-readonly";
/// Audience of the tokens that EKS projects into pods. The same in every partition: it is a name, not an endpoint, and
/// `sts.amazonaws.com.cn` is refused in China (eksctl issue 1910).
pub const AUDIENCE: &str = "sts.amazonaws.com";

/// What a training role may at most do on a protected bucket. An explicit list: `s3:Get*` would take in `s3:GetDataAccess`,
/// which vends credentials that write.
pub const READ_ACTIONS: [&str; 7] = [
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:GetObjectTagging",
    "s3:GetObjectAttributes",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:GetBucketLocation",
];

const TRUST: &str = "trust policy";
const INLINE: &str = "inline policy";

/// A document that is ready to be written, with its typed view.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Compact JSON.
    pub json: String,
    /// The same, parsed.
    pub parsed: PolicyDocument,
}

impl Document {
    /// Parses what was generated and checks it against IAM's limits.
    ///
    /// # Errors
    /// [`DocumentError`], naming `kind` and the limit.
    pub fn new(kind: &'static str, value: &Value, limit: usize) -> Result<Self, DocumentError> {
        let json = value.to_string();
        if let Some(character) = limits::refused_character(&json) {
            return Err(DocumentError::Charset { kind, character });
        }
        let chars = limits::chars(&json);
        if chars > limit {
            return Err(DocumentError::TooLarge { kind, chars, limit });
        }
        let parsed = PolicyDocument::parse(&json).map_err(|error| DocumentError::Malformed { kind, error })?;
        Ok(Self { json, parsed })
    }
}

/// Why a role's documents cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// IRSA without a provider to trust.
    #[error("IRSA needs the cluster's OIDC provider: --oidc-provider-arn, as the operator is started with")]
    NoOidcProvider,
    /// Pod Identity without a cluster to trust.
    #[error("Pod Identity needs the EKS cluster: --eks-cluster-arn, as the operator is started with")]
    NoEksCluster,
    /// Larger than IAM takes.
    #[error("the {kind} would have {chars} characters, IAM takes {limit}")]
    TooLarge {
        /// Which document.
        kind: &'static str,
        /// Its size in characters.
        chars: usize,
        /// The limit in characters.
        limit: usize,
    },
    /// A character that IAM takes in no document.
    #[error("the {kind} would contain {character:?}; IAM takes characters up to U+00FF only")]
    Charset {
        /// Which document.
        kind: &'static str,
        /// The character.
        character: char,
    },
    /// Generated, and not in the policy grammar.
    #[error("the {kind} as generated is no policy: {error}")]
    Malformed {
        /// Which document.
        kind: &'static str,
        /// What is wrong with it.
        error: ParseError,
    },
}

/// What a role must carry. Each for itself: where one can't be made, the other is still kept right.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleDocuments {
    /// Trust policy.
    pub trust: Result<Document, DocumentError>,
    /// Inline policy; its name is [`INLINE_POLICY`].
    pub inline: Result<Document, DocumentError>,
}

/// The documents that `role` must carry. An error where IAM would refuse one: too many ServiceAccounts, buckets or
/// prefixes for one role.
pub fn documents(policy: &ValidatedPolicy, role: &RoleTarget) -> RoleDocuments {
    RoleDocuments {
        trust: trust(policy, role),
        inline: Document::new(INLINE, &inline(policy, role), limits::INLINE_CHARS),
    }
}

fn trust(policy: &ValidatedPolicy, role: &RoleTarget) -> Result<Document, DocumentError> {
    let accounts = &role.service_accounts;
    let trust = match role.workload_identity {
        WorkloadIdentity::Irsa => irsa_trust(&oidc_provider(policy).ok_or(DocumentError::NoOidcProvider)?, accounts),
        WorkloadIdentity::PodIdentity => {
            let cluster = policy.settings.eks_cluster.as_ref();
            pod_identity::trust(cluster.ok_or(DocumentError::NoEksCluster)?, accounts)
        }
    };
    Document::new(TRUST, &trust, limits::TRUST_CHARS)
}

/// The cluster's OIDC provider as the policy's account knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcProvider {
    /// ARN in the policy's account: a role can only trust a provider of its own account, and each account that serves the
    /// cluster has one for the cluster's issuer.
    pub arn: String,
    /// The issuer without `https://`, case preserved; prefix of the condition keys.
    pub issuer: String,
}

/// The provider that roles of this policy trust; None where the operator has none configured.
pub fn oidc_provider(policy: &ValidatedPolicy) -> Option<OidcProvider> {
    let (_, issuer) = policy
        .settings
        .oidc_provider_arn
        .as_deref()?
        .split_once(":oidc-provider/")?;
    Some(OidcProvider {
        arn: format!(
            "arn:{}:iam::{}:oidc-provider/{issuer}",
            policy.partition, policy.account
        ),
        issuer: issuer.to_owned(),
    })
}

/// `sub` of a ServiceAccount's token (Kubernetes, "Service account tokens").
pub fn subject(account: &ServiceAccount) -> String {
    format!("system:serviceaccount:{}:{}", account.namespace, account.name)
}

/// Trust for exactly these ServiceAccounts, by exact `sub` and `aud`.
fn irsa_trust(provider: &OidcProvider, accounts: &BTreeSet<ServiceAccount>) -> Value {
    let OidcProvider { arn, issuer } = provider;
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "AidpIrsa",
            "Effect": "Allow",
            "Principal": {"Federated": arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {
                format!("{issuer}:sub"): one_or_many(accounts.iter().map(subject)),
                format!("{issuer}:aud"): AUDIENCE,
            }},
        }],
    })
}

/// The inline policy: Allows for what the role reads, and Denies that hold against whatever else is put on the role.
fn inline(policy: &ValidatedPolicy, role: &RoleTarget) -> Value {
    let mut statements = allows(policy, role);
    statements.extend(denies(policy));
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn allows(policy: &ValidatedPolicy, role: &RoleTarget) -> Vec<Value> {
    let arn = |bucket: &BucketName| policy.partition.bucket_arn(bucket);
    // Tags restrict reading by condition; buckets with the same tags share a statement.
    let mut readings: BTreeMap<&BTreeMap<String, String>, Vec<String>> = BTreeMap::new();
    for grant in &role.read {
        let bucket = arn(&grant.bucket);
        let objects = readings.entry(&grant.object_tags).or_default();
        if grant.prefixes.is_empty() {
            objects.push(format!("{bucket}/*"));
        }
        objects.extend(grant.prefixes.iter().map(|prefix| format!("{bucket}/{prefix}*")));
    }
    let mut statements = Vec::new();
    for (number, (tags, objects)) in readings.into_iter().enumerate() {
        let mut statement = json!({
            "Sid": numbered("AidpRead", number),
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": one_or_many(objects),
        });
        if !tags.is_empty() {
            let keys = tags
                .iter()
                .map(|(key, value)| (format!("s3:ExistingObjectTag/{key}"), json!(value)));
            condition(&mut statement, json!({"StringEquals": keys.collect::<Map<_, _>>()}));
        }
        statements.push(statement);
    }

    // Prefixes restrict a listing by condition, not by resource; buckets with the same prefixes share a statement.
    let mut listings: BTreeMap<&BTreeSet<String>, Vec<String>> = BTreeMap::new();
    for grant in &role.read {
        listings.entry(&grant.prefixes).or_default().push(arn(&grant.bucket));
    }
    for (number, (prefixes, buckets)) in listings.into_iter().enumerate() {
        let mut statement = json!({
            "Sid": numbered("AidpList", number),
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": one_or_many(buckets),
        });
        if !prefixes.is_empty() {
            let patterns = one_or_many(prefixes.iter().map(|p| format!("{p}*")));
            condition(&mut statement, json!({"StringLike": {"s3:prefix": patterns}}));
        }
        statements.push(statement);
    }

    statements.push(json!({
        "Sid": "AidpLocate",
        "Effect": "Allow",
        "Action": "s3:GetBucketLocation",
        "Resource": one_or_many(role.read.iter().map(|grant| arn(&grant.bucket))),
    }));

    let keys = decrypt_keys(policy, role);
    if !keys.is_empty() {
        statements.push(decrypt_statement(policy.partition, keys));
    }
    statements
}

/// The one statement of the inline policy that has a say in decrypting: these keys, by way of S3 in their regions.
pub fn decrypt_statement(partition: Partition, keys: BTreeSet<String>) -> Value {
    let services: BTreeSet<String> = keys
        .iter()
        .filter_map(|key| key.split(':').nth(3))
        .map(|region| format!("s3.{region}.{}", partition.dns_suffix()))
        .collect();
    json!({
        "Sid": "AidpDecrypt",
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": one_or_many(keys),
        "Condition": {"StringEquals": {"kms:ViaService": one_or_many(services)}},
    })
}

/// The keys that the role needs to read its buckets: those that the policy wants on them.
fn decrypt_keys(policy: &ValidatedPolicy, role: &RoleTarget) -> BTreeSet<String> {
    let granted = |bucket: &&BucketTarget| role.read.iter().any(|grant| grant.bucket == bucket.name);
    policy
        .buckets
        .iter()
        .filter(granted)
        .filter_map(|bucket| {
            let want = &bucket.encryption.as_ref()?.want;
            want.kms_key_arn
                .as_ref()
                .or_else(|| want.kms_keys.get(&bucket.region_hint))
                .cloned()
        })
        .collect()
}

fn denies(policy: &ValidatedPolicy) -> Vec<Value> {
    let partition = policy.partition;
    let buckets = policy.buckets.iter().map(|bucket| partition.bucket_arn(&bucket.name));
    let objects = buckets.clone().map(|arn| format!("{arn}/*"));
    vec![
        json!({
            "Sid": "AidpDenyAllButRead",
            "Effect": "Deny",
            "NotAction": READ_ACTIONS,
            "Resource": one_or_many(buckets.flat_map(|arn| [format!("{arn}/*"), arn])),
        }),
        // Implied by the statement above. It is here for reviewers, and for scanners that know no NotAction.
        json!({
            "Sid": "AidpDenyWrite",
            "Effect": "Deny",
            "Action": ["s3:PutObject", "s3:DeleteObject"],
            "Resource": one_or_many(objects),
        }),
        // Of every account and region: an access point may lie in another account than its bucket.
        json!({
            "Sid": "AidpDenyWriteViaAccessPoints",
            "Effect": "Deny",
            "NotAction": ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"],
            "Resource": [
                format!("arn:{partition}:s3:*:*:accesspoint/*"),
                format!("arn:{partition}:s3-object-lambda:*:*:accesspoint/*"),
            ],
        }),
        // Both vend credentials of their own, which no statement on this role reaches.
        json!({
            "Sid": "AidpDenyDataAccessGrants",
            "Effect": "Deny",
            "Action": ["s3:GetDataAccess", "s3express:CreateSession"],
            "Resource": "*",
        }),
        // A key's policy, or a grant on it, may let the role destroy the key, and with it the data.
        json!({
            "Sid": "AidpDenyKeyChanges",
            "Effect": "Deny",
            "Action": KEY_ACTIONS,
            "Resource": "*",
        }),
        // Another role's trust policy may let this one in without any Allow of its own. What a job needs besides it gets
        // from managed policies on this role.
        json!({
            "Sid": "AidpDenyAssumeRole",
            "Effect": "Deny",
            "Action": "sts:AssumeRole",
            "Resource": format!("arn:{partition}:iam::{}:role/*", policy.account),
        }),
        json!({
            "Sid": "AidpDenyInsecureTransport",
            "Effect": "Deny",
            "Action": "s3:*",
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }),
    ]
}

/// A `Sid` is unique in its document.
fn numbered(sid: &str, number: usize) -> String {
    match number {
        0 => sid.to_owned(),
        n => format!("{sid}{n}"),
    }
}

fn condition(statement: &mut Value, block: Value) {
    if let Some(statement) = statement.as_object_mut() {
        statement.insert("Condition".into(), block);
    }
}

/// A scalar for one value, as AWS itself prints it; an array otherwise.
fn one_or_many(values: impl IntoIterator<Item = String>) -> Value {
    let mut values: Vec<Value> = values.into_iter().map(Value::String).collect();
    match values.pop() {
        Some(only) if values.is_empty() => only,
        last => {
            values.extend(last);
            Value::Array(values)
        }
    }
}
