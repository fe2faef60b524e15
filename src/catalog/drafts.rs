//! Drafts: the rows that are there before the bytes.

use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::audit::note;
use super::error::stored;
use super::heads::ModelHead;
use super::idempotency::{answer_key, first_answer, take_key};
use super::listing::{Page, model_ref, number, text};
use super::objects::{condemn_unused, model_row};
use super::{Catalog, Error, FirstAnswer, Once, Refusal};
use crate::domain::{
    Actor, AuditAction, Deed, DraftId, Metadata, ModelRef, Sha256Digest, Subject, Timestamp, UploadToken, VersionNumber,
};

/// A draft.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftRow {
    /// Its id.
    pub id: DraftId,
    /// The id in the keys of its objects: its own, until a kept draft was published and goes on.
    pub prefix: DraftId,
    /// The model that it will be a version of.
    pub model: ModelRef,
    /// Where its bytes go.
    pub vault: i64,
    /// The mark that each of its objects carries which came with one request.
    pub token: UploadToken,
    /// Who began it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// What is said of the version to be.
    pub metadata: Metadata,
    /// Whether it stays until it is discarded.
    pub keep: bool,
    /// The version that it began from.
    pub base: Option<VersionNumber>,
    /// When it is discarded by itself; none for a kept one, and for that of one request.
    pub expires_at: Option<Timestamp>,
    /// Counts the changes of its files.
    pub revision: i64,
    /// The revision that was published last.
    pub published_revision: Option<i64>,
    /// Row id of the version that was published last.
    pub published_version: Option<i64>,
}

/// The columns of a [`DraftRow`].
pub(super) const DRAFT_COLUMNS: &str = "id, prefix, model_namespace, model_name, vault_id, token, created_by, \
    created_at, metadata, keep, base, expires_at, revision, published_revision, published_version";

impl DraftRow {
    /// A draft of one request, or of a client that will fill it.
    pub fn new(model: ModelRef, vault: i64, created_by: &str) -> Self {
        let id = DraftId::generate();
        Self {
            id,
            prefix: id,
            model,
            vault,
            token: UploadToken::generate(),
            created_by: created_by.to_owned(),
            created_at: Timestamp::now(),
            metadata: Metadata::default(),
            keep: false,
            base: None,
            expires_at: None,
            revision: 0,
            published_revision: None,
            published_version: None,
        }
    }

    /// Row id of the version that has exactly the files of the draft now.
    pub fn unchanged_since(&self) -> Option<i64> {
        self.published_version.filter(|_| self.published_revision == Some(self.revision))
    }

    /// What a request that is sent again needs to know of the draft that the first one began.
    fn as_first(&self) -> String {
        let expires_at = self.expires_at.map(Timestamp::millis);
        let first = First { id: self.id.to_string(), created_at: self.created_at.millis(), expires_at };
        serde_json::json!(first).to_string()
    }

    fn become_first(&mut self, result: &str) -> Result<(), Error> {
        let corrupt = || Error::Corrupt { what: "answer of an idempotent request", value: result.to_owned() };
        let first: First = serde_json::from_str(result).map_err(|_| corrupt())?;
        self.id = first.id.parse().map_err(|_| corrupt())?;
        self.prefix = self.id;
        self.created_at = Timestamp::from_millis(first.created_at);
        self.expires_at = first.expires_at.map(Timestamp::from_millis);
        Ok(())
    }

