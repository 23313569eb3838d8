//! What the proof comes to: proven, violated by these statements, or not provable for these reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use crate::domain::iam::actions::Place;
use crate::domain::iam::compiled::StatementRef;
use crate::domain::iam::role::READ_ACTIONS;

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The claim holds for everything that was given.
    Proven,
    /// It does not: each of these opens something. Not empty.
    Violated(Vec<Violation>),
    /// It cannot be shown. Not empty.
    Unknown(Vec<Reason>),
}

/// What gives a permission.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A statement of a policy.
    Statement(StatementRef),
    /// The ACL of the bucket with this ARN.
    Acl(String),
    /// A grant on the key with this ARN.
    Grant(String),
    /// Something that could not be read; it may give anything.
    Unknown(Reason),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement(reference) => write!(f, "{reference}"),
            Self::Acl(bucket) => write!(f, "the ACL of {bucket}"),
            Self::Grant(key) => write!(f, "a grant on {key}"),
            Self::Unknown(reason) => write!(f, "{reason}"),
        }
    }
}

/// What is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A change of the data or its bucket, through this place.
    Data(Place),
    /// The loss of its key.
    Key,
    /// A way to permissions that the role's own policies don't give.
    Escalation,
}

/// Something that lets the role's credentials change the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What gives it.
    pub origin: Origin,
    /// What is opened.
    pub kind: Kind,
    /// The actions, sorted; an action that no list has is among them as it is written.
    pub actions: Vec<String>,
    /// The resources that it opens, as patterns, sorted.
    pub resources: Vec<String>,
    /// The roles assumed on the way, ARNs in order; empty for the role itself.
    pub via: Vec<String>,
}

impl Violation {
    /// The statement that closes it, for a policy of the role that has the permission.
    pub fn remedy(&self) -> Value {
        match self.kind {
            Kind::Data(Place::Bucket | Place::Objects) => json!({
                "Effect": "Deny", "NotAction": READ_ACTIONS, "Resource": self.buckets(),
            }),
            Kind::Data(Place::AccessPoints) => json!({
                "Effect": "Deny",
                "NotAction": ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"],
                "Resource": format!("arn:{}:s3:*:*:accesspoint/*", self.partition()),
            }),
            Kind::Data(Place::ObjectLambda) => json!({
                "Effect": "Deny",
                "NotAction": "s3-object-lambda:GetObject",
                "Resource": format!("arn:{}:s3-object-lambda:*:*:accesspoint/*", self.partition()),
            }),
            Kind::Data(Place::FileSystems) => json!({"Effect": "Deny", "Action": "s3files:*", "Resource": "*"}),
            Kind::Key | Kind::Escalation => json!({"Effect": "Deny", "Action": self.actions, "Resource": "*"}),
        }
    }

    /// Buckets and their objects, from ARNs and patterns of either.
    fn buckets(&self) -> BTreeSet<String> {
        let bucket = |arn: &String| {
            arn.split_once('/')
                .map_or(arn.as_str(), |(bucket, _)| bucket)
                .to_owned()
        };
        self.resources
            .iter()
            .map(bucket)
            .flat_map(|b| [format!("{b}/*"), b])
            .collect()
    }

    fn partition(&self) -> &str {
        let partition = self.resources.first().and_then(|arn| arn.split(':').nth(1));
        partition
            .filter(|p| p.starts_with("aws") && !p.contains(['*', '?']))
            .unwrap_or("aws")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origin,
            kind: _,
            actions,
            resources,
            via,
        } = self;
        write!(f, "{origin} allows {} on {}", some(actions), some(resources))?;
        if !via.is_empty() {
            write!(f, ", by way of {}", via.join(", "))?;
        }
        Ok(())
    }
}

impl Kind {
    /// A word for it: `data`, `key` or `escalation`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Key => "key",
            Self::Escalation => "escalation",
        }
    }
}

