use std::collections::BTreeMap;

use super::*;
use crate::api::{Adoption, CustomerKeys, EncryptionAlgorithm, ForeignPolicies, Gating, Protocol, TLSVersion, Uploads};
use crate::domain::fixture::{FULL_SPEC, now, policy, policy_from, settings};
use crate::domain::iam::pod_identity::EksCluster;
use crate::domain::policy::{BucketTarget, Controlled, Destination, PortRange, WantAccessLogging, WantEncryption};

const BASE: &str = r#"
mode: Enforce
account: {id: "123456789012", region: eu-west-1}
buckets: [{name: fraud-training-data}]
"#;
const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111";

fn problems(spec: &str) -> Vec<String> {
    let spec: AIDataProtectionPolicySpec = serde_yaml::from_str(spec).unwrap();
    validate(&spec, PolicySource::default(), &settings(), now()).map_or_else(|e| e.problems, |_| Vec::new())
}

fn only_bucket(spec: &str) -> BucketTarget {
    policy(spec).buckets.into_iter().next().unwrap()
}

#[test]
fn absent_controls_are_the_baseline_enforced_and_versioning_reported() {
    assert_eq!(
        only_bucket(BASE),
        BucketTarget {
            name: crate::domain::names::BucketName::new("fraud-training-data").unwrap(),
            region_hint: Region::new("eu-west-1").unwrap(),
            encryption: Some(Controlled {
                gating: Gating::Gating,
                want: WantEncryption {
                    algorithm: EncryptionAlgorithm::SseS3,
                    kms_keys: BTreeMap::new(),
                    kms_key_arn: None,
                    bucket_key: None,
                    customer_keys: None,
                    uploads: Uploads::Allow,
                },
            }),
            transport: Some(Controlled {
                gating: Gating::Gating,
                want: TLSVersion::V12
            }),
            public_access: Some(Controlled {
                gating: Gating::Gating,
                want: ()
            }),
            object_ownership: Some(Controlled {
                gating: Gating::ReportOnly,
                want: ()
            }),
            versioning: Some(Controlled {
                gating: Gating::ReportOnly,
                want: ()
            }),
            access_logging: Some(Controlled {
                gating: Gating::ReportOnly,
                want: WantAccessLogging::default()
            }),
        }
    );
}

#[test]
fn a_control_left_out_is_report_only_and_an_ignored_one_is_not_looked_at() {
    let bucket = only_bucket(&format!(
        "{BASE}bucketControls: {{transport: {{}}, versioning: {{mode: Ignore}}}}\n"
    ));
    assert_eq!(bucket.transport.map(|c| c.gating), Some(Gating::Gating));
    assert_eq!(bucket.encryption.map(|c| c.gating), Some(Gating::ReportOnly));
    assert_eq!(bucket.public_access.map(|c| c.gating), Some(Gating::ReportOnly));
    assert_eq!(bucket.versioning, None);
}

#[test]
fn a_control_in_audit_gates_only_where_the_whole_policy_audits() {
    let controls = "bucketControls: {transport: {mode: Audit}}\n";
    let enforce = only_bucket(&format!("{BASE}{controls}"));
    let audit = only_bucket(&format!("{}{controls}", BASE.replace("Enforce", "Audit")));
    assert_eq!(enforce.transport.map(|c| c.gating), Some(Gating::ReportOnly));
    assert_eq!(audit.transport.map(|c| c.gating), Some(Gating::Gating));
}

#[test]
fn an_override_wins_field_by_field() {
    let spec = format!(
        "{}bucketControls: {{encryption: {{algorithm: SSE-KMS, kmsKeys: [{{region: eu-west-1, keyARN: \"{KEY}\"}}], bucketKey: Enabled}}}}\n",
        BASE.replace(
            "{name: fraud-training-data}",
            "{name: fraud-training-data, controls: {encryption: {bucketKey: Disabled}, versioning: {}}}"
        )
    );
    let bucket = only_bucket(&spec);
    let encryption = bucket.encryption.unwrap();
    assert_eq!(encryption.gating, Gating::Gating);
    assert_eq!(encryption.want.algorithm, EncryptionAlgorithm::SseKms);
    assert_eq!(
        encryption.want.kms_keys,
        BTreeMap::from([(Region::new("eu-west-1").unwrap(), KEY.to_owned())])
    );
    assert_eq!(encryption.want.bucket_key, Some(crate::api::BucketKey::Disabled));
    assert_eq!(
        bucket.versioning,
        Some(Controlled {
            gating: Gating::Gating,
            want: ()
        })
    );
}

