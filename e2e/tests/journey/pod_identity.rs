//! EKS Pod Identity: the role trusts the agent for exactly the listed ServiceAccounts, and what an association gives
//! instead is found, told with the command that ends it, and never written. The emulator has no associations, so that the
//! proxy answers for EKS.

use aidp_e2e::operator::{EKS_CLUSTER, Settings};
use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::world::{World, journey};
use serde_json::{Value, json};

use crate::common::{ENFORCED, pod_identity_policy};

const ROLE: &str = "arn:aws:iam::123456789012:role/aidp/pod-trainer";
const ADMIN: &str = "arn:aws:iam::123456789012:role/admin";

/// From now on ServiceAccount ml/trainer has an association with this role.
fn associated(world: &World, role_arn: &str) {
    let body = |body: Value| Act::Garbage { body: body.to_string() };
    let account = json!({"namespace": "ml", "serviceAccount": "trainer", "associationId": "a-1"});
    let mut association = account.clone();
    association["roleArn"] = json!(role_arn);
    world.proxy.heal();
    for (operation, answer) in [
        ("eks:ListPodIdentityAssociations", json!({"associations": [account]})),
        (
            "eks:DescribePodIdentityAssociation",
            json!({"association": association}),
        ),
    ] {
        world
            .proxy
            .inject(Fault::always(Filter::named(operation), body(answer)));
    }
}

#[test]
fn a_role_with_pod_identity_trusts_the_agent_and_an_association_with_another_role_is_found() {
    journey(async |world| {
        world.aws.create_bucket("pod-data").await?;
        world.namespace("ml", &json!({"team": "ml"}))?;
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trainer", "namespace": "ml"},
        }))?;
        associated(world, ROLE);
        let settings = Settings {
            arguments: vec!["--eks-cluster-arn", EKS_CLUSTER],
            ..Settings::default()
        };
        let _operator = world.operator("operator", &settings).await?;
        world.apply(&pod_identity_policy())?;
        let seen = world.until_row("pods", ENFORCED).await?;
        let about_role = |f: &String| f.contains("role/");
        assert_eq!(
            seen.findings().into_iter().filter(about_role).count(),
            0,
            "{:?}",
            seen.findings()
        );
        let role = world.aws.role("pod-trainer").await?.ok_or("no role")?;
        let good = json!([{
            "Sid": "AidpPodIdentity", "Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": {
                "aws:RequestTag/eks-cluster-arn": EKS_CLUSTER, "aws:RequestTag/kubernetes-namespace": "ml",
                "aws:RequestTag/kubernetes-service-account": "trainer", "aws:SourceAccount": "123456789012",
            }},
        }]);
        assert_eq!(role.trust["Statement"], good);

        // The trust is widened to every association of the account: undone.
        let mut open = role.trust.clone();
        open["Statement"][0]["Condition"].take();
        open["Statement"][0]
            .as_object_mut()
            .ok_or("a statement")?
            .remove("Condition");
        let update = world.aws.iam.update_assume_role_policy().role_name("pod-trainer");
        update.policy_document(open.to_string()).send().await?;
        world.reconcile("pods").await?;
        assert_eq!(world.aws.role("pod-trainer").await?, Some(role));
        world.until_row("pods", ENFORCED).await?;

        // The association is pointed at an administrator's role.
        let trust = json!({"Version": "2012-10-17", "Statement": good});
        world.aws.create_role("admin", &trust).await?;
        let document =
            json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}});
        let put = world.aws.iam.put_role_policy().role_name("admin").policy_name("all");
        put.policy_document(document.to_string()).send().await?;
        associated(world, ADMIN);
        let mark = world.proxy.mark();
        let seen = world.reconcile("pods").await?;
        assert_eq!(seen.row(), "False - True True NotReadOnly");
        let findings: Vec<String> = seen.findings().into_iter().filter(about_role).collect();
        assert_eq!(
            findings,
            [
                "IAM.ReadOnly role/pod-trainer readOnly.otherRoles[arn:aws:iam::123456789012:role/admin]".to_owned(),
                "IAM.WorkloadIdentity role/pod-trainer podIdentity[ml/trainer].roleARN".to_owned(),
            ]
        );
        let told = seen
            .list("/status/findings")
            .iter()
            .find(|f| f["control"] == "IAM.WorkloadIdentity");
        let command = format!(
            "aws eks update-pod-identity-association --region eu-west-1 --cluster-name training --association-id a-1 --role-arn {ROLE}"
        );
        assert!(
            told.is_some_and(|f| f["message"].as_str().is_some_and(|m| m.contains(&command))),
            "{told:?}"
        );
        assert_eq!(
            world.proxy.writes_since(mark),
            Vec::<String>::new(),
            "nothing is written, least of all to EKS"
        );

        associated(world, ROLE);
        world.reconcile("pods").await?;
        world.until_row("pods", ENFORCED).await?;
        Ok(())
    });
}
