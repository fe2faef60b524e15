//! What a service does in a day, each played with an identity of its own; a failure is a text.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use futures::FutureExt as _;
use reqwest::multipart::Part;
use reqwest::{Method, StatusCode};
use strongroom::provision::{self, BucketSpec, Clients, Status};

use super::{ROLE, clients, wanted};
use crate::support::service::{BackEnd, Service, bytes, form, hex_sha256, repr_digest};

const MIB: usize = 1024 * 1024;

/// A part of the work, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// A start on an empty bucket: the claim, the canary and the probes.
    FirstStart,
    /// Uploads of every form, published, listed and read: through the service and by presigned URL.
    UploadsAndReads,
    /// An upload that fails at its end, and leaves nothing.
    FailedUpload,
    /// A start after a kill in the middle of an upload: the half file is gone.
    RecoveryAfterKill,
    /// The watch's look: it shows every claim as it is.
    Look,
}

impl Scenario {
    pub(super) const ALL: [Self; 5] =
        [Self::FirstStart, Self::UploadsAndReads, Self::FailedUpload, Self::RecoveryAfterKill, Self::Look];

    /// As docs/SECURITY.md names it.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::FirstStart => "first start",
            Self::UploadsAndReads => "uploads and reads",
            Self::FailedUpload => "failed upload",
            Self::RecoveryAfterKill => "recovery after a kill",
            Self::Look => "look of the watch",
        }
    }

    /// Plays it on a service of its own that has this identity.
    pub(super) async fn play(self, identities: &Path, access_key: &str) -> Result<(), String> {
        let service = start(identities, access_key).await?;
        match self {
            // The rest of the work is worth nothing without it, and nothing of it is tried here.
            Self::FirstStart => Ok(()),
            Self::UploadsAndReads => uploads_and_reads(&service).await,
            Self::FailedUpload => failed_upload(&service).await,
            Self::RecoveryAfterKill => recovery(service).await,
            Self::Look => look(&service, access_key).await,
        }
    }
}

/// A service that itself has this identity, on an empty bucket.
pub(super) async fn start(identities: &Path, access_key: &str) -> Result<Service, String> {
    let settings = format!(
        "identities_file = '{}'\nembedded_identity = '{access_key}'\nruntime_principals = '{ROLE}'",
        identities.display()
    );
    // A start that fails panics, with what the service said.
    let started = AssertUnwindSafe(Service::start_with(BackEnd::Embedded, &settings)).catch_unwind().await;
    let service = started
        .map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "the start panicked".to_owned()))?;
    let ready = service.json("/readyz").await;
    if ready["writes"] == "ok" { Ok(service) } else { Err(format!("{ready}\n{}", service.log())) }
}

async fn uploads_and_reads(service: &Service) -> Result<(), String> {
    let small = service.upload("a/raw", "m.bin", b"small").await;
    expect("a raw upload", StatusCode::CREATED, small.status(), service)?;
    let (large, config) = (bytes(1, 20 * MIB), b"{}".to_vec());
    let parts = form().part("weights/m.bin", Part::bytes(large.clone())).part("config.json", Part::bytes(config));
    let answer = service.request(Method::POST, "/v1/models/a/form/versions").multipart(parts).send().await;
    expect("a form upload", StatusCode::CREATED, answer.map_err(told)?.status(), service)?;

    let version = service.json("/v1/models/a/form/versions/latest").await;
    if version["file_count"] != 2 {
        return Err(format!("the version has {version}"));
    }
    let file = "/v1/models/a/form/versions/1/files/weights/m.bin";
    let proxied = service.get(&format!("{file}?via=proxy")).await.bytes().await.map_err(told)?;
    let redirect = service.get(&format!("{file}?via=redirect")).await;
    expect("a redirect", StatusCode::TEMPORARY_REDIRECT, redirect.status(), service)?;
    let url = redirect.headers()["location"].to_str().map_err(told)?.to_owned();
    let presigned = reqwest::get(url).await.map_err(told)?.bytes().await.map_err(told)?;
    for (how, read) in [("through the service", proxied), ("by presigned URL", presigned)] {
        if hex_sha256(&read) != hex_sha256(&large) {
            return Err(format!(
                "{how}, other bytes came back: {}",
                String::from_utf8_lossy(&read[..read.len().min(500)])
            ));
        }
    }
    Ok(())
}

/// The digest is wrong, which only the end of the body shows: its parts are in S3 by then.
async fn failed_upload(service: &Service) -> Result<(), String> {
    let answer = service
        .request(Method::POST, "/v1/models/a/b/versions?path=m.bin")
        .header("repr-digest", repr_digest(b"something else"))
        .body(bytes(2, 20 * MIB))
        .send()
        .await
        .map_err(told)?;
    if answer.status().is_success() {
        return Err("a wrong digest was accepted".to_owned());
    }
    nothing_left(service).await
}