    pub(super) fn read(row: &AnyRow) -> Result<Self, Error> {
        let optional = |column| row.try_get::<Option<i64>, _>(column).map_err(Error::during("read a draft"));
        let metadata = text(row, "metadata")?;
        Ok(Self {
            id: stored("draft id", &text(row, "id")?)?,
            prefix: stored("draft prefix", &text(row, "prefix")?)?,
            model: ModelRef {
                namespace: stored("namespace", &text(row, "model_namespace")?)?,
                name: stored("model name", &text(row, "model_name")?)?,
            },
            vault: number(row, "vault_id")?,
            token: UploadToken::from_stored(text(row, "token")?),
            created_by: text(row, "created_by")?,
            created_at: Timestamp::from_millis(number(row, "created_at")?),
            metadata: Metadata::from_json(metadata.as_bytes())
                .map_err(|_| Error::Corrupt { what: "metadata", value: metadata })?,
            keep: number(row, "keep")? != 0,
            base: optional("base")?.and_then(VersionNumber::new),
            expires_at: optional("expires_at")?.map(Timestamp::from_millis),
            revision: number(row, "revision")?,
            published_revision: optional("published_revision")?,
            published_version: optional("published_version")?,
        })
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct First {
    id: String,
    created_at: i64,
    expires_at: Option<i64>,
}

impl Catalog {
    /// Records the draft of one request; its model is spelled as it was first.
    ///
    /// With a key that an earlier request had, nothing is recorded: the answer of that one is given.
    ///
    /// # Errors
    /// [`Error::ModelTrashed`], [`Refusal::KeyInUse`], and of the database.
    pub async fn begin_draft(&self, draft: &mut DraftRow, once: Option<&Once>) -> Result<Option<FirstAnswer>, Error> {
        let fail = || Error::during("record a draft");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        if let Some(once) = once {
            if let Some(first) = first_answer(&mut tx, once).await? {
                return Ok(Some(first));
            }
            take_key(&mut tx, once, draft.id).await.map_err(fail())?;
        }
        refuse_deleted(&mut tx, &draft.model).await?;
        draft.model = first_spelling(&mut tx, &draft.model).await?;
        insert(&mut tx, draft, "request").await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(None)
    }

    /// Records a draft that a client will fill, with the files of its base; its model is spelled as it was first.
    ///
    /// With a key that an earlier request had, nothing is recorded: `draft` becomes the one that request began.
    ///
    /// # Errors
    /// [`Error::ModelTrashed`], [`Refusal::BaseNotFound`], [`Refusal::TooManyDrafts`], [`Refusal::KeyReused`], and of
    /// the database.
    pub async fn begin_client_draft(
        &self,
        draft: &mut DraftRow,
        max_drafts: u64,
        once: Option<(&Once, Sha256Digest)>,
        by: &Actor,
    ) -> Result<(), Error> {
        let fail = || Error::during("record a draft");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        if let Some((once, fingerprint)) = once {
            match first_answer(&mut tx, once).await? {
                Some(first) if first.fingerprint == fingerprint => return draft.become_first(&first.result),
                Some(_) => return Err(Refusal::KeyReused.into()),
                None => {
                    take_key(&mut tx, once, draft.id).await.map_err(fail())?;
                    answer_key(&mut tx, draft.id, fingerprint, &draft.as_first()).await.map_err(fail())?;
                }
            }
        }
        refuse_deleted(&mut tx, &draft.model).await?;
        let have: i64 = sqlx::query("select count(*) as n from drafts where created_by = $1 and kind = 'client'")
            .bind(&draft.created_by)
            .fetch_one(&mut *tx)
            .await
            .and_then(|row| row.try_get("n"))
            .map_err(fail())?;
        if have as u64 >= max_drafts {
            return Err(Refusal::TooManyDrafts { max: max_drafts }.into());
        }
        draft.model = first_spelling(&mut tx, &draft.model).await?;
        insert(&mut tx, draft, "client").await.map_err(fail())?;
        if let Some(base) = draft.base {
            let taken = sqlx::query(
                "insert into draft_files (draft_id, path, object_id, created_at) \
                 select $1, f.path, f.object_id, $2 from version_files f join versions v on v.id = f.version_id \
                 join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id \
                 join objects o on o.id = f.object_id \
                 where n.folded = $3 and m.folded = $4 and v.number = $5 and v.state = 'published' \
                 and o.state = 'live'",
            )
            .bind(draft.id.to_string())
            .bind(draft.created_at.millis())
            .bind(draft.model.namespace.folded())
            .bind(draft.model.name.folded())
            .bind(base.get())
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
            if taken.rows_affected() == 0 {
                return Err(Refusal::BaseNotFound { model: draft.model.clone(), base }.into());
            }
        }
        let details = json!({ "base": draft.base.map(VersionNumber::get), "keep": draft.keep });
        let deed = Deed::done(AuditAction::DraftBegin, Subject::draft(&draft.model, draft.id), details);
        note(&mut tx, by, &deed).await.map_err(fail())?;
        tx.commit().await.map_err(fail())
    }

    /// A draft that a client fills.
    ///
    /// # Errors
    /// [`Refusal::DraftNotFound`], and of the database.
    pub async fn client_draft(&self, id: DraftId) -> Result<DraftRow, Error> {
        let query = format!("select {DRAFT_COLUMNS} from drafts where id = $1 and kind = 'client'");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(id.to_string())
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a draft up"))?;
        row.as_ref().map(DraftRow::read).transpose()?.ok_or_else(|| Refusal::DraftNotFound(id).into())
    }

    /// Drafts of a model that clients fill, oldest first, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn client_drafts(
        &self,
        model: &ModelRef,
        after: Option<DraftId>,
        limit: usize,
    ) -> Result<Page<DraftRow, DraftId>, Error> {
        let query = format!(
            "select {DRAFT_COLUMNS} from drafts where kind = 'client' and lower(model_namespace) = $1 \
             and lower(model_name) = $2 and id > $3 order by id limit $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(model.namespace.folded())
            .bind(model.name.folded())
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(limit as i64 + 1)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("list drafts"))?;
        let items = rows.iter().map(DraftRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |draft| draft.id))
    }

