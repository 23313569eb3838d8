//! What a document is attached to, and which elements its statements must have there.

use super::{PolicyDocument, ResourceElement, parse::ParseError};

/// Where a document is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyKind {
    /// Inline or managed policy of a user, group or role.
    Identity,
    /// Permissions boundary.
    Boundary,
    /// Session policy: a parameter of an `AssumeRole` call, or of a Pod Identity association.
    Session,
    /// Policy of a bucket, key, queue and so on.
    Resource,
    /// Trust policy of a role.
    Trust,
    /// AWS Organizations service control policy.
    ServiceControl,
    /// AWS Organizations resource control policy.
    ResourceControl,
    /// Policy of a VPC endpoint.
    VpcEndpoint,
}

impl PolicyKind {
    /// The kind in words, for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
            Self::Resource => "resource policy",
            Self::Trust => "trust policy",
            Self::ServiceControl => "service control policy",
            Self::ResourceControl => "resource control policy",
            Self::VpcEndpoint => "VPC endpoint policy",
        }
    }

    fn with_article(self) -> String {
        match self {
            Self::Identity => format!("an {}", self.as_str()),
            Self::Boundary
            | Self::Session
            | Self::Resource
            | Self::Trust
            | Self::ServiceControl
            | Self::ResourceControl
            | Self::VpcEndpoint => format!("a {}", self.as_str()),
        }
    }

    /// Whether statements of this kind say whom they concern.
    pub fn names_principals(self) -> bool {
        match self {
            Self::Identity | Self::Boundary | Self::Session | Self::ServiceControl => false,
            Self::Resource | Self::Trust | Self::ResourceControl | Self::VpcEndpoint => true,
        }
    }

    /// Whether an ARN in the document's `Resource` element may lack fields, which AWS then takes for `*` ("in an
    /// identity-based policy"). A boundary is a managed policy like others. A session policy with such an ARN is refused by
    /// AWS STS; here it means the same, lest a Deny in it mean nothing. Of the other kinds AWS says nothing.
    pub fn completes_arns(self) -> bool {
        match self {
            Self::Identity | Self::Boundary | Self::Session => true,
            Self::Resource | Self::Trust | Self::ServiceControl | Self::ResourceControl | Self::VpcEndpoint => false,
        }
    }
}

impl PolicyDocument {
    /// Checks the elements that depend on where the document is attached ("IAM JSON policy element reference", AWS IAM
    /// User Guide): `Principal` belongs to the kinds that are attached to something other than the caller, `Resource` to all
    /// but trust policies. (In a resource policy it may be left out; it then means the resource that has the policy, as in
    /// Amazon ECR.)
    ///
    /// # Errors
    /// [`ParseError::Grammar`] for the first statement that AWS would not have accepted there.
    pub fn check(&self, kind: PolicyKind) -> Result<(), ParseError> {
        for (i, statement) in self.statements.iter().enumerate() {
            let bad = |element: &str, problem: &str| {
                Err(ParseError::Grammar {
                    at: format!("Statement[{i}].{element}"),
                    problem: format!("{problem} in {}", kind.with_article()),
                })
            };
            match (&statement.principal, kind.names_principals()) {
                (Some(_), false) => return bad("Principal", "not allowed"),
                (None, true) => return bad("Principal", "required"),
                (Some(_), true) | (None, false) => {}
            }
            match (&statement.resource, kind) {
                (Some(ResourceElement::Resource(_) | ResourceElement::NotResource(_)), PolicyKind::Trust) => {
                    return bad("Resource", "not allowed");
                }
                (None, PolicyKind::Trust | PolicyKind::Resource) | (Some(_), _) => {}
                (
                    None,
                    PolicyKind::Identity
                    | PolicyKind::Boundary
                    | PolicyKind::Session
                    | PolicyKind::ServiceControl
                    | PolicyKind::ResourceControl
                    | PolicyKind::VpcEndpoint,
                ) => return bad("Resource", "required"),
            }
        }
        Ok(())
    }
}
