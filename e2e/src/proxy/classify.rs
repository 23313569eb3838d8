//! From an HTTP request to the AWS operation it is: three protocols (REST for S3 and EKS, form-encoded `Action=` for IAM,
//! STS and EC2, `X-Amz-Target` for the JSON services).
//!
//! The direction of doubt: what is not known to be a read counts as a write, so that "no write was made" is never claimed
//! of a call that nobody understood.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::Serialize;

/// What a request asks AWS to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Signing name (`s3`, `iam`, `sts`, `kms`, …); `s3control` for the account-level S3 API, which signs as `s3`.
    pub service: String,
    /// API operation, or `Unknown`.
    pub operation: String,
    /// Bucket, role name, ARN, key id or cluster name; absent for calls on no one resource.
    pub resource: Option<String>,
    /// Object key, S3 only.
    pub object: Option<String>,
    /// Region of the signature's credential scope.
    pub region: Option<String>,
    /// Access key id of the signature.
    pub access_key: Option<String>,
    /// False only for operations known to change nothing.
    pub write: bool,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.operation)
    }
}

/// The parts of a request that say what it is.
pub struct Received<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path, percent-encoded.
    pub uri_path: &'a str,
    /// Query string without the question mark.
    pub query: &'a str,
    /// Looks a header up by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// Body.
    pub body: &'a [u8],
}

/// Says what a request is.
#[must_use]
pub fn classify(request: &Received<'_>) -> Operation {
    let scope = Scope::of(request);
    let parameters = parameters(request.query);
    let form = if is_form(request) {
        self::parameters(&String::from_utf8_lossy(request.body))
    } else {
        Vec::new()
    };
    let action = find(&form, "Action").or_else(|| find(&parameters, "Action"));
    let target = (request.header)("x-amz-target").and_then(|target| target.rsplit('.').next());

    let named = if let Some(action) = action {
        let service = scope.service.clone().unwrap_or_else(|| "sts".to_owned());
        Named::new(&service, action, form_resource(&form))
    } else if let Some(target) = target {
        Named::new(
            scope.service.as_deref().unwrap_or("unknown"),
            target,
            json_resource(request.body),
        )
    } else {
        match scope.service.as_deref() {
            Some("s3") | None => s3(request, &parameters),
            Some("eks") => eks(request),
            Some(other) => Named::new(other, "Unknown", None),
        }
    };
    let Named {
        service,
        operation,
        resource,
        object,
    } = named;
    let write = !is_read(&operation);
    Operation {
        service,
        operation,
        resource,
        object,
        region: scope.region,
        access_key: scope.access_key,
        write,
    }
}

struct Named {
    service: String,
    operation: String,
    resource: Option<String>,
    object: Option<String>,
}

impl Named {
    fn new(service: &str, operation: &str, resource: Option<String>) -> Self {
        Self {
            service: service.to_owned(),
            operation: operation.to_owned(),
            resource,
            object: None,
        }
    }
}

/// `AWS4-HMAC-SHA256 Credential=AKIA…/20260101/eu-west-1/s3/aws4_request, SignedHeaders=…`
#[derive(Default)]
struct Scope {
    access_key: Option<String>,
    region: Option<String>,
    service: Option<String>,
}

impl Scope {
    fn of(request: &Received<'_>) -> Self {
        let credential = (request.header)("authorization")
            .and_then(|value| value.split_once("Credential="))
            .map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default().to_owned())
            .or_else(|| find(&parameters(request.query), "X-Amz-Credential").map(str::to_owned));
        let Some(credential) = credential else {
            return Self::default();
        };
        let mut parts = credential.split('/').map(str::to_owned);
        let access_key = parts.next();
        let _date = parts.next();
        Self {
            access_key,
            region: parts.next(),
            service: parts.next(),
        }
    }
}

fn is_form(request: &Received<'_>) -> bool {
    (request.header)("content-type").is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn find<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.as_str())
}