#[test]
fn a_role_without_read_reads_every_bucket_of_the_policy() {
    let spec = FULL_SPEC
        .replace(
            "{name: fraud-training-data}",
            "{name: other-data}, {name: fraud-training-data}",
        )
        .replace(
            "  read: [{bucket: fraud-training-data, prefixes: [\"curated/\"]}]\n",
            "",
        );
    let read = policy(&spec).roles.into_iter().next().unwrap().read;
    let names: Vec<(&str, usize)> = read.iter().map(|r| (r.bucket.as_str(), r.prefixes.len())).collect();
    assert_eq!(names, [("fraud-training-data", 0), ("other-data", 0)]);
}

#[test]
fn a_cidr_without_ports_means_https() {
    let egress = policy(FULL_SPEC).egress.into_iter().next().unwrap();
    let https = PortRange {
        first: 443,
        last: 443,
        protocol: Protocol::Tcp,
    };
    assert_eq!(
        egress.allow,
        [Destination::Cidr {
            cidr: "0.0.0.0/0".parse().unwrap(),
            ports: vec![https]
        }]
    );
}

#[test]
fn the_operators_ceiling_beats_the_policys_mode() {
    let spec: AIDataProtectionPolicySpec = serde_yaml::from_str(FULL_SPEC).unwrap();
    let settings = OperatorSettings {
        max_mode: Mode::Audit,
        ..settings()
    };
    assert_eq!(
        validate(&spec, PolicySource::default(), &settings, now()).unwrap().mode,
        Mode::Audit
    );
}

#[test]
fn a_suspension_by_annotation_is_capped_and_one_by_spec_is_not() {
    let late = "2027-01-01T00:00:00Z";
    let source = PolicySource {
        suspend_until: Some(late.to_owned()),
        ..PolicySource::default()
    };
    let capped = policy_from(FULL_SPEC, source).suspended_until;
    assert_eq!(capped, Some("2026-06-02T12:00:00Z".parse().unwrap()));
    // Set 23 hours ago: an hour is left. Set the day before yesterday: it is over, whatever it says.
    let left = |set: &str| {
        let source = PolicySource {
            suspend_until: Some(late.to_owned()),
            suspended_at: Some(set.parse().unwrap()),
            ..PolicySource::default()
        };
        policy_from(FULL_SPEC, source).suspended_until
    };
    assert_eq!(
        left("2026-05-31T13:00:00Z"),
        Some("2026-06-01T13:00:00Z".parse().unwrap())
    );
    assert_eq!(left("2026-05-30T12:00:00Z"), None);
    // A clock that is ahead of ours does not lengthen it.
    assert_eq!(left("2026-12-01T00:00:00Z"), capped);
    let by_spec = policy(&format!(
        "{FULL_SPEC}suspension: {{untilTime: \"{late}\", reason: CHG-1}}\n"
    ))
    .suspended_until;
    assert_eq!(by_spec, Some(late.parse().unwrap()));
}

#[test]
fn upload_rules_and_customer_keys_are_taken_over_and_overridden() {
    let base = format!(
        "{BASE}bucketControls: {{encryption: {{algorithm: DSSE-KMS, kmsKeys: [{{region: eu-west-1, keyARN: '{KEY}'}}], customerKeys: Block, uploads: RejectWeaker}}}}\n"
    );
    let want = |spec: &str| only_bucket(spec).encryption.unwrap().want;
    let taken = want(&base);
    assert_eq!(
        (taken.algorithm, taken.uploads),
        (EncryptionAlgorithm::DsseKms, Uploads::RejectWeaker)
    );
    assert_eq!(taken.customer_keys, Some(CustomerKeys::Block));
    let over = "{name: fraud-training-data, controls: {encryption: {customerKeys: Allow, uploads: RequireKey}}}";
    let overridden = want(&base.replace("{name: fraud-training-data}", over));
    assert_eq!(
        (overridden.customer_keys, overridden.uploads),
        (Some(CustomerKeys::Allow), Uploads::RequireKey)
    );
}

