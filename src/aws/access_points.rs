//! S3 access points: other names for buckets, each with a policy of its own (S3 Control).
//!
//! Only those of the account itself can be listed. They are read where a role that is not ours is to be judged: ours is
//! denied all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::classify::Failure;
use super::observe::CONCURRENT_BUCKETS;
use super::paging::next_token;
use super::s3control::client;
use super::service::Service;
use super::session::AccountSession;
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::{AccessPoint, BucketObservation, ErrorClass, Read};
use crate::domain::policy::ValidatedPolicy;

const LIST: &str = "ListAccessPoints";
const GET_POLICY: &str = "GetAccessPointPolicy";
/// Largest page that S3 Control gives (ListAccessPoints, maxResults).
const PAGE: i32 = 1_000;
/// Pages of one listing: an account has at most 10,000 access points in a region (S3 User Guide, "Access points restrictions
/// and limitations"), unless it has asked for more.
const MAX_PAGES: usize = 50;
/// Policies of access points read for one policy of ours and region: a bound on what one sweep may cost.
const MAX_POLICIES: usize = 200;

/// An access point as the listing gives it, without its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    name: String,
    arn: String,
    bucket: BucketName,
}

impl AccountSession {
    /// By region, the access points of the policy's buckets, not older than `max_age`.
    pub(super) async fn access_points(
        &self,
        policy: &ValidatedPolicy,
        buckets: &BTreeMap<BucketName, BucketObservation>,
        max_age: Duration,
    ) -> BTreeMap<Region, Read<Vec<AccessPoint>>> {
        let names: BTreeSet<&BucketName> = policy.buckets.iter().map(|bucket| &bucket.name).collect();
        let seen = names.iter().filter_map(|name| buckets.get(*name));
        let regions: BTreeSet<Region> = seen.filter_map(|bucket| bucket.region.clone().ok()).collect();
        let names = &names;
        stream::iter(regions)
            .map(|region| async move {
                let read = self.access_points_in(&region, names, max_age).await;
                (region, read.map_err(Into::into))
            })
            .buffer_unordered(CONCURRENT_BUCKETS)
            .collect()
            .await
    }

    async fn access_points_in(
        &self,
        region: &Region,
        buckets: &BTreeSet<&BucketName>,
        max_age: Duration,
    ) -> Result<Vec<AccessPoint>, Failure> {
        let listings = &self.shared.readings.access_points;
        let all = listings
            .get(region, max_age, || self.list_access_points(region))
            .await?;
        let ours: Vec<Listed> = all
            .into_iter()
            .filter(|point| buckets.contains(&point.bucket))
            .collect();
        if ours.len() > MAX_POLICIES {
            let message = format!(
                "{} access points of the policy's buckets, more than {MAX_POLICIES}",
                ours.len()
            );
            return Err(Failure::new(GET_POLICY, ErrorClass::Terminal, message));
        }
        let policies = &self.shared.readings.access_point_policies;
        let read: Vec<Option<AccessPoint>> = stream::iter(ours)
            .map(|Listed { name, arn, bucket }| async move {
                let key = (region.clone(), name);
                let policy = policies.get(&key, max_age, || self.access_point_policy(region, &key.1));
                let policy = match policy.await {
                    Ok(policy) => Ok(policy),
                    // Deleted since it was listed.
                    Err(failure) if failure.has_code("NoSuchAccessPoint") => return Ok(None),
                    Err(failure) => Err(failure.into()),
                };
                Ok::<_, Failure>(Some(AccessPoint { arn, bucket, policy }))
            })
            .buffered(CONCURRENT_BUCKETS)
            .try_collect()
            .await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn list_access_points(&self, region: &Region) -> Result<Vec<Listed>, Failure> {
        let clients = self.clients(region);
        let client = client(&clients, LIST)?;
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let request = client
                .list_access_points()
                .account_id(self.account().as_str())
                .max_results(PAGE)
                .set_next_token(token.clone());
            let page = self.shared.caller.read(Service::S3, LIST, request.send()).await?;
            for point in page.access_point_list() {
                // What is attached to a file system has no bucket.
                let Ok(bucket) = BucketName::new(point.bucket()) else {
                    continue;
                };
                let arn = point.access_point_arn();
                let arn = arn.ok_or_else(|| Failure::incomplete(LIST, "ARN"))?.to_owned();
                let name = point.name().to_owned();
                all.push(Listed { name, arn, bucket });
            }
            token = next_token(LIST, page.next_token, token.as_ref())?;
            if token.is_none() {
                return Ok(all);
            }
        }
        Err(Failure::new(LIST, ErrorClass::Terminal, "more pages than are followed"))
    }

    async fn access_point_policy(&self, region: &Region, name: &str) -> Result<Option<String>, Failure> {
        let clients = self.clients(region);
        let request = client(&clients, GET_POLICY)?
            .get_access_point_policy()
            .account_id(self.account().as_str())
            .name(name);
        match self.shared.caller.read(Service::S3, GET_POLICY, request.send()).await {
            Ok(output) => {
                let policy = output.policy.ok_or_else(|| Failure::incomplete(GET_POLICY, "policy"))?;
                Ok(Some(policy))
            }
            Err(failure) if failure.has_code("NoSuchAccessPointPolicy") => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}
