//! What there is to make, in words that Terraform and Pulumi share: the second is a bridge over the first one's
//! provider, so that resources differ in their types and in the spelling of their arguments only.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{AbortIncompleteMultipartUpload, LifecycleRule, TransitionStorageClass};

use crate::provision::iam::partition_of;
use crate::provision::observe::cors_rule;
use crate::provision::plan::lifecycle_rules;
use crate::provision::spec::{
    BucketSpec, DELETION_WINDOW_DAYS, KEY_DESCRIPTION, KeyArn, KeySpec, KeyWish, Options, Retention, Wanted,
};

/// One resource.
pub(super) struct Resource {
    /// `aws_s3_bucket`
    pub(super) terraform: &'static str,
    /// `aws:s3:Bucket`
    pub(super) pulumi: &'static str,
    /// Its name in a Pulumi program; Terraform's types are name enough.
    pub(super) name: &'static str,
    /// Arguments, in the spelling of Terraform.
    pub(super) arguments: Vec<Argument>,
    /// Whether destroying it loses data.
    pub(super) precious: bool,
    /// The resource that must be there before, beyond those that the arguments refer to.
    pub(super) after: Option<(&'static str, &'static str)>,
}

/// Name and value.
pub(super) type Argument = (&'static str, Value);

/// What an argument may be.
pub(super) enum Value {
    Data(Data),
    /// A policy, which is text to AWS and a tree to us.
    Document(Data),
    /// A nested block of which there is one.
    Block(Vec<Argument>),
    /// A nested block of which there may be several; Pulumi names the list by its plural.
    Blocks {
        plural: &'static str,
        blocks: Vec<Vec<Argument>>,
    },
}

pub(super) enum Data {
    Text(Text),
    Flag(bool),
    Number(i32),
    List(Vec<Data>),
    /// Names that are data, such as tags.
    Map(Vec<(String, Data)>),
}

/// A text with references in it.
pub(super) struct Text(pub(super) Vec<Piece>);

pub(super) enum Piece {
    Literal(String),
    Reference(Reference),
}

/// What only the account, or a resource that is made, can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    /// ARN of the key that is made.
    KeyArn,
    /// Id of the key that is made.
    KeyId,
    /// Name of the bucket, once it exists.
    Bucket,
    /// Number of the account.
    Account,
}

const KEY: (&str, &str) = ("aws_kms_key", "key");
const BUCKET: (&str, &str) = ("aws_s3_bucket", "bucket");
const ACCESS: (&str, &str) = ("aws_s3_bucket_public_access_block", "publicAccessBlock");
const VERSIONING: (&str, &str) = ("aws_s3_bucket_versioning", "versioning");

/// Everything that `wanted` describes.
pub(super) fn of(wanted: &Wanted) -> Vec<Resource> {
    let stand_in = StandIn::new(wanted);
    let key = KeySpec::new(wanted);
    let bucket = BucketSpec::new(wanted, stand_in.key.clone());
    let mut resources = Vec::new();
    if let KeyWish::Alias(alias) = &wanted.key {
        resources.extend(key_of_ours(&stand_in, &key, alias));
    }
    resources.extend(secure_bucket(&stand_in, &bucket));
    resources.extend(optional(&bucket.options));
    resources
}

/// ARN of the key, as the exported program says it.
pub(super) fn key_arn(wanted: &Wanted) -> Text {
    match &wanted.key {
        KeyWish::Brought(arn) => Text::literal(arn.as_str()),
        KeyWish::Alias(_) => Text::reference(Reference::KeyArn),
    }
}