#[test]
fn what_needs_a_kms_key_is_refused_without_one() {
    let with = |controls: &str| {
        let over = format!("{{name: fraud-training-data, controls: {{encryption: {{{controls}}}}}}}");
        problems(&BASE.replace("{name: fraud-training-data}", &over))
    };
    assert_eq!(
        with("uploads: RequireKey"),
        [
            "buckets[fraud-training-data]: encryption.uploads RequireKey needs algorithm SSE-KMS or DSSE-KMS: SSE-S3 uses no KMS key"
        ]
    );
    assert_eq!(
        with("bucketKey: Enabled"),
        [
            "buckets[fraud-training-data].controls.encryption.bucketKey needs algorithm SSE-KMS: the others have no bucket key"
        ]
    );
}

#[test]
fn access_logs_need_a_bucket_and_are_overridden_field_by_field() {
    let base = format!("{BASE}bucketControls: {{accessLogging: {{bucket: central-logs, prefix: s3/}}}}\n");
    let over = "{name: fraud-training-data, controls: {accessLogging: {prefix: fraud/}}}";
    let want = only_bucket(&base.replace("{name: fraud-training-data}", over))
        .access_logging
        .unwrap();
    assert_eq!(want.gating, Gating::Gating);
    assert_eq!(want.want.bucket.unwrap().as_str(), "central-logs");
    assert_eq!(want.want.prefix.as_deref(), Some("fraud/"));
    assert_eq!(
        problems(&BASE.replace("{name: fraud-training-data}", over)),
        [
            "buckets[fraud-training-data]: accessLogging.bucket: name the bucket that takes the logs, here or in bucketControls.accessLogging"
        ]
    );
}

#[test]
fn a_suspension_that_is_over_is_none() {
    let spec = format!("{FULL_SPEC}suspension: {{untilTime: \"2026-06-01T11:59:59Z\", reason: CHG-1}}\n");
    assert_eq!(policy(&spec).suspended_until, None);
}

#[test]
fn durations_follow_the_gateway_api_format() {
    for (text, want) in [
        ("5m", Some(300_000)),
        ("1h30m", Some(5_400_000)),
        ("90s", Some(90_000)),
        ("1h1m1s1ms", Some(3_661_001)),
        ("", None),
        ("5", None),
        ("m", None),
        ("-5m", None),
        ("1.5h", None),
        ("5 m", None),
        ("123456s", None),
        ("1s1s1s1s1s", None),
        ("5µs", None),
    ] {
        assert_eq!(parse_duration(text).map(|d| d.as_millis()), want, "{text:?}");
    }
}

#[test]
fn every_bad_field_is_named_with_its_fix() {
    for (change, want) in [
        (
            ("account: {id: \"123456789012\"", "account: {id: \"12345\""),
            "account.id: account id \"12345\": expected 12 digits",
        ),
        (
            ("region: eu-west-1}\nbuckets", "region: Europe}\nbuckets"),
            "account.region: region \"Europe\": expected a name such as eu-west-1",
        ),
        (
            ("mode: Enforce", "mode: Enforce\ninterval: 1s"),
            "interval: \"1s\" is too short; at least 30s",
        ),
        (
            ("mode: Enforce", "mode: Enforce\ninterval: 25h"),
            "interval: \"25h\" is too long; at most 24h",
        ),
        (
            ("mode: Enforce", "mode: Enforce\ninterval: soon"),
            "interval: \"soon\" is no duration; expected e.g. 90s, 5m, 1h30m",
        ),
        (
            ("{name: fraud-training-data}", "{name: \"s3://data\"}"),
            "buckets[s3://data]: bucket name \"s3://data\": expected 3 to 63 lower-case letters, digits, dots and hyphens; no s3://, no ARN",
        ),
        (
            ("{name: fraud-training-data}", "{name: abc}, {name: abc}"),
            "buckets[abc]: named twice",
        ),
        (
            ("mode: Enforce", "mode: Enforce\nlimits: {maxWritesPerReconcile: 0}"),
            "limits.maxWritesPerReconcile: must be at least 1",
        ),
        (
            (
                "mode: Enforce",
                "mode: Enforce\nsuspension: {untilTime: tomorrow, reason: x}",
            ),
            "suspension.untilTime: \"tomorrow\" is not an RFC 3339 time, e.g. 2026-12-01T00:00:00Z",
        ),
    ] {
        assert_eq!(problems(&BASE.replace(change.0, change.1)), [want], "{change:?}");
    }
}

