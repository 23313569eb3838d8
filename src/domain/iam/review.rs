//! The access review that security standards ask for: roles that nobody uses, and rights that the policy does not need. Of
//! low severity all of it, and never in the way of anything.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{Timestamp, Unit};

use super::compiled::{Policy, Resources, Rule};
use super::template::Template;
use crate::domain::document::{Effect, PolicyDocument, PolicyKind};
use crate::domain::glob::{Case, Glob};
use crate::domain::names::BucketName;
use crate::domain::observed::RoleObservation;
use crate::domain::policy::ValidatedPolicy;

/// A role that was not used for this long is up for review (CIS AWS Foundations and NIST ask for 45 to 90 days).
pub const UNUSED: Duration = Duration::from_hours(90 * 24);

/// Since when a role is not used, in words, if that is for too long. AWS tells the last use within about 400 days, with a
/// delay of hours; a young role has had no chance yet.
pub fn unused(role: &RoleObservation, now: Timestamp) -> Option<String> {
    let long_ago = |time: Timestamp| now.duration_since(time).unsigned_abs() > UNUSED && time < now;
    if !long_ago(role.created_time?) {
        return None;
    }
    match role.last_used_time {
        None => Some("never, as far as AWS remembers".to_owned()),
        // By the day: a finding that changes with every look would be written to the status each time.
        Some(time) if long_ago(time) => {
            let day = time.round(Unit::Hour).unwrap_or(time).to_string();
            Some(day.split('T').next().unwrap_or_default().to_owned())
        }
        Some(_) => None,
    }
}

/// The policy's buckets whose objects a document lets the role read. What the role is to read our own document gives it, by
/// bucket, prefix and tag; a second Allow makes those limits void. A document that can't be read says nothing here.
pub fn buckets_read(policy: &ValidatedPolicy, document: &str) -> Vec<BucketName> {
    let Ok(document) = PolicyDocument::parse(document) else {
        return Vec::new();
    };
    let Ok(document) = Policy::new(PolicyKind::Identity, "under review", &document) else {
        return Vec::new();
    };
    let reading = |rule: &&Rule| rule.effect == Effect::Allow && rule.actions.matches("s3:GetObject");
    let reading: Vec<&Rule> = document.rules.iter().filter(reading).collect();
    policy
        .buckets
        .iter()
        .filter(|bucket| {
            let objects = format!("{}/*", policy.partition.bucket_arn(&bucket.name));
            let objects = Glob::new(&objects, Case::Sensitive);
            reading.iter().any(|rule| reaches(&rule.resources, &objects))
        })
        .map(|bucket| bucket.name.clone())
        .collect()
}

/// A policy variable of an Allow stands for anything, one of an exception for nothing.
fn reaches(resources: &Resources, objects: &Glob) -> bool {
    match resources {
        Resources::Own => false,
        Resources::Named(list) => list.iter().any(|t| t.widest().intersects(objects)),
        Resources::AllBut(list) => !list.iter().filter_map(Template::fixed).any(|g| g.contains(objects)),
    }
}
