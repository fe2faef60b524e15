//! The access check: every S3 request passes here after its signature was verified and before its operation runs.
//!
//! [`signature`] closes what the protocol crate leaves open, [`operation`] says which actions a request needs,
//! [`Caller`] decides over each of them. What the policy language calls the request context is put together here.

mod body;
mod caller;
mod operation;
mod signature;

pub(crate) use body::body_error;
pub(crate) use caller::Caller;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, header};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::CopySource;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use time::OffsetDateTime;

use super::error::internal;
use super::{AccessFacts, Store, key_in_force};
use crate::identity::Identities;
use crate::payload::BodyFailure;
use crate::policy::{ConditionKey, Context};
use caller::resource;
use operation::{HEADER_ACTIONS, LOCKED_BUCKET_ACTIONS, Operation, Target, Write};
use signature::{Parameters, Signature};

const ALGORITHM: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CUSTOMER_ALGORITHM: &str = "x-amz-server-side-encryption-customer-algorithm";

/// What carried a request: put into its extensions by the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport {
    pub(crate) peer: IpAddr,
    /// Whether nobody can listen in: TLS, or a connection that never leaves the machine.
    pub(crate) secure: bool,
    /// `1.3`, as policies compare it.
    pub(crate) tls_version: &'static str,
}

/// The check, as the protocol crate calls it.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) store: Store,
    pub(crate) identities: Arc<Identities>,
    pub(crate) region: String,
}

/// Secrets by access key, as the protocol crate asks for them.
#[derive(Debug)]
pub(crate) struct Secrets(pub(crate) Arc<Identities>);

/// The parts of a request that decide.
struct Inspected<'a> {
    operation: Operation,
    bucket: Option<&'a str>,
    key: Option<&'a str>,
    parameters: &'a Parameters,
    headers: &'a HeaderMap,
    facts: Option<&'a AccessFacts>,
}

/// The encryption of a write, as policies ask for it.
#[derive(Default)]
struct WriteEncryption {
    algorithm: Option<String>,
    key: Option<String>,
    customer_algorithm: Option<String>,
}

#[async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.get(access_key) {
            Some(identity) => Ok(SecretKey::from(identity.secret_key())),
            None => {
                Err(s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records."))
            }
        }
    }
}

#[async_trait]
impl S3Access for Access {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        let caller = self.judge(request)?;
        if let Some(identity) = caller.identity() {
            let identity = Arc::clone(identity);
            request.extensions_mut().insert(identity);
        }
        request.extensions_mut().insert(Arc::new(caller));
        Ok(())
    }
}

impl Access {
    fn judge(&self, request: &mut S3AccessContext<'_>) -> S3Result<Caller> {
        let transport = request.extensions_mut().get::<Transport>().copied();
        let transport = transport.ok_or_else(|| s3_error!(InternalError, "The transport of the request is unknown"))?;
        let parameters = Parameters::of(request.uri())?;
        let headers = request.headers();
        let authenticated = request.credentials().is_some();
        let signature =
            signature::inspect(authenticated, &parameters, headers, &self.region, OffsetDateTime::now_utc())?;
        let identity = match request.credentials() {
            None => None,
            Some(credentials) => {
                Some(self.identities.get(&credentials.access_key).ok_or(S3ErrorCode::InvalidAccessKeyId)?)
            }
        };
        let name = request.s3_op().name();
        let operation =
            operation::find(name).ok_or_else(|| s3_error!(NotImplemented, "Operation {name} is not supported"))?;
        let (bucket, key) = (request.s3_path().get_bucket_name(), request.s3_path().get_object_key());
        let facts = match bucket {
            Some(bucket) => self.store.access_facts(bucket).map_err(|error| internal(&error))?,
            None => None,
        };
        check_owner(headers, "x-amz-expected-bucket-owner", facts.as_ref())?;

        let caller = Caller::new(identity, common_context(transport, signature, headers));
        let inspected = Inspected { operation, bucket, key, parameters: &parameters, headers, facts: facts.as_ref() };
        self.decide(&caller, &inspected)?;
        if operation.copies {
            self.decide_source(&caller, headers)?;
        }
        Ok(caller)
    }

