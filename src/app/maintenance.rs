//! What runs beside the requests.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::look::Looker;
use super::watch::Watch;
use crate::registry::Registry;

/// How often recovery looks for what an outage interrupted.
const RECOVERY: Duration = Duration::from_mins(1);

/// `looker` is none where provisioning is off.
pub(super) fn spawn(registry: Registry, watch: Watch, looker: Option<Looker>, stop: CancellationToken) {
    let watching = async move {
        match looker {
            Some(looker) => watch.run(looker).await,
            None => watch.run_unlooking().await,
        }
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(watching));
    tokio::spawn(stop.run_until_cancelled_owned(recover(registry)));
}

async fn recover(registry: Registry) {
    loop {
        tokio::time::sleep(RECOVERY).await;
        if let Err(error) = registry.recover().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "recovery did not complete");
        }
    }
}
