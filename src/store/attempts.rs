//! Writes that are tried again until it is known what came of them.

use std::time::{Duration, Instant};

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;

use super::stored::Said;
use super::{Error, Store};
use crate::domain::UploadToken;

/// Most times that a write is sent.
const TRIES: u32 = 5;
/// The pause before the second try, give or take a half; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What a write does when it is sent again and the first had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeated {
    /// It is refused, or answered as the first was.
    Harmless,
    /// It makes another version: what came of the first must be known before.
    Doubles,
}

/// For `config_override`: one attempt within this time, because [`Store::write`] decides about another.
pub(super) fn once(limit: Duration) -> Builder {
    within(limit).retry_config(RetryConfig::disabled())
}

/// For `config_override`: each attempt within this time.
pub(super) fn within(limit: Duration) -> Builder {
    // The SDK makes three attempts, and pauses for some seconds.
    let whole = limit * 3 + Duration::from_secs(5);
    let limits = TimeoutConfig::builder().operation_attempt_timeout(limit).operation_timeout(whole).build();
    aws_sdk_s3::Config::builder().timeout_config(limits)
}

fn limit_for(patience: Duration, bytes: u64, bytes_a_second: u64) -> Duration {
    patience * 2 + Duration::from_secs(bytes.div_ceil(bytes_a_second))
}

impl Store {
    /// How long sending or copying so many bytes may take: twice a small request, and a second for each piece of this
    /// size.
    pub(super) fn limit_for(&self, bytes: u64, bytes_a_second: u64) -> Duration {
        limit_for(self.inner.patience, bytes, bytes_a_second)
    }

    /// How long S3 may work by itself: it joins the parts of a large upload in minutes.
    pub(super) fn long(&self) -> Duration {
        self.inner.patience * 20
    }

    /// How long the first byte of an object may take; [`super::pace::Pace`] guards those after it.
    pub(super) fn until_first_byte(&self) -> Duration {
        self.inner.patience * 2
    }

    /// Sends a write until it was answered, refused, or found to have had its effect.
    ///
    /// What answers with an error may have had an effect all the same, and so may what was not answered: the object
    /// that carries the token is ours.
    ///
    /// # Errors
    /// Of the last attempt, when the token is nowhere; of the look for it, when that is not known.
    pub(super) async fn write<A, F>(
        &self,
        key: &str,
        token: &UploadToken,
        repeated: Repeated,
        attempt: A,
    ) -> Result<Said, Error>
    where
        A: Fn() -> F,
        F: Future<Output = Result<Said, Error>>,
    {
        let began = Instant::now();
        // No try begins later than this after the first: each may take minutes itself.
        let last_begin = self.long() * 2;
        for tried in 1..=TRIES {
            let error = match attempt().await {
                Ok(said) => return Ok(said),
                Err(error) => error,
            };
            // A refusal for what the request says cannot have had an effect.
            if matches!(error, Error::Denied { .. } | Error::Key { .. } | Error::Unfaithful(_) | Error::Busy(_)) {
                return Err(error);
            }
            let again = matches!(error, Error::Unavailable { .. }) && tried < TRIES && began.elapsed() < last_begin;
            if !again || repeated == Repeated::Doubles {
                let ours = self.find(key, token).await?;
                if let Some((version_id, copies)) = ours.split_first() {
                    if repeated == Repeated::Doubles {
                        self.remove_copies(key, copies).await;
                    }
                    return Ok(Said { version_id: Some(version_id.clone()), ..Said::default() });
                }
                if !again {
                    return Err(error);
                }
            }
            tracing::info!(error = &error as &dyn std::error::Error, tried, "a write is tried again");
            tokio::time::sleep(pause(tried, token)).await;
        }
        Err(Error::Unavailable { operation: "a write", source: "every attempt failed".into() })
    }
}

/// Uploads that failed together do not come back together.
fn pause(tried: u32, token: &UploadToken) -> Duration {
    let spread = u32::from(token.as_str().bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)));
    FIRST_PAUSE * 2_u32.pow(tried - 1) * (128 + spread) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_all_of_them_together_stay_below_a_few_seconds() {
        for token in [UploadToken::generate(), UploadToken::from_stored(String::new())] {
            let all: Vec<Duration> = (1..TRIES).map(|tried| pause(tried, &token)).collect();
            assert!(all.is_sorted() && all[0] >= FIRST_PAUSE / 2, "{all:?}");
            assert!(all.iter().sum::<Duration>() < Duration::from_secs(6), "{all:?}");
        }
    }

    #[test]
    fn part_has_half_a_minute_and_a_second_a_mebibyte() {
        let usual = Duration::from_secs(15);
        assert_eq!(limit_for(usual, 0, 1 << 20), Duration::from_secs(30));
        assert_eq!(limit_for(usual, 64 << 20, 1 << 20), Duration::from_secs(94));
    }
}
