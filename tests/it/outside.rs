//! The S3 and KMS that others wrote, and the clients that people use: what the other tests may rely on.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{BucketVersioningStatus, ServerSideEncryption, VersioningConfiguration},
};

use crate::support::{
    clients::{Target, aws, python, rclone},
    outside::{CANNOT, Outside, cannot, seaweedfs_with_localstack},
    process::Guarded,
};

#[tokio::test]
async fn seaweedfs_answers_over_tls_and_localstack_makes_keys() {
    let outside = seaweedfs_with_localstack().await;
    let (s3, kms) = (outside.s3(), outside.kms());

    let key = kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let arn = key.arn.unwrap();
    let bucket = versioned_bucket(outside, "sdk").await;
    let put = s3
        .put_object()
        .bucket(&bucket)
        .key("weights")
        .body(ByteStream::from_static(b"bytes"))
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .ssekms_key_id(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(put.ssekms_key_id(), Some(arn.as_str()));

    let get = s3.get_object().bucket(&bucket).key("weights").version_id(put.version_id.unwrap()).send().await.unwrap();
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), "bytes");
}

#[tokio::test]
async fn policy_that_demands_tls_refuses_the_plain_endpoint_only() {
    let outside = seaweedfs_with_localstack().await;
    let bucket = versioned_bucket(outside, "tls").await;
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }],
    });
    outside.s3().put_bucket_policy().bucket(&bucket).policy(policy.to_string()).send().await.unwrap();

    assert!(outside.s3().list_objects_v2().bucket(&bucket).send().await.is_ok());
    let refused = outside.s3_plain().list_objects_v2().bucket(&bucket).send().await.unwrap_err();
    assert_eq!(refused.raw_response().map(|response| response.status().as_u16()), Some(403));
}

#[tokio::test]
async fn boto3_aws_and_rclone_read_what_each_other_wrote() {
    let outside = seaweedfs_with_localstack().await;
    let bucket = versioned_bucket(outside, "clients").await;
    let target = target(outside);

    let script = "import boto3, sys; boto3.client('s3').put_object(Bucket=sys.argv[1], Key='from boto3', Body=b'one')";
    python(script).args([&bucket]).at(target).stdout().await;
    let listed = aws(["s3", "ls", &format!("s3://{bucket}/")]).at(target).stdout().await;
    assert!(listed.contains("from boto3"), "{listed}");
    let read = rclone(["cat", &format!("s3:{bucket}/from boto3")]).at(target).stdout().await;
    assert_eq!(read, "one");

    let missing = aws(["s3", "ls", "s3://no-such-bucket-here/"]).at(target).ended().await;
    assert!(!missing.success);
    assert!(missing.stderr.contains("NoSuchBucket"), "{} {}", missing.stdout, missing.stderr);
}

#[tokio::test]
async fn pair_has_exactly_the_limits_that_are_listed() {
    let outside = seaweedfs_with_localstack().await;
    let output = python(include_str!("../tools/outside_limits.py"))
        .args([&outside.kms_endpoint])
        .at(target(outside))
        .stdout()
        .await;
    let seen: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&output).unwrap();

    for (feature, result) in &seen {
        assert_eq!(*result, true, "no longer so, or not quite: {}", cannot(feature));
    }
    let listed: BTreeSet<_> = CANNOT.iter().map(|(feature, _)| *feature).collect();
    let proved: BTreeSet<_> = seen.keys().map(String::as_str).collect();
    assert_eq!(listed, proved);
}

#[test]
fn guarded_program_that_ignores_sigterm_ends_with_its_guard() {
    let dir = tempfile::tempdir().unwrap().keep();
    // A child of the shell, which the shell does not take along.
    let script = "trap '' TERM; sleep 600 & echo $! > new; mv new child; wait";
    let arguments = ["-c", script].map(String::from);
    let guarded = Guarded::start("sh", &dir, Path::new("/bin/sh"), &arguments, &[], &[]).unwrap();
    let child = eventually(|| fs::read_to_string(dir.join("child")).ok());
    assert!(is_running(child.trim()));

    drop(guarded);

    assert!(!dir.exists());
    // Whoever adopts it may take a moment to bury it.
    eventually(|| (!is_running(child.trim())).then_some(()));
}

fn is_running(pid: &str) -> bool {
    let asked = Command::new("sh").args(["-c", "kill -0 \"$0\"", pid]).stderr(Stdio::null()).status();
    asked.unwrap().success()
}

/// What `look` finds within ten seconds.
fn eventually<T>(look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within ten seconds");
        thread::sleep(Duration::from_millis(20));
    }
}

fn target(outside: &Outside) -> Target<'_> {
    Target {
        s3_endpoint: &outside.s3_endpoint,
        region: outside.region,
        access_key: outside.access_key,
        secret_key: outside.secret_key,
        ca_file: Some(&outside.ca_file),
    }
}

async fn versioned_bucket(outside: &Outside, purpose: &str) -> String {
    let bucket = format!("outside-{purpose}");
    let s3 = outside.s3();
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    s3.put_bucket_versioning()
        .bucket(&bucket)
        .versioning_configuration(VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build())
        .send()
        .await
        .unwrap();
    bucket
}
