//! What a token says of its bearer, once its signature is proven.

use std::collections::{BTreeMap, BTreeSet};

use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde_json::{Map, Value};

use super::key::Key;
use super::{Algorithm, Identity, IssuerSettings, LEEWAY, Refused};
use crate::domain::Timestamp;

/// The end of the year 9999 in seconds: the last time that RFC 3339 can say.
const LAST_SECOND: i64 = 253_402_300_799;
/// Longest name of a subject, principal or group, and longest claim that is kept, in bytes.
const LONGEST: usize = 512;
/// Most groups. More are refused rather than cut: a policy may forbid what a group is in.
const MOST_GROUPS: usize = 256;

/// The claims of a token that this key has signed, for us, at a time that includes now.
pub(super) fn prove(
    text: &str,
    key: &Key,
    algorithm: Algorithm,
    settings: &IssuerSettings,
) -> Result<Map<String, Value>, Refused> {
    // Everything is said: the library's defaults accept HS256, ask for `exp` alone and look neither at `iss` nor `nbf`.
    let mut validation = Validation::new(algorithm.of_library());
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&settings.audiences);
    validation.validate_exp = true;
    validation.validate_nbf = true;
    validation.validate_aud = true;
    validation.leeway = LEEWAY;
    let proven = jsonwebtoken::decode::<Map<String, Value>>(text, &key.material, &validation);
    proven.map(|token| token.claims).map_err(|error| {
        Refused::Invalid(match error.kind() {
            ErrorKind::InvalidSignature => "its signature is wrong",
            ErrorKind::ExpiredSignature => "it has expired",
            ErrorKind::ImmatureSignature => "it is not valid yet",
            ErrorKind::InvalidAudience => "it is for another audience",
            ErrorKind::InvalidIssuer => "it is another issuer's",
            ErrorKind::MissingRequiredClaim(_) => "it lacks exp, iss, aud or sub",
            ErrorKind::InvalidClaimFormat(_) => "its times are not numbers",
            _ => "it is malformed, or does not fit its key",
        })
    })
}

/// Who the bearer is. The claims are proven; what remains is what the library does not check, and the settings.
pub(super) fn identity(
    claims: &Map<String, Value>,
    settings: &IssuerSettings,
    now: Timestamp,
) -> Result<Identity, Refused> {
    // The library would take a list that contains it.
    if claims.get("iss").and_then(Value::as_str) != Some(&settings.issuer) {
        return Err(Refused::Invalid("it is another issuer's"));
    }
    let seconds = time_of(claims, "exp")?.ok_or(Refused::Invalid("it lacks exp, iss, aud or sub"))?;
    let expires_at = Timestamp::from_millis(seconds.saturating_mul(1000));
    if let Some(issued) = time_of(claims, "iat")? {
        let leeway = i64::try_from(LEEWAY).unwrap_or(0);
        if issued > now.millis() / 1000 + leeway {
            return Err(Refused::Invalid("it was issued in the future"));
        }
        if issued > seconds {
            return Err(Refused::Invalid("it expires before it was issued"));
        }
    }
    let subject = claims.get("sub").and_then(Value::as_str).filter(|text| is_name(text));
    let subject = subject.ok_or(Refused::Invalid("its subject is not a name of 1 to 512 bytes"))?;
    let principal = match find(claims, &settings.principal_claim) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    };
    let principal = principal
        .filter(|text| is_name(text))
        .ok_or(Refused::Invalid("its principal claim is not a name of 1 to 512 bytes"))?;
    Ok(Identity {
        issuer: settings.name.clone(),
        subject: subject.to_owned(),
        principal: format!("oidc:{}:{principal}", settings.name),
        groups: groups(claims, settings)?,
        claims: kept(claims, settings)?,
        expires_at,
    })
}

/// A claim by its name, or, when that begins with `/`, by a JSON pointer (RFC 6901) into nested claims.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let Some(pointer) = name.strip_prefix('/') else { return claims.get(name) };
    let unescaped = |token: &str| token.replace("~1", "/").replace("~0", "~");
    let (first, rest) = match pointer.split_once('/') {
        Some((first, rest)) => (first, format!("/{rest}")),
        None => (pointer, String::new()),
    };
    claims.get(&unescaped(first))?.pointer(&rest)
}

/// A NumericDate of RFC 7519 §2, whole seconds.
fn time_of(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is bounded below")]
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64));
    let seconds = seconds.filter(|seconds| (0..=LAST_SECOND).contains(seconds));
    seconds.map(Some).ok_or(Refused::Invalid("its times are not numbers of seconds before the year 10000"))
}

/// Bounded, and without what would forge a line of the log or of a listing.
fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn groups(claims: &Map<String, Value>, settings: &IssuerSettings) -> Result<Vec<String>, Refused> {
    const WRONG: Refused = Refused::Invalid("its groups are not a text or a list of at most 256 names");
    let found = settings.groups_claim.as_deref().and_then(|name| find(claims, name));
    let texts: Vec<&str> = match found {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) if items.len() <= MOST_GROUPS => {
            items.iter().map(Value::as_str).collect::<Option<_>>().ok_or(WRONG)?
        }
        Some(_) => return Err(WRONG),
    };
    if !texts.iter().all(|text| is_name(text)) {
        return Err(WRONG);
    }
    let mut seen = BTreeSet::new();
    let once = texts.into_iter().filter(|text| seen.insert(*text));
    Ok(once.map(|text| format!("{}:{text}", settings.name)).collect())
}

