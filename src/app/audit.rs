//! `audit verify`: the audit log read again, and compared with what the bucket says of it.

use super::ToolError;
use super::tools::Tools;
use crate::config::Config;
pub use crate::registry::AuditReport;
use crate::registry::{self, Error as RegistryError};

/// Why the log was not read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is nothing to look at.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The catalog or the object store.
    #[error("the audit log could not be read to its end")]
    Unread(#[from] RegistryError),
}

/// Reads the whole log once.
///
/// # Errors
/// [`AuditError`].
pub async fn verify(config: &Config) -> Result<AuditReport, AuditError> {
    let tools = Tools::open(config).await?;
    let report = registry::verify_audit(&tools.catalog, &tools.store).await;
    tools.close().await;
    Ok(report?)
}
