//! A form upload (`POST` with a policy signed by SigV4), which no SDK makes: whoever gets such a form may write.
//!
//! Source: "Browser-Based Uploads Using POST (AWS Signature Version 4)" in the S3 API reference. The form asks for
//! the right encryption, so that only the statement against forms can refuse it.

use std::time::Duration;

use aws_lc_rs::hmac;
use aws_sdk_s3::config::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::provision::spec::BucketSpec;

/// How long the form may be used; it is sent at once.
const LIFE: Duration = Duration::from_mins(5);

const STAMP: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// A form, ready to be sent.
pub(super) struct Form {
    /// `multipart/form-data` with its boundary.
    pub(super) content_type: String,
    /// Fields and file.
    pub(super) body: Vec<u8>,
}

impl Form {
    /// A form that stores `file` under `key`, signed at `now`.
    pub(super) fn new(
        spec: &BucketSpec,
        key: &str,
        file: &[u8],
        credentials: &Credentials,
        now: OffsetDateTime,
    ) -> Self {
        let text = |format: &[BorrowedFormatItem<'_>]| now.format(format).expect("a date has all of its parts");
        let stamp = text(STAMP);
        let day = &stamp[..8];
        let scope = format!("{day}/{}/s3/aws4_request", spec.region);
        let mut fields = vec![
            ("key", key.to_owned()),
            ("x-amz-server-side-encryption", "aws:kms".to_owned()),
            ("x-amz-server-side-encryption-aws-kms-key-id", spec.key.to_string()),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("x-amz-credential", format!("{}/{scope}", credentials.access_key_id())),
            ("x-amz-date", stamp.clone()),
        ];
        if let Some(token) = credentials.session_token() {
            fields.push(("x-amz-security-token", token.to_owned()));
        }
        let conditions = fields.iter().map(|(name, value)| serde_json::json!({ *name: value }));
        let conditions: Vec<_> = conditions.chain([serde_json::json!({ "bucket": spec.bucket })]).collect();
        let expiration = (now + LIFE).format(&Rfc3339).expect("a date has all of its parts");
        let policy =
            STANDARD.encode(serde_json::json!({"expiration": expiration, "conditions": conditions}).to_string());
        fields.push(("x-amz-signature", signature(credentials.secret_access_key(), day, &spec.region, &policy)));
        fields.push(("policy", policy));

        let boundary = ulid::Ulid::generate().to_string();
        let mut body = Vec::new();
        for (name, value) in fields {
            let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(part.as_bytes());
        }
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"probe\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(file);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Self { content_type: format!("multipart/form-data; boundary={boundary}"), body }
    }
}

fn signature(secret: &str, day: &str, region: &str, text: &str) -> String {
    let sign = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let mut key = sign(format!("AWS4{secret}").as_bytes(), day);
    for part in [region, "s3", "aws4_request"] {
        key = sign(key.as_ref(), part);
    }
    hex::encode(sign(key.as_ref(), text))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::provision::plan::tests::spec;

    /// From the example of the S3 API reference.
    #[test]
    fn signature_is_the_one_of_the_reference() {
        let policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
        let signed = signature("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20151229", "us-east-1", policy);
        assert_eq!(signed, "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e");
    }

    #[test]
    fn form_asks_for_our_encryption_and_ends_with_the_file() {
        let keys = Credentials::new("AKIA", "secret", Some("token".to_owned()), None, "test");
        let form = Form::new(&spec(), "probes/1", b"bytes", &keys, datetime!(2026-01-02 03:04:05 UTC));
        let text = String::from_utf8(form.body).unwrap();
        for part in [
            "name=\"key\"\r\n\r\nprobes/1\r\n",
            "name=\"x-amz-credential\"\r\n\r\nAKIA/20260102/eu-west-1/s3/aws4_request\r\n",
            "name=\"x-amz-server-side-encryption-aws-kms-key-id\"\r\n\r\narn:aws:kms:",
            "name=\"x-amz-security-token\"\r\n\r\ntoken\r\n",
            "name=\"x-amz-date\"\r\n\r\n20260102T030405Z\r\n",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.trim_end().ends_with("--") && text.contains("\r\n\r\nbytes\r\n--") && !text.contains("secret"));
    }
}
