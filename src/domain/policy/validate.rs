//! Spec → [`ValidatedPolicy`]. Most of what can be wrong is refused by the CRD's CEL rules already; it is checked here
//! again, since `aidp plan` reads files and an object may be older than the rule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::{
    BucketTarget, Conflicts, Controlled, Destination, EgressTarget, OperatorSettings, PortRange, ReadGrant, RoleTarget,
    ServiceAccount, ValidatedPolicy, WantEncryption,
};
use crate::api::{
    AIDataProtectionPolicySpec, Allow, AllowPort, AllowType, Assurance, Bucket, BucketControls, BucketControlsOverride,
    ControlMode, EgressRule, Encryption, EncryptionAlgorithm, EncryptionOverride, Gating, KMSKey, Mode, Protocol,
    PublicAccess, ReadAccess, ServiceAccountRef, TLSVersion, Targets, TrainingRole, Transport, Versioning,
};
use crate::domain::names::{AccountId, BucketName, NameError, Partition, Region, RoleName};

/// Default cap on writes in one reconcile.
const DEFAULT_MAX_WRITES: usize = 50;
/// Longest interval.
const MAX_INTERVAL: Duration = Duration::from_hours(24);
/// Default and shortest `MaxSessionDuration`, seconds (IAM API reference, `CreateRole`).
const DEFAULT_SESSION_SECONDS: i32 = 3600;

/// Everything that is wrong with a spec, by field. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("; "))]
pub struct InvalidSpec {
    /// One sentence each: field, problem, way out.
    pub problems: Vec<String>,
}

/// Where a policy comes from: what its metadata and status say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySource {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Annotation `aidp.dev/suspend-until`, raw.
    pub suspend_until: Option<String>,
    /// `status.targets`.
    pub inventory: Targets,
    /// Targets that other policies claim first.
    pub conflicts: Conflicts,
}

/// Checks a spec and resolves defaults, overrides and caps. `now` is for the cap on suspensions.
///
/// # Errors
/// [`InvalidSpec`] with *all* problems.
pub fn validate(
    spec: &AIDataProtectionPolicySpec,
    source: PolicySource,
    settings: &OperatorSettings,
    now: Timestamp,
) -> Result<ValidatedPolicy, InvalidSpec> {
    let AIDataProtectionPolicySpec {
        mode,
        interval,
        suspension,
        deletion_policy,
        account,
        bucket_controls,
        buckets,
        training_roles,
        egress,
        limits,
    } = spec;
    let mut problems = Problems::default();
    let PolicySource {
        name,
        generation,
        suspend_until,
        inventory,
        conflicts,
    } = source;

    let account_id = problems.name("account.id", AccountId::new(&account.id));
    let region = problems.name("account.region", Region::new(&account.region));
    let interval = problems.interval(interval, settings.min_interval);
    let by_spec = suspension
        .as_ref()
        .and_then(|s| problems.time("suspension.untilTime", &s.until_time));
    // The annotation is for humans in a hurry; the cap keeps a forgotten one from switching protection off for good.
    let latest = now.checked_add(settings.max_suspension).unwrap_or(Timestamp::MAX);
    let by_annotation = suspend_until
        .and_then(|t| problems.time("metadata.annotations[aidp.dev/suspend-until]", &t))
        .map(|t| t.min(latest));
    let suspended_until = by_spec.into_iter().chain(by_annotation).max().filter(|t| *t > now);

    let mode = if settings.max_mode == Mode::Audit {
        Mode::Audit
    } else {
        *mode
    };
    if buckets.is_empty() && training_roles.is_empty() && egress.is_empty() {
        problems.add("spec: the policy protects nothing: name at least one of buckets, trainingRoles, egress");
    }
    let (Some(account_id), Some(region), Some(interval)) = (account_id, region, interval) else {
        return Err(problems.into_error());
    };
    let partition = region.partition();

    let buckets = validate_buckets(
        buckets,
        bucket_controls.as_ref(),
        &BucketContext {
            mode,
            region: &region,
            partition,
            account: &account_id,
            settings,
            inventory: &inventory,
        },
        &mut problems,
    );
    let roles = validate_roles(training_roles, &buckets, settings, &mut problems);
    let egress = validate_egress(egress, settings, &mut problems);
    let max_writes = limits
        .as_ref()
        .and_then(|l| l.max_writes_per_reconcile)
        .map_or(Some(DEFAULT_MAX_WRITES), |n| {
            usize::try_from(n).ok().filter(|n| *n >= 1)
        });
    let Some(max_writes) = max_writes else {
        problems.add("limits.maxWritesPerReconcile: must be at least 1");
        return Err(problems.into_error());
    };
    if !problems.list.is_empty() {
        return Err(problems.into_error());
    }
    Ok(ValidatedPolicy {
        name,
        generation,
        mode,
        interval,
        suspended_until,
        deletion_policy: *deletion_policy,
        account: account_id,
        region,
        partition,
        buckets,
        roles,
        egress,
        max_writes,
        inventory,
        conflicts,
        settings: settings.clone(),
    })
}

