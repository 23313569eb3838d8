//! The chart's alerts on metrics that operators in trouble really exposed, judged by promtool.
//!
//! Two scrapes some sweeps apart are replayed over an hour and a half: gauges as they were last, counters growing as they
//! grew, times of verification standing still if they stood still.

use std::collections::BTreeMap;
use std::process::Command;

use aidp_e2e::helm::tool;
use aidp_e2e::operator::Operator;
use aidp_e2e::plane::NAMESPACE;
use aidp_e2e::proxy::{Act, Fault, Filter};
use aidp_e2e::wait::eventually;
use aidp_e2e::world::{PATIENCE, World, journey};
use aidp_e2e::{Error, Result};
use serde_json::{Value, json};

use crate::chart::render;
use crate::common::{ENFORCED, buckets_policy, quick, seed_bucket};

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
        let sweeps = |scrape: &Scrape| value(scrape, &["aidp_reconcile_total{"]);
        let calm = scrape(&operator, "a").await?;
        let calm_later = later(&operator, |now| sweeps(now) > sweeps(&calm) + 12.0).await?;

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
                && sweeps(now) > sweeps(&trouble) + 12.0
        })
        .await?;

        let standby = world.operator("standby", &quick()).await?;
        let waiting = scrape(&standby, "b").await?;
        // No right is missing here, so the one series of this trouble is made up; its name and labels are not.
        let kube = "aidp_kube_calls_total{";
        assert!(
            trouble
                .keys()
                .any(|s| s.starts_with(kube) && s.contains("operation=") && s.contains("outcome="))
        );
        let refused = format!("{kube}namespace=\"{NAMESPACE}\",operation=\"list_pods\",outcome=\"access_denied\"}}");
        let refused = json!({"series": refused, "values": "0+1x90"});

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
        let with_refusal: Vec<Value> = replayed(&calm, &calm_later).into_iter().chain([refused]).collect();
        let cases = [
            case("all is well", &replayed(&calm, &calm_later), &[]),
            case("trouble", &replayed(&trouble, &trouble_later), &firing),
            case(
                "nobody leads",
                &replayed(&waiting, &waiting),
                &[("AidpLeaderMissing", "")],
            ),
            case("a right is missing", &with_refusal, &[("AidpKubernetesDenied", "")]),
        ];
        promtool(world, &cases)?;

        let rules = rules()?;
        let fired = firing
            .iter()
            .map(|(alert, _)| *alert)
            .chain(["AidpLeaderMissing", "AidpKubernetesDenied"]);
        let fired: std::collections::BTreeSet<&str> = fired.collect();
        let all = alerts(&rules)
            .into_iter()
            .filter_map(|rule| rule["alert"].as_str())
            .collect();
        assert_eq!(fired, all, "every alert of the chart was seen firing");
        Ok(())
    });
}

/// The first scrape that shows what is waited for.
async fn later(operator: &Operator, shows: impl Fn(&Scrape) -> bool) -> Result<Scrape> {
    eventually(2 * PATIENCE, "the metrics show it", || async {
        let now = scrape(operator, "a").await?;
        if shows(&now) {
            Ok(now)
        } else {
            Err(Error::from(format!("{now:#?}")))
        }
    })
    .await
}
