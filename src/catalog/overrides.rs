//! Overrides of security claims: who let writes pass, until when and why. Rows stay as history.

use serde_json::json;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use ulid::Ulid;

use super::audit::note;
use super::{Catalog, Error};
use crate::domain::{Actor, AuditAction, Deed, Subject, Timestamp};

/// An override as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideRow {
    /// The claim's name.
    pub claim: String,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Why it was made.
    pub reason: String,
    /// Who made it.
    pub by: String,
    /// When.
    pub since: Timestamp,
}

impl Catalog {
    /// Records an override; one of the same claim that is in force ends with it.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_override(&self, row: &OverrideRow, who: &Actor) -> Result<(), Error> {
        let fail = || Error::during("record an override");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        end(&mut tx, &row.claim, &row.by, row.since).await.map_err(fail())?;
        sqlx::query(
            "insert into posture_overrides (id, claim, until, reason, made_by, made_at) \
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(Ulid::generate().to_string())
        .bind(&row.claim)
        .bind(row.until.millis())
        .bind(&row.reason)
        .bind(&row.by)
        .bind(row.since.millis())
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        let details = json!({ "until": row.until, "reason": row.reason, "by": row.by });
        let deed = Deed::done(AuditAction::OverrideSet, Subject::claim(&row.claim), details);
        note(&mut tx, who, &deed).await.map_err(fail())?;
        tx.commit().await.map_err(fail())
    }

    /// Ends the override of a claim before its time; false when none is in force.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn end_override(&self, claim: &str, by: &str, who: &Actor) -> Result<bool, Error> {
        let fail = || Error::during("end an override");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        if !end(&mut tx, claim, by, Timestamp::now()).await.map_err(fail())? {
            return Ok(false);
        }
        let deed = Deed::done(AuditAction::OverrideEnd, Subject::claim(claim), json!({ "by": by }));
        note(&mut tx, who, &deed).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }

    /// The overrides in force, by claim.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn overrides(&self) -> Result<Vec<OverrideRow>, Error> {
        let fail = || Error::during("list overrides");
        let rows = sqlx::query(
            "select claim, until, reason, made_by, made_at from posture_overrides \
             where ended_at is null and until > $1 order by claim",
        )
        .bind(Timestamp::now().millis())
        .fetch_all(&self.read)
        .await
        .map_err(fail())?;
        let read = |row: &AnyRow| {
            let text = |column| row.try_get::<String, _>(column).map_err(fail());
            let time = |column| row.try_get(column).map(Timestamp::from_millis).map_err(fail());
            Ok(OverrideRow {
                claim: text("claim")?,
                until: time("until")?,
                reason: text("reason")?,
                by: text("made_by")?,
                since: time("made_at")?,
            })
        };
        rows.iter().map(read).collect()
    }
}

/// Ends what is in force for a claim; one past its time has ended by itself and stays as it is.
async fn end(connection: &mut sqlx::AnyConnection, claim: &str, by: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "update posture_overrides set ended_at = $1, ended_by = $2 \
         where claim = $3 and ended_at is null and until > $1",
    )
    .bind(now.millis())
    .bind(by)
    .bind(claim)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn newest_override_of_a_claim_counts_until_it_ends_and_history_stays() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("catalog.sqlite").display());
        let catalog = Catalog::open(&url).await.unwrap();
        let now = Timestamp::now();
        let row = |claim: &str, until: Timestamp| OverrideRow {
            claim: claim.into(),
            until,
            reason: "drill".into(),
            by: "me".into(),
            since: now,
        };
        let later = now.plus(Duration::from_mins(1));
        catalog.set_override(&row("versioned", later), &Actor::operator()).await.unwrap();
        catalog.set_override(&row("versioned", later.plus(Duration::from_mins(1))), &Actor::operator()).await.unwrap();
        catalog
            .set_override(&row("canary", Timestamp::from_millis(now.millis() - 1)), &Actor::operator())
            .await
            .unwrap();
        assert_eq!(catalog.overrides().await.unwrap(), [row("versioned", later.plus(Duration::from_mins(1)))]);
        assert!(catalog.end_override("versioned", "you", &Actor::operator()).await.unwrap());
        assert!(!catalog.end_override("versioned", "you", &Actor::operator()).await.unwrap());
        assert!(!catalog.end_override("canary", "you", &Actor::operator()).await.unwrap());
        assert_eq!(catalog.overrides().await.unwrap(), []);
        let kept = sqlx::query("select id from posture_overrides").fetch_all(&catalog.read).await.unwrap();
        assert_eq!(kept.len(), 3);
    }
}
