//! Buckets: baseline, controls and overrides resolved into what is asked of each bucket.

use std::collections::{BTreeMap, BTreeSet};

use super::Problems;
use crate::api::{
    Bucket, BucketControls, BucketControlsOverride, BucketSelector, BucketTag, ControlMode, Encryption,
    EncryptionAlgorithm, EncryptionOverride, Gating, KMSKey, Mode, ObjectOwnership, PublicAccess, TLSVersion, Targets,
    Transport, Uploads, Versioning,
};
use crate::domain::names::{AccountId, BucketName, Partition, Region};
use crate::domain::policy::{
    BucketTarget, BucketTemplate, Controlled, OperatorSettings, SelectorTarget, WantAccessLogging, WantEncryption,
};

pub(super) struct BucketContext<'a> {
    pub(super) mode: Mode,
    pub(super) region: &'a Region,
    pub(super) partition: Partition,
    pub(super) account: &'a AccountId,
    pub(super) settings: &'a OperatorSettings,
    pub(super) inventory: &'a Targets,
}

/// How a control counts: None = ignored, not even read.
fn gating(mode: Mode, present: bool, control: Option<ControlMode>) -> Option<Gating> {
    match (present, control.unwrap_or(ControlMode::Enforce), mode) {
        (_, ControlMode::Ignore, _) => None,
        (false, ControlMode::Enforce | ControlMode::Audit, _) | (true, ControlMode::Audit, Mode::Enforce) => {
            Some(Gating::ReportOnly)
        }
        (true, ControlMode::Enforce, _) | (true, ControlMode::Audit, Mode::Audit) => Some(Gating::Gating),
    }
}

/// Absent bucketControls stand for the baseline; present ones for themselves, and what they leave out is report-only.
pub(super) fn effective_controls(controls: Option<&BucketControls>) -> BucketControls {
    controls.cloned().unwrap_or_else(|| BucketControls {
        encryption: Some(Encryption {
            mode: None,
            algorithm: EncryptionAlgorithm::SseS3,
            kms_keys: Vec::new(),
            bucket_key: None,
            customer_keys: None,
            uploads: None,
        }),
        transport: Some(Transport::default()),
        public_access: Some(PublicAccess::default()),
        object_ownership: None,
        versioning: None,
        access_logging: None,
    })
}