#[derive(Default)]
struct Problems {
    list: Vec<String>,
}

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.list.push(problem.into());
    }

    fn name<T>(&mut self, field: &str, result: Result<T, NameError>) -> Option<T> {
        result.map_err(|e| self.add(format!("{field}: {e}"))).ok()
    }

    fn time(&mut self, field: &str, text: &str) -> Option<Timestamp> {
        text.parse::<Timestamp>()
            .inspect_err(|_| {
                self.add(format!(
                    "{field}: {text:?} is not an RFC 3339 time, e.g. 2026-12-01T00:00:00Z"
                ));
            })
            .ok()
    }

    fn interval(&mut self, text: &str, min: Duration) -> Option<Duration> {
        match gateway_duration(text) {
            Some(d) if d < min => {
                self.add(format!("interval: {text:?} is too short; at least {}s", min.as_secs()));
                None
            }
            Some(d) if d > MAX_INTERVAL => {
                self.add(format!("interval: {text:?} is too long; at most 24h"));
                None
            }
            Some(d) => Some(d),
            None => {
                self.add(format!(
                    "interval: {text:?} is no duration; expected e.g. 90s, 5m, 1h30m"
                ));
                None
            }
        }
    }

    fn into_error(self) -> InvalidSpec {
        InvalidSpec { problems: self.list }
    }
}

/// Gateway API duration (GEP-2257): `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.
fn gateway_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest
            .split_at_checked(digits)
            .filter(|(n, _)| (1..=5).contains(&n.len()))?;
        let number: u64 = number.parse().ok()?;
        let (unit, tail) = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
            .into_iter()
            .find_map(|(unit, ms)| tail.strip_prefix(unit).map(|tail| (ms, tail)))?;
        total += Duration::from_millis(number * unit);
        rest = tail;
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

struct BucketContext<'a> {
    mode: Mode,
    region: &'a Region,
    partition: Partition,
    account: &'a AccountId,
    settings: &'a OperatorSettings,
    inventory: &'a Targets,
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

fn validate_buckets(
    buckets: &[Bucket],
    controls: Option<&BucketControls>,
    context: &BucketContext<'_>,
    problems: &mut Problems,
) -> Vec<BucketTarget> {
    // Absent bucketControls stand for the baseline; present ones for themselves, and what they leave out is report-only.
    let baseline = BucketControls {
        encryption: Some(Encryption {
            mode: None,
            algorithm: EncryptionAlgorithm::SseS3,
            kms_keys: Vec::new(),
            bucket_key: None,
        }),
        transport: Some(Transport::default()),
        public_access: Some(PublicAccess::default()),
        versioning: None,
    };
    let controls = controls.unwrap_or(&baseline);
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
        if !bucket_allowed(&name, context.settings) {
            problems.add(format!(
                "{field}: not among the buckets that the operator's configuration allows (allowedBuckets)"
            ));
            continue;
        }
        let region_hint = regions
            .get(name.as_str())
            .and_then(|r| Region::new(r).ok())
            .unwrap_or_else(|| context.region.clone());
        let over = over.as_ref();
        out.push(BucketTarget {
            encryption: resolve_encryption(controls, over, &field, context, problems),
            transport: resolve_transport(controls, over, context.mode),
            public_access: resolve_public_access(controls, over, context.mode),
            versioning: resolve_versioning(controls, over, context.mode),
            name,
            region_hint,
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

fn bucket_allowed(name: &BucketName, settings: &OperatorSettings) -> bool {
    settings.allowed_buckets.as_ref().is_none_or(|globs| {
        globs.iter().any(|glob| match glob.strip_suffix('*') {
            Some(prefix) => name.as_str().starts_with(prefix),
            None => name.as_str() == glob,
        })
    })
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
                "{field}.controls.encryption: kmsKeyARN needs algorithm SSE-KMS"
            ));
        }
        kms_keys.clear();
    } else if kms_keys.is_empty() && kms_key_arn.is_none() {
        problems.add(format!("{field}: encryption.algorithm SSE-KMS needs a key: bucketControls.encryption.kmsKeys or the bucket's kmsKeyARN"));
    }
    let want = WantEncryption {
        algorithm,
        kms_keys,
        kms_key_arn: kms_key_arn.clone(),
        bucket_key: if algorithm == EncryptionAlgorithm::SseS3 {
            None
        } else {
            bucket_key.or_else(|| base.and_then(|b| b.bucket_key))
        },
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
    let present = over.is_some() || base.is_some();
    let field = |f: fn(&Transport) -> Option<ControlMode>| over.and_then(f).or_else(|| base.and_then(f));
    let gating = gating(policy_mode, present, field(|t| t.mode))?;
    let version = over
        .and_then(|t| t.minimum_tls_version)
        .or_else(|| base.and_then(|t| t.minimum_tls_version))
        .unwrap_or(TLSVersion::V12);
    Some(Controlled { gating, want: version })
}

