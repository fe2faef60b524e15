//! Where things are, for operators.

use super::admit::admit_system;
use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::provision::Outputs;

impl Registry {
    /// Bucket, region, key and its alias.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn outputs(&self, caller: &Caller) -> Result<&Outputs, Error> {
        admit_system(caller, Action::Operate)?;
        Ok(&self.inner.outputs)
    }
}
