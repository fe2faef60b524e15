"""Prints, as JSON, which limits of SeaweedFS and LocalStack hold: {feature: true or what was seen}.

The features are those of `CANNOT` in tests/it/support/outside.rs. Endpoint, CA and credentials of S3 come from the
usual AWS variables, the KMS endpoint as the only argument.
"""

import json
import os
import sys
import time

import boto3
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

ALGORITHM = "s3:x-amz-server-side-encryption"
KEY_ID = f"{ALGORITHM}-aws-kms-key-id"

limits = {}


def s3_client(**changes):
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, **changes.pop("config", {}))
    return boto3.client("s3", config=config, **changes)


def kms_client(secret):
    return boto3.client("kms", endpoint_url=sys.argv[1], aws_access_key_id="anybody", aws_secret_access_key=secret)


def code_of(call):
    """The error's code, None when the call went through."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def limit(feature, seen, expected):
    limits[feature] = seen == expected or f"{seen!r} instead of {expected!r}"


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


s3, kms = s3_client(), kms_client("anything")
key = kms.create_key()["KeyMetadata"]["Arn"]
sse = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
bucket = f"limits-{time.time_ns()}"
everything = f"arn:aws:s3:::{bucket}/*"
s3.create_bucket(Bucket=bucket, ObjectOwnership="BucketOwnerEnforced")
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
here = {"Bucket": bucket}


def deny(condition):
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": everything}
    return policy(statement | {"Condition": condition})


blocked = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
limit(
    "PublicAccessBlock",
    [
        code_of(lambda: s3.get_public_access_block(**here)),
        code_of(lambda: s3.put_public_access_block(**here, PublicAccessBlockConfiguration=blocked)),
    ],
    ["NotImplemented"] * 2,
)
limit("ACLs under BucketOwnerEnforced", code_of(lambda: s3.put_bucket_acl(**here, ACL="public-read")), None)
s3.put_bucket_acl(**here, ACL="private")

stored = s3.put_object(**here, Key="stored", Body=b"x" * 100, ChecksumAlgorithm="SHA256", **sse)
head = s3.head_object(**here, Key="stored", ChecksumMode="ENABLED")
assert head["SSEKMSKeyId"] == key and head["ChecksumSHA256"] == stored["ChecksumSHA256"], head
limit("Content-Encoding after a trailer", head.get("ContentEncoding"), "aws-chunked")
attributes = s3.get_object_attributes(**here, Key="stored", ObjectAttributes=["Checksum", "ObjectSize"])
limit("GetObjectAttributes checksum", attributes.get("Checksum"), None)
limit("ExpectedBucketOwner", code_of(lambda: s3.head_bucket(**here, ExpectedBucketOwner="999999999999")), None)
other_region = s3_client(region_name="eu-west-1")
limit("region of a signature", code_of(lambda: other_region.head_bucket(**here)), None)

anonymous = s3_client(config={"signature_version": UNSIGNED})
read = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": everything}
before = code_of(lambda: anonymous.get_object(**here, Key="stored"))
accepted = code_of(lambda: s3.put_bucket_policy(**here, Policy=policy(read)))
limit(
    "public bucket policy",
    [before, accepted, code_of(lambda: anonymous.get_object(**here, Key="stored"))],
    ["AccessDenied", None, None],
)
s3.delete_bucket_policy(**here)

http = urllib3.PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"])
s3.put_bucket_policy(**here, Policy=policy(read | {"Effect": "Deny", "Condition": {"NumericGreaterThan": {"s3:signatureAge": "1"}}}))
url = s3.generate_presigned_url("get_object", Params=here | {"Key": "stored"})
time.sleep(1)
limit("age of a signature", http.request("GET", url).status, 200)
s3.put_bucket_policy(**here, Policy=deny({"StringEquals": {"s3:authType": "POST"}}))
form = s3.generate_presigned_post(bucket, "posted")
posted = http.request("POST", form["url"], fields=form["fields"] | {"file": ("posted", b"x")})
limit("presigned forms under a policy", posted.status, 204)
s3.delete_bucket_policy(**here)

if_exists = deny({"StringNotEqualsIfExists": {ALGORITHM: "aws:kms"}})
limit("IfExists operators", code_of(lambda: s3.put_bucket_policy(**here, Policy=if_exists)), "InvalidPolicyDocument")

upload = s3.create_multipart_upload(**here, Key="parts", ChecksumAlgorithm="SHA256", **sse)
this = here | {"Key": "parts", "UploadId": upload["UploadId"]}
copy = {"Bucket": bucket, "Key": "stored"}
limit(
    "UploadPartCopy under SSE-KMS",
    code_of(lambda: s3.upload_part_copy(**this, PartNumber=1, CopySource=copy)),
    "NotImplemented",
)


def send_part():
    return s3.upload_part(**this, PartNumber=1, Body=b"part", ChecksumAlgorithm="SHA256")


# One after the other, each policy by itself: what the upload's own calls, which carry no header, get to hear.
seen = []
for condition in ({"Null": {ALGORITHM: "true"}}, {"StringNotEquals": {ALGORITHM: "aws:kms"}}, {"Null": {KEY_ID: "true"}}):
    s3.put_bucket_policy(**here, Policy=deny(condition))
    seen.append([code_of(send_part), code_of(lambda: s3.list_parts(**this)), code_of(lambda: s3.abort_multipart_upload(**this))])
s3.delete_bucket_policy(**here)
denied = "AccessDenied"
limit("strict policy and multipart", seen, [[None, denied, denied], [None, denied, denied], [denied, denied, denied]])

send_part()
part = send_part()
parts = s3.list_parts(**this)["Parts"]
limit(
    "ListParts",
    [len(parts) > 1, {entry["PartNumber"] for entry in parts}, any("ChecksumSHA256" in entry for entry in parts)],
    [True, {1}, False],
)
finished = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]
complete = s3.complete_multipart_upload(**this, MultipartUpload={"Parts": finished})
assert s3.head_object(**here, Key="parts", VersionId=complete["VersionId"])["SSEKMSKeyId"] == key
copied = s3.copy_object(**here, Key="copied", CopySource=copy, **sse)
assert s3.head_object(**here, Key="copied", VersionId=copied["VersionId"])["SSEKMSKeyId"] == key
answers = (upload, complete, copied)
limit("encryption in answers", [answer.get("ServerSideEncryption") for answer in answers], [None] * 3)

# Of an object in one part, AWS would compute the checksum of the whole for its copy.
again = s3.copy_object(**here, Key="again", CopySource={"Bucket": bucket, "Key": "parts"}, ChecksumAlgorithm="SHA256", **sse)
checksums = [s3.head_object(**here, Key=key, ChecksumMode="ENABLED").get("ChecksumSHA256") for key in ("parts", "again")]
limit(
    "checksum of a copy",
    [again["CopyObjectResult"].get("ChecksumSHA256"), checksums[0] == checksums[1], checksums[0].endswith("-1")],
    [None, True, True],
)

unknown = sse | {"SSEKMSKeyId": key[:-12] + "000000000000"}
limit("unknown KMS key", code_of(lambda: s3.put_object(**here, Key="unknown", Body=b"x", **unknown)), "InternalError")
kms.disable_key(KeyId=key)
limit("disabled KMS key", code_of(lambda: s3.put_object(**here, Key="disabled", Body=b"x", **sse)), "InternalError")
kms.enable_key(KeyId=key)

nobody = policy({"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"})
limit(
    "key policy",
    [
        code_of(lambda: kms.put_key_policy(KeyId=key, PolicyName="default", Policy='{"no": "policy"}')),
        code_of(lambda: kms.put_key_policy(KeyId=key, PolicyName="default", Policy=nobody)),
        code_of(lambda: kms.generate_data_key(KeyId=key, KeySpec="AES_256")),
    ],
    [None] * 3,
)
limit("credentials at the KMS", code_of(lambda: kms_client("anything else").describe_key(KeyId=key)), None)

print(json.dumps(limits))