/// The parameter that names what a form-encoded call is about, most telling first.
fn form_resource(form: &[(String, String)]) -> Option<String> {
    [
        "RoleName",
        "RoleArn",
        "PolicyArn",
        "OpenIDConnectProviderArn",
        "UserName",
        "PrefixListId",
    ]
    .iter()
    .find_map(|name| find(form, name))
    .map(str::to_owned)
}

fn json_resource(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    ["KeyId", "QueueUrl", "AliasName"]
        .iter()
        .find_map(|name| value.get(name))
        .and_then(|v| v.as_str())
        .map(str::to_owned)
}

/// Query parameter → noun of the operation, for buckets.
const BUCKET_SUBRESOURCES: [(&str, &str); 22] = [
    ("encryption", "BucketEncryption"),
    ("policyStatus", "BucketPolicyStatus"),
    ("policy", "BucketPolicy"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("versioning", "BucketVersioning"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("acl", "BucketAcl"),
    ("logging", "BucketLogging"),
    ("tagging", "BucketTagging"),
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("replication", "BucketReplication"),
    ("object-lock", "ObjectLockConfiguration"),
    ("location", "BucketLocation"),
    ("notification", "BucketNotificationConfiguration"),
    ("inventory", "BucketInventoryConfiguration"),
    ("cors", "BucketCors"),
    ("website", "BucketWebsite"),
    ("accelerate", "BucketAccelerateConfiguration"),
    ("requestPayment", "BucketRequestPayment"),
    ("metrics", "BucketMetricsConfiguration"),
    ("analytics", "BucketAnalyticsConfiguration"),
    ("intelligent-tiering", "BucketIntelligentTieringConfiguration"),
];

/// Query parameter → noun of the operation, for objects.
const OBJECT_SUBRESOURCES: [(&str, &str); 6] = [
    ("tagging", "ObjectTagging"),
    ("acl", "ObjectAcl"),
    ("attributes", "ObjectAttributes"),
    ("retention", "ObjectRetention"),
    ("legal-hold", "ObjectLegalHold"),
    ("torrent", "ObjectTorrent"),
];

fn s3(request: &Received<'_>, parameters: &[(String, String)]) -> Named {
    let host = (request.header)("host").unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if host.contains("s3-control") || request.uri_path.starts_with("/v20180820/") {
        return s3control(request);
    }
    let path = percent_decode_str(request.uri_path.trim_start_matches('/'))
        .decode_utf8_lossy()
        .into_owned();
    // bucket.localhost or bucket.s3.…: the bucket is in the host name.
    let virtual_host = host
        .strip_suffix(".localhost")
        .or_else(|| host.split_once(".s3.").map(|(bucket, _)| bucket));
    let (bucket, key) = match virtual_host {
        Some(bucket) if bucket != "s3" => (bucket.to_owned(), path),
        _ => match path.split_once('/') {
            Some((bucket, key)) => (bucket.to_owned(), key.to_owned()),
            None => (path, String::new()),
        },
    };
    let operation = if bucket.is_empty() {
        if request.method == "GET" {
            "ListBuckets".to_owned()
        } else {
            "Unknown".to_owned()
        }
    } else if key.is_empty() {
        s3_bucket(request.method, parameters)
    } else {
        s3_object(request, parameters)
    };
    let some = |text: String| (!text.is_empty()).then_some(text);
    Named {
        service: "s3".to_owned(),
        operation,
        resource: some(bucket),
        object: some(key),
    }
}

fn s3_bucket(method: &str, parameters: &[(String, String)]) -> String {
    let has = |name: &str| find(parameters, name).is_some();
    let noun = BUCKET_SUBRESOURCES
        .iter()
        .find(|(name, _)| has(name))
        .map(|(_, noun)| *noun);
    match (method, noun) {
        ("HEAD", _) => "HeadBucket".to_owned(),
        ("DELETE", Some("BucketLifecycleConfiguration")) => "DeleteBucketLifecycle".to_owned(),
        ("GET", Some(noun)) => format!("Get{noun}"),
        ("PUT", Some(noun)) => format!("Put{noun}"),
        ("DELETE", Some(noun)) => format!("Delete{noun}"),
        ("GET", None) if has("versions") => "ListObjectVersions".to_owned(),
        ("GET", None) if has("uploads") => "ListMultipartUploads".to_owned(),
        ("GET", None) if has("list-type") => "ListObjectsV2".to_owned(),
        ("GET", None) => "ListObjects".to_owned(),
        ("PUT", None) => "CreateBucket".to_owned(),
        ("DELETE", None) => "DeleteBucket".to_owned(),
        ("POST", None) if has("delete") => "DeleteObjects".to_owned(),
        _ => "Unknown".to_owned(),
    }
}

fn s3_object(request: &Received<'_>, parameters: &[(String, String)]) -> String {
    let has = |name: &str| find(parameters, name).is_some();
    let copies = (request.header)("x-amz-copy-source").is_some();
    let noun = OBJECT_SUBRESOURCES
        .iter()
        .find(|(name, _)| has(name))
        .map(|(_, noun)| *noun);
    match (request.method, noun) {
        ("HEAD", _) => "HeadObject".to_owned(),
        ("GET", Some(noun)) => format!("Get{noun}"),
        ("PUT", Some(noun)) => format!("Put{noun}"),
        ("DELETE", Some(noun)) => format!("Delete{noun}"),
        ("GET", None) if has("uploadId") => "ListParts".to_owned(),
        ("GET", None) => "GetObject".to_owned(),
        ("PUT", None) if has("partNumber") && copies => "UploadPartCopy".to_owned(),
        ("PUT", None) if has("partNumber") => "UploadPart".to_owned(),
        ("PUT", None) if copies => "CopyObject".to_owned(),
        ("PUT", None) => "PutObject".to_owned(),
        ("DELETE", None) if has("uploadId") => "AbortMultipartUpload".to_owned(),
        ("DELETE", None) => "DeleteObject".to_owned(),
        ("POST", None) if has("uploads") => "CreateMultipartUpload".to_owned(),
        ("POST", None) if has("uploadId") => "CompleteMultipartUpload".to_owned(),
        ("POST", None) if has("restore") => "RestoreObject".to_owned(),
        _ => "Unknown".to_owned(),
    }
}

fn s3control(request: &Received<'_>) -> Named {
    let account = (request.header)("x-amz-account-id").map(str::to_owned);
    let path = request.uri_path.trim_start_matches("/v20180820/");
    let operation = match (request.method, path) {
        ("GET", "configuration/publicAccessBlock") => "GetPublicAccessBlock",
        ("PUT", "configuration/publicAccessBlock") => "PutPublicAccessBlock",
        ("DELETE", "configuration/publicAccessBlock") => "DeletePublicAccessBlock",
        ("GET", "accesspoint") => "ListAccessPoints",
        _ => "Unknown",
    };
    Named::new("s3control", operation, account)
}

fn eks(request: &Received<'_>) -> Named {
    let segments: Vec<&str> = request.uri_path.trim_matches('/').split('/').collect();
    let (operation, cluster) = match (request.method, segments.as_slice()) {
        ("GET", ["clusters"]) => ("ListClusters", None),
        ("GET", ["clusters", name]) => ("DescribeCluster", Some(*name)),
        ("GET", ["clusters", name, "pod-identity-associations"]) => ("ListPodIdentityAssociations", Some(*name)),
        ("GET", ["clusters", name, "pod-identity-associations", _]) => ("DescribePodIdentityAssociation", Some(*name)),
        ("POST", ["clusters", name, "pod-identity-associations"]) => ("CreatePodIdentityAssociation", Some(*name)),
        _ => ("Unknown", None),
    };
    Named::new("eks", operation, cluster.map(str::to_owned))
}

fn is_read(operation: &str) -> bool {
    const VERBS: [&str; 8] = [
        "Get",
        "List",
        "Head",
        "Describe",
        "Simulate",
        "Lookup",
        "AssumeRole",
        "Decrypt",
    ];
    VERBS.iter().any(|verb| operation.starts_with(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        method: &'static str,
        uri: &'static str,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
        is: &'static str,
    }

    const S3: (&str, &str) = (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    );
    const IAM: (&str, &str) = (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0",
    );
    const KMS: (&str, &str) = (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/eu-west-1/kms/aws4_request, SignedHeaders=host, Signature=0",
    );
    const EKS: (&str, &str) = (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/eu-west-1/eks/aws4_request, SignedHeaders=host, Signature=0",
    );
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    fn seen(case: &Case) -> Operation {
        let (path, query) = case.uri.split_once('?').unwrap_or((case.uri, ""));
        classify(&Received {
            method: case.method,
            uri_path: path,
            query,
            header: &|name| case.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value),
            body: case.body.as_bytes(),
        })
    }

    /// `service:Operation resource[/object] region r|w`
    fn shown(case: &Case) -> String {
        let seen = seen(case);
        format!(
            "{seen} {}{} {} {}",
            seen.resource.as_deref().unwrap_or("-"),
            seen.object
                .as_deref()
                .map(|object| format!("/{object}"))
                .unwrap_or_default(),
            seen.region.as_deref().unwrap_or("-"),
            if seen.write { "w" } else { "r" },
        )
    }

    #[test]
    fn every_request_is_named() {
        #[rustfmt::skip]
        let cases = [
            Case { method: "GET", uri: "/?x-id=ListBuckets", headers: &[S3], body: "", is: "s3:ListBuckets - eu-west-1 r" },
            Case { method: "HEAD", uri: "/b", headers: &[S3], body: "", is: "s3:HeadBucket b eu-west-1 r" },
            Case { method: "PUT", uri: "/b", headers: &[S3], body: "", is: "s3:CreateBucket b eu-west-1 w" },
            Case { method: "PUT", uri: "/b/", headers: &[S3], body: "", is: "s3:CreateBucket b eu-west-1 w" },
            Case { method: "DELETE", uri: "/b", headers: &[S3], body: "", is: "s3:DeleteBucket b eu-west-1 w" },
            Case { method: "GET", uri: "/b?encryption", headers: &[S3], body: "", is: "s3:GetBucketEncryption b eu-west-1 r" },
            Case { method: "PUT", uri: "/b?encryption=", headers: &[S3], body: "", is: "s3:PutBucketEncryption b eu-west-1 w" },
            Case { method: "DELETE", uri: "/b?encryption", headers: &[S3], body: "", is: "s3:DeleteBucketEncryption b eu-west-1 w" },
            Case { method: "GET", uri: "/b?policy", headers: &[S3], body: "", is: "s3:GetBucketPolicy b eu-west-1 r" },
            Case { method: "PUT", uri: "/b?policy", headers: &[S3], body: "{}", is: "s3:PutBucketPolicy b eu-west-1 w" },
            Case { method: "GET", uri: "/b?policyStatus", headers: &[S3], body: "", is: "s3:GetBucketPolicyStatus b eu-west-1 r" },
            Case { method: "GET", uri: "/b?publicAccessBlock", headers: &[S3], body: "", is: "s3:GetPublicAccessBlock b eu-west-1 r" },
            Case { method: "DELETE", uri: "/b?publicAccessBlock", headers: &[S3], body: "", is: "s3:DeletePublicAccessBlock b eu-west-1 w" },
            Case { method: "PUT", uri: "/b?versioning", headers: &[S3], body: "", is: "s3:PutBucketVersioning b eu-west-1 w" },
            Case { method: "DELETE", uri: "/b?lifecycle", headers: &[S3], body: "", is: "s3:DeleteBucketLifecycle b eu-west-1 w" },
            Case { method: "GET", uri: "/b?list-type=2&prefix=a", headers: &[S3], body: "", is: "s3:ListObjectsV2 b eu-west-1 r" },
            Case { method: "POST", uri: "/b?delete", headers: &[S3], body: "", is: "s3:DeleteObjects b eu-west-1 w" },
            Case { method: "GET", uri: "/b/a/k%20ey", headers: &[S3], body: "", is: "s3:GetObject b/a/k ey eu-west-1 r" },
            Case { method: "PUT", uri: "/b/k?x-id=PutObject", headers: &[S3], body: "", is: "s3:PutObject b/k eu-west-1 w" },
            Case { method: "PUT", uri: "/b/k", headers: &[S3, ("x-amz-copy-source", "/b/j")], body: "", is: "s3:CopyObject b/k eu-west-1 w" },
            Case { method: "PUT", uri: "/b/k?tagging", headers: &[S3], body: "", is: "s3:PutObjectTagging b/k eu-west-1 w" },
            Case { method: "GET", uri: "/k", headers: &[S3, ("host", "b.localhost:4566")], body: "", is: "s3:GetObject b/k eu-west-1 r" },
            Case { method: "GET", uri: "/?policy", headers: &[S3, ("host", "b.s3.eu-west-1.amazonaws.com")], body: "", is: "s3:GetBucketPolicy b eu-west-1 r" },
            Case { method: "GET", uri: "/v20180820/configuration/publicAccessBlock", headers: &[S3, ("x-amz-account-id", "123456789012")], body: "",
                   is: "s3control:GetPublicAccessBlock 123456789012 eu-west-1 r" },
            Case { method: "POST", uri: "/", headers: &[IAM, FORM], body: "Action=PutRolePolicy&Version=2010-05-08&RoleName=r1&PolicyName=p",
                   is: "iam:PutRolePolicy r1 us-east-1 w" },
            Case { method: "POST", uri: "/", headers: &[IAM, FORM], body: "Action=GetRole&RoleName=r%2B1", is: "iam:GetRole r+1 us-east-1 r" },
            Case { method: "POST", uri: "/", headers: &[IAM, FORM], body: "Action=ListAttachedRolePolicies&RoleName=r", is: "iam:ListAttachedRolePolicies r us-east-1 r" },
            Case { method: "POST", uri: "/", headers: &[FORM], body: "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx",
                   is: "sts:AssumeRoleWithWebIdentity arn:aws:iam::1:role/x - r" },
            Case { method: "POST", uri: "/", headers: &[KMS, ("x-amz-target", "TrentService.DescribeKey")], body: r#"{"KeyId":"k1"}"#, is: "kms:DescribeKey k1 eu-west-1 r" },
            Case { method: "POST", uri: "/", headers: &[KMS, ("x-amz-target", "TrentService.ScheduleKeyDeletion")], body: r#"{"KeyId":"k1"}"#,
                   is: "kms:ScheduleKeyDeletion k1 eu-west-1 w" },
            Case { method: "GET", uri: "/clusters/c1", headers: &[EKS], body: "", is: "eks:DescribeCluster c1 eu-west-1 r" },
            Case { method: "GET", uri: "/clusters/c1/pod-identity-associations", headers: &[EKS], body: "", is: "eks:ListPodIdentityAssociations c1 eu-west-1 r" },
        ];
        for case in &cases {
            assert_eq!(shown(case), case.is, "{} {}", case.method, case.uri);
        }
    }

    #[test]
    fn what_is_not_understood_counts_as_a_write() {
        let unknown = Case {
            method: "POST",
            uri: "/b?frobnicate",
            headers: &[S3],
            body: "",
            is: "",
        };
        assert_eq!(shown(&unknown), "s3:Unknown b eu-west-1 w");
        let unknown = Case {
            method: "DELETE",
            uri: "/clusters/c1",
            headers: &[EKS],
            body: "",
            is: "",
        };
        assert_eq!(shown(&unknown), "eks:Unknown - eu-west-1 w");
        let nonsense = Case {
            method: "PATCH",
            uri: "",
            headers: &[],
            body: "\u{0}",
            is: "",
        };
        assert_eq!(shown(&nonsense), "s3:Unknown - - w");
    }

    #[test]
    fn the_signature_names_the_caller() {
        let case = Case {
            method: "HEAD",
            uri: "/b",
            headers: &[S3],
            body: "",
            is: "",
        };
        assert_eq!(seen(&case).access_key.as_deref(), Some("AKIDTEST"));
    }
}
