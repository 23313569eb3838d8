use super::*;
use crate::api::TargetState;
use crate::domain::observed::{BucketObservation, Observed};
use crate::domain::s3::plan_bucket;
use crate::domain::s3::simulated::*;
use crate::domain::target_plan::TargetPlan;

const CONTROLS: &str = "transport: {mode: Ignore}, publicAccess: {mode: Ignore}, versioning: {mode: Ignore}";

fn kms(mode: &str) -> ValidatedPolicy {
    controls(&format!(
        "encryption: {{algorithm: SSE-KMS, mode: {mode}, kmsKeys: [{{region: eu-west-1, keyARN: '{KEY}'}}]}}, {CONTROLS}"
    ))
}

fn query(key_id: &str) -> KeyQuery {
    KeyQuery {
        region: region("eu-west-1"),
        key_id: key_id.to_owned(),
    }
}

fn on(key: &str) -> BucketObservation {
    encrypted(vec![rule("aws:kms", Some(key), None)])
}

/// The plan for a bucket that is on the policy's key, and the key as given.
fn plan_with(policy: &ValidatedPolicy, reading: Read<KeyObservation>) -> TargetPlan {
    let mut around = around(policy);
    around.keys.insert(query(KEY), reading);
    plan_bucket(policy, target(policy), &on(KEY), &around)
}

fn changed(change: impl FnOnce(&mut KeyObservation)) -> KeyObservation {
    let mut key = healthy_key(KEY);
    change(&mut key);
    key
}

#[test]
fn a_healthy_key_is_nothing_to_speak_of() {
    let plan = plan_with(&kms("Enforce"), Ok(healthy_key(KEY)));
    assert_eq!((brief(&plan), plan.state), (Vec::new(), TargetState::Compliant));
}

#[test]
fn a_key_that_cannot_be_used_is_at_risk_and_critical_and_nothing_is_written() {
    let deletion = "2026-12-01T00:00:00Z".parse().unwrap();
    let cases: [(KeyObservation, &str); 8] = [
        (changed(|k| k.state = KeyState::Disabled), "Disabled"),
        (
            changed(|k| {
                k.state = KeyState::PendingDeletion;
                k.deletion_time = Some(deletion);
            }),
            "PendingDeletion on 2026-12-01T00:00:00Z",
        ),
        (changed(|k| k.state = KeyState::PendingImport), "PendingImport"),
        (changed(|k| k.state = KeyState::Unavailable), "Unavailable"),
        (
            changed(|k| k.state = KeyState::Other("Updating".to_owned())),
            "Updating",
        ),
        (changed(|k| k.spec = Some("RSA_4096".to_owned())), "RSA_4096"),
        (changed(|k| k.usage = Some("SIGN_VERIFY".to_owned())), "SIGN_VERIFY"),
        (
            changed(|k| k.usage = Some("GENERATE_VERIFY_MAC".to_owned())),
            "GENERATE_VERIFY_MAC",
        ),
    ];
    for (key, have) in cases {
        let plan = plan_with(&kms("Enforce"), Ok(key.clone()));
        let expected =
            format!("KMS.KeyUsable kmsKey[11111111-1111-1111-1111-111111111111].state NeedsHuman(KeyAtRisk): {have}");
        assert_eq!(brief(&plan), [expected]);
        assert_eq!(plan.findings[0].severity, Severity::Critical);
        assert_eq!((operations(&plan), plan.state), (vec![], TargetState::Drifted));
        let audited = plan_with(&kms("Audit"), Ok(key));
        assert!(
            brief(&audited)[0].ends_with(&format!("Note: {have}")),
            "{:?}",
            brief(&audited)
        );
        assert_eq!(audited.state, TargetState::Compliant, "a report holds nothing back");
    }
}

#[test]
fn what_a_server_does_not_say_about_a_key_is_not_held_against_it() {
    let silent = changed(|k| (k.spec, k.usage, k.manager, k.origin) = (None, None, None, None));
    assert_eq!(brief(&plan_with(&kms("Enforce"), Ok(silent))), Vec::<String>::new());
}

