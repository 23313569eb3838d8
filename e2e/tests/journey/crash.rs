//! The operator is killed after its n-th write to AWS, for every n of the first convergence: the write has happened, and
//! nobody was told. Started again it gets to the same end state, and nothing is orphaned.

use aidp_e2e::Result;
use aidp_e2e::aws::{BucketSeen, RoleSeen};
use aidp_e2e::operator::Settings;
use aidp_e2e::proxy::Filter;
use aidp_e2e::proxy::{Act, Fault};
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey};
use serde_json::{Value, json};

use crate::common::{ENFORCED, quick, seed, whole_policy};

/// What the policy is answerable for, with the policy's own name replaced by X.
#[derive(Debug, PartialEq)]
struct EndState {
    bucket: BucketSeen,
    role: Option<RoleSeen>,
    network_policies: Vec<Value>,
    inventory: Value,
}

async fn end_state(world: &World, name: &str) -> Result<EndState> {
    let bucket = world.aws.bucket(&format!("{name}-data")).await?;
    let role = world.aws.role(&format!("{name}-trainer")).await?;
    let text = world
        .plane
        .kubectl(&["get", "networkpolicies", "-n", &format!("ml-{name}"), "-o=json"])?;
    let list: Value = serde_json::from_str(&text)?;
    let network_policies = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|policy| policy["spec"].clone())
        .collect();
    let inventory = world.policy(name)?.0["status"]["targets"].clone();
    let anonymous = |value: Value| -> Result<Value> {
        let mut value: Value = serde_json::from_str(&value.to_string().replace(name, "X"))?;
        // The name of this statement carries a hash of the role's name.
        for statement in value["Statement"].as_array_mut().into_iter().flatten() {
            if statement["Sid"]
                .as_str()
                .is_some_and(|sid| sid.starts_with("AidpDenyRoleWrites"))
            {
                statement["Sid"] = json!("AidpDenyRoleWrites");
            }
        }
        Ok(value)
    };
    Ok(EndState {
        bucket: BucketSeen {
            policy: bucket.policy.map(anonymous).transpose()?,
            ..bucket
        },
        role: match role {
            Some(role) => Some(RoleSeen {
                inline: role
                    .inline
                    .into_iter()
                    .map(|(n, v)| Ok((n, anonymous(v)?)))
                    .collect::<Result<_>>()?,
                tags: role
                    .tags
                    .into_iter()
                    .map(|(key, value)| (key, value.replace(name, "X")))
                    .collect(),
                ..role
            }),
            None => None,
        },
        network_policies,
        inventory: anonymous(inventory)?,
    })
}

#[test]
fn killed_after_any_write_it_ends_in_the_same_state() {
    journey(async |world| {
        // The undisturbed run: how many writes there are, and what comes of them.
        let key = seed(world, "calm").await?;
        let calm = world.operator("calm", &Settings::default()).await?;
        world.apply(&whole_policy("calm", &key))?;
        world.until_row("calm", ENFORCED).await?;
        let writes = world.proxy.writes_since(0).len();
        let wanted = end_state(world, "calm").await?;
        drop(calm);
        world.plane.kubectl(&["delete", "adpp", "calm"])?;
        assert!(
            writes >= 6,
            "encryption, policy, public access block, versioning, role, document: {writes}"
        );

        for n in 1..=u32::try_from(writes)? {
            let name = format!("kill{n}");
            seed(world, &name).await?;
            let mut victim = world.operator(&format!("{name}-first"), &Settings::default()).await?;
            world.proxy.kill_after_write(victim.pid(), n);
            world.apply(&whole_policy(&name, &key))?;
            victim
                .wait(PATIENCE)
                .await
                .map_err(|error| format!("write {n} of {writes} never came: {error}"))?;
            assert!(
                world.proxy.killed(),
                "the operator ended by itself before its write {n}"
            );
            // Whatever had been written to by then is known to belong to the policy.
            let inventory = world.policy(&name)?.0["status"]["targets"].to_string();
            for call in world.proxy.calls().iter().filter(|call| call.operation.write) {
                let touched = call.operation.resource.as_deref().unwrap_or_default();
                if touched.starts_with(&name) {
                    assert!(
                        inventory.contains(touched),
                        "{touched} was written to before the inventory knew it: {inventory}"
                    );
                }
            }
            world.proxy.disarm();
            let heir = world.operator(&format!("{name}-second"), &Settings::default()).await?;
            world
                .until_row(&name, ENFORCED)
                .await
                .map_err(|error| format!("after write {n}: {error}"))?;
            assert_eq!(end_state(world, &name).await?, wanted, "after write {n}");
            drop(heir);
            world.plane.kubectl(&["delete", "adpp", &name])?;
        }
        Ok(())
    });
}

#[test]
fn killed_while_it_reverts_it_still_leaves_nothing_behind() {
    journey(async |world| {
        let key = seed(world, "undo").await?;
        let mut spec = whole_policy("undo", &key);
        spec["spec"]["deletionPolicy"] = json!("Revert");
        let mut victim = world.operator("first", &quick()).await?;
        world.apply(&spec)?;
        world.until_row("undo", ENFORCED).await?;
        world.proxy.kill_after_write(victim.pid(), 1);
        world.plane.kubectl(&["delete", "adpp", "undo", "--wait=false"])?;
        victim.wait(PATIENCE).await?;
        world.proxy.disarm();
        let _heir = world.operator("second", &quick()).await?;
        eventually(PATIENCE, "the policy is gone", || async {
            let left = world.plane.kubectl(&["get", "adpp", "-o=name"])?;
            if left.is_empty() {
                Ok(())
            } else {
                Err(aidp_e2e::Error::from(left))
            }
        })
        .await?;
        assert_eq!(world.aws.role("undo-trainer").await?, None);
        assert_eq!(
            crate::common::ours(world.aws.policy("undo-data").await?.as_ref()),
            Vec::<Value>::new()
        );
        assert_eq!(
            world
                .plane
                .kubectl(&["get", "networkpolicies", "-n", "ml-undo", "-o=name"])?,
            ""
        );
        Ok(())
    });
}

#[test]
fn a_write_whose_answer_was_lost_is_not_an_error_for_long() {
    journey(async |world| {
        let key = seed(world, "lost").await?;
        let _operator = world.operator("operator", &quick()).await?;
        for operation in [
            "s3:PutBucketEncryption",
            "s3:PutBucketPolicy",
            "iam:CreateRole",
            "iam:PutRolePolicy",
        ] {
            world.proxy.inject(Fault::times(1, Filter::named(operation), Act::Drop));
        }
        world.apply(&whole_policy("lost", &key))?;
        world.until_row("lost", ENFORCED).await?;
        Ok(())
    });
}
