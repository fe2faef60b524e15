//! What was asked of S3 and KMS, and what they answered: kept only inside [`record`], for evidence.
//!
//! An entry names the operation and never its arguments, so that no key, token or URL can get into it.

mod listener;

pub use self::listener::Listener;

use std::cell::RefCell;
use std::time::Instant;

use serde::Serialize;

use super::fault::Fault;
use crate::domain::Timestamp;

/// Calls that are kept one by one; those after them are counted.
const LONGEST: usize = 10_000;

/// The calls of one run, in the order in which they were answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Journal {
    /// The first 10,000.
    pub calls: Vec<Call>,
    /// How many more there were.
    pub not_kept: u64,
}

/// One call and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// API name of the operation, or what a trial of several calls is called.
    pub operation: String,
    /// When it was sent.
    pub at: Timestamp,
    /// How long it took, in milliseconds, retries of the SDK included.
    pub millis: u64,
    /// How it ended.
    pub answer: Answer,
    /// HTTP status, when the answer was no success.
    pub status: Option<u16>,
    /// Error code, when the answer had one.
    pub code: Option<String>,
    /// The server's id of the request.
    pub request_id: Option<String>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A success.
    Ok,
    /// The server said no, or failed.
    Error,
    /// The server said nothing in time.
    None,
}

tokio::task_local! {
    static JOURNAL: RefCell<Journal>;
}

/// Runs `work` and gives what it asked and was answered; tasks that it spawns are not seen.
pub async fn record<T>(work: impl Future<Output = T>) -> (T, Journal) {
    let recorded = async {
        let done = work.await;
        (done, JOURNAL.with(RefCell::take))
    };
    JOURNAL.scope(RefCell::default(), recorded).await
}

/// Runs a trial of several calls that are not seen one by one, and enters it as a whole.
///
/// # Errors
/// Those of the trial.
pub async fn trial<T, E>(name: &'static str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let clock = Clock::start();
    let done = work.await;
    clock.enter(name, |call| call.answer = if done.is_ok() { Answer::Ok } else { Answer::Error });
    done
}

/// Started with a call, to enter it when it is answered.
#[derive(Debug)]
pub(super) struct Clock(Timestamp, Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Timestamp::now(), Instant::now())
    }

    pub(super) fn answered(&self, operation: &str, request_id: Option<&str>) {
        self.enter(operation, |call| call.request_id = request_id.map(str::to_owned));
    }

    pub(super) fn failed(&self, fault: &Fault) {
        self.enter(fault.operation, |call| {
            call.answer = if fault.status.is_some() { Answer::Error } else { Answer::None };
            call.status = fault.status;
            call.code.clone_from(&fault.code);
            call.request_id.clone_from(&fault.request_id);
        });
    }

    fn enter(&self, operation: &str, tell: impl FnOnce(&mut Call)) {
        let millis = u64::try_from(self.1.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Outside of `record` nobody keeps a journal.
        let _kept = JOURNAL.try_with(|journal| {
            let mut journal = journal.borrow_mut();
            if journal.calls.len() >= LONGEST {
                journal.not_kept += 1;
                return;
            }
            let operation = operation.to_owned();
            let mut call =
                Call { operation, at: self.0, millis, answer: Answer::Ok, status: None, code: None, request_id: None };
            tell(&mut call);
            journal.calls.push(call);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::fault::tests::fault;

    #[tokio::test]
    async fn concurrent_calls_of_one_run_are_all_kept_and_none_of_outside() {
        Clock::start().answered("Outside", None);
        let one = async { Clock::start().answered("One", Some("R1")) };
        let two = async {
            tokio::task::yield_now().await;
            Clock::start().failed(&fault(403, "AccessDenied"));
        };
        let (_, journal) = record(async { tokio::join!(one, two) }).await;
        let told: Vec<_> =
            journal.calls.iter().map(|call| (call.operation.as_str(), call.answer, call.status)).collect();
        assert_eq!(told, [("One", Answer::Ok, None), ("Test", Answer::Error, Some(403))]);
        assert_eq!(journal.calls[0].request_id.as_deref(), Some("R1"));
        assert_eq!(journal.calls[1].code.as_deref(), Some("AccessDenied"));
    }

    #[tokio::test]
    async fn journal_is_bounded_and_says_how_much_is_missing() {
        let ((), journal) = record(async {
            for _ in 0..LONGEST + 3 {
                Clock::start().failed(&fault(0, ""));
            }
        })
        .await;
        assert_eq!((journal.calls.len(), journal.not_kept), (LONGEST, 3));
        assert_eq!(journal.calls[0].answer, Answer::None);
    }

    #[tokio::test]
    async fn trial_is_one_entry_and_gives_its_outcome_on() {
        let (done, journal) = record(trial("a trial", async { Err::<(), _>("no") })).await;
        assert_eq!(done, Err("no"));
        assert_eq!((journal.calls.len(), journal.calls[0].answer), (1, Answer::Error));
    }
}
