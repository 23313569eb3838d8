//! The chart's alerts on metrics that operators in trouble really exposed, judged by promtool.
//!
//! Two scrapes some sweeps apart are replayed over an hour and a half: gauges as they were last, counters growing as they
//! grew, times of verification standing still if they stood still.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use aidp_e2e::helm::tool;
use aidp_e2e::operator::Operator;
use aidp_e2e::plane::NAMESPACE;
use aidp_e2e::process::project_dir;
use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey};
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};

use crate::chart::render;
use crate::common::{ENFORCED, buckets_policy, quick, rule, seed_bucket};

/// One scrape: the value of each series, by its name and labels.
type Scrape = BTreeMap<String, f64>;

/// Scrapes an operator as Prometheus would, with the labels of its target.
async fn scrape(operator: &Operator, instance: &str) -> Result<Scrape> {
    let (_, text) = operator.get("/metrics").await?;
    let target = format!("namespace=\"{NAMESPACE}\",instance=\"{instance}\"");
    let mut scrape = Scrape::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket{"))
    {
        let (series, value) = line.rsplit_once(' ').ok_or("a line without a value")?;
        let series = match series.split_once('{') {
            Some((name, labels)) => format!("{name}{{{target},{labels}"),
            None => format!("{series}{{{target}}}"),
        };
        scrape.insert(series, value.parse()?);
    }
    Ok(scrape)
}

/// The value of the series whose name and labels contain all the words.
fn value(scrape: &Scrape, words: &[&str]) -> f64 {
    let found = scrape
        .iter()
        .filter(|(series, _)| words.iter().all(|word| series.contains(word)));
    found.map(|(_, value)| value).sum()
}

/// 90 minutes in promtool's notation.
fn replayed(before: &Scrape, after: &Scrape) -> Vec<Value> {
    let values = |series: &str, now: f64| {
        let then = before.get(series).copied().unwrap_or_default();
        if series.contains("_timestamp_seconds{") {
            // The clock of a replay starts at 0.
            if then < now {
                "0+60x90".to_owned()
            } else {
                "0x90".to_owned()
            }
        } else if series.contains("_total{") {
            format!("{then}+{}x90", now - then)
        } else {
            format!("{now}x90")
        }
    };
    let series = after
        .iter()
        .map(|(series, now)| json!({"series": series, "values": values(series, *now)}));
    series.collect()
}

/// What fires after 80 minutes, as a case for promtool.
fn case(name: &str, series: &[Value], firing: &[(&str, &str)]) -> Value {
    let samples: Vec<Value> = firing
        .iter()
        .map(|(alert, labels)| json!({"labels": format!("{{alertname=\"{alert}\"{labels}}}"), "value": 1}))
        .collect();
    json!({
        "name": name, "interval": "1m", "input_series": series,
        "promql_expr_test": [{
            "expr": "group by (alertname, policy, reason) (ALERTS{alertstate=\"firing\"})",
            "eval_time": "80m", "exp_samples": samples,
        }],
    })
}

/// The rules of the chart, as Prometheus reads them.
fn rules() -> Result<Value> {
    let chart = render(&[
        "--set",
        "metrics.prometheusRule.enabled=true",
        "--show-only",
        "templates/prometheusrule.yaml",
    ])?;
    let object: Value = serde_yaml::from_str(&chart)?;
    Ok(object["spec"].clone())
}

fn alerts(rules: &Value) -> Vec<&Value> {
    let groups = rules["groups"].as_array().into_iter().flatten();
    groups
        .flat_map(|group| group["rules"].as_array().into_iter().flatten())
        .collect()
}

fn promtool(world: &World, cases: &[Value]) -> Result<()> {
    let folder = &world.surroundings().folder;
    std::fs::write(folder.join("rules.yaml"), serde_yaml::to_string(&rules()?)?)?;
    let tests = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": cases});
    let file = folder.join("alerts.yaml");
    std::fs::write(&file, serde_yaml::to_string(&tests)?)?;
    let output = Command::new(tool("promtool")?)
        .args(["test", "rules"])
        .arg(&file)
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {said}", file.display()).into())
    }
}

fn deny(name: &str, bucket: &str) -> Fault {
    Fault::always(Filter::named(name).on(bucket), Act::AccessDenied)
}

