//! Answers that never came: whether there is anybody at all, and whether the call may have had its effect.

use std::error::Error;
use std::io::{self, ErrorKind};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

/// How an answer got lost; either way the call may have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The server was reached, and the connection ended before its answer did.
    Cut,
    /// Nobody answered in time, or could be reached.
    Silent,
}

impl Lost {
    /// `None` for an answer, and for a call that was never sent.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Option<Self>
    where
        E: Error + Send + Sync + 'static,
    {
        match error {
            SdkError::TimeoutError(_) => Some(Self::Silent),
            SdkError::DispatchFailure(failed) if failed.is_timeout() => Some(Self::Silent),
            SdkError::DispatchFailure(failed) if failed.is_io() => {
                Some(if was_connected(error) { Self::Cut } else { Self::Silent })
            }
            // So the HTTP client calls a connection that ended in the middle, and nothing else.
            SdkError::DispatchFailure(failed) if failed.is_other() => failed.as_other().map(|_| Self::Cut),
            SdkError::ResponseError(broken) if broken.raw().status().is_success() => Some(Self::Cut),
            _ => None,
        }
    }
}

/// What an error says, and its causes, without the debug form that the SDK adds.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Some layers repeat what is below them.
        if told.last().is_none_or(|last| !last.contains(&text)) {
            told.push(text);
        }
        next = error.source();
    }
    told.join(": ")
}

fn was_connected(error: &dyn Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.downcast_ref::<io::Error>().is_some_and(|error| ended(error.kind())) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// Whether only a connection that was there can fail like this.
fn ended(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_connection_was_there_and_a_refused_one_never_was() {
        for (kind, connected) in [(ErrorKind::ConnectionReset, true), (ErrorKind::ConnectionRefused, false)] {
            let error = Around(io::Error::other(Around(io::Error::from(kind))));
            assert_eq!(was_connected(&error), connected, "{kind}");
        }
    }

    #[test]
    fn chain_tells_each_cause_once() {
        let error = Around(io::Error::other("the end"));
        assert_eq!(chain(&error), "around: the end");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("around")]
    struct Around(#[source] io::Error);
}
