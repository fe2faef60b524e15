//! `strongroom policy-schema`.

use super::{Outcome, print};
use crate::access::POLICY_SCHEMA;

pub(super) fn run() -> Outcome {
    print(POLICY_SCHEMA)?;
    Ok(())
}
