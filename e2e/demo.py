"""The outsider's part of the demo: seeds AWS, tampers with it, shows what is there. Runs on the emulator's own Python,
which brings boto3; talks to the emulator directly, past the proxy and the operator.

    demo.py seed | show | tamper-encryption | tamper-role
    demo.py findings | history | entry CONTROL SINCE   (reads a policy as JSON from stdin)
"""

import json
import sys
from urllib.parse import unquote

BUCKET, ROLE = "fraud-training-data", "fraud-trainer"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/bdd640fb-0667-4ad1-9c80-317fa3b1799d"


def client(service, region="eu-west-1"):
    import os

    import boto3

    return boto3.client(
        service,
        region_name=region,
        endpoint_url=os.environ["EMULATOR_URL"],
        aws_access_key_id="AKIAOUTSIDER00000000",
        aws_secret_access_key="secret",
    )


def or_none(call, **arguments):
    from botocore.exceptions import ClientError

    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise


def create_key():
    """The emulator's random numbers are seeded, so that the key gets the id that examples/quickstart.yaml names."""
    import os
    import urllib.request

    seed_request = urllib.request.Request(f"{os.environ['EMULATOR_URL']}/moto-api/seed?a=42", method="POST")
    urllib.request.urlopen(seed_request, timeout=10).close()
    arn = client("kms").create_key(Description="training data")["KeyMetadata"]["Arn"]
    if arn != KEY:
        sys.exit(f"the emulator made key {arn}, but examples/quickstart.yaml names {KEY}")


def seed():
    create_key()
    s3 = client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=BUCKET, Key="curated/transactions.parquet", Body=b"PAR1")
    statement = {
        "Sid": "PartnerMayList",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
        "Action": "s3:ListBucket",
        "Resource": f"arn:aws:s3:::{BUCKET}",
    }
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def statements(document):
    listed = document["Statement"]
    for statement in listed if isinstance(listed, list) else [listed]:
        condition = json.dumps(statement["Condition"]) if "Condition" in statement else ""
        action = statement.get("Action") or "all but " + json.dumps(statement.get("NotAction"))
        action = action if isinstance(action, str) else ", ".join(action)
        text = f"{statement['Effect']:5} {action} {condition}"
        yield f"{statement.get('Sid', '-'):34} {text[:110] + '…' if len(text) > 110 else text}"


def show():
    s3, iam = client("s3"), client("iam", "us-east-1")
    encryption = or_none(s3.get_bucket_encryption, Bucket=BUCKET)
    block = or_none(s3.get_public_access_block, Bucket=BUCKET)
    policy = or_none(s3.get_bucket_policy, Bucket=BUCKET)
    role = or_none(iam.get_role, RoleName=ROLE)
    print(f"  bucket {BUCKET}")
    if encryption:
        default = encryption["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
        print(f"    default encryption   {default['SSEAlgorithm']} {default.get('KMSMasterKeyID', '')}")
    else:
        print("    default encryption   none configured")
    on = block and all(block["PublicAccessBlockConfiguration"].values())
    print(f"    public access block  {'all four on' if on else 'off'}")
    print(f"    versioning           {s3.get_bucket_versioning(Bucket=BUCKET).get('Status', 'off')}")
    print(f"    bucket policy        {'' if policy else 'none'}")
    for line in statements(json.loads(policy["Policy"])) if policy else []:
        print(f"      {line}")
    if not role:
        print(f"  role {ROLE}: does not exist")
        return
    print(f"  role {role['Role']['Arn']}")
    for name in iam.list_role_policies(RoleName=ROLE)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=ROLE, PolicyName=name)["PolicyDocument"]
        document = json.loads(unquote(document)) if isinstance(document, str) else document
        print(f"    inline policy {name}")
        for line in statements(document):
            print(f"      {line}")


def tamper_encryption():
    client("s3").delete_bucket_encryption(Bucket=BUCKET)


def tamper_role():
    wide = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam = client("iam", "us-east-1")
    name = iam.list_role_policies(RoleName=ROLE)["PolicyNames"][0]
    iam.put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=json.dumps(wide))


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)] if rows else []
    for row in rows:
        print("  " + "  ".join([cell.ljust(width) for cell, width in zip(row, widths)] + [row[-1]]))


def findings():
    listed = json.load(sys.stdin).get("status", {}).get("findings", [])
    table([(f["severity"], f["control"], f["resource"], f"{f['path']}: want {f['want']}, have {f['have']}") for f in listed])


def history():
    listed = json.load(sys.stdin).get("status", {}).get("history", [])
    table([(h["outcome"], h["control"], h["resource"], h["path"]) for h in listed])


def entry(controls, since):
    """Prints the repairs of these controls since then; exit 1 if there is none yet."""
    listed = json.load(sys.stdin).get("status", {}).get("history", [])
    told = [
        h
        for h in listed
        if h["control"] in controls.split(",") and h["outcome"] == "Corrected" and h["correctedTime"] >= since
    ]
    for h in told:
        actor = f", by {h['actor']}" if h.get("actor") else ""
        print(f"  found     {h['control']} on {h['resource']}{actor}: {h['path']}: want {h['want']}, have {h['have']}")
        print(f"  repaired  {h['correctedTime']}")
    sys.exit(0 if told else 1)


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
