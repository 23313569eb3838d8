//! Reads of roles and managed policies.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::observed::{ErrorClass, RoleObservation};

const TRUST: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";

fn get_role() -> Answer {
    iam_result(
        "GetRole",
        &format!(
            "<Role><Path>/aidp/</Path><RoleName>trainer</RoleName><RoleId>AROA1</RoleId>\
             <Arn>arn:aws:iam::{ACCOUNT}:role/aidp/trainer</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>\
             <AssumeRolePolicyDocument>{TRUST}</AssumeRolePolicyDocument><MaxSessionDuration>7200</MaxSessionDuration>\
             <PermissionsBoundary><PermissionsBoundaryType>Policy</PermissionsBoundaryType>\
             <PermissionsBoundaryArn>arn:aws:iam::{ACCOUNT}:policy/cap</PermissionsBoundaryArn></PermissionsBoundary>\
             <RoleLastUsed><LastUsedDate>2026-02-02T00:00:00Z</LastUsedDate></RoleLastUsed>\
             <Tags><member><Key>aidp.dev/policy</Key><Value>fraud</Value></member></Tags></Role>"
        ),
    )
}

fn names(page: &[&str], next: Option<&str>) -> Answer {
    let members = members(page, str::to_owned);
    iam_result(
        "ListRolePolicies",
        &format!("<PolicyNames>{members}</PolicyNames>{}", truncation(next)),
    )
}

fn attached(page: &[&str], next: Option<&str>) -> Answer {
    let policy =
        |name: &str| format!("<PolicyName>{name}</PolicyName><PolicyArn>arn:aws:iam::aws:policy/{name}</PolicyArn>");
    let members = members(page, policy);
    let policies = format!("<AttachedPolicies>{members}</AttachedPolicies>{}", truncation(next));
    iam_result("ListAttachedRolePolicies", &policies)
}

fn truncation(next: Option<&str>) -> String {
    match next {
        Some(marker) => format!("<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>"),
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
    }
}

fn inline(name: &str) -> Answer {
    // A plus and an encoded plus are both a plus: percent-encoding, not form encoding.
    let document = format!("%7B%22{name}%22%3A%22a+b%2Bc%20d%22%7D");
    let result = format!(
        "<RoleName>trainer</RoleName><PolicyName>{name}</PolicyName><PolicyDocument>{document}</PolicyDocument>"
    );
    iam_result("GetRolePolicy", &result)
}

/// A role with two pages of each.
fn two_pages(request: &Request) -> Answer {
    let marker = request.parameter("Marker");
    match (request.operation.as_str(), marker.as_deref()) {
        ("GetRole", _) => get_role(),
        ("ListRolePolicies", None) => names(&["one"], Some("p2")),
        ("ListRolePolicies", Some("p2")) => names(&["two"], None),
        ("ListAttachedRolePolicies", None) => attached(&["A"], Some("p2")),
        ("ListAttachedRolePolicies", Some("p2")) => attached(&["B"], None),
        ("GetRolePolicy", _) => inline(&request.parameter("PolicyName").unwrap()),
        other => panic!("{other:?}"),
    }
}

