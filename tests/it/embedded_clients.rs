//! The embedded S3 and KMS, used by clients that others wrote and that take it for AWS.
//!
//! What an answer must be is what AWS documents; the Python files beside `tools/install` hold most of it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use embedded_aws::{Config, EmbeddedAws};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    clients::{self, Ended, Run, Target, python, s3s_e2e},
    process::source,
    service::bytes,
};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn boto3_configures_a_bucket() {
    boto3_uses_s3("buckets").await;
}

#[tokio::test]
async fn bucket_policy_and_public_access_block_decide_over_boto3() {
    boto3_uses_s3("policies").await;
}

#[tokio::test]
async fn boto3_writes_reads_copies_and_tags_objects() {
    boto3_uses_s3("objects").await;
}

#[tokio::test]
async fn url_that_boto3_signed_works_without_boto3() {
    boto3_uses_s3("presigned").await;
}

#[tokio::test]
async fn every_checksum_algorithm_is_compared_and_kept() {
    boto3_uses_s3("checksums").await;
}

#[tokio::test]
async fn boto3_uploads_and_copies_in_parts() {
    boto3_uses_s3("multipart").await;
}

#[tokio::test]
async fn boto3_pages_through_objects_and_versions() {
    boto3_uses_s3("lists").await;
}

#[tokio::test]
async fn boto3_hears_of_its_mistakes_what_aws_would_say() {
    boto3_uses_s3("errors").await;
}

#[tokio::test]
async fn endpoint_of_another_region_wants_it_named() {
    let embedded = Embedded::start("eu-central-1").await;
    embedded.script("tests/tools/embedded_s3.py", &["elsewhere"]).await;
}

#[tokio::test]
async fn boto3_manages_and_uses_keys() {
    Embedded::start("us-east-1").await.script("tests/tools/embedded_kms.py", &[]).await;
}

#[tokio::test]
async fn aws_command_line_carries_a_folder_there_and_back() {
    let embedded = Embedded::start("us-east-1").await;
    let key = embedded.encrypted_bucket("folder").await;
    let dir = tempfile::tempdir().unwrap();
    let (here, back) = (dir.path().join("here"), dir.path().join("back"));
    let files = write_folder(&here);
    let (here, back) = (here.to_str().unwrap(), back.to_str().unwrap());

    embedded.aws(&["s3", "sync", here, "s3://folder/m", "--only-show-errors"]).await;
    assert_eq!(embedded.aws(&["s3", "sync", here, "s3://folder/m"]).await, "");
    let listed = embedded.aws(&["s3", "ls", "s3://folder", "--recursive", "--summarize"]).await;
    for (name, bytes) in &files {
        assert!(listed.lines().any(|line| line.ends_with(&format!(" {} m/{name}", bytes.len()))), "{name}: {listed}");
    }
    assert!(listed.contains(&format!("Total Objects: {}", files.len())), "{listed}");
    let listed = embedded.aws(&["s3", "ls", "s3://folder/m/"]).await;
    assert!(listed.lines().any(|line| line.trim() == "PRE sub dir/"), "{listed}");
    embedded.aws(&["s3", "cp", "s3://folder/m", back, "--recursive", "--only-show-errors"]).await;
    assert_eq!(read_folder(Path::new(back)), files);

    // Copied and moved without its bytes passing through the client, and deleted where the source has nothing.
    embedded.aws(&["s3", "mv", "s3://folder/m/large.bin", "s3://folder/moved.bin", "--only-show-errors"]).await;
    let moved = embedded.aws(&["s3", "cp", "s3://folder/moved.bin", &format!("{back}/moved"), "--quiet"]).await;
    assert_eq!(moved, "");
    assert!(fs::read(Path::new(back).join("moved")).unwrap() == files["large.bin"]);
    let head = ["s3api", "head-object", "--bucket", "folder", "--key", "moved.bin"];
    assert_eq!(embedded.aws_json(&head).await["SSEKMSKeyId"], key.as_str());
    fs::remove_file(Path::new(here).join("a b.txt")).unwrap();
    fs::remove_file(Path::new(here).join("large.bin")).unwrap();
    let synced = embedded.aws(&["s3", "sync", here, "s3://folder/m", "--delete"]).await;
    assert_eq!(synced, "delete: s3://folder/m/a b.txt");

    // The version 1 of the command line signs URLs in the old way unless it is told otherwise.
    let config = dir.path().join("config");
    fs::write(&config, "[default]\ns3 =\n  signature_version = s3v4\n").unwrap();
    let presign = ["s3", "presign", "s3://folder/m/zero+%20&#=?.bin", "--expires-in", "60"];
    let url = embedded.run(clients::aws(presign)).env("AWS_CONFIG_FILE", config).stdout().await;
    let answer = reqwest::get(url.trim()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (200, 0));

    // Versions keep a bucket from being removed.
    embedded.aws(&["s3", "rm", "s3://folder", "--recursive", "--only-show-errors"]).await;
    let refused = embedded.aws_fails(&["s3", "rb", "s3://folder"]).await;
    assert!(refused.contains("BucketNotEmpty"), "{refused}");
}

