//! What goes wrong in these tests, and what clients are told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::{Response, StatusCode};

use crate::support::fault_proxy::{Asked, Fault, FaultProxy, Rule};
use crate::support::service::problem;

/// Status and code of a refusal.
pub(super) type Refused = (u16, String);

/// Cases that are tried at the same time: most of each is waiting.
const AT_ONCE: usize = 6;

/// What goes wrong at one operation for one model, until it is lifted; several can be in force at once.
pub(super) struct Strike<'a> {
    proxy: &'a FaultProxy,
    operation: &'static str,
    model: String,
    in_force: Arc<AtomicBool>,
}

impl<'a> Strike<'a> {
    /// One that stays.
    pub(super) fn always(proxy: &'a FaultProxy, operation: &'static str, model: &str, fault: Fault) -> Self {
        Self::first(proxy, operation, model, fault, usize::MAX)
    }

    /// One that passes with the first request.
    pub(super) fn once(proxy: &'a FaultProxy, operation: &'static str, model: &str, fault: Fault) -> Self {
        Self::first(proxy, operation, model, fault, 1)
    }

    /// One that passes after so many requests.
    pub(super) fn first(
        proxy: &'a FaultProxy,
        operation: &'static str,
        model: &str,
        fault: Fault,
        count: usize,
    ) -> Self {
        let (model, in_force) = (model.to_owned(), Arc::new(AtomicBool::new(true)));
        let strike = Self { proxy, operation, model: model.clone(), in_force: Arc::clone(&in_force) };
        let applies = move |asked: &Asked| in_force.load(Ordering::SeqCst) && is_about(asked, operation, &model);
        proxy.inject(Rule::when(applies).first(count).does(fault));
        strike
    }

    pub(super) fn lift(&self) {
        self.in_force.store(false, Ordering::SeqCst);
    }

    /// How often something went wrong.
    pub(super) fn count(&self) -> usize {
        let struck = self.proxy.seen();
        struck.iter().filter(|seen| seen.fault.is_some() && is_about(&seen.asked, self.operation, &self.model)).count()
    }
}

/// Whether a request names a key of the model, or asks for a list of its keys.
fn is_about(asked: &Asked, operation: &str, model: &str) -> bool {
    asked.operation == operation && asked.target.replace("%2F", "/").contains(&format!("/{model}/"))
}

/// Tries some cases at a time; each gets a number of its own.
pub(super) async fn at_once<T>(cases: impl IntoIterator<Item = T>, case: impl AsyncFn(usize, T)) {
    let case = &case;
    let all = futures::stream::iter(cases.into_iter().enumerate());
    all.for_each_concurrent(AT_ONCE, |(number, one)| case(number, one)).await;
}

/// What goes wrong once at a request, and must not be noticed.
pub(super) fn passing() -> Vec<Fault> {
    let mut faults = passing_at_head();
    faults.extend([
        answer(400, "RequestTimeout"),
        Fault::Truncate(0),
        Fault::Truncate(40),
        Fault::Drip(1, Duration::from_millis(200)),
    ]);
    faults
}

/// As [`passing`], where S3 joins or copies by itself: it may take long, and says 200 before it knows how it ends.
/// Silence is not among them, because it is waited out for as long as that may take.
pub(super) fn passing_where_s3_works_long() -> Vec<Fault> {
    let mut faults = passing_at_head();
    faults.retain(|fault| *fault != Fault::BlackHole);
    faults.extend([
        answer(400, "RequestTimeout"),
        answer(200, "InternalError"),
        answer(409, "ConditionalRequestConflict"),
        Fault::Truncate(0),
        Fault::Truncate(40),
        Fault::Drip(50, Duration::from_millis(100)),
    ]);
    faults
}

/// As [`passing`], where the answer has no body.
pub(super) fn passing_at_head() -> Vec<Fault> {
    let answers = [(500, "InternalError"), (503, "SlowDown"), (502, "")];
    let mut faults: Vec<Fault> = answers.into_iter().map(|(status, code)| answer(status, code)).collect();
    faults.extend([Fault::HangUpBefore, Fault::HangUpAfter, Fault::BlackHole, Fault::Duplicate]);
    faults
}

pub(super) fn answer(status: u16, code: &'static str) -> Fault {
    Fault::Answer { status, code, message: "a fault", headers: Vec::new() }
}

/// Objects, not manifests.
pub(super) fn on_objects(operation: &'static str) -> Rule {
    Rule::when(move |asked: &Asked| asked.operation == operation && asked.target.contains("/models/"))
}

pub(super) fn refused(status: u16, code: &str) -> Refused {
    (status, code.to_owned())
}

/// The store is away; the same call may succeed a little later.
pub(super) fn unavailable() -> Refused {
    refused(503, "storage_unavailable")
}

/// A refusal, whose form is checked.
pub(super) async fn told(answer: Response) -> Refused {
    let retry_after = answer.headers().contains_key("retry-after");
    let (status, body) = problem(answer).await;
    assert!(!status.is_server_error() || retry_after == (status == StatusCode::SERVICE_UNAVAILABLE), "{body}");
    (status.as_u16(), body["code"].as_str().unwrap().to_owned())
}
