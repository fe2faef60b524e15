//! `strongroom embedded`: the embedded S3 and KMS alone.

use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, Settings, print, runtime};
use crate::app;
use crate::telemetry;

/// Runs until SIGTERM or SIGINT: for repairs with other clients when the service itself does not start.
pub(super) fn run(settings: &Settings) -> Outcome {
    let config = settings.load(&[])?;
    telemetry::init(config.log_format, config.log_filter.as_deref());
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let embedded = app::Embedded::start(&config).await?;
        print(&format!(
            "S3 and KMS      {}\nregion          {}\ncredentials     {}\n\nFor example:\n  \
             aws --endpoint-url {} --region {} kms enable-key --key-id KEY\n",
            embedded.endpoint,
            embedded.region,
            embedded.credentials.display(),
            embedded.endpoint,
            embedded.region
        ))?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        embedded.stop().await;
        Ok(())
    })
}
