//! How long each request to S3 may take, by what it asks for.

use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadInput;
use aws_sdk_s3::operation::copy_object::CopyObjectInput;
use aws_sdk_s3::operation::get_object::GetObjectInput;
use aws_sdk_s3::operation::put_object::PutObjectInput;
use aws_sdk_s3::operation::upload_part::UploadPartInput;
use aws_sdk_s3::operation::upload_part_copy::UploadPartCopyInput;

/// Slower than this no upload need be: a part has the time for it, and as long as a small answer twice.
const BYTES_PER_SECOND: u64 = 1024 * 1024;

/// Longest time of one attempt and of all attempts together, all of them multiples of what a small request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits(Duration);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    attempt: Duration,
    operation: Duration,
}

impl TimeLimits {
    /// Limits for a store that answers small requests within this time.
    pub(super) fn new(patience: Duration) -> Self {
        Self(patience)
    }

    /// Silence on a connection, whatever is asked for.
    pub(super) fn silence(self) -> Duration {
        self.server_side().attempt
    }

    fn small(self) -> Limit {
        Limit { attempt: self.0, operation: self.0 * 4 }
    }

    /// Until the first byte; those that follow are guarded where they are read.
    fn download(self) -> Limit {
        Limit { attempt: self.0 * 2, operation: self.0 * 6 }
    }

    fn upload(self, bytes: u64) -> Limit {
        let attempt = self.0 * 2 + Duration::from_secs(bytes.div_ceil(BYTES_PER_SECOND));
        Limit { attempt, operation: attempt * 3 + self.0 }
    }

    /// What S3 does by itself with bytes that it has: joining the parts of a large upload takes it minutes.
    fn server_side(self) -> Limit {
        Limit { attempt: self.0 * 20, operation: self.0 * 24 }
    }
}

impl Intercept for TimeLimits {
    fn name(&self) -> &'static str {
        "TimeLimits"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input();
        let limit = if let Some(put) = input.downcast_ref::<PutObjectInput>() {
            self.upload(put.body().size_hint().0)
        } else if let Some(part) = input.downcast_ref::<UploadPartInput>() {
            self.upload(part.body().size_hint().0)
        } else if input.downcast_ref::<GetObjectInput>().is_some() {
            self.download()
        } else if input.downcast_ref::<CompleteMultipartUploadInput>().is_some()
            || input.downcast_ref::<CopyObjectInput>().is_some()
            || input.downcast_ref::<UploadPartCopyInput>().is_some()
        {
            self.server_side()
        } else {
            self.small()
        };
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(limit.attempt)
            .operation_timeout(limit.operation)
            .build();
        state.interceptor_state().store_put(timeouts);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_that_were_thought_through_when_nothing_else_is_set() {
        let limits = TimeLimits::new(Duration::from_secs(15));
        let of = |limit: Limit| (limit.attempt.as_secs(), limit.operation.as_secs());
        assert_eq!(of(limits.small()), (15, 60));
        assert_eq!(of(limits.download()), (30, 90));
        assert_eq!(of(limits.upload(64 * 1024 * 1024)), (94, 297));
        assert_eq!(of(limits.server_side()), (300, 360));
    }
}