/// What goes wrong with the buckets of the policies that are named after it.
fn troubles() -> [Fault; 6] {
    [
        deny("s3:GetBucketPolicy", "denied-data"),
        deny("s3:PutBucketPolicy", "leaving-data"),
        deny("s3:DeleteBucketPolicy", "leaving-data"),
        Fault::always(Filter::named("s3:GetBucketEncryption").on("blind-data"), Act::Drop),
        Fault::always(Filter::named("s3:GetBucketVersioning").on("slow-data"), Act::Throttle),
        // Accepted, and nothing comes of it.
        Fault::always(
            Filter::named("s3:PutBucketVersioning").on("sinking-data"),
            Act::Garbage { body: String::new() },
        ),
    ]
}

#[test]
fn each_alert_fires_for_its_trouble_and_none_without() {
    journey(async |world| {
        let names = ["fine", "blind", "leaving", "denied", "slow", "sinking", "drifting"];
        for name in names {
            seed_bucket(world, &format!("{name}-data")).await?;
        }
        let spec = |name: &str| buckets_policy(name, &[&format!("{name}-data")]);
        let operator = world.operator("operator", &quick()).await?;
        let mut leaving = spec("leaving");
        leaving["spec"]["deletionPolicy"] = json!("Revert");
        for policy in [&spec("fine"), &spec("blind"), &leaving] {
            world.apply(policy)?;
        }
        for name in ["fine", "blind", "leaving"] {
            world.until_row(name, ENFORCED).await?;
        }
        let calm = scrape(&operator, "a").await?;
        let calm_later = later(&operator, |now| looked_again(&calm, now, &[])).await?;

        // Trouble of every kind.
        for fault in troubles() {
            world.proxy.inject(fault);
        }
        let mut drifting = spec("drifting");
        drifting["spec"]["mode"] = json!("Audit");
        for policy in [&spec("denied"), &spec("slow"), &spec("sinking"), &drifting] {
            world.apply(policy)?;
        }
        world.plane.kubectl(&["delete", "adpp", "leaving", "--wait=false"])?;
        world.until_row("denied", "False - True Unknown AccessDenied").await?;
        world.until_row("drifting", "True - - True Audited").await?;
        world.until_row("sinking", "False - True True WriteNotObserved").await?;
        for name in ["blind", "slow"] {
            world
                .until_row(name, "Unknown True - Unknown ObservationFailed")
                .await?;
        }
        let stuck = |scrape: &Scrape| value(scrape, &["aidp_writes_total{", "not_observed"]);
        let throttled = |scrape: &Scrape| value(scrape, &["aidp_aws_calls_total{", "throttled"]);
        let reverting = |scrape: &Scrape| value(scrape, &["aidp_policy_revert_stalled{", "leaving"]);
        let trouble = later(&operator, |now| reverting(now) > 0.0).await?;
        let trouble_later = later(&operator, |now| {
            stuck(now) > stuck(&trouble)
                && throttled(now) > throttled(&trouble)
                && looked_again(&trouble, now, &["blind"])
        })
        .await?;

        let standby = world.operator("standby", &quick()).await?;
        let waiting = scrape(&standby, "b").await?;
        let firing = [
            ("AidpDenied", ""),
            ("AidpDrift", ", policy=\"drifting\""),
            ("AidpDrift", ", policy=\"sinking\""),
            ("AidpPolicyStalled", ", policy=\"denied\", reason=\"AccessDenied\""),
            ("AidpPolicyStalled", ", policy=\"leaving\", reason=\"AccessDenied\""),
            ("AidpPolicyStalled", ", policy=\"sinking\", reason=\"WriteNotObserved\""),
            ("AidpPolicyUnknown", ", policy=\"blind\""),
            ("AidpPolicyUnknown", ", policy=\"slow\""),
            ("AidpRevertStalled", ", policy=\"leaving\""),
            ("AidpThrottled", ""),
            ("AidpVerificationOld", ", policy=\"blind\""),
            ("AidpWriteNotSticking", ""),
        ];
        // Its series as they were, but for what AWS refused: once.
        let mut once = replayed(&calm, &calm_later);
        let refused = |series: &str| series.starts_with("aidp_aws_calls_total{") && series.contains("access_denied");
        let refusals = trouble.keys().filter(|series| refused(series));
        once.extend(refusals.map(|series| json!({"series": series, "values": "0x60 1x30"})));
        assert!(once.len() > calm_later.len());
        let cases = [
            case("all is well", &replayed(&calm, &calm_later), &[]),
            case("trouble", &replayed(&trouble, &trouble_later), &firing),
            case(
                "nobody leads",
                &replayed(&waiting, &waiting),
                &[("AidpLeaderMissing", "")],
            ),
            case("refused once", &once, &[]),
        ];
        promtool(world, &cases)?;

        let rules = rules()?;
        let fired = firing
            .iter()
            .map(|(alert, _)| *alert)
            // The last one: below.
            .chain(["AidpLeaderMissing", "AidpKubernetesDenied"]);
        let fired: BTreeSet<&str> = fired.collect();
        let all = alerts(&rules)
            .into_iter()
            .filter_map(|rule| rule["alert"].as_str())
            .collect();
        assert_eq!(fired, all, "every alert of the chart was seen firing");
        assert_exported(&rules, &trouble_later);
        Ok(())
    });
}

