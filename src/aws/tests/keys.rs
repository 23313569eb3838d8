//! KMS keys.

use std::collections::BTreeSet;

use super::*;
use crate::aws::s3::{Cadence, OCCASIONAL_AGE};
use crate::domain::observed::{ErrorClass, KeyGrant, KeyManager, KeyObservation, KeyQuery, KeyRotation, KeyState};

const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/11111111-1111-1111-1111-111111111111";

fn query(key_id: &str) -> KeyQuery {
    KeyQuery {
        region: home(),
        key_id: key_id.to_owned(),
    }
}

fn describe(more: &str) -> Answer {
    ok(format!(
        r#"{{"KeyMetadata":{{"KeyId":"1","Arn":"{ARN}","KeyState":"Enabled","KeySpec":"SYMMETRIC_DEFAULT",
            "KeyUsage":"ENCRYPT_DECRYPT","KeyManager":"CUSTOMER","Origin":"AWS_KMS"{more}}}}}"#
    ))
}

fn kms_error(status: u16, code: &str) -> Answer {
    Answer {
        status,
        ..ok(format!(r#"{{"__type":"{code}","message":"about {code}"}}"#))
    }
}

fn healthy(request: &Request) -> Answer {
    match request.operation.as_str() {
        "DescribeKey" => describe(""),
        "GetKeyRotationStatus" => ok(r#"{"KeyRotationEnabled":true}"#),
        "GetKeyPolicy" => ok(r#"{"Policy":"{\"Statement\":[]}"}"#),
        "ListGrants" if request.body.contains("Marker") => ok(
            r#"{"Grants":[{"GrantId":"g2","GranteePrincipal":"arn:aws:iam::123456789012:role/b","Operations":["Encrypt"],"Constraints":{}},{"GrantId":"g3","GranteePrincipal":"arn:aws:iam::123456789012:role/b","Operations":["Decrypt"],"Constraints":{"EncryptionContextSubset":{"aws:s3:arn":"arn:aws:s3:::other"}}}],"Truncated":false}"#,
        ),
        "ListGrants" => ok(
            r#"{"Grants":[{"GrantId":"g1","GranteePrincipal":"arn:aws:iam::123456789012:role/a","Operations":["Decrypt"]}],"Truncated":true,"NextMarker":"m"}"#,
        ),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_read_with_rotation_policy_and_all_pages_of_grants() {
    let aws = Aws::new(|request, _| healthy(request)).await;
    let grant = |id: &str, role: &str, operation: &str| KeyGrant {
        id: id.to_owned(),
        grantee: format!("arn:aws:iam::123456789012:role/{role}"),
        operations: BTreeSet::from([operation.to_owned()]),
        is_constrained: id == "g3",
    };
    let expected = KeyObservation {
        arn: ARN.to_owned(),
        state: KeyState::Enabled,
        spec: Some("SYMMETRIC_DEFAULT".to_owned()),
        usage: Some("ENCRYPT_DECRYPT".to_owned()),
        manager: Some(KeyManager::Customer),
        origin: Some("AWS_KMS".to_owned()),
        valid_to: None,
        deletion_time: None,
        rotation: Ok(KeyRotation::Enabled),
        policy: Ok(r#"{"Statement":[]}"#.to_owned()),
        grants: Ok(BTreeSet::from([
            grant("g1", "a", "Decrypt"),
            grant("g2", "b", "Encrypt"),
            grant("g3", "b", "Decrypt"),
        ])),
    };
    assert_eq!(
        aws.session
            .observe_key(&query("alias/data"), AGE, Cadence::EverySweep)
            .await,
        Ok(expected)
    );
    assert_eq!(aws.requests().len(), 5);
    for request in aws.requests() {
        let asked = if request.operation == "DescribeKey" {
            "alias/data"
        } else {
            ARN
        };
        assert!(request.body.contains(asked), "{request:?}");
        assert_eq!(request.host, "kms.eu-west-1.amazonaws.com");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_rotate_is_not_asked_whether_it_does() {
    for more in [r#","Origin":"EXTERNAL""#, r#","KeySpec":"RSA_2048""#] {
        let aws = Aws::new(move |request, _| match request.operation.as_str() {
            "DescribeKey" => describe(more),
            _ => healthy(request),
        })
        .await;
        let key = aws
            .session
            .observe_key(&query(ARN), AGE, Cadence::EverySweep)
            .await
            .unwrap();
        assert_eq!(key.rotation, Ok(KeyRotation::NotApplicable), "{more}");
        assert_eq!(aws.count("GetKeyRotationStatus"), 0);
    }
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "DescribeKey" => describe(r#","KeyManager":"AWS""#),
        _ => healthy(request),
    })
    .await;
    let key = aws
        .session
        .observe_key(&query("alias/aws/s3"), AGE, Cadence::EverySweep)
        .await
        .unwrap();
    assert_eq!(
        (key.manager, key.rotation),
        (Some(KeyManager::Aws), Ok(KeyRotation::Enabled))
    );
}

#[tokio::test(start_paused = true)]
async fn states_in_which_a_key_is_of_no_use_are_told_apart() {
    let table = [
        ("Disabled", KeyState::Disabled),
        ("PendingDeletion", KeyState::PendingDeletion),
        ("PendingImport", KeyState::PendingImport),
        ("Unavailable", KeyState::Unavailable),
        ("Updating", KeyState::Other("Updating".to_owned())),
    ];
    for (state, expected) in table {
        let more = format!(r#","KeyState":"{state}","DeletionDate":1800000000.5"#);
        let aws = Aws::new(move |request, _| match request.operation.as_str() {
            "DescribeKey" => describe(&more),
            _ => healthy(request),
        })
        .await;
        let key = aws
            .session
            .observe_key(&query(ARN), AGE, Cadence::EverySweep)
            .await
            .unwrap();
        assert_eq!(key.state, expected);
        assert_eq!(key.deletion_time, Some("2027-01-15T08:00:00Z".parse().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_may_not_be_read_hides_neither_the_key_nor_its_grants() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetKeyPolicy" => kms_error(400, "AccessDeniedException"),
        _ => healthy(request),
    })
    .await;
    let key = aws
        .session
        .observe_key(&query(ARN), AGE, Cadence::EverySweep)
        .await
        .unwrap();
    assert_eq!(key.policy.unwrap_err().class, ErrorClass::AccessDenied);
    assert_eq!(key.grants.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_does_not_exist_is_not_one_that_may_not_be_read() {
    for (code, class) in [
        ("NotFoundException", ErrorClass::NotFound),
        ("AccessDeniedException", ErrorClass::AccessDenied),
        ("InvalidArnException", ErrorClass::Terminal),
        ("KMSInternalException", ErrorClass::Transient),
    ] {
        let aws = Aws::new(move |_, _| kms_error(400, code)).await;
        let error = aws
            .session
            .observe_key(&query("garbage"), AGE, Cadence::EverySweep)
            .await
            .unwrap_err();
        assert_eq!((error.operation, error.class), ("DescribeKey", class));
    }
}

/// The state is looked at in every sweep; what is only reported once an hour, and when everything is read afresh.
#[tokio::test(start_paused = true)]
async fn a_key_in_use_costs_one_call_a_sweep() {
    let aws = Aws::new(|request, _| healthy(request)).await;
    let look = async |age, rights| aws.session.observe_key(&query(ARN), age, rights).await.unwrap();
    let calls = || ["DescribeKey", "GetKeyRotationStatus", "GetKeyPolicy", "ListGrants"].map(|o| aws.count(o));
    let first = look(AGE, Cadence::Occasionally).await;
    assert_eq!(calls(), [1, 1, 1, 2]);
    for _ in 0..3 {
        tokio::time::advance(2 * AGE).await;
        assert_eq!(look(AGE, Cadence::Occasionally).await, first);
    }
    assert_eq!(calls(), [4, 1, 1, 2]);
    look(AGE, Cadence::EverySweep).await;
    assert_eq!(calls(), [4, 1, 2, 4], "a decision rests on who may use it");
    look(Duration::ZERO, Cadence::Occasionally).await;
    assert_eq!(calls(), [5, 2, 3, 6]);
    tokio::time::advance(OCCASIONAL_AGE).await;
    look(AGE, Cadence::Occasionally).await;
    assert_eq!(calls(), [6, 3, 4, 8]);
}
