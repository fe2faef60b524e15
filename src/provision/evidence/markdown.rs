//! Evidence as Markdown, to be read, signed and filed.

use std::fmt::Write as _;

use super::Evidence;
use crate::provision::finding::{Effect, Status};
use crate::provision::journal::Answer;
use crate::provision::spec::{BackEnd, Profile};

pub(super) fn render(evidence: &Evidence, digest: &str) -> String {
    let mut text = String::new();
    write(evidence, digest, &mut text).expect("writing into memory does not fail");
    text
}

fn write(evidence: &Evidence, digest: &str, text: &mut String) -> std::fmt::Result {
    let Evidence { posture, calls, calls_not_kept, .. } = evidence;
    let count = |status| posture.claims.iter().filter(|judged| judged.finding.status == status).count();
    writeln!(text, "# Posture of bucket {}\n", cell(&evidence.bucket))?;
    writeln!(
        text,
        "**{}**: {} claims passed, {} failed, {} not verifiable.\n",
        status(posture.status).to_uppercase(),
        count(Status::Passed),
        count(Status::Failed),
        count(Status::NotVerifiable)
    )?;
    writeln!(text, "| | |\n|---|---|")?;
    for (name, value) in [
        ("Began", evidence.started_at.to_string()),
        ("Ended", evidence.ended_at.to_string()),
        ("By", format!("strongroom {}", evidence.version)),
        ("Bucket", evidence.bucket.clone()),
        ("Region", evidence.region.clone()),
        ("KMS key", evidence.kms_key_arn.clone()),
        ("Back end", back_end(evidence.back_end).to_owned()),
        ("Policy profile", profile(evidence.policy_profile).to_owned()),
        ("Provisioning mode", evidence.mode.to_string()),
        ("Digest", digest.to_owned()),
    ] {
        writeln!(text, "| {name} | {} |", cell(&value))?;
    }
    writeln!(
        text,
        "\nThe digest is SHA-256 over the RFC 8785 canonical form of the JSON file without its member `digest`.\n"
    )?;
    writeln!(text, "## Claims\n\nA claim is true when it passed. Blocking claims refuse writes when they fail.\n")?;
    writeln!(
        text,
        "| claim | says | status | effect | expected | observed | controls |\n|---|---|---|---|---|---|---|"
    )?;
    for finding in posture.claims.iter().map(|judged| &judged.finding) {
        let effect = match finding.effect {
            Effect::Blocking => "blocking",
            Effect::Degrading => "degrading",
        };
        writeln!(
            text,
            "| {} | {} | {} | {effect} | {} | {} | {} |",
            finding.claim,
            finding.claim.says(),
            status(finding.status),
            cell(&finding.expected),
            cell(&finding.observed),
            finding.controls.join(", ")
        )?;
    }
    writeln!(
        text,
        "\n## Controls set apart\n\nNo claim satisfies them, for these reasons; they do not fail the check.\n"
    )?;
    writeln!(text, "| controls | ask for | reason |\n|---|---|---|")?;
    for apart in &posture.apart {
        writeln!(text, "| {} | {} | {} |", apart.controls.join(", "), apart.asks, cell(apart.reason))?;
    }
    writeln!(text, "\n## Overrides in force\n")?;
    if posture.overrides.is_empty() {
        writeln!(text, "None.")?;
    } else {
        writeln!(text, "| claim | until | reason | by | since |\n|---|---|---|---|---|")?;
    }
    for made in &posture.overrides {
        let (reason, by) = (cell(&made.reason), cell(&made.by));
        writeln!(text, "| {} | {} | {reason} | {by} | {} |", made.claim, made.until, made.since)?;
    }
    writeln!(text, "\n## Calls\n\n{} calls, in the order of the answers", calls.len())?;
    if *calls_not_kept > 0 {
        writeln!(text, "; {calls_not_kept} more were made and are not listed")?;
    }
    writeln!(text, "\n| at | operation | ms | answer | request |\n|---|---|---|---|---|")?;
    for call in calls {
        let answer = match (call.answer, call.status, &call.code) {
            (Answer::Ok, _, _) => "ok".to_owned(),
            (Answer::None, _, _) => "no answer".to_owned(),
            (Answer::Error, Some(status), Some(code)) => format!("{status} {code}"),
            (Answer::Error, Some(status), None) => status.to_string(),
            (Answer::Error, None, _) => "failed".to_owned(),
        };
        let request = call.request_id.as_deref().unwrap_or("-");
        let (answer, request) = (cell(&answer), cell(request));
        writeln!(text, "| {} | {} | {} | {answer} | {request} |", call.at, call.operation, call.millis)?;
    }
    writeln!(text, "\n## Sign-off\n")?;
    let line = "________________________";
    let (name, date) = match &evidence.signed_by {
        Some(name) => (cell(name), evidence.ended_at.to_string()),
        None => (line.to_owned(), line.to_owned()),
    };
    writeln!(text, "Name: {name}\n\nDate: {date}\n\nSignature: {line}")
}

/// Text as it may stand in a table: what others chose must not become a column, a link or a tag.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '|' | '<' | '`' | '[' | '*' => cell.extend(['\\', c]),
            c if c.is_control() => cell.push(' '),
            c => cell.push(c),
        }
    }
    cell
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::NotVerifiable => "not verifiable",
    }
}

fn back_end(back_end: BackEnd) -> &'static str {
    match back_end {
        BackEnd::Aws => "AWS S3 and KMS",
        BackEnd::Embedded => "embedded in strongroom",
        BackEnd::Compatible => "S3 and KMS of others",
    }
}

fn profile(profile: Profile) -> &'static str {
    match profile {
        Profile::Explicit => "explicit",
        Profile::DefaultOk => "default_ok",
    }
}
