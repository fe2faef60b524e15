"""Uses the embedded KMS as boto3's users do; every assertion states what AWS does.

Endpoint and credentials come from the usual AWS variables.
"""

import datetime
import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# The limits are KMS's own to hold.
kms = boto3.client("kms", config=Config(parameter_validation=False))


def refused(code, call, **arguments):
    """Demands that a call fails with status 400 and this code."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        seen = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert seen == (code, 400), f"{seen} instead of {code}: {error}"
        return
    raise AssertionError(f"{code} was expected, but the call went through: {answer}")


def days_from_now(date):
    return round((date - datetime.datetime.now(datetime.timezone.utc)) / datetime.timedelta(days=1))


made = kms.create_key(Description="of the models", Tags=[{"TagKey": "team", "TagValue": "ml"}])["KeyMetadata"]
key, arn = made["KeyId"], made["Arn"]
assert arn == f"arn:aws:kms:us-east-1:000000000000:key/{key}", made
assert days_from_now(made["CreationDate"]) == 0
described = kms.describe_key(KeyId=arn)["KeyMetadata"]
assert described == made, (described, made)
expected = {
    "Enabled": True,
    "Description": "of the models",
    "KeyUsage": "ENCRYPT_DECRYPT",
    "KeyState": "Enabled",
    "Origin": "AWS_KMS",
    "KeyManager": "CUSTOMER",
    "KeySpec": "SYMMETRIC_DEFAULT",
    "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
    "MultiRegion": False,
}
assert {name: made[name] for name in expected} == expected, made
assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "team", "TagValue": "ml"}]
kms.tag_resource(KeyId=key, Tags=[{"TagKey": "stage", "TagValue": ""}])
kms.untag_resource(KeyId=key, TagKeys=["team"])
assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "stage", "TagValue": ""}]
kms.update_key_description(KeyId=key, Description="of all models")
assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "of all models"

# Names: id, ARN, alias, ARN of the alias.
alias = "alias/models/main"
kms.create_alias(AliasName=alias, TargetKeyId=key)
refused("AlreadyExistsException", kms.create_alias, AliasName=alias, TargetKeyId=key)
refused("ValidationException", kms.create_alias, AliasName="models", TargetKeyId=key)
listed = kms.list_aliases(KeyId=key)["Aliases"]
assert [(entry["AliasName"], entry["TargetKeyId"]) for entry in listed] == [(alias, key)], listed
for name in (key, arn, alias, listed[0]["AliasArn"]):
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"] == arn
    assert kms.generate_data_key(KeyId=name, KeySpec="AES_256")["KeyId"] == arn
second = kms.create_key()["KeyMetadata"]["KeyId"]
kms.update_alias(AliasName=alias, TargetKeyId=second)
assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == second
kms.delete_alias(AliasName=alias)
refused("NotFoundException", kms.describe_key, KeyId=alias)
refused("NotFoundException", kms.delete_alias, AliasName=alias)
refused("NotFoundException", kms.describe_key, KeyId="00000000-0000-0000-0000-000000000000")

assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
status = kms.get_key_rotation_status(KeyId=key)
assert status["KeyRotationEnabled"] is True and status["RotationPeriodInDays"] == 90, status
assert days_from_now(status["NextRotationDate"]) == 90, status
refused("ValidationException", kms.enable_key_rotation, KeyId=key, RotationPeriodInDays=89)
kms.disable_key_rotation(KeyId=key)
assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False

context = {"purpose": "test", "ünï": "cödé"}
sealed = kms.encrypt(KeyId=key, Plaintext=b"secret \x00\xff", EncryptionContext=context)
assert sealed["KeyId"] == arn and sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
blob = sealed["CiphertextBlob"]
opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
assert (opened["Plaintext"], opened["KeyId"]) == (b"secret \x00\xff", arn)
assert kms.encrypt(KeyId=key, Plaintext=b"x" * 4096)["CiphertextBlob"]
refused("ValidationException", kms.encrypt, KeyId=key, Plaintext=b"x" * 4097)
refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob)
refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob, EncryptionContext={"purpose": "other"})
refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=b"no blob", EncryptionContext=context)
refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=second)

data_key = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)
assert len(data_key["Plaintext"]) == 32
back = kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"], EncryptionContext=context)
assert back["Plaintext"] == data_key["Plaintext"]
assert len(kms.generate_data_key(KeyId=key, NumberOfBytes=64)["Plaintext"]) == 64
wrapped = kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_128")
assert "Plaintext" not in wrapped
assert len(kms.decrypt(CiphertextBlob=wrapped["CiphertextBlob"])["Plaintext"]) == 16

policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
assert policy["Statement"][0]["Principal"] == {"AWS": "arn:aws:iam::000000000000:root"}, policy
assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]
kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key, PolicyName="default", Policy="{}")

kms.disable_key(KeyId=key)
assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
refused("DisabledException", kms.encrypt, KeyId=key, Plaintext=b"x")
refused("DisabledException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context)
kms.enable_key(KeyId=key)
assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"secret \x00\xff"

refused("ValidationException", kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=6)
scheduled = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
assert scheduled["KeyState"] == "PendingDeletion" and days_from_now(scheduled["DeletionDate"]) == 7, scheduled
metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
assert metadata["KeyState"] == "PendingDeletion" and metadata["DeletionDate"] == scheduled["DeletionDate"]
refused("KMSInvalidStateException", kms.generate_data_key, KeyId=key, KeySpec="AES_256")
refused("KMSInvalidStateException", kms.enable_key, KeyId=key)
assert kms.cancel_key_deletion(KeyId=key)["KeyId"] == arn
assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
kms.enable_key(KeyId=key)
assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["KeyId"] == arn

created = {key, second} | {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5)}
page = kms.list_keys(Limit=2)
assert len(page["Keys"]) == 2 and page["Truncated"] is True and page["NextMarker"], page
pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}))
assert {entry["KeyId"] for page in pages for entry in page["Keys"]} >= created and len(pages) >= 4
names = [f"alias/page-{number}" for number in range(5)]
for name in names:
    kms.create_alias(AliasName=name, TargetKeyId=second)
pages = kms.get_paginator("list_aliases").paginate(KeyId=second, PaginationConfig={"PageSize": 2})
assert [entry["AliasName"] for page in pages for entry in page["Aliases"]] == names

refused("UnsupportedOperationException", kms.create_key, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
one_try = Config(retries={"max_attempts": 0})
wrong = boto3.client("kms", aws_access_key_id="AKIANOBODY", aws_secret_access_key="wrong", config=one_try)
refused("UnrecognizedClientException", wrong.list_keys)
access_key = boto3.Session().get_credentials().access_key
wrong = boto3.client("kms", aws_access_key_id=access_key, aws_secret_access_key="wrong", config=one_try)
refused("InvalidSignatureException", wrong.list_keys)
