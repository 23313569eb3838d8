use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::api::Gating;
use crate::domain::fixture::now;
use crate::domain::iam::plan_role;
use crate::domain::iam::simulated::{ISSUER, SPEC, allow, made, policy, policy_of, seen, settings_with_eks};
use crate::domain::observed::{BucketDetails, CallError, Observed, PodIdentityAssociation};
use crate::domain::policy::ValidatedPolicy;

const DATA: &str = "arn:aws:s3:::fraud-data/*";

fn arn(name: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{name}")
}

fn other(name: &str, trust: &Value, document: &str) -> RoleObservation {
    RoleObservation {
        arn: arn(name),
        role_id: format!("AROA{name}"),
        path: "/".into(),
        trust_policy: json!({"Version": "2012-10-17", "Statement": trust}).to_string(),
        max_session_duration_seconds: 3600,
        permissions_boundary_arn: None,
        tags: BTreeMap::new(),
        inline_policies: BTreeMap::from([("own".into(), document.into())]),
        attached_policy_arns: BTreeSet::new(),
        created_time: None,
        last_used_time: None,
    }
}

fn trusts_token(subject: &str) -> Value {
    json!({
        "Effect": "Allow", "Principal": {"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{ISSUER}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringLike": {format!("{ISSUER}:sub"): subject}},
    })
}

fn trusts(principal: &Value) -> Value {
    json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
}

/// The policy's role as it must be, private buckets, these other roles.
fn observed(policy: &ValidatedPolicy, others: Vec<RoleObservation>) -> Observed {
    let mut observed = seen(Some(made(policy)));
    for bucket in &policy.buckets {
        let observation = BucketObservation {
            region: Ok(policy.region.clone()),
            encryption: Some(Ok(EncryptionState::Implicit)),
            policy: Some(Ok(None)),
            public_access_block: None,
            object_ownership: Some(Ok(Some(ObjectOwnershipState::BucketOwnerEnforced))),
            acl: None,
            versioning: None,
            access_logging: None,
            details: BucketDetails::default(),
        };
        observed.buckets.insert(bucket.name.clone(), observation);
    }
    observed
        .account
        .access_points
        .insert(policy.region.clone(), Ok(Vec::new()));
    let mut roles = vec![made(policy)];
    roles.extend(others);
    observed.account.roles = Some(Ok(Arc::new(AccountRoles {
        roles,
        managed_policies: BTreeMap::new(),
    })));
    observed
}

/// Severity, reason and path of the findings about the role.
fn found(policy: &ValidatedPolicy, observed: &Observed) -> Vec<(Severity, Disposition, String)> {
    let findings = plan_role(policy, &policy.roles[0], observed, now()).findings;
    assert!(findings.iter().all(|f| f.gating == Gating::Gating), "{findings:#?}");
    findings
        .into_iter()
        .map(|f| (f.severity, f.disposition, f.path))
        .collect()
}

fn not_read_only(name: &str) -> (Severity, Disposition, String) {
    let disposition = Disposition::NeedsHuman(HumanReason::NotReadOnly);
    (
        Severity::Critical,
        disposition,
        format!("readOnly.otherRoles[{}]", arn(name)),
    )
}

fn not_proven(path: &str) -> (Severity, Disposition, String) {
    (
        Severity::High,
        Disposition::NeedsHuman(HumanReason::NotProven),
        path.to_owned(),
    )
}

#[test]
fn another_role_that_lets_the_token_in_must_be_read_only_too() {
    let policy = policy();
    let writes = allow("s3:PutObject", DATA);
    let trainer = "system:serviceaccount:ml:trainer";
    let observed = observed(
        &policy,
        vec![
            other("by-name", &trusts_token(trainer), &writes),
            other("by-pattern", &trusts_token("system:serviceaccount:*"), &writes),
            other("of-others", &trusts_token("system:serviceaccount:ml:other"), &writes),
            other("harmless", &trusts_token(trainer), &allow("logs:PutLogEvents", "*")),
            other("of-nobody", &trusts(&json!({"Service": "ec2.amazonaws.com"})), &writes),
        ],
    );
    assert_eq!(
        found(&policy, &observed),
        [not_read_only("by-name"), not_read_only("by-pattern")]
    );
}

