//! Where things are, for operators.

use super::Registry;
use crate::access::Caller;
use crate::provision::Outputs;

impl Registry {
    /// Bucket, region, key and its alias.
    pub fn outputs(&self, _caller: &Caller) -> &Outputs {
        &self.inner.outputs
    }
}
