//! Who may call: the administrator, and the identities of an optional file.
//!
//! The administrator is the root of the owner's account; its pair is made at first start and kept in
//! `credentials.json`. The file of further identities is a JSON list:
//! `[{"access_key": "…", "secret_key": "…", "arn": "arn:aws:iam::000000000000:role/train", "actions": ["s3:Get*", "kms:Decrypt"]}]`.
//! `actions` is the identity-policy half of authorisation: patterns with `*` and `?` in any case, over all resources.
//! `allow` limits them: `[{"actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::models/*"]}]`, patterns as well; an
//! action that names no resource there is (`kms:ListKeys`, or an alias that does not exist) needs the resource `*`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::policy::pattern;
use crate::secret_file::{self, SecretFileError};

/// Why the identities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("a file of credentials cannot be used")]
    File(#[from] SecretFileError),
    #[error("{0} does not exist")]
    Missing(PathBuf),
    #[error("{path} is not what it should be")]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("identity {access_key:?}: {reason}")]
    Invalid { access_key: String, reason: &'static str },
    #[error("{path} has no identity with the access key {access_key:?}")]
    Unknown { path: PathBuf, access_key: String },
    #[error("the system gives no random bytes")]
    Random,
}

/// An access key and its secret; the secret is not in `Debug`.
#[derive(Clone)]
pub struct Credentials {
    access_key: String,
    secret_key: Zeroizing<String>,
}

/// One caller and what its identity policy lets it do.
pub struct Identity {
    pub access_key: String,
    secret_key: Zeroizing<String>,
    pub arn: String,
    /// The 12-digit account of the ARN.
    pub account: String,
    allow: Vec<Allowance>,
}

/// Actions that are allowed on resources; patterns, both.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowance {
    actions: Vec<String>,
    resources: Vec<String>,
}

/// All callers by access key.
#[derive(Debug)]
pub struct Identities {
    by_access_key: BTreeMap<String, Arc<Identity>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    access_key: String,
    secret_key: Zeroizing<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityEntry {
    access_key: String,
    secret_key: Zeroizing<String>,
    arn: String,
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    allow: Vec<Allowance>,
}

impl Credentials {
    /// The administrator's pair of an endpoint that keeps its things in `dir` and has run before.
    pub fn read(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join("credentials.json");
        let content = secret_file::read(&path)?.ok_or_else(|| IdentityError::Missing(path.clone()))?;
        let file: CredentialsFile = parse(&path, &content)?;
        Ok(Self { access_key: file.access_key, secret_key: file.secret_key })
    }

    /// The pair of one identity of a file of further identities.
    ///
    /// # Errors
    /// As the file is refused at start, and [`IdentityError::Unknown`] when it has no such access key.
    pub fn of(file: &Path, access_key: &str) -> Result<Self, IdentityError> {
        let mut identities = read_identities(file)?;
        let found = identities.iter().position(|identity| identity.access_key == access_key);
        let identity = found
            .map(|at| identities.swap_remove(at))
            .ok_or_else(|| IdentityError::Unknown { path: file.to_owned(), access_key: access_key.to_owned() })?;
        Ok(Self { access_key: identity.access_key, secret_key: identity.secret_key })
    }

    /// Reads the pair of `path`, or makes one there with mode 0600 when the file is absent.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, IdentityError> {
        if let Some(content) = secret_file::read(path)? {
            let file: CredentialsFile = parse(path, &content)?;
            return Ok(Self { access_key: file.access_key, secret_key: file.secret_key });
        }
        let file = CredentialsFile { access_key: new_access_key()?, secret_key: new_secret_key()? };
        let content = Zeroizing::new(
            serde_json::to_vec_pretty(&file).map_err(|source| IdentityError::Form { path: path.to_owned(), source })?,
        );
        secret_file::create(path, &content)?;
        Ok(Self { access_key: file.access_key, secret_key: file.secret_key })
    }

    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }
}

impl Identity {
    /// Whether the identity policy lets it do `action` (`s3:PutObject`) on `resource`, an ARN or `*`.
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        self.allow.iter().any(|allowance| {
            allowance.names(action)
                && allowance.resources.iter().any(|wanted| pattern::matches(wanted, resource, false))
        })
    }

    /// Whether it may do `action` on anything at all.
    pub fn allows_somewhere(&self, action: &str) -> bool {
        self.allow.iter().any(|allowance| allowance.names(action))
    }

    /// Whether this is the root of its account, which no bucket policy can lock out of the policy itself.
    pub fn is_root(&self) -> bool {
        self.arn.ends_with(":root")
    }

    pub(crate) fn secret_key(&self) -> &str {
        &self.secret_key
    }
}

