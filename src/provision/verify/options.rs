//! The claims that exist only where their option is on.

use aws_sdk_s3::types::CorsRule;

use super::seen;
use crate::provision::finding::{ClaimId, Finding};
use crate::provision::observe::{BucketSettings, cors_rule, same_cors};
use crate::provision::plan::tiers_at_once;
use crate::provision::spec::{CORS_RULE_ID, Options, TIERING_RULE_ID};

/// The claims that a look at a bucket with these options judges, beyond those of every bucket.
pub(super) fn claims(options: &Options) -> Vec<ClaimId> {
    let all = [
        (options.perimeter, ClaimId::PerimeterClosed),
        (options.vpc_endpoint.is_some(), ClaimId::VpcEndpointOnly),
        (options.object_lock.is_some(), ClaimId::ObjectsLocked),
        (options.access_log.is_some(), ClaimId::AccessLogged),
        (options.event_bridge, ClaimId::EventsSent),
        (!options.cors_origins.is_empty(), ClaimId::CorsExact),
        (options.intelligent_tiering, ClaimId::ObjectsTiered),
    ];
    all.into_iter().filter_map(|(on, claim)| on.then_some(claim)).collect()
}

/// The verdicts on settings; perimeter and VPC endpoint are statements of the policy.
pub(super) fn verify(options: &Options, bucket: &BucketSettings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let have = &bucket.options;
    if let Some(wanted) = options.object_lock {
        let expected = format!("{wanted}, or stricter");
        findings.push(seen(ClaimId::ObjectsLocked, &expected, &have.object_lock, |have| match have {
            Some(have) => (have.or_stricter(wanted) == *have, have.to_string()),
            None => (false, "on, without a default retention".to_owned()),
        }));
    }
    if let Some(wanted) = &options.access_log {
        let expected = wanted.to_string();
        findings.push(seen(ClaimId::AccessLogged, &expected, &have.access_log, |have| {
            (have == wanted, format!("{have} (whether that bucket lets S3 deliver is not looked at)"))
        }));
    }
    if options.event_bridge {
        findings.push(seen(ClaimId::EventsSent, "sent to EventBridge", &have.notifications, |have| {
            let on = have.event_bridge_configuration().is_some();
            (on, if on { "sent to EventBridge" } else { "not sent to EventBridge" }.to_owned())
        }));
    }
    if !options.cors_origins.is_empty() {
        findings.push(cors(options, bucket));
    }
    if options.intelligent_tiering {
        findings.push(seen(ClaimId::ObjectsTiered, "our rule in force", &bucket.lifecycle, |have| {
            let on = have.rules.iter().any(|rule| rule.id() == Some(TIERING_RULE_ID) && tiers_at_once(rule));
            (on, if on { "our rule in force" } else { "no rule of ours in force" }.to_owned())
        }));
    }
    findings
}

/// Ours as it should be, and no rule of others that lets other pages in.
fn cors(options: &Options, bucket: &BucketSettings) -> Finding {
    let wanted = cors_rule(&options.cors_origins);
    let expected = format!("only {}", options.cors_origins.join(", "));
    seen(ClaimId::CorsExact, &expected, &bucket.options.cors, |rules| {
        let mut others: Vec<&str> = rules.iter().flat_map(CorsRule::allowed_origins).map(String::as_str).collect();
        others.retain(|origin| !options.cors_origins.iter().any(|wanted| wanted == origin));
        let ours = rules.iter().any(|rule| rule.id() == Some(CORS_RULE_ID) && same_cors(rule, &wanted));
        match (ours, others.as_slice()) {
            (true, []) => (true, expected.clone()),
            (_, []) => (false, "our rule is absent, or says something else".to_owned()),
            (_, others) => (false, format!("also allowed: {}; remove that CORS rule by hand", others.join(", "))),
        }
    })
}
