//! The one place that puts encryption on a request.

use aws_sdk_s3::operation::copy_object::builders::CopyObjectFluentBuilder;
use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::types::ServerSideEncryption;

/// The key that every write names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// Full ARN; an alias could be pointed elsewhere, and a bare id resolves in the caller's account.
    pub kms_key_arn: String,
}

impl Encryption {
    pub(super) fn put(&self, request: PutObjectFluentBuilder) -> PutObjectFluentBuilder {
        request
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(&self.kms_key_arn)
            .bucket_key_enabled(true)
    }

    /// Parts and the completion follow what was said here; they carry no encryption of their own.
    pub(super) fn create(&self, request: CreateMultipartUploadFluentBuilder) -> CreateMultipartUploadFluentBuilder {
        request
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(&self.kms_key_arn)
            .bucket_key_enabled(true)
    }

    /// The source's own encryption is not inherited.
    pub(super) fn copy(&self, request: CopyObjectFluentBuilder) -> CopyObjectFluentBuilder {
        request
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(&self.kms_key_arn)
            .bucket_key_enabled(true)
    }

    /// Whether S3 says that it used this key.
    pub(super) fn is_what_s3_used(&self, algorithm: Option<&ServerSideEncryption>, key: Option<&str>) -> bool {
        algorithm == Some(&ServerSideEncryption::AwsKms) && key == Some(self.kms_key_arn.as_str())
    }
}