#[test]
fn every_bad_key_is_named_with_its_fix() {
    for (key, want) in [
        (
            "arn:aws:kms:us-east-1:123456789012:key/1",
            "the key lies in us-east-1; a KMS key works only for buckets of its own region",
        ),
        (
            "arn:aws-cn:kms:eu-west-1:123456789012:key/1",
            "the key lies in partition aws-cn, the account in aws",
        ),
        (
            "alias/data",
            "\"alias/data\" is no key ARN; expected arn:aws:kms:REGION:ACCOUNT:key/ID",
        ),
        (
            "arn:aws:s3:eu-west-1:123456789012:key/1",
            "\"arn:aws:s3:eu-west-1:123456789012:key/1\" is no key ARN; expected arn:aws:kms:REGION:ACCOUNT:key/ID",
        ),
    ] {
        let spec = format!(
            "{BASE}bucketControls: {{encryption: {{algorithm: SSE-KMS, kmsKeys: [{{region: eu-west-1, keyARN: \"{key}\"}}]}}}}\n"
        );
        assert_eq!(
            problems(&spec),
            [format!("bucketControls.encryption.kmsKeys[eu-west-1]: {want}")]
        );
    }
}

#[test]
fn pod_identity_needs_the_cluster_and_a_role_of_its_account() {
    let spec = format!(
        "{BASE}trainingRoles: [{{name: trainer, workloadIdentity: PodIdentity, serviceAccounts: [{{namespace: ml, name: trainer}}]}}]\n"
    );
    let spec: AIDataProtectionPolicySpec = serde_yaml::from_str(&spec).unwrap();
    let problems = |cluster: Option<&str>| {
        let settings = OperatorSettings {
            eks_cluster: cluster.and_then(|arn| EksCluster::parse(arn).ok()),
            oidc_provider_arn: None,
            ..settings()
        };
        let validated = validate(&spec, PolicySource::default(), &settings, now());
        validated.map_or_else(|e| e.problems, |_| Vec::new())
    };
    assert_eq!(
        problems(None),
        [
            "trainingRoles[trainer].workloadIdentity: PodIdentity needs the EKS cluster: --eks-cluster-arn, as the operator is started with"
        ]
    );
    assert_eq!(
        problems(Some("arn:aws:eks:eu-west-1:999999999999:cluster/training")),
        [
            "trainingRoles[trainer].workloadIdentity: associations of cluster training can only name roles of its account 999999999999; use IRSA for roles of account 123456789012"
        ]
    );
    assert_eq!(
        problems(Some("arn:aws:eks:eu-west-1:123456789012:cluster/training")),
        Vec::<String>::new()
    );
}

#[test]
fn configuration_caps_buckets_and_key_accounts() {
    let spec = format!(
        "{BASE}bucketControls: {{encryption: {{algorithm: SSE-KMS, kmsKeys: [{{region: eu-west-1, keyARN: \"arn:aws:kms:eu-west-1:999999999999:key/1\"}}]}}}}\n"
    );
    let spec: AIDataProtectionPolicySpec = serde_yaml::from_str(&spec).unwrap();
    let settings = OperatorSettings {
        allowed_buckets: Some(vec!["prod-*".to_owned()]),
        allowed_kms_accounts: Some(Vec::new()),
        ..settings()
    };
    assert_eq!(
        validate(&spec, PolicySource::default(), &settings, now())
            .unwrap_err()
            .problems,
        [
            "buckets[fraud-training-data]: not among the buckets that the operator's configuration allows (allowedBuckets)"
        ]
    );
    let open = OperatorSettings {
        allowed_buckets: Some(vec!["fraud-*-data".to_owned()]),
        ..settings
    };
    assert_eq!(
        validate(&spec, PolicySource::default(), &open, now())
            .unwrap_err()
            .problems,
        [
            "bucketControls.encryption.kmsKeys[eu-west-1]: keys of account 999999999999 are not allowed by the operator's configuration (allowedKMSAccounts)"
        ]
    );
}