fn document(name: &str) -> String {
    format!(r#"{{"{name}":"a+b+c d"}}"#)
}

#[tokio::test(start_paused = true)]
async fn a_role_is_read_whole_over_all_pages_and_decoded() {
    let aws = Aws::new(|request, _| two_pages(request)).await;
    let seen = aws.session.observe_role(&role("trainer"), AGE).await;
    let expected = RoleObservation {
        arn: format!("arn:aws:iam::{ACCOUNT}:role/aidp/trainer"),
        role_id: "AROA1".to_owned(),
        path: "/aidp/".to_owned(),
        trust_policy: r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned(),
        max_session_duration_seconds: 7200,
        permissions_boundary_arn: Some(format!("arn:aws:iam::{ACCOUNT}:policy/cap")),
        tags: BTreeMap::from([("aidp.dev/policy".to_owned(), "fraud".to_owned())]),
        inline_policies: ["one", "two"].map(|n| (n.to_owned(), document(n))).into(),
        attached_policy_arns: BTreeSet::from(["A", "B"].map(|n| format!("arn:aws:iam::aws:policy/{n}"))),
        created_time: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        last_used_time: Some("2026-02-02T00:00:00Z".parse().unwrap()),
    };
    assert_eq!(seen, Ok(Some(expected)));
    assert_eq!(aws.requests().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn iam_is_asked_where_its_partition_has_it() {
    let aws = Aws::new(|request, _| two_pages(request)).await;
    aws.session.observe_role(&role("trainer"), AGE).await.unwrap();
    for request in aws.requests() {
        assert_eq!(
            (request.host.as_str(), request.region.as_str()),
            ("iam.amazonaws.com", "us-east-1")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_iams_own_word_makes_a_role_absent() {
    let absent = Aws::new(|_, _| iam_error(404, "NoSuchEntity", "The role cannot be found.")).await;
    assert_eq!(absent.session.observe_role(&role("trainer"), AGE).await, Ok(None));
    for answer in [
        status(404),
        iam_error(404, "NotFound", ""),
        iam_error(403, "AccessDenied", "no"),
        status(500),
    ] {
        let aws = Aws::new(move |_, _| answer.clone()).await;
        assert!(aws.session.observe_role(&role("trainer"), AGE).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_cannot_be_read_whole_is_not_read() {
    for refused in ["ListRolePolicies", "GetRolePolicy", "ListAttachedRolePolicies"] {
        let aws = Aws::new(move |request, _| match request.operation.as_str() {
            operation if operation == refused => iam_error(403, "AccessDenied", "no"),
            _ => two_pages(request),
        })
        .await;
        let error = aws.session.observe_role(&role("trainer"), AGE).await.unwrap_err();
        assert_eq!((error.operation, error.class), (refused, ErrorClass::AccessDenied));
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_goes_while_it_is_read_makes_the_reading_void_and_the_role_not_absent() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetRolePolicy" => iam_error(404, "NoSuchEntity", "The role policy cannot be found."),
        _ => two_pages(request),
    })
    .await;
    let error = aws.session.observe_role(&role("trainer"), AGE).await.unwrap_err();
    assert_eq!((error.operation, error.class), ("GetRolePolicy", ErrorClass::Transient));
}

#[tokio::test(start_paused = true)]
async fn listings_without_end_end() {
    let same_marker = Aws::new(|request, _| match request.operation.as_str() {
        "ListRolePolicies" => names(&["one"], Some("again")),
        _ => two_pages(request),
    })
    .await;
    let error = same_marker
        .session
        .observe_role(&role("trainer"), AGE)
        .await
        .unwrap_err();
    assert_eq!(
        (error.operation, error.class),
        ("ListRolePolicies", ErrorClass::Transient)
    );

    let new_markers = Aws::new(|request, before| match request.operation.as_str() {
        "ListAttachedRolePolicies" => attached(&["A"], Some(&format!("p{before}"))),
        _ => two_pages(request),
    })
    .await;
    let error = new_markers
        .session
        .observe_role(&role("trainer"), AGE)
        .await
        .unwrap_err();
    assert_eq!(
        (error.operation, error.class),
        ("ListAttachedRolePolicies", ErrorClass::Terminal)
    );
    assert_eq!(new_markers.count("ListAttachedRolePolicies"), 20);
}

#[tokio::test(start_paused = true)]
async fn throttling_of_iam_is_waited_out() {
    let aws = Aws::new(|request, before| match (request.operation.as_str(), before) {
        ("GetRole", 0) => iam_error(400, "Throttling", "Rate exceeded"),
        _ => two_pages(request),
    })
    .await;
    assert!(aws.session.observe_role(&role("trainer"), AGE).await.is_ok());
    assert_eq!(aws.count("GetRole"), 2);
}

fn managed(request: &Request, version: &str) -> Answer {
    match request.operation.as_str() {
        "GetPolicy" => iam_result(
            "GetPolicy",
            &format!("<Policy><DefaultVersionId>{version}</DefaultVersionId></Policy>"),
        ),
        "GetPolicyVersion" => {
            let id = request.parameter("VersionId").unwrap();
            iam_result(
                "GetPolicyVersion",
                &format!("<PolicyVersion><Document>%7B%22v%22%3A%22{id}%22%7D</Document></PolicyVersion>"),
            )
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_managed_policys_document_is_read_once_a_version() {
    let version = Arc::new(Mutex::new("v1"));
    let now = version.clone();
    let aws = Aws::new(move |request, _| managed(request, *now.lock().unwrap())).await;
    let arn = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    for _ in 0..3 {
        let document = aws.session.managed_policy(arn, Duration::ZERO).await;
        assert_eq!(document, Ok(r#"{"v":"v1"}"#.to_owned()));
    }
    assert_eq!((aws.count("GetPolicy"), aws.count("GetPolicyVersion")), (3, 1));
    *version.lock().unwrap() = "v2";
    let document = aws.session.managed_policy(arn, Duration::ZERO).await;
    assert_eq!(document, Ok(r#"{"v":"v2"}"#.to_owned()));
}
