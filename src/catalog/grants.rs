//! Grants: which roles principals and groups have, and on what.

use std::fmt::Write as _;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::audit::note;
use super::error::stored;
use super::listing::{Page, number, text};
use super::{Catalog, Error};
use crate::domain::{Actor, AuditAction, Deed, Grant, GrantOn, Grantee, Subject, Timestamp};

/// A grant as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// Its id.
    pub id: String,
    /// To whom.
    pub principal: Grantee,
    /// What.
    pub grant: Grant,
    /// Since when.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

impl GrantRow {
    /// A new grant.
    pub fn new(principal: Grantee, grant: Grant, by: &str) -> Self {
        let id = ulid::Ulid::generate().to_string();
        Self { id, principal, grant, created_at: Timestamp::now(), created_by: by.to_owned() }
    }

    fn taken_back(&self) -> Deed {
        Deed::done(AuditAction::GrantTakeBack, Subject::grant(&self.grant.on, &self.id), self.told())
    }

    fn told(&self) -> serde_json::Value {
        serde_json::json!({
            "to": self.principal.as_str(), "role": self.grant.role.as_str(), "on": self.grant.on.to_string(),
        })
    }

    fn read(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self {
            id: text(row, "id")?,
            principal: stored("principal", &text(row, "principal")?)?,
            grant: Grant {
                role: stored("role", &text(row, "role")?)?,
                on: stored("place of a grant", &text(row, "on_name")?)?,
            },
            created_at: Timestamp::from_millis(number(row, "created_at")?),
            created_by: text(row, "created_by")?,
        })
    }
}

const COLUMNS: &str = "id, principal, role, on_name, created_at, created_by";

impl Catalog {
    /// Everything that was granted to a principal and to its groups; at most 1,000 of them.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn grants_of(&self, principals: &[Grantee]) -> Result<Vec<GrantRow>, Error> {
        let places = (1..=principals.len()).fold(String::new(), |mut places, place| {
            let _infallible = write!(places, "{}${place}", if places.is_empty() { "" } else { "," });
            places
        });
        let sql = format!("select {COLUMNS} from grants where principal in ({places}) order by id limit 1000");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for principal in principals {
            query = query.bind(principal.as_str());
        }
        let rows = query.fetch_all(&self.read).await.map_err(Error::during("look grants up"))?;
        rows.iter().map(GrantRow::read).collect()
    }

    /// Grants by id, from behind `after`: to one principal or all, on one thing or all.
    ///
    /// # Errors
    /// As [`Self::grants_of`].
    pub async fn grants(
        &self,
        principal: Option<&Grantee>,
        on: Option<&GrantOn>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<GrantRow, String>, Error> {
        let sql = format!(
            "select {COLUMNS} from grants where ($1 = '' or principal = $1) and ($2 = '' or on_folded = $2) \
             and id > $3 order by id limit $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(principal.map_or("", Grantee::as_str))
            .bind(on.map(GrantOn::folded).unwrap_or_default())
            .bind(after.unwrap_or_default())
            .bind(limit as i64 + 1)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("list grants"))?;
        let items = rows.iter().map(GrantRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |grant| grant.id.clone()))
    }

    /// One grant.
    ///
    /// # Errors
    /// As [`Self::grants_of`].
    pub async fn grant(&self, id: &str) -> Result<Option<GrantRow>, Error> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("select {COLUMNS} from grants where id = $1")))
            .bind(id)
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a grant up"))?;
        row.as_ref().map(GrantRow::read).transpose()
    }

    /// Records a grant, and gives the one that is there when it was given already.
    ///
    /// # Errors
    /// As [`Self::grants_of`].
    pub async fn give(&self, grant: &GrantRow, by: &Actor) -> Result<GrantRow, Error> {
        let fail = || Error::during("record a grant");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        add_grant(&mut tx, grant, by).await.map_err(fail())?;
        let sql = format!("select {COLUMNS} from grants where principal = $1 and on_folded = $2 and role = $3");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(grant.principal.as_str())
            .bind(grant.grant.on.folded())
            .bind(grant.grant.role.as_str())
            .fetch_one(&mut *tx)
            .await
            .map_err(fail())?;
        let given = GrantRow::read(&row)?;
        tx.commit().await.map_err(fail())?;
        Ok(given)
    }

    /// Takes a grant back; false when it is none.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn take_back(&self, id: &str, by: &Actor) -> Result<bool, Error> {
        let fail = || Error::during("take a grant back");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let gone = sqlx::query(sqlx::AssertSqlSafe(format!("delete from grants where id = $1 returning {COLUMNS}")))
            .bind(id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(fail())?;
        let Some(row) = gone else { return Ok(false) };
        note(&mut tx, by, &GrantRow::read(&row)?.taken_back()).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }
}

/// Records a grant as part of a transaction; one that was given already stays.
pub(super) async fn add_grant(tx: &mut AnyConnection, grant: &GrantRow, by: &Actor) -> Result<(), sqlx::Error> {
    let added = sqlx::query(
        "insert into grants (id, principal, role, on_folded, on_name, created_at, created_by) \
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (principal, on_folded, role) do nothing",
    )
    .bind(&grant.id)
    .bind(grant.principal.as_str())
    .bind(grant.grant.role.as_str())
    .bind(grant.grant.on.folded())
    .bind(grant.grant.on.to_string())
    .bind(grant.created_at.millis())
    .bind(&grant.created_by)
    .execute(&mut *tx)
    .await?;
    if added.rows_affected() == 1 {
        let deed = Deed::done(AuditAction::GrantGive, Subject::grant(&grant.grant.on, &grant.id), grant.told());
        note(tx, by, &deed).await?;
    }
    Ok(())
}

/// Takes everything back that was given to a principal, as part of a transaction.
pub(super) async fn forget_grants(tx: &mut AnyConnection, of: &Grantee, by: &Actor) -> Result<(), Error> {
    let fail = || Error::during("take grants back");
    let sql = format!("delete from grants where principal = $1 returning {COLUMNS}");
    let gone = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(of.as_str()).fetch_all(&mut *tx).await.map_err(fail())?;
    for row in &gone {
        note(&mut *tx, by, &GrantRow::read(row)?.taken_back()).await.map_err(fail())?;
    }
    Ok(())
}
