//! Logs on standard error.
//!
//! A failure is logged once, where it ends. Never in a log: tokens, presigned URLs, bodies.

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is logged unless `STRONGROOM_LOG` says otherwise; the SDK's own debug output would hold signed requests.
const DEFAULT: &str = "info,aws_config=error,aws_smithy_runtime=warn,s3s=off,sqlx=warn,hyper=warn";

/// Starts logging; a second call changes nothing.
pub fn init(format: LogFormat, filter: Option<&str>) {
    let filter = filter.and_then(|text| EnvFilter::try_new(text).ok()).unwrap_or_else(|| EnvFilter::new(DEFAULT));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Fails only when something has started logging already.
    let _started = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
