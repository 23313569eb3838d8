//! What the operator costs when there is nothing to do: resident memory and processor time, from the kernel.
//!
//! With `AIDP_RELEASE=1`, which says that `AIDP_BIN` is a release build, at the size that is promised: 100 policies of 20
//! buckets (`make measure`; the operator keeps to its 50 S3 requests a second, so this takes minutes). Else a part of it.

use std::time::{Duration, Instant};

use aidp_e2e::Result;
use aidp_e2e::operator::{Operator, Settings};
use aidp_e2e::wait::{eventually, throughout};
use aidp_e2e::world::{World, journey, policy};
use serde_json::{Value, json};

use crate::common::all_controls;

const BUCKETS_EACH: usize = 20;

/// The promise for resident memory, in KiB.
const LIMIT_KIB: u64 = 64 * 1_024;

/// The span of quiet that is measured.
const QUIET: Duration = Duration::from_secs(20);

/// A tick of processor time (`USER_HZ`, which Linux fixes at 100 for what it shows to programs).
const TICK: Duration = Duration::from_millis(10);

/// A field of the kernel's `/proc/PID/status`, in KiB.
fn kib(operator: &Operator, field: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", operator.pid()))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .ok_or("no such field")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Processor time so far, the program's own and the kernel's for it, in ticks.
fn ticks(operator: &Operator) -> Result<u32> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", operator.pid()))?;
    // The name of the program, in parentheses, may hold blanks; utime and stime are fields 14 and 15 (proc_pid_stat(5)).
    let (_, fields) = text.rsplit_once(')').ok_or("no program name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |at: usize| -> Result<u32> { Ok(fields.get(at).ok_or("too few fields")?.parse()?) };
    Ok(field(11)? + field(12)?)
}

fn judged(world: &World) -> Result<usize> {
    let rows = world.plane.kubectl(&[
        "get",
        "adpp",
        r#"-o=jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].reason}{"\n"}{end}"#,
    ])?;
    Ok(rows.lines().filter(|reason| *reason == "Audited").count())
}

#[test]
fn an_operator_with_nothing_to_do_is_small_and_idle() {
    journey(async |world| {
        let release = std::env::var_os("AIDP_RELEASE").is_some();
        let policies = if release { 100 } else { 4 };
        for p in 0..policies {
            let names: Vec<String> = (0..BUCKETS_EACH).map(|b| format!("steady-{p}-{b}")).collect();
            for name in &names {
                world.aws.create_bucket(name).await?;
            }
            let buckets: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            // Bare buckets under Audit: of each something is to be said, and all of it is kept.
            let spec = json!({
                "mode": "Audit", "interval": "1h", "bucketControls": all_controls(), "buckets": buckets,
            });
            world.apply(&policy(&format!("steady-{p}"), &spec))?;
        }
        let settings = Settings {
            // As in production: how often the Lease is renewed is what an idle operator does.
            lease_duration: "15s",
            ..Settings::default()
        };
        let operator = world.operator("operator", &settings).await?;
        eventually(Duration::from_mins(20), "every policy is judged", || async {
            match judged(world)? {
                n if n == policies => Ok(()),
                n => Err(aidp_e2e::Error::from(format!("{n} of {policies}"))),
            }
        })
        .await?;

        let (start, before) = (Instant::now(), ticks(&operator)?);
        throughout(QUIET, "the operator stays small", || async {
            match kib(&operator, "RssAnon:")? {
                private if private <= LIMIT_KIB => Ok(()),
                private => Err(aidp_e2e::Error::from(format!("{private} KiB of private memory"))),
            }
        })
        .await?;
        let (span, used) = (start.elapsed(), TICK * (ticks(&operator)? - before));
        let [private, resident, peak] = ["RssAnon:", "VmRSS:", "VmHWM:"].map(|field| kib(&operator, field));
        let (private, resident, peak) = (private?, resident?, peak?);
        let build = if release { "release" } else { "debug" };
        world.note_measured(&format!(
            "{build} build, {policies} policies of {BUCKETS_EACH} buckets, quiet: {resident} KiB resident ({private} private), \
             {peak} at most so far; {} ms of processor time in {} s",
            used.as_millis(),
            span.as_secs()
        ))?;
        // A debug build's code is many times larger than what is shipped, and counts as resident where it was run.
        if release {
            assert!(resident <= LIMIT_KIB, "{resident} KiB resident");
        }
        // One per cent of a processor: the Lease is renewed all the while, and nothing else happens.
        assert!(used * 100 <= span, "{used:?} of processor time in {span:?}");
        Ok(())
    });
}
