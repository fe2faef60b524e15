//! The table of hostile names, and the forms in which each is sent.

use std::collections::BTreeSet;

use super::scene::Treasures;

const TABLE: &str = include_str!("payloads.txt");

/// Every name of the table.
pub(super) fn payloads(treasures: &Treasures) -> Vec<Vec<u8>> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && *line != "#" && !line.starts_with("# "));
    let all: Vec<Vec<u8>> = lines.map(|line| unescaped(&treasures.named_in(line))).collect();
    assert!(all.len() > 100, "the table has lost its lines");
    all
}

/// Those that are text.
pub(super) fn texts(treasures: &Treasures) -> Vec<String> {
    payloads(treasures).into_iter().filter_map(|bytes| String::from_utf8(bytes).ok()).collect()
}

/// As it is; as it is where a request line can carry that; encoded once, dots and slashes too; and encoded twice.
pub(super) fn forms(payload: &[u8]) -> BTreeSet<Vec<u8>> {
    let once = encoded(payload, |byte| !byte.is_ascii_alphanumeric());
    let twice = encoded(&once, |byte| byte == b'%');
    let carried = encoded(payload, |byte| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'?'));
    // Line ends in a request line are the next line: what comes of that is tried apart.
    let raw = (!payload.contains(&b'\n')).then(|| payload.to_vec());
    [once, twice, carried].into_iter().chain(raw).collect()
}

/// With some bytes percent-encoded.
pub(super) fn encoded(bytes: &[u8], which: impl Fn(u8) -> bool) -> Vec<u8> {
    let one = |byte: &u8| if which(*byte) { format!("%{byte:02x}").into_bytes() } else { vec![*byte] };
    bytes.iter().flat_map(one).collect()
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (*first, rest) {
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                rest = after;
            }
            (b'\\', [b'x', high, low, after @ ..]) => {
                let hex = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                rest = after;
            }
            (b'\\', _) => panic!("{line}: a backslash stands for nothing"),
            (byte, _) => bytes.push(byte),
        }
    }
    bytes
}

#[test]
fn table_says_what_it_means() {
    assert_eq!(unescaped(r"a\\b\x00\xffc"), b"a\\b\0\xffc");
    let of =
        |payload: &[u8]| forms(payload).into_iter().map(|form| String::from_utf8(form).unwrap()).collect::<Vec<_>>();
    assert_eq!(of(b"../x"), ["%252e%252e%252fx", "%2e%2e%2fx", "../x"]);
    assert_eq!(of(b"a b"), ["a b", "a%20b", "a%2520b"]);
}