fn key_of_ours(stand_in: &StandIn, spec: &KeySpec, alias: &str) -> [Resource; 2] {
    let mut arguments = vec![
        ("description", text(KEY_DESCRIPTION)),
        ("key_usage", text("ENCRYPT_DECRYPT")),
        ("customer_master_key_spec", text("SYMMETRIC_DEFAULT")),
        ("multi_region", flag(false)),
        ("deletion_window_in_days", number(DELETION_WINDOW_DAYS)),
        ("enable_key_rotation", flag(true)),
        ("rotation_period_in_days", number(spec.rotation_days)),
        // The check that keeps somebody able to change the policy.
        ("bypass_policy_lockout_safety_check", flag(false)),
    ];
    if let Some(policy) = spec.policy(&stand_in.key) {
        arguments.push(("policy", stand_in.document(&policy.value())));
    }
    arguments.push(("tags", tags(&spec.tags)));
    let key = Resource { terraform: KEY.0, pulumi: "aws:kms:Key", name: KEY.1, arguments, precious: true, after: None };
    let target = Value::Data(Data::Text(Text::reference(Reference::KeyId)));
    let arguments = vec![("name", text(alias)), ("target_key_id", target)];
    [key, resource("aws_kms_alias", "aws:kms:Alias", "alias", arguments)]
}

fn secure_bucket(stand_in: &StandIn, spec: &BucketSpec) -> Vec<Resource> {
    let BucketSpec {
        bucket,
        brought: _,
        tags: bucket_tags,
        policy,
        options,
        block_sse_c,
        key,
        region: _,
        back_end: _,
        profile: _,
        owner: _,
        max_signature_age: _,
        secure_transport: _,
    } = spec;
    let mut arguments = vec![("bucket", text(bucket))];
    if options.object_lock.is_some() {
        arguments.push(("object_lock_enabled", flag(true)));
    }
    arguments.push(("tags", tags(bucket_tags)));
    let made = Resource {
        terraform: BUCKET.0,
        pulumi: "aws:s3:Bucket",
        name: BUCKET.1,
        arguments,
        precious: true,
        after: None,
    };
    let default =
        vec![("sse_algorithm", text("aws:kms")), ("kms_master_key_id", Value::Data(stand_in.text(key.as_str())))];
    let mut encryption =
        vec![("apply_server_side_encryption_by_default", Value::Block(default)), ("bucket_key_enabled", flag(true))];
    if *block_sse_c {
        encryption.push(("blocked_encryption_types", texts(["SSE-C"])));
    }
    vec![
        made,
        on_bucket(
            ACCESS.0,
            "aws:s3:BucketPublicAccessBlock",
            ACCESS.1,
            ["block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets"]
                .map(|block| (block, flag(true)))
                .into(),
        ),
        on_bucket(
            "aws_s3_bucket_ownership_controls",
            "aws:s3:BucketOwnershipControls",
            "ownershipControls",
            vec![("rule", Value::Block(vec![("object_ownership", text("BucketOwnerEnforced"))]))],
        ),
        on_bucket(
            "aws_s3_bucket_server_side_encryption_configuration",
            "aws:s3:BucketServerSideEncryptionConfiguration",
            "encryption",
            vec![("rule", Value::Blocks { plural: "rules", blocks: vec![encryption] })],
        ),
        on_bucket(
            VERSIONING.0,
            "aws:s3:BucketVersioning",
            VERSIONING.1,
            vec![("versioning_configuration", Value::Block(vec![("status", text("Enabled"))]))],
        ),
        Resource {
            after: Some(ACCESS),
            ..on_bucket(
                "aws_s3_bucket_policy",
                "aws:s3:BucketPolicy",
                "policy",
                vec![("policy", stand_in.document(&policy.value()))],
            )
        },
        Resource {
            after: Some(VERSIONING),
            ..on_bucket(
                "aws_s3_bucket_lifecycle_configuration",
                "aws:s3:BucketLifecycleConfiguration",
                "lifecycle",
                vec![("rule", Value::Blocks { plural: "rules", blocks: lifecycle(options) })],
            )
        },
    ]
}

