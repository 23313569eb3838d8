//! Which statements of a bucket policy are ours: by `Sid`, and by nothing else.
//!
//! `Aidp<Rule><8 hex of the cluster>`; the statement against the training roles also carries the policy,
//! `AidpDenyRoleWrites<8 hex of the policy><8 hex of the cluster>`: two policies of one cluster may follow each other on a
//! bucket, and neither may take the other's roles for its own. Another cluster's suffix, a rule that this version does not
//! know, or a mere prefix is foreign. (`Sid` allows letters and digits only.)

use crate::domain::names::{ClusterHash, short_hash};

const PREFIX: &str = "Aidp";
const HASH_LEN: usize = 8;

/// What a statement of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Refuses requests without TLS.
    DenyInsecureTransport,
    /// Refuses old TLS versions.
    DenyOldTls,
    /// Refuses uploads with a weaker algorithm.
    DenyWrongSseAlgorithm,
    /// Refuses uploads with another KMS key.
    DenyWrongKmsKey,
    /// Refuses uploads with KMS and without a key id.
    DenyKmsWithoutKeyId,
    /// Refuses uploads with keys of the client's own.
    DenySseC,
    /// Refuses everything but reading to the training roles of one policy.
    DenyRoleWrites,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 7] = [
        Self::DenyInsecureTransport,
        Self::DenyOldTls,
        Self::DenyWrongSseAlgorithm,
        Self::DenyWrongKmsKey,
        Self::DenyKmsWithoutKeyId,
        Self::DenySseC,
        Self::DenyRoleWrites,
    ];

    /// As in the `Sid`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DenyInsecureTransport => "DenyInsecureTransport",
            Self::DenyOldTls => "DenyOldTls",
            Self::DenyWrongSseAlgorithm => "DenyWrongSseAlgorithm",
            Self::DenyWrongKmsKey => "DenyWrongKmsKey",
            Self::DenyKmsWithoutKeyId => "DenyKmsWithoutKeyId",
            Self::DenySseC => "DenySseC",
            Self::DenyRoleWrites => "DenyRoleWrites",
        }
    }

    /// Whether each policy has a statement of its own; else one statement serves whichever policy holds the bucket.
    pub const fn per_policy(self) -> bool {
        match self {
            Self::DenyInsecureTransport
            | Self::DenyOldTls
            | Self::DenyWrongSseAlgorithm
            | Self::DenyWrongKmsKey
            | Self::DenyKmsWithoutKeyId
            | Self::DenySseC => false,
            Self::DenyRoleWrites => true,
        }
    }

    /// The `Sid` of this rule's statement.
    pub fn sid(self, cluster: &ClusterHash, policy_name: &str) -> String {
        let rule = self.as_str();
        if self.per_policy() {
            format!("{PREFIX}{rule}{}{cluster}", short_hash(policy_name))
        } else {
            format!("{PREFIX}{rule}{cluster}")
        }
    }

    /// The rule of a `Sid` that `cluster` has written for `policy_name` (or for the bucket as such); None: foreign, or
    /// another policy's.
    pub fn of_sid(sid: &str, cluster: &ClusterHash, policy_name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.sid(cluster, policy_name) == sid)
    }
}

/// A `Sid` as people know it, without the hashes: `AidpDenyOldTls` for `AidpDenyOldTls0a1b2c3d`. For messages.
pub fn plain(rule: Rule) -> String {
    format!("{PREFIX}{}", rule.as_str())
}

/// Whether the `Sid` has our shape, whichever cluster's and policy's it is.
pub fn has_our_shape(sid: &str) -> bool {
    Rule::ALL.into_iter().any(|rule| {
        let hashes = if rule.per_policy() { 2 * HASH_LEN } else { HASH_LEN };
        sid.strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix(rule.as_str()))
            .is_some_and(|rest| rest.len() == hashes && rest.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_names_rule_and_cluster_and_reads_back() {
        let (one, two) = (ClusterHash::of("cluster-one"), ClusterHash::of("cluster-two"));
        for rule in Rule::ALL {
            let sid = rule.sid(&one, "fraud-model");
            assert_eq!(Rule::of_sid(&sid, &one, "fraud-model"), Some(rule));
            assert_eq!(Rule::of_sid(&sid, &two, "fraud-model"), None, "another cluster's");
            assert!(sid.bytes().all(|b| b.is_ascii_alphanumeric()), "{sid}");
            assert!(has_our_shape(&sid));
        }
    }

    #[test]
    fn only_the_statement_against_roles_belongs_to_one_policy() {
        let cluster = ClusterHash::of("cluster-one");
        let unread_by_another = |rule: &Rule| Rule::of_sid(&rule.sid(&cluster, "a"), &cluster, "b").is_none();
        let one_policys: Vec<Rule> = Rule::ALL.into_iter().filter(unread_by_another).collect();
        assert_eq!(one_policys, [Rule::DenyRoleWrites]);
    }

    #[test]
    fn a_foreign_sid_with_our_prefix_is_foreign() {
        let cluster = ClusterHash::of("cluster-one");
        for sid in [
            "Aidp",
            "AidpDenyInsecureTransport",
            "AidpSomethingElse",
            "aidpDenyOldTls",
            "",
        ] {
            assert_eq!(Rule::of_sid(sid, &cluster, "p"), None, "{sid}");
            assert!(!has_our_shape(sid), "{sid}");
        }
        assert_eq!(
            Rule::of_sid(&format!("AidpSomethingElse{cluster}"), &cluster, "p"),
            None
        );
    }
}
