//! Whether a bucket has exactly what the catalog's rows refer to, and the rows only what a version needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aws_sdk_s3::Client;
use serde_json::Value;
use sqlx::{Row as _, SqlitePool};

/// Keys and VersionIds.
type Versions = BTreeSet<(String, String)>;

/// Rows that are there only while something is under way.
const PASSING: [&str; 3] = ["drafts", "uploads", "draft_files"];

/// What counts something that is wrong with the audit log: it has what the rows say, in one chain.
const LOG: [(&str, &str); 4] = [
    (
        "select count(*) from audit a left join audit b on b.seq = a.seq - 1 \
         where a.prev <> coalesce(b.hash, '0000000000000000000000000000000000000000000000000000000000000000')",
        "entries of the audit log that do not follow the one before",
    ),
    (
        "select (select max(seq) from audit) - (select seq from audit_chain) + (select count(*) - max(seq) from audit)",
        "entries that the end of the audit log does not count",
    ),
    (
        "select count(*) from versions v join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id \
         where (select count(*) from audit a where a.action = 'version.publish' \
         and a.subject = 'models/' || n.name || '/' || m.name || '/versions/' || v.number) <> 1",
        "versions that are not in the audit log once",
    ),
    (
        "select count(*) from alias_history h join models m on m.id = h.model_id \
         join namespaces n on n.id = m.namespace_id where not exists (select 1 from audit a \
         where a.action = 'alias.move' and a.subject = 'models/' || n.name || '/' || m.name || '/aliases/' || h.name)",
        "moves of aliases that are not in the audit log",
    ),
];

/// Asserts that nothing is left of what was interrupted or refused, and nothing is missing of what was published.
///
/// What a killed start left below `probes/` is not looked at: the sweeper removes it by its age. Nor are unfinished
/// uploads below `strays`, of which S3 told nobody.
pub(crate) async fn audit(s3: &Client, bucket: &str, data_dir: &Path, strays: Option<&str>) {
    let catalog = Catalog::open(data_dir).await;
    for table in PASSING {
        assert_eq!(catalog.count(&format!("select count(*) from {table}")).await, 0, "rows of {table}");
    }
    let unfinished = "select count(*) from versions where state in ('publishing', 'described')";
    assert_eq!(catalog.count(unfinished).await, 0, "versions that are not finished");
    let unused =
        "select count(*) from objects o where not exists (select 1 from version_files f where f.object_id = o.id)";
    assert_eq!(catalog.count(unused).await, 0, "objects that no version has");

    for (broken, what) in LOG {
        assert_eq!(catalog.count(broken).await, 0, "{what}");
    }

    let (mut objects, mut manifests) = (Versions::new(), Versions::new());
    for (key, version_id) in all_versions(s3, bucket).await {
        if key.starts_with("models/") {
            objects.insert((key, version_id));
        } else if key.starts_with("manifests/") {
            manifests.insert((key, version_id));
        } else {
            let known = ["strongroom-claim.json", "probes/", "journal/", "audit/"];
            assert!(known.iter().any(|prefix| key.starts_with(prefix)), "{key} is nobody's");
        }
    }
    assert_eq!(objects, catalog.objects().await, "objects, and rows of objects");

    let described = catalog.manifests().await;
    let keys: BTreeSet<&String> = manifests.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), manifests.len(), "each manifest was written once: {manifests:?}");
    let (more, fewer): (Vec<_>, Vec<_>) = (
        keys.iter().filter(|key| !described.contains_key(**key)).collect(),
        described.iter().filter(|(key, _)| !keys.contains(key)).collect(),
    );
    assert!(
        more.is_empty() && fewer.is_empty(),
        "manifests without a version {more:?}, versions without one {fewer:?}"
    );
    for (key, (digest, _)) in &described {
        let object = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
        let manifest: Value = serde_json::from_slice(&object.body.collect().await.unwrap().to_vec()).unwrap();
        assert_eq!(manifest["digest"], digest.as_str(), "{key}");
    }

    let uploads = s3.list_multipart_uploads().bucket(bucket).send().await.unwrap();
    let left: Vec<&str> = uploads.uploads().iter().filter_map(|upload| upload.key()).collect();
    let stray = |key: &str| key.starts_with("probes/") || strays.is_some_and(|prefix| key.starts_with(prefix));
    assert!(left.iter().all(|key| stray(key)), "unfinished uploads {left:?}");
}

async fn all_versions(s3: &Client, bucket: &str) -> Versions {
    let mut versions = Versions::new();
    let (mut key_marker, mut version_marker) = (None, None);
    loop {
        let request = s3.list_object_versions().bucket(bucket);
        let request = request.set_key_marker(key_marker).set_version_id_marker(version_marker);
        let page = request.send().await.unwrap();
        assert!(page.delete_markers().is_empty(), "nobody deletes without a version: {:?}", page.delete_markers());
        versions.extend(
            page.versions()
                .iter()
                .map(|version| (version.key().unwrap().to_owned(), version.version_id().unwrap().to_owned())),
        );
        if page.is_truncated() != Some(true) {
            return versions;
        }
        (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
    }
}

struct Catalog(SqlitePool);

impl Catalog {
    async fn open(data_dir: &Path) -> Self {
        let url = format!("sqlite:{}?mode=ro", data_dir.join("catalog.sqlite").display());
        Self(SqlitePool::connect(&url).await.unwrap())
    }

    async fn count(&self, sql: &str) -> i64 {
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&self.0).await.unwrap().get(0)
    }

    async fn objects(&self) -> Versions {
        let rows = sqlx::query("select s3_key, s3_version_id from objects").fetch_all(&self.0).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Keys of the manifests that must be there, and the digests and states of their versions.
    async fn manifests(&self) -> BTreeMap<String, (String, String)> {
        let sql = "select n.name, m.name, v.number, v.digest, v.state from versions v join models m on m.id = v.model_id \
                   join namespaces n on n.id = m.namespace_id where v.state <> 'purged'";
        let rows = sqlx::query(sql).fetch_all(&self.0).await.unwrap();
        let key = |row: &sqlx::sqlite::SqliteRow| {
            let (namespace, model, number): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
            (format!("manifests/{namespace}/{model}/{number}.json"), (row.get(3), row.get(4)))
        };
        rows.iter().map(key).collect()
    }
}