fn lifecycle(options: &Options) -> Vec<Vec<Argument>> {
    let rule = |rule: &LifecycleRule| {
        let mut arguments = vec![
            ("id", text(rule.id().unwrap_or_default())),
            ("status", text(rule.status().as_str())),
            // The whole bucket.
            ("filter", Value::Block(Vec::new())),
        ];
        let abort = rule.abort_incomplete_multipart_upload();
        if let Some(days) = abort.and_then(AbortIncompleteMultipartUpload::days_after_initiation) {
            let after = vec![("days_after_initiation", number(days))];
            arguments.push(("abort_incomplete_multipart_upload", Value::Block(after)));
        }
        let tiers = rule.transitions().iter().map(|transition| {
            let class = transition.storage_class().map(TransitionStorageClass::as_str).unwrap_or_default();
            vec![("days", number(transition.days().unwrap_or_default())), ("storage_class", text(class))]
        });
        let blocks: Vec<_> = tiers.collect();
        if !blocks.is_empty() {
            arguments.push(("transition", Value::Blocks { plural: "transitions", blocks }));
        }
        arguments
    };
    lifecycle_rules(options).iter().map(rule).collect()
}

fn optional(options: &Options) -> Vec<Resource> {
    // Whoever adds an option has to say here what it is in the code of others.
    let Options {
        perimeter: _in_the_policy,
        vpc_endpoint: _also_there,
        intelligent_tiering: _in_the_lifecycle,
        object_lock,
        access_log,
        event_bridge,
        cors_origins,
    } = options;
    let mut resources = Vec::new();
    if let Some(lock) = object_lock {
        let mode = match lock.mode {
            Retention::Governance => "GOVERNANCE",
            Retention::Compliance => "COMPLIANCE",
        };
        let retention = vec![("mode", text(mode)), ("days", number(lock.days))];
        let rule = Value::Block(vec![("default_retention", Value::Block(retention))]);
        resources.push(Resource {
            after: Some(VERSIONING),
            ..on_bucket(
                "aws_s3_bucket_object_lock_configuration",
                "aws:s3:BucketObjectLockConfiguration",
                "objectLock",
                vec![("rule", rule)],
            )
        });
    }
    if let Some(log) = access_log {
        let target = vec![("target_bucket", text(&log.bucket)), ("target_prefix", text(&log.prefix))];
        resources.push(on_bucket("aws_s3_bucket_logging", "aws:s3:BucketLogging", "logging", target));
    }
    if *event_bridge {
        let events = vec![("eventbridge", flag(true))];
        resources.push(on_bucket("aws_s3_bucket_notification", "aws:s3:BucketNotification", "notification", events));
    }
    if !cors_origins.is_empty() {
        let rule = cors_rule(cors_origins);
        let rule = vec![
            ("id", text(rule.id().unwrap_or_default())),
            ("allowed_headers", texts(rule.allowed_headers())),
            ("allowed_methods", texts(rule.allowed_methods())),
            ("allowed_origins", texts(rule.allowed_origins())),
            ("expose_headers", texts(rule.expose_headers())),
            ("max_age_seconds", number(rule.max_age_seconds().unwrap_or_default())),
        ];
        let rules = Value::Blocks { plural: "corsRules", blocks: vec![rule] };
        let rules = vec![("cors_rule", rules)];
        resources.push(on_bucket("aws_s3_bucket_cors_configuration", "aws:s3:BucketCorsConfiguration", "cors", rules));
    }
    resources
}

fn resource(terraform: &'static str, pulumi: &'static str, name: &'static str, arguments: Vec<Argument>) -> Resource {
    Resource { terraform, pulumi, name, arguments, precious: false, after: None }
}

fn on_bucket(
    terraform: &'static str,
    pulumi: &'static str,
    name: &'static str,
    mut arguments: Vec<Argument>,
) -> Resource {
    arguments.insert(0, ("bucket", Value::Data(Data::Text(Text::reference(Reference::Bucket)))));
    resource(terraform, pulumi, name, arguments)
}

fn text(literal: &str) -> Value {
    Value::Data(Data::Text(Text::literal(literal)))
}

fn texts<T: AsRef<str>>(literals: impl IntoIterator<Item = T>) -> Value {
    let literal = |literal: T| Data::Text(Text::literal(literal.as_ref()));
    Value::Data(Data::List(literals.into_iter().map(literal).collect()))
}