    fn decide(&self, caller: &Caller, request: &Inspected<'_>) -> S3Result<()> {
        let Some(bucket) = request.bucket else {
            return decide_all(caller, None, request.operation.actions, "*", &caller.context());
        };
        let operation = request.operation;
        let mut context = caller.context();
        let version = request.parameters.get("versionId");
        if let Some(version) = version {
            context.insert(ConditionKey::VersionId, version.to_owned());
        }
        match operation.target {
            Target::Account => decide_all(caller, None, operation.actions, "*", &context),
            // No policy applies to a bucket that is not there, and another's is not one that can be made.
            Target::NewBucket => {
                let resource = resource(bucket, None);
                decide_all(caller, None, operation.actions, &resource, &context)?;
                let locked = request.headers.contains_key("x-amz-bucket-object-lock-enabled");
                let more: &[&str] = if locked { &LOCKED_BUCKET_ACTIONS } else { &[] };
                decide_all(caller, None, more, &resource, &context)
            }
            Target::ObjectsInBody => match (caller.identity(), request.facts.and_then(|facts| facts.policy.as_ref())) {
                (None, None) => Err(s3_error!(AccessDenied, "Access Denied")),
                _ => Ok(()),
            },
            Target::Bucket => {
                add_list_parameters(&mut context, request.parameters);
                decide_all(caller, request.facts, operation.actions, &resource(bucket, None), &context)
            }
            Target::Object => {
                let encryption = self.write_encryption(caller, request, bucket)?;
                add_write_keys(&mut context, operation.write, &encryption, request.headers);
                let actions = match version {
                    Some(_) if !operation.version_actions.is_empty() => operation.version_actions,
                    _ => operation.actions,
                };
                let resource = resource(bucket, request.key);
                decide_all(caller, request.facts, actions, &resource, &context)?;
                decide_headers(caller, request, &resource, &context)?;
                match (operation.write, &encryption.key) {
                    (Write::ByHeaders { .. }, Some(key)) => caller.may_use_key("kms:GenerateDataKey", key),
                    _ => Ok(()),
                }
            }
        }
    }

    /// The encryption that a write will have, read from where it is decided.
    ///
    /// The algorithm is the header as sent, or of the upload's creation; the key is the one that S3 will use.
    fn write_encryption(&self, caller: &Caller, request: &Inspected<'_>, bucket: &str) -> S3Result<WriteEncryption> {
        let customer_algorithm = text(request.headers, CUSTOMER_ALGORITHM)?.map(str::to_owned);
        match request.operation.write {
            Write::No => Ok(WriteEncryption { customer_algorithm, ..WriteEncryption::default() }),
            Write::ByUpload { .. } => {
                let (Some(key), Some(upload)) = (request.key, request.parameters.get("uploadId")) else {
                    return Ok(WriteEncryption { customer_algorithm, ..WriteEncryption::default() });
                };
                match self.store.upload_facts(bucket, key, upload).map_err(|error| internal(&error))? {
                    Some(upload) => Ok(WriteEncryption {
                        algorithm: upload.algorithm_header,
                        key: upload.key_arn,
                        customer_algorithm,
                    }),
                    // A policy on encryption would deny what has none, and hide that the upload is over.
                    None if request.facts.is_some_and(|facts| caller.is_writer_of(facts)) => Err(s3_error!(
                        NoSuchUpload,
                        "The specified upload does not exist. The upload ID may be invalid, or the upload may have \
                         been aborted or completed."
                    )),
                    None => Ok(WriteEncryption::default()),
                }
            }
            Write::ByHeaders { .. } => {
                let algorithm = text(request.headers, ALGORITHM)?;
                let key_header = text(request.headers, KEY_ID)?;
                let default = request.facts.and_then(|facts| facts.default_encryption.as_ref());
                let key = if customer_algorithm.is_some() {
                    None
                } else {
                    // A key that cannot be resolved is judged by its name; if that passes, the write itself fails.
                    key_in_force(algorithm, key_header, default, &self.store.inner.kms)
                        .unwrap_or_else(|_| key_header.map(str::to_owned))
                };
                Ok(WriteEncryption { algorithm: algorithm.map(str::to_owned), key, customer_algorithm })
            }
        }
    }

