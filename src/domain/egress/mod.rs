//! Where training pods may talk to: the NetworkPolicies we want, what all policies of a cluster together really allow,
//! and how far that exceeds what was wanted.
//!
//! Lives here: address and port arithmetic, label selectors, the desired policy, the union of NetworkPolicy and the admin
//! tiers, the reader of manifests, and what is known of the enforcers. Does not live here: reading a cluster, DNS, prefix
//! lists of AWS (they come in as addresses), printing.
//!
//! Everything is judged by address, protocol and port. That a connection on port 443 is TLS is never concluded.

pub mod address;
pub mod admin;
mod assurance;
pub mod compare;
pub mod credentials;
pub mod desired;
pub mod enforcer;
pub mod excess;
pub mod fields;
pub mod flows;
pub mod manifest;
pub mod network_policy;
pub mod networks;
mod others;
pub mod ownership;
pub mod plan;
pub mod port;
mod prepare;
pub mod report;
pub mod rule;
mod rung;
pub mod selector;
pub mod union;

pub use address::AddressSet;
pub use flows::Flows;
pub use port::{NamedPort, Ports, Protocol};
pub use selector::Selector;
pub use union::Union;
