//! Opening a catalog: connections, schema, identity.

use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, Row as _};
use ulid::Ulid;

use super::{Catalog, Error};
use crate::domain::Timestamp;

/// The schema of SQLite, compiled in.
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// Readers of SQLite: they do not wait for each other nor for the writer.
const READERS: u32 = 8;

/// How long a statement waits for a connection: an upload that arrived whole should not fail for a busy minute.
const ACQUIRE: Duration = Duration::from_mins(1);

impl Catalog {
    /// Opens the catalog at `url` (`sqlite:PATH`), makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error`] when the database cannot be opened or its schema is not ours.
    pub async fn open(url: &str) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        make_private(url)?;
        // Once, before a pool tries it for a minute: what is no database is told at once.
        try_once(&format!("{url}?mode=rwc")).await.map_err(Error::during("open the catalog"))?;
        let write = pool(1, "pragma synchronous = full", &format!("{url}?mode=rwc")).await?;
        SQLITE.run(&write).await.map_err(Error::Migrate)?;
        let read = pool(READERS, "pragma query_only = on", &format!("{url}?mode=rw")).await?;
        let id = identity(&write).await?;
        Ok(Self { write, read, id })
    }

    /// As [`Self::open`], but never makes a catalog: none when there is none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_existing(url: &str) -> Result<Option<Self>, Error> {
        if file(url).is_some_and(|path| !std::path::Path::new(path).exists()) {
            return Ok(None);
        }
        Self::open(url).await.map(Some)
    }
}

/// Makes a new database file readable by its owner only; SQLite gives its companions the same mode.
fn make_private(url: &str) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let Some(path) = file(url) else { return Ok(()) };
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::Database { action: "make the catalog's file", source: error.into() })
        }
        _ => Ok(()),
    }
}

/// The file of an SQLite database.
fn file(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    Some(path.strip_prefix("//").unwrap_or(path))
}

async fn try_once(url: &str) -> Result<(), sqlx::Error> {
    let mut connection = AnyConnection::connect(url).await?;
    connection.execute("pragma busy_timeout = 10000").await?;
    // Reads the first page, which says whether it is a database at all.
    connection.execute("pragma schema_version").await?;
    connection.close().await
}

async fn pool(connections: u32, role: &'static str, url: &str) -> Result<AnyPool, Error> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| Box::pin(prepare(connection, role)))
        .connect(url)
        .await
        .map_err(Error::during("open the catalog"))
}

async fn prepare(connection: &mut AnyConnection, role: &'static str) -> Result<(), sqlx::Error> {
    // WAL lets readers work beside the writer; FULL on the writer makes a commit survive a power cut.
    connection.execute("pragma journal_mode = wal").await?;
    connection.execute("pragma foreign_keys = on").await?;
    connection.execute("pragma busy_timeout = 10000").await?;
    connection.execute(role).await?;
    Ok(())
}

/// The id of this catalog, made when it has none.
async fn identity(write: &AnyPool) -> Result<String, Error> {
    let fail = || Error::during("read the catalog's identity");
    let mut tx = write.begin_with("begin immediate").await.map_err(fail())?;
    let row = sqlx::query("select id from catalog").fetch_optional(&mut *tx).await.map_err(fail())?;
    let id = if let Some(row) = row {
        row.try_get("id").map_err(fail())?
    } else {
        let id = Ulid::generate().to_string();
        sqlx::query("insert into catalog (id, created_at) values ($1, $2)")
            .bind(&id)
            .bind(Timestamp::now().millis())
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        id
    };
    tx.commit().await.map_err(fail())?;
    Ok(id)
}

impl Catalog {
    /// The key for cursors over what a caller may not see: `new` when there was none.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn cursor_key(&self, new: [u8; 32]) -> Result<[u8; 32], Error> {
        let fail = || Error::during("read the key for cursors");
        let row = sqlx::query(
            "update catalog set cursor_key = case when cursor_key = '' then $1 else cursor_key end returning cursor_key",
        )
        .bind(hex::encode(new))
        .fetch_one(&self.write)
        .await
        .map_err(fail())?;
        let text: String = row.try_get("cursor_key").map_err(fail())?;
        let mut key = [0; 32];
        // Not the text itself: it is a secret.
        hex::decode_to_slice(text, &mut key)
            .map_err(|_| Error::Corrupt { what: "key for cursors", value: String::new() })?;
        Ok(key)
    }
}
