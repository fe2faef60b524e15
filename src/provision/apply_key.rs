//! Changes to the key, done; and the end of a key that lost a race.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::types::{KeySpec as KmsKeySpec, KeyUsageType, Tag};

use super::Clients;
use super::apply::{Applied, ApplyError};
use super::change::{Change, Step};
use super::fault::{Fault, Meaning, call};
use super::key::{aliases, facts, orphan, tags};
use super::patience::Patience;
use super::spec::{DELETION_WINDOW_DAYS, KEY_DESCRIPTION, KeyArn, KeySpec, TAG_NONCE};

/// Lost answers to `CreateKey` after which no further one is risked.
const UNANSWERED: usize = 2;
/// How long KMS may take to list a new key.
const LISTED_AFTER: Patience = Patience::of(Duration::from_secs(3));

/// One run's work on the key: which key it works on, and which one it made itself.
#[derive(Debug)]
pub struct KeyRun<'a> {
    clients: &'a Clients,
    spec: &'a KeySpec,
    /// The key that further changes apply to, once it is known.
    key: Option<KeyArn>,
    /// The key that this very run made and has not named yet.
    made: Option<Made>,
    /// How often `CreateKey` got no answer.
    unanswered: usize,
}

#[derive(Debug)]
struct Made {
    arn: KeyArn,
    /// Stands in the key's tags: proof that it is this run's.
    nonce: String,
}

impl<'a> KeyRun<'a> {
    /// A run that works on `key`, when there is one already.
    pub fn new(clients: &'a Clients, spec: &'a KeySpec, key: Option<KeyArn>) -> Self {
        Self { clients, spec, key, made: None, unanswered: 0 }
    }

    /// The key this run works on.
    ///
    /// Right after the alias was made KMS may not find it yet, so the run goes on with the ARN.
    pub fn key(&self) -> Option<&KeyArn> {
        self.key.as_ref()
    }

    /// Further changes are made to this key.
    pub fn work_on(&mut self, key: KeyArn) {
        self.key = Some(key);
    }

    /// Makes one change to the key; a change to the bucket is left alone.
    ///
    /// # Errors
    /// Whatever KMS finally says, but for what it does not know.
    pub async fn apply(&mut self, change: &Change) -> Result<Applied, ApplyError> {
        let applied = match change.step() {
            Step::CreateKey => self.create().await,
            Step::CreateAlias { alias, key } => self.name(alias, key.clone()).await,
            Step::TagKey(wanted) => self.tag(wanted).await,
            Step::DescribeKey => self.describe().await,
            Step::PutKeyPolicy { .. } => self.put_policy().await,
            Step::EnableKeyRotation { days } => self.rotate(*days).await,
            _ => Ok(Applied::Done),
        };
        match applied {
            Err(fault) if change.setting().is_some() && fault.meaning() == Meaning::Unsupported => {
                Ok(Applied::Unsupported)
            }
            other => other.map_err(|fault| ApplyError::new(change, fault)),
        }
    }

    /// Sent exactly once: `CreateKey` has no idempotency token, and a retry of a lost answer would make two keys.
    ///
    /// When the answer is lost, the next round finds the key by its tags; KMS may take a while to list it.
    async fn create(&mut self) -> Result<Applied, Fault> {
        let nonce = ulid::Ulid::generate().to_string();
        let mut request = self
            .clients
            .kms
            .create_key()
            .description(KEY_DESCRIPTION)
            .key_usage(KeyUsageType::EncryptDecrypt)
            .key_spec(KmsKeySpec::SymmetricDefault)
            .tags(tag(TAG_NONCE, &nonce));
        for (name, value) in &self.spec.tags {
            request = request.tags(tag(name, value));
        }
        let once = aws_sdk_kms::Config::builder().retry_config(RetryConfig::disabled());
        let send = || call("CreateKey", request.clone().customize().config_override(once.clone()).send());
        // A throttled call made nothing.
        let sent = self.clients.patience.outwait(send, |fault| fault.busy() && !fault.may_have_worked()).await;
        let arn = match sent {
            Ok(made) => made.key_metadata().and_then(|key| key.arn()).and_then(|arn| arn.parse::<KeyArn>().ok()),
            Err(fault) if fault.may_have_worked() && self.unanswered < UNANSWERED => {
                tracing::warn!(%fault, "no answer to CreateKey; looking for what it made");
                self.unanswered += 1;
                let mut pauses = LISTED_AFTER.pauses();
                while orphan(self.clients, self.spec).await.is_none() && pauses.pause().await {}
                return Ok(Applied::Superseded);
            }
            Err(fault) => return Err(fault),
        };
        let Some(arn) = arn else { return Ok(Applied::Superseded) };
        self.key = Some(arn.clone());
        self.made = Some(Made { arn, nonce });
        Ok(Applied::Done)
    }

