//! What runs beside the requests.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::secure::{PROOF_PAUSE, Secured, establish};
use crate::provision::WriteGate;
use crate::registry::Registry;
use crate::store::Store;

/// How often recovery looks for what an outage interrupted.
const RECOVERY: Duration = Duration::from_mins(1);

pub(super) fn spawn(registry: Registry, catalog: String, secured: &Secured, stop: CancellationToken) {
    if secured.proof_is_due {
        let (store, gate) = (secured.store.clone(), secured.gate.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(open_when_versioned(store, catalog, gate)));
    }
    tokio::spawn(stop.run_until_cancelled_owned(recover(registry)));
}

/// Opens the gate as soon as writes get versions.
async fn open_when_versioned(store: Store, catalog: String, gate: WriteGate) {
    loop {
        tokio::time::sleep(PROOF_PAUSE).await;
        match establish(&store, &catalog).await {
            Ok(findings) => {
                gate.judge(&findings);
                tracing::info!("versioning is in force: new bytes are taken");
                return;
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "new bytes are not taken yet");
            }
        }
    }
}

async fn recover(registry: Registry) {
    loop {
        tokio::time::sleep(RECOVERY).await;
        if let Err(error) = registry.recover().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "recovery did not complete");
        }
    }
}
