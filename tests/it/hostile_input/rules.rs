//! What names may be, said once more and apart from the service: the judge of its answers.

use percent_encoding::percent_decode;

/// Whether a text may be the path of a file in a version.
///
/// Most odd names may: what is stored is a name, and becomes a file nowhere in the service.
pub(super) fn is_file_path(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 700
        && !text.chars().any(|c| c.is_control() || c == '\\')
        && !text.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}

/// Whether a text may name a namespace or a model.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 96
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !text.contains("..")
}

/// Whether a text may be an alias.
pub(super) fn is_alias(text: &str) -> bool {
    text.len() <= 128 && text.split('/').all(is_name)
}

fn is_ref(text: &str) -> bool {
    is_alias(text) || text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64)
}

pub(super) fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

/// Whether a text may stand for the parameter of a path.
fn may_stand_for(parameter: &str, text: &str) -> bool {
    match parameter {
        "path" => is_file_path(text),
        "ns" | "name" | "claim" => is_name(text),
        "alias" => is_alias(text),
        "ref" => is_ref(text),
        // Whatever else there is, now or later: an id.
        _ => is_id(text),
    }
}

/// Whether a request may succeed: its target is that of an operation, and every parameter what it may be.
pub(super) fn is_legitimate(operations: &[String], method: &str, target: &[u8]) -> bool {
    let end = target.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(target.len());
    operations.iter().filter_map(|operation| operation.split_once(' ')).any(|(of, template)| {
        // What can be read can be looked at without its bytes.
        (of == method || (method, of) == ("HEAD", "GET")) && fits(template, &target[..end])
    })
}

fn fits(template: &str, path: &[u8]) -> bool {
    let mut given = path.split(|b| *b == b'/');
    let mut wanted = template.split('/').peekable();
    while let Some(segment) = wanted.next() {
        let parameter = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        let rest = parameter == Some("path") && wanted.peek().is_none();
        let found =
            if rest { Some(given.by_ref().collect::<Vec<_>>().join(&b'/')) } else { given.next().map(<[u8]>::to_vec) };
        let Some(found) = found else { return false };
        let right = match parameter {
            None => found == segment.as_bytes(),
            Some(name) => percent_decode(&found).decode_utf8().is_ok_and(|text| may_stand_for(name, &text)),
        };
        if !right {
            return false;
        }
        if rest {
            return true;
        }
    }
    given.next().is_none()
}

/// Whether an object of the bucket lies where the service puts things.
pub(super) fn is_key(key: &str) -> bool {
    let parts: Vec<&str> = key.splitn(5, '/').collect();
    let is_number = |text: &str| {
        let digits = text.strip_suffix(".json").unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    match parts[..] {
        ["models", ns, name, draft, path] => is_name(ns) && is_name(name) && is_id(draft) && is_file_path(path),
        ["manifests", ns, name, number] => is_name(ns) && is_name(name) && is_number(number),
        ["journal", catalog, number] => is_name(catalog) && is_number(number),
        ["probes", id] => is_name(id),
        [claim] => claim == "strongroom-claim.json",
        _ => false,
    }
}

#[test]
fn judge_tells_right_from_wrong() {
    let operations = ["GET /v1/m/{ns}/f/{path}".to_owned(), "PUT /v1/m/{ns}/a/{alias}".to_owned()];
    let of = |method: &str, target: &str| is_legitimate(&operations, method, target.as_bytes());
    assert!(of("GET", "/v1/m/a/f/b/c?x=../y") && of("HEAD", "/v1/m/a/f/b%20c") && of("GET", "/v1/m/a/f/b#/../c"));
    assert!(!of("GET", "/v1/m/a/f/b/../c") && !of("GET", "/v1/m/a/f/b%2f%2e%2e") && !of("GET", "/v1/m/a/f/"));
    assert!(!of("GET", "/v1/m/../f/b") && !of("GET", "/v1/m/a/b/f/c") && !of("POST", "/v1/m/a/f/b"));
    assert!(of("PUT", "/v1/m/a/a/b%2fc") && !of("PUT", "/v1/m/a/a/b/c") && !of("PUT", "/v1/m/a/a/b%2f..%2fc"));
    assert!(
        is_key("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/x/y") && !is_key("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/x/../y")
    );
    assert!(!is_key("models/a/x") && !is_key("secret.txt") && is_key("journal/01ARZ3NDEKTSV4RRFFQ69G5FAV/00001.json"));
}
