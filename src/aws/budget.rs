//! Request budgets: how fast, and how many at once, one account may be asked by service.

use std::num::NonZeroU32;

use governor::clock::Clock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::service::Service;

/// Budget of one service in one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Calls per second, long-term.
    pub per_second: NonZeroU32,
    /// Calls that may start at once after a pause.
    pub burst: NonZeroU32,
    /// Calls in flight.
    pub concurrency: NonZeroU32,
}

impl Budget {
    /// A budget; zeros count as one.
    pub const fn new(per_second: u32, burst: u32, concurrency: u32) -> Self {
        Self {
            per_second: at_least_one(per_second),
            burst: at_least_one(burst),
            concurrency: at_least_one(concurrency),
        }
    }
}

const fn at_least_one(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => NonZeroU32::MIN,
    }
}

/// Budgets of every service in one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// S3: thousands of requests a second are allowed on objects; bucket configuration is not documented.
    pub s3: Budget,
    /// IAM: one account-wide, undocumented token bucket that is easily emptied ("Rate exceeded").
    pub iam: Budget,
    /// STS.
    pub sts: Budget,
    /// KMS: its reads share 100 requests a second or fewer with everybody else in the account and region.
    pub kms: Budget,
    /// EKS.
    pub eks: Budget,
    /// EC2: "Describe" calls share a bucket of 100 that refills with 20 a second with everybody else in the region.
    pub ec2: Budget,
    /// Resource Groups Tagging API: `GetResources` allows 15 requests a second, all callers of the account together.
    pub tagging: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            s3: Budget::new(50, 50, 16),
            iam: Budget::new(5, 10, 4),
            sts: Budget::new(5, 5, 2),
            kms: Budget::new(10, 20, 4),
            ec2: Budget::new(2, 10, 2),
            eks: Budget::new(5, 50, 4),
            tagging: Budget::new(5, 10, 4),
        }
    }
}

/// Tokio's clock: the one that the waiting goes by.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

/// The place where calls of one service in one account queue.
pub(super) struct Lane {
    tokens: RateLimiter<NotKeyed, InMemoryState, TokioClock>,
    in_flight: Semaphore,
}

impl Lane {
    fn new(budget: Budget) -> Self {
        let quota = Quota::per_second(budget.per_second).allow_burst(budget.burst);
        let concurrency = usize::try_from(budget.concurrency.get()).unwrap_or(1);
        Self {
            tokens: RateLimiter::direct_with_clock(quota, TokioClock),
            in_flight: Semaphore::new(concurrency),
        }
    }

    /// Waits for a place among the calls in flight, then for a token. The caller bounds the waiting.
    pub async fn place(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        let place = self.in_flight.acquire().await?;
        while let Err(too_early) = self.tokens.check() {
            tokio::time::sleep(too_early.wait_time_from(TokioClock.now())).await;
        }
        Ok(place)
    }
}

/// The lanes of one account.
pub(super) struct Lanes {
    s3: Lane,
    iam: Lane,
    sts: Lane,
    kms: Lane,
    eks: Lane,
    ec2: Lane,
    tagging: Lane,
}

impl Lanes {
    pub fn new(budgets: &Budgets) -> Self {
        let Budgets {
            s3,
            iam,
            sts,
            kms,
            ec2,
            eks,
            tagging,
        } = *budgets;
        Self {
            s3: Lane::new(s3),
            iam: Lane::new(iam),
            sts: Lane::new(sts),
            kms: Lane::new(kms),
            ec2: Lane::new(ec2),
            eks: Lane::new(eks),
            tagging: Lane::new(tagging),
        }
    }

    pub fn of(&self, service: Service) -> &Lane {
        match service {
            Service::S3 => &self.s3,
            Service::Iam => &self.iam,
            Service::Sts => &self.sts,
            Service::Kms => &self.kms,
            Service::Ec2 => &self.ec2,
            Service::Eks => &self.eks,
            Service::Tagging => &self.tagging,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_its_burst_a_lane_lets_through_so_many_a_second() {
        let lane = Lane::new(Budget::new(5, 10, 4));
        let started = Instant::now();
        for _ in 0..10 {
            drop(lane.place().await.unwrap());
        }
        assert!(started.elapsed().is_zero(), "{:?}", started.elapsed());
        for _ in 0..10 {
            drop(lane.place().await.unwrap());
        }
        let elapsed = started.elapsed().as_millis();
        assert!((1_900..=2_100).contains(&elapsed), "{elapsed} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_calls_are_in_flight_than_allowed() {
        let lane = Lane::new(Budget::new(100, 100, 2));
        let held = (lane.place().await.unwrap(), lane.place().await.unwrap());
        let third = tokio::time::timeout(std::time::Duration::from_secs(1), lane.place()).await;
        assert!(third.is_err());
        drop(held);
        assert!(lane.place().await.is_ok());
    }
}