impl Allowance {
    fn everywhere(actions: Vec<String>) -> Self {
        Self { actions, resources: vec!["*".to_owned()] }
    }

    fn names(&self, action: &str) -> bool {
        self.actions.iter().any(|wanted| pattern::matches(wanted, action, true))
    }
}

impl Identities {
    /// The administrator of `account` and, if a file is named, the identities in it.
    pub(crate) fn open(admin: &Credentials, account: &str, file: Option<&Path>) -> Result<Self, IdentityError> {
        let admin = Identity {
            access_key: admin.access_key.clone(),
            secret_key: admin.secret_key.clone(),
            arn: format!("arn:aws:iam::{account}:root"),
            account: account.to_owned(),
            allow: vec![Allowance::everywhere(vec!["*".to_owned()])],
        };
        let mut by_access_key = BTreeMap::from([(admin.access_key.clone(), Arc::new(admin))]);
        for identity in file.map(read_identities).transpose()?.unwrap_or_default() {
            let access_key = identity.access_key.clone();
            if by_access_key.insert(access_key.clone(), Arc::new(identity)).is_some() {
                return Err(IdentityError::Invalid { access_key, reason: "the access key is used twice" });
            }
        }
        Ok(Self { by_access_key })
    }

    /// The caller with this access key.
    pub fn get(&self, access_key: &str) -> Option<Arc<Identity>> {
        self.by_access_key.get(access_key).cloned()
    }
}

impl TryFrom<IdentityEntry> for Identity {
    type Error = IdentityError;

    fn try_from(entry: IdentityEntry) -> Result<Self, IdentityError> {
        let IdentityEntry { access_key, secret_key, arn, actions, mut allow } = entry;
        let invalid = |reason| IdentityError::Invalid { access_key: access_key.clone(), reason };
        if !(3..=128).contains(&access_key.len()) || !access_key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return Err(invalid("the access key is not 3 to 128 letters, digits and '_'"));
        }
        if secret_key.len() < 8 {
            return Err(invalid("the secret key is shorter than 8 characters"));
        }
        let account = match arn.splitn(6, ':').collect::<Vec<_>>().as_slice() {
            ["arn", "aws", "iam", "", account, who]
                if account.len() == 12
                    && account.bytes().all(|b| b.is_ascii_digit())
                    && (who.starts_with("user/") || who.starts_with("role/"))
                    && who.len() > 5 =>
            {
                (*account).to_owned()
            }
            _ => return Err(invalid("the ARN is not arn:aws:iam::<12 digits>:user/… or role/…")),
        };
        let service = |action: &str| action.split_once(':').map(|(service, _)| service.to_ascii_lowercase());
        let known = |action: &String| action == "*" || matches!(service(action).as_deref(), Some("s3" | "kms"));
        allow.push(Allowance::everywhere(actions));
        if !allow.iter().flat_map(|allowance| &allowance.actions).all(known) {
            return Err(invalid("an action is neither s3:…, kms:… nor *"));
        }
        Ok(Self { access_key, secret_key, arn, account, allow })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("access_key", &self.access_key)
            .field("arn", &self.arn)
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}

/// The identities of a file, in order, each checked for itself.
fn read_identities(path: &Path) -> Result<Vec<Identity>, IdentityError> {
    let content = secret_file::read(path)?.ok_or_else(|| IdentityError::Missing(path.to_owned()))?;
    let entries: Vec<IdentityEntry> = parse(path, &content)?;
    entries.into_iter().map(Identity::try_from).collect()
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, content: &[u8]) -> Result<T, IdentityError> {
    serde_json::from_slice(content).map_err(|source| IdentityError::Form { path: path.to_owned(), source })
}

/// 20 characters as AWS has them, with a prefix that no scanner takes for a real AWS key.
fn new_access_key() -> Result<String, IdentityError> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut random = [0_u8; 16];
    rand::fill(&mut random).map_err(|_| IdentityError::Random)?;
    let letters = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    Ok("EMBD".chars().chain(letters).collect())
}

