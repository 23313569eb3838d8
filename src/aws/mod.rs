//! AWS: the only place that names `aws_sdk_*`. Reads become domain values, actions become calls.
//!
//! Lives here: sessions (one per account), request budgets, the one choke point that every call goes through, error
//! classes, and the calls themselves. Does not live here: any decision about what a reading means or what is to be written.
//!
//! What a user can rely on:
//! * Endpoint, region, credentials and proxies are configured as for every other AWS tool: `AWS_ENDPOINT_URL` (and
//!   `AWS_ENDPOINT_URL_S3` …), `AWS_REGION`, profiles, IRSA, EKS Pod Identity, `HTTPS_PROXY`/`NO_PROXY`, `AWS_CA_BUNDLE`.
//!   With an endpoint of your own, buckets are addressed by path, not by host name.
//! * Every call has a deadline, a place in a budget per account and service, a metric and a span.
//! * A write is sent at most once, and never without the leader's permission.

mod access_points;
mod budget;
mod call;
mod classify;
mod discover;
mod ec2;
mod eks;
mod http;
mod iam;
mod kms;
mod observe;
mod paging;
mod reach;
mod s3;
mod s3control;
mod service;
mod session;
mod sts;
mod time;
mod write;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Budgets};
pub use call::{NotLeader, WriteGuard};
pub use http::CaBundleError;
pub use observe::AwsObservation;
pub use s3::{BucketReads, Cadence};
pub use service::Service;
pub use session::{AccountAccess, AccountSession, AwsSettings, Sessions};
