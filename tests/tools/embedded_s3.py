"""Uses the embedded S3 as boto3's users do, one subject a run: `embedded_s3.py SUBJECT`.

Every assertion states what AWS does. Endpoint and credentials come from the usual AWS variables.
"""

import base64
import hashlib
import io
import json
import os
import sys
import tempfile
import urllib.error
import urllib.request
import zlib

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1024 * 1024

s3, kms = boto3.client("s3"), boto3.client("kms")


def refused(code, status, call, *positional, **arguments):
    """Demands that a call fails with this code and status, and gives the whole answer."""
    try:
        answer = call(*positional, **arguments)
    except ClientError as error:
        seen = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert seen == (code, status), f"{seen} instead of {(code, status)}: {error}"
        return error.response
    raise AssertionError(f"{code} was expected, but the call went through: {answer}")


def without_metadata(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def new_bucket(name, versioned=False):
    s3.create_bucket(Bucket=name)
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return {"Bucket": name}


def new_key():
    return kms.create_key()["KeyMetadata"]["Arn"]


def encrypt_by_default(here, key):
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]
    s3.put_bucket_encryption(**here, ServerSideEncryptionConfiguration={"Rules": rules})


def http(method, url, body=None, **headers):
    """Status, headers and body of a request that boto3 has no part in."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def noise(size, seed=1):
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


def buckets():
    here = new_bucket("operators")
    # Asking again changes nothing, in us-east-1.
    s3.create_bucket(**here)
    assert s3.head_bucket(**here)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(**here)["LocationConstraint"] is None
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["operators"]
    assert s3.list_buckets(Prefix="other")["Buckets"] == []

    # What every new bucket has had since April 2023.
    blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    block = s3.get_public_access_block(**here)["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(blocks, True), block
    ownership = s3.get_bucket_ownership_controls(**here)["OwnershipControls"]
    assert ownership == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}, ownership
    rule = s3.get_bucket_encryption(**here)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}, rule
    assert s3.put_object(**here, Key="plain", Body=b"")["ServerSideEncryption"] == "AES256"
    s3.delete_object(**here, Key="plain")

    assert "Status" not in s3.get_bucket_versioning(**here)
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(**here, VersioningConfiguration={"Status": status})
        assert s3.get_bucket_versioning(**here)["Status"] == status

    key = new_key()
    encrypt_by_default(here, key)
    rule = s3.get_bucket_encryption(**here)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}, rule
    assert rule["BucketKeyEnabled"] is True
    s3.delete_bucket_encryption(**here)
    rule = s3.get_bucket_encryption(**here)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}, rule

    s3.delete_public_access_block(**here)
    refused("NoSuchPublicAccessBlockConfiguration", 404, s3.get_public_access_block, **here)
    s3.put_public_access_block(**here, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    block = s3.get_public_access_block(**here)["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(blocks, False) | {"BlockPublicAcls": True}, block

    refused("NoSuchTagSet", 404, s3.get_bucket_tagging, **here)
    s3.put_bucket_tagging(**here, Tagging={"TagSet": [{"Key": "team", "Value": "ml & ops"}]})
    assert s3.get_bucket_tagging(**here)["TagSet"] == [{"Key": "team", "Value": "ml & ops"}]
    s3.delete_bucket_tagging(**here)
    refused("NoSuchTagSet", 404, s3.get_bucket_tagging, **here)

    refused("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, **here)
    rule = {
        "ID": "unfinished",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    s3.put_bucket_lifecycle_configuration(**here, LifecycleConfiguration={"Rules": [rule]})
    assert s3.get_bucket_lifecycle_configuration(**here)["Rules"] == [rule]
    s3.delete_bucket_lifecycle(**here)
    refused("NoSuchLifecycleConfiguration", 404, s3.get_bucket_lifecycle_configuration, **here)

    # What a console asks of every bucket.
    refused("NoSuchCORSConfiguration", 404, s3.get_bucket_cors, **here)
    refused("NoSuchWebsiteConfiguration", 404, s3.get_bucket_website, **here)
    refused("ReplicationConfigurationNotFoundError", 404, s3.get_bucket_replication, **here)
    refused("ObjectLockConfigurationNotFoundError", 404, s3.get_object_lock_configuration, **here)
    assert "LoggingEnabled" not in s3.get_bucket_logging(**here)
    assert without_metadata(s3.get_bucket_notification_configuration(**here)) == {}
    assert s3.get_bucket_request_payment(**here)["Payer"] == "BucketOwner"
    grants = s3.get_bucket_acl(**here)
    assert [grant["Permission"] for grant in grants["Grants"]] == ["FULL_CONTROL"]
    assert grants["Grants"][0]["Grantee"]["Type"] == "CanonicalUser"
    assert grants["Grants"][0]["Grantee"]["ID"] == grants["Owner"]["ID"]
    refused("AccessControlListNotSupported", 400, s3.put_bucket_acl, **here, ACL="public-read")

    s3.put_object(**here, Key="one", Body=b"1")
    refused("BucketNotEmpty", 409, s3.delete_bucket, **here)
    s3.delete_object(**here, Key="one", VersionId="null")
    s3.delete_bucket(**here)
    refused("404", 404, s3.head_bucket, **here)
    refused("NoSuchBucket", 404, s3.delete_bucket, **here)
    refused("InvalidBucketName", 400, s3.create_bucket, Bucket="Not.A_Bucket")


def policies():
    here = new_bucket("policies")
    arn = "arn:aws:s3:::policies"
    refused("NoSuchBucketPolicy", 404, s3.get_bucket_policy, **here)
    refused("NoSuchBucketPolicy", 404, s3.get_bucket_policy_status, **here)
    key = new_key()
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"{arn}/*"}
    algorithm = "s3:x-amz-server-side-encryption"
    text = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                deny | {"Sid": "Encrypted", "Condition": {"StringNotEquals": {algorithm: "aws:kms"}}},
                deny | {"Sid": "Key", "Condition": {"StringNotEquals": {f"{algorithm}-aws-kms-key-id": key}}},
                deny | {"Sid": "Tls", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            ],
        }
    )
    s3.put_bucket_policy(**here, Policy=text)
    assert json.loads(s3.get_bucket_policy(**here)["Policy"]) == json.loads(text)
    assert s3.get_bucket_policy_status(**here)["PolicyStatus"] == {"IsPublic": False}
    for headers in (
        {},
        {"ServerSideEncryption": "AES256"},
        {"ServerSideEncryption": "aws:kms"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": new_key()},
    ):
        refused("AccessDenied", 403, s3.put_object, **here, Key="refused", Body=b"1", **headers)
        refused("AccessDenied", 403, s3.create_multipart_upload, **here, Key="refused", **headers)
    s3.put_object(**here, Key="accepted", Body=b"1", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    assert [entry["Key"] for entry in s3.list_objects_v2(**here)["Contents"]] == ["accepted"]
    s3.delete_bucket_policy(**here)
    refused("NoSuchBucketPolicy", 404, s3.get_bucket_policy, **here)
    s3.put_object(**here, Key="open", Body=b"for all")

    for broken in (
        "not JSON",
        json.dumps({"Version": "2012-10-17", "Statement": [deny | {"Resource": "arn:aws:s3:::another/*"}]}),
        json.dumps({"Version": "2012-10-17", "Statement": [deny | {"Action": "s3:NoSuchAction"}]}),
    ):
        refused("MalformedPolicy", 400, s3.put_bucket_policy, **here, Policy=broken)

    # Public, once nothing blocks it.
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{arn}/open"}
    public = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    url = f"{s3.meta.endpoint_url}/policies"
    refused("AccessDenied", 403, s3.put_bucket_policy, **here, Policy=public)
    s3.put_public_access_block(**here, PublicAccessBlockConfiguration={"BlockPublicPolicy": False})
    assert http("GET", f"{url}/open")[0] == 403
    s3.put_bucket_policy(**here, Policy=public)
    assert s3.get_bucket_policy_status(**here)["PolicyStatus"] == {"IsPublic": True}
    status, _, body = http("GET", f"{url}/open")
    assert (status, body) == (200, b"for all")
    for method, path in (("GET", "/accepted"), ("GET", ""), ("PUT", "/open"), ("DELETE", "/open")):
        assert http(method, url + path, body=b"" if method == "PUT" else None)[0] == 403, (method, path)
    s3.put_public_access_block(**here, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert http("GET", f"{url}/open")[0] == 403
    assert s3.get_object(**here, Key="open")["Body"].read() == b"for all"


def objects():
    key, other = new_key(), new_key()
    here = new_bucket("objects", versioned=True)
    encrypt_by_default(here, key)
    name = "dir/naïve file+%20&#?=~(1)*'.bin"
    body = noise(100_000)
    put = s3.put_object(
        **here,
        Key=name,
        Body=body,
        ContentType="application/x-weights",
        CacheControl="max-age=60",
        ContentDisposition='attachment; filename="w.bin"',
        ContentLanguage="en",
        Metadata={"framework": "torch", "note": "a b"},
        Tagging="stage=test&owner=a%20b",
    )
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"], put["BucketKeyEnabled"]) == ("aws:kms", key, True)
    version = put["VersionId"]

    for answer in (s3.get_object(**here, Key=name), s3.head_object(**here, Key=name)):
        assert answer["ContentLength"] == len(body) and answer["ETag"] == put["ETag"]
        assert answer["ContentType"] == "application/x-weights" and answer["CacheControl"] == "max-age=60"
        assert answer["ContentDisposition"] == 'attachment; filename="w.bin"' and answer["ContentLanguage"] == "en"
        assert answer["Metadata"] == {"framework": "torch", "note": "a b"}
        assert answer["VersionId"] == version and answer["SSEKMSKeyId"] == key and answer["AcceptRanges"] == "bytes"
        assert answer["TagCount"] == 2 if "Body" in answer else True
    assert s3.get_object(**here, Key=name)["Body"].read() == body

    # Under SSE-KMS an ETag is not an MD5, and clients may not take it for one.
    assert put["ETag"].strip('"') != hashlib.md5(body).hexdigest()

    for wanted, first, last in (("bytes=10-19", 10, 19), ("bytes=99990-", 99990, 99999), ("bytes=-7", 99993, 99999)):
        part = s3.get_object(**here, Key=name, Range=wanted)
        assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert part["ContentRange"] == f"bytes {first}-{last}/100000", part["ContentRange"]
        assert part["Body"].read() == body[first : last + 1]
    assert s3.get_object(**here, Key=name, Range="bytes=99999-200000")["Body"].read() == body[-1:]
    refused("InvalidRange", 416, s3.get_object, **here, Key=name, Range="bytes=100000-")
    assert s3.head_object(**here, Key=name, Range="bytes=0-0")["ContentLength"] == 1

    assert s3.get_object(**here, Key=name, IfMatch=put["ETag"])["ResponseMetadata"]["HTTPStatusCode"] == 200
    refused("PreconditionFailed", 412, s3.get_object, **here, Key=name, IfMatch='"no"')
    refused("304", 304, s3.get_object, **here, Key=name, IfNoneMatch=put["ETag"])
    refused("PreconditionFailed", 412, s3.put_object, **here, Key=name, Body=b"", IfNoneMatch="*")
    refused("PreconditionFailed", 412, s3.put_object, **here, Key=name, Body=b"", IfMatch='"no"')
    refused("NoSuchKey", 404, s3.put_object, **here, Key="absent", Body=b"", IfMatch='"no"')

    tags = s3.get_object_tagging(**here, Key=name)
    assert tags["VersionId"] == version
    assert sorted((tag["Key"], tag["Value"]) for tag in tags["TagSet"]) == [("owner", "a b"), ("stage", "test")]
    s3.put_object_tagging(**here, Key=name, Tagging={"TagSet": [{"Key": "k", "Value": ""}]})
    assert s3.get_object_tagging(**here, Key=name)["TagSet"] == [{"Key": "k", "Value": ""}]
    s3.delete_object_tagging(**here, Key=name)
    assert s3.get_object_tagging(**here, Key=name)["TagSet"] == []
    twice = {"TagSet": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]}
    refused("InvalidTag", 400, s3.put_object_tagging, **here, Key=name, Tagging=twice)

    source = here | {"Key": name}
    copied = s3.copy_object(**here, Key="copy", CopySource=source)
    assert copied["CopySourceVersionId"] == version and copied["SSEKMSKeyId"] == key
    head = s3.head_object(**here, Key="copy")
    assert head["Metadata"] == {"framework": "torch", "note": "a b"} and head["VersionId"] == copied["VersionId"]
    replaced = s3.copy_object(
        **here,
        Key="replaced",
        CopySource=source | {"VersionId": version},
        MetadataDirective="REPLACE",
        Metadata={"new": "1"},
        TaggingDirective="REPLACE",
        Tagging="copied=yes",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=other,
        ChecksumAlgorithm="SHA256",
    )
    assert replaced["SSEKMSKeyId"] == other
    assert replaced["CopyObjectResult"]["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    head = s3.head_object(**here, Key="replaced")
    assert head["Metadata"] == {"new": "1"} and head["ContentType"] == "binary/octet-stream"
    assert s3.get_object_tagging(**here, Key="replaced")["TagSet"] == [{"Key": "copied", "Value": "yes"}]
    assert s3.get_object(**here, Key="replaced")["Body"].read() == body
    refused("InvalidRequest", 400, s3.copy_object, **source, CopySource=source)
    refused("NoSuchKey", 404, s3.copy_object, **here, Key="c", CopySource=here | {"Key": "absent"})

    # A key that is switched off protects what it encrypted.
    kms.disable_key(KeyId=other)
    refused("KMS.DisabledException", 400, s3.get_object, **here, Key="replaced")
    kms.enable_key(KeyId=other)
    absent = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000"
    kms_headers = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": absent}
    refused("KMS.NotFoundException", 400, s3.put_object, **here, Key="x", Body=b"", **kms_headers)

    attributes = s3.get_object_attributes(
        **here, Key=name, ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    )
    assert attributes["ObjectSize"] == len(body) and attributes["ETag"] == put["ETag"].strip('"')
    assert attributes["StorageClass"] == "STANDARD" and "ObjectParts" not in attributes
    assert attributes["Checksum"] == {"ChecksumCRC32": put["ChecksumCRC32"], "ChecksumType": "FULL_OBJECT"}


def presigned():
    key = new_key()
    here = new_bucket("presigned", versioned=True)
    encrypt_by_default(here, key)
    # Without a word about it, boto3 signs URLs for us-east-1 as it did before 2014.
    signer = boto3.client("s3", config=Config(signature_version="s3v4"))

    def sign(operation, expires=60, **arguments):
        parameters = here | {"Key": "a b+ü.bin"} | arguments
        return signer.generate_presigned_url(operation, Params=parameters, ExpiresIn=expires)

    put = sign("put_object", ContentType="text/x-test")
    assert http("PUT", put, b"first", **{"Content-Type": "application/json"})[0] == 403
    status, headers, _ = http("PUT", put, b"first", **{"Content-Type": "text/x-test"})
    assert status == 200 and headers["x-amz-server-side-encryption-aws-kms-key-id"] == key
    first = headers["x-amz-version-id"]
    assert http("PUT", sign("put_object"), b"second", **{"Content-Type": "text/plain"})[0] == 200

    assert http("GET", sign("get_object"))[2] == b"second"
    assert http("GET", sign("get_object", VersionId=first))[2] == b"first"
    status, headers, body = http("GET", sign("get_object"), Range="bytes=1-3")
    assert (status, headers["content-range"], body) == (206, "bytes 1-3/6", b"eco")
    named = 'attachment; filename="x.bin"'
    status, headers, _ = http("GET", sign("get_object", ResponseContentDisposition=named))
    assert headers["content-disposition"] == named
    status, headers, body = http("HEAD", sign("head_object"))
    assert (status, headers["content-length"], body) == (200, "6", b"")

    forged = sign("get_object")
    forged = forged[:-1] + ("0" if forged[-1] != "0" else "1")
    assert http("GET", forged)[0] == 403
    assert http("GET", sign("get_object").replace("a%20b", "a%20c"))[0] == 403
    assert http("PUT", sign("get_object"), b"x")[0] == 403
    status, _, body = http("GET", sign("get_object", expires=604801))
    assert status == 400 and b"AuthorizationQueryParametersError" in body, (status, body)

    # As browsers and upload tools do: one part of a multipart upload through a URL.
    upload = s3.create_multipart_upload(**here, Key="parts")["UploadId"]
    url = sign("upload_part", Key="parts", UploadId=upload, PartNumber=1)
    status, headers, _ = http("PUT", url, b"part", **{"Content-Type": "application/octet-stream"})
    assert status == 200
    parts = [{"PartNumber": 1, "ETag": headers["etag"]}]
    s3.complete_multipart_upload(**here, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(**here, Key="parts")["Body"].read() == b"part"


def crc(data, polynomial, bits):
    """A reflected CRC with all bits set at both ends, bit by bit: boto3 itself has only CRC-32."""
    ones = (1 << bits) - 1
    value = ones
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
    return (value ^ ones).to_bytes(bits // 8, "big")


CHECKSUMS = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: crc(data, 0x82F63B78, 32),
    "CRC64NVME": lambda data: crc(data, 0x9A6C9329AC4BC9B5, 64),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}


def checksums():
    here = new_bucket("checksums")
    body = noise(3000)
    for algorithm, digest in CHECKSUMS.items():
        field = f"Checksum{algorithm}"
        value = base64.b64encode(digest(body)).decode()
        wrong = base64.b64encode(digest(body + b"x")).decode()
        put = s3.put_object(**here, Key=algorithm, Body=body, **{field: value})
        assert put[field] == value and put["ChecksumType"] == "FULL_OBJECT", put
        head = s3.head_object(**here, Key=algorithm, ChecksumMode="ENABLED")
        assert head[field] == value and head["ChecksumType"] == "FULL_OBJECT", head
        assert field not in s3.head_object(**here, Key=algorithm)
        attributes = s3.get_object_attributes(**here, Key=algorithm, ObjectAttributes=["Checksum"])
        assert attributes["Checksum"] == {field: value, "ChecksumType": "FULL_OBJECT"}, attributes
        refused("BadDigest", 400, s3.put_object, **here, Key="wrong", Body=body, **{field: wrong})
        refused("InvalidRequest", 400, s3.put_object, **here, Key="wrong", Body=body, **{field: "AAAA"})
        copied = s3.copy_object(**here, Key="copy", CopySource=here | {"Key": algorithm})
        assert copied["CopyObjectResult"][field] == value, copied
        copied = s3.copy_object(
            **here, Key="copy", CopySource=here | {"Key": "CRC32"}, ChecksumAlgorithm=algorithm
        )
        assert copied["CopyObjectResult"][field] == value, copied
    listed = {entry["Key"]: entry["ChecksumAlgorithm"] for entry in s3.list_objects_v2(**here)["Contents"]}
    del listed["copy"]
    assert listed == {algorithm: [algorithm] for algorithm in CHECKSUMS}, listed

    # Computed by boto3 while it sends, and checked by it while it reads.
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        s3.put_object(**here, Key="sent", Body=body, ChecksumAlgorithm=algorithm)
        got = s3.get_object(**here, Key="sent", ChecksumMode="ENABLED")
        assert got[f"Checksum{algorithm}"] == base64.b64encode(CHECKSUMS[algorithm](body)).decode()
        assert got["Body"].read() == body

    # An old client sends none, and S3 keeps its own.
    old = boto3.client("s3", config=Config(request_checksum_calculation="when_required"))
    old.put_object(**here, Key="none", Body=body)
    head = s3.head_object(**here, Key="none", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == base64.b64encode(CHECKSUMS["CRC64NVME"](body)).decode()

    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    plain = old.put_object(**here, Key="md5", Body=body, ContentMD5=md5)
    assert plain["ETag"].strip('"') == hashlib.md5(body).hexdigest()
    refused("BadDigest", 400, old.put_object, **here, Key="wrong", Body=body + b"x", ContentMD5=md5)
    refused("InvalidDigest", 400, old.put_object, **here, Key="wrong", Body=body, ContentMD5="AAAA")
    refused("404", 404, s3.head_object, **here, Key="wrong")


def multipart():
    key = new_key()
    here = new_bucket("multipart", versioned=True)
    encrypt_by_default(here, key)
    other = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": new_key()}
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "weights")
        body = noise(17 * MIB)
        with open(path, "wb") as file:
            file.write(body)
        for name, extra, expected in (("default", {}, key), ("own", other, other["SSEKMSKeyId"])):
            s3.upload_file(path, here["Bucket"], name, ExtraArgs=extra)
            head = s3.head_object(**here, Key=name)
            assert head["ContentLength"] == len(body) and head["ETag"].endswith('-3"'), head
            assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", expected)
            first = s3.head_object(**here, Key=name, PartNumber=1)
            assert first["PartsCount"] == 3 and first["ContentLength"] == 8 * MIB, first
            last = s3.get_object(**here, Key=name, PartNumber=3)
            assert last["ContentRange"] == f"bytes {16 * MIB}-{17 * MIB - 1}/{17 * MIB}", last
            assert last["Body"].read() == body[16 * MIB :]
            back = os.path.join(directory, "back")
            s3.download_file(here["Bucket"], name, back)
            with open(back, "rb") as file:
                assert file.read() == body
        # A copy in parts, ranges of the source.
        small = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
        s3.copy(here | {"Key": "default"}, here["Bucket"], "copied", Config=small)
        assert s3.get_object(**here, Key="copied")["Body"].read() == body
        stream = io.BytesIO()
        s3.download_fileobj(here["Bucket"], "copied", stream)
        assert stream.getvalue() == body

    half = noise(5 * MIB, seed=2)
    for algorithm in ("SHA256", "CRC32"):
        one = {"Key": f"by hand {algorithm}", "UploadId": None}
        begun = s3.create_multipart_upload(**here, Key=one["Key"], ChecksumAlgorithm=algorithm, Metadata={"a": "b"})
        assert begun["ChecksumAlgorithm"] == algorithm and begun["ChecksumType"] == "COMPOSITE", begun
        assert begun["SSEKMSKeyId"] == key
        one["UploadId"] = begun["UploadId"]
        field, digest = f"Checksum{algorithm}", CHECKSUMS[algorithm]
        chunks, done = [half, half, b"end"], []
        for number, chunk in enumerate(chunks, 1):
            part = s3.upload_part(**here, **one, PartNumber=number, Body=chunk, ChecksumAlgorithm=algorithm)
            assert part[field] == base64.b64encode(digest(chunk)).decode()
            done.append({"PartNumber": number, "ETag": part["ETag"], field: part[field]})
        page = s3.list_parts(**here, **one, MaxParts=2)
        assert page["IsTruncated"] and page["NextPartNumberMarker"] == 2 and page["ChecksumAlgorithm"] == algorithm
        assert [part[field] for part in page["Parts"]] == [part[field] for part in done[:2]]
        rest = s3.list_parts(**here, **one, PartNumberMarker=2)
        assert not rest["IsTruncated"] and [part["Size"] for part in rest["Parts"]] == [3]
        listed = s3.list_multipart_uploads(**here)["Uploads"]
        assert [(upload["Key"], upload["UploadId"]) for upload in listed] == [(one["Key"], one["UploadId"])]

        complete = s3.complete_multipart_upload
        refused("InvalidPartOrder", 400, complete, **here, **one, MultipartUpload={"Parts": done[::-1]})
        unknown = [*done[:2], {"PartNumber": 7, "ETag": done[0]["ETag"], field: done[0][field]}]
        refused("InvalidPart", 400, complete, **here, **one, MultipartUpload={"Parts": unknown})
        swapped = [done[0], done[2] | {"PartNumber": 2}]
        refused("InvalidPart", 400, complete, **here, **one, MultipartUpload={"Parts": swapped})
        small_first = s3.upload_part(**here, **one, PartNumber=1, Body=b"small", ChecksumAlgorithm=algorithm)
        small_first = {"PartNumber": 1, "ETag": small_first["ETag"], field: small_first[field]}
        refused("EntityTooSmall", 400, complete, **here, **one, MultipartUpload={"Parts": [small_first, *done[1:]]})
        # Under SSE-KMS the same bytes have another ETag each time.
        part = s3.upload_part(**here, **one, PartNumber=1, Body=half, ChecksumAlgorithm=algorithm)
        assert part["ETag"] != done[0]["ETag"]
        done[0]["ETag"] = part["ETag"]
        completed = complete(**here, **one, MultipartUpload={"Parts": done})
        composite = base64.b64encode(digest(b"".join(map(digest, chunks)))).decode()
        assert completed[field] == f"{composite}-3" and completed["ChecksumType"] == "COMPOSITE", completed
        assert completed["SSEKMSKeyId"] == key and completed["VersionId"]
        wanted = ["Checksum", "ObjectParts", "ObjectSize"]
        attributes = s3.get_object_attributes(**here, Key=one["Key"], ObjectAttributes=wanted, MaxParts=2)
        assert attributes["Checksum"] == {field: composite, "ChecksumType": "COMPOSITE"}, attributes
        parts = attributes["ObjectParts"]
        assert parts["TotalPartsCount"] == 3 and parts["IsTruncated"] and len(parts["Parts"]) == 2, parts
        assert parts["Parts"][0] == {"PartNumber": 1, "Size": 5 * MIB, field: done[0][field]}, parts
        assert s3.head_object(**here, Key=one["Key"])["Metadata"] == {"a": "b"}

    # A checksum of the whole, as clients with CRC64NVME send it.
    value = base64.b64encode(zlib.crc32(half + b"x").to_bytes(4, "big")).decode()
    begun = s3.create_multipart_upload(**here, Key="whole", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    one = {"Key": "whole", "UploadId": begun["UploadId"]}
    done = [
        {"PartNumber": number, "ETag": s3.upload_part(**here, **one, PartNumber=number, Body=chunk)["ETag"]}
        for number, chunk in enumerate((half, b"x"), 1)
    ]
    whole = {"MultipartUpload": {"Parts": done}, "ChecksumType": "FULL_OBJECT"}
    refused("BadDigest", 400, s3.complete_multipart_upload, **here, **one, **whole, ChecksumCRC32="AAAAAA==")
    completed = s3.complete_multipart_upload(**here, **one, **whole, ChecksumCRC32=value, IfNoneMatch="*")
    assert completed["ChecksumCRC32"] == value and completed["ChecksumType"] == "FULL_OBJECT", completed

    one = {"Key": "aborted", "UploadId": s3.create_multipart_upload(**here, Key="aborted")["UploadId"]}
    s3.upload_part(**here, **one, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(**here, **one)
    refused("NoSuchUpload", 404, s3.list_parts, **here, **one)
    refused("NoSuchUpload", 404, s3.upload_part, **here, **one, PartNumber=1, Body=b"x")
    refused("404", 404, s3.head_object, **here, Key="aborted")

    ids = [s3.create_multipart_upload(**here, Key=name)["UploadId"] for name in ("u/1", "u/1", "u/2", "v")]
    pages = s3.get_paginator("list_multipart_uploads").paginate(**here, PaginationConfig={"PageSize": 2})
    assert [upload["UploadId"] for page in pages for upload in page["Uploads"]] == ids
    folded = s3.list_multipart_uploads(**here, Delimiter="/")
    assert folded["CommonPrefixes"] == [{"Prefix": "u/"}] and [u["Key"] for u in folded["Uploads"]] == ["v"]


def lists():
    here = new_bucket("lists", versioned=True)
    assert "Contents" not in s3.list_objects_v2(**here) and s3.list_objects_v2(**here)["KeyCount"] == 0
    names = ["a", "a b/1", "a+b/1", "dir/1", "dir/2", "dir/sub/3", "tail &<>\"'%", "ünïcode/✓", "z\r\n\t"]
    for name in names:
        s3.put_object(**here, Key=name, Body=name.encode())
    names.sort(key=str.encode)

    for operation in ("list_objects_v2", "list_objects"):
        pages = list(s3.get_paginator(operation).paginate(**here, PaginationConfig={"PageSize": 2}))
        assert [entry["Key"] for page in pages for entry in page["Contents"]] == names, operation
        assert [len(page["Contents"]) for page in pages] == [2, 2, 2, 2, 1], operation
        entry = pages[0]["Contents"][0]
        assert entry["Size"] == 1 and entry["StorageClass"] == "STANDARD" and entry["ETag"], entry
        assert ("Owner" in entry) == (operation == "list_objects")

        pages = s3.get_paginator(operation).paginate(**here, Delimiter="/", PaginationConfig={"PageSize": 2})
        keys, prefixes = [], []
        for page in pages:
            keys += [entry["Key"] for entry in page.get("Contents", [])]
            prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        assert keys == [name for name in names if "/" not in name], keys
        assert prefixes == ["a b/", "a+b/", "dir/", "ünïcode/"], prefixes
        below = getattr(s3, operation)(**here, Prefix="dir/", Delimiter="/")
        assert [entry["Key"] for entry in below["Contents"]] == ["dir/1", "dir/2"]
        assert below["CommonPrefixes"] == [{"Prefix": "dir/sub/"}] and below["Prefix"] == "dir/"
    after = s3.list_objects_v2(**here, StartAfter="dir/1", MaxKeys=1, FetchOwner=True)
    assert after["Contents"][0]["Key"] == "dir/2" and after["Contents"][0]["Owner"]["ID"]
    assert (after["KeyCount"], after["MaxKeys"], after["StartAfter"]) == (1, 1, "dir/1")
    assert s3.list_objects_v2(**here, MaxKeys=0)["IsTruncated"] is False
    assert s3.list_objects(**here, Marker="dir/2")["Contents"][0]["Key"] == "dir/sub/3"
    refused("InvalidArgument", 400, s3.list_objects_v2, **here, ContinuationToken="not one")

    second = s3.put_object(**here, Key="a", Body=b"again")["VersionId"]
    gone = s3.delete_object(**here, Key="dir/1")
    assert gone["DeleteMarker"] is True and gone["VersionId"]
    refused("NoSuchKey", 404, s3.get_object, **here, Key="dir/1")
    marker = refused("404", 404, s3.head_object, **here, Key="dir/1")
    assert marker["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    refused("MethodNotAllowed", 405, s3.get_object, **here, Key="dir/1", VersionId=gone["VersionId"])
    pages = list(s3.get_paginator("list_object_versions").paginate(**here, PaginationConfig={"PageSize": 2}))
    versions = [version for page in pages for version in page.get("Versions", [])]
    markers = [marker for page in pages for marker in page.get("DeleteMarkers", [])]
    assert sorted([version["Key"] for version in versions], key=str.encode) == ["a", *names]
    assert [version["IsLatest"] for version in versions if version["Key"] == "a"] == [True, False]
    assert versions[0]["VersionId"] == second and versions[0]["Size"] == 5
    assert [(entry["Key"], entry["VersionId"], entry["IsLatest"]) for entry in markers] == [
        ("dir/1", gone["VersionId"], True)
    ]
    assert all(len(page.get("Versions", [])) + len(page.get("DeleteMarkers", [])) <= 2 for page in pages)
    folded = s3.list_object_versions(**here, Delimiter="/", Prefix="d")
    assert folded["CommonPrefixes"] == [{"Prefix": "dir/"}] and "Versions" not in folded
    refused("InvalidArgument", 400, s3.list_object_versions, **here, VersionIdMarker=second)

    removed = s3.delete_object(**here, Key="dir/1", VersionId=gone["VersionId"])
    assert removed["DeleteMarker"] is True and removed["VersionId"] == gone["VersionId"]
    assert s3.get_object(**here, Key="dir/1")["Body"].read() == b"dir/1"
    removed = s3.delete_object(**here, Key="a", VersionId=second)
    assert "DeleteMarker" not in removed and removed["VersionId"] == second
    assert s3.get_object(**here, Key="a")["Body"].read() == b"a"
    refused("NoSuchVersion", 404, s3.get_object, **here, Key="a", VersionId=second)
    refused("InvalidArgument", 400, s3.get_object, **here, Key="a", VersionId="not one")

    listed = [{"Key": name} for name in names] + [{"Key": "never was"}]
    deleted = s3.delete_objects(**here, Delete={"Objects": listed})
    assert [entry["Key"] for entry in deleted["Deleted"]] == [entry["Key"] for entry in listed], deleted
    assert all(entry["DeleteMarker"] and entry["DeleteMarkerVersionId"] for entry in deleted["Deleted"])
    assert "Contents" not in s3.list_objects_v2(**here)
    pages = s3.get_paginator("list_object_versions").paginate(**here)
    everything = [
        {"Key": entry["Key"], "VersionId": entry["VersionId"]}
        for page in pages
        for entry in page.get("Versions", []) + page.get("DeleteMarkers", [])
    ]
    assert len(everything) == 2 * len(names) + 1
    quiet = s3.delete_objects(**here, Delete={"Objects": everything, "Quiet": True})
    assert "Deleted" not in quiet and "Errors" not in quiet, quiet
    s3.delete_bucket(**here)


def errors():
    here = new_bucket("errors")
    refused("NoSuchKey", 404, s3.get_object, **here, Key="absent")
    refused("404", 404, s3.head_object, **here, Key="absent")
    assert s3.delete_object(**here, Key="absent")["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused("NoSuchBucket", 404, s3.list_objects_v2, Bucket="no-such-bucket")
    refused("NoSuchBucket", 404, s3.put_object, Bucket="no-such-bucket", Key="k", Body=b"")
    refused("NoSuchBucket", 404, s3.get_object, Bucket="no-such-bucket", Key="k")
    refused("404", 404, s3.head_bucket, Bucket="no-such-bucket")
    refused("KeyTooLongError", 400, s3.put_object, **here, Key="k" * 1025, Body=b"")
    s3.put_object(**here, Key="k" * 1024, Body=b"")
    refused("MetadataTooLarge", 400, s3.put_object, **here, Key="k", Body=b"", Metadata={"m": "x" * 2049})
    refused("NoSuchUpload", 404, s3.abort_multipart_upload, **here, Key="k", UploadId="no-such-upload")
    refused("AccessControlListNotSupported", 400, s3.put_object, **here, Key="k", Body=b"", ACL="public-read")
    refused("AccessDenied", 403, s3.list_objects_v2, **here, ExpectedBucketOwner="111111111111")
    refused("NotImplemented", 501, s3.get_object_torrent, **here, Key="k")
    refused("InvalidEncryptionAlgorithmError", 400, s3.put_object, **here, Key="k", ServerSideEncryption="rot13")
    refused("InvalidArgument", 400, s3.put_object, **here, Key="k", SSEKMSKeyId="alias/key")

    one_try = {"retries": {"max_attempts": 0}}
    wrong = boto3.client("s3", aws_secret_access_key="wrong", config=Config(**one_try), **credentials("AccessKey"))
    answer = refused("SignatureDoesNotMatch", 403, wrong.list_objects_v2, **here)
    assert "does not match the signature you provided" in answer["Error"]["Message"], answer
    refused("SignatureDoesNotMatch", 403, wrong.put_object, **here, Key="k", Body=b"x")
    unknown = boto3.client("s3", aws_access_key_id="AKIANOBODY", aws_secret_access_key="x", config=Config(**one_try))
    answer = refused("InvalidAccessKeyId", 403, unknown.list_objects_v2, **here)
    assert "does not exist in our records" in answer["Error"]["Message"], answer
    answer = refused("NoSuchKey", 404, s3.get_object, **here, Key="absent")
    assert answer["ResponseMetadata"]["RequestId"], answer
    token = boto3.client("s3", aws_session_token="x", config=Config(**one_try), **credentials("AccessKey", "SecretKey"))
    refused("InvalidToken", 400, token.list_objects_v2, **here)
    elsewhere = boto3.client("s3", region_name="eu-west-1", config=Config(**one_try))
    refused("AuthorizationHeaderMalformed", 400, elsewhere.list_objects_v2, **here)
    status, _, body = http("GET", f"{s3.meta.endpoint_url}/errors/absent")
    assert status == 403 and b"<Code>AccessDenied</Code>" in body, (status, body)


def elsewhere():
    """Another region than us-east-1 wants to be named, and says whose a bucket is."""
    region = s3.meta.region_name
    assert region == "eu-central-1"
    refused("IllegalLocationConstraintException", 400, s3.create_bucket, Bucket="here")
    constraint = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket="here", **constraint)
    refused("BucketAlreadyOwnedByYou", 409, s3.create_bucket, Bucket="here", **constraint)
    assert s3.get_bucket_location(Bucket="here")["LocationConstraint"] == region
    assert s3.head_bucket(Bucket="here")["BucketRegion"] == region
    assert new_key().startswith(f"arn:aws:kms:{region}:")
    default = boto3.client("s3", region_name="us-east-1", config=Config(retries={"max_attempts": 0}))
    answer = refused("AuthorizationHeaderMalformed", 400, default.list_buckets)
    assert region in answer["Error"]["Message"], answer


def credentials(*names):
    found = boto3.Session().get_credentials().get_frozen_credentials()
    pairs = {"AccessKey": ("aws_access_key_id", found.access_key), "SecretKey": ("aws_secret_access_key", found.secret_key)}
    return dict(pairs[name] for name in names)


SUBJECTS = (buckets, policies, objects, presigned, checksums, multipart, lists, errors, elsewhere)

{subject.__name__: subject for subject in SUBJECTS}[sys.argv[1]]()
