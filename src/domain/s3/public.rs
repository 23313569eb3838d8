//! Whether a bucket policy is *public* as S3's public access block means it: some statement grants access to more than
//! fixed principals or fixed sources.
//!
//! Source: AWS S3 User Guide, "The meaning of 'public'". Only what that page lists makes a wildcard principal non-public;
//! everything else counts as public (AWS may see it more mildly; `GetBucketPolicyStatus` has the last word on a stored
//! policy).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::domain::document::{
    Condition, Effect, PolicyDocument, PrincipalElement, PrincipalKind, Principals, Statement,
};

/// Shortest prefixes of addresses that are not public ("broader than /8 for IPv4 and /32 for IPv6").
const MIN_PREFIX_V4: u8 = 8;
const MIN_PREFIX_V6: u8 = 32;

/// Keys whose fixed values bind a request to somebody, lower case.
const BINDING_KEYS: [&str; 8] = [
    "aws:principalorgid",
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:sourceaccount",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:dataaccesspointaccount",
];

/// The index of the first statement that grants public access.
pub fn public_statement(document: &PolicyDocument) -> Option<usize> {
    document.statements.iter().position(is_public)
}

fn is_public(statement: &Statement) -> bool {
    if statement.effect == Effect::Deny {
        return false;
    }
    let open = match &statement.principal {
        Some(PrincipalElement::Principal(principals)) => names_strangers(principals),
        Some(PrincipalElement::NotPrincipal(_)) | None => true,
    };
    open && !statement.conditions.iter().any(binds)
}

fn names_strangers(principals: &Principals) -> bool {
    let Principals { everyone, entries } = principals;
    *everyone
        || entries.iter().any(|(kind, values)| match kind {
            PrincipalKind::Aws | PrincipalKind::CanonicalUser | PrincipalKind::Service => {
                values.iter().any(|v| !is_fixed(v))
            }
            // Whoever the identity provider lets in.
            PrincipalKind::Federated => !values.is_empty(),
        })
}

/// Whether a condition binds a request to fixed sources. Conditions are ANDed, so one is enough; its values are ORed, so
/// each must be fixed.
fn binds(condition: &Condition) -> bool {
    let Condition { operator, key, values } = condition;
    let (operator, key) = (operator.to_ascii_lowercase(), key.to_ascii_lowercase());
    let text = matches!(
        operator.as_str(),
        "stringequals" | "stringequalsignorecase" | "stringlike" | "arnequals" | "arnlike"
    );
    let each = |fixed: fn(&str) -> bool| !values.is_empty() && values.iter().all(|v| fixed(v));
    match key.as_str() {
        "aws:sourceip" => operator == "ipaddress" && each(is_narrow),
        "aws:userid" => text && each(|v| is_fixed(v) && !v.ends_with(':')),
        "s3:dataaccesspointarn" => text && each(names_account),
        key => text && BINDING_KEYS.contains(&key) && each(is_fixed),
    }
}

/// No wildcard, no policy variable.
fn is_fixed(value: &str) -> bool {
    !value.contains(['*', '?']) && !value.contains("${") && !value.is_empty()
}

fn is_narrow(range: &str) -> bool {
    let network = range
        .parse::<IpNet>()
        .ok()
        .or_else(|| range.parse::<IpAddr>().ok().map(IpNet::from));
    network.is_some_and(|n| match n {
        IpNet::V4(n) => n.prefix_len() >= MIN_PREFIX_V4,
        IpNet::V6(n) => n.prefix_len() >= MIN_PREFIX_V6,
    })
}

/// An access point's ARN with a fixed account; its name may be a wildcard.
fn names_account(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", _, "s3", _, account, _] if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn public(principal: &Value, condition: &Value) -> bool {
        let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "*", "Condition": condition});
        is_public(&Statement::from_value(statement).unwrap())
    }

    #[test]
    fn fixed_principals_are_not_public_and_all_others_are() {
        let cases = [
            (json!("*"), true),
            (json!({"AWS": "*"}), true),
            (json!({"AWS": ["123456789012", "*"]}), true),
            (json!({"AWS": "arn:aws:iam::123456789012:role/*"}), true),
            (json!({"Federated": "cognito-identity.amazonaws.com"}), true),
            (json!({"AWS": "123456789012"}), false),
            (
                json!({"AWS": ["arn:aws:iam::123456789012:role/etl", "arn:aws:iam::123456789012:root"]}),
                false,
            ),
            (json!({"Service": "logging.s3.amazonaws.com"}), false),
            (
                json!({"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}),
                false,
            ),
        ];
        for (principal, expected) in cases {
            assert_eq!(public(&principal, &json!({})), expected, "{principal}");
        }
    }

    #[test]
    fn a_condition_on_a_fixed_source_makes_everybody_somebody() {
        let cases = [
            (json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}), false),
            (json!({"StringEquals": {"aws:SourceVpce": ["vpce-1", "vpce-2"]}}), false),
            (json!({"StringLike": {"aws:SourceVpce": "vpce-1"}}), false),
            (
                json!({"ArnLike": {"aws:SourceArn": "arn:aws:sns:eu-west-1:123456789012:topic"}}),
                false,
            ),
            (json!({"IpAddress": {"aws:SourceIp": "54.0.0.0/8"}}), false),
            (json!({"IpAddress": {"aws:SourceIp": "54.240.143.1"}}), false),
            (json!({"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}), false),
            (
                json!({"StringLike": {"s3:DataAccessPointArn": "arn:aws:s3:eu-west-1:123456789012:accesspoint/*"}}),
                false,
            ),
            (
                json!({"StringEquals": {"aws:SourceAccount": "123456789012"}, "Bool": {"aws:SecureTransport": "true"}}),
                false,
            ),
            (json!({"StringLike": {"aws:SourceVpce": "vpce-*"}}), true),
            (
                json!({"StringEquals": {"aws:PrincipalOrgID": "${aws:PrincipalOrgID}"}}),
                true,
            ),
            (json!({"StringEquals": {"aws:SourceVpc": ["vpc-1", "*"]}}), true),
            (json!({"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}), true),
            (json!({"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}), true),
            (json!({"ForAllValues:StringEquals": {"aws:SourceVpc": "vpc-1"}}), true),
            (json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}), true),
            (json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/16", "::/0"]}}), true),
            (json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/16"}}), true),
            (
                json!({"StringLike": {"s3:DataAccessPointArn": "arn:aws:s3:eu-west-1:*:accesspoint/*"}}),
                true,
            ),
            (json!({"StringEquals": {"aws:userid": "AROAEXAMPLE:"}}), true),
            (
                json!({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/etl"}}),
                true,
            ),
            (json!({"Bool": {"aws:SecureTransport": "true"}}), true),
            (json!({"StringEquals": {"aws:SourceVpc": []}}), true),
        ];
        for (condition, expected) in cases {
            assert_eq!(public(&json!("*"), &condition), expected, "{condition}");
        }
    }

    #[test]
    fn a_deny_is_never_public_and_the_public_statement_is_named() {
        let document = json!({"Statement": [
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"},
            {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "s3:*", "Resource": "*"},
            {"Effect": "Allow", "NotPrincipal": {"AWS": "123456789012"}, "Action": "s3:GetObject", "Resource": "*"},
        ]});
        assert_eq!(
            public_statement(&PolicyDocument::parse(&document.to_string()).unwrap()),
            Some(2)
        );
    }
}
