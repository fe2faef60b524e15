//! The audit log: appended to in the transaction of each change, read, and never changed.

use std::fmt::Write as _;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use ulid::Ulid;

use super::error::stored;
use super::listing::{Page, number, text};
use super::{Catalog, Error, outbox};
use crate::domain::{
    Actor, AuditAction, AuditEntry, AuditHead, AuditResult, Deed, Event, FIRST_AUDIT_HASH, Origin, Sha256Digest,
    Subject, Timestamp,
};

/// Which entries are wanted: those that meet every condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this principal.
    pub principal: Option<String>,
    /// Of this kind.
    pub action: Option<AuditAction>,
    /// On this, or on something in it.
    pub on: Option<Subject>,
    /// On what lies in this namespace; in lower case.
    pub namespace: Option<String>,
    /// With this end.
    pub result: Option<AuditResult>,
    /// Of this request.
    pub request_id: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// In which order, and from where, entries are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOrder {
    /// Newest first, from before this number.
    NewestFirst(Option<i64>),
    /// Oldest first, from behind this number.
    OldestFirst(i64),
}

/// An entry with the hash that is stored with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The entry.
    pub entry: AuditEntry,
    /// As stored.
    pub hash: Sha256Digest,
    /// Whether the columns that entries are found by, and the text of the details, say the same as the entry.
    pub is_stored_rightly: bool,
}

/// What keeps honest people from changing the log.
pub const AUDIT_GUARDS: [&str; 3] = ["table audit", "trigger audit_is_not_changed", "trigger audit_is_not_deleted"];

const SELECT: &str = "select a.seq, a.at, a.principal, a.address, a.request_id, a.action, a.subject, a.folded, a.namespace, \
                      a.result, a.details, a.prev, a.hash, coalesce(c.id, '') as chain from audit a \
                      left join audit_chain c on 1 = 1";

/// Puts a change into the outbox and into the audit log, as part of the transaction that makes it.
pub(super) async fn record(tx: &mut AnyConnection, by: &Actor, event: &Event) -> Result<(), sqlx::Error> {
    outbox::record(&mut *tx, event).await?;
    match event.deed() {
        Some(deed) => note(tx, by, &deed).await,
        None => Ok(()),
    }
}

/// Appends a deed to the log, as part of the transaction that does it.
pub(super) async fn note(tx: &mut AnyConnection, by: &Actor, deed: &Deed) -> Result<(), sqlx::Error> {
    let mut end = End::take(&mut *tx).await?;
    end.append(&mut *tx, by, deed).await?;
    end.put(tx).await
}

/// The end of the chain, in the hands of one writer.
struct End {
    chain: String,
    seq: i64,
    hash: Sha256Digest,
    at: i64,
}

impl End {
    /// Takes it; the chain is begun when there is none.
    async fn take(tx: &mut AnyConnection) -> Result<Self, sqlx::Error> {
        // An update, so that two writers never go on from the same end, also where they run side by side.
        const TAKE: &str = "update audit_chain set seq = seq returning id, seq, hash, at";
        let row = if let Some(row) = sqlx::query(TAKE).fetch_optional(&mut *tx).await? {
            row
        } else {
            sqlx::query("insert into audit_chain (only_row, id, seq, hash, at) values (1, $1, 0, $2, 0)")
                .bind(Ulid::generate().to_string())
                .bind(FIRST_AUDIT_HASH.to_string())
                .execute(&mut *tx)
                .await?;
            sqlx::query(TAKE).fetch_one(&mut *tx).await?
        };
        let hash: String = row.try_get("hash")?;
        let hash = hash.parse().map_err(|_| encode("the hash of the last audit entry is none".into()))?;
        Ok(Self { chain: row.try_get("id")?, seq: row.try_get("seq")?, hash, at: row.try_get("at")? })
    }

