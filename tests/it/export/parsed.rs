//! An export as it was parsed, with its references resolved: as if it had been applied.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketVersioningStatus, CorsRule, EventBridgeConfiguration, ExpirationStatus,
    LifecycleRule, LifecycleRuleFilter, NotificationConfiguration, ObjectOwnership, ServerSideEncryption, Transition,
    TransitionStorageClass,
};
use serde_json::Value;
use strongroom::provision::export::{Format, export};
use strongroom::provision::key::{KeyFacts, Rotation};
use strongroom::provision::observe::{
    BucketSettings, DefaultEncryption, Lifecycle, Observed, ObservedOptions, PublicAccess,
};
use strongroom::provision::{AccessLog, KeyArn, ObjectLock, Retention, Wanted};

use crate::support::process::{installed, source};

/// An export, as plain values.
#[derive(Debug, Clone)]
pub(super) struct Exported {
    /// Everything that was read; `resources` by Terraform's type.
    pub(super) json: Value,
    format: Format,
}

impl Exported {
    pub(super) fn read(format: Format, wanted: &Wanted) -> Self {
        let name = match format {
            Format::Terraform => "terraform",
            Format::Pulumi => "pulumi",
        };
        let mut parser = Command::new(installed("iac/bin/python"))
            .arg(source("tests/tools/exported_state.py"))
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let text = export(format, wanted);
        parser.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = parser.wait_with_output().unwrap();
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
        Self { json: serde_json::from_slice(&output.stdout).unwrap(), format }
    }

    /// With every reference replaced by what it refers to.
    pub(super) fn resolved(&self, key: &KeyArn, bucket: &str) -> Self {
        let id = key.as_str().rsplit('/').next().unwrap();
        let references = match self.format {
            Format::Terraform => [
                ("${aws_kms_key.models.arn}", key.as_str()),
                ("${aws_kms_key.models.key_id}", id),
                ("${aws_s3_bucket.models.id}", bucket),
                ("${data.aws_caller_identity.current.account_id}", key.account()),
            ],
            Format::Pulumi => [
                ("${key.arn}", key.as_str()),
                ("${key.keyId}", id),
                ("${bucket.id}", bucket),
                ("${caller.accountId}", key.account()),
            ],
        };
        let mut text = self.json.to_string();
        for (reference, value) in references {
            text = text.replace(reference, value);
        }
        assert!(!text.contains("${"), "a reference is left in {text}");
        Self { json: serde_json::from_str(&text).unwrap(), format: self.format }
    }

    pub(super) fn has(&self, resource: &str) -> bool {
        self.json["resources"].get(resource).is_some()
    }

    /// The arguments of a resource, all of which must be asked for: what nobody knows of is a mistake.
    fn resource(&self, resource: &str) -> Option<Arguments> {
        self.json["resources"].get(resource).map(Arguments::new)
    }

