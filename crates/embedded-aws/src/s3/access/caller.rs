//! Who makes a request, and the decision over one action on one resource.

use std::sync::Arc;

use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::identity::Identity;
use crate::policy::{self, ConditionKey, Context, Verdict};
use crate::s3::error::internal;
use crate::s3::{AccessFacts, Store};

/// What the owner's root may always do to its own bucket, whatever the policy says, so that it can mend it.
const ROOT_KEEPS: [&str; 3] = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"];

/// The caller of one request, with what is known of it for every action.
#[derive(Debug)]
pub(crate) struct Caller {
    identity: Option<Arc<Identity>>,
    principal: policy::Caller,
    /// Keys that do not depend on the action: transport, signature, principal.
    context: Context,
}

impl Caller {
    pub(super) fn new(identity: Option<Arc<Identity>>, mut context: Context) -> Self {
        let principal = match &identity {
            None => policy::Caller::Anonymous,
            Some(identity) => {
                context.insert(ConditionKey::PrincipalArn, identity.arn.clone());
                context.insert(ConditionKey::PrincipalAccount, identity.account.clone());
                context.insert(ConditionKey::PrincipalIsAwsService, "false".to_owned());
                context.insert(ConditionKey::ViaAwsService, "false".to_owned());
                policy::Caller::Known { arn: identity.arn.clone(), account: identity.account.clone() }
            }
        };
        Self { identity, principal, context }
    }

    pub(super) fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    pub(super) fn context(&self) -> Context {
        self.context.clone()
    }

    /// Decides over one more action of the request (`s3:DeleteObject`) on a key, or without one on the bucket.
    ///
    /// Fails with `AccessDenied`. A bucket that does not exist is decided by the identity policy alone.
    pub(crate) fn verdict_for(
        &self,
        store: &Store,
        action: &str,
        bucket: &str,
        key: Option<&str>,
        version_id: Option<&str>,
    ) -> S3Result<()> {
        let facts = store.access_facts(bucket).map_err(|error| internal(&error))?;
        let mut context = self.context();
        if let Some(version_id) = version_id {
            context.insert(ConditionKey::VersionId, version_id.to_owned());
        }
        self.decide(facts.as_ref(), action, &resource(bucket, key), &context)
    }

    /// Demands the identity's permission to use the KMS key with this ARN on its behalf (`kms:Decrypt`).
    pub(crate) fn may_use_key(&self, action: &str, key: &str) -> S3Result<()> {
        match &self.identity {
            Some(identity) if identity.allows(action, key) => Ok(()),
            Some(identity) => Err(denied(format!(
                "User: {} is not authorized to perform: {action} on the resource associated with this ciphertext \
                 because no identity-based policy allows the {action} action",
                identity.arn
            ))),
            None => Err(denied("Access Denied".to_owned())),
        }
    }

    /// Whether the caller belongs to the owner's account and may write objects, whatever a bucket policy says.
    pub(super) fn is_writer_of(&self, facts: &AccessFacts) -> bool {
        let own = self.identity.as_ref().filter(|identity| identity.account == facts.owner_account);
        own.is_some_and(|identity| identity.allows_somewhere("s3:PutObject"))
    }

    /// Decides over an action by identity policy, bucket policy and public access block.
    ///
    /// An explicit Deny outweighs all, but for what the owner's root keeps. In the owner's account either policy may
    /// allow; for another account both must; without identity the bucket policy must. Under `RestrictPublicBuckets` a
    /// public policy lets nobody in from outside the account.
    pub(super) fn decide(
        &self,
        facts: Option<&AccessFacts>,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> S3Result<()> {
        let allowed_by_identity = self.identity.as_ref().is_some_and(|identity| identity.allows(action, resource));
        let Some(facts) = facts else {
            return if allowed_by_identity { Ok(()) } else { Err(self.not_allowed(action, resource)) };
        };
        let verdict = match &facts.policy {
            None => Verdict::NoMatch,
            Some(policy) => policy.evaluate(&policy::Request { caller: &self.principal, action, resource, context }),
        };
        let own = self.identity.as_ref().filter(|identity| identity.account == facts.owner_account);
        if let Verdict::Deny { sid } = &verdict {
            if own.is_some_and(|identity| identity.is_root()) && ROOT_KEEPS.contains(&action) {
                return Ok(());
            }
            tracing::debug!(action, resource, sid, "denied by the bucket policy");
            return Err(self.explicitly_denied(action, resource));
        }
        let shut_out = facts.public_access_block.restrict_public_buckets
            && facts.policy.as_ref().is_some_and(|policy| policy.is_public());
        let allowed = match (own, &self.identity) {
            (Some(_), _) => allowed_by_identity || verdict == Verdict::Allow,
            (None, Some(_)) => {
                allowed_by_identity && matches!(verdict, Verdict::Allow | Verdict::AllowAccount) && !shut_out
            }
            (None, None) => verdict == Verdict::Allow && !shut_out,
        };
        if allowed { Ok(()) } else { Err(self.not_allowed(action, resource)) }
    }

    fn explicitly_denied(&self, action: &str, resource: &str) -> S3Error {
        match &self.identity {
            Some(identity) => denied(format!(
                "User: {} is not authorized to perform: {action} on resource: \"{resource}\" with an explicit deny in \
                 a resource-based policy",
                identity.arn
            )),
            None => denied("Access Denied".to_owned()),
        }
    }

    fn not_allowed(&self, action: &str, resource: &str) -> S3Error {
        match &self.identity {
            Some(identity) => denied(format!(
                "User: {} is not authorized to perform: {action} on resource: \"{resource}\" because no \
                 identity-based policy allows the {action} action",
                identity.arn
            )),
            None => denied("Access Denied".to_owned()),
        }
    }
}

/// The ARN of a bucket or of a key in it.
pub(super) fn resource(bucket: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
        None => format!("arn:aws:s3:::{bucket}"),
    }
}

fn denied(message: String) -> S3Error {
    S3Error::with_message(S3ErrorCode::AccessDenied, message)
}
