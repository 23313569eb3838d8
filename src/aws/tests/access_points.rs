//! Access points.

use std::collections::BTreeMap;

use super::observe::empty_account;
use super::*;
use crate::domain::fixture::{FULL_SPEC, policy};
use crate::domain::names::Region;
use crate::domain::observed::{AccessPoint, ErrorClass, Read};

const BUCKET: &str = "fraud-training-data";

fn point(name: &str, bucket: &str) -> String {
    format!(
        "<AccessPoint><Name>{name}</Name><NetworkOrigin>Internet</NetworkOrigin><Bucket>{bucket}</Bucket>\
         <AccessPointArn>{}</AccessPointArn></AccessPoint>",
        arn(name)
    )
}

fn arn(name: &str) -> String {
    format!("arn:aws:s3:{HOME}:{ACCOUNT}:accesspoint/{name}")
}

fn page(points: &[String], more: &str) -> Answer {
    ok(format!(
        "<ListAccessPointsResult><AccessPointList>{}</AccessPointList>{more}</ListAccessPointsResult>",
        points.concat()
    ))
}

/// Two pages: of our bucket one access point with a policy, one without, one that goes meanwhile; and one of another bucket.
fn two_pages(request: &Request) -> Answer {
    match request.operation.as_str() {
        "ListAccessPoints" if request.uri.contains("nextToken=second") => {
            page(&[point("bare", BUCKET), point("gone", BUCKET)], "")
        }
        "ListAccessPoints" => page(
            &[point("open", BUCKET), point("foreign", "other-data")],
            "<NextToken>second</NextToken>",
        ),
        "GetAccessPointPolicy" if request.uri.contains("/open/") => {
            ok("<GetAccessPointPolicyResult><Policy>{}</Policy></GetAccessPointPolicyResult>")
        }
        "GetAccessPointPolicy" if request.uri.contains("/bare/") => iam_error(404, "NoSuchAccessPointPolicy", "none"),
        "GetAccessPointPolicy" if request.uri.contains("/gone/") => iam_error(404, "NoSuchAccessPoint", "gone"),
        _ => empty_account(request, ACCOUNT),
    }
}

async fn read(aws: &Aws) -> BTreeMap<Region, Read<Vec<AccessPoint>>> {
    let policy = policy(FULL_SPEC);
    let buckets = aws.session.observe(&policy, AGE).await.buckets;
    aws.session.access_points(&policy, &buckets, AGE).await
}

#[tokio::test(start_paused = true)]
async fn access_points_of_the_policys_buckets_are_read_with_their_policies_to_the_last_page() {
    let aws = Aws::new(|request, _| two_pages(request)).await;
    let found = read(&aws).await;
    let point = |name: &str, policy: Option<&str>| AccessPoint {
        arn: arn(name),
        bucket: bucket(BUCKET),
        policy: Ok(policy.map(str::to_owned)),
    };
    let region = Region::new(HOME).unwrap();
    let points = vec![point("open", Some("{}")), point("bare", None)];
    assert_eq!(found, BTreeMap::from([(region, Ok(points))]));
    let asked = aws.requests();
    let asked: Vec<_> = asked.iter().filter(|r| r.operation.contains("AccessPoint")).collect();
    assert_eq!(asked.len(), 5);
    assert!(
        asked
            .iter()
            .all(|r| r.host == format!("{ACCOUNT}.s3-control.{HOME}.amazonaws.com"))
    );
    assert_eq!(read(&aws).await, found);
    assert_eq!(
        (aws.count("ListAccessPoints"), aws.count("GetAccessPointPolicy")),
        (2, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_of_access_points_that_is_refused_or_repeats_itself_is_no_list() {
    let again = |request: &Request| match request.operation.as_str() {
        "ListAccessPoints" => page(&[point("open", BUCKET)], "<NextToken>same</NextToken>"),
        _ => empty_account(request, ACCOUNT),
    };
    let refused = |request: &Request| match request.operation.as_str() {
        "ListAccessPoints" => iam_error(403, "AccessDenied", "no"),
        _ => empty_account(request, ACCOUNT),
    };
    let servers = [
        Aws::new(move |r, _| again(r)).await,
        Aws::new(move |r, _| refused(r)).await,
    ];
    let classes = [ErrorClass::Transient, ErrorClass::AccessDenied];
    for (aws, class) in servers.iter().zip(classes) {
        let found: Vec<_> = read(aws).await.into_values().collect();
        let errors: Vec<_> = found.into_iter().map(|read| read.unwrap_err()).collect();
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].operation, errors[0].class), ("ListAccessPoints", class));
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_an_access_point_that_is_refused_is_not_none() {
    let aws = Aws::new(|request, _| match request.operation.as_str() {
        "GetAccessPointPolicy" if request.uri.contains("/open/") => iam_error(403, "AccessDenied", "no"),
        _ => two_pages(request),
    })
    .await;
    let found: Vec<_> = read(&aws).await.into_values().collect();
    let points = found[0].as_ref().unwrap();
    let classes: Vec<_> = points.iter().map(|p| p.policy.as_ref().map_err(|e| e.class)).collect();
    assert_eq!(classes, [Err(ErrorClass::AccessDenied), Ok(&None)]);
}