#[test]
fn what_the_other_role_can_become_counts_however_far() {
    let policy = policy();
    let trainer = trusts_token("system:serviceaccount:ml:trainer");
    let assume = allow("sts:AssumeRole", "*");
    let chain = |last: Value| {
        vec![
            other("first", &trainer, &assume),
            other("second", &trusts(&json!({"AWS": "123456789012"})), &assume),
            other("third", &last, &allow("s3:DeleteObject", DATA)),
        ]
    };
    let open = observed(&policy, chain(trusts(&json!({"AWS": arn("second")}))));
    assert_eq!(found(&policy, &open), [not_read_only("first")]);
    let message = plan_role(&policy, &policy.roles[0], &open, now()).findings[0]
        .message
        .clone();
    assert!(
        message.contains("ServiceAccount ml/trainer can also assume"),
        "{message}"
    );
    assert!(
        message.contains(&format!("by way of {}, {}", arn("second"), arn("third"))),
        "{message}"
    );

    let closed = observed(&policy, chain(trusts(&json!({"AWS": arn("nobody")}))));
    // The wildcard takes in roles of other accounts, which can't be looked at.
    assert_eq!(
        found(&policy, &closed),
        [not_proven(&format!("readOnly.otherRoles[{}]", arn("first")))]
    );
}

#[test]
fn a_role_of_an_association_counts_and_so_does_its_target() {
    let policy = policy_of(SPEC, &settings_with_eks());
    let trust = trusts(&json!({"Service": "pods.eks.amazonaws.com"}));
    let writes = allow("s3:PutObject", DATA);
    let mut observed = observed(
        &policy,
        vec![
            other("base", &trust, &allow("logs:PutLogEvents", "*")),
            other("target", &trust, &writes),
            other("of-others", &trust, &writes),
        ],
    );
    let association = |account: &str, role: &str, target: Option<&str>| PodIdentityAssociation {
        id: account.into(),
        namespace: "ml".into(),
        service_account: account.into(),
        role_arn: arn(role),
        target_role_arn: target.map(arn),
        session_tags_disabled: false,
    };
    observed.account.pod_identity_associations = Some(Ok(BTreeSet::from([
        association("trainer", "base", Some("target")),
        association("other", "of-others", None),
    ])));
    assert_eq!(found(&policy, &observed), [not_read_only("target")]);
}

#[test]
fn without_a_look_at_the_other_roles_nothing_is_proven() {
    let policy = policy();
    let observed = observed(&policy, Vec::new());
    assert_eq!(found(&policy, &observed), []);
    let error = |class| CallError {
        operation: "GetAccountAuthorizationDetails",
        class,
        code: None,
        message: "no".into(),
    };
    for (class, expected) in [
        (
            ErrorClass::AccessDenied,
            Disposition::NeedsHuman(HumanReason::NotProven),
        ),
        (ErrorClass::Unsupported, Disposition::NeedsHuman(HumanReason::NotProven)),
        (ErrorClass::Throttled, Disposition::Unobserved),
    ] {
        let expected = [(Severity::High, expected, "readOnly.otherRoles".to_owned())];
        let mut unread = observed.clone();
        unread.account.pod_identity_associations = Some(Err(error(class)));
        assert_eq!(found(&policy, &unread), expected, "associations {class:?}");
        unread = observed.clone();
        unread.account.roles = Some(Err(error(class)));
        assert_eq!(found(&policy, &unread), expected, "roles {class:?}");
    }
}

