//! All roles of an account at once.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::action::Action;
use crate::domain::observed::{AccountRoles, ErrorClass, RoleObservation};
use crate::domain::report::ActionResult;

const DOCUMENT: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
const DECODED: &str = r#"{"Version":"2012-10-17","Statement":[]}"#;

fn detail(name: &str) -> String {
    format!(
        "<Path>/</Path><RoleName>{name}</RoleName><RoleId>AROA{name}</RoleId><Arn>{}</Arn>\
         <CreateDate>2026-01-01T00:00:00Z</CreateDate><AssumeRolePolicyDocument>{DOCUMENT}</AssumeRolePolicyDocument>\
         <RolePolicyList><member><PolicyName>own</PolicyName><PolicyDocument>{DOCUMENT}</PolicyDocument></member>\
         </RolePolicyList><AttachedManagedPolicies><member><PolicyName>P</PolicyName>\
         <PolicyArn>arn:aws:iam::{ACCOUNT}:policy/P</PolicyArn></member></AttachedManagedPolicies>\
         <Tags><member><Key>k</Key><Value>v</Value></member></Tags>\
         <RoleLastUsed><LastUsedDate>2026-02-02T00:00:00Z</LastUsedDate></RoleLastUsed>",
        arn(name)
    )
}

fn arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

fn details(names: &[String], next: Option<&str>) -> Answer {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let roles = members(&names, detail);
    let policy = format!(
        "<member><PolicyName>P</PolicyName><Arn>arn:aws:iam::{ACCOUNT}:policy/P</Arn><PolicyVersionList>\
         <member><Document>old</Document><VersionId>v1</VersionId><IsDefaultVersion>false</IsDefaultVersion></member>\
         <member><Document>{DOCUMENT}</Document><VersionId>v2</VersionId><IsDefaultVersion>true</IsDefaultVersion></member>\
         </PolicyVersionList></member>"
    );
    let result = format!(
        "{}<RoleDetailList>{roles}</RoleDetailList><Policies>{policy}</Policies>",
        truncation(next)
    );
    iam_result("GetAccountAuthorizationDetails", &result)
}

