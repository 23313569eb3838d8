//! Whether S3 is reached where it offers TLS 1.3. A bucket policy that asks for it would else lock the operator out, and
//! nobody but the account's root user could take it back.
//!
//! Source: S3 User Guide, "AWS PrivateLink for Amazon S3": interface endpoints, which have private addresses, do not support
//! TLS 1.3. S3's own endpoints do. The SDK does not tell the version of its connections, so the addresses are looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::session::AccountSession;
use crate::api::{Gating, TLSVersion};
use crate::domain::names::{BucketName, Region};
use crate::domain::observed::BucketObservation;
use crate::domain::policy::{BucketTarget, ValidatedPolicy};

/// Part of the host names of interface endpoints.
const INTERFACE_ENDPOINT: &str = ".vpce.";
/// A proxy reaches S3 from wherever it is.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

impl AccountSession {
    /// Whether S3 in this region is known to be reached over TLS 1.3. What can't be told counts as no.
    pub(super) async fn s3_offers_tls13(&self, region: &Region) -> bool {
        if PROXY
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
        {
            return false;
        }
        let host = match self.s3_host(region) {
            Ok(host) => host,
            Err(own) => return !is_interface_endpoint(&own),
        };
        let addresses = self.shared.caller.look_up(&host).await;
        addresses.is_ok_and(all_public)
    }
}

/// The regions of the buckets to which only TLS 1.3 shall be let in.
pub(super) fn regions_to_reach(
    policy: &ValidatedPolicy,
    buckets: &BTreeMap<BucketName, BucketObservation>,
) -> BTreeSet<Region> {
    let latest = |target: &&BucketTarget| {
        let control = target.transport.as_ref();
        control.is_some_and(|c| c.gating == Gating::Gating && c.want == TLSVersion::V13)
    };
    let targets = policy.buckets.iter().filter(latest);
    let regions = targets.filter_map(|target| buckets.get(&target.name)?.region.as_ref().ok());
    regions.cloned().collect()
}

fn is_interface_endpoint(endpoint: &str) -> bool {
    endpoint.to_ascii_lowercase().contains(INTERFACE_ENDPOINT)
}

/// Whether there are addresses, and none of them is private.
fn all_public(addresses: Vec<IpAddr>) -> bool {
    !addresses.is_empty() && addresses.into_iter().all(is_public)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    // 100.64.0.0/10, which VPCs use as well (RFC 6598).
    let [first, second, _, _] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    !(shared || address.is_private() || address.is_loopback() || address.is_link_local() || address.is_unspecified())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let own = address.is_unique_local() || address.is_unicast_link_local();
    !(own || address.is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observed::{BucketDetails, CallError, ErrorClass, Read};

    #[test]
    fn interface_endpoints_are_known_by_their_names() {
        for (endpoint, expected) in [
            (
                "https://bucket.vpce-1a2b3c4d-5e6f.s3.eu-west-1.vpce.amazonaws.com",
                true,
            ),
            ("https://VPCE-1.s3.eu-west-1.VPCE.amazonaws.com", true),
            ("https://s3.example.com:9000", false),
        ] {
            assert_eq!(is_interface_endpoint(endpoint), expected, "{endpoint}");
        }
    }

    fn bucket(name: &str, region: Read<Region>) -> (BucketName, BucketObservation) {
        let seen = BucketObservation {
            region,
            encryption: None,
            policy: None,
            public_access_block: None,
            object_ownership: None,
            acl: None,
            versioning: None,
            access_logging: None,
            details: BucketDetails::default(),
        };
        (BucketName::new(name).unwrap(), seen)
    }

    #[test]
    fn only_regions_in_which_tls_1_3_is_enforced_are_looked_at() {
        let policy = crate::domain::fixture::policy(
            "{mode: Enforce, account: {id: '123456789012', region: eu-west-1}, bucketControls: {transport: {minimumTLSVersion: '1.3'}}, \
             buckets: [{name: there}, {name: audited, controls: {transport: {mode: Audit}}}, {name: older, controls: {transport: {minimumTLSVersion: '1.2'}}}, {name: gone}]}",
        );
        let region = |name: &str| Region::new(name).unwrap();
        let gone = CallError {
            operation: "HeadBucket",
            class: ErrorClass::NotFound,
            code: None,
            message: String::new(),
        };
        let buckets = [
            bucket("there", Ok(region("eu-central-1"))),
            bucket("audited", Ok(region("eu-west-2"))),
            bucket("older", Ok(region("eu-west-3"))),
            bucket("gone", Err(gone)),
        ];
        assert_eq!(
            regions_to_reach(&policy, &buckets.into()),
            [region("eu-central-1")].into()
        );
    }

    #[test]
    fn only_public_addresses_are_those_of_endpoints_with_tls_13() {
        let public = |texts: &[&str]| all_public(texts.iter().map(|t| t.parse().unwrap()).collect());
        assert!(public(&["52.218.0.1", "3.5.64.10", "2a05:d07a:a000::1"]));
        for private in [
            "10.0.3.4",
            "172.31.0.9",
            "192.168.1.1",
            "100.64.0.7",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "::1",
            "::",
            "fd00::7",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!public(&[private]), "{private}");
            assert!(!public(&["52.218.0.1", private]), "{private} among others");
        }
        assert!(!public(&[]), "no address is no evidence");
    }
}
