//! The key as it stands: found by its alias or its ARN, or left over from a run that died before naming it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kms::types::{KeyManagerType, KeySpec as KmsKeySpec, KeyState, KeyUsageType};

use super::Clients;
use super::compare::same_meaning;
use super::fault::{Fault, Meaning, call, page};
use super::observe::{Observed, Setting};
use super::policy::delegating_key_policy;
use super::spec::{KEY_DESCRIPTION, KeyArn, KeySpec, KeyWish, TAG_MANAGED_BY, TAG_MANAGED_BY_US};

/// Keys looked through for one left over; ten pages of a hundred.
const ORPHAN_PAGES: usize = 10;
const PAGE: i32 = 100;
/// Pages of tags or aliases read of one key; KMS allows 50 of either by default.
const DETAIL_PAGES: usize = 5;

/// What asking for the key told us.
#[derive(Debug, Clone, PartialEq)]
pub enum ObservedKey {
    /// No such key or alias.
    Absent {
        /// A key that an earlier run made for this alias and died before naming.
        orphan: Option<KeyArn>,
    },
    /// It exists.
    Present(Box<KeyFacts>),
    /// KMS did not let us look.
    Unreadable(String),
}

/// A key and its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyFacts {
    /// Its full ARN.
    pub arn: KeyArn,
    /// When it was made, in Unix seconds; far in the future when KMS does not say.
    pub created: i64,
    /// Enabled, disabled, pending deletion …
    pub state: KeyState,
    /// Whether it is a symmetric key for encryption, held by the customer: the only kind S3 can use by our rules.
    pub fit: bool,
    /// Description.
    pub description: Observed<String>,
    /// Tags.
    pub tags: Observed<BTreeMap<String, String>>,
    /// Text of its policy.
    pub policy: Observed<String>,
    /// Rotation; absent when it is off.
    pub rotation: Observed<Rotation>,
}

/// Automatic rotation that is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Its period in days, where KMS tells it.
    pub period_days: Option<i32>,
}

impl KeyFacts {
    /// Whether S3 can use it now.
    pub fn usable(&self) -> bool {
        self.fit && self.state == KeyState::Enabled
    }

    /// Whether this service made it and may therefore change it.
    ///
    /// Where the KMS has no tags, the alias must do.
    pub fn ours(&self, spec: &KeySpec) -> bool {
        match (&spec.wish, &self.tags) {
            (KeyWish::Alias(_), Observed::Known(tags)) => marked(tags),
            (KeyWish::Alias(_), Observed::Unsupported) => true,
            (KeyWish::Alias(_), Observed::Absent | Observed::Unreadable(_)) | (KeyWish::Brought(_), _) => false,
        }
    }

    /// Whether it is known that it does not carry our mark.
    pub(super) fn unmarked(&self) -> bool {
        match &self.tags {
            Observed::Known(tags) => !marked(tags),
            Observed::Absent => true,
            Observed::Unsupported | Observed::Unreadable(_) => false,
        }
    }

    /// Takes note that the KMS refused to set something, so that no plan asks for it again.
    pub(super) fn mark_unsupported(&mut self, settings: &BTreeSet<Setting>) {
        for setting in settings {
            match setting {
                Setting::KeyDescription => self.description = Observed::Unsupported,
                Setting::KeyTags => self.tags = Observed::Unsupported,
                Setting::KeyPolicy => self.policy = Observed::Unsupported,
                Setting::KeyRotation => self.rotation = Observed::Unsupported,
                _ => {}
            }
        }
    }

    /// Whether its policy is the one that KMS gives by default.
    pub fn delegates_to_iam(&self) -> bool {
        self.policy.known().is_some_and(|text| same_meaning(text, &delegating_key_policy(&self.arn).to_string()))
    }
}

/// Asks KMS for the wanted key, and for a left-over one when there is none.
pub async fn observe_key(clients: &Clients, spec: &KeySpec) -> ObservedKey {
    let id = match &spec.wish {
        KeyWish::Alias(alias) => alias.as_str(),
        KeyWish::Brought(arn) => arn.as_str(),
    };
    match facts(clients, id, Fault::passes_on_read).await {
        Ok(facts) => ObservedKey::Present(Box::new(facts)),
        Err(fault) if fault.meaning() == Meaning::Absent => ObservedKey::Absent { orphan: orphan(clients, spec).await },
        Err(fault) => ObservedKey::Unreadable(fault.to_string()),
    }
}

/// Looks at a key that exists for sure, waiting a while for KMS to know it.
pub(super) async fn observe_known(clients: &Clients, arn: &KeyArn) -> ObservedKey {
    match facts(clients, arn.as_str(), Fault::passes_on_key).await {
        Ok(facts) => ObservedKey::Present(Box::new(facts)),
        Err(fault) => ObservedKey::Unreadable(fault.to_string()),
    }
}