fn list(names: &[String], next: Option<&str>) -> Answer {
    let role = |name: &str| {
        format!(
            "<Path>/</Path><RoleName>{name}</RoleName><RoleId>AROA{name}</RoleId><Arn>{}</Arn>\
             <CreateDate>2026-01-01T00:00:00Z</CreateDate><MaxSessionDuration>7200</MaxSessionDuration>",
            arn(name)
        )
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let roles = members(&names, role);
    iam_result("ListRoles", &format!("{}<Roles>{roles}</Roles>", truncation(next)))
}

fn truncation(next: Option<&str>) -> String {
    match next {
        Some(marker) => format!("<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>"),
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
    }
}

/// An account with `count` roles, given in pages of at most `page`.
pub(super) fn account_with(count: usize, page: usize) -> impl Fn(&Request) -> Answer + Clone {
    move |request| {
        let start: usize = request.parameter("Marker").map_or(0, |m| m.parse().unwrap());
        let end = count.min(start + page);
        let names: Vec<String> = (start..end).map(|n| format!("role-{n}")).collect();
        let next = (end < count).then(|| end.to_string());
        match request.operation.as_str() {
            "GetAccountAuthorizationDetails" => details(&names, next.as_deref()),
            "ListRoles" => list(&names, next.as_deref()),
            other => panic!("{other}"),
        }
    }
}

fn expected(name: &str) -> RoleObservation {
    RoleObservation {
        arn: arn(name),
        role_id: format!("AROA{name}"),
        path: "/".to_owned(),
        trust_policy: DECODED.to_owned(),
        max_session_duration_seconds: 7200,
        permissions_boundary_arn: None,
        tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        inline_policies: BTreeMap::from([("own".to_owned(), DECODED.to_owned())]),
        attached_policy_arns: BTreeSet::from([format!("arn:aws:iam::{ACCOUNT}:policy/P")]),
        created_time: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        last_used_time: Some("2026-02-02T00:00:00Z".parse().unwrap()),
    }
}

#[tokio::test(start_paused = true)]
async fn all_roles_are_read_over_all_pages_with_documents_and_durations() {
    let answer = account_with(3, 2);
    let aws = Aws::new(move |request, _| answer(request)).await;
    let seen = aws.session.account_roles(AGE).await.unwrap();
    let all = AccountRoles {
        roles: ["role-0", "role-1", "role-2"].map(expected).to_vec(),
        managed_policies: BTreeMap::from([(format!("arn:aws:iam::{ACCOUNT}:policy/P"), DECODED.to_owned())]),
    };
    assert_eq!(*seen, all);
    assert_eq!(
        (aws.count("GetAccountAuthorizationDetails"), aws.count("ListRoles")),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_roles_cost_a_handful_of_calls_whoever_asks_for_which() {
    let answer = account_with(1_000, 250);
    let aws = Aws::new(move |request, _| answer(request)).await;
    for n in (0..1_000).step_by(50) {
        let name = format!("role-{n}");
        let seen = aws.session.role_from_bulk(&role(&name), AGE).await;
        assert_eq!(seen, Ok(Some(expected(&name))));
    }
    assert_eq!(aws.session.role_from_bulk(&role("none"), AGE).await, Ok(None));
    assert_eq!(aws.requests().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn names_that_differ_in_case_only_are_the_same_role() {
    let answer = account_with(1, 1);
    let aws = Aws::new(move |request, _| answer(request)).await;
    let seen = aws.session.role_from_bulk(&role("ROLE-0"), AGE).await;
    assert_eq!(seen, Ok(Some(expected("role-0"))));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_all_roles_reads_its_own_one_by_one() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetRole" => iam_error(404, "NoSuchEntity", "cannot be found"),
        _ => iam_error(403, "AccessDenied", "no"),
    })
    .await;
    assert_eq!(aws.session.role_from_bulk(&role("trainer"), AGE).await, Ok(None));
    let all = aws.session.account_roles(AGE).await.unwrap_err();
    assert_eq!(all.class, ErrorClass::AccessDenied);
}

#[tokio::test(start_paused = true)]
async fn when_iam_is_busy_nothing_more_is_asked_of_it() {
    let aws = Aws::new(|_, _| iam_error(400, "Throttling", "Rate exceeded")).await;
    let error = aws.session.role_from_bulk(&role("trainer"), AGE).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Throttled);
    assert_eq!(aws.count("GetRole"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_breaks_off_is_no_listing() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetAccountAuthorizationDetails" => details(&["role-0".to_owned()], Some("same")),
        _ => list(&[], None),
    })
    .await;
    let error = aws.session.account_roles(AGE).await.unwrap_err();
    assert_eq!(
        (error.operation, error.class),
        ("GetAccountAuthorizationDetails", ErrorClass::Transient)
    );
}

#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_be_decoded_hides_no_other_role() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetAccountAuthorizationDetails" => {
            let Answer { body, .. } = details(&["role-0".to_owned(), "role-1".to_owned()], None);
            ok(body.replacen(DOCUMENT, "%zz", 1))
        }
        _ => list(&["role-0".to_owned(), "role-1".to_owned()], None),
    })
    .await;
    let all = aws.session.account_roles(AGE).await.unwrap();
    assert_eq!(all.roles[0].trust_policy, "%zz");
    assert_eq!(all.roles[1], expected("role-1"));
}

#[tokio::test(start_paused = true)]
async fn what_we_have_written_since_is_read_on_its_own_until_the_next_bulk() {
    let answer = account_with(2, 2);
    let aws = Aws::new(move |request, _| match request.operation.as_str() {
        "TagRole" => ok("<TagRoleResponse/>"),
        "GetRole" => iam_error(404, "NoSuchEntity", "cannot be found"),
        _ => answer(request),
    })
    .await;
    let (touched, other) = (role("role-0"), role("role-1"));
    assert_eq!(
        aws.session.role_from_bulk(&touched, AGE).await,
        Ok(Some(expected("role-0")))
    );
    let tag = Action::TagRole {
        role: touched.clone(),
        tags: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    };
    assert_eq!(aws.session.execute(&tag, &LEADER).await, ActionResult::Done);
    assert_eq!(aws.session.role_from_bulk(&touched, AGE).await, Ok(None));
    assert_eq!(
        aws.session.role_from_bulk(&other, AGE).await,
        Ok(Some(expected("role-1")))
    );
    assert_eq!(
        (aws.count("GetAccountAuthorizationDetails"), aws.count("GetRole")),
        (1, 1)
    );
    tokio::time::advance(AGE).await;
    assert_eq!(
        aws.session.role_from_bulk(&touched, AGE).await,
        Ok(Some(expected("role-0")))
    );
    assert_eq!(
        (aws.count("GetAccountAuthorizationDetails"), aws.count("GetRole")),
        (2, 1)
    );
}