#[test]
fn another_role_is_proven_only_with_everything_that_its_own_denies_leave_open() {
    let policy = policy();
    let trainer = trusts_token("system:serviceaccount:ml:trainer");
    let harmless = || vec![other("harmless", &trainer, &allow("logs:PutLogEvents", "*"))];
    let path = format!("readOnly.otherRoles[{}]", arn("harmless"));
    assert_eq!(found(&policy, &observed(&policy, harmless())), []);
    let spoilers: [fn(&mut Observed); 4] = [
        |seen| seen.account.access_points.clear(),
        |seen| seen.buckets.values_mut().for_each(|b| b.object_ownership = None),
        |seen| seen.buckets.values_mut().for_each(|b| b.encryption = None),
        |seen| seen.buckets.values_mut().for_each(|b| b.policy = None),
    ];
    for (number, spoil) in spoilers.into_iter().enumerate() {
        let mut observed = observed(&policy, harmless());
        spoil(&mut observed);
        assert_eq!(found(&policy, &observed), [not_proven(&path)], "{number}");
    }
    let unread = "arn:aws:iam::aws:policy/Unread";
    let mut role = harmless();
    role[0].attached_policy_arns.insert(unread.into());
    assert_eq!(found(&policy, &observed(&policy, role)), [not_proven(&path)]);
}

#[test]
fn the_policys_own_roles_are_judged_in_their_own_right_wherever_they_lie() {
    let policy = policy();
    let trainer = trusts_token("system:serviceaccount:ml:trainer");
    let mut elsewhere = other("Fraud-Trainer", &trainer, &allow("s3:PutObject", DATA));
    elsewhere.path = "/team/".into();
    elsewhere.arn = "arn:aws:iam::123456789012:role/team/Fraud-Trainer".into();
    assert_eq!(found(&policy, &observed(&policy, vec![elsewhere])), []);
}

#[test]
fn a_thousand_other_roles_are_judged_in_a_moment() {
    let policy = policy();
    let trainer = trusts_token("system:serviceaccount:ml:trainer");
    let service = trusts(&json!({"Service": "ec2.amazonaws.com"}));
    let account = trusts(&json!({"AWS": "123456789012"}));
    let mut others: Vec<RoleObservation> = (0..1_000)
        .map(|n| {
            let trust = if n % 10 == 0 { &account } else { &service };
            other(&format!("role-{n}"), trust, &allow("logs:PutLogEvents", "*"))
        })
        .collect();
    others.push(other("within-reach", &trainer, &allow("logs:PutLogEvents", "*")));
    let observed = observed(&policy, others);
    let started = std::time::Instant::now();
    assert_eq!(found(&policy, &observed), []);
    assert!(
        started.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

/// Whose tokens the providers check is not known then.
#[test]
fn without_a_configured_provider_tokens_of_every_cluster_count() {
    let trainer = "system:serviceaccount:ml:trainer";
    let elsewhere = |subject: &str| {
        let issuer = "oidc.eks.us-east-1.amazonaws.com/id/ELSEWHERE";
        json!({
            "Effect": "Allow", "Principal": {"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{issuer}")},
            "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {"StringEquals": {format!("{issuer}:sub"): subject}},
        })
    };
    let everybody = json!({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRoleWithWebIdentity"});
    let service = json!({"Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com"}, "Action": "sts:AssumeRole",
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:logs:*"}}});
    let roles = [
        ("of-this-cluster", trusts_token(trainer)),
        ("of-another", elsewhere(trainer)),
        ("of-another-name", elsewhere("system:serviceaccount:ml:other")),
        ("of-everybody", everybody),
        ("of-a-service", service),
    ];
    let all = AccountRoles {
        roles: roles
            .map(|(name, trust)| other(name, &trust, &allow("s3:*", "*")))
            .to_vec(),
        managed_policies: BTreeMap::new(),
    };
    let reached = |policy: &ValidatedPolicy| -> Vec<String> {
        let others = crate::domain::iam::others::other_roles(policy, &policy.roles[0], &all, None);
        others.into_iter().map(|other| other.role.arn.clone()).collect()
    };
    let configured = policy();
    assert_eq!(reached(&configured), [arn("of-this-cluster"), arn("of-everybody")]);
    let mut unconfigured = configured.clone();
    unconfigured.settings.oidc_provider_arn = None;
    assert_eq!(
        reached(&unconfigured),
        [arn("of-this-cluster"), arn("of-another"), arn("of-everybody")]
    );
}
