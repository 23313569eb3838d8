//! Who makes a request, and which principals of a policy mean him.
//!
//! Source: "AWS JSON policy elements: Principal" and "Policy evaluation logic", AWS IAM User Guide.

use std::fmt;

use crate::domain::document::{PrincipalKind, Principals};

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Credentials of an assumed role.
    Role {
        /// Partition, e.g. `aws`.
        partition: String,
        /// Account.
        account: String,
        /// Role name, without path.
        name: String,
        /// Path with its slashes, e.g. `/` or `/aidp/`; None when only a session's ARN is known, which has no path.
        path: Option<String>,
        /// Session name; None when the question is about any session.
        session: Option<String>,
    },
    /// An IAM user.
    User {
        /// Partition.
        partition: String,
        /// Account.
        account: String,
        /// Path and name, e.g. `team/bob`.
        path_and_name: String,
    },
    /// A session of `GetFederationToken`.
    FederatedUser {
        /// Partition.
        partition: String,
        /// Account.
        account: String,
        /// Name.
        name: String,
    },
    /// The root user of an account.
    Root {
        /// Partition.
        partition: String,
        /// Account.
        account: String,
    },
    /// An AWS service on its own behalf, e.g. `logging.s3.amazonaws.com`.
    Service(String),
    /// Somebody with a token of an identity provider, named by the provider's ARN or host.
    Federated(String),
    /// A request without a signature.
    Anonymous,
}

/// A text that names no caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no principal; expected the ARN of a role, role session, user, federated user, identity provider or account \
     root, a service such as s3.amazonaws.com, or * for an anonymous request"
)]
pub struct CallerError(pub String);

/// How closely an entry of a `Principal` element names a caller; the closer, the less else limits the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Closeness {
    /// By account: the account's own identity policies decide.
    Account,
    /// By the role's or user's ARN, for a caller that is a session of it: limited by boundary and session policy.
    Identity,
    /// By the very principal, or by `*`: nothing but an explicit Deny limits it.
    Exact,
}

impl Caller {
    /// Reads a caller from an ARN, a service name, or `*`.
    ///
    /// # Errors
    /// [`CallerError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, CallerError> {
        let error = || CallerError(text.chars().take(200).collect());
        if text == "*" {
            return Ok(Self::Anonymous);
        }
        if !text.starts_with("arn:") {
            let host = text.contains('.') && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
            // The one identity provider among AWS's own hosts ("Principal": {"Federated": "cognito-identity.amazonaws.com"}).
            let service = text.contains(".amazonaws.com") && !text.starts_with("cognito-identity");
            return match (host, service) {
                (true, true) => Ok(Self::Service(text.to_owned())),
                (true, false) => Ok(Self::Federated(text.to_owned())),
                (false, _) => Err(error()),
            };
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [_, partition, service, "", account, resource] = parts[..] else {
            return Err(error());
        };
        let (partition, account) = (partition.to_owned(), account.to_owned());
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        match (service, resource.split_once('/')) {
            ("iam", None) if resource == "root" => Ok(Self::Root { partition, account }),
            ("iam", Some(("role", path_and_name))) if !path_and_name.is_empty() => {
                let (path, name) = match path_and_name.rsplit_once('/') {
                    Some((path, name)) => (format!("/{path}/"), name),
                    None => ("/".to_owned(), path_and_name),
                };
                Ok(Self::Role {
                    partition,
                    account,
                    name: name.to_owned(),
                    path: Some(path),
                    session: None,
                })
            }
            ("iam", Some(("user", name))) if !name.is_empty() => Ok(Self::User {
                partition,
                account,
                path_and_name: name.to_owned(),
            }),
            ("iam", Some(("oidc-provider" | "saml-provider", _))) => Ok(Self::Federated(text.to_owned())),
            ("sts", Some(("assumed-role", rest))) => match rest.split_once('/') {
                Some((name, session)) if !name.is_empty() && !session.is_empty() => Ok(Self::Role {
                    partition,
                    account,
                    name: name.to_owned(),
                    path: None,
                    session: Some(session.to_owned()),
                }),
                Some(_) | None => Err(error()),
            },
            ("sts", Some(("federated-user", name))) if !name.is_empty() => Ok(Self::FederatedUser {
                partition,
                account,
                name: name.to_owned(),
            }),
            _ => Err(error()),
        }
    }

