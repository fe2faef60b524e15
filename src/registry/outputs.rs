//! Where things are, for operators.

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::provision::Outputs;

impl Registry {
    /// Bucket, region, key and its alias.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub async fn outputs(&self, caller: &Caller) -> Result<&Outputs, Error> {
        self.admit_system(caller, Action::Operate).await?;
        Ok(&self.inner.outputs)
    }
}