#[test]
fn rotation_openness_grants_and_expiry_are_reported_and_hold_nothing_back() {
    let allow = |principal: &str, condition: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"kms:Decrypt","Resource":"*","Condition":{condition}}}]}}"#
        )
    };
    let grant = |grantee: &str| KeyGrant {
        id: grantee.to_owned(),
        grantee: grantee.to_owned(),
        operations: ["Decrypt".to_owned()].into(),
        is_constrained: false,
    };
    let expiry = "2027-01-01T00:00:00Z".parse().unwrap();
    let strangers = ["arn:aws:iam::999999999999:role/etl", "arn:aws:iam::888888888888:root"];
    let cases: [(KeyObservation, &str); 7] = [
        (
            changed(|k| k.rotation = Ok(KeyRotation::Disabled)),
            "KMS.KeyRotation rotation: Disabled",
        ),
        (
            changed(|k| k.policy = Ok(allow(r#""*""#, "{}"))),
            "KMS.KeyPolicy policy.Statement[0]: access for everybody",
        ),
        (changed(|k| k.policy = Ok("{".to_owned())), "KMS.KeyPolicy policy: "),
        (
            changed(|k| k.manager = Some(KeyManager::Aws)),
            "KMS.KeyPolicy manager: AWS",
        ),
        (
            changed(|k| k.grants = Ok([grant(strangers[0])].into())),
            "KMS.KeyGrants grants: arn:aws:iam::999999999999:role/etl",
        ),
        (
            changed(|k| k.grants = Ok(strangers.map(grant).into())),
            "KMS.KeyGrants grants: arn:aws:iam::888888888888:root and 1 more",
        ),
        (
            changed(|k| {
                k.origin = Some("EXTERNAL".to_owned());
                k.valid_to = Some(expiry);
                k.rotation = Ok(KeyRotation::NotApplicable);
            }),
            "KMS.KeyUsable validTo: EXTERNAL material until 2027-01-01T00:00:00Z",
        ),
    ];
    for (key, expected) in cases {
        let plan = plan_with(&kms("Enforce"), Ok(key));
        let [finding] = plan.findings.as_slice() else {
            panic!("{expected}: {:?}", brief(&plan))
        };
        let path = finding.path.rsplit_once("].").unwrap().1;
        let shown = format!("{} {path}: {}", finding.control.id(), finding.have);
        assert!(shown.starts_with(expected), "{shown}");
        assert_eq!(
            (finding.gating, finding.disposition, plan.state),
            (Gating::ReportOnly, Disposition::Note, TargetState::Compliant)
        );
    }
    let at_home = [
        grant("arn:aws:iam::123456789012:role/etl"),
        grant("rds.eu-west-1.amazonaws.com"),
    ];
    let plan = plan_with(&kms("Enforce"), Ok(changed(|k| k.grants = Ok(at_home.into()))));
    assert_eq!(brief(&plan), Vec::<String>::new());
}

#[test]
fn only_a_condition_that_binds_the_caller_closes_an_open_key_policy() {
    let open = |condition: &str| {
        let statement = format!(
            r#"{{"Effect":"Allow","Principal":{{"AWS":"*"}},"Action":"kms:*","Resource":"*","Condition":{condition}}}"#
        );
        lets_anybody_in(&Statement::from_value(serde_json::from_str(&statement).unwrap()).unwrap())
    };
    let cases = [
        (r#"{"StringEquals":{"kms:CallerAccount":"123456789012"}}"#, false),
        (r#"{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}"#, false),
        (
            r#"{"StringLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/*"}}"#,
            false,
        ),
        (r#"{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-1/*"}}"#, false),
        (
            r#"{"StringEquals":{"kms:CallerAccount":"123456789012","kms:ViaService":"s3.eu-west-1.amazonaws.com"}}"#,
            false,
        ),
        ("{}", true),
        (
            r#"{"StringEquals":{"kms:ViaService":"s3.eu-west-1.amazonaws.com"}}"#,
            true,
        ),
        (r#"{"StringLike":{"kms:CallerAccount":["123456789012","*"]}}"#, true),
        (r#"{"StringLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/etl"}}"#, true),
        (r#"{"StringLike":{"aws:PrincipalArn":"arn:*:123456789012:*"}}"#, true),
        (r#"{"StringLike":{"aws:PrincipalArn":"*:*:*:*:123456789012:*"}}"#, true),
        (
            r#"{"StringLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*:123456789012:*"}}"#,
            true,
        ),
        (
            r#"{"ArnLike":{"aws:PrincipalArn":["arn:aws:iam::123456789012:role/*","arn:aws:iam::*:role/x"]}}"#,
            true,
        ),
        (r#"{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}}"#, true),
        (
            r#"{"ForAllValues:StringEquals":{"kms:CallerAccount":"123456789012"}}"#,
            true,
        ),
        (r#"{"StringNotEquals":{"kms:CallerAccount":"123456789012"}}"#, true),
        (
            r#"{"StringEquals":{"aws:PrincipalOrgID":"${aws:PrincipalOrgID}"}}"#,
            true,
        ),
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, true),
    ];
    for (condition, expected) in cases {
        assert_eq!(open(condition), expected, "{condition}");
    }
}

#[test]
fn a_key_that_cannot_be_read_is_unknown_and_never_compliant() {
    let refused = || failed("DescribeKey", ErrorClass::AccessDenied, "AccessDeniedException");
    let plan = plan_with(&kms("Enforce"), Err(refused()));
    assert_eq!(
        brief(&plan),
        [
            "KMS.KeyUsable kmsKey[11111111-1111-1111-1111-111111111111].state NeedsHuman(AccessDenied): AccessDeniedException"
        ]
    );
    assert_eq!((operations(&plan), plan.state), (vec![], TargetState::Unknown));

    let slow = failed("DescribeKey", ErrorClass::Throttled, "ThrottlingException");
    assert_eq!(plan_with(&kms("Enforce"), Err(slow)).state, TargetState::Unknown);

    let gone = failed("DescribeKey", ErrorClass::NotFound, "NotFoundException");
    let plan = plan_with(&kms("Enforce"), Err(gone));
    assert!(brief(&plan)[0].contains("NeedsHuman(KeyAtRisk)"), "{:?}", brief(&plan));
    assert_eq!(
        (plan.findings[0].severity, plan.state),
        (Severity::Critical, TargetState::Drifted)
    );

    let no_kms = failed("DescribeKey", ErrorClass::Unsupported, "NotImplemented");
    let plan = plan_with(&kms("Enforce"), Err(no_kms));
    assert!(brief(&plan)[0].ends_with("Note: NotApplicable"), "{:?}", brief(&plan));
    assert_eq!(plan.state, TargetState::Unknown);

    let nobody_looked = Observed {
        keys: [].into(),
        ..around(&kms("Enforce"))
    };
    let policy = kms("Enforce");
    let plan = plan_bucket(&policy, target(&policy), &on(KEY), &nobody_looked);
    assert_eq!(plan.state, TargetState::Unknown);
}

#[test]
fn parts_of_a_key_that_cannot_be_read_are_said_and_hold_nothing_back() {
    let refused = |operation| failed(operation, ErrorClass::AccessDenied, "AccessDeniedException");
    let key = changed(|k| {
        k.rotation = Err(refused("GetKeyRotationStatus"));
        k.policy = Err(refused("GetKeyPolicy"));
        k.grants = Err(refused("ListGrants"));
    });
    let plan = plan_with(&kms("Enforce"), Ok(key));
    let said: Vec<_> = plan.findings.iter().map(|f| (f.control.id(), f.gating)).collect();
    assert_eq!(
        said,
        [
            ("KMS.KeyRotation", Gating::ReportOnly),
            ("KMS.KeyPolicy", Gating::ReportOnly),
            ("KMS.KeyGrants", Gating::ReportOnly)
        ]
    );
    assert_eq!(plan.state, TargetState::Compliant);
}

#[test]
fn the_key_that_old_objects_have_is_judged_beside_the_new_one() {
    let policy = kms("Enforce");
    let mut around = around(&policy);
    let dying = KeyObservation {
        state: KeyState::PendingDeletion,
        ..healthy_key(OTHER_KEY)
    };
    around.keys.insert(query(OTHER_KEY), Ok(dying));
    let plan = plan_bucket(&policy, target(&policy), &on(OTHER_KEY), &around);
    assert_eq!(
        brief(&plan),
        [
            format!("S3.DefaultEncryption encryption.kmsKey Repair: {OTHER_KEY}"),
            "KMS.KeyUsable kmsKey[22222222-2222-2222-2222-222222222222].state NeedsHuman(KeyAtRisk): PendingDeletion"
                .to_owned(),
        ]
    );
    assert_eq!(operations(&plan), ["PutBucketEncryption"]);
}

#[test]
fn every_form_of_a_key_means_its_arn() {
    let policy = kms("Enforce");
    let mut around = around(&policy);
    let alias = "arn:aws:kms:eu-west-1:123456789012:alias/data";
    let partners = "arn:aws:kms:eu-west-1:999999999999:key/33333333-3333-3333-3333-333333333333";
    for text in [alias, "alias/data"] {
        around.keys.insert(query(text), Ok(healthy_key(KEY)));
    }
    let home = region("eu-west-1");
    let keys = Keys {
        policy: &policy,
        region: &home,
        readings: &around.keys,
    };
    let mrk = "mrk-0123456789abcdef0123456789abcdef";
    let table = [
        (KEY, KEY.to_owned()),
        ("11111111-1111-1111-1111-111111111111", KEY.to_owned()),
        (alias, KEY.to_owned()),
        ("alias/data", KEY.to_owned()),
        (mrk, format!("arn:aws:kms:eu-west-1:123456789012:key/{mrk}")),
        (partners, partners.to_owned()),
    ];
    for (text, arn) in table {
        assert_eq!(keys.resolve(Some(text)), KeyRef::Key(arn), "{text}");
    }
    let elsewhere = format!("arn:aws:kms:us-east-1:123456789012:key/{mrk}");
    assert_ne!(
        keys.resolve(Some(mrk)),
        keys.resolve(Some(&elsewhere)),
        "a replica is another key"
    );
    let unread = keys.resolve(Some("alias/unread"));
    assert!(matches!(unread, KeyRef::Alias { .. }), "{unread:?}");
}
