//! Each way by which a role that looks read-only can change the data after all.

use super::*;

const READ: &str = "s3:GetObject";

fn reading() -> Value {
    json!([allow(READ, "arn:aws:s3:::train-data/*")])
}

fn guarded(more: Value) -> Value {
    json!([guard(), more])
}

// Roles that can be assumed.

fn writer() -> RoleFacts {
    role("writer", json!([allow("s3:*", "*")]))
}

fn with_roles(statements: Value, roles: Vec<RoleFacts>) -> ProofInput {
    ProofInput {
        roles: Evidence::Seen(roles),
        ..input(statements)
    }
}

#[test]
fn a_role_that_trusts_ours_needs_no_allow_of_ours() {
    for principal in [
        json!({"AWS": arn("train")}),
        json!({"AWS": "arn:aws:sts::111111111111:assumed-role/train/any"}),
        json!("*"),
        json!({"AWS": "*"}),
    ] {
        let input = with_roles(reading(), vec![trusting(writer(), principal.clone())]);
        let Proof::Violated(violations) = prove(&input) else {
            panic!("{principal}");
        };
        assert!(violations.iter().all(|v| v.via == [arn("writer")]), "{principal}");
    }
    for principal in [
        json!({"AWS": arn("other")}),
        json!({"Service": "ec2.amazonaws.com"}),
        json!({"Federated": "x"}),
    ] {
        let input = with_roles(reading(), vec![trusting(writer(), principal.clone())]);
        assert_eq!(prove(&input), Proof::Proven, "{principal}");
    }
}

#[test]
fn a_role_that_trusts_the_account_needs_an_allow_of_ours() {
    let roles = || vec![trusting(writer(), json!({"AWS": "arn:aws:iam::111111111111:root"}))];
    assert_eq!(prove(&with_roles(reading(), roles())), Proof::Proven);
    let may = json!([
        allow(READ, "*"),
        allow("sts:AssumeRole", "arn:aws:iam::111111111111:role/*")
    ]);
    assert!(opens(&with_roles(may, roles()), OBJECTS, PUT));
    let another = json!([allow("sts:AssumeRole", "arn:aws:iam::111111111111:role/reader")]);
    assert_eq!(prove(&with_roles(another, roles())), Proof::Proven);
}

#[test]
fn roles_are_followed_to_the_end_and_circles_end() {
    let middle = trusting(role("middle", json!([])), json!({"AWS": [arn("train"), arn("writer")]}));
    let end = trusting(writer(), json!({"AWS": arn("middle")}));
    let Proof::Violated(violations) = prove(&with_roles(reading(), vec![middle, end])) else {
        panic!("expected violations");
    };
    assert!(violations.iter().all(|v| v.via == [arn("middle"), arn("writer")]));
}

