//! Two roles: one that provisions, assumed for that alone, and one that serves and may not change the bucket.
//!
//! S3 and KMS are SeaweedFS and LocalStack. SeaweedFS knows only fixed credentials, so the STS is a stand-in that gives
//! those of its administrator to whoever assumes the role.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;

use crate::support::outside::{Outside, seaweedfs_with_localstack};
use crate::support::service::{BackEnd, Service};

const ROLE: &str = "arn:aws:iam::000000000000:role/strongroom-provisioner";

/// What was asked of the STS: the form and who signed it.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

struct Sts {
    address: SocketAddr,
    asked: Asked,
}

impl Sts {
    async fn start(outside: &'static Outside) -> Self {
        let asked = Asked::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = move |State(asked): State<Asked>, headers: HeaderMap, form: String| async move {
            let signed = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            asked.lock().unwrap().push((form, signed.unwrap_or_default()));
            let body = format!(
                "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
                 <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken></SessionToken>\
                 <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>AROA:s\
                 </AssumedRoleId><Arn>{ROLE}</Arn></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>",
                outside.access_key, outside.secret_key
            );
            ([("content-type", "text/xml")], body).into_response()
        };
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&asked));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    fn environment(&self, outside: &Outside) -> Vec<(&'static str, String)> {
        let (access_key, secret_key) = outside.serving;
        vec![
            ("AWS_ACCESS_KEY_ID", access_key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret_key.to_owned()),
            ("AWS_ENDPOINT_URL_STS", format!("http://{}", self.address)),
        ]
    }
}

#[tokio::test]
async fn provisioning_assumes_its_own_role_and_the_serving_role_never_changes_the_bucket() {
    let outside = seaweedfs_with_localstack().await;
    let sts = Sts::start(outside).await;

    let settings = format!("provision_role_arn = '{ROLE}'");
    let service = Service::start_in(BackEnd::SeaweedFs, &settings, sts.environment(outside)).await;

    service.published("vision/resnet", "model.bin", b"weights").await;
    assert!(outside.s3().get_bucket_policy().bucket(&service.bucket).send().await.is_ok());
    let asked = sts.asked.lock().unwrap().clone();
    assert!(!asked.is_empty());
    for (form, signed) in asked {
        assert!(form.contains("Action=AssumeRole") && form.contains("strongroom-provisioner"), "{form}");
        assert!(signed.contains(&format!("Credential={}/", outside.serving.0)), "{signed}");
    }
}

#[tokio::test]
async fn serving_role_alone_cannot_provision_and_is_told_what_it_lacks() {
    let outside = seaweedfs_with_localstack().await;
    let sts = Sts::start(outside).await;

    let told = Service::refused_first_start(BackEnd::SeaweedFs, "", sts.environment(outside)).await;

    assert!(told.contains("s3:CreateBucket"), "{told}");
    assert!(sts.asked.lock().unwrap().is_empty());
}
