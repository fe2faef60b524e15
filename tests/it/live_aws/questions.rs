//! The questions on the wire: which writes each form of the policy lets through, and under which key they end.

use std::time::{Duration, Instant};

use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
    VersioningConfiguration,
};
use strongroom::domain::Sha256Digest;
use strongroom::provision::policy::bucket_policy;
use strongroom::provision::{Profile, Provisioned, Wanted};

use super::place::{Place, told};
use super::{Answer, Answers};

const BODY: &[u8] = b"weights";
const OTHER_BODY: &[u8] = b"weighed";
const UNDER_OURS: &str = "allowed, under the bucket's key";
const REFUSED: &str = "403 AccessDenied";
/// What the policy says when only the key's statement is left.
const KEY_ONLY: &str = "DenyWrongKmsKey";

struct Asking<'a> {
    place: &'a Place,
    ours: String,
    other: String,
    wanted: Wanted,
    made: &'a Provisioned,
}

/// Asks them all, in an order that needs few changes of the policy.
pub(super) async fn ask(place: &Place, made: &Provisioned, answers: &mut Answers) {
    let asking = Asking {
        place,
        ours: made.outputs.key_arn.clone(),
        other: place.another_key().await,
        wanted: place.wanted(),
        made,
    };
    asking.first_version(answers).await;
    asking.put_policy(&asking.policy(Profile::Explicit)).await;
    asking.rows("explicit", [REFUSED; 4], answers).await;
    asking.parts(answers).await;
    asking.copies(answers).await;
    asking.presigned(answers).await;
    asking.race(answers).await;
    asking.put_policy(&asking.policy(Profile::DefaultOk)).await;
    asking.rows("default-ok", [UNDER_OURS, REFUSED, REFUSED, REFUSED], answers).await;
    asking.put_policy(&asking.key_only()).await;
    let headerless = asking.outcome(asking.put("key-only"), "key-only").await;
    answers.push(open("no headers, when the policy only denies another key id", UNDER_OURS, headerless));
    asking.put_policy(&asking.policy(Profile::Explicit)).await;
}

fn agreed(question: &'static str, promised: &'static str, answered: String) -> Answer {
    Answer { question, promised, agreed: true, answered }
}

/// A question to which nobody knows AWS's answer for certain.
fn open(question: &'static str, promised: &'static str, answered: String) -> Answer {
    Answer { question, promised, agreed: false, answered }
}

