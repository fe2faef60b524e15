"""Reads an exported desired state from standard input, with parsers that others wrote, and prints it as plain JSON.

usage: exported_state.py terraform|pulumi

Both come out alike: resources by Terraform's type, arguments in Terraform's spelling, a policy as its JSON text, blocks
as lists of objects. References stay in the text as they were written.
"""

import json
import re
import sys

import hcl2
import yaml
from hcl2.utils import SerializationOptions

TERRAFORM_TYPES = {
    "aws:kms:Key": "aws_kms_key",
    "aws:kms:Alias": "aws_kms_alias",
    "aws:s3:Bucket": "aws_s3_bucket",
    "aws:s3:BucketPublicAccessBlock": "aws_s3_bucket_public_access_block",
    "aws:s3:BucketOwnershipControls": "aws_s3_bucket_ownership_controls",
    "aws:s3:BucketServerSideEncryptionConfiguration": "aws_s3_bucket_server_side_encryption_configuration",
    "aws:s3:BucketVersioning": "aws_s3_bucket_versioning",
    "aws:s3:BucketPolicy": "aws_s3_bucket_policy",
    "aws:s3:BucketLifecycleConfiguration": "aws_s3_bucket_lifecycle_configuration",
    "aws:s3:BucketObjectLockConfiguration": "aws_s3_bucket_object_lock_configuration",
    "aws:s3:BucketLogging": "aws_s3_bucket_logging",
    "aws:s3:BucketNotification": "aws_s3_bucket_notification",
    "aws:s3:BucketCorsConfiguration": "aws_s3_bucket_cors_configuration",
}
SINGULAR = {"rules": "rule", "transitions": "transition", "cors_rules": "cors_rule"}


def terraform(text):
    options = SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)
    parsed = hcl2.loads(text, serialization_options=options)
    resources, precious, after = {}, [], {}
    for entry in parsed["resource"]:
        [(kind, named)] = entry.items()
        [arguments] = named.values()
        assert kind not in resources, kind
        [lifecycle] = arguments.pop("lifecycle", [{}])
        if lifecycle.get("prevent_destroy") is True:
            precious.append(kind)
        after[kind] = [name.strip("${}") for name in arguments.pop("depends_on", [])]
        resources[kind] = unfolded(arguments)
    [settings] = parsed["terraform"]
    [providers] = settings["required_providers"]
    return {
        "resources": resources,
        "precious": precious,
        "after": after,
        "outputs": {name: value["value"] for output in parsed["output"] for name, value in output.items()},
        "provider_version": providers["aws"]["version"],
        "region": parsed["provider"][0]["aws"]["region"],
        "asks_account": "data" in parsed,
    }


def unfolded(value):
    """Heredocs as the texts that they stand for."""
    if isinstance(value, dict):
        return {name: unfolded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [unfolded(inner) for inner in value]
    heredoc = re.fullmatch(r'"?<<-(\w+)\n(.*)\n\s*\1"?', value, re.DOTALL) if isinstance(value, str) else None
    return heredoc.group(2) if heredoc else value


def pulumi(text):
    parsed = yaml.safe_load(text)
    assert parsed["runtime"] == "yaml", parsed["runtime"]
    resources, precious, after, provider = {}, [], {}, None
    types = {name: TERRAFORM_TYPES.get(entry["type"]) for name, entry in parsed["resources"].items()}
    for name, entry in parsed["resources"].items():
        if entry["type"] == "pulumi:providers:aws":
            assert entry["defaultProvider"] is True
            provider = entry
            continue
        kind = types[name]
        assert kind and kind not in resources, entry["type"]
        options = entry.get("options", {})
        if options.get("protect") is True:
            precious.append(kind)
        after[kind] = [f"{types[other.strip('${}')]}.models" for other in options.get("dependsOn", [])]
        resources[kind] = {spelled(key): plain(spelled(key), value) for key, value in entry["properties"].items()}
    return {
        "resources": resources,
        "precious": precious,
        "after": after,
        "outputs": parsed["outputs"],
        "provider_version": provider["options"]["version"],
        "region": provider["properties"]["region"],
        "asks_account": "variables" in parsed,
    }


def plain(name, value):
    if name == "tags":
        return value
    if isinstance(value, dict):
        if set(value) == {"fn::toJSON"}:
            return json.dumps(value["fn::toJSON"])
        return [{spelled(key): plain(spelled(key), inner) for key, inner in value.items()}]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [{spelled(key): plain(spelled(key), inner) for key, inner in entry.items()} for entry in value]
    return value


def spelled(name):
    """camelCase and plurals as Terraform has them."""
    snake = re.sub("[A-Z]", lambda letter: "_" + letter.group().lower(), name)
    return SINGULAR.get(snake, snake)


def main():
    read = {"terraform": terraform, "pulumi": pulumi}[sys.argv[1]]
    json.dump(read(sys.stdin.read()), sys.stdout)


main()
