//! Enters the calls of a whole client in the journal: for those that others than provisioning make.

use aws_sdk_s3::config::interceptors::{BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use super::{Answer, Clock};

/// An interceptor for the object store's client; outside of a record it does nothing.
#[derive(Debug, Clone, Copy)]
pub struct Listener;

impl Storable for Clock {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Listener {
    fn name(&self) -> &'static str {
        "Journal"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        state.interceptor_state().store_put(Clock::start());
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (Some(clock), Some(operation)) = (state.load::<Clock>(), state.load::<Metadata>()) else { return Ok(()) };
        // A request that was only presigned has no outcome: nothing was sent.
        let Some(failed) = context.output_or_error().map(|outcome| outcome.is_err()) else { return Ok(()) };
        clock.enter(operation.name(), |call| {
            let Some(response) = context.response() else {
                call.answer = Answer::None;
                return;
            };
            call.request_id = response.headers().get("x-amz-request-id").map(str::to_owned);
            if failed {
                call.answer = Answer::Error;
                call.status = Some(response.status().as_u16());
            }
        });
        Ok(())
    }
}
