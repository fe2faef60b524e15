//! Versions become visible, in the order of their numbers, and the aliases that were asked for move with them.

use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::aliases::move_alias;
use super::audit::note;
use super::error::stored;
use super::listing::{number, text, version_number};
use super::{AliasOutcome, Catalog, Error, Refusal, Unfinished};
use crate::domain::{
    Actor, Alias, AliasChange, AuditAction, Deed, ModelRef, Origin, Subject, Timestamp, VersionNumber,
};

/// What `versions.wanted_aliases` holds: the wishes until the version is visible, and then those that came to nothing.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Wanted {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wishes: Vec<AliasChange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lost: Vec<LostAlias>,
}

/// An alias that moved while the version that was to have it was being published.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LostAlias {
    /// Which.
    pub alias: Alias,
    /// Where it is instead; none when it is nowhere.
    pub now: Option<VersionNumber>,
}

/// The stored form of what is wished; none when nothing is.
pub(super) fn wanted(wishes: &[AliasChange]) -> Option<String> {
    let wanted = Wanted { wishes: wishes.to_vec(), lost: Vec::new() };
    (!wishes.is_empty()).then(|| serde_json::json!(wanted).to_string())
}

/// Refuses a publication whose aliases are not where they are expected to be: looked at once more when they move.
pub(super) async fn refuse_moved(tx: &mut AnyConnection, model: i64, wishes: &[AliasChange]) -> Result<(), Error> {
    let fail = || Error::during("look an alias up");
    for wish in wishes {
        let row = sqlx::query("select number from aliases where model_id = $1 and name = $2")
            .bind(model)
            .bind(wish.alias.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(fail())?;
        let now = row.map(|row| row.try_get("number")).transpose().map_err(fail())?.and_then(VersionNumber::new);
        if !wish.expected.holds(now) {
            return Err(Refusal::AliasChanged { alias: wish.alias.clone(), now }.into());
        }
    }
    Ok(())
}

impl Catalog {
    /// Records that the manifest is written, and shows every version of the model whose turn has come.
    ///
    /// Versions become visible in the order of their numbers: this one stays `described` while a lower one is
    /// `publishing`. True when this one is visible now.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn finish_publish(&self, version: &Unfinished) -> Result<bool, Error> {
        let fail = || Error::during("publish a version");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        sqlx::query("update versions set state = 'described' where id = $1 and state = 'publishing'")
            .bind(version.id)
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        let ready = sqlx::query(
            "select v.id, v.number, v.created_by, v.digest, v.file_count, v.total_size, \
             coalesce(v.origin, '') as origin, coalesce(v.wanted_aliases, '') as wanted_aliases, \
             n.name as namespace, m.name as model from versions v join models m on m.id = v.model_id \
             join namespaces n on n.id = m.namespace_id where v.model_id = $1 and v.state = 'described' \
             and not exists (select 1 from versions lower where lower.model_id = $1 and lower.state = 'publishing' \
             and lower.number < v.number) order by v.number",
        )
        .bind(version.model_id)
        .fetch_all(&mut *tx)
        .await
        .map_err(fail())?;
        for row in &ready {
            show(&mut tx, version.model_id, row).await?;
        }
        let state: String = sqlx::query("select state from versions where id = $1")
            .bind(version.id)
            .fetch_one(&mut *tx)
            .await
            .and_then(|row| row.try_get("state"))
            .map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(state != "publishing" && state != "described")
    }

    /// The first alias that was asked for with a version and moved meanwhile.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn lost_alias(&self, version: i64) -> Result<Option<LostAlias>, Error> {
        let row = sqlx::query("select coalesce(wanted_aliases, '') as wanted_aliases from versions where id = $1")
            .bind(version)
            .fetch_one(&self.read)
            .await
            .map_err(Error::during("look up what became of an alias"))?;
        Ok(read(&row)?.lost.into_iter().next())
    }
}

fn read(row: &AnyRow) -> Result<Wanted, Error> {
    let json = text(row, "wanted_aliases")?;
    if json.is_empty() {
        return Ok(Wanted::default());
    }
    serde_json::from_str(&json).map_err(|_| Error::Corrupt { what: "list of wanted aliases", value: json })
}

/// Who asked for a version, and from where.
fn publisher(row: &AnyRow) -> Result<Actor, Error> {
    let origin = text(row, "origin")?;
    // Versions that a release before this one gave their number have none.
    let origin = if origin.is_empty() {
        Origin::default()
    } else {
        serde_json::from_str(&origin).map_err(|_| Error::Corrupt { what: "origin of a request", value: origin })?
    };
    Ok(Actor { principal: text(row, "created_by")?, origin })
}

/// Shows one version, and moves the aliases that were asked for with it.
async fn show(tx: &mut AnyConnection, model_id: i64, row: &AnyRow) -> Result<(), Error> {
    let fail = || Error::during("publish a version");
    let (id, to) = (number(row, "id")?, version_number(row)?);
    sqlx::query("update versions set state = 'published' where id = $1 and state = 'described'")
        .bind(id)
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
    let model = ModelRef {
        namespace: stored("namespace", &text(row, "namespace")?)?,
        name: stored("model name", &text(row, "model")?)?,
    };
    let by = publisher(row)?;
    let details = json!({
        "digest": format!("sha256:{}", text(row, "digest")?),
        "files": number(row, "file_count")?,
        "size": number(row, "total_size")?,
    });
    let deed = Deed::done(AuditAction::VersionPublish, Subject::version(&model, to), details);
    note(&mut *tx, &by, &deed).await.map_err(fail())?;
    let wishes = read(row)?.wishes;
    if wishes.is_empty() {
        return Ok(());
    }
    let mut lost = Vec::new();
    for wish in wishes {
        let change = AliasChange { to: Some(to), ..wish };
        let outcome = move_alias(&mut *tx, model_id, &model, &change, Timestamp::now(), &by).await.map_err(fail())?;
        match outcome {
            AliasOutcome::Moved | AliasOutcome::Unchanged => {}
            AliasOutcome::Elsewhere(now) => lost.push(LostAlias { alias: change.alias, now }),
            AliasOutcome::NoVersion
            | AliasOutcome::Deleted(_)
            | AliasOutcome::Quarantined(_)
            | AliasOutcome::TooMany => lost.push(LostAlias { alias: change.alias, now: None }),
        }
    }
    let left = Wanted { wishes: Vec::new(), lost };
    let left = (!left.lost.is_empty()).then(|| serde_json::json!(left).to_string());
    sqlx::query("update versions set wanted_aliases = $2 where id = $1")
        .bind(id)
        .bind(left)
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
    Ok(())
}
