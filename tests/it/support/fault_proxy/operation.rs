//! What a request asks for, told from its method, path and query: the API names of S3 and KMS.

use hyper::http::request::Parts;

/// A request as a rule sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `PutBucketPolicy`, `UploadPart`, `CreateKey` …
    pub(crate) operation: String,
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    pub(crate) protocol: Protocol,
}

/// The form of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    S3,
    Kms,
}

/// Subresources of a bucket, and what the operation on them ends with.
const OF_BUCKET: [(&str, &str); 15] = [
    ("accelerate", "BucketAccelerateConfiguration"),
    ("acl", "BucketAcl"),
    ("cors", "BucketCors"),
    ("encryption", "BucketEncryption"),
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("location", "BucketLocation"),
    ("logging", "BucketLogging"),
    ("notification", "BucketNotificationConfiguration"),
    ("object-lock", "ObjectLockConfiguration"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("policy", "BucketPolicy"),
    ("policyStatus", "BucketPolicyStatus"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("tagging", "BucketTagging"),
    ("versioning", "BucketVersioning"),
];

impl Asked {
    pub(crate) fn of(request: &Parts) -> Self {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let (operation, protocol) = match header("x-amz-target") {
            Some(target) => (target.rsplit('.').next().unwrap_or(target).to_owned(), Protocol::Kms),
            None => (
                s3_operation(
                    request.method.as_str(),
                    request.uri.path(),
                    request.uri.query().unwrap_or_default(),
                    header("x-amz-copy-source").is_some(),
                ),
                Protocol::S3,
            ),
        };
        Self {
            operation,
            method: request.method.to_string(),
            target: request.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            protocol,
        }
    }

    /// Whether it can change anything.
    pub(crate) fn changes(&self) -> bool {
        match self.protocol {
            Protocol::S3 => !matches!(self.method.as_str(), "GET" | "HEAD"),
            Protocol::Kms => !["Describe", "List", "Get"].iter().any(|verb| self.operation.starts_with(verb)),
        }
    }
}

fn s3_operation(method: &str, path: &str, query: &str, copies: bool) -> String {
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let name = match (bucket.is_empty(), key.is_empty()) {
        (true, _) => "ListBuckets",
        (false, true) => match method {
            "POST" if has("delete") => "DeleteObjects",
            "GET" if has("versions") => "ListObjectVersions",
            "GET" if has("uploads") => "ListMultipartUploads",
            _ => {
                if let Some((_, ending)) = OF_BUCKET.iter().find(|(name, _)| has(name)) {
                    let verb = if method == "PUT" {
                        "Put"
                    } else if method == "DELETE" {
                        "Delete"
                    } else {
                        "Get"
                    };
                    return format!("{verb}{ending}");
                }
                match method {
                    "HEAD" => "HeadBucket",
                    "PUT" => "CreateBucket",
                    "DELETE" => "DeleteBucket",
                    _ => "ListObjectsV2",
                }
            }
        },
        (false, false) => match method {
            "PUT" if has("partNumber") && copies => "UploadPartCopy",
            "PUT" if has("partNumber") => "UploadPart",
            "PUT" if has("tagging") => "PutObjectTagging",
            "PUT" if copies => "CopyObject",
            "PUT" => "PutObject",
            "POST" if has("uploads") => "CreateMultipartUpload",
            "POST" => "CompleteMultipartUpload",
            "DELETE" if has("uploadId") => "AbortMultipartUpload",
            "DELETE" => "DeleteObject",
            "HEAD" => "HeadObject",
            _ if has("uploadId") => "ListParts",
            _ if has("attributes") => "GetObjectAttributes",
            _ if has("tagging") => "GetObjectTagging",
            _ => "GetObject",
        },
    };
    name.to_owned()
}

#[test]
fn request_is_called_what_the_api_calls_it() {
    for (method, target, name) in [
        ("HEAD", "/b", "HeadBucket"),
        ("PUT", "/b/", "CreateBucket"),
        ("PUT", "/b?policy", "PutBucketPolicy"),
        ("GET", "/b/?publicAccessBlock=", "GetPublicAccessBlock"),
        ("DELETE", "/b?lifecycle", "DeleteBucketLifecycleConfiguration"),
        ("GET", "/b?list-type=2&prefix=policy", "ListObjectsV2"),
        ("PUT", "/b/a/policy", "PutObject"),
        ("PUT", "/b/a?partNumber=1&uploadId=2", "UploadPart"),
        ("POST", "/b/a?uploads", "CreateMultipartUpload"),
        ("POST", "/b/a?uploadId=2", "CompleteMultipartUpload"),
        ("GET", "/b/a?uploadId=2", "ListParts"),
        ("DELETE", "/b/a?versionId=1", "DeleteObject"),
    ] {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        assert_eq!(s3_operation(method, path, query, false), name, "{method} {target}");
    }
    assert_eq!(s3_operation("PUT", "/b/a", "", true), "CopyObject");
}
