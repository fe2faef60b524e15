//! The background verifier: reads each declared object once, and says whether the client's word was right.
//!
//! A bounded number of objects is read at a time, each a chunk at a time. Of several processes on one catalog each
//! object is read by one: it holds a lease while it reads, and what it finds counts only while the object is still
//! declared. What S3 does not give is tried again later; only bytes that were read twice and differ are wrong.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Error, Registry, StoreError};
use crate::catalog::{Declared, Found, Lease, ObjectToCheck, Recorded};
use crate::domain::Actor;
use crate::store::Hashed;

/// How often it looks for work when nobody rings.
const ROUND: Duration = Duration::from_mins(1);

/// How long an object stays with a process that does not say that it goes on.
const LEASE: Duration = Duration::from_secs(30);
const RENEW: Duration = Duration::from_secs(10);

/// The pause of everything after S3 did not answer, doubled with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_mins(1);

/// Objects that are looked through at a time for one to read.
const PAGE: i64 = 100;

/// Where the search for work is.
#[derive(Debug, Default)]
struct Walk {
    published_to: i64,
    demanded_to: i64,
}

/// How the reading of an object ended.
#[derive(Debug)]
enum Ended {
    /// What was found is recorded, or somebody else has recorded it.
    Done,
    /// Another process reads it.
    Elsewhere,
    /// It could not be read now.
    Failed(Error),
    /// The service ends.
    Stopped,
}

/// What the end of one reading means for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// S3 works.
    Working,
    /// Nothing.
    Alone,
    /// Others may fail for the same reason.
    Outage,
}

impl Registry {
    /// Begins to verify in the background, until `stop`; not at all when `verify_parallel` is 0.
    pub fn begin_verifying(&self, stop: &CancellationToken) {
        let parallel = self.limits().verify_parallel;
        if parallel > 0 {
            let (registry, stop) = (self.clone(), stop.clone());
            self.tasks.spawn(async move { registry.verify_until(&stop, parallel).await });
        }
    }

    async fn verify_until(&self, stop: &CancellationToken, parallel: usize) {
        let (mut walk, mut reading, mut in_hand) = (Walk::default(), FuturesUnordered::new(), Vec::new());
        let (mut pausing, mut last_pause, mut round) = (false, Duration::ZERO, Instant::now() + ROUND);
        while !stop.is_cancelled() {
            while !pausing && reading.len() < parallel {
                match self.next_to_verify(&mut walk, &in_hand).await {
                    Ok(Some(object)) => {
                        in_hand.push(object.id);
                        reading.push(async move { (object.id, self.verify(object, stop).await) });
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for files to verify");
                        break;
                    }
                }
            }
            tokio::select! {
                Some((object, ended)) = reading.next(), if !reading.is_empty() => {
                    in_hand.retain(|held| *held != object);
                    match self.note(object, ended) {
                        After::Working => last_pause = Duration::ZERO,
                        After::Alone => {}
                        After::Outage => {
                            pausing = true;
                            last_pause = (last_pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
                        }
                    }
                }
                () = self.verification.woken(self.verification.due_before(round)), if !pausing => {
                    (walk, round) = (Walk::default(), Instant::now() + ROUND);
                    self.verification.forget_old();
                }
                () = tokio::time::sleep(last_pause), if pausing => pausing = false,
                () = stop.cancelled() => {}
            }
        }
        // Each sees `stop` by itself, and gives its object back.
        while reading.next().await.is_some() {}
    }

    /// The next object that nobody here has in hand and that is not to be tried later.
    async fn next_to_verify(&self, walk: &mut Walk, in_hand: &[i64]) -> Result<Option<ObjectToCheck>, Error> {
        for draft in self.verification.most_urgent() {
            match self.first_free(Declared::Draft(draft), &mut 0, in_hand).await? {
                (Some(object), _) => return Ok(Some(object)),
                (None, true) => {}
                (None, false) => self.verification.is_through_with(draft),
            }
        }
        if let (Some(object), _) = self.first_free(Declared::Published, &mut walk.published_to, in_hand).await? {
            return Ok(Some(object));
        }
        Ok(self.first_free(Declared::Demanded, &mut walk.demanded_to, in_hand).await?.0)
    }

    /// The first free object behind `to`, which is moved there, and whether there was any, free or not.
    async fn first_free(
        &self,
        which: Declared,
        to: &mut i64,
        in_hand: &[i64],
    ) -> Result<(Option<ObjectToCheck>, bool), Error> {
        let mut any = false;
        // Each page is behind the last one, so this ends.
        loop {
            let page = self.catalog().declared_objects(self.store().bucket(), which, *to, PAGE).await?;
            let Some(last) = page.last() else { return Ok((None, any)) };
            (any, *to) = (true, last.id);
            let free =
                |object: &ObjectToCheck| !in_hand.contains(&object.id) && !self.verification.is_for_later(object.id);
            if let Some(object) = page.into_iter().find(free) {
                *to = object.id;
                return Ok((Some(object), any));
            }
        }
    }

    /// Takes note of how a reading ended, and says what that means for others.
    fn note(&self, object: i64, ended: Ended) -> After {
        let known = &self.verification;
        match ended {
            Ended::Done => {
                known.forget(object);
                After::Working
            }
            Ended::Stopped => After::Alone,
            Ended::Elsewhere => {
                known.try_later(object, false);
                After::Alone
            }
            Ended::Failed(error) => {
                known.failures.fetch_add(1, Ordering::Relaxed);
                let is_missing = matches!(error, Error::Store(StoreError::NotFound { .. }));
                known.try_later(object, is_missing);
                // That it is missing was told where its key is known.
                if !is_missing {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, object, "a file could not be verified; it will be tried again");
                }
                let may_be_all = matches!(&error, Error::Store(error) if error.is_retryable());
                if may_be_all { After::Outage } else { After::Alone }
            }
        }
    }

