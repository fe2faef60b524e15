//! `verify`: everything that is stored looked at again, with or without a running server.

use std::time::Duration;

use super::ToolError;
use super::tools::Tools;
use crate::catalog;
use crate::config::Config;
use crate::domain::Namespace;
pub use crate::registry::InspectionReport;
use crate::registry::{InspectionOptions, InspectionProgress, Inspector};

/// How often somebody is told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Why nothing was looked at; the message tells the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is nothing to look at.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A name that nobody has.
    #[error("there is no namespace `{0}`")]
    NoNamespace(Namespace),
    /// The catalog.
    #[error("the catalog cannot be used")]
    Catalog(#[from] catalog::Error),
}

/// What is to be verified.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The part of the objects whose bytes are read, in millionths.
    pub sample: u32,
    /// Only this one.
    pub namespace: Option<Namespace>,
    /// Files of drafts and manifests, too.
    pub full: bool,
    /// Quarantine what is missing or wrong.
    pub quarantine: bool,
}

/// Looks at everything once; `tell` hears again and again how far it is.
///
/// # Errors
/// [`VerifyError`]; what S3 does not say is in the report.
pub async fn verify(config: &Config, wish: Wish, tell: impl Fn(String)) -> Result<InspectionReport, VerifyError> {
    let tools = Tools::open(config).await?;
    let looked = look(&tools, config, wish, tell).await;
    tools.close().await;
    looked
}

async fn look(
    tools: &Tools,
    config: &Config,
    wish: Wish,
    tell: impl Fn(String),
) -> Result<InspectionReport, VerifyError> {
    if let Some(namespace) = &wish.namespace
        && tools.catalog.namespace(namespace).await?.is_none()
    {
        return Err(VerifyError::NoNamespace(namespace.clone()));
    }
    let Wish { sample, namespace, full, quarantine } = wish;
    let parallel = config.limits.verify_parallel.max(1);
    let options = InspectionOptions { sample, namespace, full, quarantine, parallel };
    let progress = InspectionProgress::default();
    let inspector = Inspector::new(tools.catalog.clone(), tools.store.clone());
    let mut looking = std::pin::pin!(inspector.run(&options, &progress));
    loop {
        match tokio::time::timeout(TOLD_EVERY, &mut looking).await {
            Ok(looked) => return Ok(looked?),
            Err(_still) => tell(progress.to_string()),
        }
    }
}