async fn recovery(service: Service) -> Result<(), String> {
    service.published("kept/m", "m.bin", b"acknowledged").await;
    let service = service.killed_in_an_upload().await;
    let kept = service.get("/v1/models/kept/m/versions/1/files/m.bin").await.bytes().await.map_err(told)?;
    if kept != "acknowledged" {
        return Err("the published file is not what it was".to_owned());
    }
    nothing_left(&service).await
}

/// No draft and no unfinished upload; what recovery tries again is waited for.
async fn nothing_left(service: &Service) -> Result<(), String> {
    for _ in 0..20 {
        if service.rows("drafts").await == 0 && service.in_bucket().await.uploads.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (drafts, bucket) = (service.rows("drafts").await, service.in_bucket().await);
    Err(format!("{drafts} draft(s) are left, and {bucket:?}\n{}", service.log()))
}

/// What an identity sees is what the administrator sees, claim by claim.
pub(super) async fn look(service: &Service, access_key: &str) -> Result<(), String> {
    let wanted = wanted(&service.bucket);
    let spec = BucketSpec::new(&wanted, service.key_arn.parse().map_err(told)?);
    let administrator = Clients { s3: service.s3().await, kms: service.kms().await, ..clients(service, access_key) };
    let all = provision::posture(&administrator, &wanted, &spec).await;
    let seen = provision::posture(&clients(service, access_key), &wanted, &spec).await;
    if all.iter().all(|finding| finding.status != Status::Passed) {
        return Err(format!("the administrator sees nothing that passes: {all:?}"));
    }
    let less = all.iter().zip(&seen).filter(|(all, seen)| all.claim != seen.claim || all.status != seen.status);
    let less: Vec<_> = less.map(|(_, seen)| format!("{}: {}", seen.claim, seen.observed)).collect();
    if all.len() == seen.len() && less.is_empty() { Ok(()) } else { Err(less.join("\n")) }
}

/// What a serving role must not be able to do, by name, and whether it was refused.
pub(super) async fn forbidden(service: &Service, clients: &Clients) -> Vec<(&'static str, bool)> {
    let (s3, kms, bucket, key) = (&clients.s3, &clients.kms, service.bucket.as_str(), service.key_arn.as_str());
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let stored = service.s3().await.list_object_versions().bucket(bucket).prefix("models/").send().await.unwrap();
    let stored = &stored.versions()[0];
    let (name, version) = (stored.key().unwrap(), stored.version_id().unwrap());
    let policy = r#"{"Version":"2012-10-17","Statement":[]}"#;
    macro_rules! refused {
        ($($call:expr),+ $(,)?) => {
            vec![$((
                stringify!($call).split('(').next().unwrap_or_default(),
                $call.send().await.err().is_some_and(|error| {
                    error.raw_response().is_some_and(|response| matches!(response.status().as_u16(), 400 | 403))
                        && format!("{error:?}").contains("AccessDenied")
                }),
            )),+]
        };
    }
    refused![
        s3.put_bucket_policy().bucket(bucket).policy(policy),
        s3.delete_bucket_policy().bucket(bucket),
        s3.put_bucket_versioning().bucket(bucket).versioning_configuration(suspended),
        s3.delete_public_access_block().bucket(bucket),
        s3.delete_bucket_encryption().bucket(bucket),
        s3.delete_bucket_lifecycle().bucket(bucket),
        s3.delete_bucket_tagging().bucket(bucket),
        s3.delete_bucket_ownership_controls().bucket(bucket),
        s3.delete_bucket().bucket(bucket),
        s3.create_bucket().bucket("another"),
        s3.list_buckets(),
        s3.put_object().bucket(bucket).key("elsewhere/x"),
        s3.get_object().bucket(bucket).key("elsewhere/x"),
        s3.create_multipart_upload().bucket(bucket).key("elsewhere/x"),
        s3.list_objects_v2().bucket("another"),
        s3.delete_object().bucket(bucket).key(name),
        s3.delete_object().bucket(bucket).key(name).version_id(version),
        kms.create_key(),
        kms.schedule_key_deletion().key_id(key).pending_window_in_days(10),
        kms.disable_key().key_id(key),
        kms.disable_key_rotation().key_id(key),
        kms.put_key_policy().key_id(key).policy(policy),
        kms.create_alias().alias_name("alias/another").target_key_id(key),
        kms.delete_alias().alias_name(format!("alias/{bucket}")),
        kms.list_keys(),
    ]
}

fn expect(what: &str, expected: StatusCode, found: StatusCode, service: &Service) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} answered {found}\n{}", service.log())) }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
