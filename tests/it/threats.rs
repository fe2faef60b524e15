//! The table of docs/SECURITY.md: each test that it names is there.

use std::collections::BTreeSet;
use std::fs;

use crate::house::rust_files;
use crate::support::process::source;

const HEADING: &str = "\n## Threats and the tests that hold them\n";

/// Threat and what holds it, of each row.
fn rows() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(source("docs/SECURITY.md")).unwrap();
    let section = text.split(HEADING).nth(1).expect("docs/SECURITY.md has the table").split("\n## ").next().unwrap();
    let table = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{line}");
        (cells[1].to_owned(), cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect())
    };
    table.map(row).collect()
}

/// The names of all tests in the sources.
fn tests() -> BTreeSet<String> {
    let files = ["src", "crates", "tests/it"].into_iter().flat_map(rust_files);
    files.flat_map(|(_, text)| tests_of(&text)).collect()
}

fn tests_of(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // Tests of every back end are written once, and listed where a macro makes tests of them.
    let listed: BTreeSet<&str> = text
        .split("_on_every_")
        .chain(text.split("\non_every_"))
        .skip(1)
        .filter_map(|rest| rest.split_once("!(")?.1.split(");").next())
        .flat_map(|list| list.split(',').map(str::trim))
        .collect();
    let name = |line: &str| {
        let rest = line.split_once("fn ")?.1;
        Some(rest.split(['(', '<']).next()?.to_owned())
    };
    let mut names = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_function = line.starts_with("fn ") || line.starts_with("async fn ");
        let Some(name) = name(line).filter(|_| is_function) else { continue };
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        let is_test = above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
        if is_test || listed.contains(name.as_str()) {
            names.push(name);
        }
    }
    names
}

#[test]
fn every_test_that_the_table_of_threats_names_exists() {
    let tests = tests();
    let rows = rows();
    assert!(rows.len() > 25 && tests.len() > 400, "{} rows, {} tests", rows.len(), tests.len());
    let mut gone = Vec::new();
    for (threat, held_by) in rows {
        assert!(!held_by.is_empty(), "nothing holds: {threat}");
        for name in held_by {
            let exists = if name.contains('/') { source(&name).is_file() } else { tests.contains(&name) };
            if !exists {
                gone.push(format!("{threat}: {name}"));
            }
        }
    }
    assert!(gone.is_empty(), "docs/SECURITY.md names tests that are not there:\n{}", gone.join("\n"));
}

#[test]
fn test_is_told_from_what_only_looks_like_one() {
    let text = "on_every_back_end!(\n    listed,\n);\n\nasync fn listed(s: S) {}\nfn plain() {}\n#[test]\nfn tested() {}\n\
                #[tokio::test]\n// Why.\nasync fn awaited() {}\n// fn commented() {}\n";
    assert_eq!(tests_of(&format!("\n{text}")), ["listed", "tested", "awaited"]);
}
