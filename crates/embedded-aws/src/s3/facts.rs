//! What the access check needs to know of a bucket and of an upload, before any operation runs.

use super::Store;
use crate::{
    meta::{MetaError, SequencedId, lookup, record::Settings},
    policy::BucketPolicy,
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

pub(crate) use crate::meta::record::{DefaultEncryption, PublicAccessBlock};

/// What decides over access to a bucket.
#[derive(Debug, Clone)]
pub(crate) struct AccessFacts {
    pub(crate) policy: Option<Arc<BucketPolicy>>,
    /// All false when no configuration is stored.
    pub(crate) public_access_block: PublicAccessBlock,
    pub(crate) owner_account: String,
    /// `None`: SSE-S3, which S3 applies when nothing is configured.
    pub(crate) default_encryption: Option<DefaultEncryption>,
}

/// The encryption that an upload was created with.
#[derive(Debug, Clone)]
pub(crate) struct UploadFacts {
    /// The `x-amz-server-side-encryption` header of its creation, as sent.
    pub(crate) algorithm_header: Option<String>,
    /// ARN of the key in force; `None` for SSE-S3.
    pub(crate) key_arn: Option<String>,
}

/// Parsed policies by bucket id, each good for exactly the text it was parsed from.
#[derive(Debug, Default)]
pub(super) struct PolicyCache(RwLock<HashMap<u64, Arc<BucketPolicy>>>);

impl Store {
    /// Reads what decides over access to a bucket; `None`: no such bucket.
    pub(crate) fn access_facts(&self, bucket: &str) -> Result<Option<AccessFacts>, MetaError> {
        let snapshot = self.inner.meta.read()?;
        let Some(record) = lookup::bucket(&snapshot.buckets, bucket)? else { return Ok(None) };
        let settings = lookup::settings(&snapshot.settings, record.id)?;
        let policy = self.policy(bucket, record.id, &settings);
        Ok(Some(AccessFacts {
            policy,
            public_access_block: settings.public_access_block.unwrap_or_default(),
            owner_account: self.inner.account.clone(),
            default_encryption: settings.encryption,
        }))
    }

    /// Reads what an upload was created with; `None`: no such upload.
    ///
    /// A completed upload counts for as long as a repeated completion is answered.
    pub(crate) fn upload_facts(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<Option<UploadFacts>, MetaError> {
        let snapshot = self.inner.meta.read()?;
        let Some(record) = lookup::bucket(&snapshot.buckets, bucket)? else { return Ok(None) };
        let Some(id) = SequencedId::parse(upload_id) else { return Ok(None) };
        if let Some(upload) = lookup::upload(&snapshot.uploads, record.id, key.as_bytes(), id)? {
            let key_arn = upload.encryption.kms_key;
            return Ok(Some(UploadFacts { algorithm_header: upload.algorithm_header, key_arn }));
        }
        let done = lookup::completed(&snapshot.completed, id)?;
        let done = done.filter(|done| done.bucket == record.id && done.key == key);
        Ok(done.map(|done| UploadFacts { algorithm_header: done.algorithm_header, key_arn: done.kms_key }))
    }

    fn policy(&self, bucket: &str, id: u64, settings: &Settings) -> Option<Arc<BucketPolicy>> {
        let text = settings.policy.as_deref()?;
        let cache = &self.inner.policies.0;
        let cached = cache.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(policy) = cached.filter(|policy| policy.text() == text) {
            return Some(policy);
        }
        match BucketPolicy::parse(text, bucket) {
            Ok(policy) => {
                let policy = Arc::new(policy);
                cache.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&policy));
                Some(policy)
            }
            Err(error) => {
                // It was parsed before it was stored; a stricter parser must not open the bucket.
                tracing::error!(bucket, %error, "stored bucket policy cannot be read; denying all by it");
                BucketPolicy::parse(&deny_all(bucket), bucket).ok().map(Arc::new)
            }
        }
    }
}

fn deny_all(bucket: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]}}]}}"#
    )
}