#[test]
fn every_bad_role_and_rule_is_named_with_its_fix() {
    for (change, want) in [
        (
            ("bucket: fraud-training-data,", "bucket: somebody-elses,"),
            "trainingRoles[fraud-trainer].read[somebody-elses]: not one of spec.buckets; a role can only be given data that this policy protects",
        ),
        (
            ("\"curated/\"", "\"cur*\""),
            "trainingRoles[fraud-trainer].read[fraud-training-data].prefixes: \"cur*\" is taken literally and may not contain *, ? or $",
        ),
        (
            ("name: fraud-trainer\n", "name: a/b\n"),
            "trainingRoles[a/b]: role name \"a/b\": expected 1 to 64 letters, digits and +=,.@_-; no ARN, no path",
        ),
        (
            (
                "  workloadIdentity: IRSA",
                "  workloadIdentity: IRSA\n  maxSessionDurationSeconds: 60",
            ),
            "trainingRoles[fraud-trainer].maxSessionDurationSeconds: 60 lies outside 3600 to 43200",
        ),
        (
            ("{matchLabels: {team: ml}}", "{}"),
            "egress[training].namespaceSelector: may not be empty",
        ),
        (
            ("{matchLabels: {workload: training}}", "{}"),
            "egress[training].podSelector: may not be empty",
        ),
        (
            ("{workload: training}", "{'work load': training}"),
            "egress[training].podSelector: \"work load\" is not a label key",
        ),
        (
            ("{team: ml}", "{team: m l}"),
            "egress[training].namespaceSelector: \"m l\", wanted of team, is not a label value: at most 63 of letters, \
             digits, '-', '_', '.'",
        ),
        (
            (
                "{type: CIDR, cidr: 0.0.0.0/0}",
                "{type: Pods, namespaceSelector: {matchLabels: {a: b}}, podSelector: {matchExpressions: [{key: /a, operator: Exists}]}, ports: [{port: 1}]}",
            ),
            "egress[training].allow[0].podSelector: \"/a\" is not a label key",
        ),
        (
            ("{team: ml}", "{kubernetes.io/metadata.name: kube-system}"),
            "egress[training].namespaceSelector: namespace kube-system cannot be restricted",
        ),
        (
            ("{team: ml}", "{kubernetes.io/metadata.name: aidp-system}"),
            "egress[training].namespaceSelector: namespace aidp-system cannot be restricted",
        ),
        (
            ("cidr: 0.0.0.0/0", "cidr: 10.0.0.1/8"),
            "egress[training].allow[0].cidr: expected a network address in CIDR notation, e.g. 10.20.0.0/16",
        ),
        (
            ("cidr: 0.0.0.0/0", "cidr: '::ffff:169.254.169.254/128'"),
            "egress[training].allow[0].cidr: expected a network address in CIDR notation, e.g. 10.20.0.0/16",
        ),
        (
            ("cidr: 0.0.0.0/0", "cidr: 0.0.0.0/0, ports: [{port: 80}]"),
            "egress[training].allow[0]: 0.0.0.0/0 (anywhere) is allowed on 443/TCP only",
        ),
        (
            ("cidr: 0.0.0.0/0", "cidr: 10.0.0.0/8, ports: [{port: 90, endPort: 80}]"),
            "egress[training].allow[0].ports: 90–80 is no port range within 1 to 65535",
        ),
    ] {
        assert_eq!(problems(&FULL_SPEC.replace(change.0, change.1)), [want], "{change:?}");
    }
}

#[test]
fn every_bad_option_of_a_role_is_named_with_its_fix() {
    let with = |option: &str| {
        (
            "  workloadIdentity: IRSA",
            format!("  workloadIdentity: IRSA\n  {option}"),
        )
    };
    for (change, want) in [
        (
            with("managedPolicyARNs: ['arn:aws-cn:iam::aws:policy/ReadOnlyAccess']"),
            "trainingRoles[fraud-trainer]: \"arn:aws-cn:iam::aws:policy/ReadOnlyAccess\" is not the ARN of a managed policy in partition aws; expected arn:aws:iam::ACCOUNT:policy/NAME",
        ),
        (
            with("managedPolicyARNs: ['arn:aws:iam::123:policy/x']"),
            "trainingRoles[fraud-trainer]: \"arn:aws:iam::123:policy/x\" is not the ARN of a managed policy in partition aws; expected arn:aws:iam::ACCOUNT:policy/NAME",
        ),
        (
            with("permissionsBoundaryARN: 'arn:aws:iam::aws:policy/AdministratorAccess'"),
            "trainingRoles[fraud-trainer].permissionsBoundaryARN: the operator's configuration (roleBoundaryARN) puts arn:aws:iam::123456789012:policy/training-boundary on every role of the account; leave the field out",
        ),
        (
            ("name: trainer}", "name: 'train*'}".to_owned()),
            "trainingRoles[fraud-trainer].serviceAccounts[ml/train*]: not the name of a ServiceAccount; expected lower-case letters, digits, dots and hyphens",
        ),
        (
            ("\"curated/\"", "\"数据/\"".to_owned()),
            "trainingRoles[fraud-trainer].read[fraud-training-data].prefixes: \"数据/\" has a character that IAM takes in no policy (above U+00FF, or a control character); use a prefix that ends before it",
        ),
        (
            (
                "prefixes: [\"curated/\"]",
                "objectTags: [{key: 'cl*ss', value: train}]".to_owned(),
            ),
            "trainingRoles[fraud-trainer].read[fraud-training-data].objectTags[\"cl*ss\"]: expected letters, digits, spaces and +=._:/@- in key and value",
        ),
        (
            (
                "prefixes: [\"curated/\"]",
                "objectTags: [{key: a, value: b}, {key: a, value: c}]".to_owned(),
            ),
            "trainingRoles[fraud-trainer].read[fraud-training-data].objectTags[\"a\"]: named twice",
        ),
    ] {
        assert_eq!(problems(&FULL_SPEC.replace(change.0, &change.1)), [want], "{change:?}");
    }
}