fn kept(claims: &Map<String, Value>, settings: &IssuerSettings) -> Result<BTreeMap<String, String>, Refused> {
    let mut kept = BTreeMap::new();
    for name in &settings.claims {
        let text = match find(claims, name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(flag)) => flag.to_string(),
            // A policy that asks for it does not find it, and so does not permit.
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => continue,
        };
        if text.len() > LONGEST {
            return Err(Refused::Invalid("a claim that is kept has more than 512 bytes"));
        }
        kept.insert(name.clone(), text);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::oidc::KeyPlace;

    const NOW: i64 = 1_800_000_000;

    fn settings() -> IssuerSettings {
        IssuerSettings {
            name: "ci".into(),
            issuer: "https://i".into(),
            audiences: vec!["strongroom".into()],
            principal_claim: "sub".into(),
            groups_claim: Some("groups".into()),
            claims: vec!["ref".into(), "protected".into(), "run".into(), "/k.io/namespace".into()],
            algorithms: Algorithm::ALL.to_vec(),
            keys: KeyPlace::of_issuer("https://i"),
            ca_file: None,
        }
    }

    fn of(settings: &IssuerSettings, changes: &Value) -> Result<Identity, Refused> {
        let mut claims = json!({"iss": "https://i", "sub": "job", "exp": NOW + 60, "iat": NOW});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        identity(claims.as_object().unwrap(), settings, Timestamp::from_millis(NOW * 1000))
    }

    fn reason(changes: &Value) -> &'static str {
        match of(&settings(), changes) {
            Err(Refused::Invalid(reason)) => reason,
            other => panic!("{changes}: {other:?}"),
        }
    }

    #[test]
    fn names_carry_the_issuer_and_listed_claims_are_kept() {
        let claims = json!({
            "groups": ["a", "b", "a"], "ref": "main", "protected": true, "run": 7, "other": "x",
            "k.io": {"namespace": "ml", "pod": {"name": "p"}},
        });
        let identity = of(&settings(), &claims).unwrap();
        assert_eq!(identity.principal, "oidc:ci:job");
        assert_eq!(identity.groups, ["ci:a", "ci:b"]);
        let kept: Vec<_> = identity.claims.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(kept, [("/k.io/namespace", "ml"), ("protected", "true"), ("ref", "main"), ("run", "7")]);
        assert_eq!(identity.expires_at.millis(), (NOW + 60) * 1000);
    }

    #[test]
    fn another_claim_may_name_the_principal() {
        let settings = IssuerSettings { principal_claim: "project".into(), ..settings() };
        assert_eq!(of(&settings, &json!({"project": "a/b"})).unwrap().principal, "oidc:ci:a/b");
        assert_eq!(of(&settings, &json!({"project": 17})).unwrap().principal, "oidc:ci:17");
        for wrong in [json!({}), json!({"project": ""}), json!({"project": ["a"]}), json!({"project": 1.5})] {
            assert!(of(&settings, &wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn groups_may_be_absent_or_a_text_and_nothing_else() {
        let groups = |value: Value| of(&settings(), &json!({ "groups": value })).map(|identity| identity.groups);
        assert_eq!(groups(json!("a b")).unwrap(), ["ci:a b"]);
        assert_eq!(groups(Value::Null).unwrap(), [""; 0]);
        assert_eq!(of(&settings(), &json!({})).unwrap().groups, [""; 0]);
        let many = json!((0..257).map(|n| n.to_string()).collect::<Vec<_>>());
        for wrong in [json!({"a": 1}), json!(["a", 1]), json!([""]), json!(7), json!("a\nb"), many] {
            assert!(groups(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_bounded_and_have_no_control_characters() {
        for sub in [json!(""), json!("x".repeat(513)), json!("a\u{1b}[2J"), json!("a\nb"), json!(7), json!(null)] {
            assert_eq!(reason(&json!({ "sub": sub })), "its subject is not a name of 1 to 512 bytes");
        }
        assert_eq!(reason(&json!({"ref": "x".repeat(513)})), "a claim that is kept has more than 512 bytes");
    }

    #[test]
    fn times_are_sane() {
        assert_eq!(reason(&json!({"iat": NOW + 31})), "it was issued in the future");
        assert!(of(&settings(), &json!({"iat": NOW + 30})).is_ok());
        assert_eq!(reason(&json!({"iat": NOW, "exp": NOW - 1})), "it expires before it was issued");
        for exp in [json!(LAST_SECOND + 1), json!(u64::MAX), json!(1e300), json!(-1), json!("1"), json!(null)] {
            assert!(reason(&json!({ "exp": exp })).contains("year 10000"), "{exp}");
        }
        assert!(of(&settings(), &json!({"iat": 1_799_999_999.5})).is_ok());
    }

    #[test]
    fn issuer_is_one_text() {
        assert_eq!(reason(&json!({"iss": ["https://i"]})), "it is another issuer's");
        assert_eq!(reason(&json!({"iss": "https://i/"})), "it is another issuer's");
    }

    #[test]
    fn pointers_reach_nested_claims_and_plain_names_may_have_slashes() {
        let claims = json!({"a": {"b/c": 1, "~": [2, 3]}, "https://x/groups": 4, "": {"": 5}});
        let claims = claims.as_object().unwrap();
        for (name, value) in [("/a/b~1c", 1), ("/a/~0/1", 3), ("https://x/groups", 4), ("//", 5)] {
            assert_eq!(find(claims, name), Some(&json!(value)), "{name}");
        }
        for name in ["/a/b", "a/b", "/https:", "/", "b"] {
            assert!(find(claims, name).is_none_or(Value::is_object), "{name}");
        }
    }
}
