//! The steady state costs nothing but reads, and few of them; nothing the operator does is beyond its rights.

use std::collections::BTreeMap;
use std::time::Duration;

use aidp_e2e::operator::Settings;
use aidp_e2e::wait::eventually;
use aidp_e2e::world::journey;

use crate::common::{ENFORCED, seed, whole_policy};

/// Sweeps that are watched: more than three intervals.
const SWEEPS: u64 = 4;

#[test]
fn the_steady_state_writes_nothing_and_reads_little() {
    journey(async |world| {
        let key = seed(world, "fraud").await?;
        let settings = Settings {
            arguments: vec!["--max-interval", "5s"],
            ..Settings::default()
        };
        let everything = world.audit()?;
        let operator = world.operator("operator", &settings).await?;
        world.apply(&whole_policy("fraud", &key))?;
        world.until_row("fraud", ENFORCED).await?;
        // One more sweep, so that nothing of the first convergence is still under way.
        let before = world.policy("fraud")?;

        let (audit, mark) = (world.audit()?, world.proxy.mark());
        let sweeps = || {
            let calls = world.proxy.calls_since(mark);
            calls
                .iter()
                .filter(|call| call.name() == "s3:GetBucketEncryption")
                .count() as u64
        };
        eventually(
            Duration::from_secs(90),
            "the operator looks again and again",
            || async {
                let seen = sweeps();
                if seen >= SWEEPS {
                    Ok(())
                } else {
                    Err(format!("{seen} sweeps"))
                }
            },
        )
        .await?;

        let calls = world.proxy.calls_since(mark);
        assert_eq!(world.proxy.writes_since(mark), Vec::<String>::new(), "writes to AWS");
        let mut reads: BTreeMap<String, u64> = BTreeMap::new();
        for call in &calls {
            *reads
                .entry(format!(
                    "{} {}",
                    call.operation.resource.as_deref().unwrap_or("-"),
                    call.name()
                ))
                .or_default() += 1;
        }
        eprintln!("AWS reads in {} sweeps: {reads:#?}", sweeps());
        let of_bucket: u64 = reads
            .iter()
            .filter(|(name, _)| name.starts_with("fraud-data "))
            .map(|(_, n)| n)
            .sum();
        assert!(
            of_bucket <= 4 * sweeps(),
            "{of_bucket} reads of one bucket in {} sweeps: {reads:#?}",
            sweeps()
        );

        if let Some(audit) = audit {
            assert_eq!(audit.writes()?, BTreeMap::new(), "writes to Kubernetes");
            assert_eq!(
                world.policy("fraud")?.text("/metadata/resourceVersion"),
                before.text("/metadata/resourceVersion")
            );
        }
        if let Some(everything) = everything {
            let refused: Vec<_> = everything
                .requests()?
                .into_iter()
                .filter(|r| matches!(r.status, 401 | 403))
                .collect();
            assert_eq!(refused, [], "requests beyond the operator's rights");
        }
        for path in ["/livez", "/readyz"] {
            assert_eq!(operator.get(path).await?.0, 200, "{path}");
        }
        let (status, metrics) = operator.get("/metrics").await?;
        assert_eq!(status, 200);
        assert!(
            metrics.contains("operation=\"GetBucketEncryption\""),
            "AWS calls are counted by operation:\n{metrics}"
        );
        assert!(
            !metrics.contains("fraud-data"),
            "a bucket's name is no label: there is no bound on buckets"
        );
        Ok(())
    });
}
