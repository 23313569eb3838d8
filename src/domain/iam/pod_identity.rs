//! EKS Pod Identity: the cluster whose pods get roles, the trust that a role needs for it, and the commands that put an
//! association right. Does not live here: what is wrong with a trust (`iam::trust`) or with an association (`iam::chain`).
//!
//! Source: EKS User Guide, "Learn how EKS Pod Identity grants Pods access to AWS services" and "Grant Pods access to AWS
//! resources based on tags".

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::domain::names::{AccountId, Region};
use crate::domain::policy::ServiceAccount;

/// Whom a role trusts.
pub const PRINCIPAL: &str = "pods.eks.amazonaws.com";
/// What it lets it do: sessions of pods carry tags, so that both are needed.
pub const ACTIONS: [&str; 2] = ["sts:AssumeRole", "sts:TagSession"];
/// Tag of a session: ARN of the cluster. It is there, like the other two, unless the association says disableSessionTags.
pub const CLUSTER_KEY: &str = "aws:RequestTag/eks-cluster-arn";
/// Tag of a session: namespace of the pod.
pub const NAMESPACE_KEY: &str = "aws:RequestTag/kubernetes-namespace";
/// Tag of a session: ServiceAccount of the pod.
pub const ACCOUNT_KEY: &str = "aws:RequestTag/kubernetes-service-account";

/// An EKS cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EksCluster {
    /// `arn:PARTITION:eks:REGION:ACCOUNT:cluster/NAME`.
    pub arn: String,
    /// Its region.
    pub region: Region,
    /// Its account. Associations can only name roles of the same one.
    pub account: AccountId,
    /// Its name.
    pub name: String,
}

impl EksCluster {
    /// Takes an ARN apart.
    ///
    /// # Errors
    /// What is wrong with it, and what is expected.
    pub fn parse(arn: &str) -> Result<Self, String> {
        let expected =
            || format!("{arn:?} is no ARN of an EKS cluster; expected arn:aws:eks:REGION:ACCOUNT:cluster/NAME");
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", "aws" | "aws-cn" | "aws-us-gov", "eks", region, account, resource] = parts.as_slice() else {
            return Err(expected());
        };
        let name = resource.strip_prefix("cluster/").filter(|name| is_cluster_name(name));
        Ok(Self {
            arn: arn.to_owned(),
            region: Region::new(region).map_err(|_| expected())?,
            account: AccountId::new(account).map_err(|_| expected())?,
            name: name.ok_or_else(expected)?.to_owned(),
        })
    }

    /// The command by which a ServiceAccount gets a role.
    pub fn create_command(&self, account: &ServiceAccount, role_arn: &str) -> String {
        let ServiceAccount { namespace, name } = account;
        let Self {
            region, name: cluster, ..
        } = self;
        format!(
            "aws eks create-pod-identity-association --region {region} --cluster-name {cluster} --namespace {namespace} --service-account {name} --role-arn {role_arn}"
        )
    }

    /// The command that changes an association; `change` says what.
    pub fn update_command(&self, association_id: &str, change: &str) -> String {
        let Self { region, name, .. } = self;
        format!(
            "aws eks update-pod-identity-association --region {region} --cluster-name {name} --association-id {association_id} {change}"
        )
    }

    /// The command that removes an association.
    pub fn delete_command(&self, association_id: &str) -> String {
        let Self { region, name, .. } = self;
        format!(
            "aws eks delete-pod-identity-association --region {region} --cluster-name {name} --association-id {association_id}"
        )
    }
}

/// EKS API reference, `CreateCluster`: 1 to 100 letters, digits, hyphens and underscores.
fn is_cluster_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=100).contains(&name.len()) && name.chars().all(inner) && !name.starts_with(['-', '_'])
}

/// Trust for exactly these ServiceAccounts of this cluster. One statement a namespace: the two tags are compared each for
/// itself, and a list of both would let in every combination.
pub fn trust(cluster: &EksCluster, accounts: &BTreeSet<ServiceAccount>) -> Value {
    let mut by_namespace: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for ServiceAccount { namespace, name } in accounts {
        by_namespace.entry(namespace).or_default().push(name);
    }
    let statement = |(number, (namespace, names)): (usize, (&str, Vec<&str>))| {
        let names = match names.as_slice() {
            [only] => json!(only),
            several => json!(several),
        };
        let number = if number == 0 { String::new() } else { number.to_string() };
        let conditions = [
            (CLUSTER_KEY, json!(cluster.arn)),
            (NAMESPACE_KEY, json!(namespace)),
            (ACCOUNT_KEY, names),
            ("aws:SourceAccount", json!(cluster.account.as_str())),
        ];
        let conditions: Map<String, Value> = conditions
            .map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect();
        json!({
            "Sid": format!("AidpPodIdentity{number}"),
            "Effect": "Allow",
            "Principal": {"Service": PRINCIPAL},
            "Action": ACTIONS,
            "Condition": {"StringEquals": conditions},
        })
    };
    let statements: Vec<Value> = by_namespace.into_iter().enumerate().map(statement).collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:eks:eu-west-1:123456789012:cluster/training";

    fn account(namespace: &str, name: &str) -> ServiceAccount {
        ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_cluster_is_known_by_its_arn_and_by_nothing_else() {
        let cluster = EksCluster::parse(ARN).unwrap();
        assert_eq!(
            (cluster.region.as_str(), cluster.account.as_str(), cluster.name.as_str()),
            ("eu-west-1", "123456789012", "training")
        );
        for wrong in [
            "training",
            "",
            "arn:aws:eks:eu-west-1:123456789012:cluster/",
            "arn:aws:eks:eu-west-1:123456789012:cluster/a b",
            "arn:aws:eks:eu-west-1:123456789012:cluster/a;reboot",
            "arn:aws:eks::123456789012:cluster/a",
            "arn:aws:eks:eu-west-1:12:cluster/a",
            "arn:aws:iam::123456789012:role/a",
        ] {
            assert!(
                EksCluster::parse(wrong).unwrap_err().contains("cluster/NAME"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn two_namespaces_are_two_statements_so_that_no_combination_slips_in() {
        let cluster = EksCluster::parse(ARN).unwrap();
        let accounts = BTreeSet::from([account("ml", "a"), account("ml", "b"), account("prod", "c")]);
        let conditions = |namespace: &str, names: Value| {
            json!({"StringEquals": {
                "aws:RequestTag/eks-cluster-arn": ARN, "aws:RequestTag/kubernetes-namespace": namespace,
                "aws:RequestTag/kubernetes-service-account": names, "aws:SourceAccount": "123456789012",
            }})
        };
        let statement = |sid: &str, condition: Value| {
            json!({
                "Sid": sid, "Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"},
                "Action": ["sts:AssumeRole", "sts:TagSession"], "Condition": condition,
            })
        };
        assert_eq!(
            trust(&cluster, &accounts),
            json!({"Version": "2012-10-17", "Statement": [
                statement("AidpPodIdentity", conditions("ml", json!(["a", "b"]))),
                statement("AidpPodIdentity1", conditions("prod", json!("c"))),
            ]})
        );
    }
}
