//! Leases: what only one process or task may do at a time.

use std::borrow::Cow;
use std::time::Duration;

use ulid::Ulid;

use super::{Catalog, Error};
use crate::domain::Timestamp;

/// The right to do something alone; it ends by [`Catalog::give_back`] or at its time.
#[derive(Debug)]
#[must_use = "a lease that is not given back lasts until its time"]
pub struct Lease {
    name: Cow<'static, str>,
    owner: String,
}

impl Catalog {
    /// Takes a lease for at most `life`; none when somebody has it.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_lease(&self, name: impl Into<Cow<'static, str>>, life: Duration) -> Result<Option<Lease>, Error> {
        let (name, now, owner) = (name.into(), Timestamp::now(), Ulid::generate().to_string());
        let done = sqlx::query(
            "insert into leases (name, owner, until) values ($1, $2, $3) \
             on conflict (name) do update set owner = excluded.owner, until = excluded.until where leases.until < $4",
        )
        .bind(&*name)
        .bind(&owner)
        .bind(now.plus(life).millis())
        .bind(now.millis())
        .execute(&self.write)
        .await
        .map_err(Error::during("take a lease"))?;
        Ok((done.rows_affected() == 1).then_some(Lease { name, owner }))
    }

    /// Makes a lease last for `life` from now; false when somebody else has it by now.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn renew(&self, lease: &Lease, life: Duration) -> Result<bool, Error> {
        let done = sqlx::query("update leases set until = $3 where name = $1 and owner = $2")
            .bind(&*lease.name)
            .bind(&lease.owner)
            .bind(Timestamp::now().plus(life).millis())
            .execute(&self.write)
            .await
            .map_err(Error::during("renew a lease"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a lease before its time.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn give_back(&self, lease: Lease) -> Result<(), Error> {
        sqlx::query("delete from leases where name = $1 and owner = $2")
            .bind(&*lease.name)
            .bind(&lease.owner)
            .execute(&self.write)
            .await
            .map_err(Error::during("give a lease back"))?;
        Ok(())
    }
}