    /// A copy reads its source: the same caller needs that right too.
    fn decide_source(&self, caller: &Caller, headers: &HeaderMap) -> S3Result<()> {
        let invalid =
            || s3_error!(InvalidArgument, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
        let source = text(headers, "x-amz-copy-source")?.ok_or_else(invalid)?;
        let CopySource::Bucket { bucket, key, version_id } = CopySource::parse(source).map_err(|_| invalid())? else {
            return Err(s3_error!(NotImplemented, "Copying from access points is not supported"));
        };
        let facts = self.store.access_facts(&bucket).map_err(|error| internal(&error))?;
        check_owner(headers, "x-amz-source-expected-bucket-owner", facts.as_ref())?;
        let action = if version_id.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        caller.verdict_for(&self.store, action, &bucket, Some(&key), version_id.as_deref())
    }
}

fn decide_all(
    caller: &Caller,
    facts: Option<&AccessFacts>,
    actions: &[&str],
    resource: &str,
    context: &Context,
) -> S3Result<()> {
    actions.iter().try_for_each(|action| caller.decide(facts, action, resource, context))
}

/// Headers that set tags, ACLs, locks, or override a lock, need the right to that as well.
fn decide_headers(caller: &Caller, request: &Inspected<'_>, resource: &str, context: &Context) -> S3Result<()> {
    let asked = HEADER_ACTIONS.iter().filter(|(name, _)| request.headers.contains_key(*name));
    let asked = asked.filter(|(name, action)| !is_idle(request, name) && !request.operation.actions.contains(action));
    for (_, action) in asked {
        caller.decide(request.facts, action, resource, context)?;
    }
    Ok(())
}

/// A canned ACL that grants nothing new needs no right to change ACLs, and no bypass none to bypass.
fn is_idle(request: &Inspected<'_>, header: &str) -> bool {
    let Some(value) = request.headers.get(header).map(HeaderValue::as_bytes) else { return true };
    match header {
        "x-amz-acl" => matches!(value, b"private" | b"bucket-owner-full-control"),
        "x-amz-bypass-governance-retention" => value.eq_ignore_ascii_case(b"false"),
        _ => false,
    }
}

fn common_context(transport: Transport, signature: Signature, headers: &HeaderMap) -> Context {
    let mut context = Context::from([
        (ConditionKey::SecureTransport, transport.secure.to_string()),
        (ConditionKey::TlsVersion, transport.tls_version.to_owned()),
        (ConditionKey::SourceIp, transport.peer.to_canonical().to_string()),
    ]);
    if signature != Signature::None {
        context.insert(ConditionKey::SignatureVersion, "AWS4-HMAC-SHA256".to_owned());
    }
    match signature {
        Signature::None => {}
        Signature::Header => {
            context.insert(ConditionKey::AuthType, "REST-HEADER".to_owned());
        }
        Signature::Query { age } => {
            context.insert(ConditionKey::AuthType, "REST-QUERY-STRING".to_owned());
            context.insert(ConditionKey::SignatureAge, age.to_string());
        }
    }
    if let Ok(Some(acl)) = text(headers, "x-amz-acl") {
        context.insert(ConditionKey::Acl, acl.to_owned());
    }
    context
}

fn add_list_parameters(context: &mut Context, parameters: &Parameters) {
    for (key, name) in
        [(ConditionKey::Prefix, "prefix"), (ConditionKey::Delimiter, "delimiter"), (ConditionKey::MaxKeys, "max-keys")]
    {
        if let Some(value) = parameters.get(name) {
            context.insert(key, value.to_owned());
        }
    }
}

fn add_write_keys(context: &mut Context, write: Write, encryption: &WriteEncryption, headers: &HeaderMap) {
    for (key, value) in [
        (ConditionKey::Encryption, &encryption.algorithm),
        (ConditionKey::EncryptionKey, &encryption.key),
        (ConditionKey::CustomerAlgorithm, &encryption.customer_algorithm),
    ] {
        if let Some(value) = value {
            context.insert(key, value.clone());
        }
    }
    let (Write::ByHeaders { creates } | Write::ByUpload { creates }) = write else { return };
    context.insert(ConditionKey::ObjectCreationOperation, creates.to_string());
    if let Some(tag) = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok()) {
        context.insert(ConditionKey::IfNoneMatch, tag.to_owned());
    }
}

/// Refuses a request that expects another owner; nobody owns a bucket that does not exist.
fn check_owner(headers: &HeaderMap, name: &str, facts: Option<&AccessFacts>) -> S3Result<()> {
    match (text(headers, name)?, facts) {
        (Some(expected), Some(facts)) if expected != facts.owner_account => {
            Err(s3_error!(AccessDenied, "Access Denied"))
        }
        _ => Ok(()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> S3Result<Option<&'a str>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| s3_error!(InvalidArgument, "Header '{name}' is not ASCII"))
}

/// The answer to a request whose body failed before its operation could say so.
pub(crate) fn failed_body(failure: &BodyFailure) -> Option<S3Error> {
    failure.get().map(body::fault_error)
}