/// Everything about one key.
///
/// # Errors
/// When the key itself cannot be described; settings that cannot be read are observations.
pub(super) async fn facts(clients: &Clients, id: &str, passes: fn(&Fault) -> bool) -> Result<KeyFacts, Fault> {
    let Clients { kms, patience, .. } = clients;
    let described = patience.outwait(|| call("DescribeKey", kms.describe_key().key_id(id).send()), passes);
    let found = described.await?;
    let strange = |message: &str| Fault {
        operation: "DescribeKey",
        status: None,
        code: None,
        message: message.to_owned(),
        bucket_region: None,
        request_id: None,
        lost: None,
    };
    let key = found.key_metadata().ok_or_else(|| strange("the answer describes no key"))?;
    let arn: KeyArn = key
        .arn()
        .ok_or_else(|| strange("the answer has no ARN"))?
        .parse()
        .map_err(|error: super::spec::InvalidKeyArn| strange(&error.to_string()))?;
    let fit = key.key_usage().is_none_or(|usage| *usage == KeyUsageType::EncryptDecrypt)
        && key.key_spec().is_none_or(|spec| *spec == KmsKeySpec::SymmetricDefault)
        && key.key_manager().is_none_or(|manager| *manager == KeyManagerType::Customer);
    let state = key.key_state().cloned().unwrap_or(if key.enabled() { KeyState::Enabled } else { KeyState::Disabled });
    let id = arn.as_str();
    // The key exists: tags that are not found are not found yet, and without them it would not be ours.
    let not_yet = |fault: &Fault| fault.has_code("NotFoundException") || fault.passes_on_read();
    let (tags, policy, rotation) = tokio::join!(
        patience.outwait(|| tags(kms, id), not_yet),
        patience.outwait(|| policy(kms, id), Fault::passes_on_read),
        patience.outwait(|| rotation(kms, id), Fault::passes_on_read),
    );
    Ok(KeyFacts {
        created: key.creation_date().map_or(i64::MAX, aws_smithy_types::DateTime::secs),
        state,
        fit,
        description: Observed::Known(key.description().unwrap_or_default().to_owned()),
        tags: Observed::from_read(tags.map(Some)),
        policy: Observed::from_read(policy),
        rotation: Observed::from_read(rotation),
        arn,
    })
}

/// The aliases of one key.
pub(super) async fn aliases(kms: &aws_sdk_kms::Client, id: &str) -> Result<Vec<String>, Fault> {
    let mut pages = kms.list_aliases().key_id(id).limit(PAGE).into_paginator().send();
    let mut names = Vec::new();
    for _ in 0..DETAIL_PAGES {
        let Some(page) = page("ListAliases", pages.next()).await? else { break };
        names.extend(page.aliases().iter().filter_map(|alias| alias.alias_name()).map(str::to_owned));
    }
    Ok(names)
}

/// The tags of one key.
pub(super) async fn tags(kms: &aws_sdk_kms::Client, id: &str) -> Result<BTreeMap<String, String>, Fault> {
    let mut pages = kms.list_resource_tags().key_id(id).limit(50).into_paginator().send();
    let mut tags = BTreeMap::new();
    for _ in 0..DETAIL_PAGES {
        let Some(page) = page("ListResourceTags", pages.next()).await? else { break };
        tags.extend(page.tags().iter().map(|tag| (tag.tag_key().to_owned(), tag.tag_value().to_owned())));
    }
    Ok(tags)
}

async fn policy(kms: &aws_sdk_kms::Client, id: &str) -> Result<Option<String>, Fault> {
    let request = kms.get_key_policy().key_id(id).policy_name("default");
    Ok(call("GetKeyPolicy", request.send()).await?.policy().map(str::to_owned))
}

async fn rotation(kms: &aws_sdk_kms::Client, id: &str) -> Result<Option<Rotation>, Fault> {
    let found = call("GetKeyRotationStatus", kms.get_key_rotation_status().key_id(id).send()).await?;
    Ok(found.key_rotation_enabled().then(|| Rotation { period_days: found.rotation_period_in_days() }))
}

fn marked(tags: &BTreeMap<String, String>) -> bool {
    tags.get(TAG_MANAGED_BY).map(String::as_str) == Some(TAG_MANAGED_BY_US)
}

/// The oldest usable key that carries all our tags for this alias, has no alias, and no policy but ours or the default.
///
/// Best effort: what may not be looked at is passed over, and then a new key is made.
pub(super) async fn orphan(clients: &Clients, spec: &KeySpec) -> Option<KeyArn> {
    let KeyWish::Alias(_) = spec.wish else { return None };
    let mut request = clients.kms.list_keys().limit(PAGE);
    let mut oldest: Option<KeyFacts> = None;
    for _ in 0..ORPHAN_PAGES {
        let listed = clients.patience.outwait(|| call("ListKeys", request.clone().send()), Fault::passes_on_read);
        let page = match listed.await {
            Ok(page) => page,
            Err(fault) => {
                tracing::warn!(%fault, "cannot look for a key that an earlier run left without its alias");
                break;
            }
        };
        for id in page.keys().iter().filter_map(|key| key.key_id()) {
            let Some(key) = abandoned(clients, spec, id).await else { continue };
            if oldest.as_ref().is_none_or(|earlier| key.created < earlier.created) {
                oldest = Some(key);
            }
        }
        let Some(marker) = page.next_marker.filter(|_| page.truncated) else { break };
        request = request.marker(marker);
    }
    oldest.map(|key| key.arn)
}

/// The key, if it is left over from a run of ours.
async fn abandoned(clients: &Clients, spec: &KeySpec, id: &str) -> Option<KeyFacts> {
    let Clients { kms, patience, .. } = clients;
    // One cheap call first: most keys of an account are not ours.
    let has = patience.outwait(|| tags(kms, id), Fault::passes_on_read).await.ok()?;
    if !spec.tags.iter().all(|(name, value)| has.get(name) == Some(value)) {
        return None;
    }
    let key = facts(clients, id, Fault::passes_on_read).await.ok()?;
    let as_wanted = |found: &String| same_meaning(found, &spec.policy_text(&key.arn));
    let known_policy = key.delegates_to_iam() || key.policy.known().is_some_and(as_wanted);
    let names = patience.outwait(|| aliases(kms, id), Fault::passes_on_read).await;
    let nameless = names.is_ok_and(|names| names.is_empty());
    let described = key.description.known().is_some_and(|text| text == KEY_DESCRIPTION);
    (key.usable() && known_policy && nameless && described).then_some(key)
}
