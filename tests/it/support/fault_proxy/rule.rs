//! Which requests go wrong, and how.

use std::time::Duration;

use super::operation::Asked;

/// One way in which requests go wrong.
///
/// `Rule::on("PutBucketPolicy").first(3).answers(409, "OperationAborted", "…")`
pub(crate) struct Rule {
    applies: Box<dyn Fn(&Asked) -> bool + Send>,
    when: When,
    /// Requests that it applied to so far.
    met: usize,
    fault: Fault,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered here and never reaches the server: S3's XML or KMS's JSON, whichever was asked.
    Answer { status: u16, code: &'static str, message: &'static str, headers: Vec<(&'static str, &'static str)> },
    /// The connection ends before the request is passed on: nothing happened.
    HangUpBefore,
    /// The connection ends when the server has answered: the effect is there, the answer is lost.
    HangUpAfter,
    /// It is passed on after this time.
    Delay(Duration),
    /// It is taken and never answered.
    BlackHole,
    /// The connection ends after this many bytes of the answer's body.
    Truncate(usize),
    /// One bit of this byte of the answer's body is another one.
    Corrupt(usize),
    /// Both connections end after this many bytes of the request's body.
    CutSent(usize),
    /// One bit of this byte of the request's body is another one.
    SpoilSent(usize),
    /// The answer's body comes in pieces of so many bytes, with a pause before each.
    Drip(usize, Duration),
    /// The server gets it twice, and the second answer counts; bodies above 16 MiB are refused with 413.
    Duplicate,
    /// The first answer to the same operation on the same path is given again; the first time it is passed on and kept.
    Stale,
}

enum When {
    Always,
    First(usize),
    /// From one.
    Nth(usize),
    Chance {
        per_mille: u64,
        state: u64,
    },
}

impl Rule {
    /// Requests that `applies` says yes to.
    pub(crate) fn when(applies: impl Fn(&Asked) -> bool + Send + 'static) -> Self {
        Self { applies: Box::new(applies), when: When::Always, met: 0, fault: Fault::BlackHole }
    }

    /// Requests of one operation, by its API name.
    pub(crate) fn on(operation: &'static str) -> Self {
        Self::when(move |asked| asked.operation == operation)
    }

    /// Every request.
    pub(crate) fn on_all() -> Self {
        Self::when(|_| true)
    }

    /// Every request that can change something.
    pub(crate) fn on_changes() -> Self {
        Self::when(Asked::changes)
    }

    /// Only the first of them.
    pub(crate) fn first(self, count: usize) -> Self {
        Self { when: When::First(count), ..self }
    }

    /// Only one of them, counted from one.
    pub(crate) fn nth(self, number: usize) -> Self {
        Self { when: When::Nth(number), ..self }
    }

    /// Some of them, by chance, the same ones for the same seed and order.
    pub(crate) fn chance(self, per_mille: u64, seed: u64) -> Self {
        Self { when: When::Chance { per_mille, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }, ..self }
    }

    /// What happens to them.
    pub(crate) fn does(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    /// They are answered here, with an error.
    pub(crate) fn answers(self, status: u16, code: &'static str, message: &'static str) -> Self {
        self.does(Fault::Answer { status, code, message, headers: Vec::new() })
    }

    /// What happens to this request by this rule.
    pub(super) fn judge(&mut self, asked: &Asked) -> Option<Fault> {
        if !(self.applies)(asked) {
            return None;
        }
        self.met += 1;
        let strikes = match &mut self.when {
            When::Always => true,
            When::First(count) => self.met <= *count,
            When::Nth(number) => self.met == *number,
            When::Chance { per_mille, state } => {
                // xorshift64*: its high bits are good.
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % 1000 < *per_mille
            }
        };
        strikes.then(|| self.fault.clone())
    }
}
