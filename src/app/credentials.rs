//! Credentials that sign URLs: looked at often, so that a URL lives as long as it may.

use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use tokio::sync::Mutex;

/// Credentials that end within this time are not handed out when there may be newer ones.
const ENDING: Duration = Duration::from_mins(15);
/// Newer ones are asked for after this time in any case.
const OLD: Duration = Duration::from_mins(5);
/// They are not asked for more often than this, also when they end soon: each may be a request to STS.
const PAUSE: Duration = Duration::from_secs(10);
/// How long newer ones may take.
const WAIT: Duration = Duration::from_secs(10);

/// Keeps credentials while they are fresh; one request for newer ones at a time, which everybody awaits.
///
/// The SDK's own cache asks ten seconds before the end, which would leave URLs that are signed late with no life.
#[derive(Debug)]
pub(super) struct Fresh {
    source: SharedCredentialsProvider,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    credentials: Credentials,
    asked: Instant,
}

impl Fresh {
    pub(super) fn new(source: SharedCredentialsProvider) -> Self {
        Self { source, kept: Mutex::new(None) }
    }

    async fn provide(&self) -> provider::Result {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh(Instant::now(), SystemTime::now())) {
            return Ok(kept.credentials.clone());
        }
        let asked = Instant::now();
        let fetched = tokio::time::timeout(WAIT, self.source.provide_credentials()).await;
        let fetched = fetched.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(WAIT)));
        match (fetched, kept.as_mut()) {
            (Ok(credentials), _) => {
                *kept = Some(Kept { credentials: credentials.clone(), asked });
                Ok(credentials)
            }
            // What is kept may still be good for a while, which its end says.
            (Err(error), Some(kept)) if kept.left(SystemTime::now()).is_none_or(|left| !left.is_zero()) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "could not look for newer credentials");
                kept.asked = asked;
                Ok(kept.credentials.clone())
            }
            (Err(error), _) => Err(error),
        }
    }
}

impl Kept {
    fn left(&self, now: SystemTime) -> Option<Duration> {
        self.credentials.expiry().map(|end| end.duration_since(now).unwrap_or_default())
    }

    fn is_fresh(&self, at: Instant, now: SystemTime) -> bool {
        let age = at.saturating_duration_since(self.asked);
        let good_for = if self.left(now).is_some_and(|left| left <= ENDING) { PAUSE } else { OLD };
        age < good_for
    }
}

impl ProvideCredentials for Fresh {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Gives numbered credentials that live for so long; fails from the second time on when told to.
    #[derive(Debug, Clone)]
    struct Counted {
        asked: Arc<AtomicU32>,
        life: Duration,
        once: bool,
    }

    impl ProvideCredentials for Counted {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            let (life, once) = (self.life, self.once);
            future::ProvideCredentials::new(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if once && number > 0 {
                    return Err(CredentialsError::provider_error("away"));
                }
                let end = Some(SystemTime::now() + life);
                Ok(Credentials::new(number.to_string(), "secret", None, end, "test"))
            })
        }
    }

    fn fresh(life: Duration, once: bool) -> (Arc<Fresh>, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let source = Counted { asked: Arc::clone(&asked), life, once };
        (Arc::new(Fresh::new(SharedCredentialsProvider::new(source))), asked)
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_request() {
        let (fresh, asked) = fresh(Duration::from_hours(1), false);
        let all = futures::future::join_all((0..50).map(|_| fresh.provide())).await;
        assert!(all.iter().all(|credentials| credentials.as_ref().unwrap().access_key_id() == "0"));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn failure_to_renew_leaves_what_is_still_good() {
        let (fresh, asked) = fresh(Duration::from_mins(10), true);
        fresh.provide().await.unwrap();
        let long_ago = Instant::now().checked_sub(PAUSE).unwrap();
        fresh.kept.lock().await.as_mut().unwrap().asked = long_ago;
        assert_eq!(fresh.provide().await.unwrap().access_key_id(), "0");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // Who comes next does not ask again at once.
        fresh.provide().await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_ends_soon_or_is_old_is_not_fresh() {
        let (at, now) = (Instant::now() + Duration::from_hours(1), SystemTime::now());
        let kept = |age: Duration, left: Option<Duration>| {
            let end = left.map(|left| now + left);
            let credentials = Credentials::new("key", "secret", None, end, "test");
            Kept { credentials, asked: at.checked_sub(age).unwrap() }.is_fresh(at, now)
        };
        let hour = Duration::from_hours(1);
        assert!(kept(OLD / 2, None) && kept(OLD / 2, Some(hour)));
        assert!(!kept(OLD, None) && !kept(OLD, Some(hour)));
        assert!(kept(PAUSE / 2, Some(ENDING)) && !kept(PAUSE, Some(ENDING)));
    }
}
