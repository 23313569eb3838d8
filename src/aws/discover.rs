//! Buckets by selector: by name from `ListBuckets`, by tag from `tagging:GetResources` in each region that has buckets.
//!
//! What comes out is complete or an error: a list that breaks off, or that is longer than we would read, is never taken for
//! all there is. One search serves all policies of the account in a sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_resourcegroupstagging::types::TagFilter;
use futures::{StreamExt, TryStreamExt, stream};

use super::classify::Failure;
use super::service::Service;
use super::session::AccountSession;
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::{ErrorClass, Read};
use crate::domain::policy::{SelectedBuckets, SelectorTarget, ValidatedPolicy};

/// Buckets on a page of `ListBuckets`. Any bound must be given: only then does S3 name the buckets' regions and the rest
/// (S3 API reference, `ListBuckets`).
const PAGE: i32 = 1000;
/// Most pages of `ListBuckets`: an account has 10,000 buckets by default.
const MAX_PAGES: usize = 20;
/// Resources on a page of `GetResources`; its maximum.
const TAGGED_PAGE: i32 = 100;
/// Most pages of `GetResources`.
const MAX_TAGGED_PAGES: usize = 200;
/// Searches of one policy at once.
const CONCURRENT_SELECTORS: usize = 4;
/// Regions searched by tag at once.
const CONCURRENT_REGIONS: usize = 4;

/// Buckets of the account by name, with the region where S3 told it.
pub(super) type Listed = Arc<BTreeMap<String, Option<Region>>>;
/// Buckets of one region that carry certain tags.
pub(super) type Tagged = Arc<BTreeSet<String>>;
/// A search by tag.
pub(super) type TagQuery = (Region, BTreeMap<String, String>);

impl AccountSession {
    /// What each selector of the policy finds.
    pub(super) async fn discover(
        &self,
        policy: &ValidatedPolicy,
        max_age: Duration,
    ) -> BTreeMap<String, Read<SelectedBuckets>> {
        stream::iter(policy.selectors.clone())
            .map(|selector| async move {
                let found = self.select(&selector, max_age).await;
                (selector.name, found.map_err(Into::into))
            })
            .buffer_unordered(CONCURRENT_SELECTORS)
            .collect()
            .await
    }

    async fn select(&self, selector: &SelectorTarget, max_age: Duration) -> Result<SelectedBuckets, Failure> {
        let SelectorTarget {
            name: _,
            name_prefix,
            match_tags,
            template: _,
        } = selector;
        let prefix = name_prefix.clone().unwrap_or_default();
        let kept = &self.shared.readings;
        let listed = kept
            .bucket_lists
            .get(&prefix, max_age, || self.list_buckets(&prefix))
            .await?;
        if match_tags.is_empty() {
            return Ok(selected(listed.iter()));
        }
        // Tags are kept by region, in each bucket's own. A server that names no regions has but one.
        let regions: BTreeSet<Region> = listed
            .values()
            .map(|region| region.as_ref().unwrap_or(&self.home).clone())
            .collect();
        let tagged: Vec<Tagged> = stream::iter(regions)
            .map(|region| async move {
                let query = (region, match_tags.clone());
                kept.tagged_buckets
                    .get(&query, max_age, || self.get_resources(&query))
                    .await
            })
            .buffer_unordered(CONCURRENT_REGIONS)
            .try_collect()
            .await?;
        // The tagging API speaks of deleted buckets for a while; the list does not.
        let has_tags = |name: &String| tagged.iter().any(|found| found.contains(name));
        Ok(selected(listed.iter().filter(|(name, _)| has_tags(name))))
    }

    /// Every bucket of the account whose name starts so. The account's own only: S3 lists no others.
    async fn list_buckets(&self, prefix: &str) -> Result<Listed, Failure> {
        const OPERATION: &str = "ListBuckets";
        let clients = self.home_clients();
        let mut all = BTreeMap::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let request = clients
                .s3
                .list_buckets()
                .max_buckets(PAGE)
                .set_prefix(Some(prefix.to_owned()).filter(|p| !p.is_empty()))
                .set_continuation_token(token.clone());
            let page = self.shared.caller.read(Service::S3, OPERATION, request.send()).await?;
            for bucket in page.buckets() {
                // A server that does not know the parameter lists everything.
                let Some(name) = bucket.name().filter(|name| name.starts_with(prefix)) else {
                    continue;
                };
                let region = bucket.bucket_region().map(Region::new).transpose();
                let region = region.map_err(|_| Failure::incomplete(OPERATION, "readable region"))?;
                all.insert(name.to_owned(), region);
            }
            let next = page
                .continuation_token()
                .filter(|t| !t.is_empty())
                .map(ToOwned::to_owned);
            if next.is_none() {
                return Ok(Arc::new(all));
            }
            if next == token {
                return Err(Failure::incomplete(OPERATION, "next page"));
            }
            token = next;
        }
        Err(too_long(OPERATION, "buckets"))
    }

    /// Every bucket of one region that carries these tags.
    async fn get_resources(&self, (region, tags): &TagQuery) -> Result<Tagged, Failure> {
        const OPERATION: &str = "GetResources";
        let clients = self.clients(region);
        let filters: Vec<TagFilter> = tags
            .iter()
            .map(|(key, value)| TagFilter::builder().key(key).values(value).build())
            .collect();
        let mut all = BTreeSet::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_TAGGED_PAGES {
            let request = clients
                .tagging
                .get_resources()
                .set_tag_filters(Some(filters.clone()))
                .resource_type_filters("s3:bucket")
                .resources_per_page(TAGGED_PAGE)
                .set_pagination_token(token.clone());
            let page = self
                .shared
                .caller
                .read(Service::Tagging, OPERATION, request.send())
                .await?;
            for resource in page.resource_tag_mapping_list() {
                // An empty value in a filter means "any"; here it means the empty value.
                let carries = |(key, value): (&String, &String)| {
                    resource
                        .tags()
                        .iter()
                        .any(|tag| tag.key() == key && tag.value() == value)
                };
                let name = resource.resource_arn().and_then(|arn| arn.rsplit_once(":::"));
                if let Some((_, name)) = name.filter(|_| tags.iter().all(carries)) {
                    all.insert(name.to_owned());
                }
            }
            let next = page.pagination_token().filter(|t| !t.is_empty()).map(ToOwned::to_owned);
            if next.is_none() {
                return Ok(Arc::new(all));
            }
            if next == token {
                return Err(Failure::incomplete(OPERATION, "next page"));
            }
            token = next;
        }
        Err(too_long(OPERATION, "tagged buckets"))
    }
}

fn too_long(operation: &'static str, what: &str) -> Failure {
    let message = format!("there are more {what} than the operator reads; give the selector a longer namePrefix");
    Failure::new(operation, ErrorClass::Terminal, message)
}

fn selected<'a>(found: impl Iterator<Item = (&'a String, &'a Option<Region>)>) -> SelectedBuckets {
    let mut out = SelectedBuckets::default();
    for (name, region) in found {
        match BucketName::new(name) {
            // AWS lists them by an API of their own.
            Ok(name) if name.is_directory_bucket() => {}
            Ok(name) => {
                out.buckets.insert(name, region.clone());
            }
            Err(_) => {
                out.unusable.insert(name.clone());
            }
        }
    }
    out
}
