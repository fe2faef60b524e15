//! How deeply a text of Cedar is nested.
//!
//! The parser calls itself for each level, and a stack that is used up ends the process: about 110 brackets within each
//! other do that to a thread of 2 MiB. So a text is looked at before it is parsed.

/// Most brackets within each other.
pub(super) const MAX_BRACKETS: usize = 40;
/// Most `if` in one policy: each is within the one before, as far as the parser is concerned.
pub(super) const MAX_IFS: usize = 200;

/// Where the text is nested more deeply than is parsed.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut brackets, mut ifs) = (0, 0_usize, 0_usize);
    while let Some(byte) = bytes.get(at) {
        let length = match byte {
            b'"' => string(&bytes[at..]),
            b'/' if bytes.get(at + 1) == Some(&b'/') => length_while(&bytes[at..], |byte| byte != b'\n'),
            byte if is_word(*byte) => length_while(&bytes[at..], is_word),
            _ => 1,
        };
        match &bytes[at..at + length] {
            b"(" | b"[" | b"{" => brackets += 1,
            b")" | b"]" | b"}" => brackets = brackets.saturating_sub(1),
            b"if" => ifs += 1,
            b";" => ifs = 0,
            _ => {}
        }
        if brackets > MAX_BRACKETS || ifs > MAX_IFS {
            return Some(at);
        }
        at += length;
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn length_while(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !holds(*byte)).unwrap_or(bytes.len())
}

/// The length of the string that begins here, with its quotes; to the end when it has no other one.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_within_each_other_and_ifs_within_a_policy() {
        let nested = |n: usize| format!("{}1{}", "([{".repeat(n), "}])".repeat(n));
        assert_eq!(too_deep(&nested(13)), None);
        assert_eq!(too_deep(&nested(14)), Some(MAX_BRACKETS));
        assert_eq!(too_deep(&"() ".repeat(1_000)), None);
        let policy = |n: usize| format!("{};", "if iffy then 1 else ".repeat(n));
        assert_eq!(too_deep(&policy(MAX_IFS).repeat(3)), None);
        assert!(too_deep(&policy(MAX_IFS + 1)).is_some());
    }

    #[test]
    fn strings_and_comments_are_not_nested() {
        let open = "(".repeat(100);
        for text in [format!("\"{open}\""), format!("\"\\\"{open}\""), format!("// {open}\n("), format!("\"{open}")] {
            assert_eq!(too_deep(&text), None, "{text}");
        }
        for text in [format!("\"\\\\\"{open}"), format!("/{open}"), format!("// x\n{open}"), format!("\"//\"{open}")] {
            assert!(too_deep(&text).is_some(), "{text}");
        }
    }
}
