//! What each entry of the journal does to a catalog that is made anew.

use sqlx::{AnyConnection, Row as _};

use super::aliases::{self, AliasMove};
use super::rebuild::{Created, LOST, OTHER_BYTES, insert_purged, model_row, namespace_row, raise_last_number};
use crate::domain::{Event, Integrity, ModelRef, Timestamp, VersionNumber};

/// Since when there is what only the journal tells of, and no manifest any more.
const UNKNOWN: Created = Created { namespace: Timestamp::from_millis(0), model: Timestamp::from_millis(0) };

/// Applies one event; gives what contradicts it.
///
/// What it tells of a version without a row is passed over: the version was purged later, or its manifest is missing
/// and the gap is told.
pub(super) async fn apply(tx: &mut AnyConnection, event: &Event) -> Result<Option<String>, sqlx::Error> {
    match event {
        Event::AliasMoved { model, alias, from, to, reason, at, by } => {
            let id = known(&mut *tx, model).await?;
            let row = sqlx::query("select number from aliases where model_id = $1 and name = $2")
                .bind(id)
                .bind(alias.as_str())
                .fetch_optional(&mut *tx)
                .await?;
            let there = row.map(|row| row.try_get("number")).transpose()?.and_then(VersionNumber::new);
            aliases::set(&mut *tx, id, alias, *to, *at, by).await?;
            let made = AliasMove { id: 0, from: *from, to: *to, at: *at, by: by.clone(), reason: reason.clone() };
            aliases::remember(&mut *tx, id, alias, &made).await?;
            if let Some(to) = to {
                raise_last_number(tx, id, to.get()).await?;
            }
            let place =
                |number: Option<VersionNumber>| number.map_or("nowhere".to_owned(), |n| format!("at version {n}"));
            return Ok((there != *from).then(|| {
                let (said, there) = (place(*from), place(there));
                format!(
                    "the alias `{alias}` of `{model}` was {said} before this entry, but {there} after those before it"
                )
            }));
        }
        Event::VersionDescribed { model, number, metadata, description, revision } => {
            let sql = "update versions set metadata = $3, description = $4, revision = $5 \
                       where model_id = $1 and number = $2";
            let id = with_number(&mut *tx, model, *number).await?;
            let update = sqlx::query(sql).bind(id).bind(number.get()).bind(metadata.to_json()).bind(description);
            update.bind(revision).execute(tx).await?;
        }
        Event::VersionTrashed { model, number, at, by, purge_at } => {
            let sql = "update versions set state = 'trashed', deleted_at = $3, deleted_by = $4, purge_at = $5 \
                       where model_id = $1 and number = $2 and state = 'published'";
            let id = with_number(&mut *tx, model, *number).await?;
            let update = sqlx::query(sql).bind(id).bind(number.get()).bind(at.millis()).bind(by);
            update.bind(purge_at.millis()).execute(tx).await?;
        }
        Event::VersionRestored { model, number } => {
            let sql = "update versions set state = 'published', deleted_at = null, deleted_by = null, purge_at = null \
                       where model_id = $1 and number = $2 and state = 'trashed'";
            let id = with_number(&mut *tx, model, *number).await?;
            sqlx::query(sql).bind(id).bind(number.get()).execute(tx).await?;
        }
        Event::VersionPurged { model, number } => {
            let id = known(&mut *tx, model).await?;
            // With its manifest still there, the purge was not through: it goes on.
            sqlx::query(
                "update versions set state = 'purging', purge_at = coalesce(purge_at, 0) \
                 where model_id = $1 and number = $2 and state <> 'purged'",
            )
            .bind(id)
            .bind(number.get())
            .execute(&mut *tx)
            .await?;
            insert_purged(tx, id, number.get()).await?;
        }
        Event::HoldSet { model, number, hold } => {
            let id = with_number(&mut *tx, model, *number).await?;
            sqlx::query("update versions set hold = $3 where model_id = $1 and number = $2")
                .bind(id)
                .bind(number.get())
                .bind(hold.as_deref())
                .execute(tx)
                .await?;
        }
        Event::ObjectChecked { key, version_id, sha256, integrity, at } => {
            let sha256 = sha256.to_string();
            // In the bucket itself the VersionId is known; in a copy, key and digest tell.
            if !check(&mut *tx, key, &sha256, Some(version_id), *integrity, *at).await? {
                check(tx, key, &sha256, None, *integrity, *at).await?;
            }
        }
        Event::ModelDescribed { model, description } => {
            let id = known(&mut *tx, model).await?;
            let update = sqlx::query("update models set description = $2 where id = $1").bind(id);
            update.bind(description).execute(tx).await?;
        }
        Event::ModelTrashed { model, at, by, purge_at } => {
            let id = known(&mut *tx, model).await?;
            sqlx::query("update models set deleted_at = $2, deleted_by = $3, purge_at = $4 where id = $1")
                .bind(id)
                .bind(at.millis())
                .bind(by)
                .bind(purge_at.millis())
                .execute(tx)
                .await?;
        }
        Event::ModelRestored { model } => {
            let id = known(&mut *tx, model).await?;
            sqlx::query("update models set deleted_at = null, deleted_by = null, purge_at = null where id = $1")
                .bind(id)
                .execute(tx)
                .await?;
        }
        Event::ModelPurged { model, last_number, at } => purge_model(tx, model, *last_number, *at).await?,
        Event::RetentionSet { model, rules } => {
            let rules = rules.map(|rules| serde_json::to_string(&rules)).transpose();
            let rules = rules.map_err(|error| sqlx::Error::Encode(error.into()))?;
            let id = known(&mut *tx, model).await?;
            sqlx::query("update models set retention = $2 where id = $1").bind(id).bind(rules).execute(tx).await?;
        }
        Event::ModelLabelled { model, labels } => {
            let labels = serde_json::to_string(labels).map_err(|error| sqlx::Error::Encode(error.into()))?;
            let id = known(&mut *tx, model).await?;
            sqlx::query("update models set labels = $2 where id = $1").bind(id).bind(labels).execute(tx).await?;
        }
        Event::AliasesProtected { namespace, patterns } => {
            let patterns = serde_json::to_string(patterns).map_err(|error| sqlx::Error::Encode(error.into()))?;
            let id = namespace_row(&mut *tx, namespace.as_str(), &namespace.folded(), Timestamp::now()).await?;
            sqlx::query("update namespaces set protected_aliases = $2 where id = $1")
                .bind(id)
                .bind(patterns)
                .execute(tx)
                .await?;
        }
        Event::VerificationDemanded { namespace, demanded } => {
            // Of two times the earlier counts, so one far ahead changes nothing; without any, there is none yet.
            let id = namespace_row(&mut *tx, namespace.as_str(), &namespace.folded(), Timestamp::now()).await?;
            sqlx::query("update namespaces set require_verified = $2 where id = $1")
                .bind(id)
                .bind(i64::from(*demanded))
                .execute(tx)
                .await?;
        }
    }
    Ok(None)
}