    /// Gives the key its alias. The alias is the lock: whoever makes it first has made the key.
    async fn name(&mut self, alias: &str, left_over: Option<KeyArn>) -> Result<Applied, Fault> {
        let finds = left_over.is_some();
        let Some(target) = left_over.or_else(|| self.key.clone()) else { return Ok(Applied::Superseded) };
        let request = self.clients.kms.create_alias().alias_name(alias).target_key_id(target.as_str());
        match self.clients.patience.outwait(|| call("CreateAlias", request.clone().send()), Fault::passes_on_key).await
        {
            Ok(_) => {
                self.key = Some(target);
                self.made = None;
                Ok(Applied::Done)
            }
            Err(fault) if fault.has_code("AlreadyExistsException") => {
                let winner = facts(self.clients, alias, Fault::passes_on_key).await?.arn;
                if winner == target {
                    // A retry of our own, whose first answer was lost.
                    self.key = Some(target);
                    self.made = None;
                    return Ok(Applied::Done);
                }
                if let Some(made) = self.made.take() {
                    self.dispose(&made).await;
                }
                self.key = Some(winner);
                Ok(Applied::Superseded)
            }
            // It was no left-over but another run's, which lost the race and gave it up.
            Err(fault) if finds && fault.has_code("KMSInvalidStateException") => Ok(Applied::Superseded),
            Err(fault) => Err(fault),
        }
    }

    /// Schedules the deletion of the key that this run made and could not name.
    ///
    /// The only place that ever schedules one, and only for a key that carries this run's nonce and has no alias.
    /// A key that cannot be judged stays: it costs a dollar a month, a wrong deletion costs the data.
    async fn dispose(&self, made: &Made) {
        let id = made.arn.as_str();
        let Clients { kms, patience, .. } = self.clients;
        let tags = patience.outwait(|| tags(kms, id), Fault::passes_on_key).await;
        let ours = tags.is_ok_and(|tags| tags.get(TAG_NONCE) == Some(&made.nonce));
        let names = patience.outwait(|| aliases(kms, id), Fault::passes_on_key).await;
        let nameless = names.is_ok_and(|names| names.is_empty());
        if !(ours && nameless) {
            tracing::warn!(key = %made.arn, "lost the race for the key, and leave ours as it is: it cannot be proven unused");
            return;
        }
        let request = kms.schedule_key_deletion().key_id(id).pending_window_in_days(DELETION_WINDOW_DAYS);
        let schedule = || call("ScheduleKeyDeletion", request.clone().send());
        if let Err(fault) = patience.outwait(schedule, Fault::passes_on_key).await {
            tracing::warn!(key = %made.arn, %fault, "lost the race for the key, and could not schedule the deletion of ours");
        } else {
            tracing::info!(key = %made.arn, "lost the race for the key; ours was never used and will be deleted");
        }
    }

    async fn tag(&self, wanted: &BTreeMap<String, String>) -> Result<Applied, Fault> {
        let Some(key) = &self.key else { return Ok(Applied::Superseded) };
        let wanted = wanted.iter().map(|(name, value)| tag(name, value)).collect();
        let request = self.clients.kms.tag_resource().key_id(key.as_str()).set_tags(Some(wanted));
        self.clients.patience.outwait(|| call("TagResource", request.clone().send()), Fault::passes_on_key).await?;
        Ok(Applied::Done)
    }

    async fn describe(&self) -> Result<Applied, Fault> {
        let Some(key) = &self.key else { return Ok(Applied::Superseded) };
        let request = self.clients.kms.update_key_description().key_id(key.as_str()).description(KEY_DESCRIPTION);
        self.clients
            .patience
            .outwait(|| call("UpdateKeyDescription", request.clone().send()), Fault::passes_on_key)
            .await?;
        Ok(Applied::Done)
    }

    /// The lock-out check of KMS stays on: a policy that we could not change again is refused.
    async fn put_policy(&self) -> Result<Applied, Fault> {
        let Some(key) = &self.key else { return Ok(Applied::Superseded) };
        let policy = self.spec.policy_text(key);
        let request = self.clients.kms.put_key_policy().key_id(key.as_str()).policy_name("default").policy(policy);
        self.clients.patience.outwait(|| call("PutKeyPolicy", request.clone().send()), Fault::passes_on_key).await?;
        Ok(Applied::Done)
    }

    async fn rotate(&self, days: i32) -> Result<Applied, Fault> {
        let Some(key) = &self.key else { return Ok(Applied::Superseded) };
        let request = self.clients.kms.enable_key_rotation().key_id(key.as_str()).rotation_period_in_days(days);
        self.clients
            .patience
            .outwait(|| call("EnableKeyRotation", request.clone().send()), Fault::passes_on_key)
            .await?;
        Ok(Applied::Done)
    }
}

fn tag(name: &str, value: &str) -> Tag {
    Tag::builder().tag_key(name).tag_value(value).build().expect("key and value are set")
}