/// The first few of a list.
fn some(list: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = list
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match list.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Why the claim cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A document that may allow anything could not be read or understood.
    Unreadable {
        /// Which.
        what: String,
        /// Why not.
        why: String,
    },
    /// A wildcard allows actions that AWS may add to the service; the lists know only those of today.
    MayGrantFutureWrites {
        /// The statement.
        statement: StatementRef,
        /// Its pattern; `NotAction` where it allows all but some.
        pattern: String,
        /// Where.
        resource: String,
    },
    /// Which roles of the account trust this one is not known.
    RolesUnknown(String),
    /// The role may assume roles of other accounts, whose permissions can't be seen from here.
    OtherAccounts {
        /// The statement.
        statement: StatementRef,
        /// Where.
        resource: String,
    },
    /// Access points of other accounts, and multi-Region ones, are not listed, and one may lead to the data.
    UnlistedAccessPoints {
        /// The statement.
        statement: StatementRef,
        /// Where.
        resource: String,
    },
    /// ACLs of single objects count, and may grant everybody a change of the ACL.
    ObjectAcls(String),
    /// The name is reserved for what is no general purpose bucket, and requests for that name other ARNs.
    OtherKindOfBucket(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { what, why } => write!(f, "{what} is not known: {why}"),
            Self::MayGrantFutureWrites {
                statement,
                pattern,
                resource,
            } => write!(
                f,
                "{statement} allows {pattern} on {resource}, and with it writing actions that AWS may add"
            ),
            Self::RolesUnknown(why) => write!(f, "the roles that trust this one are not known: {why}"),
            Self::OtherAccounts { statement, resource } => {
                write!(
                    f,
                    "{statement} allows sts:AssumeRole on {resource}, which takes in roles of other accounts"
                )
            }
            Self::UnlistedAccessPoints { statement, resource } => {
                write!(
                    f,
                    "{statement} allows writes on {resource}, which takes in access points of other accounts or multi-Region ones"
                )
            }
            Self::OtherKindOfBucket(arn) => write!(
                f,
                "{arn} is no general purpose bucket by its name: directory buckets, table buckets and aliases of access points \
                 are written to by requests that name other ARNs"
            ),
            Self::ObjectAcls(bucket) => {
                write!(
                    f,
                    "ACLs of objects in {bucket} count and are not known; set object ownership to BucketOwnerEnforced"
                )
            }
        }
    }
}

/// By way of which roles, by what, and what kind of thing.
type Found = (Vec<String>, Origin, Kind);
/// Actions, and resources.
type Opened = (BTreeSet<String>, BTreeSet<String>);

/// What was found so far. Sorted, each once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    violations: BTreeMap<Found, Opened>,
    reasons: BTreeSet<Reason>,
}

impl Findings {
    /// An action that the origin opens on a resource; of an unknown origin its reason only.
    pub(super) fn add(&mut self, origin: &Origin, kind: Kind, action: &str, resource: &str, via: &[String]) {
        if let Origin::Unknown(reason) = origin {
            self.unknown(reason.clone());
            return;
        }
        let found = self.violations.entry((via.to_vec(), origin.clone(), kind)).or_default();
        found.0.insert(action.to_owned());
        found.1.insert(resource.to_owned());
    }

    pub(super) fn unknown(&mut self, reason: Reason) {
        self.reasons.insert(reason);
    }

    pub(super) fn into_proof(self) -> Proof {
        let violation = |((via, origin, kind), (actions, resources)): (Found, Opened)| Violation {
            origin,
            kind,
            actions: actions.into_iter().collect(),
            resources: resources.into_iter().collect(),
            via,
        };
        if !self.violations.is_empty() {
            Proof::Violated(self.violations.into_iter().map(violation).collect())
        } else if !self.reasons.is_empty() {
            Proof::Unknown(self.reasons.into_iter().collect())
        } else {
            Proof::Proven
        }
    }
}
