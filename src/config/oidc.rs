//! The identity providers whose bearer tokens are believed: `[[oidc]]` tables, or the same as JSON in one variable.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::reader::Reader;
use crate::access::oidc::{Algorithm, IssuerSettings, KeyPlace, may_be_asked};
use crate::domain::check_json;

/// Most issuers, and the largest JSON that says them, in bytes.
const MOST_ISSUERS: usize = 32;
const LARGEST: usize = 64 * 1024;
/// Most audiences, and most claims, of one issuer.
const MOST_ITEMS: usize = 32;
/// Longest text in bytes.
const LONGEST: usize = 512;
const LONGEST_NAME: usize = 32;

impl Reader {
    /// Reads all issuers; their names and their `iss` are unique.
    pub(super) fn issuers(&mut self) -> Vec<IssuerSettings> {
        let Some(source) = self.values.get("oidc").map(|value| value.source.clone()) else { return Vec::new() };
        let Some(tables) = self.parsed_shortly("oidc", "a list of tables", tables) else { return Vec::new() };
        if tables.len() > MOST_ISSUERS {
            self.problem(format!("{source} has more than {MOST_ISSUERS} issuers"));
            return Vec::new();
        }
        let mut issuers: Vec<IssuerSettings> = Vec::new();
        for (index, table) in tables.into_iter().enumerate() {
            let mut table = Table { members: table, problems: Vec::new() };
            let issuer = table.issuer();
            let named = issuer.as_ref().map(|issuer| format!(" ({})", issuer.name)).unwrap_or_default();
            for problem in table.problems {
                self.problem(format!("{source}, issuer {}{named}: {problem}", index + 1));
            }
            let Some(issuer) = issuer else { continue };
            for earlier in &issuers {
                if earlier.name == issuer.name {
                    self.problem(format!("{source} has two issuers with the name {:?}", issuer.name));
                }
                if earlier.issuer == issuer.issuer {
                    self.problem(format!("{source} has the issuer {:?} twice", issuer.issuer));
                }
            }
            issuers.push(issuer);
        }
        issuers
    }
}