#[tokio::test]
async fn aws_command_line_configures_buckets_and_removes_versions() {
    let embedded = Embedded::start("us-east-1").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file").to_str().unwrap().to_owned();
    fs::write(&file, bytes(3, 6 * MIB)).unwrap();

    assert_eq!(embedded.aws(&["s3", "mb", "s3://cli"]).await, "make_bucket: cli");
    let enabled = "Status=Enabled";
    embedded.aws(&["s3api", "put-bucket-versioning", "--bucket", "cli", "--versioning-configuration", enabled]).await;
    let block = embedded.aws_json(&["s3api", "get-public-access-block", "--bucket", "cli"]).await;
    assert_eq!(block["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"], true);
    let key = embedded.aws(&["kms", "create-key", "--query", "KeyMetadata.Arn", "--output", "text"]).await;
    let default = json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key });
    let rules = json!({ "Rules": [{ "ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": true }] });
    let option = "--server-side-encryption-configuration";
    embedded.aws(&["s3api", "put-bucket-encryption", "--bucket", "cli", option, &rules.to_string()]).await;
    let statement = json!({
        "Sid": "NoAes256", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::cli/*",
        "Condition": { "StringEquals": { "s3:x-amz-server-side-encryption": "AES256" } },
    });
    let policy = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    embedded.aws(&["s3api", "put-bucket-policy", "--bucket", "cli", "--policy", &policy]).await;
    let refused = embedded.aws_fails(&["s3", "cp", &file, "s3://cli/refused", "--sse", "AES256"]).await;
    assert!(refused.contains("AccessDenied"), "{refused}");

    let put = ["s3api", "put-object", "--bucket", "cli", "--key", "ä/b c", "--body", &file];
    let put = embedded.aws_json(&[&put[..], &["--checksum-algorithm", "SHA256"]].concat()).await;
    assert_eq!(put["SSEKMSKeyId"], key.as_str());
    let copy = ["s3api", "copy-object", "--bucket", "cli", "--key", "copy", "--copy-source", "cli/ä/b c"];
    assert_eq!(embedded.aws_json(&copy).await["CopyObjectResult"]["ChecksumSHA256"], put["ChecksumSHA256"]);
    let wanted = ["--object-attributes", "ETag", "Checksum", "ObjectSize"];
    let named = ["s3api", "get-object-attributes", "--bucket", "cli", "--key", "ä/b c"];
    let attributes = embedded.aws_json(&[&named[..], &wanted[..]].concat()).await;
    assert_eq!(attributes["ObjectSize"], 6 * MIB);
    assert_eq!(attributes["Checksum"]["ChecksumSHA256"], put["ChecksumSHA256"]);
    // Without quotes here, and only here.
    assert_eq!(format!("\"{}\"", attributes["ETag"].as_str().unwrap()), put["ETag"].as_str().unwrap());

    embedded.aws(&["s3api", "delete-object", "--bucket", "cli", "--key", "copy"]).await;
    let versions = ["s3api", "list-object-versions", "--bucket", "cli", "--page-size", "1", "--query"];
    let query =
        "{Objects: [Versions[].{Key:Key,VersionId:VersionId}, DeleteMarkers[].{Key:Key,VersionId:VersionId}][]}";
    let all = embedded.aws_json(&[&versions[..], &[query]].concat()).await;
    assert_eq!(all["Objects"].as_array().unwrap().len(), 3);
    let all = all.to_string();
    let deleted = embedded.aws_json(&["s3api", "delete-objects", "--bucket", "cli", "--delete", &all]).await;
    assert_eq!(deleted["Deleted"].as_array().unwrap().len(), 3, "{deleted}");
    assert_eq!(embedded.aws(&["s3", "rb", "s3://cli"]).await, "remove_bucket: cli");

    let refused = embedded.aws_fails(&["s3", "cp", &file, "s3://cli/file"]).await;
    assert!(refused.contains("NoSuchBucket"), "{refused}");
    let stranger = embedded.run(clients::aws(["s3", "ls"])).env("AWS_SECRET_ACCESS_KEY", "wrong").ended().await;
    assert!(stranger.stderr.contains("SignatureDoesNotMatch"), "{}", stranger.stderr);
    assert!(stranger.stderr.contains("Check your key and signing method"), "{}", stranger.stderr);
}

#[tokio::test]
async fn aws_command_line_manages_and_uses_keys() {
    let embedded = Embedded::start("us-east-1").await;
    let dir = tempfile::tempdir().unwrap();
    let (plain, sealed) = (dir.path().join("plain"), dir.path().join("sealed"));
    fs::write(&plain, b"secret \x00\xff").unwrap();

    let created = embedded.aws_json(&["kms", "create-key", "--description", "models"]).await;
    let (id, arn) = (created["KeyMetadata"]["KeyId"].clone(), created["KeyMetadata"]["Arn"].clone());
    let (id, arn) = (id.as_str().unwrap(), arn.as_str().unwrap());
    let other = embedded.aws(&["kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text"]).await;
    embedded.aws(&["kms", "create-alias", "--alias-name", "alias/cli", "--target-key-id", id]).await;
    let described = embedded.aws_json(&["kms", "describe-key", "--key-id", "alias/cli"]).await;
    assert_eq!(described, created);
    embedded.aws(&["kms", "enable-key-rotation", "--key-id", id, "--rotation-period-in-days", "180"]).await;
    let rotation = embedded.aws_json(&["kms", "get-key-rotation-status", "--key-id", id]).await;
    assert_eq!((&rotation["KeyRotationEnabled"], &rotation["RotationPeriodInDays"]), (&json!(true), &json!(180)));

    let text = ["--output", "text", "--query"];
    let plaintext = format!("fileb://{}", plain.display());
    let encrypt = ["kms", "encrypt", "--key-id", "alias/cli", "--plaintext", &plaintext];
    let context = ["--encryption-context", "purpose=test"];
    let blob = embedded.aws(&[&encrypt[..], &context[..], &text[..], &["CiphertextBlob"]].concat()).await;
    fs::write(&sealed, STANDARD.decode(blob).unwrap()).unwrap();
    let ciphertext = format!("fileb://{}", sealed.display());
    let decrypt = ["kms", "decrypt", "--ciphertext-blob", &ciphertext];
    let opened = embedded.aws(&[&decrypt[..], &context[..], &text[..], &["Plaintext"]].concat()).await;
    assert_eq!(STANDARD.decode(opened).unwrap(), b"secret \x00\xff");
    let refused = embedded.aws_fails(&decrypt).await;
    assert!(refused.contains("InvalidCiphertextException"), "{refused}");
    let data_key = embedded.aws_json(&["kms", "generate-data-key", "--key-id", arn, "--key-spec", "AES_256"]).await;
    assert_eq!(STANDARD.decode(data_key["Plaintext"].as_str().unwrap()).unwrap().len(), 32);

    let schedule = ["kms", "schedule-key-deletion", "--key-id", id, "--pending-window-in-days", "7"];
    assert_eq!(embedded.aws_json(&schedule).await["KeyState"], "PendingDeletion");
    let refused = embedded.aws_fails(&[&decrypt[..], &context[..]].concat()).await;
    assert!(refused.contains("KMSInvalidStateException"), "{refused}");
    assert_eq!(embedded.aws_json(&["kms", "cancel-key-deletion", "--key-id", id]).await["KeyId"], arn);
    let listed = embedded.aws_json(&["kms", "list-keys", "--page-size", "1"]).await;
    let listed: Vec<&Value> = listed["Keys"].as_array().unwrap().iter().map(|key| &key["KeyId"]).collect();
    assert!(listed.contains(&&json!(id)) && listed.contains(&&json!(other)), "{listed:?}");
}

#[tokio::test]
async fn rclone_carries_odd_names_there_and_back() {
    rclone_carries_odd_names(&[("PROVIDER", "Other")]).await;
}

#[tokio::test]
async fn rclone_that_takes_it_for_aws_carries_odd_names_there_and_back() {
    // Of AWS it expects TLS; over plain HTTP it can neither hash a stream in advance nor append its checksum.
    let settings = [("PROVIDER", "AWS"), ("USE_DATA_INTEGRITY_PROTECTIONS", "false"), ("USE_UNSIGNED_PAYLOAD", "true")];
    rclone_carries_odd_names(&settings).await;
}

#[tokio::test]
async fn rclone_must_be_told_of_sse_kms_as_on_aws() {
    let embedded = Embedded::start("us-east-1").await;
    embedded.encrypted_bucket("untold").await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"bytes").unwrap();
    let local = dir.path().to_str().unwrap();
    // An ETag under SSE-KMS is no MD5, and rclone's manual says what follows.
    let copy = clients::rclone(["copy", "--retries", "1", local, "s3:untold"]);
    let refused = embedded.run(copy).ended().await;
    assert!(!refused.success && refused.stderr.contains("md5 hashes differ"), "{refused:?}");
}

#[tokio::test]
async fn s3s_e2e_passes_without_its_sts_case() {
    /// There is no STS: credentials are those of the endpoint's own files.
    const LEFT_OUT: &str = "Advanced/STS/test_assume_role";

    let embedded = Embedded::start("us-east-1").await;
    let listed = embedded.run(s3s_e2e(["--list"])).stdout().await;
    let (left_out, cases): (Vec<&str>, Vec<&str>) =
        listed.lines().filter(|line| line.contains("/test_")).partition(|case| *case == LEFT_OUT);
    assert_eq!(left_out.len(), 1, "{listed}");
    assert_eq!(cases.len(), 17, "{listed}");

    let filters = cases.iter().map(|case| format!("--filter=^{case}$"));
    let ended = embedded.run(s3s_e2e(filters)).ended().await;

    assert!(ended.success, "{}\n{}", ended.stdout, ended.stderr);
    for case in cases {
        let passed = |line: &str| line.starts_with("PASSED") && line.ends_with(&format!("[{case}]"));
        assert!(ended.stdout.lines().any(passed), "{case}\n{}\n{}", ended.stdout, ended.stderr);
    }
}

#[tokio::test]
async fn connection_ends_with_an_answer_before_100_continue() {
    let embedded = Embedded::start("us-east-1").await;
    // botocore sends such heads. Refused at once, it keeps the body back, and another request would come next;
    // and after an empty body, it would read that one's answer in the wrong way and hang.
    for length in [5, 0] {
        let mut connection = TcpStream::connect(embedded.server.addr()).await.unwrap();
        let head = "PUT /bucket/key HTTP/1.1\r\nhost: s3\r\nexpect: 100-continue\r\n";
        connection.write_all(format!("{head}content-length: {length}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(10), connection.read_to_string(&mut answer));
        read.await.expect("the connection ends").unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    }
}

/// An endpoint of its own, in the test's process.
struct Embedded {
    server: EmbeddedAws,
    url: String,
    region: &'static str,
    // Removed after the server has ended.
    _dir: TempDir,
}

impl Embedded {
    async fn start(region: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { region: region.to_owned(), ..Config::new(dir.path().join("embedded")) };
        let server = EmbeddedAws::start(config).await.unwrap();
        Self { url: format!("http://{}", server.addr()), server, region, _dir: dir }
    }

    /// Tells a client where it is.
    fn run(&self, run: Run) -> Run {
        let credentials = self.server.credentials();
        let target = Target {
            s3_endpoint: &self.url,
            region: self.region,
            access_key: credentials.access_key(),
            secret_key: credentials.secret_key(),
            ca_file: None,
        };
        run.at(target).env("AWS_ENDPOINT_URL_KMS", &self.url)
    }

    /// Runs one of the project's Python files; it fails with the line that did.
    async fn script(&self, path: &str, arguments: &[&str]) -> String {
        let start = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')";
        self.run(python(start).args([source(path)]).args(arguments)).stdout().await
    }

    async fn aws(&self, arguments: &[&str]) -> String {
        self.run(clients::aws(arguments)).stdout().await.trim().to_owned()
    }

    async fn aws_json(&self, arguments: &[&str]) -> Value {
        let output = self.aws(arguments).await;
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{output}"))
    }

    /// What the command line complains of.
    async fn aws_fails(&self, arguments: &[&str]) -> String {
        let Ended { success, stdout, stderr } = self.run(clients::aws(arguments)).ended().await;
        assert!(!success, "{arguments:?} succeeded: {stdout}");
        stdout + &stderr
    }

    /// A versioned bucket that encrypts with a new key by default; gives the key's ARN.
    async fn encrypted_bucket(&self, name: &str) -> String {
        let script = "
import boto3, json, sys
s3, here = boto3.client('s3'), {'Bucket': sys.argv[1]}
key = boto3.client('kms').create_key()['KeyMetadata']['Arn']
s3.create_bucket(**here)
s3.put_bucket_versioning(**here, VersioningConfiguration={'Status': 'Enabled'})
rule = {'ApplyServerSideEncryptionByDefault': {'SSEAlgorithm': 'aws:kms', 'KMSMasterKeyID': key}}
rules = {'Rules': [rule | {'BucketKeyEnabled': True}]}
s3.put_bucket_encryption(**here, ServerSideEncryptionConfiguration=rules)
print(key)";
        self.run(python(script).args([name])).stdout().await.trim().to_owned()
    }
}

async fn boto3_uses_s3(subject: &str) {
    Embedded::start("us-east-1").await.script("tests/tools/embedded_s3.py", &[subject]).await;
}

async fn rclone_carries_odd_names(settings: &[(&str, &str)]) {
    let embedded = Embedded::start("us-east-1").await;
    let key = embedded.encrypted_bucket("odd-names").await;
    let dir = tempfile::tempdir().unwrap();
    let (here, back) = (dir.path().join("here"), dir.path().join("back"));
    let mut files = write_folder(&here);
    let (here_name, back_name) = (here.to_str().unwrap(), back.to_str().unwrap());
    let rclone = async |arguments: &[&str]| {
        let mut run =
            embedded.run(clients::rclone(arguments)).env("RCLONE_CONFIG_S3_SERVER_SIDE_ENCRYPTION", "aws:kms");
        run = run.env("RCLONE_CONFIG_S3_SSE_KMS_KEY_ID", &key);
        for (name, value) in settings {
            run = run.env(&format!("RCLONE_CONFIG_S3_{name}"), value);
        }
        let ended = run.ended().await;
        assert!(ended.success, "rclone {arguments:?}\n{}\n{}", ended.stdout, ended.stderr);
        ended
    };

    rclone(&["mkdir", "s3:odd-names"]).await;
    rclone(&["copy", here_name, "s3:odd-names/m"]).await;
    let listed = rclone(&["lsf", "-R", "--files-only", "s3:odd-names/m"]).await.stdout;
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, files.keys().collect::<Vec<_>>());
    let matching = format!("{} matching files", files.len());
    for by in ["--checksum", "--download"] {
        let checked = rclone(&["check", by, here_name, "s3:odd-names/m"]).await.stderr;
        assert!(checked.contains(&matching) && checked.contains("0 differences"), "{checked}");
        assert!(!checked.contains("could not be checked"), "{checked}");
    }
    let again = rclone(&["sync", "-v", here_name, "s3:odd-names/m"]).await.stderr;
    assert!(again.contains("There was nothing to transfer"), "{again}");

    // Without bytes through the client, then after changes, then back.
    let copied = rclone(&["sync", "-v", "s3:odd-names/m", "s3:odd-names/n"]).await.stderr;
    assert!(copied.contains(&format!("Server Side Copies: {:>5} @", files.len())), "{copied}");
    fs::write(here.join("a b.txt"), "changed").unwrap();
    fs::remove_file(here.join("large.bin")).unwrap();
    files.insert("a b.txt".to_owned(), b"changed".to_vec());
    files.remove("large.bin");
    rclone(&["sync", here_name, "s3:odd-names/n"]).await;
    rclone(&["copy", "s3:odd-names/n", back_name]).await;
    assert_eq!(read_folder(&back), files);

    // Deleting keeps the versions, purging takes them and the bucket.
    rclone(&["delete", "s3:odd-names"]).await;
    assert_eq!(rclone(&["lsf", "-R", "--files-only", "s3:odd-names"]).await.stdout, "");
    let versions = rclone(&["lsf", "-R", "--files-only", "--s3-versions", "s3:odd-names"]).await.stdout;
    assert!(versions.lines().count() > 2 * files.len(), "{versions}");
    rclone(&["purge", "s3:odd-names"]).await;
    assert_eq!(rclone(&["lsd", "s3:"]).await.stdout, "");
}

/// Writes files with names that clients and servers get wrong, one of them larger than a part; gives them by path.
fn write_folder(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = [
        "a b.txt",
        "zero+%20&#=?.bin",
        " leading and trailing ",
        "back\\slash|\"<>:*",
        "sub dir/naïve+%2F.bin",
        "sub dir/ü ✓/,;'()[]{}~!@$^`.x",
    ];
    let mut files: BTreeMap<String, Vec<u8>> = names
        .iter()
        .zip(1..)
        .map(|(name, seed)| (name.to_string(), bytes(seed, if name.starts_with("zero") { 0 } else { 1000 })))
        .collect();
    files.insert("large.bin".to_owned(), bytes(99, 9 * MIB));
    for (name, bytes) in &files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(bytes).unwrap();
        // Lists have whole seconds; a file of the same second would look newer than its copy.
        file.set_modified(SystemTime::now() - Duration::from_mins(1)).unwrap();
    }
    files
}

/// All files below a directory, by path.
fn read_folder(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn read(dir: &Path, below: PathBuf, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
        for entry in fs::read_dir(dir.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                read(dir, path, files)?;
            } else {
                files.insert(path.to_str().unwrap().to_owned(), fs::read(entry.path())?);
            }
        }
        Ok(())
    }
    let mut files = BTreeMap::new();
    read(dir, PathBuf::new(), &mut files).unwrap();
    files
}