/// The id of the model's row; one without any version left is made with nothing in it.
async fn known(tx: &mut AnyConnection, model: &ModelRef) -> Result<i64, sqlx::Error> {
    let row = sqlx::query(
        "select m.id from models m join namespaces n on n.id = m.namespace_id where n.folded = $1 and m.folded = $2",
    )
    .bind(model.namespace.folded())
    .bind(model.name.folded())
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = row {
        return row.try_get("id");
    }
    let row = sqlx::query("select created_at from namespaces where folded = $1")
        .bind(model.namespace.folded())
        .fetch_optional(&mut *tx)
        .await?;
    // That of a namespace that is there stays.
    let namespace = row.map(|row| row.try_get("created_at")).transpose()?.map(Timestamp::from_millis);
    let created = Created { namespace: namespace.unwrap_or(UNKNOWN.namespace), ..UNKNOWN };
    model_row(tx, model, created).await
}

/// As [`known`], and the number was given.
async fn with_number(tx: &mut AnyConnection, model: &ModelRef, number: VersionNumber) -> Result<i64, sqlx::Error> {
    let id = known(&mut *tx, model).await?;
    raise_last_number(tx, id, number.get()).await?;
    Ok(id)
}

/// Whether there was such an object; one that is wrong puts every version that uses it into quarantine.
async fn check(
    tx: &mut AnyConnection,
    key: &str,
    sha256: &str,
    version_id: Option<&str>,
    integrity: Integrity,
    at: Timestamp,
) -> Result<bool, sqlx::Error> {
    // Naming the vaults lets the unique index be used.
    let rows = sqlx::query(
        "update objects set checked_at = $5, integrity = $4 where vault_id in (select id from vaults) \
         and s3_key = $1 and sha256 = $2 and (s3_version_id = $3 or $3 = '') and coalesce(checked_at, -1) <> $6 \
         returning id",
    )
    .bind(key)
    .bind(sha256)
    .bind(version_id.unwrap_or_default())
    .bind(integrity.as_str())
    .bind(at.millis())
    .bind(LOST)
    .fetch_all(&mut *tx)
    .await?;
    for row in rows.iter().filter(|_| integrity == Integrity::Wrong) {
        sqlx::query(
            "update versions set quarantine = 'the bytes of `' || (select min(f.path) from version_files f \
             where f.version_id = versions.id and f.object_id = $1) || $2 \
             where quarantine is null and state not in ('purging', 'purged') \
             and id in (select version_id from version_files where object_id = $1)",
        )
        .bind(row.try_get::<i64, _>("id")?)
        .bind(OTHER_BYTES)
        .execute(&mut *tx)
        .await?;
    }
    Ok(!rows.is_empty())
}

/// Nothing is left of a model but its last number; versions that came after it stay.
async fn purge_model(
    tx: &mut AnyConnection,
    model: &ModelRef,
    last_number: i64,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let id = known(&mut *tx, model).await?;
    sqlx::query(
        "update versions set state = 'purging', purge_at = coalesce(purge_at, 0) \
         where model_id = $1 and number <= $2 and state <> 'purged'",
    )
    .bind(id)
    .bind(last_number)
    .execute(&mut *tx)
    .await?;
    for number in 1..=last_number {
        insert_purged(&mut *tx, id, number).await?;
    }
    for forgotten in ["delete from aliases where model_id = $1", "delete from alias_history where model_id = $1"] {
        sqlx::query(forgotten).bind(id).execute(&mut *tx).await?;
    }
    sqlx::query(
        "update models set description = '', labels = '{}', retention = null, deleted_at = null, deleted_by = null, purge_at = null, \
         purged_at = case when last_number > $2 then null else $3 end where id = $1",
    )
    .bind(id)
    .bind(last_number)
    .bind(at.millis())
    .execute(tx)
    .await?;
    Ok(())
}
