//! The table of what is implemented; s3s answers `NotImplemented` for every operation that is not here.

use super::{Store, bucket, list, multipart, object};
use s3s::{S3, S3Request, S3Response, S3Result, dto};

macro_rules! operations {
    ($($operation:ident($input:ident) -> $output:ident = $implementation:path $(, $now:ident)?;)*) => {
        #[async_trait::async_trait]
        impl S3 for Store {
            $(
                async fn $operation(
                    &self,
                    request: S3Request<dto::$input>,
                ) -> S3Result<S3Response<dto::$output>> {
                    operations!(@answer $implementation(self, request) $(, $now)?)
                }
            )*
        }
    };
    (@answer $answer:expr) => { $answer.await };
    // Answered from records at hand.
    (@answer $answer:expr, now) => { $answer };
}

operations! {
    // Buckets
    create_bucket(CreateBucketInput) -> CreateBucketOutput = bucket::create::create_bucket;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = bucket::create::head_bucket, now;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = bucket::create::get_bucket_location, now;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = bucket::delete::delete_bucket;
    list_buckets(ListBucketsInput) -> ListBucketsOutput = bucket::list::list_buckets;

    // Their configuration
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput = bucket::versioning::put_bucket_versioning;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = bucket::versioning::get_bucket_versioning, now;
    put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput = bucket::encryption::put_bucket_encryption;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput = bucket::encryption::get_bucket_encryption, now;
    delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput = bucket::encryption::delete_bucket_encryption;
    put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput = bucket::policy::put_bucket_policy;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput = bucket::policy::get_bucket_policy, now;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput = bucket::policy::get_bucket_policy_status, now;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput = bucket::policy::delete_bucket_policy;
    put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput = bucket::access_block::put_public_access_block;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput = bucket::access_block::get_public_access_block, now;
    delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput = bucket::access_block::delete_public_access_block;
    put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput = bucket::ownership::put_bucket_ownership_controls;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput = bucket::ownership::get_bucket_ownership_controls, now;
    delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput = bucket::ownership::delete_bucket_ownership_controls;
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput = bucket::lifecycle::put_bucket_lifecycle_configuration;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput = bucket::lifecycle::get_bucket_lifecycle_configuration, now;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput = bucket::lifecycle::delete_bucket_lifecycle;
    put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput = bucket::tagging::put_bucket_tagging;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = bucket::tagging::get_bucket_tagging, now;
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput = bucket::tagging::delete_bucket_tagging;
    put_object_lock_configuration(PutObjectLockConfigurationInput) -> PutObjectLockConfigurationOutput = bucket::object_lock::put_object_lock_configuration;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput = bucket::object_lock::get_object_lock_configuration, now;
    put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput = bucket::cors::put_bucket_cors;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput = bucket::cors::get_bucket_cors, now;
    delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput = bucket::cors::delete_bucket_cors;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput = object::acl::get_bucket_acl, now;
    put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput = object::acl::put_bucket_acl, now;

    // What they do not have
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput = bucket::unconfigured::get_bucket_website, now;
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput = bucket::unconfigured::get_bucket_replication, now;
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput = bucket::unconfigured::get_bucket_logging, now;
    put_bucket_logging(PutBucketLoggingInput) -> PutBucketLoggingOutput = bucket::unconfigured::put_bucket_logging, now;
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput = bucket::unconfigured::get_bucket_notification_configuration, now;
    put_bucket_notification_configuration(PutBucketNotificationConfigurationInput) -> PutBucketNotificationConfigurationOutput = bucket::unconfigured::put_bucket_notification_configuration, now;
    get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput = bucket::unconfigured::get_bucket_accelerate_configuration, now;
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput = bucket::unconfigured::get_bucket_request_payment, now;

    // Objects
    put_object(PutObjectInput) -> PutObjectOutput = object::put::put_object;
    get_object(GetObjectInput) -> GetObjectOutput = object::get::get_object;
    head_object(HeadObjectInput) -> HeadObjectOutput = object::get::head_object;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = object::delete::delete_object;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = object::delete_many::delete_objects;
    copy_object(CopyObjectInput) -> CopyObjectOutput = object::copy::copy_object;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput = object::attributes::get_object_attributes;
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = object::tagging::get_object_tagging, now;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = object::tagging::put_object_tagging;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput = object::tagging::delete_object_tagging;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput = object::lock::get_object_retention, now;
    put_object_retention(PutObjectRetentionInput) -> PutObjectRetentionOutput = object::lock::put_object_retention;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput = object::lock::get_object_legal_hold, now;
    put_object_legal_hold(PutObjectLegalHoldInput) -> PutObjectLegalHoldOutput = object::lock::put_object_legal_hold;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput = object::acl::get_object_acl, now;
    put_object_acl(PutObjectAclInput) -> PutObjectAclOutput = object::acl::put_object_acl, now;

    // Lists
    list_objects(ListObjectsInput) -> ListObjectsOutput = list::objects::list_objects;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = list::objects::list_objects_v2;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput = list::versions::list_object_versions;

    // Multipart uploads
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput = multipart::begin::create_multipart_upload;
    upload_part(UploadPartInput) -> UploadPartOutput = multipart::part::upload_part;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = multipart::part::upload_part_copy;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput = multipart::complete::complete_multipart_upload;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput = multipart::begin::abort_multipart_upload;
    list_parts(ListPartsInput) -> ListPartsOutput = multipart::list::list_parts;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput = multipart::list::list_multipart_uploads;
}