    /// Appends the next entry.
    async fn append(&mut self, tx: &mut AnyConnection, by: &Actor, deed: &Deed) -> Result<(), sqlx::Error> {
        let entry = AuditEntry {
            chain: self.chain.clone(),
            seq: self.seq + 1,
            // A clock that was set back does not put an entry before the one before it.
            at: Timestamp::from_millis(Timestamp::now().millis().max(self.at)),
            by: by.clone(),
            deed: deed.clone(),
            prev: self.hash,
        };
        (self.seq, self.hash, self.at) = (entry.seq, entry.hash(), entry.at.millis());
        let details = serde_json_canonicalizer::to_string(&deed.details).map_err(|error| encode(error.into()))?;
        sqlx::query(
            "insert into audit (seq, at, principal, address, request_id, action, subject, folded, namespace, result, \
             details, prev, hash) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(entry.seq)
        .bind(entry.at.millis())
        .bind(&by.principal)
        .bind(by.origin.address.map(|address| address.to_string()).unwrap_or_default())
        .bind(&by.origin.request_id)
        .bind(deed.action.as_str())
        .bind(deed.on.as_str())
        .bind(deed.on.folded())
        .bind(deed.on.in_namespace())
        .bind(deed.result.as_str())
        .bind(details)
        .bind(entry.prev.to_string())
        .bind(self.hash.to_string())
        .execute(tx)
        .await?;
        Ok(())
    }

    /// Puts it back.
    async fn put(self, tx: &mut AnyConnection) -> Result<(), sqlx::Error> {
        sqlx::query("update audit_chain set seq = $1, hash = $2, at = $3")
            .bind(self.seq)
            .bind(self.hash.to_string())
            .bind(self.at)
            .execute(tx)
            .await?;
        Ok(())
    }
}

fn encode(error: Box<dyn std::error::Error + Send + Sync>) -> sqlx::Error {
    sqlx::Error::Encode(error)
}

impl Catalog {
    /// Appends what changes nothing else; all of it in one transaction.
    ///
    /// # Errors
    /// [`Error`] of the database; nothing is appended then.
    pub async fn append_audit<'a>(&self, deeds: impl Iterator<Item = &'a (Actor, Deed)>) -> Result<(), Error> {
        let fail = || Error::during("append to the audit log");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let mut end = End::take(&mut tx).await.map_err(fail())?;
        for (by, deed) in deeds {
            end.append(&mut tx, by, deed).await.map_err(fail())?;
        }
        end.put(&mut tx).await.map_err(fail())?;
        tx.commit().await.map_err(fail())
    }

