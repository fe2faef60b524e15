//! `*` and `?` as IAM means them: any run of characters (also `/` and `:`), and any one character.

/// Whether `text` matches `pattern`; linear in the product of both lengths, never exponential.
///
/// Units are characters, not bytes. `ignore_case` folds ASCII letters only, which is all that action names have.
pub(crate) fn matches(pattern: &str, text: &str, ignore_case: bool) -> bool {
    let same = |a: char, b: char| a == b || (ignore_case && a.eq_ignore_ascii_case(&b));
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go back to: the last star, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some('?') => {
                p += 1;
                t += 1;
            }
            Some(&c) if same(c, text[t]) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                p = star_at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Whether an ARN matches an ARN pattern part by part: a wildcard of one part does not reach into the next.
///
/// Both have six parts separated by `:`, the last of which may contain more of them. The lone `*` matches any ARN.
/// Anything that is not an ARN matches nothing.
pub(crate) fn arn_matches(pattern: &str, arn: &str) -> bool {
    if pattern == "*" {
        return is_arn(arn);
    }
    let (Some(pattern), Some(arn)) = (arn_parts(pattern), arn_parts(arn)) else { return false };
    pattern.iter().zip(arn).all(|(pattern, part)| matches(pattern, part, false))
}

/// Whether a text has the six parts of an ARN, wildcards allowed in every one but the first.
pub(crate) fn is_arn(text: &str) -> bool {
    arn_parts(text).is_some()
}

fn arn_parts(text: &str) -> Option<[&str; 6]> {
    let mut parts = text.splitn(6, ':');
    let parts = [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    (parts[0] == "arn" && !parts[1].is_empty() && !parts[2].is_empty() && !parts[5].is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_takes_any_run_and_question_mark_one_character() {
        for (pattern, text, expected) in [
            ("s3:*", "s3:PutObject", true),
            ("s3:Get*", "s3:PutObject", false),
            ("*", "", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "aéc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/deep/er:key", true),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b", false),
            ("abc", "abcd", false),
            ("abcd", "abc", false),
        ] {
            assert_eq!(matches(pattern, text, false), expected, "{pattern} on {text}");
        }
        assert!(matches("S3:putobject", "s3:PutObject", true));
        assert!(!matches("S3:putobject", "s3:PutObject", false));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "*a".repeat(200);
        let text = "a".repeat(100) + &"b".repeat(5_000);
        assert!(!matches(&pattern, &text, false));
    }

    #[test]
    fn wildcard_of_one_arn_part_does_not_reach_into_the_next() {
        let role = "arn:aws:iam::111122223333:role/train/gpu:1";
        assert!(arn_matches("arn:aws:iam::111122223333:role/*", role));
        assert!(arn_matches("arn:*:iam::*:role/train/*", role));
        assert!(!arn_matches("arn:aws:iam::*/gpu:1", role));
        assert!(arn_matches("*", role));
        assert!(!arn_matches("*", "not an arn"));
    }
}