/// Whether each policy that was completely seen before was so again, but for those that can't be seen now.
fn verified_again(before: &Scrape, now: &Scrape, unseen: &[&str]) -> bool {
    let excepted = |series: &str| {
        unseen
            .iter()
            .any(|policy| series.contains(&format!("policy=\"{policy}\"")))
    };
    let seen = |series: &&String| series.starts_with("aidp_policy_last_verified_") && !excepted(series);
    let stale = now
        .keys()
        .filter(seen)
        .filter(|series| now.get(*series) <= before.get(*series));
    stale.count() == 0
}

/// The same, and often enough for a rate.
fn looked_again(before: &Scrape, now: &Scrape, unseen: &[&str]) -> bool {
    let sweeps = |scrape: &Scrape| value(scrape, &["aidp_reconcile_total{"]);
    sweeps(now) > sweeps(before) + 12.0 && verified_again(before, now, unseen)
}

/// Every series that the rules ask for, and every metric of the documentation, is exported; and each metric is documented.
fn assert_exported(rules: &Value, scrape: &Scrape) {
    let mut unknown = Vec::new();
    for alert in alerts(rules) {
        let expression = alert["expr"].as_str().unwrap_or_default();
        for asked in expression.match_indices("aidp_").map(|(at, _)| &expression[at..]) {
            let (name, rest) = asked.split_at(asked.find(|c: char| c != '_' && !c.is_ascii_lowercase()).unwrap());
            let labels = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
            let labels = labels.into_iter().flat_map(|labels| labels.split(',')).map(str::trim);
            let words: Vec<String> = std::iter::once(name.to_owned())
                .chain(labels.map(str::to_owned))
                .collect();
            let shows = |series: &&String| {
                series.split('{').next() == Some(name) && words.iter().all(|word| series.contains(word.as_str()))
            };
            // Nothing was refused by the API server; that outcome is seen in a test of its own.
            let elsewhere = name == "aidp_kube_calls_total";
            if !elsewhere && !scrape.keys().any(|series| shows(&series)) {
                unknown.push(format!("{}: {words:?}", alert["alert"]));
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new());

    let page = std::fs::read_to_string(project_dir().join("docs/operations.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `aidp_"));
    let first = rows.filter_map(|row| row.split(" | ").next());
    let documented: BTreeSet<String> = first
        .flat_map(|cell| cell.split(", "))
        .map(|name| format!("aidp_{}", name.trim_matches('`').trim_start_matches("aidp_")))
        .collect();
    let family = |series: &String| {
        let name = series.split('{').next().unwrap_or_default();
        let name = name
            .strip_suffix("_sum")
            .or_else(|| name.strip_suffix("_count"))
            .unwrap_or(name);
        name.to_owned()
    };
    let exported: BTreeSet<String> = scrape.keys().map(family).collect();
    assert_eq!(documented, exported);
}

#[test]
fn a_change_of_leaders_raises_no_alert_and_a_right_that_was_taken_away_does() {
    journey(async |world| {
        seed_bucket(world, "steady-data").await?;
        world.namespace("ml-steady", &json!({"team": "steady"}))?;
        let first = world.operator("first", &quick()).await?;
        first.until_leads(true).await?;
        let second = world.operator("second", &quick()).await?;
        // What the first one saw last was bad.
        world.proxy.inject(deny("s3:GetBucketPolicy", "steady-data"));
        let mut policy = buckets_policy("steady", &["steady-data"]);
        policy["spec"]["egress"] = json!([rule("training", "steady")]);
        world.apply(&policy)?;
        world.until_row("steady", "False - True Unknown AccessDenied").await?;
        assert!(value(&scrape(&first, "a").await?, &["aidp_policy_stalled{"]) > 0.0);
        first.signal("STOP").await?;
        second.until_leads(true).await?;
        world.proxy.heal();
        world.until_row("steady", ENFORCED).await?;
        first.signal("CONT").await?;
        first.until_leads(false).await?;
        let both = async || {
            let (mut both, second) = (scrape(&first, "a").await?, scrape(&second, "b").await?);
            both.extend(second);
            Ok::<_, Error>(both)
        };
        let (before, mut after) = (both().await?, Scrape::new());
        eventually(2 * PATIENCE, "the second looks again", || async {
            if looked_again(&before, &both().await?, &[]) {
                Ok(())
            } else {
                Err(Error::from("not yet"))
            }
        })
        .await?;
        after.extend(both().await?);

        let pods = without_pods(world)?;
        let denied = |scrape: &Scrape| value(scrape, &["aidp_kube_calls_total{", "\"list pods\"", "access_denied"]);
        let judged = world.until_row("steady", "False - True True NotAnalysed").await;
        let refused = later_of(&second, "b", |now| denied(now) > 0.0).await;
        let refused_later = match &refused {
            Ok(refused) => {
                let again = |now: &Scrape| denied(now) > denied(refused) && verified_again(refused, now, &[]);
                later_of(&second, "b", again).await
            }
            Err(_) => Ok(Scrape::new()),
        };
        // Given back before anything else: the next test has the same control plane.
        world.plane.kubectl_with(&APPLY, &pods.to_string())?;
        judged?;
        let refused = replayed(&refused?, &refused_later?);
        // What pods can reach is not known without them, so the rule counts as not met.
        let firing = [
            ("AidpDrift", ", policy=\"steady\""),
            ("AidpKubernetesDenied", ""),
            ("AidpPolicyStalled", ", policy=\"steady\", reason=\"NotAnalysed\""),
        ];
        let cases = [
            case("leaders have changed", &replayed(&before, &after), &[]),
            case("a right is missing", &refused, &firing),
        ];
        promtool(world, &cases)
    });
}

const APPLY: [&str; 5] = ["apply", "--server-side", "--force-conflicts", "-f", "-"];

/// Takes the right to list pods away, and returns the role as it was.
fn without_pods(world: &World) -> Result<Value> {
    let role: Value = serde_json::from_str(&world.plane.kubectl(&["get", "clusterrole", "aidp", "-o=json"])?)?;
    let given = json!({
        "apiVersion": role["apiVersion"], "kind": role["kind"], "rules": role["rules"],
        "metadata": {"name": "aidp", "labels": role["metadata"]["labels"]},
    });
    let mut less = given.clone();
    if let Some(rules) = less["rules"].as_array_mut() {
        rules.retain(|rule| rule["resources"] != json!(["pods"]));
    }
    assert_ne!(less, given);
    world.plane.will_refuse();
    world.plane.kubectl_with(&APPLY, &less.to_string())?;
    Ok(given)
}

/// The first scrape that shows what is waited for.
async fn later(operator: &Operator, shows: impl Fn(&Scrape) -> bool) -> Result<Scrape> {
    later_of(operator, "a", shows).await
}

async fn later_of(operator: &Operator, instance: &str, shows: impl Fn(&Scrape) -> bool) -> Result<Scrape> {
    eventually(2 * PATIENCE, "the metrics show it", || async {
        let now = scrape(operator, instance).await?;
        if shows(&now) {
            Ok(now)
        } else {
            Err(Error::from(format!("{now:#?}")))
        }
    })
    .await
}