fn resolve_public_access(
    controls: &BucketControls,
    over: Option<&BucketControlsOverride>,
    policy_mode: Mode,
) -> Option<Controlled<()>> {
    let over = over.and_then(|o| o.public_access.as_ref());
    let base = controls.public_access.as_ref();
    let mode = |p: &PublicAccess| p.mode;
    let gating = gating(
        policy_mode,
        over.is_some() || base.is_some(),
        over.and_then(mode).or_else(|| base.and_then(mode)),
    )?;
    Some(Controlled { gating, want: () })
}

fn resolve_versioning(
    controls: &BucketControls,
    over: Option<&BucketControlsOverride>,
    policy_mode: Mode,
) -> Option<Controlled<()>> {
    let over = over.and_then(|o| o.versioning.as_ref());
    let base = controls.versioning.as_ref();
    let mode = |v: &Versioning| v.mode;
    let gating = gating(
        policy_mode,
        over.is_some() || base.is_some(),
        over.and_then(mode).or_else(|| base.and_then(mode)),
    )?;
    Some(Controlled { gating, want: () })
}

fn validate_roles(
    roles: &[TrainingRole],
    buckets: &[BucketTarget],
    settings: &OperatorSettings,
    problems: &mut Problems,
) -> Vec<RoleTarget> {
    let mut names = BTreeSet::new();
    let mut out = Vec::with_capacity(roles.len());
    for role in roles {
        let TrainingRole {
            name: raw,
            service_accounts,
            workload_identity: _irsa_only,
            read,
            managed_policy_arns,
            max_session_duration_seconds,
        } = role;
        let field = format!("trainingRoles[{raw}]");
        let Some(name) = problems.name(&field, RoleName::new(raw)) else {
            continue;
        };
        if !names.insert(raw.to_ascii_lowercase()) {
            problems.add(format!("{field}: IAM role names are unique without regard to case"));
        }
        if service_accounts.is_empty() {
            problems.add(format!("{field}.serviceAccounts: name at least one"));
        }
        if settings.oidc_provider_arn.is_none() {
            problems.add(format!("{field}.workloadIdentity: IRSA needs the cluster's OIDC provider; start the operator with --oidc-provider-arn"));
        }
        let seconds = max_session_duration_seconds.unwrap_or(DEFAULT_SESSION_SECONDS);
        if !(3600..=43_200).contains(&seconds) {
            problems.add(format!(
                "{field}.maxSessionDurationSeconds: {seconds} lies outside 3600 to 43200"
            ));
        }
        let read = validate_read(&field, read, buckets, problems);
        out.push(RoleTarget {
            name,
            service_accounts: service_accounts
                .iter()
                .map(|ServiceAccountRef { namespace, name }| ServiceAccount {
                    namespace: namespace.clone(),
                    name: name.clone(),
                })
                .collect(),
            read,
            managed_policy_arns: managed_policy_arns.iter().cloned().collect(),
            max_session_duration_seconds: seconds,
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

fn validate_read(
    field: &str,
    read: &[ReadAccess],
    buckets: &[BucketTarget],
    problems: &mut Problems,
) -> Vec<ReadGrant> {
    if buckets.is_empty() {
        problems.add(format!("{field}: the policy names no bucket that the role could read"));
    }
    if read.is_empty() {
        return buckets
            .iter()
            .map(|b| ReadGrant {
                bucket: b.name.clone(),
                prefixes: BTreeSet::new(),
            })
            .collect();
    }
    let mut grants = Vec::with_capacity(read.len());
    for ReadAccess { bucket, prefixes } in read {
        let Some(target) = buckets.iter().find(|b| b.name.as_str() == bucket) else {
            problems.add(format!("{field}.read[{bucket}]: not one of spec.buckets; a role can only be given data that this policy protects"));
            continue;
        };
        if let Some(bad) = prefixes.iter().find(|p| p.contains(['*', '?', '$'])) {
            problems.add(format!(
                "{field}.read[{bucket}].prefixes: {bad:?} is taken literally and may not contain *, ? or $"
            ));
        }
        grants.push(ReadGrant {
            bucket: target.name.clone(),
            prefixes: prefixes.iter().cloned().collect(),
        });
    }
    grants.sort();
    grants
}

fn validate_egress(rules: &[EgressRule], settings: &OperatorSettings, problems: &mut Problems) -> Vec<EgressTarget> {
    let mut out = Vec::with_capacity(rules.len());
    for rule in rules {
        let EgressRule {
            name,
            namespace_selector,
            pod_selector,
            assurance,
            allow,
        } = rule;
        let field = format!("egress[{name}]");
        for (part, selector) in [("namespaceSelector", namespace_selector), ("podSelector", pod_selector)] {
            if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
                problems.add(format!("{field}.{part}: may not be empty"));
            }
        }
        for forbidden in ["kube-system", settings.operator_namespace.as_str()] {
            if namespace_selector
                .match_labels
                .get("kubernetes.io/metadata.name")
                .is_some_and(|v| v.0 == forbidden)
            {
                problems.add(format!(
                    "{field}.namespaceSelector: namespace {forbidden} cannot be restricted"
                ));
            }
        }
        if allow.is_empty() {
            problems.add(format!("{field}.allow: name at least one destination"));
        }
        let allow = allow
            .iter()
            .enumerate()
            .filter_map(|(i, a)| destination(&format!("{field}.allow[{i}]"), a, problems))
            .collect();
        out.push(EgressTarget {
            name: name.clone(),
            namespace_selector: namespace_selector.clone(),
            pod_selector: pod_selector.clone(),
            assurance: assurance.unwrap_or(Assurance::Port),
            allow,
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

fn destination(field: &str, allow: &Allow, problems: &mut Problems) -> Option<Destination> {
    let Allow {
        r#type,
        cidr,
        namespace_selector,
        pod_selector,
        ports,
    } = allow;
    let ports = ports
        .iter()
        .filter_map(|p| port_range(field, p, problems))
        .collect::<Vec<_>>();
    match r#type {
        AllowType::Cidr => {
            let Some(cidr) = cidr
                .as_deref()
                .and_then(|c| c.parse::<ipnet::IpNet>().ok())
                .filter(|c| c.trunc() == *c)
            else {
                problems.add(format!(
                    "{field}.cidr: expected a network address in CIDR notation, e.g. 10.20.0.0/16"
                ));
                return None;
            };
            let ports = if ports.is_empty() {
                vec![PortRange {
                    first: 443,
                    last: 443,
                    protocol: Protocol::Tcp,
                }]
            } else {
                ports
            };
            let https = |p: &PortRange| (p.first, p.last, p.protocol) == (443, 443, Protocol::Tcp);
            if cidr.prefix_len() == 0 && !ports.iter().all(https) {
                problems.add(format!("{field}: {cidr} (anywhere) is allowed on 443/TCP only"));
            }
            Some(Destination::Cidr { cidr, ports })
        }
        AllowType::Pods => {
            if ports.is_empty() {
                problems.add(format!("{field}.ports: required with type Pods"));
            }
            let (Some(namespace_selector), Some(pod_selector)) = (namespace_selector.clone(), pod_selector.clone())
            else {
                problems.add(format!("{field}: type Pods needs namespaceSelector and podSelector"));
                return None;
            };
            Some(Destination::Pods {
                namespace_selector,
                pod_selector,
                ports,
            })
        }
    }
}

fn port_range(field: &str, port: &AllowPort, problems: &mut Problems) -> Option<PortRange> {
    let AllowPort {
        port,
        end_port,
        protocol,
    } = port;
    let number = |n: i32| u16::try_from(n).ok().filter(|n| *n > 0);
    match (number(*port), end_port.map_or_else(|| number(*port), number)) {
        (Some(first), Some(last)) if first <= last => Some(PortRange {
            first,
            last,
            protocol: protocol.unwrap_or(Protocol::Tcp),
        }),
        _ => {
            problems.add(format!(
                "{field}.ports: {port}–{end_port:?} is no port range within 1 to 65535"
            ));
            None
        }
    }
}
