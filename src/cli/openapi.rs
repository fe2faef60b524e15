//! `strongroom openapi`.

use super::{Outcome, print};
use crate::http;

pub(super) fn run() -> Outcome {
    print(&(http::openapi().to_pretty_json()? + "\n"))?;
    Ok(())
}