    /// The key, as KMS would show it; none when it was brought.
    pub(super) fn key(&self, arn: &KeyArn) -> Option<KeyFacts> {
        let mut key = self.resource("aws_kms_key")?;
        let mut alias = self.resource("aws_kms_alias").expect("a key of ours has an alias");
        assert_eq!(alias.text("target_key_id"), arn.as_str().rsplit('/').next().unwrap());
        assert!(alias.text("name").starts_with("alias/"));
        alias.end();
        assert_eq!(key.text("key_usage"), "ENCRYPT_DECRYPT");
        assert_eq!(key.text("customer_master_key_spec"), "SYMMETRIC_DEFAULT");
        assert!(!key.flag("multi_region") && !key.flag("bypass_policy_lockout_safety_check"));
        assert_eq!(key.number("deletion_window_in_days"), 10);
        assert!(key.flag("enable_key_rotation"));
        let by_default = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"AWS": format!("arn:aws:iam::{}:root", arn.account())},
                "Action": "kms:*",
                "Resource": "*",
            }],
        });
        let facts = KeyFacts {
            arn: arn.clone(),
            created: 0,
            state: KeyState::Enabled,
            fit: true,
            description: Observed::Known(key.text("description")),
            tags: Observed::Known(key.tags()),
            policy: Observed::Known(key.maybe_text("policy").unwrap_or_else(|| by_default.to_string())),
            rotation: Observed::Known(Rotation { period_days: Some(key.number("rotation_period_in_days")) }),
        };
        key.end();
        Some(facts)
    }

    /// The bucket, as S3 would show it. Whoever adds a setting to those has to say here where the export has it.
    pub(super) fn bucket(&self, name: &str) -> BucketSettings {
        let on_bucket = |kind: &str| {
            let mut resource = self.resource(kind)?;
            assert_eq!(resource.text("bucket"), name, "{kind}");
            Some(resource)
        };
        let mut bucket = on_bucket("aws_s3_bucket").expect("there is a bucket");
        let lockable = bucket.maybe("object_lock_enabled").is_some_and(|flag| flag == true);
        let tags = Observed::Known(bucket.tags());
        bucket.end();
        BucketSettings {
            public_access: seen(on_bucket("aws_s3_bucket_public_access_block"), |access| PublicAccess {
                block_acls: access.flag("block_public_acls"),
                ignore_acls: access.flag("ignore_public_acls"),
                block_policy: access.flag("block_public_policy"),
                restrict_buckets: access.flag("restrict_public_buckets"),
            }),
            ownership: seen(on_bucket("aws_s3_bucket_ownership_controls"), |controls| {
                let mut rule = controls.block("rule");
                let ownership = rule.text("object_ownership");
                rule.end();
                ObjectOwnership::from(ownership.as_str())
            }),
            encryption: seen(on_bucket("aws_s3_bucket_server_side_encryption_configuration"), |encryption| {
                let mut rule = encryption.block("rule");
                let mut default = rule.block("apply_server_side_encryption_by_default");
                let blocked = rule.maybe("blocked_encryption_types");
                let read = DefaultEncryption {
                    algorithm: ServerSideEncryption::from(default.text("sse_algorithm").as_str()),
                    key: Some(default.text("kms_master_key_id")),
                    bucket_key: rule.flag("bucket_key_enabled"),
                    sse_c_blocked: blocked.is_some_and(|blocked| blocked == serde_json::json!(["SSE-C"])),
                };
                default.end();
                rule.end();
                read
            }),
            versioning: seen(on_bucket("aws_s3_bucket_versioning"), |versioning| {
                let mut configuration = versioning.block("versioning_configuration");
                let status = configuration.text("status");
                configuration.end();
                BucketVersioningStatus::from(status.as_str())
            }),
            policy: seen(on_bucket("aws_s3_bucket_policy"), |policy| policy.text("policy")),
            lifecycle: seen(on_bucket("aws_s3_bucket_lifecycle_configuration"), |lifecycle| Lifecycle {
                rules: lifecycle.blocks("rule").into_iter().map(lifecycle_rule).collect(),
                transition_minimum: None,
            }),
            tags,
            options: ObservedOptions {
                object_lock: seen(on_bucket("aws_s3_bucket_object_lock_configuration"), |configuration| {
                    assert!(lockable, "a bucket takes Object Lock when it is made");
                    let mut rule = configuration.block("rule");
                    let mut retention = rule.block("default_retention");
                    let mode = match retention.text("mode").as_str() {
                        "GOVERNANCE" => Retention::Governance,
                        "COMPLIANCE" => Retention::Compliance,
                        other => panic!("retention {other}"),
                    };
                    let lock = ObjectLock { mode, days: retention.number("days") };
                    retention.end();
                    rule.end();
                    Some(lock)
                }),
                access_log: seen(on_bucket("aws_s3_bucket_logging"), |logging| AccessLog {
                    bucket: logging.text("target_bucket"),
                    prefix: logging.text("target_prefix"),
                }),
                notifications: seen(on_bucket("aws_s3_bucket_notification"), |notification| {
                    assert!(notification.flag("eventbridge"));
                    NotificationConfiguration::builder()
                        .event_bridge_configuration(EventBridgeConfiguration::builder().build())
                        .build()
                }),
                cors: seen(on_bucket("aws_s3_bucket_cors_configuration"), |cors| {
                    cors.blocks("cors_rule").into_iter().map(cors_rule).collect()
                }),
            },
            occupied: Observed::Known(true),
        }
    }
}