    /// Changes what is said of a draft, and whether it is kept; `expires_at` is for one that is not.
    ///
    /// # Errors
    /// [`Refusal::DraftNotFound`], and of the database.
    pub async fn change_draft(
        &self,
        id: DraftId,
        metadata: Option<&Metadata>,
        keep: Option<bool>,
        expires_at: Timestamp,
        by: &Actor,
    ) -> Result<(), Error> {
        let fail = || Error::during("change a draft");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let row = sqlx::query(
            "update drafts set metadata = coalesce($2, metadata), keep = coalesce($3, keep), \
             expires_at = case when coalesce($3, keep) = 1 then null else $4 end, \
             revision = revision + case when $2 is null then 0 else 1 end \
             where id = $1 and kind = 'client' returning model_namespace as namespace, model_name as model",
        )
        .bind(id.to_string())
        .bind(metadata.map(Metadata::to_json))
        .bind(keep.map(i64::from))
        .bind(expires_at.millis())
        .fetch_optional(&mut *tx)
        .await
        .map_err(fail())?;
        let Some(row) = row else { return Err(Refusal::DraftNotFound(id).into()) };
        let metadata = metadata.map(|metadata| Sha256Digest::of(metadata.to_json().as_bytes()).to_string());
        let details = json!({ "metadata_sha256": metadata, "keep": keep });
        let deed = Deed::done(AuditAction::DraftChange, Subject::draft(&model_ref(&row)?, id), details);
        note(&mut tx, by, &deed).await.map_err(fail())?;
        tx.commit().await.map_err(fail())
    }

    /// Forgets a draft that will not be published, with its uploads and its part in objects; false when it was gone.
    ///
    /// Its objects that nobody else needs are condemned. `by` is who discards it; none for the draft of one request, which
    /// nobody has seen.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_draft(&self, draft: DraftId, by: Option<&Actor>) -> Result<bool, Error> {
        let fail = || Error::during("forget a draft");
        let id = draft.to_string();
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let objects = sqlx::query("select object_id from draft_files where draft_id = $1")
            .bind(&id)
            .fetch_all(&mut *tx)
            .await
            .map_err(fail())?;
        for table in ["draft_files", "uploads", "idempotency"] {
            let query = format!("delete from {table} where draft_id = $1");
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(&id).execute(&mut *tx).await.map_err(fail())?;
        }
        for row in objects {
            let object = row.try_get("object_id").map_err(fail())?;
            condemn_unused(&mut tx, object).await.map_err(fail())?;
        }
        let gone =
            sqlx::query("delete from drafts where id = $1 returning model_namespace as namespace, model_name as model")
                .bind(&id)
                .fetch_optional(&mut *tx)
                .await
                .map_err(fail())?;
        if let (Some(row), Some(by)) = (&gone, by) {
            let deed = Deed::done(AuditAction::DraftDiscard, Subject::draft(&model_ref(row)?, draft), json!({}));
            note(&mut tx, by, &deed).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(gone.is_some())
    }

