//! Options as the bucket has them; each is read only when it is wanted, so that nobody else needs the permission.

use std::collections::BTreeSet;

use aws_sdk_s3::types::{CorsRule, EventBridgeConfiguration, NotificationConfiguration};

use super::{Observed, Setting};
use crate::provision::spec::{AccessLog, CORS_RULE_ID, ObjectLock};

/// What was seen of the settings that only some buckets have; absent where nobody looked.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedOptions {
    /// Object Lock that is on, and its default retention, if there is one.
    pub object_lock: Observed<Option<ObjectLock>>,
    /// Where access logs go.
    pub access_log: Observed<AccessLog>,
    /// All notifications, ours and others'.
    pub notifications: Observed<NotificationConfiguration>,
    /// All CORS rules, ours and others'.
    pub cors: Observed<Vec<CorsRule>>,
}

impl ObservedOptions {
    pub(super) fn mark_unsupported(&mut self, setting: Setting) {
        match setting {
            Setting::ObjectLock => self.object_lock = Observed::Unsupported,
            Setting::AccessLog => self.access_log = Observed::Unsupported,
            Setting::Notifications => self.notifications = Observed::Unsupported,
            Setting::Cors => self.cors = Observed::Unsupported,
            _ => {}
        }
    }
}

impl Default for ObservedOptions {
    fn default() -> Self {
        Self {
            object_lock: Observed::Absent,
            access_log: Observed::Absent,
            notifications: Observed::Absent,
            cors: Observed::Absent,
        }
    }
}

/// Our CORS rule: pages of exactly these origins may use presigned URLs, and see what proves what they got.
pub(in crate::provision) fn cors_rule(origins: &[String]) -> CorsRule {
    CorsRule::builder()
        .id(CORS_RULE_ID)
        .set_allowed_origins(Some(origins.to_vec()))
        .set_allowed_methods(Some(["GET", "HEAD", "PUT"].map(str::to_owned).to_vec()))
        // Which headers a presigned URL demands is said by its signature.
        .allowed_headers("*")
        .set_expose_headers(Some(
            [
                "ETag",
                "x-amz-version-id",
                "x-amz-checksum-sha256",
                "x-amz-checksum-type",
                "Content-Length",
                "Content-Range",
                "Accept-Ranges",
            ]
            .map(str::to_owned)
            .to_vec(),
        ))
        .max_age_seconds(3600)
        .build()
        .expect("origins and methods are set")
}

/// Whether two rules mean the same: lists are sets, and methods and headers have no case.
pub(in crate::provision) fn same_cors(one: &CorsRule, other: &CorsRule) -> bool {
    let set = |texts: &[String]| texts.iter().map(|text| text.to_ascii_lowercase()).collect::<BTreeSet<_>>();
    let exact = |texts: &[String]| texts.iter().cloned().collect::<BTreeSet<_>>();
    exact(one.allowed_origins()) == exact(other.allowed_origins())
        && set(one.allowed_methods()) == set(other.allowed_methods())
        && set(one.allowed_headers()) == set(other.allowed_headers())
        && set(one.expose_headers()) == set(other.expose_headers())
        && one.max_age_seconds() == other.max_age_seconds()
}

/// The notifications with EventBridge among them.
pub(in crate::provision) fn with_event_bridge(have: Option<&NotificationConfiguration>) -> NotificationConfiguration {
    let mut all = have.cloned().unwrap_or_else(|| NotificationConfiguration::builder().build());
    all.event_bridge_configuration = Some(EventBridgeConfiguration::builder().build());
    all
}