fn new_secret_key() -> Result<Zeroizing<String>, IdentityError> {
    let mut random = Zeroizing::new([0_u8; 30]);
    rand::fill(random.as_mut_slice()).map_err(|_| IdentityError::Random)?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(entries: &str) -> Result<Identities, IdentityError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identities.json");
        secret_file::create(&path, entries.as_bytes()).unwrap();
        let admin = Credentials::open_or_create(&dir.path().join("credentials.json")).unwrap();
        Identities::open(&admin, "000000000000", Some(&path))
    }

    #[test]
    fn pair_is_made_once_and_read_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        let made = Credentials::open_or_create(&path).unwrap();
        let read = Credentials::open_or_create(&path).unwrap();
        assert_eq!(made.access_key(), read.access_key());
        assert_eq!(made.secret_key(), read.secret_key());
        assert_eq!((made.access_key().len(), made.secret_key().len()), (20, 40));
        assert!(!format!("{made:?}").contains(made.secret_key()));
    }

    #[test]
    fn actions_are_patterns_in_any_case() {
        let identities = open(
            r#"[{"access_key":"TRAIN","secret_key":"a-long-secret","arn":"arn:aws:iam::000000000000:role/train",
                "actions":["s3:Get*","KMS:decrypt"]}]"#,
        )
        .unwrap();
        let train = identities.get("TRAIN").unwrap();
        assert!(train.allows("s3:GetObject", "arn:aws:s3:::models/a"));
        assert!(train.allows("kms:Decrypt", "*"));
        assert!(!train.allows_somewhere("s3:PutObject"));
        assert!(!train.is_root());
        assert!(!format!("{train:?}").contains("a-long-secret"));
        assert!(identities.get("NOBODY").is_none());
    }

    #[test]
    fn actions_are_limited_to_the_resources_they_stand_with() {
        let identities = open(
            r#"[{"access_key":"TRAIN","secret_key":"a-long-secret","arn":"arn:aws:iam::000000000000:role/train",
                "allow":[{"actions":["s3:PutObject"],"resources":["arn:aws:s3:::b/in/*","arn:aws:s3:::b/claim"]},
                         {"actions":["s3:ListBucket"],"resources":["arn:aws:s3:::b"]}]}]"#,
        )
        .unwrap();
        let train = identities.get("TRAIN").unwrap();
        assert!(
            train.allows("s3:PutObject", "arn:aws:s3:::b/in/x") && train.allows("s3:PutObject", "arn:aws:s3:::b/claim")
        );
        assert!(
            !train.allows("s3:PutObject", "arn:aws:s3:::b/out") && !train.allows("s3:PutObject", "arn:aws:s3:::b/In/x")
        );
        assert!(!train.allows("s3:ListBucket", "arn:aws:s3:::other") && !train.allows("s3:ListBucket", "*"));
        assert!(train.allows_somewhere("s3:ListBucket") && !train.allows_somewhere("s3:GetObject"));
    }

    #[test]
    fn pair_of_one_identity_is_found_by_its_access_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identities.json");
        let serve = r#"[{"access_key":"SERVE","secret_key":"a-long-secret","arn":"arn:aws:iam::000000000000:role/serve",
                         "actions":[]}]"#;
        secret_file::create(&path, serve.as_bytes()).unwrap();
        let found = Credentials::of(&path, "SERVE").unwrap();
        assert_eq!((found.access_key(), found.secret_key()), ("SERVE", "a-long-secret"));
        let unknown = Credentials::of(&path, "serve").unwrap_err();
        assert!(matches!(&unknown, IdentityError::Unknown { access_key, .. } if access_key == "serve"), "{unknown}");
        assert!(matches!(Credentials::of(&dir.path().join("none"), "SERVE"), Err(IdentityError::Missing(_))));
    }

    #[test]
    fn malformed_identities_are_refused() {
        let entry = |access_key: &str, secret: &str, arn: &str, action: &str| {
            format!(r#"{{"access_key":"{access_key}","secret_key":"{secret}","arn":"{arn}","actions":["{action}"]}}"#)
        };
        let arn = "arn:aws:iam::000000000000:user/a";
        for bad in [
            entry("A", "a-long-secret", arn, "s3:*"),
            entry("AB/C", "a-long-secret", arn, "s3:*"),
            entry("ABC", "short", arn, "s3:*"),
            entry("ABC", "a-long-secret", "arn:aws:iam::000000000000:root", "s3:*"),
            entry("ABC", "a-long-secret", "arn:aws:iam::1:user/a", "s3:*"),
            entry("ABC", "a-long-secret", arn, "sts:*"),
            format!("{0},{0}", entry("ABC", "a-long-secret", arn, "s3:*")),
        ] {
            assert!(matches!(open(&format!("[{bad}]")), Err(IdentityError::Invalid { .. })), "{bad}");
        }
        assert!(matches!(open("{}"), Err(IdentityError::Form { .. })));
        assert!(matches!(open(r#"[{"access_key":"ABC","extra":1}]"#), Err(IdentityError::Form { .. })));
    }
}