fn flag(flag: bool) -> Value {
    Value::Data(Data::Flag(flag))
}

fn number(number: i32) -> Value {
    Value::Data(Data::Number(number))
}

fn tags(tags: &BTreeMap<String, String>) -> Value {
    let tags = tags.iter().map(|(name, value)| (name.clone(), Data::Text(Text::literal(value))));
    Value::Data(Data::Map(tags.collect()))
}

impl Text {
    fn literal(text: &str) -> Self {
        Self(vec![Piece::Literal(text.to_owned())])
    }

    fn reference(reference: Reference) -> Self {
        Self(vec![Piece::Reference(reference)])
    }
}

/// The key of the specification: the one that was brought, or one that stands in for the one to be made.
struct StandIn {
    key: KeyArn,
    /// What stands for what, the longest first.
    words: Vec<(String, Reference)>,
}

impl StandIn {
    fn new(wanted: &Wanted) -> Self {
        if let KeyWish::Brought(arn) = &wanted.key {
            return Self { key: arn.clone(), words: Vec::new() };
        }
        let taken = format!("{wanted:?}");
        let account = (0..1_000_000_000_000_u64)
            .map(|number| format!("{number:012}"))
            .find(|account| !taken.contains(account.as_str()));
        let account = account.expect("no configuration names every account number");
        let (partition, region) = (partition_of(&wanted.region), &wanted.region);
        let arn = format!("arn:{partition}:kms:{region}:{account}:key/to-be-made");
        let key: KeyArn = arn.parse().expect("the region of a configuration is not empty and has no colon");
        Self { key, words: vec![(arn, Reference::KeyArn), (account, Reference::Account)] }
    }

    fn text(&self, text: &str) -> Data {
        let mut pieces = vec![Piece::Literal(text.to_owned())];
        for (word, reference) in &self.words {
            pieces = pieces.into_iter().flat_map(|piece| split(piece, word, *reference)).collect();
        }
        Data::Text(Text(pieces))
    }

    fn document(&self, document: &serde_json::Value) -> Value {
        Value::Document(self.tree(document))
    }

    fn tree(&self, json: &serde_json::Value) -> Data {
        match json {
            serde_json::Value::Object(members) => {
                Data::Map(members.iter().map(|(name, value)| (name.clone(), self.tree(value))).collect())
            }
            serde_json::Value::Array(items) => Data::List(items.iter().map(|item| self.tree(item)).collect()),
            serde_json::Value::String(text) => self.text(text),
            // Policies of ours are trees of strings.
            other => self.text(&other.to_string()),
        }
    }
}

fn split(piece: Piece, word: &str, reference: Reference) -> Vec<Piece> {
    let Piece::Literal(text) = piece else { return vec![piece] };
    let mut pieces = Vec::new();
    for (index, part) in text.split(word).enumerate() {
        if index > 0 {
            pieces.push(Piece::Reference(reference));
        }
        if !part.is_empty() {
            pieces.push(Piece::Literal(part.to_owned()));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::spec::BackEnd;

    #[test]
    fn account_that_stands_in_is_nobodys() {
        let mut wanted = Wanted::new("ml", "eu-west-1", BackEnd::Aws);
        wanted.runtime_principals = vec!["arn:aws:iam::000000000000:role/r".into()];
        assert_eq!(StandIn::new(&wanted).key.account(), "000000000001");
    }

    #[test]
    fn words_that_stand_in_are_found_wherever_they_are() {
        let stand_in = StandIn::new(&Wanted::new("ml", "eu-west-1", BackEnd::Aws));
        let Data::Text(Text(pieces)) = stand_in.text(&format!("<{}|000000000000>", stand_in.key)) else { panic!() };
        let told: Vec<_> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Reference(reference) => format!("{reference:?}"),
            })
            .collect();
        assert_eq!(told, ["<", "KeyArn", "|", "Account", ">"]);
    }
}