    /// Where the log ends; none when nothing was ever written.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn audit_head(&self) -> Result<Option<AuditHead>, Error> {
        let row = sqlx::query("select id, seq, hash from audit_chain")
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look up where the audit log ends"))?;
        let Some(row) = row else { return Ok(None) };
        let hash = stored("hash of the audit log", &text(&row, "hash")?)?;
        Ok(Some(AuditHead { chain: text(&row, "id")?, seq: number(&row, "seq")?, hash }))
    }

    /// What of the log's own protection in the database is not there any more; empty: all of it is.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn missing_audit_guards(&self) -> Result<Vec<&'static str>, Error> {
        let rows = sqlx::query("select type || ' ' || name as what from sqlite_master where tbl_name = 'audit'")
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("look at the schema of the audit log"))?;
        let there = rows.iter().map(|row| text(row, "what")).collect::<Result<Vec<_>, _>>()?;
        Ok(AUDIT_GUARDS.into_iter().filter(|guard| !there.iter().any(|there| there == guard)).collect())
    }

    /// The end of the log as it is recorded and as it is: where it ends by the record, the number of the last entry, and
    /// the hash of the entry with the recorded number; none when nothing was ever written.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn audit_ends(&self) -> Result<Option<(AuditHead, i64, String)>, Error> {
        // One statement, so that nothing is appended between its parts.
        let row = sqlx::query(
            "select c.id, c.seq, c.hash, (select coalesce(max(seq), 0) from audit) as last, \
             coalesce((select hash from audit where seq = c.seq), '') as hash_at_end from audit_chain c",
        )
        .fetch_optional(&self.read)
        .await
        .map_err(Error::during("look up where the audit log ends"))?;
        let Some(row) = row else { return Ok(None) };
        let hash = stored("hash of the audit log", &text(&row, "hash")?)?;
        let head = AuditHead { chain: text(&row, "id")?, seq: number(&row, "seq")?, hash };
        Ok(Some((head, number(&row, "last")?, text(&row, "hash_at_end")?)))
    }

    /// How many entries have no number.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn unnumbered_audit(&self) -> Result<i64, Error> {
        let row = sqlx::query("select count(*) as entries from audit where seq is null")
            .fetch_one(&self.read)
            .await
            .map_err(Error::during("count entries of the audit log"))?;
        number(&row, "entries")
    }

    /// Entries that a filter lets through; the next page goes on at the given number.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        order: AuditOrder,
        limit: usize,
    ) -> Result<Page<AuditRow, i64>, Error> {
        let fail = || Error::during("read the audit log");
        let (condition, end, from) = match order {
            AuditOrder::NewestFirst(before) => ("a.seq > 0 and a.seq < $1", "desc", before.unwrap_or(i64::MAX)),
            AuditOrder::OldestFirst(after) => ("a.seq > $1", "asc", after),
        };
        let AuditFilter { principal, action, on, namespace, result, request_id, since, until } = filter;
        let mut sql = format!("{SELECT} where {condition}");
        let folded = on.as_ref().map(Subject::folded);
        // What is in it has its name and a slash in front; no such text is behind the name with what follows a slash.
        let within = folded.as_ref().map(|on| (format!("{on}/"), format!("{on}0")));
        let texts = [
            ("a.principal =", principal.as_deref()),
            ("a.action =", action.map(AuditAction::as_str)),
            ("a.namespace =", namespace.as_deref()),
            ("a.result =", result.map(AuditResult::as_str)),
            ("a.request_id =", request_id.as_deref()),
        ];
        let times = [("a.at >=", since), ("a.at <", until)];
        let mut place = 1;
        let mut also = |sql: &mut String, condition: &str| {
            place += 1;
            let _infallible = write!(sql, " and {condition} ${place}");
        };
        for (condition, _) in texts.iter().filter(|(_, wanted)| wanted.is_some()) {
            also(&mut sql, condition);
        }
        for (condition, _) in times.iter().filter(|(_, wanted)| wanted.is_some()) {
            also(&mut sql, condition);
        }
        if folded.is_some() {
            let _infallible = write!(
                sql,
                " and (a.folded = ${} or (a.folded >= ${} and a.folded < ${}))",
                place + 1,
                place + 2,
                place + 3
            );
            place += 3;
        }
        let _infallible = write!(sql, " order by a.seq {end} limit ${}", place + 1);
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(from);
        for wanted in texts.iter().filter_map(|(_, wanted)| *wanted) {
            query = query.bind(wanted);
        }
        for wanted in times.iter().filter_map(|(_, wanted)| wanted.as_ref()) {
            query = query.bind(wanted.millis());
        }
        if let (Some(on), Some((from, to))) = (&folded, &within) {
            query = query.bind(on).bind(from).bind(to);
        }
        let rows = query.bind(limit as i64 + 1).fetch_all(&self.read).await.map_err(fail())?;
        let items = rows.iter().map(AuditRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |row| row.entry.seq))
    }
}

impl Catalog {
    /// Entries as they are stored, oldest first, from behind a number; one that cannot be read is an error of its own.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn stored_audit(&self, after: i64, limit: i64) -> Result<Vec<(i64, Result<AuditRow, Error>)>, Error> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} where a.seq > $1 order by a.seq limit $2")))
            .bind(after)
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("read the audit log"))?;
        rows.iter().map(|row| Ok((number(row, "seq")?, AuditRow::read(row)))).collect()
    }
}

impl AuditRow {
    fn read(row: &AnyRow) -> Result<Self, Error> {
        let (details, address) = (text(row, "details")?, text(row, "address")?);
        let on = Subject::from_stored(text(row, "subject")?);
        let address = (!address.is_empty()).then(|| stored("address", &address)).transpose()?;
        let entry = AuditEntry {
            chain: text(row, "chain")?,
            seq: number(row, "seq")?,
            at: Timestamp::from_millis(number(row, "at")?),
            by: Actor {
                principal: text(row, "principal")?,
                origin: Origin { address, request_id: text(row, "request_id")? },
            },
            deed: Deed {
                action: stored("action", &text(row, "action")?)?,
                on,
                result: stored("result", &text(row, "result")?)?,
                details: serde_json::from_str(&details)
                    .map_err(|_| Error::Corrupt { what: "details of an audit entry", value: details.clone() })?,
            },
            prev: stored("hash of an audit entry", &text(row, "prev")?)?,
        };
        let on = &entry.deed.on;
        let is_stored_rightly = on.folded() == text(row, "folded")?
            && on.in_namespace() == text(row, "namespace")?
            && serde_json_canonicalizer::to_string(&entry.deed.details).is_ok_and(|canonical| canonical == details);
        Ok(Self { entry, hash: stored("hash of an audit entry", &text(row, "hash")?)?, is_stored_rightly })
    }
}