#[test]
fn a_deny_on_either_side_ends_the_chain() {
    let trusted = || trusting(writer(), json!({"AWS": arn("train")}));
    let refusing = json!([{"Effect": "Deny", "Action": "sts:Assume*", "Resource": "*"}]);
    assert_eq!(prove(&with_roles(refusing, vec![trusted()])), Proof::Proven);
    let mut picky = trusted();
    picky.trust = Evidence::Seen(policy(
        PolicyKind::Trust,
        "trust",
        json!([
            {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"},
            {"Effect": "Deny", "Principal": {"AWS": arn("train")}, "Action": "sts:AssumeRole"},
        ]),
    ));
    assert_eq!(prove(&with_roles(reading(), vec![picky])), Proof::Proven);
    let conditional = json!([{"Effect": "Deny", "Action": "sts:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]);
    assert!(opens(&with_roles(conditional, vec![trusted()]), OBJECTS, PUT));
}

#[test]
fn a_boundary_stops_a_role_that_is_trusted_by_its_arn_but_not_its_session() {
    let capped = |principal: Value| {
        let mut input = with_roles(reading(), vec![trusting(writer(), principal)]);
        input.role.boundary = Some(policy(PolicyKind::Boundary, "b", json!([allow("s3:*", "*")])));
        prove(&input)
    };
    assert_eq!(capped(json!({"AWS": arn("train")})), Proof::Proven);
    assert_ne!(
        capped(json!({"AWS": "arn:aws:sts::111111111111:assumed-role/train/s"})),
        Proof::Proven
    );
}

#[test]
fn roles_that_are_not_known_make_it_unprovable_unless_none_can_be_assumed() {
    let unknown = |statements: Value| ProofInput {
        roles: Evidence::Missing("AccessDenied".to_owned()),
        ..input(statements)
    };
    assert_eq!(
        reasons(&unknown(reading())),
        [Reason::RolesUnknown("AccessDenied".to_owned())]
    );
    assert_eq!(
        prove(&unknown(
            json!([{"Effect": "Deny", "Action": "sts:*", "Resource": "*"}])
        )),
        Proof::Proven
    );
    let mut untold = writer();
    untold.trust = Evidence::Missing("not JSON".to_owned());
    let what = format!("the trust policy of {}", arn("writer"));
    let why = "not JSON".to_owned();
    assert_eq!(
        reasons(&with_roles(reading(), vec![untold])),
        [Reason::Unreadable { what, why }]
    );
}

#[test]
fn roles_of_other_accounts_make_it_unprovable() {
    let there = json!([{"Sid": "Cross", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::222222222222:role/x"}]);
    let found = reasons(&input(there));
    assert!(
        matches!(&found[..], [Reason::OtherAccounts { resource, .. }] if resource.ends_with("role/x")),
        "{found:?}"
    );
    let here = json!([allow("sts:AssumeRole", "arn:aws:iam::111111111111:role/x")]);
    assert_eq!(prove(&input(here)), Proof::Proven);
}

#[test]
fn every_role_that_a_service_account_can_assume_is_found() {
    let provider = "arn:aws:iam::111111111111:oidc-provider/oidc.example/id/X";
    let with = |name: &str, condition: Value| {
        let mut role = role(name, json!([]));
        let action = "sts:AssumeRoleWithWebIdentity";
        let statement =
            json!({"Effect": "Allow", "Principal": {"Federated": provider}, "Action": action, "Condition": condition});
        role.trust = Evidence::Seen(policy(PolicyKind::Trust, "trust", statement));
        role
    };
    let (sub, aud) = ("oidc.example/id/X:sub", "oidc.example/id/X:aud");
    let roles = [
        with(
            "exact",
            json!({"StringEquals": {sub: "system:serviceaccount:ml:trainer", aud: "sts.amazonaws.com"}}),
        ),
        with("namespace", json!({"StringLike": {sub: "system:serviceaccount:ml:*"}})),
        with("anybody", json!({})),
        with(
            "other",
            json!({"StringEquals": {sub: "system:serviceaccount:ml:other"}}),
        ),
        with("other-audience", json!({"StringEquals": {aud: "vault"}})),
        RoleFacts {
            trust: Evidence::Missing("?".to_owned()),
            ..role("untold", json!([]))
        },
        writer(),
    ];
    let found = assumable_with_token(&roles, provider, "system:serviceaccount:ml:trainer");
    let names: Vec<_> = found.iter().map(|r| r.arn()).collect();
    // A pod may ask for a token of any audience; whether the provider takes it is not known.
    let expected = ["exact", "namespace", "anybody", "other-audience", "untold"];
    assert_eq!(names, expected.map(arn));
}

/// Of a token's request nothing is known but who it is for: what a trust policy asks besides may be met, and what a Deny asks
/// may not.
#[test]
fn conditions_of_a_trust_policy_on_anything_but_the_subject_keep_no_token_out() {
    let provider = "arn:aws:iam::111111111111:oidc-provider/oidc.example/id/X";
    let (sub, me) = ("oidc.example/id/X:sub", "system:serviceaccount:ml:trainer");
    let reached = |condition: Value, more: Option<Value>| {
        let (principal, action) = (json!({"Federated": provider}), "sts:AssumeRoleWithWebIdentity");
        let allow = json!({"Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition});
        let mut role = role("other", json!([]));
        let statements: Vec<Value> = std::iter::once(allow).chain(more).collect();
        role.trust = Evidence::Seen(policy(PolicyKind::Trust, "trust", Value::Array(statements)));
        !assumable_with_token(&[role], provider, me).is_empty()
    };
    for condition in [
        json!({"StringEquals": {sub: me, "aws:SourceVpc": "vpc-1"}}),
        json!({"StringEquals": {sub: me}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        json!({"StringEquals": {sub: me}, "StringLike": {"sts:RoleSessionName": "train-*"}}),
        json!({"StringEquals": {sub: me, "oidc.example/id/X:groups": "x"}}),
        json!({"StringEquals": {sub: me}, "DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}),
        json!({"StringLike": {sub: "system:serviceaccount:${aws:RequestTag/namespace}:trainer"}}),
    ] {
        assert!(reached(condition.clone(), None), "{condition}");
    }
    let elsewhere = json!({"StringEquals": {sub: "system:serviceaccount:ml:other", "aws:SourceVpc": "vpc-1"}});
    assert!(!reached(elsewhere, None));
    let mine = json!({"StringEquals": {sub: me}});
    for (deny, keeps_out) in [
        (json!({"Principal": "*"}), true),
        (
            json!({"Principal": "*", "Condition": {"StringEquals": {sub: me}}}),
            true,
        ),
        (
            json!({"Principal": "*", "Condition": {"StringNotEquals": {sub: "x", "aws:SourceVpc": "vpc-1"}}}),
            false,
        ),
        (
            json!({"Principal": "*", "Condition": {"StringNotEquals": {sub: "${aws:RequestTag/sub}"}}}),
            false,
        ),
        (json!({"NotPrincipal": {"AWS": "111111111111"}}), false),
    ] {
        let mut deny = deny;
        deny["Effect"] = json!("Deny");
        deny["Action"] = json!("sts:*");
        assert_eq!(!reached(mine.clone(), Some(deny.clone())), keeps_out, "{deny}");
    }
}

// Keys.

fn with_key(statements: Value, key_policy: Value, grants: Vec<KeyGrant>) -> ProofInput {
    ProofInput {
        keys: Evidence::Seen(vec![KeyFacts {
            arn: KEY.to_owned(),
            policy: Evidence::Seen(policy(PolicyKind::Resource, "key", key_policy)),
            grants: Evidence::Seen(grants),
        }]),
        ..input(statements)
    }
}

#[test]
fn destroying_the_key_is_destroying_the_data() {
    for action in [
        "kms:ScheduleKeyDeletion",
        "kms:DisableKey",
        "kms:PutKeyPolicy",
        "kms:CreateGrant",
        "kms:UpdateAlias",
    ] {
        assert!(
            opens(
                &with_key(json!([allow(action, "*")]), json!([]), vec![]),
                Kind::Key,
                action
            ),
            "{action}"
        );
        let by_key =
            json!([{"Effect": "Allow", "Principal": {"AWS": arn("train")}, "Action": "kms:*", "Resource": "*"}]);
        assert!(
            opens(&with_key(reading(), by_key, vec![]), Kind::Key, action),
            "{action}"
        );
    }
    let other_key = json!([allow("kms:*", "arn:aws:kms:eu-west-1:111111111111:key/k2")]);
    assert_eq!(prove(&with_key(other_key, json!([]), vec![])), Proof::Proven);
    let harmless = json!([allow("kms:Decrypt", "*"), allow("kms:GenerateDataKey", "*")]);
    assert_eq!(prove(&with_key(harmless, json!([]), vec![])), Proof::Proven);
    let delegated =
        json!([{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "kms:*", "Resource": "*"}]);
    assert_eq!(prove(&with_key(reading(), delegated, vec![])), Proof::Proven);
}

#[test]
fn a_store_of_keys_is_destroyed_without_naming_a_key() {
    let keys = "arn:aws:kms:*:*:key/*";
    let deny = |resource: &str| json!({"Effect": "Deny", "Action": "kms:*", "Resource": resource});
    for action in crate::domain::iam::actions::KEY_STORE_ACTIONS {
        let all_but_keys = json!({"Effect": "Allow", "Action": action, "NotResource": keys});
        for statements in [json!([allow("kms:*", "*"), deny(keys)]), json!([all_but_keys])] {
            for evidence in [Evidence::Outside, Evidence::Seen(Vec::new())] {
                let mut input = with_key(statements.clone(), json!([]), vec![]);
                input.keys = evidence;
                assert!(opens(&input, Kind::Key, action), "{action} {statements}");
            }
            let seen = with_key(statements.clone(), json!([]), vec![]);
            assert!(opens(&seen, Kind::Key, action), "{action} {statements}");
        }
        let refused = json!([allow("kms:*", "*"), deny("*")]);
        assert_eq!(prove(&with_key(refused, json!([]), vec![])), Proof::Proven, "{action}");
    }
    // A boundary on keys lets none of it through.
    let mut bounded = with_key(json!([allow("kms:*", "*")]), json!([]), vec![]);
    bounded.role.boundary = Some(policy(
        PolicyKind::Boundary,
        "boundary",
        json!([allow("kms:*", "arn:aws:kms:*:*:key/k2")]),
    ));
    assert_eq!(prove(&bounded), Proof::Proven);
}

#[test]
fn a_grant_that_makes_grants_counts() {
    let grant = |grantee: &str, operation: &str| KeyGrant {
        grantee: grantee.to_owned(),
        operations: vec!["Decrypt".to_owned(), operation.to_owned()],
    };
    let session = "arn:aws:sts::111111111111:assumed-role/train/s";
    for grantee in [arn("train").as_str(), session] {
        assert!(opens(
            &with_key(reading(), json!([]), vec![grant(grantee, "CreateGrant")]),
            Kind::Key,
            "kms:CreateGrant"
        ));
        assert_eq!(
            prove(&with_key(reading(), json!([]), vec![grant(grantee, "Encrypt")])),
            Proof::Proven
        );
    }
    assert_eq!(
        prove(&with_key(
            reading(),
            json!([]),
            vec![grant(&arn("other"), "CreateGrant")]
        )),
        Proof::Proven
    );
}

#[test]
fn keys_that_are_not_known_make_it_unprovable() {
    let unread = || "AccessDenied".to_owned();
    let mut input = with_key(reading(), json!([]), vec![]);
    let Evidence::Seen(keys) = &mut input.keys else {
        panic!()
    };
    keys[0].policy = Evidence::Missing(unread());
    keys[0].grants = Evidence::Missing(unread());
    let whats = ["grants", "key policy"].map(|w| format!("the {w} of {KEY}"));
    let expected = whats.map(|what| Reason::Unreadable { what, why: unread() });
    assert_eq!(reasons(&input), expected);
    input.keys = Evidence::Missing(unread());
    let what = "the keys of the buckets".to_owned();
    assert_eq!(reasons(&input), [Reason::Unreadable { what, why: unread() }]);
}

// Access control lists.

fn with_acl(statements: Value, acl: Evidence<AclFacts>) -> ProofInput {
    let mut input = input(statements);
    input.buckets[0].acl = acl;
    input
}

#[test]
fn acl_grants_to_everybody_are_grants_to_the_role() {
    let grant = |grantee, permission| {
        Evidence::Seen(AclFacts::Enabled {
            grants: vec![AclGrant { grantee, permission }],
        })
    };
    for (permission, kind, action) in [
        (AclPermission::Write, OBJECTS, "s3:DeleteObject"),
        (AclPermission::FullControl, OBJECTS, PUT),
        (AclPermission::WriteAcp, Kind::Data(Place::Bucket), "s3:PutBucketAcl"),
    ] {
        for grantee in [AclGrantee::AllUsers, AclGrantee::AuthenticatedUsers] {
            assert!(
                opens(&with_acl(reading(), grant(grantee, permission)), kind, action),
                "{permission:?}"
            );
            let closed = with_acl(guarded(allow(READ, "*")), grant(grantee, permission));
            assert_eq!(prove(&closed), Proof::Proven, "{permission:?}");
        }
        assert!(!opens(
            &with_acl(reading(), grant(AclGrantee::Other, permission)),
            kind,
            action
        ));
    }
}

#[test]
fn acls_of_objects_are_not_known_unless_ownership_rules_them_out() {
    let enabled = Evidence::Seen(AclFacts::Enabled { grants: Vec::new() });
    assert_eq!(
        reasons(&with_acl(reading(), enabled)),
        [Reason::ObjectAcls(BUCKET.to_owned())]
    );
    let missing = reasons(&with_acl(reading(), Evidence::Missing("timeout".to_owned())));
    assert!(matches!(&missing[..], [Reason::Unreadable { .. }]), "{missing:?}");
    assert_eq!(
        prove(&with_acl(reading(), Evidence::Seen(AclFacts::Disabled))),
        Proof::Proven
    );
}

// The bucket's policy.

fn grant_put(principal: Value) -> Value {
    json!([{"Effect": "Allow", "Principal": principal, "Action": PUT, "Resource": "arn:aws:s3:::train-data/*"}])
}

#[test]
fn the_bucket_policy_gives_what_identity_policies_do_not() {
    for (principal, given, past_boundary) in [
        (json!({"AWS": arn("train")}), true, false),
        (
            json!({"AWS": "arn:aws:sts::111111111111:assumed-role/train/session"}),
            true,
            true,
        ),
        (json!("*"), true, true),
        (json!({"AWS": "*"}), true, true),
        (
            json!({"Federated": "arn:aws:iam::111111111111:oidc-provider/x"}),
            true,
            true,
        ),
        (json!({"AWS": "arn:aws:iam::111111111111:role/team/*"}), true, false),
        (json!({"AWS": "111111111111"}), false, false),
        (json!({"AWS": arn("other")}), false, false),
        (json!({"AWS": "AROAEXAMPLEEXAMPLE123"}), false, false),
        (json!({"Service": "logging.s3.amazonaws.com"}), false, false),
    ] {
        let mut input = with_bucket_policy(input(reading()), grant_put(principal.clone()));
        assert_eq!(opens(&input, OBJECTS, PUT), given, "{principal}");
        input.role.boundary = Some(policy(PolicyKind::Boundary, "boundary", reading()));
        assert_eq!(opens(&input, OBJECTS, PUT), past_boundary, "{principal} bounded");
    }
}

#[test]
fn not_principal_grants_and_never_protects() {
    let grant = json!([{"Effect": "Allow", "NotPrincipal": {"AWS": arn("train")}, "Action": PUT, "Resource": "*"}]);
    assert!(opens(&with_bucket_policy(input(reading()), grant), OBJECTS, PUT));
    let deny = json!([{"Effect": "Deny", "NotPrincipal": {"AWS": arn("etl")}, "Action": "s3:*", "Resource": "*"}]);
    assert!(opens(
        &with_bucket_policy(input(json!([allow(PUT, "*")])), deny),
        OBJECTS,
        PUT
    ));
}

#[test]
fn a_bucket_policy_that_is_not_known_makes_it_unprovable() {
    let mut input = input(reading());
    input.buckets[0].policy = Evidence::Missing("not JSON".to_owned());
    let what = format!("the policy of {BUCKET}");
    assert_eq!(
        reasons(&input),
        [Reason::Unreadable {
            what,
            why: "not JSON".to_owned()
        }]
    );
}

// Denies.

/// Each row: a Deny of the bucket, and whether it surely stops the role's own Allow.
#[test]
fn a_deny_protects_only_where_it_surely_applies() {
    let own = arn("train");
    for (change, protects) in [
        (json!({}), true),
        (json!({"Principal": {"AWS": own}}), true),
        (json!({"Principal": {"AWS": "111111111111"}}), true),
        (json!({"Principal": {"AWS": arn("other")}}), false),
        (json!({"Principal": {"AWS": "AROAEXAMPLEEXAMPLE123"}}), false),
        (
            json!({"Principal": {"AWS": "arn:aws:sts::111111111111:assumed-role/train/s"}}),
            false,
        ),
        (json!({"Condition": {"ArnEquals": {"aws:PrincipalArn": own}}}), true),
        (
            json!({"Condition": {"StringEquals": {"AWS:principalarn": [arn("other"), own]}}}),
            true,
        ),
        (
            json!({"Condition": {"ArnNotEquals": {"aws:PrincipalArn": arn("operator")}}}),
            true,
        ),
        (
            json!({"Condition": {"StringEquals": {"aws:PrincipalAccount": "111111111111"}}}),
            true,
        ),
        (
            json!({"Condition": {"ArnEquals": {"aws:PrincipalArn": arn("other")}}}),
            false,
        ),
        (
            json!({"Condition": {"StringNotEquals": {"aws:PrincipalArn": "${aws:PrincipalTag/x}"}}}),
            false,
        ),
        (
            json!({"Condition": {"StringNotEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}}),
            false,
        ),
        (json!({"Condition": {"Null": {"aws:SourceVpc": "true"}}}), false),
        (json!({"Condition": {"Bool": {"aws:SecureTransport": "false"}}}), false),
        (
            json!({"Condition": {"ArnEquals": {"aws:PrincipalArn": own}, "Bool": {"aws:SecureTransport": "false"}}}),
            false,
        ),
        (json!({"Resource": "arn:aws:s3:::train-data/${aws:username}/*"}), false),
        (json!({"Resource": "arn:aws:s3:::train-data/curated/*"}), false),
        (json!({"Action": "s3:Put*"}), true),
        (json!({"Action": "s3:PutObjectTagging"}), false),
    ] {
        let mut statement =
            json!({"Effect": "Deny", "Principal": "*", "Action": PUT, "Resource": "arn:aws:s3:::train-data/*"});
        for (key, value) in change.as_object().unwrap() {
            statement[key] = value.clone();
        }
        let input = with_bucket_policy(
            input(json!([allow(PUT, "arn:aws:s3:::train-data/*")])),
            json!([statement]),
        );
        assert_eq!(!opens(&input, OBJECTS, PUT), protects, "{change}");
    }
}

#[test]
fn a_variable_in_an_allow_may_be_anything() {
    let own_folder = json!([allow(PUT, "arn:aws:s3:::${aws:PrincipalTag/bucket}/*")]);
    assert!(opens(&input(own_folder), OBJECTS, PUT));
}

#[test]
fn an_incomplete_arn_is_everything_that_begins_like_it() {
    for resource in [
        "arn:aws:s3",
        "arn:aws:s3:",
        "arn:aws:s3::",
        "arn:aws",
        "arn:aws:s3:*",
        "arn:*:s3",
    ] {
        let wide = input(json!([allow(PUT, resource)]));
        assert!(opens(&wide, OBJECTS, PUT), "{resource}");
        // What a boundary lets through is told the same way.
        let mut bounded = input(json!([allow(PUT, "*")]));
        bounded.role.boundary = Some(policy(PolicyKind::Boundary, "boundary", allow(PUT, resource)));
        assert!(opens(&bounded, OBJECTS, PUT), "{resource} as a boundary");
    }
    for resource in ["arn:aws:sqs", "arn:aws:s3:::", "arn:aws-cn:s3"] {
        assert_eq!(
            prove(&input(json!([allow(PUT, resource)]))),
            Proof::Proven,
            "{resource}"
        );
    }
    // Access points have a region.
    let points = reasons(&input(json!([allow(PUT, "arn:aws:s3:eu-west-1")])));
    assert!(
        matches!(points[..], [Reason::UnlistedAccessPoints { .. }]),
        "{points:?}"
    );
    let excepted = json!([{"Effect": "Allow", "Action": PUT, "NotResource": "arn:aws:s3"}]);
    assert_eq!(prove(&input(excepted)), Proof::Proven);
    let denied = json!([allow(PUT, "*"), {"Effect": "Deny", "Action": PUT, "Resource": "arn:aws:s3"}]);
    assert_eq!(prove(&input(denied)), Proof::Proven);
}

#[test]
fn an_incomplete_arn_of_a_bucket_policy_protects_nothing() {
    // "in an identity-based policy", says AWS; of a bucket's policy nothing of the kind.
    let deny = json!({"Effect": "Deny", "Principal": "*", "Action": PUT, "Resource": "arn:aws:s3"});
    let denied = with_bucket_policy(input(json!([allow(PUT, "*")])), deny);
    assert!(opens(&denied, OBJECTS, PUT));
    // And as an exception, there or in a control policy, it excepts whatever it might.
    let but = json!({"Effect": "Deny", "Action": PUT, "NotResource": "arn:aws:s3"});
    let mut controlled = input(json!([allow(PUT, "arn:aws:s3:::train-data/*")]));
    controlled.organization = vec![policy(PolicyKind::ServiceControl, "scp", but)];
    assert!(opens(&controlled, OBJECTS, PUT));
}

#[test]
fn conditions_on_an_allow_count_as_met() {
    let statement = json!([{"Effect": "Allow", "Action": PUT, "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}]);
    assert!(opens(&input(statement), OBJECTS, PUT));
}

#[test]
fn denies_of_boundary_and_organization_protect_even_from_grants_to_all() {
    let deny = |kind| {
        policy(
            kind,
            "deny",
            json!([{"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"}]),
        )
    };
    let open = || with_bucket_policy(input(reading()), grant_put(json!("*")));
    let mut bounded = open();
    bounded.role.boundary = Some(deny(PolicyKind::Boundary));
    assert!(!opens(&bounded, OBJECTS, PUT));
    let mut organized = open();
    organized.organization = vec![deny(PolicyKind::ServiceControl)];
    assert!(!opens(&organized, OBJECTS, PUT));
    assert!(opens(&open(), OBJECTS, PUT));
    // Neither is for the roles of services.
    organized.role.caller =
        Caller::parse("arn:aws:iam::111111111111:role/aws-service-role/x.amazonaws.com/train").unwrap();
    assert!(opens(&organized, OBJECTS, PUT));
}

/// AWS has them for a few services only, and for resources of the organization only.
#[test]
fn denies_of_resource_control_protect_buckets_and_keys_and_nothing_else() {
    let everything = json!([{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}]);
    let controlled = |input: ProofInput| ProofInput {
        organization: vec![policy(PolicyKind::ResourceControl, "control", everything.clone())],
        ..input
    };
    let uploads = || {
        with_bucket_policy(
            input(json!([allow(PUT, "arn:aws:s3:::train-data/*")])),
            grant_put(json!("*")),
        )
    };
    assert!(opens(&uploads(), OBJECTS, PUT));
    assert_eq!(prove(&controlled(uploads())), Proof::Proven);
    let deletes = || with_key(json!([allow("kms:ScheduleKeyDeletion", KEY)]), json!([]), Vec::new());
    assert!(opens(&deletes(), Kind::Key, "kms:ScheduleKeyDeletion"));
    assert_eq!(prove(&controlled(deletes())), Proof::Proven);
    let passes = || input(json!([allow("iam:PassRole", "*")]));
    assert!(opens(&controlled(passes()), Kind::Escalation, "iam:PassRole"));
    let by_point = || ProofInput {
        access_points: Evidence::Missing("AccessDenied".to_owned()),
        ..input(json!([allow(PUT, "arn:aws:s3:*:*:accesspoint/*")]))
    };
    assert!(opens(&controlled(by_point()), Kind::Data(Place::AccessPoints), PUT));
}

#[test]
fn a_boundary_limits_the_role_s_own_policies() {
    let mut input = input(json!([allow("s3:*", "*"), allow("iam:*", "*")]));
    input.role.boundary = Some(policy(PolicyKind::Boundary, "boundary", json!([allow(READ, "*")])));
    assert_eq!(prove(&input), Proof::Proven);
    let wide = json!([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]);
    input.role.boundary = Some(policy(PolicyKind::Boundary, "boundary", wide));
    assert!(opens(&input, OBJECTS, PUT) && !opens(&input, Kind::Escalation, "iam:PassRole"));
}

// Complements and wildcards.

#[test]
fn complements_are_taken_at_their_word() {
    let but_iam = json!([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]);
    assert!(opens(&input(but_iam), OBJECTS, PUT));
    let elsewhere = json!([{"Effect": "Allow", "Action": "s3:Put*", "NotResource": "arn:aws:s3:::other/*"}]);
    assert!(opens(&input(elsewhere), OBJECTS, PUT));
    let not_here = json!([{"Effect": "Allow", "Action": PUT, "NotResource": ["arn:aws:s3:::train-data*", "arn:aws:s3:*:*:accesspoint/*"]}]);
    assert_eq!(prove(&input(not_here)), Proof::Proven);
    let deny_elsewhere =
        json!([allow(PUT, "*"), {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::other/*"}]);
    assert!(!opens(&input(deny_elsewhere), OBJECTS, PUT));
}

#[test]
fn spellings_of_an_action_are_seen_through() {
    for action in ["s3:P*", "s3:?utObject", "*", "S3:PUTOBJECT", "s3:Put*", "s*:PutObject"] {
        assert!(opens(&input(json!([allow(action, "*")])), OBJECTS, PUT), "{action}");
    }
}

#[test]
fn an_action_that_no_list_has_is_a_write() {
    assert!(opens(
        &input(json!([allow("s3:GetEverythingAway", "*")])),
        OBJECTS,
        "s3:geteverythingaway"
    ));
    assert_eq!(
        prove(&input(guarded(allow("s3:GetEverythingAway", BUCKET)))),
        Proof::Proven
    );
}

#[test]
fn a_wildcard_may_take_in_actions_yet_to_come() {
    let wild = json!([allow("s3:GetObject*", "arn:aws:s3:::train-data/*")]);
    let found = reasons(&input(wild.clone()));
    let resource = "arn:aws:s3:::train-data/*".to_owned();
    assert!(
        matches!(&found[..], [Reason::MayGrantFutureWrites { pattern, resource: r, .. }] if pattern == "s3:getobject*" && *r == resource),
        "{found:?}"
    );
    assert_eq!(prove(&input(guarded(wild[0].clone()))), Proof::Proven);
    // An exception by pattern lets through what is yet to come; a literal one does not.
    let leaky = json!([wild[0], {"Effect": "Deny", "NotAction": "s3:Get*", "Resource": "*"}]);
    assert!(matches!(prove(&input(leaky)), Proof::Unknown(_)));
}

#[test]
fn data_access_grants_vend_credentials_that_write() {
    let statements = json!([allow("s3:Get*", "*")]);
    assert!(opens(&input(statements), Kind::Escalation, "s3:GetDataAccess"));
}

#[test]
fn access_points_are_another_way_to_the_data() {
    let by_point = json!([allow(PUT, "arn:aws:s3:eu-west-1:111111111111:accesspoint/p/object/*")]);
    let unknown = |statements: Value| ProofInput {
        access_points: Evidence::Missing("AccessDenied".to_owned()),
        ..input(statements)
    };
    assert!(opens(&unknown(by_point.clone()), Kind::Data(Place::AccessPoints), PUT));
    // None of the bucket's.
    assert_eq!(prove(&input(by_point.clone())), Proof::Proven);
    let on_bucket = json!({"Effect": "Deny", "Action": "s3:*", "Resource": [BUCKET, "arn:aws:s3:::train-data/*"]});
    // None of the bucket's in the account's list, which has neither points of other accounts nor multi-Region ones.
    let elsewhere = "arn:aws:s3:eu-west-1:222222222222:accesspoint/p/object/*";
    let multi_region = "arn:aws:s3::111111111111:accesspoint/m.mrap/object/*";
    for wide in [
        elsewhere,
        multi_region,
        "arn:aws:s3:*:*:accesspoint/*",
        "arn:aws:s3:*:111111111111:accesspoint/*",
    ] {
        let reasons = reasons(&input(json!([allow(PUT, wide), on_bucket])));
        assert!(
            matches!(&reasons[..], [Reason::UnlistedAccessPoints { .. }]),
            "{wide}: {reasons:?}"
        );
    }
    let point = |statements: Option<Value>| AccessPointFacts {
        arn: "arn:aws:s3:eu-west-1:111111111111:accesspoint/p".to_owned(),
        policy: Evidence::Seen(statements.map(|s| policy(PolicyKind::Resource, "point", s))),
    };
    let with = |statements: Value, point| ProofInput {
        access_points: Evidence::Seen(vec![point]),
        ..input(statements)
    };
    assert!(opens(
        &with(by_point, point(None)),
        Kind::Data(Place::AccessPoints),
        PUT
    ));
    let granting = json!([{"Effect": "Allow", "Principal": {"AWS": arn("train")}, "Action": "s3:*", "Resource": "*"}]);
    assert!(opens(
        &with(reading(), point(Some(granting))),
        Kind::Data(Place::AccessPoints),
        PUT
    ));
    // A Deny on bucket and objects does not reach requests that name an access point; policies of unknown ones may grant.
    assert!(matches!(prove(&unknown(json!([on_bucket]))), Proof::Unknown(_)));
    // Object Lambda access points have policies of their own, too.
    let lambda = json!({"Effect": "Deny", "Action": "s3*", "Resource": "arn:aws:s3-object-lambda:*:*:accesspoint/*"});
    assert!(matches!(prove(&unknown(json!([guard()]))), Proof::Unknown(_)));
    assert_eq!(prove(&unknown(json!([guard(), lambda]))), Proof::Proven);
}

/// Keys of objects may hold colons; that makes no access point of them.
#[test]
fn an_allow_on_objects_opens_no_access_point() {
    let unknown = ProofInput {
        access_points: Evidence::Outside,
        ..input(json!([allow(PUT, "arn:aws:s3:::train-data/in/*")]))
    };
    assert_eq!(violated(&unknown), [(OBJECTS, vec![PUT.to_owned()])]);
}

/// "Bucket names must not end with the suffix --x-s3", and so on: what has such a name is written to through ARNs of its own.
#[test]
fn what_is_no_general_purpose_bucket_is_not_proven() {
    for name in [
        "data--euw1-az1--x-s3",
        "data--table-s3",
        "point-abc123--ol-s3",
        "point-abc123-s3alias",
        "m4.mrap",
    ] {
        let mut input = input(json!([allow(READ, "*"), allow("s3express:*", "*")]));
        input.buckets[0].arn = format!("arn:aws:s3:::{name}");
        assert_eq!(
            reasons(&input),
            [Reason::OtherKindOfBucket(format!("arn:aws:s3:::{name}"))]
        );
    }
    let mut usual = input(json!([allow(READ, "*")]));
    usual.buckets[0].arn = "arn:aws:s3:::x-s3".to_owned();
    assert_eq!(prove(&usual), Proof::Proven);
}

#[test]
fn changing_tags_retention_or_ownership_of_objects_is_changing_the_data() {
    for action in [
        "s3:PutObjectTagging",
        "s3:DeleteObjectTagging",
        "s3:PutObjectVersionTagging",
        "s3:PutObjectRetention",
        "s3:PutObjectLegalHold",
        "s3:BypassGovernanceRetention",
        "s3:PutObjectAcl",
        "s3:ObjectOwnerOverrideToBucketOwner",
        "s3:ReplicateObject",
        "s3:ReplicateDelete",
        "s3:ReplicateTags",
        "s3:RestoreObject",
        "s3:AbortMultipartUpload",
    ] {
        let statements = json!([allow(READ, "*"), allow(action, "arn:aws:s3:::train-data/*")]);
        assert!(opens(&input(statements), OBJECTS, action), "{action}");
        assert_eq!(
            prove(&input(guarded(allow(action, "arn:aws:s3:::train-data/*")))),
            Proof::Proven,
            "{action}"
        );
    }
}

#[test]
fn changing_the_buckets_settings_is_changing_the_data() {
    for action in [
        "s3:PutLifecycleConfiguration",
        "s3:PutReplicationConfiguration",
        "s3:PutBucketVersioning",
        "s3:PutBucketOwnershipControls",
        "s3:PutEncryptionConfiguration",
        "s3:PutBucketPolicy",
        "s3:PutBucketAcl",
        "s3:DeleteBucket",
    ] {
        let statements = json!([allow(action, BUCKET)]);
        assert!(opens(&input(statements), Kind::Data(Place::Bucket), action), "{action}");
    }
}

#[test]
fn a_deny_on_a_deleted_role_s_id_protects_from_nobody() {
    let deny = |principal: Value| {
        let resources = json!([BUCKET, "arn:aws:s3:::train-data/*"]);
        json!([{"Effect": "Deny", "Principal": principal, "Action": "s3:*", "Resource": resources}])
    };
    let writing = || input(json!([allow(PUT, "arn:aws:s3:::train-data/*")]));
    let dead = with_bucket_policy(writing(), deny(json!({"AWS": "AROAEXAMPLEEXAMPLE123"})));
    assert!(opens(&dead, OBJECTS, PUT));
    let alive = with_bucket_policy(writing(), deny(json!({"AWS": arn("train")})));
    assert_eq!(prove(&alive), Proof::Proven);
}

#[test]
fn credentials_that_other_services_vend_count_as_writes() {
    for action in [
        "sts:GetFederationToken",
        "sts:GetDelegatedAccessToken",
        "ssm:ExecuteAPI",
        "ssm:GetAccessToken",
        "s3:GetDataAccess",
        // "Virtual data lake access": what integrated services ask before they get credentials for data that it governs.
        "lakeformation:GetDataAccess",
        "datazone:GetEnvironmentCredentials",
        "emr-containers:GetManagedEndpointSessionCredentials",
        "eks-auth:AssumeRoleForPodIdentity",
        "deadline:AssumeQueueRoleForUser",
    ] {
        let statements = json!([allow(READ, "*"), allow(action, "*")]);
        assert!(opens(&input(statements), Kind::Escalation, action), "{action}");
    }
}

// Escalation, and what can't be read.

#[test]
fn ways_to_more_permissions_count_as_writes() {
    for action in [
        "iam:PassRole",
        "iam:DeleteRolePolicy",
        "iam:CreatePolicyVersion",
        "iam:UpdateAssumeRolePolicy",
        "lambda:UpdateFunctionCode",
        "ssm:SendCommand",
        "ssm:RegisterTaskWithMaintenanceWindow",
        "codebuild:StartCommandExecution",
        "athena:StartCalculationExecution",
        "airflow:CreateCliToken",
        "transfer:ImportSshPublicKey",
        "eks:CreatePodIdentityAssociation",
        "s3:CreateAccessGrant",
        // What service and resource control policies deny holds only as long as the account is under them.
        "organizations:LeaveOrganization",
        "organizations:DisablePolicyType",
    ] {
        assert!(
            opens(&input(guarded(allow(action, "*"))), Kind::Escalation, action),
            "{action}"
        );
        let denied = json!([allow(action, "*"), {"Effect": "Deny", "Action": action, "Resource": "*"}]);
        assert_eq!(prove(&input(denied)), Proof::Proven, "{action}");
    }
}

#[test]
fn everything_on_another_bucket_leads_nowhere() {
    for resource in [
        "arn:aws:s3:::checkpoints/*",
        "arn:aws:s3:::checkpoints-?",
        "arn:aws:s3:::c-${aws:username}/*",
    ] {
        assert_eq!(
            prove(&input(json!([allow("s3:*", resource)]))),
            Proof::Proven,
            "{resource}"
        );
    }
    // On anything that may be a job, an instance of access grants or the data itself, it does.
    for resource in [
        "*",
        "arn:aws:s3:*",
        "arn:aws:s3:eu-west-1:111111111111:*",
        "arn:aws:s3:::train-d*",
        "arn:*:s3:::c/*",
    ] {
        let wide = input(json!([allow("s3:*", resource)]));
        assert!(opens(&wide, Kind::Escalation, "s3:GetDataAccess"), "{resource}");
    }
    // Other services name buckets in rights of their own.
    let command = input(json!([allow("ssm:SendCommand", "arn:aws:s3:::checkpoints")]));
    assert!(opens(&command, Kind::Escalation, "ssm:SendCommand"));
}

#[test]
fn a_policy_that_can_t_be_read_makes_it_unprovable() {
    let mut input = input(reading());
    input.role.identity.push(Evidence::Missing("not JSON".to_owned()));
    let what = format!("a policy of role {}", arn("train"));
    assert_eq!(
        reasons(&input),
        [Reason::Unreadable {
            what,
            why: "not JSON".to_owned()
        }]
    );
}
