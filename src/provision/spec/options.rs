//! What only some buckets have: everything here is off unless the operator asks for it.

use std::fmt;

use serde::Serialize;

/// Settings beyond the secure default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Options {
    /// Only the runtime principals reach objects, and only the administrators change the bucket.
    ///
    /// Needs both lists of principals: a perimeter without anybody inside would lock everyone out.
    pub perimeter: bool,
    /// The VPC endpoint (`vpce-…`) through which everybody but the administrators must come.
    ///
    /// Excludes presigned URLs for clients outside the VPC.
    pub vpc_endpoint: Option<String>,
    /// Object Lock with a default retention; can never be turned off again.
    pub object_lock: Option<ObjectLock>,
    /// Server access logs, delivered to another bucket.
    pub access_log: Option<AccessLog>,
    /// Events of the bucket go to EventBridge.
    pub event_bridge: bool,
    /// Origins whose pages may use presigned URLs, exactly as browsers send them; empty: no CORS.
    pub cors_origins: Vec<String>,
    /// Objects move to S3 Intelligent-Tiering when they are stored.
    pub intelligent_tiering: bool,
}

/// Object Lock and its default retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ObjectLock {
    /// Who may shorten it.
    pub mode: Retention,
    /// Days that every new version is kept at least, 1 to 36,500.
    pub days: i32,
}

/// Who may shorten the retention of a version; ordered, the stricter last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// Whoever holds `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody, the account's root included.
    Compliance,
}

/// Where access logs go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessLog {
    /// Another bucket of the same account and region, encrypted with S3's own keys.
    pub bucket: String,
    /// What its keys begin with, ending in `/`.
    pub prefix: String,
}

impl ObjectLock {
    /// The stricter mode and the longer time of both.
    #[must_use]
    pub fn or_stricter(self, other: Self) -> Self {
        Self { mode: self.mode.max(other.mode), days: self.days.max(other.days) }
    }
}

impl fmt::Display for ObjectLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Retention::Governance => "governance",
            Retention::Compliance => "compliance",
        };
        write!(f, "{mode} for {} days", self.days)
    }
}

impl fmt::Display for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to s3://{}/{}", self.bucket, self.prefix)
    }
}
