//! Lists in pages, with an end.

use std::future::Future;

use kube::api::{ListParams, ObjectList};

use super::call::{KubeMetrics, call};
use crate::domain::observed::{CallError, ErrorClass, Read};

/// Objects a page.
const PAGE: u32 = 500;
/// Most pages of one list: a bound against a server that never ends it.
const MAX_PAGES: usize = 100;

/// Pods that have ended send nothing, and use no credentials any more.
pub(super) const LIVING: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Every object of a list. `page` fetches one page.
pub(super) async fn all<K, F>(
    metrics: &KubeMetrics,
    operation: &'static str,
    params: &ListParams,
    page: impl Fn(ListParams) -> F,
) -> Read<Vec<K>>
where
    K: Clone,
    F: Future<Output = kube::Result<ObjectList<K>>>,
{
    kept(metrics, operation, params, page, Some).await
}

/// What `keep` makes of every object of a list, page by page, so that no more than a page is ever held whole.
pub(super) async fn kept<K, T, F>(
    metrics: &KubeMetrics,
    operation: &'static str,
    params: &ListParams,
    page: impl Fn(ListParams) -> F,
    keep: impl Fn(K) -> Option<T>,
) -> Read<Vec<T>>
where
    K: Clone,
    F: Future<Output = kube::Result<ObjectList<K>>>,
{
    let mut out = Vec::new();
    let mut params = params.clone().limit(PAGE);
    for _ in 0..MAX_PAGES {
        let list = call(metrics, operation, page(params.clone())).await?;
        out.extend(list.items.into_iter().filter_map(&keep));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            None => return Ok(out),
            Some(token) => params = params.continue_token(&token),
        }
    }
    Err(CallError {
        operation,
        class: ErrorClass::Terminal,
        code: None,
        message: format!("more than {} objects", MAX_PAGES * PAGE as usize),
    })
}
