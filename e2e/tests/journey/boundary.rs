//! A role with everything that a policy and the configuration can give it: a permissions boundary, a managed policy, a
//! session duration. Made, kept and taken back; or taken over from somebody else, and left to him.

use aidp_e2e::Error;
use aidp_e2e::emulator::ACCOUNT;
use aidp_e2e::operator::Settings;
use aidp_e2e::record::ADOPTED_PATH;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, journey, policy};
use aws_sdk_iam::types::Tag;
use serde_json::{Value, json};

use crate::common::{ENFORCED, all_controls, quick, role, seed_bucket};

fn document(action: &Value, resource: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})
}

#[test]
fn a_role_is_made_kept_and_taken_back_under_its_boundary() {
    journey(async |world| {
        seed_bucket(world, "bound-data").await?;
        let boundary = document(&json!(["s3:*", "kms:Decrypt"]), "*");
        let boundary = world.aws.create_policy("training-boundary", &boundary).await?;
        let checkpoints = document(&json!(["s3:PutObject"]), "arn:aws:s3:::checkpoints/*");
        let checkpoints = world.aws.create_policy("checkpoint-writer", &checkpoints).await?;
        let settings = Settings {
            configuration: Some(json!({"accounts": [{"id": ACCOUNT, "roleBoundaryARN": boundary}]})),
            ..quick()
        };
        let _operator = world.operator("operator", &settings).await?;
        let mut trainer = role("bound-trainer", "bound-data");
        trainer["managedPolicyARNs"] = json!([checkpoints]);
        trainer["maxSessionDurationSeconds"] = json!(7200);
        let spec = json!({
            "deletionPolicy": "Revert", "bucketControls": all_controls(), "buckets": [{"name": "bound-data"}],
            "trainingRoles": [trainer],
        });
        world.apply(&policy("bound", &spec))?;
        world.until_row("bound", ENFORCED).await?;
        let made = world.aws.role("bound-trainer").await?.ok_or("no role")?;
        assert_eq!(
            (made.boundary.as_deref(), &made.attached, made.max_session_duration),
            (Some(boundary.as_str()), &vec![checkpoints.clone()], Some(7200))
        );

        // Loosened from outside in every respect.
        let iam = &world.aws.iam;
        let name = "bound-trainer";
        iam.update_role()
            .role_name(name)
            .max_session_duration(43_200)
            .send()
            .await?;
        iam.delete_role_permissions_boundary().role_name(name).send().await?;
        iam.detach_role_policy()
            .role_name(name)
            .policy_arn(&checkpoints)
            .send()
            .await?;
        eventually(PATIENCE, "the role is as it was made", || async {
            let now = world.aws.role(name).await?.ok_or("no role")?;
            if now == made {
                Ok(())
            } else {
                Err(Error::from(format!("{now:?}")))
            }
        })
        .await?;
        world.until_row("bound", ENFORCED).await?;

        world.plane.kubectl(&["delete", "adpp", "bound", "--timeout=60s"])?;
        assert_eq!(world.aws.role(name).await?, None);
        Ok(())
    });
}

#[test]
fn a_role_that_its_owner_tagged_is_taken_over_where_it_is_and_left_there() {
    journey(async |world| {
        world.aws.create_bucket("veteran-data").await?;
        let boundary = document(&json!(["s3:*", "kms:Decrypt"]), "*");
        let boundary = world.aws.create_policy("veteran-boundary", &boundary).await?;
        let settings = Settings {
            configuration: Some(json!({"accounts": [{"id": ACCOUNT, "roleBoundaryARN": boundary}]})),
            ..quick()
        };
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ]});
        let consent = Tag::builder().key("aidp.dev/adopt").value("veterans").build()?;
        let create = world.aws.iam.create_role().role_name("veteran").path(ADOPTED_PATH);
        let create = create.assume_role_policy_document(trust.to_string()).tags(consent);
        create.send().await?;

        let mark = world.proxy.mark();
        let _operator = world.operator("operator", &settings).await?;
        let mut veteran = role("veteran", "veteran-data");
        veteran["adoption"] = json!("Tagged");
        let spec = json!({
            "deletionPolicy": "Revert", "bucketControls": {"transport": {}}, "buckets": [{"name": "veteran-data"}],
            "trainingRoles": [veteran],
        });
        world.apply(&policy("veterans", &spec))?;
        world.until_row("veterans", ENFORCED).await?;
        let mut writes = world.proxy.writes_since(mark);
        writes.retain(|name| name.starts_with("iam:"));
        // The rights of `aidp iam-policy` are for roles that carry the boundary.
        let expected = [
            "PutRolePermissionsBoundary",
            "PutRolePolicy",
            "TagRole",
            "UpdateAssumeRolePolicy",
        ];
        assert_eq!(writes, expected.map(|operation| format!("iam:{operation}")));
        let kept = world.aws.role("veteran").await?.ok_or("no role")?;
        assert_eq!(
            (kept.path.as_str(), kept.boundary.as_deref()),
            (ADOPTED_PATH, Some(boundary.as_str()))
        );

        world.plane.kubectl(&["delete", "adpp", "veterans", "--timeout=60s"])?;
        assert_eq!(world.aws.role("veteran").await?, Some(kept));
        Ok(())
    });
}