impl Asking<'_> {
    fn policy(&self, profile: Profile) -> String {
        let wanted = Wanted { profile, ..self.wanted.clone() };
        bucket_policy(&wanted, &self.made.spec.key).render()
    }

    /// Our explicit policy with nothing but the statement about the key.
    fn key_only(&self) -> String {
        let mut policy: serde_json::Value = serde_json::from_str(&self.policy(Profile::Explicit)).unwrap();
        policy["Statement"].as_array_mut().unwrap().retain(|statement| statement["Sid"] == KEY_ONLY);
        assert_eq!(policy["Statement"].as_array().unwrap().len(), 1);
        policy.to_string()
    }

    async fn put_policy(&self, text: &str) {
        let put = self.place.clients.s3.put_bucket_policy().bucket(&self.place.bucket).policy(text);
        put.send().await.unwrap();
        self.place.settle().await;
    }

    fn put(&self, key: &str) -> PutObjectFluentBuilder {
        let s3 = &self.place.clients.s3;
        s3.put_object().bucket(&self.place.bucket).key(key).body(ByteStream::from_static(BODY))
    }

    fn dressed(&self, request: PutObjectFluentBuilder) -> PutObjectFluentBuilder {
        request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&self.ours)
    }

    /// What became of a write.
    async fn outcome(&self, request: PutObjectFluentBuilder, key: &str) -> String {
        match request.send().await {
            Ok(_) => self.lies_under(key).await,
            Err(error) => told(&error),
        }
    }

    async fn lies_under(&self, key: &str) -> String {
        let head = self.place.clients.s3.head_object().bucket(&self.place.bucket).key(key).send().await;
        match head {
            Ok(head) if head.ssekms_key_id() == Some(self.ours.as_str()) => UNDER_OURS.to_owned(),
            Ok(head) => format!(
                "allowed, under {} {}",
                head.server_side_encryption().map_or("nothing", ServerSideEncryption::as_str),
                head.ssekms_key_id().unwrap_or_default()
            ),
            Err(error) => format!("allowed, but not to be seen ({})", told(&error)),
        }
    }

    /// A minute has not passed since versioning was switched on.
    async fn first_version(&self, answers: &mut Answers) {
        // Once more, so that the time is known; it changes nothing.
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let s3 = &self.place.clients.s3;
        let put = s3.put_bucket_versioning().bucket(&self.place.bucket).versioning_configuration(enabled);
        put.send().await.unwrap();
        let written = self.dressed(self.put("first")).send().await.unwrap();
        let answered = match written.version_id() {
            None => "no version id",
            Some("null") => "the version id null",
            Some(_) => "a version id",
        };
        answers.push(open(
            "first write within a minute of PutBucketVersioning gets",
            "a version id",
            answered.to_owned(),
        ));
    }

    /// Rows 1, 3, 4 and 6 of the truth table.
    async fn rows(&self, form: &str, promised: [&'static str; 4], answers: &mut Answers) {
        let questions = if form == "explicit" {
            [
                "explicit policy, no headers",
                "explicit policy, aws:kms and another key",
                "explicit policy, aws:kms and no key",
                "explicit policy, aws:kms:dsse and our key",
            ]
        } else {
            [
                "default-ok policy, no headers",
                "default-ok policy, aws:kms and another key",
                "default-ok policy, aws:kms and no key",
                "default-ok policy, aws:kms:dsse and our key",
            ]
        };
        for (row, (question, promised)) in questions.into_iter().zip(promised).enumerate() {
            let key = format!("{form}-{row}");
            let until = Instant::now() + self.place.settling();
            let answered = loop {
                let put = self.put(&key);
                let put = match row {
                    0 => put,
                    1 => put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&self.other),
                    2 => put.server_side_encryption(ServerSideEncryption::AwsKms),
                    _ => put.server_side_encryption(ServerSideEncryption::AwsKmsDsse).ssekms_key_id(&self.ours),
                };
                let answered = self.outcome(put, &key).await;
                // A policy takes its time.
                if answered == promised || Instant::now() >= until {
                    break answered;
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            };
            answers.push(agreed(question, promised, answered));
        }
    }

    /// Begins an upload with the headers that the policy demands, and sends its one part without any.
    async fn upload(&self, key: &str) -> Result<(String, CompletedMultipartUpload), String> {
        let (s3, bucket) = (&self.place.clients.s3, &self.place.bucket);
        let begun = s3
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(&self.ours)
            .send()
            .await
            .map_err(|error| format!("CreateMultipartUpload: {}", told(&error)))?;
        let id = begun.upload_id().unwrap().to_owned();
        let digest = Sha256Digest::of(BODY).to_base64();
        let part = s3.upload_part().bucket(bucket).key(key).upload_id(&id).part_number(1).checksum_sha256(&digest);
        let part = part.body(ByteStream::from_static(BODY)).send().await;
        let part = part.map_err(|error| format!("UploadPart: {}", told(&error)))?;
        let part = CompletedPart::builder()
            .part_number(1)
            .set_e_tag(part.e_tag().map(str::to_owned))
            .checksum_sha256(digest)
            .build();
        Ok((id, CompletedMultipartUpload::builder().parts(part).build()))
    }

    async fn parts(&self, answers: &mut Answers) {
        let (s3, bucket) = (&self.place.clients.s3, &self.place.bucket);
        let answered = match self.upload("parts").await {
            Err(refused) => refused,
            Ok((id, parts)) => {
                let complete = s3.complete_multipart_upload().bucket(bucket).key("parts").upload_id(id);
                match complete.multipart_upload(parts).send().await {
                    Ok(_) => self.lies_under("parts").await,
                    Err(error) => format!("CompleteMultipartUpload: {}", told(&error)),
                }
            }
        };
        answers.push(open("explicit policy, upload in parts with headers only on its beginning", UNDER_OURS, answered));
    }

    async fn copies(&self, answers: &mut Answers) {
        let (s3, bucket) = (&self.place.clients.s3, &self.place.bucket);
        let copy = |to: &str| s3.copy_object().bucket(bucket).key(to).copy_source(format!("{bucket}/first"));
        let bare = match copy("copy-bare").send().await {
            Ok(_) => self.lies_under("copy-bare").await,
            Err(error) => told(&error),
        };
        answers.push(agreed("explicit policy, copy without headers", REFUSED, bare));
        let dressed = copy("copy").server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&self.ours);
        let dressed = match dressed.send().await {
            Ok(_) => self.lies_under("copy").await,
            Err(error) => told(&error),
        };
        answers.push(agreed("explicit policy, copy with headers", UNDER_OURS, dressed));
    }

    async fn presigned(&self, answers: &mut Answers) {
        let sign = async |key: &str| {
            let config = PresigningConfig::expires_in(Duration::from_mins(5)).unwrap();
            let digest = Sha256Digest::of(BODY).to_base64();
            let put = self.place.clients.s3.put_object().bucket(&self.place.bucket).key(key);
            self.dressed(put).checksum_sha256(digest).presigned(config).await.unwrap()
        };
        let with = sign("presigned").await;
        let answered = match self.send(&with, BODY, true).await.as_str() {
            "200" => self.lies_under("presigned").await,
            other => other.to_owned(),
        };
        answers.push(agreed("presigned PUT with signed encryption headers, sent with them", UNDER_OURS, answered));
        let answered = self.send(&sign("presigned-bare").await, BODY, false).await;
        answers.push(agreed("the same, sent without them", "403 SignatureDoesNotMatch", answered));
        let answered = self.send(&with, OTHER_BODY, true).await;
        answers.push(open("the same URL again, with another body of the same length", "400 BadDigest", answered));
    }

    /// Sends what was presigned, with its headers or without those of the encryption.
    async fn send(&self, signed: &PresignedRequest, body: &'static [u8], dressed: bool) -> String {
        let mut request = self.place.http.put(signed.uri()).body(body);
        for (name, value) in signed.headers() {
            if dressed || !name.starts_with("x-amz-server-side-encryption") {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
        code.map_or_else(|| status.to_string(), |code| format!("{status} {code}"))
    }

    /// Two uploads of one key that end at the same moment, each only if there is nothing yet.
    async fn race(&self, answers: &mut Answers) {
        let (s3, bucket) = (&self.place.clients.s3, &self.place.bucket);
        let (one, two) = (self.upload("race").await, self.upload("race").await);
        let complete = async |upload: Result<(String, CompletedMultipartUpload), String>| {
            let (id, parts) = upload?;
            let complete = s3.complete_multipart_upload().bucket(bucket).key("race").upload_id(id);
            let ended = complete.multipart_upload(parts).if_none_match("*").send().await;
            ended.map(drop).map_err(|error| told(&error))
        };
        let (one, two) = tokio::join!(complete(one), complete(two));
        let answered = match (one, two) {
            (Ok(()), Ok(())) => "both".to_owned(),
            (Ok(()), Err(refused)) | (Err(refused), Ok(())) => format!("one, the other {refused}"),
            (Err(one), Err(two)) => format!("none: {one}, {two}"),
        };
        let question = "two uploads that are completed at once with If-None-Match: *";
        answers.push(open(question, "one, the other 412 PreconditionFailed", answered));
    }
}