/// JSON as a list of objects, none of which says a name twice.
fn tables(text: &str) -> Option<Vec<Map<String, Value>>> {
    if text.len() > LARGEST || check_json(text.as_bytes()).is_err() {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// One issuer's table; what is taken out of it is known, what remains is not.
struct Table {
    members: Map<String, Value>,
    problems: Vec<String>,
}

impl Table {
    /// The issuer; none when its name or its `iss` is missing, with problems in any case.
    fn issuer(&mut self) -> Option<IssuerSettings> {
        let name = self.required("name", "1 to 32 of a-z 0-9 -, beginning with a letter", |text| {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
            begins && text.len() <= LONGEST_NAME && text.bytes().all(allowed)
        });
        let issuer = self.required("issuer", "an https:// URL (http:// on loopback only) without query", |text| {
            may_be_asked(text).is_some_and(|url| url.query().is_none())
        });
        let audiences = self.list("audiences");
        if audiences.is_empty() {
            let why = "without one, tokens that were made for other services would be believed";
            self.problems.push(format!("`audiences` must list at least one: {why}"));
        }
        let principal_claim = self.word("principal_claim").unwrap_or_else(|| "sub".to_owned());
        let groups_claim = self.word("groups_claim");
        let claims = self.list("claims");
        let algorithms = self.algorithms();
        let keys = self.keys(issuer.as_deref());
        let ca_file = self.word("ca_file").map(PathBuf::from);
        if ca_file.is_some() && matches!(keys, Some(KeyPlace::File(_))) {
            self.problems.push("`ca_file` is for asking an issuer, and with `jwks_file` none is asked".to_owned());
        }
        let unknown = self.members.keys().map(|key| format!("`{key}` is not a setting of an issuer"));
        self.problems.extend(unknown);
        Some(IssuerSettings {
            name: name?,
            issuer: issuer?,
            audiences,
            principal_claim,
            groups_claim,
            claims,
            algorithms,
            keys: keys?,
            ca_file,
        })
    }

    /// Where the keys are; none when that is not clear.
    fn keys(&mut self, issuer: Option<&str>) -> Option<KeyPlace> {
        let file = self.word("jwks_file");
        let keys = self.link("jwks_url");
        let discovery = self.link("discovery_url");
        let token_file = self.word("jwks_token_file").map(PathBuf::from);
        if token_file.is_some() && keys.is_none() {
            let why = "the token is sent to a URL that is written here, and to no other";
            self.problems.push(format!("`jwks_token_file` needs `jwks_url`: {why}"));
        }
        match (file, keys, discovery) {
            (None, None, None) => Some(KeyPlace::of_issuer(issuer?)),
            (Some(file), None, None) => Some(KeyPlace::File(file.into())),
            (None, Some(url), None) => Some(KeyPlace::Url { url, token_file }),
            (None, None, Some(url)) => Some(KeyPlace::Discovery(url)),
            _ => {
                self.problems.push("only one of `jwks_file`, `jwks_url` and `discovery_url` can be set".to_owned());
                None
            }
        }
    }

    fn algorithms(&mut self) -> Vec<Algorithm> {
        if !self.members.contains_key("algorithms") {
            return Algorithm::ALL.to_vec();
        }
        let names = self.list("algorithms");
        let algorithms: Option<Vec<Algorithm>> = names.iter().map(|name| Algorithm::parse(name)).collect();
        algorithms.filter(|algorithms| !algorithms.is_empty()).unwrap_or_else(|| {
            let known = Algorithm::ALL.map(Algorithm::as_str).join(", ");
            self.problems.push(format!("`algorithms` must list some of {known}"));
            Vec::new()
        })
    }

    /// A text of 1 to 512 bytes.
    fn word(&mut self, key: &str) -> Option<String> {
        let word = match self.members.remove(key)? {
            Value::String(text) if (1..=LONGEST).contains(&text.len()) => Some(text),
            _ => None,
        };
        if word.is_none() {
            self.problems.push(format!("`{key}` must be a text of 1 to {LONGEST} bytes"));
        }
        word
    }

    fn required(&mut self, key: &str, what: &str, is_right: impl Fn(&str) -> bool) -> Option<String> {
        if !self.members.contains_key(key) {
            self.problems.push(format!("`{key}` is required: {what}"));
            return None;
        }
        let word = self.word(key)?;
        if is_right(&word) {
            return Some(word);
        }
        self.problems.push(format!("`{key}` must be {what}, not {word:?}"));
        None
    }

    fn link(&mut self, key: &str) -> Option<String> {
        let link = self.word(key)?;
        if may_be_asked(&link).is_none() {
            // The text may have a password in it, which is one of the reasons to refuse it.
            self.problems.push(format!("`{key}` must be an https:// URL (http:// on loopback only) without user"));
        }
        Some(link)
    }

    /// A list of different texts; empty when it is not there.
    fn list(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.members.remove(key) else { return Vec::new() };
        let words: Option<BTreeSet<String>> = match value {
            Value::Array(items) if items.len() <= MOST_ITEMS => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) if (1..=LONGEST).contains(&text.len()) => Some(text),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        if words.is_none() {
            self.problems.push(format!("`{key}` must be a list of at most {MOST_ITEMS} texts of 1 to {LONGEST} bytes"));
        }
        words.unwrap_or_default().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::access::oidc::{Algorithm, IssuerSettings, KeyPlace};
    use crate::config::{Config, InvalidConfig, from_sources};

    fn read(file: &str, variable: Option<&str>) -> Result<Config, InvalidConfig> {
        let variable = variable.map(|text| ("STRONGROOM_OIDC".to_owned(), text.to_owned()));
        from_sources(Some(file), variable.into_iter(), &[])
    }

    fn problems(file: &str, variable: Option<&str>) -> String {
        read(file, variable).unwrap_err().to_string()
    }

    const GITHUB: &str = "[[oidc]]\nname = 'github'\nissuer = 'https://token.actions.githubusercontent.com'\naudiences = \
                          ['strongroom']\n";

    #[test]
    fn little_need_be_said() {
        let issuers = read(GITHUB, None).unwrap().oidc;
        let expected = IssuerSettings {
            name: "github".into(),
            issuer: "https://token.actions.githubusercontent.com".into(),
            audiences: vec!["strongroom".into()],
            principal_claim: "sub".into(),
            groups_claim: None,
            claims: Vec::new(),
            algorithms: Algorithm::ALL.to_vec(),
            keys: KeyPlace::Discovery(
                "https://token.actions.githubusercontent.com/.well-known/openid-configuration".into(),
            ),
            ca_file: None,
        };
        assert_eq!(issuers, [expected]);
        assert!(read("", None).unwrap().oidc.is_empty());
        assert!(read("", Some("[]")).unwrap().oidc.is_empty());
    }

    #[test]
    fn variable_says_the_same_and_counts_alone() {
        let json = r#"[{"name":"k8s","issuer":"https://kubernetes.default.svc","audiences":["b","a"],
            "principal_claim":"/kubernetes.io/namespace","groups_claim":"g","claims":["ref"],"algorithms":["RS256"],
            "jwks_url":"https://10.0.0.1/openid/v1/jwks","jwks_token_file":"/t","ca_file":"/ca"}]"#;
        let issuers = read(GITHUB, Some(json)).unwrap().oidc;
        let [issuer] = issuers.as_slice() else { panic!("{issuers:?}") };
        assert_eq!((issuer.name.as_str(), issuer.groups_claim.as_deref()), ("k8s", Some("g")));
        assert_eq!(issuer.algorithms, [Algorithm::RS256]);
        assert_eq!(issuer.audiences, ["a", "b"]);
        let keys = KeyPlace::Url { url: "https://10.0.0.1/openid/v1/jwks".into(), token_file: Some("/t".into()) };
        assert_eq!(issuer.keys, keys);
        let file = "[[oidc]]\nname = 'f'\nissuer = 'http://127.0.0.1:1'\naudiences = ['a']\njwks_file = 'keys.json'";
        assert_eq!(read(file, None).unwrap().oidc[0].keys, KeyPlace::File("keys.json".into()));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let file = "listen = 'x'\n[[oidc]]\nname = 'Git'\nissuer = 'http://example.com'\naudience = 'a'\nalgorithms = \
                    ['HS256']\nclaims = 'ref'\n[[oidc]]\nname = 'ok'\nissuer = 'https://a'\naudiences = ['x', \
                    1]\njwks_url = 'http://10.0.0.1/k'\njwks_file = 'f'\njwks_token_file = 't'\n";
        let text = problems(file, None);
        for part in [
            "`listen` in the file",
            "`oidc` in the file, issuer 1: `name` must be",
            "issuer 1: `issuer` must be",
            "issuer 1: `audiences` must list at least one",
            "issuer 1: `audience` is not a setting",
            "issuer 1: `algorithms` must list some of RS256",
            "issuer 1: `claims` must be a list",
            "issuer 2: `audiences` must be a list",
            "issuer 2: `audiences` must list at least one",
            "issuer 2: `jwks_url` must be",
            "issuer 2: only one of",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("11 problem"), "{text}");
    }

    #[test]
    fn names_and_issuers_are_unique() {
        let text = problems(&GITHUB.repeat(2), None);
        assert!(text.contains("two issuers with the name") && text.contains("twice"), "{text}");
    }

    #[test]
    fn what_is_no_list_of_tables_is_refused_without_repeating_it() {
        for json in ["{}", "[1]", "x", r#"[{"name":"a","name":"secret"}]"#, r#""secret""#] {
            let text = problems("", Some(json));
            assert!(text.contains("STRONGROOM_OIDC must be a list of tables"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        for file in ["oidc = 'x'", "oidc = ['x']", "[oidc]\nname = 'x'"] {
            assert!(problems(file, None).contains("`oidc` in the file"), "{file}");
        }
        let link = r#"[{"name":"a","issuer":"https://a","audiences":["a"],"jwks_url":"https://u:secret@a/k"}]"#;
        assert!(!problems("", Some(link)).contains("secret"));
    }

    #[test]
    fn a_token_is_sent_to_a_written_url_only() {
        let text = problems(&format!("{GITHUB}jwks_token_file = '/t'"), None);
        assert!(text.contains("`jwks_token_file` needs `jwks_url`"), "{text}");
        let text = problems(&format!("{GITHUB}jwks_file = '/k'\nca_file = '/c'"), None);
        assert!(text.contains("`ca_file` is for asking"), "{text}");
    }
}
