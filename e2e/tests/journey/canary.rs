//! Seeded secrets never come out again: not in logs, status, events, metrics or anything else in the cluster.

use aidp_e2e::Error;
use aidp_e2e::emulator::ACCOUNT;
use aidp_e2e::operator::{Operator, Settings, Surroundings};
use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, journey};
use serde_json::{Value, json};

use crate::common::{ENFORCED, quick, seed, seed_bucket, whole_policy};

const SECRET_KEY: &str = "canary/SecretAccessKey+0123456789abcdefghij";
const EXTERNAL_ID: &str = "canary-external-id-7f3a9c";
/// What a server in between says that should not: a header of the request, repeated.
const ECHOED: &str = "canary-echoed-session-token";
/// What every session token of the emulator begins with.
const SESSION_TOKEN: &str = "FQoGZXIvYXdzE";

#[test]
fn seeded_secrets_never_appear_in_logs_status_events_or_metrics() {
    journey(async |world| {
        let key = seed(world, "spy").await?;
        seed_bucket(world, "noise-data").await?;
        let surroundings = Surroundings {
            known_key: Some(("AKIACANARY0000000000".to_owned(), SECRET_KEY.to_owned())),
            ..world.surroundings().clone()
        };
        let kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(&surroundings.kubeconfig)?)?;
        let token = kubeconfig["users"][0]["user"]["token"]
            .as_str()
            .ok_or("no token")?
            .to_owned();
        let account = json!({
            "id": ACCOUNT, "roleARN": format!("arn:aws:iam::{ACCOUNT}:role/aidp-operator"), "externalID": EXTERNAL_ID,
        });
        let mut settings = Settings {
            configuration: Some(json!({"accounts": [account]})),
            ..quick()
        };
        // All that may be logged: of a library's own words it is the most that anybody would switch on.
        settings.arguments.extend(["--log-filter", "debug"]);
        // Assuming the role fails first, with an answer that repeats what it was asked.
        world.proxy.inject(Fault::times(
            2,
            Filter::named("sts:AssumeRole"),
            Act::Error {
                status: 403,
                code: "AccessDenied".to_owned(),
                message: "not authorized to perform: sts:AssumeRole".to_owned(),
            },
        ));
        world.proxy.inject(Fault::times(
            2,
            Filter::named("s3:GetBucketEncryption"),
            Act::Garbage {
                body: format!("<Error><CanonicalRequest>x-amz-security-token:{ECHOED}</CanonicalRequest></Error>"),
            },
        ));
        let operator = Operator::start(&surroundings, "operator", &settings).await?;
        world.apply(&whole_policy("spy", &key))?;
        world.until_row("spy", ENFORCED).await?;
        // A write with its event and history, and a refusal with its words.
        world.aws.suspend_versioning("spy-data").await?;
        eventually(PATIENCE, "the repair is in the history", || async {
            let history = world.policy("spy")?.list("/status/history").len();
            if history > 4 {
                Ok(())
            } else {
                Err(Error::from(format!("{history} entries")))
            }
        })
        .await?;
        world
            .proxy
            .inject(Fault::always(Filter::named("s3:GetBucketPolicy"), Act::AccessDenied));
        world.until_row("spy", "False - True Unknown AccessDenied").await?;

        // The secrets were in use.
        let called = |name: &str| world.proxy.calls().iter().any(|call| call.name() == name);
        assert!(called("sts:AssumeRole") && called("iam:CreateRole"));
        let log = operator.log()?;
        assert!(log.contains("DEBUG"), "the log is as talkative as was asked for");
        let everything = [
            ("log", log),
            ("metrics", operator.get("/metrics").await?.1),
            (
                "policies",
                world
                    .plane
                    .kubectl(&["get", "adpp", "-o=yaml", "--show-managed-fields"])?,
            ),
            (
                "events",
                world.plane.kubectl(&["get", "events.events.k8s.io", "-A", "-o=yaml"])?,
            ),
            (
                "network policies",
                world.plane.kubectl(&["get", "networkpolicies", "-A", "-o=yaml"])?,
            ),
            ("lease", world.plane.kubectl(&["get", "leases", "-A", "-o=yaml"])?),
        ];
        assert!(
            everything
                .iter()
                .all(|(_, text)| text.contains("spy") || text.contains("aidp")),
            "{everything:?}"
        );
        let secrets = [
            ("secret access key", SECRET_KEY),
            ("external id", EXTERNAL_ID),
            ("session token", SESSION_TOKEN),
            ("echoed token", ECHOED),
            ("ServiceAccount token", token.as_str()),
        ];
        let mut leaks = Vec::new();
        for (place, text) in &everything {
            for (what, secret) in secrets.iter().filter(|(_, secret)| text.contains(secret)) {
                let line = text.lines().find(|line| line.contains(secret)).unwrap_or_default();
                leaks.push(format!("{what} in the {place}: {line:.300}"));
            }
        }
        assert_eq!(leaks, Vec::<String>::new());
        Ok(())
    });
}
