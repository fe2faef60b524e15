//! The first administrator's token.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Token;
use crate::catalog::{self, Catalog, GrantRow, TokenRow};
use crate::domain::{Actor, Grant, GrantOn, Grantee, Role};

/// Why the first token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The file could not be written.
    #[error("could not write the admin token to {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The catalog failed.
    #[error("could not record the admin token")]
    Catalog(#[source] catalog::Error),
}

/// Makes an administrator's token when the catalog has none, and writes it to `admin-token` in `dir` with mode 0600.
///
/// True when it was made now; the token of a file that is there already is kept. It is never made again silently: who lost the file asks for a new token explicitly.
///
/// # Errors
/// [`BootstrapError`]; no token is valid then that is not in the file.
pub async fn admin_token(catalog: &Catalog, dir: &Path) -> Result<bool, BootstrapError> {
    // A revoked one is one: it is not made again behind the back of who revoked it.
    let any = catalog.tokens(None, None, 1).await.map_err(BootstrapError::Catalog)?;
    if !any.items.is_empty() {
        return Ok(false);
    }
    let path = dir.join("admin-token");
    // The file first: a token that is in the catalog and nowhere else would lock everybody out. One that is there
    // (from a start that broke off, or with another catalog) goes on being the token.
    let kept = std::fs::read_to_string(&path).ok().and_then(|text| Token::parse(text.trim()));
    let is_new = kept.is_none();
    let token = kept.unwrap_or_else(Token::generate);
    if is_new {
        write(&path, token.expose()).map_err(|source| BootstrapError::File { path, source })?;
    }
    let row = TokenRow::new("admin", "strongroom", None);
    let everything = Grant { role: Role::Admin, on: GrantOn::Everything };
    let grant = GrantRow::new(Grantee::token(&row.name), everything, "strongroom");
    catalog
        .add_first_token(&row, token.digest(), &grant, &Actor::service("start"))
        .await
        .map_err(BootstrapError::Catalog)?;
    Ok(is_new)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
