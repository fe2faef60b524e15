//! What reading the claim tells: whose bucket it is, and what S3's clock says.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::ConfigBag;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

use super::canary::skew;
use super::claim::MAX_BYTES;
use super::manifest::read_at_most;
use super::{Error, Store};
use crate::domain::ObjectKey;

/// What the claim's object says now.
#[derive(Debug)]
pub struct ClaimSeen {
    /// Its bytes; none when it is not there, or the bucket is not.
    pub claim: Result<Option<Vec<u8>>, Error>,
    /// How far this machine's clock and S3's are apart; none when S3 did not say.
    pub skew: Option<Duration>,
}

impl Store {
    /// Reads the claim and S3's `Date`, and writes nothing.
    pub async fn look_at_claim(&self) -> ClaimSeen {
        let clock = Clock::default();
        let key = ObjectKey::Claim.to_string();
        let answer = self
            .s3()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .set_expected_bucket_owner(self.owner())
            .customize()
            .interceptor(clock.clone())
            .send()
            .await
            .map_err(Error::during("GetObject"));
        let claim = match answer {
            Ok(object) => read_at_most(object.body, MAX_BYTES, self.pace()).await.map(Some),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        ClaimSeen { claim, skew: clock.skew() }
    }
}

/// Keeps the skew that the last answer showed; an answer that refuses has a date too.
#[derive(Debug, Clone, Default)]
struct Clock(Arc<Mutex<Option<Duration>>>);

impl Clock {
    fn skew(&self) -> Option<Duration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = skew(date, SystemTime::now());
        }
        Ok(())
    }
}
