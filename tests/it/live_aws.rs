//! Questions that only AWS can answer, asked of AWS when `STRONGROOM_LIVE_AWS=1`, and of the embedded endpoint always.
//!
//! The embedded endpoint promises an answer to each, and is held to it. AWS is held only to what its documentation and
//! everybody's experience agree on; the other answers are written down as a table. `docs/OPERATIONS.md` says what it
//! costs, and which permissions it needs: the embedded endpoint is asked by somebody who has exactly those.
//! Whatever happens, the bucket goes, its objects go, and the deletion of its keys is scheduled.

mod place;
mod provisioning;
mod questions;

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;

use self::place::Place;

/// The whole conversation with AWS, the cleaning not counted.
const LIMIT: Duration = Duration::from_mins(20);

/// What was asked so far; on AWS each answer is also said at once, so that nothing is lost when a later question fails.
struct Answers {
    live: bool,
    all: Vec<Answer>,
}

/// What was asked, and what was answered.
#[derive(Debug, Clone)]
struct Answer {
    question: &'static str,
    /// What the embedded endpoint promises that AWS says.
    promised: &'static str,
    /// Whether AWS is held to it, too.
    agreed: bool,
    answered: String,
}

#[tokio::test]
async fn embedded_endpoint_answers_as_it_promises_that_aws_does() {
    let place = Place::embedded().await;
    let answers = Box::pin(converse(&place)).await;
    let kept = place.leave().await;
    assert_eq!(kept, Vec::<String>::new(), "left behind");
    assert_eq!(answers.len(), 22, "questions");
    let broken: Vec<_> = answers.iter().filter(|answer| answer.answered != answer.promised).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[tokio::test]
async fn aws_answers_what_only_aws_can() {
    if !wanted() {
        say("live AWS: not run, STRONGROOM_LIVE_AWS is not 1 (docs/OPERATIONS.md says how)\n");
        return;
    }
    let place = Place::aws().await;
    say(&format!("live AWS: region {}, bucket {}\n", place.region, place.bucket));
    let conversation = tokio::time::timeout(LIMIT, Box::pin(converse(&place)));
    let conversation = AssertUnwindSafe(conversation).catch_unwind().await;
    let kept = place.leave().await;
    say(&match kept.as_slice() {
        [] => "live AWS: nothing is left but keys that wait for their end, 7 days from now\n".to_owned(),
        kept => format!("live AWS: LEFT BEHIND, remove it by hand:\n  {}\n", kept.join("\n  ")),
    });
    let answers = match conversation {
        Ok(Ok(answers)) => answers,
        Ok(Err(_)) => panic!("AWS did not answer everything within {LIMIT:?}"),
        Err(panic) => std::panic::resume_unwind(panic),
    };
    say(&table(&answers));
    let broken: Vec<_> = answers.iter().filter(|answer| answer.agreed && answer.answered != answer.promised).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(kept, Vec::<String>::new(), "left behind");
}

async fn converse(place: &Place) -> Vec<Answer> {
    let mut answers = Answers { live: place.live, all: Vec::new() };
    let made = provisioning::create(place, &mut answers).await;
    Box::pin(questions::ask(place, &made, &mut answers)).await;
    provisioning::drift_and_repair(place, &made, &mut answers).await;
    answers.all
}

impl Answers {
    fn push(&mut self, answer: Answer) {
        if self.live {
            say(&format!("live AWS: {}: {}\n", answer.question, answer.answered));
        }
        self.all.push(answer);
    }
}

fn table(answers: &[Answer]) -> String {
    let mut text = "\n| question | AWS answered | the embedded endpoint answers | |\n|---|---|---|---|\n".to_owned();
    for Answer { question, promised, agreed, answered } in answers {
        let mark = match (answered == promised, agreed) {
            (true, _) => "same",
            (false, false) => "DIFFERENT",
            (false, true) => "WRONG",
        };
        writeln!(text, "| {question} | {answered} | {promised} | {mark} |").unwrap();
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting of the service")]
fn wanted() -> bool {
    std::env::var("STRONGROOM_LIVE_AWS").is_ok_and(|value| value == "1")
}

/// Also seen when the test passes: libtest captures only what is printed.
fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}