fn seen<T>(resource: Option<Arguments>, read: impl FnOnce(&mut Arguments) -> T) -> Observed<T> {
    resource.map_or(Observed::Absent, |mut resource| {
        let value = read(&mut resource);
        resource.end();
        Observed::Known(value)
    })
}

fn lifecycle_rule(mut arguments: Arguments) -> LifecycleRule {
    arguments.block("filter").end();
    let mut rule = LifecycleRule::builder()
        .id(arguments.text("id"))
        .status(ExpirationStatus::from(arguments.text("status").as_str()))
        .filter(LifecycleRuleFilter::builder().prefix("").build());
    if let Some(mut abort) = arguments.maybe_block("abort_incomplete_multipart_upload") {
        let days = abort.number("days_after_initiation");
        abort.end();
        rule = rule.abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build(),
        );
    }
    for mut transition in arguments.maybe_blocks("transition") {
        let class = TransitionStorageClass::from(transition.text("storage_class").as_str());
        rule = rule.transitions(Transition::builder().days(transition.number("days")).storage_class(class).build());
        transition.end();
    }
    arguments.end();
    rule.build().unwrap()
}

fn cors_rule(mut arguments: Arguments) -> CorsRule {
    let rule = CorsRule::builder()
        .id(arguments.text("id"))
        .set_allowed_headers(Some(arguments.texts("allowed_headers")))
        .set_allowed_methods(Some(arguments.texts("allowed_methods")))
        .set_allowed_origins(Some(arguments.texts("allowed_origins")))
        .set_expose_headers(Some(arguments.texts("expose_headers")))
        .max_age_seconds(arguments.number("max_age_seconds"))
        .build()
        .unwrap();
    arguments.end();
    rule
}

/// The arguments of a resource or a block, taken one by one.
struct Arguments(serde_json::Map<String, Value>);

impl Arguments {
    fn new(value: &Value) -> Self {
        Self(value.as_object().unwrap_or_else(|| panic!("{value} is no block")).clone())
    }

    fn maybe(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    fn take(&mut self, name: &str) -> Value {
        self.maybe(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0))
    }

    fn maybe_text(&mut self, name: &str) -> Option<String> {
        self.maybe(name).map(|value| value.as_str().unwrap().to_owned())
    }

    fn text(&mut self, name: &str) -> String {
        self.take(name).as_str().unwrap().to_owned()
    }

    fn texts(&mut self, name: &str) -> Vec<String> {
        serde_json::from_value(self.take(name)).unwrap()
    }

    fn flag(&mut self, name: &str) -> bool {
        self.take(name).as_bool().unwrap()
    }

    fn number(&mut self, name: &str) -> i32 {
        i32::try_from(self.take(name).as_i64().unwrap()).unwrap()
    }

    fn tags(&mut self) -> BTreeMap<String, String> {
        serde_json::from_value(self.take("tags")).unwrap()
    }

    fn maybe_blocks(&mut self, name: &str) -> Vec<Self> {
        self.maybe(name).map(|blocks| blocks.as_array().unwrap().iter().map(Self::new).collect()).unwrap_or_default()
    }

    fn blocks(&mut self, name: &str) -> Vec<Self> {
        let blocks = self.maybe_blocks(name);
        assert!(!blocks.is_empty(), "no block {name}");
        blocks
    }

    fn maybe_block(&mut self, name: &str) -> Option<Self> {
        let mut blocks = self.maybe_blocks(name);
        assert!(blocks.len() <= 1, "more than one {name}");
        blocks.pop()
    }

    fn block(&mut self, name: &str) -> Self {
        self.maybe_block(name).unwrap_or_else(|| panic!("no block {name} in {:?}", self.0))
    }

    /// Nothing is left.
    fn end(self) {
        assert!(self.0.is_empty(), "nobody asked for {:?}", self.0);
    }
}
