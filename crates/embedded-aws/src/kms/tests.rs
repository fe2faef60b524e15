//! The service without HTTP, with a clock that the tests set.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::record::DAY;
use super::*;
use crate::identity::{Credentials, Identities, Identity};

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";

thread_local! {
    static NOW: Cell<Millis> = const { Cell::new(1_700_000_000_000) };
}

fn pass(days: i64) {
    NOW.set(NOW.get() + days * DAY);
}

struct Bench {
    db: Arc<Database>,
    root_key: Vec<u8>,
    dir: tempfile::TempDir,
    admin: Arc<Identity>,
    kms: Kms,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Arc::new(Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap());
        let key_file = dir.path().join("root-key");
        let root_key = RootKey::create(&key_file).unwrap();
        let pair = Credentials::open_or_create(&dir.path().join("credentials.json")).unwrap();
        let admin = Identities::open(&pair, ACCOUNT, None).unwrap().get(pair.access_key()).unwrap();
        let kms = Kms::open_with_clock(Arc::clone(&db), root_key, REGION, ACCOUNT, || NOW.get()).unwrap();
        Self { db, root_key: std::fs::read(key_file).unwrap(), dir, admin, kms }
    }

    fn reopen(&mut self) {
        let root_key = RootKey::read(&self.dir.path().join("root-key")).unwrap();
        self.kms = Kms::open_with_clock(Arc::clone(&self.db), root_key, REGION, ACCOUNT, || NOW.get()).unwrap();
    }

    fn call(&self, operation: &str, request: Value) -> Result<Value, KmsError> {
        self.kms.call(&self.admin, operation, request.to_string().as_bytes())
    }

    fn ok(&self, operation: &str, request: Value) -> Value {
        self.call(operation, request).unwrap()
    }

    fn code(&self, operation: &str, request: Value) -> &'static str {
        match self.call(operation, request.clone()) {
            Ok(answer) => panic!("{operation} {request} was answered {answer}"),
            Err(error) => error.code(),
        }
    }

    fn key(&self) -> String {
        self.ok("CreateKey", json!({}))["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }

    fn encrypt(&self, key: &str) -> String {
        let request = json!({ "KeyId": key, "Plaintext": STANDARD.encode("secret") });
        self.ok("Encrypt", request)["CiphertextBlob"].as_str().unwrap().to_owned()
    }

    fn decrypts(&self, blob: &str) -> bool {
        let answer = self.call("Decrypt", json!({ "CiphertextBlob": blob }));
        answer.is_ok_and(|answer| answer["Plaintext"] == STANDARD.encode("secret"))
    }

    fn versions(&self, key: &str) -> Vec<u32> {
        self.kms.read().get(key).unwrap().material.keys().copied().collect()
    }
}

#[test]
fn key_has_the_metadata_that_aws_gives() {
    let bench = Bench::new();
    let answer = bench.ok(
        "CreateKey",
        json!({ "Description": "KMS key for S3 machine learning artifacts", "KeySpec": "SYMMETRIC_DEFAULT",
                "KeyUsage": "ENCRYPT_DECRYPT", "Origin": "AWS_KMS", "MultiRegion": false,
                "Tags": [{ "TagKey": "a", "TagValue": "b" }] }),
    );
    let metadata = &answer["KeyMetadata"];
    let id = metadata["KeyId"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(metadata["Arn"], format!("arn:aws:kms:us-east-1:000000000000:key/{id}"));
    assert_eq!(metadata["Description"], "KMS key for S3 machine learning artifacts");
    assert_eq!((&metadata["KeyState"], &metadata["Enabled"]), (&json!("Enabled"), &json!(true)));
    assert_eq!((&metadata["KeyManager"], &metadata["MultiRegion"]), (&json!("CUSTOMER"), &json!(false)));
    assert_eq!(
        bench.ok("ListResourceTags", json!({ "KeyId": id }))["Tags"],
        json!([{ "TagKey": "a", "TagValue": "b" }])
    );
}

#[test]
fn unsupported_parameters_are_refused() {
    let bench = Bench::new();
    for request in [
        json!({ "KeySpec": "RSA_2048" }),
        json!({ "KeyUsage": "SIGN_VERIFY" }),
        json!({ "Origin": "EXTERNAL" }),
        json!({ "MultiRegion": true }),
        json!({ "CustomKeyStoreId": "cks-1" }),
    ] {
        assert_eq!(bench.code("CreateKey", request), "UnsupportedOperationException");
    }
    assert_eq!(bench.code("CreateKey", json!({ "Description": 1 })), "SerializationException");
    assert_eq!(bench.code("CreateKey", json!({ "Description": "x".repeat(8193) })), "ValidationException");
    assert_eq!(bench.code("CreateKey", json!({ "Policy": "{}" })), "MalformedPolicyDocumentException");
    assert_eq!(bench.code("ReEncrypt", json!({})), "UnknownOperationException");
    assert_eq!(bench.kms.call(&bench.admin, "ListKeys", b"{").unwrap_err().code(), "SerializationException");
}

#[test]
fn key_goes_through_its_states_as_on_aws() {
    let bench = Bench::new();
    let key = bench.key();
    let id = || json!({ "KeyId": key });
    let blob = bench.encrypt(&key);
    let data_key = || json!({ "KeyId": key, "KeySpec": "AES_256" });

    bench.ok("DisableKey", id());
    assert_eq!(bench.code("GenerateDataKey", data_key()), "DisabledException");
    assert_eq!(bench.code("Decrypt", json!({ "CiphertextBlob": blob })), "DisabledException");
    assert_eq!(bench.code("EnableKeyRotation", id()), "DisabledException");
    assert_eq!(bench.code("CancelKeyDeletion", id()), "KMSInvalidStateException");
    bench.ok("EnableKey", id());
    assert!(bench.decrypts(&blob));

    for days in [6, 31] {
        let request = json!({ "KeyId": key, "PendingWindowInDays": days });
        assert_eq!(bench.code("ScheduleKeyDeletion", request), "ValidationException");
    }
    let answer = bench.ok("ScheduleKeyDeletion", json!({ "KeyId": key, "PendingWindowInDays": 10 }));
    assert_eq!((&answer["KeyState"], &answer["PendingWindowInDays"]), (&json!("PendingDeletion"), &json!(10)));
    for (operation, request) in [
        ("GenerateDataKey", data_key()),
        ("GenerateDataKeyWithoutPlaintext", data_key()),
        ("Encrypt", json!({ "KeyId": key, "Plaintext": "YQ==" })),
        ("Decrypt", json!({ "CiphertextBlob": blob })),
        ("EnableKey", id()),
        ("DisableKey", id()),
        ("ScheduleKeyDeletion", id()),
        ("EnableKeyRotation", id()),
        ("DisableKeyRotation", id()),
        ("UpdateKeyDescription", json!({ "KeyId": key, "Description": "x" })),
        ("TagResource", json!({ "KeyId": key, "Tags": [] })),
        ("UntagResource", json!({ "KeyId": key, "TagKeys": [] })),
        ("CreateAlias", json!({ "AliasName": "alias/a", "TargetKeyId": key })),
    ] {
        assert_eq!(bench.code(operation, request), "KMSInvalidStateException", "{operation}");
    }
    assert!(bench.ok("DescribeKey", id())["KeyMetadata"]["DeletionDate"].is_number());
    assert_eq!(bench.ok("GetKeyRotationStatus", id())["KeyRotationEnabled"], false);
    bench.ok("GetKeyPolicy", id());

    bench.ok("CancelKeyDeletion", id());
    assert_eq!(bench.ok("DescribeKey", id())["KeyMetadata"]["KeyState"], "Disabled");
    bench.ok("EnableKey", id());
    assert!(bench.decrypts(&blob));
}

#[test]
fn key_is_erased_when_its_window_is_over() {
    let mut bench = Bench::new();
    let (live, at_start) = (bench.key(), bench.key());
    bench.ok("CreateAlias", json!({ "AliasName": "alias/live", "TargetKeyId": live }));
    let blob = bench.encrypt(&live);
    for key in [&live, &at_start] {
        bench.ok("ScheduleKeyDeletion", json!({ "KeyId": key, "PendingWindowInDays": 7 }));
    }
    bench.ok("CancelKeyDeletion", json!({ "KeyId": at_start }));
    bench.ok("ScheduleKeyDeletion", json!({ "KeyId": at_start, "PendingWindowInDays": 8 }));
    pass(7);
    assert_eq!(bench.code("DescribeKey", json!({ "KeyId": live })), "NotFoundException");
    assert_eq!(bench.code("DescribeKey", json!({ "KeyId": "alias/live" })), "NotFoundException");
    assert_eq!(bench.code("CancelKeyDeletion", json!({ "KeyId": live })), "NotFoundException");
    assert_eq!(bench.code("Decrypt", json!({ "CiphertextBlob": blob })), "AccessDeniedException");
    assert_eq!(bench.ok("ListAliases", json!({}))["Aliases"], json!([]));
    pass(1);
    bench.reopen();
    assert_eq!(bench.code("DescribeKey", json!({ "KeyId": at_start })), "NotFoundException");
    assert_eq!(bench.ok("ListKeys", json!({}))["Keys"], json!([]));
}

#[test]
fn rotation_makes_new_material_and_keeps_the_old() {
    let mut bench = Bench::new();
    let key = bench.key();
    let id = || json!({ "KeyId": key });
    for days in [89, 2561] {
        let request = json!({ "KeyId": key, "RotationPeriodInDays": days });
        assert_eq!(bench.code("EnableKeyRotation", request), "ValidationException");
    }
    assert_eq!(bench.ok("GetKeyRotationStatus", id())["KeyRotationEnabled"], false);
    bench.ok("EnableKeyRotation", id());
    assert_eq!(bench.ok("GetKeyRotationStatus", id())["RotationPeriodInDays"], 365);
    bench.ok("EnableKeyRotation", json!({ "KeyId": key, "RotationPeriodInDays": 90 }));
    let first = bench.encrypt(&key);
    pass(89);
    bench.encrypt(&key);
    assert_eq!(bench.versions(&key), [1]);
    pass(1);
    let second = bench.encrypt(&key);
    assert_eq!(bench.versions(&key), [1, 2]);
    assert!(bench.decrypts(&first) && bench.decrypts(&second));
    pass(90);
    bench.reopen();
    assert_eq!(bench.versions(&key), [1, 2, 3]);
    assert!(bench.decrypts(&first) && bench.decrypts(&second));
    bench.ok("DisableKeyRotation", id());
    pass(400);
    bench.encrypt(&key);
    assert_eq!(bench.versions(&key), [1, 2, 3]);
}

#[test]
fn disabled_key_rotates_only_once_it_is_enabled_again() {
    let bench = Bench::new();
    let key = bench.key();
    bench.ok("EnableKeyRotation", json!({ "KeyId": key, "RotationPeriodInDays": 90 }));
    bench.ok("DisableKey", json!({ "KeyId": key }));
    pass(100);
    bench.ok("DescribeKey", json!({ "KeyId": key }));
    assert_eq!(bench.versions(&key), [1]);
    bench.ok("EnableKey", json!({ "KeyId": key }));
    bench.encrypt(&key);
    assert_eq!(bench.versions(&key), [1, 2]);
}

#[test]
fn everything_survives_a_restart() {
    let mut bench = Bench::new();
    let key = bench.key();
    let blob = bench.encrypt(&key);
    bench.ok("CreateAlias", json!({ "AliasName": "alias/a", "TargetKeyId": key }));
    bench.ok("UpdateKeyDescription", json!({ "KeyId": key, "Description": "new" }));
    let context = EncryptionContext::from([("aws:s3:arn".to_owned(), "arn:aws:s3:::b/k".to_owned())]);
    let data_key = bench.kms.generate_data_key(Kms::SSE_S3, &context).unwrap();
    bench.reopen();
    assert!(bench.decrypts(&blob));
    assert_eq!(bench.ok("DescribeKey", json!({ "KeyId": "alias/a" }))["KeyMetadata"]["Description"], "new");
    let unwrapped = bench.kms.unwrap_data_key(&data_key.wrapped, &context).unwrap();
    assert_eq!(unwrapped.plaintext, data_key.plaintext);
}

#[test]
fn another_root_key_opens_nothing() {
    let bench = Bench::new();
    bench.key();
    let other = RootKey::random().unwrap();
    let opened = Kms::open(Arc::clone(&bench.db), other, REGION, ACCOUNT);
    assert!(matches!(opened, Err(OpenError::WrongRootKey)));
    assert!(holds_material(&bench.db).unwrap());
    assert_eq!(bench.root_key.len(), 32);
}

#[test]
fn names_of_keys_are_id_arn_alias_and_alias_arn() {
    let bench = Bench::new();
    let key = bench.key();
    bench.ok("CreateAlias", json!({ "AliasName": "alias/team/a", "TargetKeyId": key }));
    let arn = format!("arn:aws:kms:us-east-1:000000000000:key/{key}");
    for name in [&key, &arn, "alias/team/a", "arn:aws:kms:us-east-1:000000000000:alias/team/a"] {
        assert_eq!(bench.kms.resolve_arn(name).unwrap(), arn, "{name}");
    }
    for (name, code) in [
        ("00000000-0000-4000-8000-000000000000", "NotFoundException"),
        ("alias/none", "NotFoundException"),
        (&arn.replace("us-east-1", "us-west-2"), "NotFoundException"),
        (&arn.replace("000000000000", "111111111111"), "NotFoundException"),
        ("arn:aws:s3:::bucket", "InvalidArnException"),
        (Kms::SSE_S3, "NotFoundException"),
    ] {
        assert_eq!(bench.code("DescribeKey", json!({ "KeyId": name })), code, "{name}");
    }
    assert_eq!(bench.code("DisableKey", json!({ "KeyId": "alias/team/a" })), "NotFoundException");
}

#[test]
fn aliases_move_and_their_names_are_checked() {
    let bench = Bench::new();
    let (first, second) = (bench.key(), bench.key());
    let alias = |name: &str, key: &str| json!({ "AliasName": name, "TargetKeyId": key });
    bench.ok("CreateAlias", alias("alias/a", &first));
    assert_eq!(bench.code("CreateAlias", alias("alias/a", &second)), "AlreadyExistsException");
    bench.ok("UpdateAlias", alias("alias/a", &second));
    assert_eq!(bench.ok("DescribeKey", json!({ "KeyId": "alias/a" }))["KeyMetadata"]["KeyId"], second);
    assert_eq!(bench.code("UpdateAlias", alias("alias/none", &second)), "NotFoundException");
    assert_eq!(bench.code("CreateAlias", alias("alias/b", "alias/a")), "NotFoundException");
    for (name, code) in [
        ("models", "ValidationException"),
        ("alias/aws/s3", "NotAuthorizedException"),
        ("alias/", "InvalidAliasNameException"),
        ("alias/a:b", "InvalidAliasNameException"),
        ("alias/a b", "InvalidAliasNameException"),
        (&format!("alias/{}", "x".repeat(251)), "ValidationException"),
    ] {
        assert_eq!(bench.code("CreateAlias", alias(name, &first)), code, "{name}");
    }
    bench.ok("DeleteAlias", json!({ "AliasName": "alias/a" }));
    assert_eq!(bench.code("DeleteAlias", json!({ "AliasName": "alias/a" })), "NotFoundException");
}

#[test]
fn lists_are_paged_without_loss_or_repetition() {
    let bench = Bench::new();
    let mut keys: Vec<String> = (0..7).map(|_| bench.key()).collect();
    keys.sort();
    for (number, key) in keys.iter().enumerate() {
        bench.ok("CreateAlias", json!({ "AliasName": format!("alias/a{number}"), "TargetKeyId": key }));
    }
    let all = |operation: &str, member: &str, name: &str| {
        let mut seen = Vec::new();
        let mut marker = Value::Null;
        loop {
            let page = bench.ok(operation, json!({ "Limit": 3, "Marker": marker }));
            let items = page[member].as_array().unwrap();
            assert!(items.len() <= 3);
            seen.extend(items.iter().map(|item| item[name].as_str().unwrap().to_owned()));
            marker = page["NextMarker"].clone();
            assert_eq!(page["Truncated"], !marker.is_null());
            if marker.is_null() {
                return seen;
            }
        }
    };
    assert_eq!(all("ListKeys", "Keys", "KeyId"), keys);
    assert_eq!(all("ListAliases", "Aliases", "AliasName").len(), 7);
    let one = bench.ok("ListAliases", json!({ "KeyId": keys[2] }));
    assert_eq!(one["Aliases"].as_array().unwrap().len(), 1);
    assert_eq!(bench.code("ListKeys", json!({ "Limit": 0 })), "ValidationException");
    assert_eq!(bench.code("ListKeys", json!({ "Limit": 1001 })), "ValidationException");
    assert_eq!(bench.code("ListKeys", json!({ "Marker": "***" })), "InvalidMarkerException");
}

#[test]
fn decrypt_checks_context_key_and_blob() {
    let bench = Bench::new();
    let (key, other) = (bench.key(), bench.key());
    let request = json!({ "KeyId": key, "KeySpec": "AES_256", "EncryptionContext": { "a": "b" } });
    let data_key = bench.ok("GenerateDataKey", request.clone());
    let blob = data_key["CiphertextBlob"].clone();
    let decrypt = |more: Value| {
        let mut request = json!({ "CiphertextBlob": blob });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let good = bench.ok("Decrypt", decrypt(json!({ "EncryptionContext": { "a": "b" }, "KeyId": key })));
    assert_eq!(good["Plaintext"], data_key["Plaintext"]);
    assert_eq!(
        bench.code("Decrypt", decrypt(json!({ "EncryptionContext": { "a": "c" } }))),
        "InvalidCiphertextException"
    );
    assert_eq!(bench.code("Decrypt", decrypt(json!({}))), "InvalidCiphertextException");
    let wrong_key = decrypt(json!({ "EncryptionContext": { "a": "b" }, "KeyId": other }));
    assert_eq!(bench.code("Decrypt", wrong_key), "IncorrectKeyException");
    assert_eq!(bench.code("Decrypt", json!({ "CiphertextBlob": "AAAA" })), "InvalidCiphertextException");
    let without = bench.ok("GenerateDataKeyWithoutPlaintext", request);
    assert!(without.get("Plaintext").is_none());
    for request in [
        json!({ "KeyId": key }),
        json!({ "KeyId": key, "KeySpec": "AES_256", "NumberOfBytes": 32 }),
        json!({ "KeyId": key, "NumberOfBytes": 1025 }),
        json!({ "KeyId": key, "KeySpec": "AES_512" }),
    ] {
        assert_eq!(bench.code("GenerateDataKey", request), "ValidationException");
    }
    let long = json!({ "KeyId": key, "Plaintext": STANDARD.encode([0; 4097]) });
    assert_eq!(bench.code("Encrypt", long), "ValidationException");
    let largest = json!({ "KeyId": key, "Plaintext": STANDARD.encode([0; 4096]) });
    let blob = bench.ok("Encrypt", largest)["CiphertextBlob"].clone();
    bench.ok("Decrypt", json!({ "CiphertextBlob": blob }));
}

#[test]
fn blobs_of_sse_s3_are_useless_to_clients() {
    let bench = Bench::new();
    let data_key = bench.kms.generate_data_key(Kms::SSE_S3, &EncryptionContext::new()).unwrap();
    let request = json!({ "CiphertextBlob": STANDARD.encode(&data_key.wrapped) });
    assert_eq!(bench.code("Decrypt", request), "AccessDeniedException");
    assert_eq!(bench.ok("ListKeys", json!({}))["Keys"], json!([]));
}

#[test]
fn aws_managed_key_is_made_once_and_only_s3_uses_it() {
    let bench = Bench::new();
    let arn = bench.kms.aws_managed_s3_key().unwrap();
    assert_eq!(bench.kms.aws_managed_s3_key().unwrap(), arn);
    assert_eq!(bench.kms.resolve_arn("alias/aws/s3").unwrap(), arn);
    assert_eq!(bench.ok("DescribeKey", json!({ "KeyId": "alias/aws/s3" }))["KeyMetadata"]["KeyManager"], "AWS");
    let id = arn.rsplit('/').next().unwrap();
    for (operation, request) in [
        ("DisableKey", json!({ "KeyId": id })),
        ("ScheduleKeyDeletion", json!({ "KeyId": id })),
        ("PutKeyPolicy", json!({ "KeyId": id, "Policy": "{}" })),
        ("EnableKeyRotation", json!({ "KeyId": id })),
        ("CreateAlias", json!({ "AliasName": "alias/mine", "TargetKeyId": id })),
        ("Encrypt", json!({ "KeyId": id, "Plaintext": "YQ==" })),
    ] {
        assert_eq!(bench.code(operation, request), "AccessDeniedException", "{operation}");
    }
    let context = EncryptionContext::new();
    let data_key = bench.kms.generate_data_key(&arn, &context).unwrap();
    assert_eq!(bench.kms.unwrap_data_key(&data_key.wrapped, &context).unwrap().plaintext, data_key.plaintext);
}

#[test]
fn key_policy_is_checked_kept_and_named_default() {
    let bench = Bench::new();
    let key = bench.key();
    let policy =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}"#;
    assert!(bench.ok("GetKeyPolicy", json!({ "KeyId": key }))["Policy"].as_str().unwrap().contains("key-default-1"));
    bench.ok("PutKeyPolicy", json!({ "KeyId": key, "PolicyName": "default", "Policy": policy }));
    assert_eq!(bench.ok("GetKeyPolicy", json!({ "KeyId": key, "PolicyName": "default" }))["Policy"], policy);
    assert_eq!(bench.code("PutKeyPolicy", json!({ "KeyId": key, "Policy": "{" })), "MalformedPolicyDocumentException");
    assert_eq!(bench.code("GetKeyPolicy", json!({ "KeyId": key, "PolicyName": "x" })), "NotFoundException");
    assert_eq!(bench.ok("ListKeyPolicies", json!({ "KeyId": key }))["PolicyNames"], json!(["default"]));
}

#[test]
fn tags_are_checked_replaced_and_removed() {
    let bench = Bench::new();
    let key = bench.key();
    let tag = |name: &str, value: &str| json!({ "KeyId": key, "Tags": [{ "TagKey": name, "TagValue": value }] });
    bench.ok("TagResource", tag("a", "1"));
    bench.ok("TagResource", tag("a", "2"));
    bench.ok("TagResource", tag("b", ""));
    let tags = || bench.ok("ListResourceTags", json!({ "KeyId": key }))["Tags"].clone();
    assert_eq!(tags(), json!([{ "TagKey": "a", "TagValue": "2" }, { "TagKey": "b", "TagValue": "" }]));
    bench.ok("UntagResource", json!({ "KeyId": key, "TagKeys": ["a", "none"] }));
    assert_eq!(tags(), json!([{ "TagKey": "b", "TagValue": "" }]));
    assert_eq!(bench.code("TagResource", tag("aws:x", "1")), "TagException");
    assert_eq!(bench.code("TagResource", tag("", "1")), "ValidationException");
    let many: Vec<Value> = (0..50).map(|n| json!({ "TagKey": format!("k{n}"), "TagValue": "" })).collect();
    assert_eq!(bench.code("TagResource", json!({ "KeyId": key, "Tags": many })), "TagException");
}

#[test]
fn callers_do_only_what_their_actions_name() {
    let bench = Bench::new();
    let key = bench.key();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("identities.json");
    let entries = r#"[{"access_key":"READER","secret_key":"a-long-secret","arn":"arn:aws:iam::000000000000:role/reader",
        "actions":["kms:Decrypt","kms:CreateKey"]}]"#;
    crate::secret_file::create(&file, entries.as_bytes()).unwrap();
    let pair = Credentials::open_or_create(&dir.path().join("credentials.json")).unwrap();
    let reader = Identities::open(&pair, ACCOUNT, Some(&file)).unwrap().get("READER").unwrap();
    let call = |operation: &str, request: Value| bench.kms.call(&reader, operation, request.to_string().as_bytes());
    call("Decrypt", json!({ "CiphertextBlob": bench.encrypt(&key) })).unwrap();
    let denied = call("Encrypt", json!({ "KeyId": key, "Plaintext": "YQ==" })).unwrap_err();
    assert_eq!(denied.code(), "AccessDeniedException");
    assert!(denied.to_string().contains("kms:Encrypt"));
    call("CreateKey", json!({})).unwrap();
    let tags = json!({ "Tags": [{ "TagKey": "a", "TagValue": "b" }] });
    assert_eq!(call("CreateKey", tags).unwrap_err().code(), "AccessDeniedException");
}