    /// The caller's account; None for services, identity providers and anonymous requests.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Role { account, .. }
            | Self::User { account, .. }
            | Self::FederatedUser { account, .. }
            | Self::Root { account, .. } => Some(account),
            Self::Service(_) | Self::Federated(_) | Self::Anonymous => None,
        }
    }

    /// The caller's partition; None for those without an ARN of their own.
    pub fn partition(&self) -> Option<&str> {
        match self {
            Self::Role { partition, .. }
            | Self::User { partition, .. }
            | Self::FederatedUser { partition, .. }
            | Self::Root { partition, .. } => Some(partition),
            Self::Service(_) | Self::Federated(_) | Self::Anonymous => None,
        }
    }

    /// The value of `aws:PrincipalArn`: for a session the ARN of its role, known only with the role's path.
    pub fn principal_arn(&self) -> Option<String> {
        match self {
            Self::Role {
                partition,
                account,
                name,
                path: Some(path),
                session: _,
            } => Some(format!("arn:{partition}:iam::{account}:role{path}{name}")),
            Self::User {
                partition,
                account,
                path_and_name,
            } => Some(format!("arn:{partition}:iam::{account}:user/{path_and_name}")),
            Self::FederatedUser {
                partition,
                account,
                name,
            } => Some(format!("arn:{partition}:sts::{account}:federated-user/{name}")),
            Self::Root { partition, account } => Some(format!("arn:{partition}:iam::{account}:root")),
            Self::Role { path: None, .. } | Self::Service(_) | Self::Federated(_) | Self::Anonymous => None,
        }
    }

    /// The ARN of a session's role, if the role has no path: the session's ARN does not tell.
    pub fn role_arn_without_path(&self) -> Option<String> {
        match self {
            Self::Role {
                partition,
                account,
                name,
                path: None,
                session: _,
            } => Some(format!("arn:{partition}:iam::{account}:role/{name}")),
            Self::Role { path: Some(_), .. }
            | Self::User { .. }
            | Self::FederatedUser { .. }
            | Self::Root { .. }
            | Self::Service(_)
            | Self::Federated(_)
            | Self::Anonymous => None,
        }
    }

    /// The value of `aws:PrincipalType`.
    pub fn principal_type(&self) -> Option<&'static str> {
        match self {
            Self::Role { .. } => Some("AssumedRole"),
            Self::User { .. } => Some("User"),
            Self::FederatedUser { .. } => Some("FederatedUser"),
            Self::Root { .. } => Some("Account"),
            Self::Anonymous => Some("Anonymous"),
            Self::Service(_) | Self::Federated(_) => None,
        }
    }

    /// Whether the caller is a service-linked role, which Organizations policies leave alone: it has a path of its own, and
    /// where a session's ARN doesn't tell the path, a name that begins in its own way.
    pub fn is_service_linked(&self) -> bool {
        match self {
            Self::Role { path: Some(path), .. } => path.starts_with("/aws-service-role/"),
            Self::Role { path: None, name, .. } => name.starts_with("AWSServiceRoleFor"),
            Self::User { .. }
            | Self::FederatedUser { .. }
            | Self::Root { .. }
            | Self::Service(_)
            | Self::Federated(_)
            | Self::Anonymous => false,
        }
    }

    /// How closely one entry names the caller; None when it doesn't.
    ///
    /// There are no wildcards but a lone `*` ("You cannot use a wildcard to match part of a principal name or ARN").
    /// Unique ids (`AROA…`) name principals that no longer exist.
    pub fn named_by(&self, kind: PrincipalKind, value: &str) -> Option<Closeness> {
        if value == "*" && kind == PrincipalKind::Aws {
            return Some(Closeness::Exact);
        }
        match (kind, self) {
            (PrincipalKind::Service, Self::Service(own)) | (PrincipalKind::Federated, Self::Federated(own)) => {
                (own == value).then_some(Closeness::Exact)
            }
            (PrincipalKind::Aws, _) => self.named_by_aws(value),
            (PrincipalKind::Service | PrincipalKind::Federated | PrincipalKind::CanonicalUser, _) => None,
        }
    }

    fn named_by_aws(&self, value: &str) -> Option<Closeness> {
        let own_account = self.account()?;
        if value == own_account {
            return Some(match self {
                Self::Root { .. } => Closeness::Exact,
                _ => Closeness::Account,
            });
        }
        let other = Self::parse(value).ok()?;
        match (self, &other) {
            (Self::Root { account: a, .. }, Self::Root { account: b, .. }) => (a == b).then_some(Closeness::Exact),
            (_, Self::Root { account, .. }) => (account == own_account).then_some(Closeness::Account),
            (
                Self::Role {
                    account,
                    name,
                    path,
                    session,
                    ..
                },
                Self::Role {
                    account: other_account,
                    name: other_name,
                    path: other_path,
                    session: other_session,
                    ..
                },
            ) => {
                // Role names are unique in an account whatever their path, so a session without a path names its role.
                let same_path = match (path, other_path) {
                    (Some(a), Some(b)) => a == b,
                    (None, _) | (_, None) => true,
                };
                if account != other_account || name != other_name || !same_path {
                    return None;
                }
                match other_session {
                    None => Some(Closeness::Identity),
                    Some(_) => (session == other_session).then_some(Closeness::Exact),
                }
            }
            // The user that called GetFederationToken; the session bears the name that the call gave it.
            (
                Self::FederatedUser { account, name, .. },
                Self::User {
                    account: other_account,
                    path_and_name,
                    ..
                },
            ) => (account == other_account && name == path_and_name).then_some(Closeness::Identity),
            _ => (self == &other).then_some(Closeness::Exact),
        }
    }

    /// The closest that any entry names the caller.
    pub fn named_in(&self, principals: &Principals) -> Option<Closeness> {
        let Principals { everyone, entries } = principals;
        let everyone = everyone.then_some(Closeness::Exact);
        let entries = entries
            .iter()
            .flat_map(|(kind, values)| values.iter().map(|v| (*kind, v)));
        entries
            .filter_map(|(kind, value)| self.named_by(kind, value))
            .chain(everyone)
            .max()
    }

    /// Whether a `NotPrincipal` list excepts the caller.
    ///
    /// AWS: "you must also specify the account ARN of the not-denied principal", and for a session "the ARN for a role and
    /// the ARN for the account"; so the caller is excepted only when his account and he himself (or his role) are listed.
    pub fn excepted_by(&self, principals: &Principals) -> bool {
        let Principals { everyone, entries } = principals;
        let mut account = self.account().is_none();
        let mut own = *everyone;
        for (kind, value) in entries
            .iter()
            .flat_map(|(kind, values)| values.iter().map(|v| (*kind, v)))
        {
            match self.named_by(kind, value) {
                Some(Closeness::Account) => account = true,
                Some(Closeness::Identity) => own = true,
                Some(Closeness::Exact) => {
                    own = true;
                    account |= value == "*" || matches!(self, Self::Root { .. });
                }
                None => {}
            }
        }
        *everyone || (account && own)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role {
                partition,
                account,
                name,
                session: Some(session),
                path: _,
            } => write!(f, "arn:{partition}:sts::{account}:assumed-role/{name}/{session}"),
            Self::Role {
                partition,
                account,
                name,
                session: None,
                path: None,
            } => write!(f, "arn:{partition}:iam::{account}:role/{name}"),
            Self::Service(name) | Self::Federated(name) => f.write_str(name),
            Self::Anonymous => f.write_str("*"),
            Self::Role { .. } | Self::User { .. } | Self::FederatedUser { .. } | Self::Root { .. } => {
                f.write_str(&self.principal_arn().unwrap_or_default())
            }
        }
    }
}
