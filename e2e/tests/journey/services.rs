//! Destinations that are AWS services: the addresses of their managed prefix lists.

use aidp_e2e::operator::Settings;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, journey, policy};
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};

use crate::common::rule;

/// S3 in eu-west-1 as the emulator has it.
const S3: [&str; 3] = ["3.5.0.0/19", "52.216.0.0/15", "54.231.0.0/16"];

fn allowing(name: &str, service: &str) -> Value {
    let mut narrow = rule("training", name);
    narrow["assurance"] = json!("Destination");
    narrow["allow"] = json!([{"type": "AWSService", "service": service}]);
    policy(name, &json!({"egress": [narrow]}))
}

#[test]
fn an_aws_service_is_reached_by_the_addresses_of_its_prefix_list_and_nowhere_else() {
    journey(async |world| {
        world.namespace("ml-service", &json!({"team": "service"}))?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        let mark = world.proxy.mark();
        world.apply(&allowing("service", "s3"))?;
        let restricted = |policy: &aidp_e2e::view::PolicyView| policy.short("EgressRestricted");
        world
            .until("service", "True/DestinationRestricted".to_owned(), restricted)
            .await?;
        let list: Value =
            serde_json::from_str(
                &world
                    .plane
                    .kubectl(&["get", "networkpolicies", "-n", "ml-service", "-o=json"])?,
            )?;
        let rules = list["items"][0]["spec"]["egress"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut cidrs: Vec<String> = rules
            .iter()
            .flat_map(|rule| rule["to"].as_array().cloned().unwrap_or_default())
            .filter_map(|peer| peer["ipBlock"]["cidr"].as_str().map(str::to_owned))
            .collect();
        cidrs.sort();
        assert_eq!(cidrs, S3);

        // As every other call: signed for the region, counted, and no more than two of them a look.
        let calls = world.proxy.calls_since(mark);
        let of_ec2: Vec<String> = calls
            .iter()
            .map(aidp_e2e::proxy::Call::name)
            .filter(|n| n.starts_with("ec2:"))
            .collect();
        assert!(
            of_ec2.starts_with(&[
                "ec2:DescribeManagedPrefixLists".to_owned(),
                "ec2:GetManagedPrefixListEntries".to_owned()
            ]),
            "{of_ec2:?}"
        );
        assert!(of_ec2.len() <= 4, "{of_ec2:?}");
        Ok(())
    });
}

#[test]
fn a_service_that_aws_does_not_know_is_told_and_nothing_is_applied() {
    journey(async |world| {
        world.namespace("ml-nowhere", &json!({"team": "nowhere"}))?;
        let _operator = world.operator("operator", &Settings::default()).await?;
        world.apply(&allowing("nowhere", "no-such-service"))?;
        let told: Result<()> = eventually(PATIENCE, "the finding names the prefix list", || async {
            let seen = world.policy("nowhere")?;
            let findings = seen.list("/status/findings");
            let named = findings.iter().any(|f| {
                f.to_string()
                    .contains("no managed prefix list com.amazonaws.eu-west-1.no-such-service")
            });
            if named {
                Ok(())
            } else {
                Err(Error::from(format!("{findings:?}")))
            }
        })
        .await;
        told?;
        let policies = world
            .plane
            .kubectl(&["get", "networkpolicies", "-n", "ml-nowhere", "-o=name"])?;
        assert_eq!(policies, "");
        Ok(())
    });
}
