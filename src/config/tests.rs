use super::*;

fn load(flags: &[&str], yaml: &str) -> Result<Config, ConfigError> {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        config: ConfigArgs,
    }
    let cli = <Cli as clap::Parser>::try_parse_from(std::iter::once(&"aidp").chain(flags)).unwrap();
    cli.config.with_file(yaml)
}

#[test]
fn an_empty_configuration_is_the_documented_defaults() {
    let expected = Config {
        cluster_id: None,
        oidc_provider_arn: None,
        eks_cluster: None,
        accounts: Accounts::Default,
        network_enforcer: NetworkEnforcer::Detect,
        max_mode: Mode::Enforce,
        account_guard: AccountGuard::Enabled,
        operator_namespace: None,
        concurrency: NonZeroU16::new(8).unwrap(),
        listen_address: "0.0.0.0:8080".parse().unwrap(),
        log_format: LogFormat::Json,
        log_filter: "info,kube_runtime=warn".to_owned(),
        min_interval: Duration::from_secs(30),
        max_interval: Duration::from_hours(24),
        max_suspension: Duration::from_hours(24),
        heartbeat: Duration::from_hours(1),
        lease_name: "aidp".to_owned(),
        lease_duration: Duration::from_secs(10),
    };
    assert_eq!(load(&[], ""), Ok(expected));
}

#[test]
fn flags_win_over_the_file() {
    let config = load(
        &["--max-mode", "Audit", "--min-interval=5s"],
        "maxMode: Enforce\nminInterval: 10s\nconcurrency: 2\nnetworkEnforcer: calico",
    )
    .unwrap();
    assert_eq!(config.max_mode, Mode::Audit);
    assert_eq!(config.min_interval, Duration::from_secs(5));
    assert_eq!(config.concurrency.get(), 2);
    assert_eq!(config.network_enforcer, NetworkEnforcer::Stated("calico".to_owned()));
}

#[test]
fn detect_in_another_case_is_no_enforcer_to_believe() {
    for word in ["Detect", "detect", "DETECT"] {
        let config = load(&["--network-enforcer", word], "").unwrap();
        assert_eq!(config.network_enforcer, NetworkEnforcer::Detect, "{word}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let yaml = r#"
clusterId: "a b"
oidcProviderARN: nonsense
eksClusterARN: training
maxMode: audit
accountGuard: off
operatorNamespace: Kube_System
concurrency: 0
listenAddress: nowhere
logFormat: xml
minInterval: 1x
maxInterval: 25h
leaseDuration: 1s
networkEnforcer: "Ca lico"
accounts:
- {id: "1", roleARN: "arn:aws:iam::123456789012:user/x"}
- {id: "123456789012", externalID: x}
- {id: "123456789012", roleARN: "arn:aws:iam::999999999999:role/other", allowedBuckets: ["a*b"], allowedKMSAccounts: ["x"], roleBoundaryARN: "arn:aws:iam::aws:policy/"}
"#;
    let problems = load(&[], yaml).unwrap_err().problems;
    for start in [
        "clusterId:",
        "oidcProviderARN:",
        "eksClusterARN:",
        "maxMode:",
        "accountGuard:",
        "operatorNamespace:",
        "concurrency:",
        "listenAddress:",
        "logFormat:",
        "minInterval:",
        "maxInterval:",
        "leaseDuration:",
        "networkEnforcer:",
        "accounts[1]:",
        "accounts[1].roleARN:",
        "accounts[123456789012].externalID:",
        "accounts[123456789012].roleARN:",
        "accounts[123456789012].allowedBuckets:",
        "accounts[123456789012].allowedKMSAccounts:",
        "accounts[123456789012].roleBoundaryARN:",
        "accounts[123456789012]: listed twice",
    ] {
        assert!(
            problems.iter().any(|p| p.starts_with(start)),
            "{start} in {problems:#?}"
        );
    }
}

#[test]
fn an_unknown_key_in_the_file_is_a_problem() {
    let problems = load(&[], "maxModes: Audit").unwrap_err().problems;
    assert!(problems[0].contains("maxModes"), "{problems:?}");
}

#[test]
fn a_missing_file_is_reported_together_with_the_rest() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        config: ConfigArgs,
    }
    let cli = <Cli as clap::Parser>::try_parse_from(["aidp", "--config", "/nonexistent.yaml", "--max-mode", "x"]);
    let problems = cli.unwrap().config.load().unwrap_err().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
}

fn facts() -> ClusterFacts {
    ClusterFacts {
        cluster_id: "cluster-one".to_owned(),
        operator_namespace: "aidp-system".to_owned(),
        s3_over_plaintext: false,
    }
}

#[test]
fn a_listed_account_caps_its_policies() {
    let config = load(
        &[],
        r#"
accounts:
- id: "123456789012"
  allowedBuckets: ["fraud-*"]
  allowedKMSAccounts: ["210987654321"]
  roleBoundaryARN: arn:aws:iam::123456789012:policy/boundary
"#,
    )
    .unwrap();
    let settings = config.settings("123456789012", &facts());
    assert_eq!(settings.allowed_buckets, Some(vec!["fraud-*".to_owned()]));
    assert_eq!(
        settings.allowed_kms_accounts,
        Some(vec![AccountId::new("210987654321").unwrap()])
    );
    assert_eq!(
        settings.role_boundary_arn.as_deref(),
        Some("arn:aws:iam::123456789012:policy/boundary")
    );
    assert_eq!(config.settings("999999999999", &facts()).allowed_buckets, None);
}

#[test]
fn the_external_id_is_never_printed() {
    let yaml =
        r#"accounts: [{id: "123456789012", roleARN: "arn:aws:iam::123456789012:role/aidp", externalID: canary}]"#;
    let config = load(&[], yaml).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
}