#[test]
fn the_options_of_a_role_have_defaults_and_the_operators_boundary() {
    let role = policy(FULL_SPEC).roles.into_iter().next().unwrap();
    assert_eq!(
        (
            role.foreign_policies,
            role.adoption,
            role.permissions_boundary_arn.as_deref()
        ),
        (
            ForeignPolicies::Report,
            Adoption::Never,
            Some("arn:aws:iam::123456789012:policy/training-boundary")
        )
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let spec = FULL_SPEC
        .replace("cidr: 0.0.0.0/0", "cidr: x")
        .replace("name: fraud-trainer\n", "name: a/b\n");
    assert_eq!(problems(&spec).len(), 2);
}

#[test]
fn a_selector_is_never_empty_and_matches_no_wildcard() {
    let with = |selector: &str| {
        let spec = "mode: Enforce\naccount: {id: \"123456789012\", region: eu-west-1}\n";
        problems(&format!("{spec}bucketSelectors: {selector}\n"))
    };
    assert_eq!(
        with("[{name: a, namePrefix: fraud-}, {name: b, matchTags: [{key: k, value: \"\"}]}]"),
        Vec::<String>::new()
    );
    for (selector, expected) in [
        (
            "[{name: a}]",
            "bucketSelectors[a]: may not be empty: give namePrefix, matchTags, or both",
        ),
        (
            "[{name: a, namePrefix: \"\"}]",
            "bucketSelectors[a].namePrefix: \"\" starts no bucket name; expected lower-case letters, digits, dots and hyphens, no wildcard",
        ),
        (
            "[{name: a, namePrefix: \"fraud*\"}]",
            "bucketSelectors[a].namePrefix: \"fraud*\" starts no bucket name; expected lower-case letters, digits, dots and hyphens, no wildcard",
        ),
        (
            "[{name: a, namePrefix: x}, {name: a, namePrefix: y}]",
            "bucketSelectors[a]: named twice",
        ),
        (
            "[{name: a, matchTags: [{key: k, value: x}, {key: k, value: y}]}]",
            "bucketSelectors[a].matchTags[k]: each key once, and none empty",
        ),
        (
            "[{name: a, matchTags: [{key: \"\", value: x}]}]",
            "bucketSelectors[a].matchTags[]: each key once, and none empty",
        ),
    ] {
        assert_eq!(with(selector), [expected]);
    }
}

#[test]
fn what_is_asked_of_selected_buckets_is_what_bucket_controls_say() {
    let spec = format!(
        "{}bucketSelectors: [{{name: features, namePrefix: fraud-, matchTags: [{{key: a, value: b}}]}}]\n",
        FULL_SPEC.trim_start()
    );
    let policy = policy(&spec);
    let selector = &policy.selectors[0];
    assert_eq!(
        selector.template,
        crate::domain::policy::BucketTemplate::of(&policy.buckets[0])
    );
    assert_eq!(
        (selector.name_prefix.as_deref(), &selector.match_tags),
        (Some("fraud-"), &BTreeMap::from([("a".to_owned(), "b".to_owned())]))
    );
}
