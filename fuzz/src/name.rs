//! Everything that is one short text: names, refs, aliases and their patterns, grants, ids, times, networks, tokens.
//!
//! A line each; the first one is also a pattern of aliases for all the others.

use std::fmt::{Debug, Display};
use std::net::IpAddr;
use std::str::FromStr;

use strongroom::access::Token;
use strongroom::domain::{
    Alias, AliasPattern, Description, DraftId, GrantOn, Grantee, ModelName, Namespace, Network, Reason, Sha256Digest,
    Timestamp, VersionNumber, VersionRef, counted_as,
};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let pattern = lines.next().and_then(exactly::<AliasPattern>);
    for line in text.split('\n') {
        if let Some(namespace) = exactly::<Namespace>(line) {
            // Names are segments of keys and URLs as they are.
            assert!(namespace.as_str().bytes().all(|b| b.is_ascii_graphic() && !b"/\\%?#\"'".contains(&b)));
            assert!(!line.contains("..") && line != ".");
            let folded: Namespace = namespace.folded().parse().unwrap();
            assert_eq!(folded.folded(), namespace.folded());
            assert_eq!(line.parse::<ModelName>().map(String::from), Ok(line.to_owned()));
        }
        if let Some(alias) = exactly::<Alias>(line) {
            assert_eq!(line.parse(), Ok(VersionRef::Alias(alias.clone())), "an alias means something else in a URL");
            if let Some(pattern) = &pattern {
                // In whatever case either is written.
                let (text, name) = (text_of(pattern).to_ascii_lowercase(), alias.as_str().to_ascii_lowercase());
                assert_eq!(pattern.matches(&alias), matches(&text, &name), "{pattern} {alias}");
            }
        }
        exactly::<VersionRef>(line);
        exactly::<VersionNumber>(line);
        exactly::<Sha256Digest>(line);
        exactly::<DraftId>(line);
        exactly::<Grantee>(line);
        if let Some(on) = exactly::<GrantOn>(line) {
            assert_eq!(on.folded().parse::<GrantOn>().unwrap().folded(), on.folded());
        }
        if let Some(token) = Token::parse(line) {
            assert_eq!(token.expose(), line);
            assert!(!format!("{token:?}").contains(&line[3..]));
        }
        normalised::<Timestamp>(line);
        normalised::<Reason>(line);
        network(line);
    }
    if let Ok(description) = text.parse::<Description>() {
        assert!(description.as_str() == text && text.len() <= Description::MAX_BYTES && !text.contains('\u{1b}'));
    }
}

/// What is read is written as it was.
fn exactly<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    assert_eq!(value.to_string(), text);
    Some(value)
}

/// What is read is written in one way, which is read as the same.
fn normalised<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().unwrap(), value);
    }
}

fn text_of(pattern: &AliasPattern) -> String {
    pattern.to_string()
}

/// A pattern by its definition: `*` is any characters, also none.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // Row by row: which beginnings of the text the pattern so far can be.
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for symbol in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match symbol {
                b'*' => row[at] || (at > 0 && next[at - 1]),
                symbol => at > 0 && row[at - 1] && text[at - 1] == *symbol,
            };
        }
        row = next;
    }
    row[text.len()]
}

fn network(line: &str) {
    let Ok(network) = line.parse::<Network>() else { return };
    assert_eq!(network.to_string().parse(), Ok(network));
    let (address, _) = line.split_once('/').unwrap_or((line, ""));
    let address: IpAddr = address.parse().unwrap();
    // One that is IPv4 written in IPv6 is never compared in that form.
    if address == address.to_canonical() {
        assert!(network.contains(address), "{network} is not in itself");
    }
    assert_eq!(counted_as(counted_as(address)), counted_as(address));
}