    /// Whether the draft is still one: it was neither published nor forgotten.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn draft_exists(&self, draft: DraftId) -> Result<bool, Error> {
        // Asked of the writer, behind whatever it is doing.
        let row = sqlx::query("select id from drafts where id = $1")
            .bind(draft.to_string())
            .fetch_optional(&self.write)
            .await
            .map_err(Error::during("look a draft up"))?;
        Ok(row.is_some())
    }

    /// Up to `limit` drafts of single requests, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn request_drafts(&self, limit: i64) -> Result<Vec<DraftRow>, Error> {
        let query = format!("select {DRAFT_COLUMNS} from drafts where kind = 'request' order by id limit $1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("list drafts"))?;
        rows.iter().map(DraftRow::read).collect()
    }
}

/// Takes the row of a client's draft for a change of its files, which counts as a sign of life.
pub(super) async fn touch(tx: &mut AnyConnection, id: DraftId, expires_at: Timestamp) -> Result<DraftRow, Error> {
    let query = format!(
        "update drafts set revision = revision + 1, expires_at = case when keep = 1 then null else $2 end \
         where id = $1 and kind = 'client' returning {DRAFT_COLUMNS}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(id.to_string())
        .bind(expires_at.millis())
        .fetch_optional(tx)
        .await
        .map_err(Error::during("change a draft"))?;
    row.as_ref().map(DraftRow::read).transpose()?.ok_or_else(|| Refusal::DraftNotFound(id).into())
}

/// The model as it was first spelled, so that all its keys in the bucket begin alike; as given when it is new.
async fn first_spelling(tx: &mut AnyConnection, model: &ModelRef) -> Result<ModelRef, Error> {
    let row = sqlx::query(
        "select n.name as namespace, coalesce(m.name, $3) as model from namespaces n \
         left join models m on m.namespace_id = n.id and m.folded = $2 where n.folded = $1",
    )
    .bind(model.namespace.folded())
    .bind(model.name.folded())
    .bind(model.name.as_str())
    .fetch_optional(tx)
    .await
    .map_err(Error::during("look a model up"))?;
    let Some(row) = row else { return Ok(model.clone()) };
    Ok(ModelRef {
        namespace: stored("namespace", &text(&row, "namespace")?)?,
        name: stored("model name", &text(&row, "model")?)?,
    })
}

/// Refuses a model in the trash.
pub(super) async fn refuse_deleted(tx: &mut AnyConnection, model: &ModelRef) -> Result<(), Error> {
    match ModelHead::find(tx, model).await? {
        Ok(ModelHead { deletion: Some(deletion), .. }) => {
            Err(Error::ModelTrashed { model: model.clone(), until: deletion.purge_at })
        }
        _ => Ok(()),
    }
}

async fn insert(tx: &mut AnyConnection, draft: &DraftRow, kind: &str) -> Result<(), sqlx::Error> {
    if kind == "client" {
        // Objects belong to a model: its row is there before them, and shows nothing without a version.
        model_row(&mut *tx, &draft.model).await?;
    }
    sqlx::query(
        "insert into drafts (id, prefix, kind, model_namespace, model_name, vault_id, token, created_at, created_by, \
         metadata, keep, base, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(draft.id.to_string())
    .bind(draft.prefix.to_string())
    .bind(kind)
    .bind(draft.model.namespace.as_str())
    .bind(draft.model.name.as_str())
    .bind(draft.vault)
    .bind(draft.token.as_str())
    .bind(draft.created_at.millis())
    .bind(&draft.created_by)
    .bind(draft.metadata.to_json())
    .bind(i64::from(draft.keep))
    .bind(draft.base.map(VersionNumber::get))
    .bind(draft.expires_at.map(Timestamp::millis))
    .execute(tx)
    .await?;
    Ok(())
}
