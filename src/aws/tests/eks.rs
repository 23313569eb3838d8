//! EKS Pod Identity associations.

use std::collections::BTreeSet;

use super::*;
use crate::aws::s3::OCCASIONAL_AGE;
use crate::domain::iam::pod_identity::EksCluster;
use crate::domain::observed::{ErrorClass, PodIdentityAssociation};
use crate::domain::policy::ServiceAccount;

fn cluster() -> EksCluster {
    EksCluster::parse("arn:aws:eks:eu-central-1:123456789012:cluster/training").unwrap()
}

fn account(name: &str) -> ServiceAccount {
    ServiceAccount {
        namespace: "ml".to_owned(),
        name: name.to_owned(),
    }
}

fn summary(name: &str) -> String {
    format!(r#"{{"clusterName":"training","namespace":"ml","serviceAccount":"{name}","associationId":"a-{name}"}}"#)
}

/// Two pages: one association each.
fn two_pages(request: &Request) -> Answer {
    let described = |name: &str, more: &str| {
        ok(format!(
            r#"{{"association":{{"namespace":"ml","serviceAccount":"{name}","associationId":"a-{name}","roleArn":"arn:aws:iam::{ACCOUNT}:role/{name}"{more}}}}}"#
        ))
    };
    match request.operation.as_str() {
        "ListPodIdentityAssociations" if request.uri.contains("nextToken=second") => {
            ok(format!(r#"{{"associations":[{}]}}"#, summary("other")))
        }
        "ListPodIdentityAssociations" => ok(format!(
            r#"{{"associations":[{}],"nextToken":"second"}}"#,
            summary("trainer")
        )),
        "DescribePodIdentityAssociation" if request.uri.contains("a-trainer") => described("trainer", ""),
        "DescribePodIdentityAssociation" => described(
            "other",
            &format!(r#","disableSessionTags":true,"targetRoleArn":"arn:aws:iam::{ACCOUNT}:role/target""#),
        ),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn associations_are_read_over_all_pages_in_the_clusters_region() {
    let aws = Aws::new(|request, _| two_pages(request)).await;
    let listed = BTreeSet::from([account("trainer")]);
    let seen = aws.session.pod_identity_associations(&cluster(), &listed, AGE).await;
    let of = |name: &str, target: Option<&str>, session_tags_disabled| PodIdentityAssociation {
        id: format!("a-{name}"),
        namespace: "ml".to_owned(),
        service_account: name.to_owned(),
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{name}"),
        target_role_arn: target.map(|name| format!("arn:aws:iam::{ACCOUNT}:role/{name}")),
        session_tags_disabled,
    };
    let expected = BTreeSet::from([of("other", Some("target"), true), of("trainer", None, false)]);
    assert_eq!(seen, Ok(expected.clone()));
    assert!(aws.requests().iter().all(|r| r.region == "eu-central-1"));
    assert_eq!(aws.requests().len(), 4);

    // Those that are listed are read again in each sweep, the others once an hour.
    tokio::time::advance(AGE).await;
    let seen = aws.session.pod_identity_associations(&cluster(), &listed, AGE).await;
    assert_eq!((seen, aws.requests().len()), (Ok(expected.clone()), 7));
    tokio::time::advance(OCCASIONAL_AGE).await;
    let seen = aws.session.pod_identity_associations(&cluster(), &listed, AGE).await;
    assert_eq!((seen, aws.requests().len()), (Ok(expected), 11));
}

#[tokio::test(start_paused = true)]
async fn an_association_that_has_gone_since_it_was_listed_is_left_out() {
    let gone = Answer {
        status: 404,
        headers: vec![("x-amzn-errortype", "ResourceNotFoundException")],
        body: r#"{"message":"no"}"#.to_owned(),
    };
    let aws = Aws::new(move |request, _| match request.operation.as_str() {
        "DescribePodIdentityAssociation" if request.uri.contains("a-other") => gone.clone(),
        _ => two_pages(request),
    })
    .await;
    let listed = BTreeSet::from([account("trainer"), account("other")]);
    let seen = aws
        .session
        .pod_identity_associations(&cluster(), &listed, AGE)
        .await
        .unwrap();
    let names: Vec<_> = seen.iter().map(|a| a.service_account.as_str()).collect();
    assert_eq!(names, ["trainer"]);
}

#[tokio::test(start_paused = true)]
async fn unreadable_associations_are_never_taken_for_none() {
    let denied = Answer {
        status: 403,
        headers: vec![("x-amzn-errortype", "AccessDeniedException")],
        body: r#"{"message":"no"}"#.to_owned(),
    };
    for operation in ["ListPodIdentityAssociations", "DescribePodIdentityAssociation"] {
        let denied = denied.clone();
        let aws = Aws::new(move |request, _| {
            if request.operation == operation {
                denied.clone()
            } else {
                two_pages(request)
            }
        })
        .await;
        let listed = BTreeSet::from([account("trainer")]);
        let error = aws
            .session
            .pod_identity_associations(&cluster(), &listed, AGE)
            .await
            .unwrap_err();
        assert_eq!((error.operation, error.class), (operation, ErrorClass::AccessDenied));
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_repeats_itself_is_not_followed() {
    let aws = Aws::new(|_, _| ok(r#"{"associations":[],"nextToken":"same"}"#)).await;
    let error = aws
        .session
        .pod_identity_associations(&cluster(), &BTreeSet::new(), AGE)
        .await
        .unwrap_err();
    assert_eq!(error.operation, "ListPodIdentityAssociations");
    assert_eq!(aws.requests().len(), 2);
}
