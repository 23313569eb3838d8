//! EKS Pod Identity associations on a server that has them: nothing here answers for EKS, so that what the operator reads
//! is what somebody created. The server has no `AssumeRoleForPodIdentity` (EKS Auth), so that no pod's session is made; what a
//! session of the role may do is judged in `enforced_roles`.

use aidp_e2e::Result;
use aidp_e2e::operator::{EKS_CLUSTER, Settings};
use aidp_e2e::session::{account_trust, everything};
use aidp_e2e::view::PolicyView;
use aidp_e2e::world::{World, enforced_journey};
use aws_sdk_eks::types::VpcConfigRequest;
use serde_json::json;

use crate::common::{ENFORCED, pod_identity_policy};

const CLUSTER: &str = "training";
const ROLE: &str = "arn:aws:iam::123456789012:role/aidp/pod-trainer";
/// More than EKS lists on one page.
const CROWD: usize = 110;

async fn create_cluster(world: &World) -> Result<()> {
    let subnets = VpcConfigRequest::builder()
        .subnet_ids("subnet-1")
        .subnet_ids("subnet-2");
    let create = world
        .aws
        .eks
        .create_cluster()
        .name(CLUSTER)
        .resources_vpc_config(subnets.build());
    let answer = create.role_arn("arn:aws:iam::123456789012:role/eks").send().await?;
    let arn = answer.cluster.and_then(|c| c.arn);
    assert_eq!(arn.as_deref(), Some(EKS_CLUSTER));
    Ok(())
}

async fn associate(world: &World, account: &str, role_arn: &str) -> Result<String> {
    let create = world.aws.eks.create_pod_identity_association().cluster_name(CLUSTER);
    let answer = create
        .namespace("ml")
        .service_account(account)
        .role_arn(role_arn)
        .send()
        .await?;
    let id = answer.association.and_then(|a| a.association_id);
    Ok(id.ok_or("an association without an id")?)
}

/// The cluster with a crowd of associations that concern nobody here, a role that may do everything, the bucket, and a
/// ServiceAccount without an association.
async fn seed(world: &World) -> Result<()> {
    create_cluster(world).await?;
    world.aws.create_assumable_role("admin", &everything()).await?;
    world.aws.create_role("bystander", &account_trust()).await?;
    for number in 0..CROWD {
        associate(
            world,
            &format!("other-{number}"),
            "arn:aws:iam::123456789012:role/bystander",
        )
        .await?;
    }
    world.aws.create_bucket("pod-data").await?;
    world.namespace("ml", &json!({"team": "ml"}))?;
    world.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trainer", "namespace": "ml"},
    }))?;
    Ok(())
}

/// Control, path and message of what is found of the role.
fn found(view: &PolicyView) -> Vec<[String; 3]> {
    let findings = view.list("/status/findings").iter();
    let ours = findings.filter(|f| f["resource"] == "role/pod-trainer");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    ours.map(|f| [text(&f["control"]), text(&f["path"]), text(&f["message"])])
        .collect()
}

/// The finding at this path, whose message must name the command.
fn assert_found(view: &PolicyView, path: &str, command: &str) {
    let all = found(view);
    let told = all
        .iter()
        .find(|[control, at, _]| control == "IAM.WorkloadIdentity" && at == path);
    assert!(
        told.is_some_and(|[_, _, message]| message.contains(command)),
        "{path}: {all:?}"
    );
}

#[test]
fn associations_are_read_as_somebody_made_them_and_every_change_is_found() {
    enforced_journey(async |world| {
        seed(world).await?;
        let settings = Settings {
            arguments: vec!["--eks-cluster-arn", EKS_CLUSTER],
            ..Settings::default()
        };
        let _operator = world.operator("operator", &settings).await?;
        world.apply(&pod_identity_policy())?;

        // The listed ServiceAccount has none yet: the command that makes it is printed, and only that one is missing.
        let seen = world.until_row("pods", ENFORCED).await?;
        let make = format!(
            "aws eks create-pod-identity-association --region eu-west-1 --cluster-name {CLUSTER} --namespace ml --service-account trainer --role-arn {ROLE}"
        );
        assert_found(&seen, "podIdentity[ml/trainer]", &make);
        assert_eq!(found(&seen).len(), 1, "{:?}", found(&seen));

        // What the command does.
        let id = associate(world, "trainer", ROLE).await?;
        let seen = world.reconcile("pods").await?;
        assert_eq!((seen.row().as_str(), found(&seen)), (ENFORCED, Vec::new()));

        // Without session tags the role's trust lets no pod in.
        let change = || {
            let update = world.aws.eks.update_pod_identity_association().cluster_name(CLUSTER);
            update.association_id(&id)
        };
        change().disable_session_tags(true).send().await?;
        let seen = world.reconcile("pods").await?;
        assert_found(
            &seen,
            "podIdentity[ml/trainer].sessionTags",
            "--no-disable-session-tags",
        );
        change().disable_session_tags(false).send().await?;

        // Another role takes its place, at once or behind ours: its rights are judged, and they are too wide.
        let admin = "arn:aws:iam::123456789012:role/admin";
        let other = "readOnly.otherRoles[arn:aws:iam::123456789012:role/admin]";
        change().role_arn(admin).send().await?;
        let seen = world.reconcile("pods").await?;
        assert_eq!(
            (seen.row().as_str(), seen.short("RolesReadOnly").as_str()),
            ("False - True True NotReadOnly", "False/NotReadOnly")
        );
        assert_found(
            &seen,
            "podIdentity[ml/trainer].roleARN",
            &format!("--association-id {id} --role-arn {ROLE}"),
        );
        assert!(
            found(&seen)
                .iter()
                .any(|[control, path, _]| control == "IAM.ReadOnly" && path == other),
            "{:?}",
            found(&seen)
        );
        change().role_arn(ROLE).target_role_arn(admin).send().await?;
        let seen = world.reconcile("pods").await?;
        assert_eq!(seen.short("RolesReadOnly"), "False/NotReadOnly");
        assert_found(&seen, "podIdentity[ml/trainer].targetRoleARN", "--target-role-arn ''");
        assert!(
            found(&seen)
                .iter()
                .any(|[control, path, _]| control == "IAM.ReadOnly" && path == other),
            "{:?}",
            found(&seen)
        );

        // A ServiceAccount that nobody listed gets the role.
        change().target_role_arn("").send().await?;
        let stray = associate(world, "stray", ROLE).await?;
        let mark = world.proxy.mark();
        let seen = world.reconcile("pods").await?;
        assert_eq!(seen.row(), ENFORCED);
        let remove = format!(
            "delete-pod-identity-association --region eu-west-1 --cluster-name {CLUSTER} --association-id {stray}"
        );
        assert_found(&seen, "podIdentity[ml/stray]", &remove);
        assert_eq!(found(&seen).len(), 1, "{:?}", found(&seen));
        let calls = world.proxy.calls_since(mark);
        let pages = calls
            .iter()
            .filter(|c| c.name() == "eks:ListPodIdentityAssociations")
            .count();
        assert_eq!(pages, 2, "{} associations are more than a page", CROWD + 2);
        assert_eq!(
            calls
                .iter()
                .filter(|c| c.operation.service == "eks" && c.operation.write)
                .count(),
            0
        );
        Ok(())
    });
}