pub(super) fn validate_buckets(
    buckets: &[Bucket],
    controls: &BucketControls,
    context: &BucketContext<'_>,
    problems: &mut Problems,
) -> Vec<BucketTarget> {
    let regions: BTreeMap<&str, &str> = context
        .inventory
        .buckets
        .iter()
        .filter_map(|b| Some((b.name.as_str(), b.region.as_deref()?)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut out = Vec::with_capacity(buckets.len());
    for Bucket {
        name: raw,
        controls: over,
    } in buckets
    {
        let field = format!("buckets[{raw}]");
        let Some(name) = problems.name(&field, BucketName::new(raw)) else {
            continue;
        };
        if !seen.insert(name.clone()) {
            problems.add(format!("{field}: named twice"));
            continue;
        }
        if !context.settings.allows_bucket(name.as_str()) {
            problems.add(format!(
                "{field}: not among the buckets that the operator's configuration allows (allowedBuckets)"
            ));
            continue;
        }
        let region_hint = regions
            .get(name.as_str())
            .and_then(|r| Region::new(r).ok())
            .unwrap_or_else(|| context.region.clone());
        out.push(resolve(controls, over.as_ref(), &field, context, problems).bucket(name, region_hint));
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

pub(super) fn validate_selectors(
    selectors: &[BucketSelector],
    controls: &BucketControls,
    context: &BucketContext<'_>,
    problems: &mut Problems,
) -> Vec<SelectorTarget> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::with_capacity(selectors.len());
    for BucketSelector {
        name,
        name_prefix,
        match_tags,
    } in selectors
    {
        let field = format!("bucketSelectors[{name}]");
        if !seen.insert(name) {
            problems.add(format!("{field}: named twice"));
            continue;
        }
        let in_names = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        if let Some(prefix) = name_prefix
            && (prefix.is_empty() || prefix.len() > 63 || !prefix.chars().all(in_names))
        {
            problems.add(format!(
                "{field}.namePrefix: {prefix:?} starts no bucket name; expected lower-case letters, digits, dots and hyphens, no wildcard"
            ));
        }
        if name_prefix.is_none() && match_tags.is_empty() {
            problems.add(format!(
                "{field}: may not be empty: give namePrefix, matchTags, or both"
            ));
        }
        let mut tags = BTreeMap::new();
        for BucketTag { key, value } in match_tags {
            if key.is_empty() || tags.insert(key.clone(), value.clone()).is_some() {
                problems.add(format!("{field}.matchTags[{key}]: each key once, and none empty"));
            }
        }
        out.push(SelectorTarget {
            name: name.clone(),
            name_prefix: name_prefix.clone(),
            match_tags: tags,
            template: resolve(controls, None, &field, context, problems),
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// What is asked of a bucket: the policy's controls, with the bucket's own over them.
fn resolve(
    controls: &BucketControls,
    over: Option<&BucketControlsOverride>,
    field: &str,
    context: &BucketContext<'_>,
    problems: &mut Problems,
) -> BucketTemplate {
    BucketTemplate {
        encryption: resolve_encryption(controls, over, field, context, problems),
        transport: resolve_transport(controls, over, context.mode),
        public_access: layered_gating(
            context.mode,
            controls.public_access.as_ref(),
            over.and_then(|o| o.public_access.as_ref()),
            |p: &PublicAccess| p.mode,
        )
        .map(|gating| Controlled { gating, want: () }),
        object_ownership: layered_gating(
            context.mode,
            controls.object_ownership.as_ref(),
            over.and_then(|o| o.object_ownership.as_ref()),
            |o: &ObjectOwnership| o.mode,
        )
        .map(|gating| Controlled { gating, want: () }),
        access_logging: resolve_access_logging(controls, over, field, context, problems),
        versioning: layered_gating(
            context.mode,
            controls.versioning.as_ref(),
            over.and_then(|o| o.versioning.as_ref()),
            |v: &Versioning| v.mode,
        )
        .map(|gating| Controlled { gating, want: () }),
    }
}

fn resolve_encryption(
    controls: &BucketControls,
    over: Option<&BucketControlsOverride>,
    field: &str,
    context: &BucketContext<'_>,
    problems: &mut Problems,
) -> Option<Controlled<WantEncryption>> {
    let over = over.and_then(|o| o.encryption.as_ref());
    let base = controls.encryption.as_ref();
    let empty = EncryptionOverride::default();
    let EncryptionOverride {
        mode,
        algorithm,
        kms_key_arn,
        bucket_key,
        customer_keys,
        uploads,
    } = over.unwrap_or(&empty);
    let gating = gating(
        context.mode,
        base.is_some() || over.is_some(),
        mode.or_else(|| base.and_then(|b| b.mode)),
    )?;
    let algorithm = algorithm
        .or_else(|| base.map(|b| b.algorithm))
        .unwrap_or(EncryptionAlgorithm::SseS3);
    let mut kms_keys = BTreeMap::new();
    for KMSKey { region, key_arn } in base.map(|b| b.kms_keys.as_slice()).unwrap_or_default() {
        let at = format!("bucketControls.encryption.kmsKeys[{region}]");
        let Some(region) = problems.name(&at, Region::new(region)) else {
            continue;
        };
        check_key(&at, key_arn, Some(&region), context, problems);
        kms_keys.insert(region, key_arn.clone());
    }
    if let Some(arn) = kms_key_arn {
        check_key(
            &format!("{field}.controls.encryption.kmsKeyARN"),
            arn,
            None,
            context,
            problems,
        );
    }
    if algorithm == EncryptionAlgorithm::SseS3 {
        if kms_key_arn.is_some() {
            problems.add(format!(
                "{field}.controls.encryption: kmsKeyARN needs algorithm SSE-KMS or DSSE-KMS"
            ));
        }
        kms_keys.clear();
    } else if kms_keys.is_empty() && kms_key_arn.is_none() {
        problems.add(format!("{field}: encryption.algorithm SSE-KMS and DSSE-KMS need a key: bucketControls.encryption.kmsKeys or the bucket's kmsKeyARN"));
    }
    if bucket_key.is_some() && algorithm != EncryptionAlgorithm::SseKms {
        problems.add(format!(
            "{field}.controls.encryption.bucketKey needs algorithm SSE-KMS: the others have no bucket key"
        ));
    }
    let uploads = uploads
        .or_else(|| base.and_then(|b| b.uploads))
        .unwrap_or(Uploads::Allow);
    if uploads == Uploads::RequireKey && algorithm == EncryptionAlgorithm::SseS3 {
        problems.add(format!(
            "{field}: encryption.uploads RequireKey needs algorithm SSE-KMS or DSSE-KMS: SSE-S3 uses no KMS key"
        ));
    }
    let want = WantEncryption {
        algorithm,
        kms_keys,
        kms_key_arn: kms_key_arn.clone(),
        bucket_key: match algorithm {
            EncryptionAlgorithm::SseS3 | EncryptionAlgorithm::DsseKms => None,
            EncryptionAlgorithm::SseKms => bucket_key.or_else(|| base.and_then(|b| b.bucket_key)),
        },
        customer_keys: customer_keys.or_else(|| base.and_then(|b| b.customer_keys)),
        uploads,
    };
    Some(Controlled { gating, want })
}

/// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`, in the right partition, region and an allowed account.
fn check_key(at: &str, arn: &str, region: Option<&Region>, context: &BucketContext<'_>, problems: &mut Problems) {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [scheme, partition, service, key_region, account, resource] = parts.as_slice() else {
        problems.add(format!(
            "{at}: {arn:?} is no key ARN; expected arn:aws:kms:REGION:ACCOUNT:key/ID"
        ));
        return;
    };
    if *scheme != "arn" || *service != "kms" || !resource.starts_with("key/") || AccountId::new(account).is_err() {
        problems.add(format!(
            "{at}: {arn:?} is no key ARN; expected arn:aws:kms:REGION:ACCOUNT:key/ID"
        ));
        return;
    }
    if *partition != context.partition.as_str() {
        problems.add(format!(
            "{at}: the key lies in partition {partition}, the account in {}",
            context.partition
        ));
    }
    if region.is_some_and(|r| r.as_str() != *key_region) {
        problems.add(format!(
            "{at}: the key lies in {key_region}; a KMS key works only for buckets of its own region"
        ));
    }
    let allowed = |list: &Vec<AccountId>| list.iter().any(|a| a.as_str() == *account);
    if *account != context.account.as_str() && !context.settings.allowed_kms_accounts.as_ref().is_none_or(allowed) {
        problems.add(format!(
            "{at}: keys of account {account} are not allowed by the operator's configuration (allowedKMSAccounts)"
        ));
    }
}

fn resolve_transport(
    controls: &BucketControls,
    over: Option<&BucketControlsOverride>,
    policy_mode: Mode,
) -> Option<Controlled<TLSVersion>> {
    let over = over.and_then(|o| o.transport.as_ref());
    let base = controls.transport.as_ref();
    let gating = layered_gating(policy_mode, base, over, |t: &Transport| t.mode)?;
    let version = |t: &Transport| t.minimum_tls_version;
    let want = over
        .and_then(version)
        .or_else(|| base.and_then(version))
        .unwrap_or(TLSVersion::V12);
    Some(Controlled { gating, want })
}

fn resolve_access_logging(
    controls: &BucketControls,
    over: Option<&BucketControlsOverride>,
    field: &str,
    context: &BucketContext<'_>,
    problems: &mut Problems,
) -> Option<Controlled<WantAccessLogging>> {
    let base = controls.access_logging.as_ref();
    let over = over.and_then(|o| o.access_logging.as_ref());
    let mode = over.and_then(|o| o.mode).or_else(|| base.and_then(|b| b.mode));
    let gating = gating(context.mode, base.is_some() || over.is_some(), mode)?;
    let raw = over
        .and_then(|o| o.bucket.as_ref())
        .or_else(|| base.and_then(|b| b.bucket.as_ref()));
    let at = format!("{field}: accessLogging.bucket");
    let bucket = raw.and_then(|raw| problems.name(&at, BucketName::new(raw)));
    if raw.is_none() && (base.is_some() || over.is_some()) {
        problems.add(format!(
            "{at}: name the bucket that takes the logs, here or in bucketControls.accessLogging"
        ));
    }
    let prefix = over
        .and_then(|o| o.prefix.as_ref())
        .or_else(|| base.and_then(|b| b.prefix.as_ref()));
    let want = WantAccessLogging {
        bucket,
        prefix: prefix.cloned(),
    };
    Some(Controlled { gating, want })
}

/// How a control counts whose override has the same type as the control: field by field, the override first.
fn layered_gating<T>(
    policy_mode: Mode,
    base: Option<&T>,
    over: Option<&T>,
    mode: fn(&T) -> Option<ControlMode>,
) -> Option<Gating> {
    gating(
        policy_mode,
        base.is_some() || over.is_some(),
        over.and_then(mode).or_else(|| base.and_then(mode)),
    )
}
