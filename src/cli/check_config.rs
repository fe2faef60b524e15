//! `strongroom check-config`.

use super::{Outcome, Settings, print};

pub(super) fn run(settings: &Settings) -> Outcome {
    let config = settings.load(&[])?;
    for warning in config.warnings() {
        print(&format!("warning: {warning}\n"))?;
    }
    print(&format!("the configuration is valid; the catalog is {}\n", config.catalog_url()))?;
    Ok(())
}
