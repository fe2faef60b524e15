//! Changes and differences as an operator reads them, in colour where there is a terminal.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};

use crate::cli;
use crate::provision::{Change, Difference, Kind, Mode};

/// For what is made, and what holds.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// For what is altered, and what is unknown.
pub(super) const CARE: Style = AnsiColor::Yellow.on_default();
/// For what does not hold.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// For what explains.
pub(super) const FAINT: Style = Style::new().dimmed();
/// For headings.
pub(super) const HEAD: Style = Style::new().bold();

/// Text in a style.
pub(super) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints to standard output, without the styles when that is no terminal or colour is not wanted.
pub(super) fn print(text: &str) -> std::io::Result<()> {
    cli::write(anstream::stdout().lock(), text)
}

/// `+` or `~`.
pub(super) fn sign(change: &Change) -> String {
    match change.kind() {
        Kind::Create => styled(GOOD, "+"),
        Kind::Update => styled(CARE, "~"),
    }
}

/// A change: what, from what to what, and why.
pub(super) fn change(change: &Change) -> String {
    let from = change.from().map_or_else(|| "(not set)".to_owned(), |from| clean(&from));
    format!(
        "  {} {}\n      {from} -> {}\n      {}\n",
        sign(change),
        change.what(),
        change.to(),
        styled(FAINT, change.why())
    )
}

/// What differs and stays, and how to bring it back; empty when nothing does.
pub(super) fn left_alone(differences: &[Difference], mode: Mode) -> String {
    if differences.is_empty() {
        return String::new();
    }
    let mut text = match mode {
        Mode::Repair => "Left alone, because it is not ours to change:\n".to_owned(),
        _ => "Left alone, because it exists (--mode repair brings it back):\n".to_owned(),
    };
    for Difference { setting, was, wanted, why } in differences {
        let _infallible = writeln!(
            text,
            "  {} {setting}\n      {}, should be {wanted}\n      {}",
            styled(CARE, "!"),
            clean(was),
            styled(FAINT, why)
        );
    }
    text
}

/// Text that others chose, without what a terminal would obey.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
