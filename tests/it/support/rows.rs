//! The catalog of a running service, read and written behind its back.

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row as _};
use std::time::Duration;

use super::service::Service;

/// A second connection to the catalog of a service.
#[derive(Debug)]
pub(crate) struct Rows(SqlitePool);

impl Rows {
    pub(crate) async fn of(service: &Service) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(service.data_dir().join("catalog.sqlite"))
            .busy_timeout(Duration::from_secs(20));
        Self(SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap())
    }

    /// Runs a statement; gives how many rows it touched.
    pub(crate) async fn execute(&self, sql: impl Into<String>) -> u64 {
        sqlx::query(AssertSqlSafe(sql.into())).execute(&self.0).await.unwrap().rows_affected()
    }

    /// The first column of every row, as text.
    pub(crate) async fn texts(&self, sql: impl Into<String>) -> Vec<String> {
        let rows = sqlx::query(AssertSqlSafe(sql.into())).fetch_all(&self.0).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    }

    /// The first column of the first row.
    pub(crate) async fn number(&self, sql: impl Into<String>) -> i64 {
        sqlx::query(AssertSqlSafe(sql.into())).fetch_one(&self.0).await.unwrap().get(0)
    }

    /// The types of the changes that wait for the journal, oldest first.
    pub(crate) async fn events(&self) -> Vec<String> {
        self.texts("select json_extract(event, '$.type') from outbox order by seq").await
    }

    /// Keeps everybody from writing the journal, as a store that does not answer would.
    pub(crate) async fn hold_journal(&self) {
        let held = "insert into leases (name, owner, until) values ('journal', 'test', 99999999999999) \
                    on conflict (name) do update set owner = 'test', until = 99999999999999";
        self.execute(held).await;
    }

    /// Lets the journal be written again.
    pub(crate) async fn release_journal(&self) {
        self.execute("delete from leases where name = 'journal'").await;
    }

    /// Lets the journal have everything, as a flush does.
    pub(crate) async fn flush(&self) {
        self.execute("delete from outbox").await;
    }
}
