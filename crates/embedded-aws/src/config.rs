//! What the endpoint may be told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// How to run one endpoint.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of everything the endpoint keeps; made when absent, used by one process at a time.
    pub dir: PathBuf,
    /// Where to listen: a loopback address, because the endpoint speaks plain HTTP. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The region that requests must be signed for.
    pub region: String,
    /// Account of the owner, 12 digits.
    pub account_id: String,
    /// File with the key that wraps all key material; `None` is `dir/root-key`, made at first start.
    pub root_key_file: Option<PathBuf>,
    /// JSON list of identities besides the administrator; see [`crate::identity`].
    pub identities_file: Option<PathBuf>,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigError {
    #[error("the embedded endpoint speaks plain HTTP and listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    #[error("region {0:?} is not 1 to 63 characters of a-z, 0-9 and '-'")]
    Region(String),
    #[error("account {0:?} is not 12 digits")]
    Account(String),
}

impl Config {
    /// A free port on `127.0.0.1`, region `us-east-1`, account `000000000000`, root key inside `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            root_key_file: None,
            identities_file: None,
        }
    }

    /// Checks what can be checked without touching the disk or the network.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() {
            return Err(ConfigError::NotLoopback(self.listen));
        }
        let region_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.region.is_empty() || self.region.len() > 63 || !self.region.bytes().all(region_byte) {
            return Err(ConfigError::Region(self.region.clone()));
        }
        if self.account_id.len() != 12 || !self.account_id.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ConfigError::Account(self.account_id.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        let with = |listen: &str| Config { listen: listen.parse().unwrap(), ..Config::new("d") }.validate();
        assert_eq!(with("127.0.0.1:0"), Ok(()));
        assert_eq!(with("[::1]:8081"), Ok(()));
        assert!(matches!(with("0.0.0.0:8081"), Err(ConfigError::NotLoopback(_))));
        assert!(matches!(with("192.0.2.1:8081"), Err(ConfigError::NotLoopback(_))));
    }

    #[test]
    fn region_and_account_have_their_form() {
        let region = |region: &str| Config { region: region.into(), ..Config::new("d") }.validate();
        let account = |account: &str| Config { account_id: account.into(), ..Config::new("d") }.validate();
        assert_eq!(region("eu-central-1"), Ok(()));
        assert!(matches!(region(""), Err(ConfigError::Region(_))));
        assert!(matches!(region("eu/central"), Err(ConfigError::Region(_))));
        assert!(matches!(account("12345678901"), Err(ConfigError::Account(_))));
        assert!(matches!(account("12345678901a"), Err(ConfigError::Account(_))));
    }
}