    async fn verify(&self, object: ObjectToCheck, stop: &CancellationToken) -> Ended {
        let lease = match self.catalog().take_lease(format!("verify/{}", object.id), LEASE).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return Ended::Elsewhere,
            Err(error) => return Ended::Failed(error.into()),
        };
        let ended = tokio::select! {
            ended = self.read_and_record(&object) => ended.map_or_else(Ended::Failed, |()| Ended::Done),
            () = self.keep(&lease) => Ended::Elsewhere,
            () = stop.cancelled() => Ended::Stopped,
        };
        if let Err(error) = self.catalog().give_back(lease).await {
            tracing::info!(error = &error as &dyn std::error::Error, "a lease stays until it ends by itself");
        }
        ended
    }

    /// Says that the object is still being read, until somebody else has it.
    async fn keep(&self, lease: &Lease) {
        loop {
            tokio::time::sleep(RENEW).await;
            // A catalog that does not answer gives the lease to nobody else either.
            if let Ok(false) = self.catalog().renew(lease, LEASE).await {
                return;
            }
        }
    }

    async fn read_and_record(&self, object: &ObjectToCheck) -> Result<(), Error> {
        // Another process may have had it between the list and the lease.
        if !self.catalog().is_unchanged(object).await? {
            return Ok(());
        }
        let hashed = match self.hash(object).await {
            Err(error @ Error::Store(StoreError::NotFound { .. })) => {
                // It may have been removed with the draft that it was for.
                if !self.catalog().is_unchanged(object).await? {
                    return Ok(());
                }
                tracing::error!(
                    s3.key = object.s3_key,
                    s3.version_id = object.s3_version_id,
                    "the bytes of a file are not in the bucket: restore them from a copy, or delete what uses the file; \
                     `strongroom verify` says what else is missing"
                );
                return Err(error);
            }
            hashed => hashed?,
        };
        let is_right = |hashed: Hashed| hashed.sha256 == object.sha256;
        // A verdict is for ever: what differs is read once more.
        let found = if is_right(hashed) {
            Found::Right
        } else {
            let again = self.hash(object).await?;
            if is_right(again) || again != hashed {
                return Err(Error::Store(StoreError::Unfaithful("two reads of one object gave different bytes")));
            }
            Found::Wrong
        };
        if let Some(recorded) = self.catalog().record_found(object, found, &Actor::service("verifier")).await? {
            self.tell(object, found, &recorded);
        }
        self.verification.tell_recorded();
        Ok(())
    }

    async fn hash(&self, object: &ObjectToCheck) -> Result<Hashed, Error> {
        let count = |bytes| _ = self.verification.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(self.store().hash_version(&object.s3_key, &object.s3_version_id, count).await?)
    }

    fn tell(&self, object: &ObjectToCheck, found: Found, recorded: &Recorded) {
        if found == Found::Right {
            self.verification.verified.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(s3.key = object.s3_key, "verified");
            return;
        }
        self.verification.wrong.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(s3.key = object.s3_key, s3.version_id = object.s3_version_id, "{}", recorded.in_words());
    }
}

impl Recorded {
    /// For the operator's log.
    pub(super) fn in_words(&self) -> String {
        if self.count == 0 {
            return "the bytes of a file do not have the SHA-256 that was stated; no version has become quarantined by it"
                .to_owned();
        }
        let mut named: Vec<String> =
            self.quarantined.iter().map(|(model, number)| format!("{model} version {number}")).collect();
        match self.count.saturating_sub(named.len() as u64) {
            0 => {}
            more => named.push(format!("{more} more")),
        }
        format!("quarantined, because {}: {}", self.reason, named.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ModelRef, VersionNumber};

    #[test]
    fn quarantine_is_told_with_its_reason_and_the_first_of_many_versions() {
        let model = ModelRef { namespace: "a".parse().unwrap(), name: "b".parse().unwrap() };
        let versions = [1, 2].map(|number| (model.clone(), VersionNumber::new(number).unwrap()));
        let mut recorded = Recorded { quarantined: versions.to_vec(), count: 2, reason: "it rains".into() };
        assert_eq!(recorded.in_words(), "quarantined, because it rains: a/b version 1, a/b version 2");
        recorded.count = 40;
        assert!(recorded.in_words().ends_with("a/b version 2, 38 more"));
        assert!(Recorded::default().in_words().contains("no version"));
    }
}
