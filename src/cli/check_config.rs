//! `strongroom check-config`.

use super::{Outcome, Settings, print, runtime};

pub(super) fn run(settings: &Settings) -> Outcome {
    let config = settings.load(&[])?;
    for warning in config.warnings() {
        print(&format!("warning: {warning}\n"))?;
    }
    runtime()?.block_on(crate::app::check_files(&config))?;
    print(&format!("the configuration is valid; the catalog is {}\n", config.catalog_url()))?;
    Ok(())
}
