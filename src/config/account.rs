//! How one AWS account is reached, and what policies may ask of it.

use serde::Deserialize;

use crate::domain::names::AccountId;

/// One account of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountConfig {
    /// Account id.
    pub id: AccountId,
    /// Role to assume; None: the operator's own credentials.
    pub role_arn: Option<String>,
    /// External id for the assumption; a shared secret of sorts, never shown.
    pub external_id: Option<String>,
    /// Bucket names that policies may claim, with an optional trailing `*`; None: all.
    pub allowed_buckets: Option<Vec<String>>,
    /// Accounts whose KMS keys policies may use, besides the account itself; None: any.
    pub allowed_kms_accounts: Option<Vec<AccountId>>,
    /// Permissions boundary of every role the operator creates.
    pub role_boundary_arn: Option<String>,
}

// By hand, so that the external id cannot get into a log.
impl std::fmt::Debug for AccountConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountConfig")
            .field("id", &self.id)
            .field("role_arn", &self.role_arn)
            .field("external_id", &self.external_id.as_ref().map(|_| "(set)"))
            .field("allowed_buckets", &self.allowed_buckets)
            .field("allowed_kms_accounts", &self.allowed_kms_accounts)
            .field("role_boundary_arn", &self.role_boundary_arn)
            .finish()
    }
}

/// One account as written in the file.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawAccount {
    id: String,
    #[serde(default, rename = "roleARN")]
    role_arn: Option<String>,
    #[serde(default, rename = "externalID")]
    external_id: Option<String>,
    #[serde(default)]
    allowed_buckets: Option<Vec<String>>,
    #[serde(default, rename = "allowedKMSAccounts")]
    allowed_kms_accounts: Option<Vec<String>>,
    #[serde(default, rename = "roleBoundaryARN")]
    role_boundary_arn: Option<String>,
}

impl RawAccount {
    /// Checks it; `None` only with a problem noted.
    pub(super) fn check(self, problems: &mut Vec<String>) -> Option<AccountConfig> {
        let Self {
            id,
            role_arn,
            external_id,
            allowed_buckets,
            allowed_kms_accounts,
            role_boundary_arn,
        } = self;
        let at = format!("accounts[{id}]");
        check_arn(
            problems,
            &format!("{at}.roleARN"),
            role_arn.as_deref(),
            Some(&id),
            "role/",
        );
        check_arn(
            problems,
            &format!("{at}.roleBoundaryARN"),
            role_boundary_arn.as_deref(),
            None,
            "policy/",
        );
        if external_id.is_some() && role_arn.is_none() {
            problems.push(format!("{at}.externalID: means nothing without roleARN"));
        }
        // https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html: ExternalId, 2 to 1224 characters.
        if external_id.as_deref().is_some_and(|e| !(2..=1224).contains(&e.len())) {
            problems.push(format!("{at}.externalID: expected 2 to 1224 characters"));
        }
        for glob in allowed_buckets.iter().flatten() {
            let stem = glob.strip_suffix('*').unwrap_or(glob);
            let ok = glob.len() <= 64
                && stem
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-');
            if !ok || glob.is_empty() {
                problems.push(format!(
                    "{at}.allowedBuckets: {glob:?} is no bucket name, nor the beginning of one followed by *"
                ));
            }
        }
        let allowed_kms_accounts = allowed_kms_accounts.map(|ids| {
            ids.iter()
                .filter_map(|id| {
                    AccountId::new(id)
                        .map_err(|e| problems.push(format!("{at}.allowedKMSAccounts: {e}")))
                        .ok()
                })
                .collect()
        });
        let id = AccountId::new(&id)
            .map_err(|e| problems.push(format!("{at}: {e}; write it in quotes: YAML drops leading zeros")))
            .ok()?;
        Some(AccountConfig {
            id,
            role_arn,
            external_id,
            allowed_buckets,
            allowed_kms_accounts,
            role_boundary_arn,
        })
    }
}

/// `arn:PARTITION:iam::ACCOUNT:KIND…`; with `account`, of that account.
pub(super) fn check_arn(problems: &mut Vec<String>, at: &str, arn: Option<&str>, account: Option<&str>, kind: &str) {
    let Some(arn) = arn else { return };
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [scheme, partition, service, region, owner, resource] = parts.as_slice() else {
        problems.push(format!("{at}: {arn:?} is no ARN"));
        return;
    };
    let partition_ok = matches!(*partition, "aws" | "aws-cn" | "aws-us-gov");
    // Boundaries may be AWS-managed policies, whose owner is "aws".
    let owner_ok = AccountId::new(owner).is_ok() || (*owner == "aws" && kind == "policy/");
    if *scheme != "arn" || !partition_ok || *service != "iam" || !region.is_empty() || !owner_ok {
        problems.push(format!(
            "{at}: {arn:?} is no IAM ARN; expected arn:aws:iam::ACCOUNT:{kind}NAME"
        ));
    } else if resource.strip_prefix(kind).is_none_or(str::is_empty) {
        problems.push(format!("{at}: {arn:?} names no {}", kind.trim_end_matches('/')));
    } else if account.is_some_and(|a| a != *owner) {
        problems.push(format!("{at}: {arn:?} belongs to another account"));
    }
}
