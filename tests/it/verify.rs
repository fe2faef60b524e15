//! `strongroom verify`: what was damaged behind the service's back is found, named, and judged only when asked to.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use reqwest::multipart::Part;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::service::{BackEnd, Service, bytes, code, form, hex_sha256};

const MIB: usize = 1 << 20;

/// What the command said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs it on the data directory of a service, which may be running.
fn run(data_dir: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(["verify", "--config"])
        .arg(data_dir.with_file_name("strongroom.toml"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// The JSON of a run with this exit status.
fn report(data_dir: &Path, expected: i32, arguments: &[&str]) -> Value {
    let said = run(data_dir, &[arguments, &["--format", "json"]].concat());
    assert_eq!(said.code, expected, "{said:?}");
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// The findings in short: kind and the end of the key.
fn findings(report: &Value) -> Vec<(String, String)> {
    let short = |finding: &Value| {
        let key = finding["key"].as_str().unwrap();
        (finding["kind"].as_str().unwrap().to_owned(), key.rsplit('/').next().unwrap().to_owned())
    };
    let mut all: Vec<_> = report["findings"].as_array().unwrap().iter().map(short).collect();
    all.sort();
    all
}

fn found(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect()
}

/// Changes rows behind the service's back; gives the first column of the first row.
async fn sql(data_dir: &Path, statement: &str) -> Option<String> {
    let url = format!("sqlite:{}?mode=rw", data_dir.join("catalog.sqlite").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let row = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).fetch_optional(&pool).await.unwrap();
    pool.close().await;
    row.map(|row| row.get(0))
}

/// S3 key and VersionId of the file with this name.
async fn place_of(service: &Service, name: &str) -> (String, String) {
    let ask = async |column: &str| {
        let query = format!("select {column} from objects where s3_key like '%/{name}' order by id desc");
        sql(&service.data_dir(), &query).await.unwrap()
    };
    (ask("s3_key").await, ask("s3_version_id").await)
}

async fn version_of(service: &Service, model: &str, names: &[&str]) {
    let files =
        names.iter().fold(form(), |form, name| form.part((*name).to_owned(), Part::bytes(name.as_bytes().to_vec())));
    let post = service.request(Method::POST, &format!("/v1/models/{model}/versions")).multipart(files);
    assert_eq!(post.send().await.unwrap().status(), StatusCode::CREATED);
}

async fn overwrite(service: &Service, key: &str) -> String {
    let put = service.s3().await.put_object().bucket(&service.bucket).key(key).body(ByteStream::from_static(b"evil"));
    let put = put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&service.key_arn);
    put.send().await.unwrap().version_id.unwrap()
}

/// Spoils the largest blob of the embedded store.
pub(crate) fn flip_a_byte(data_dir: &Path) {
    let blob = largest_file(&data_dir.join("embedded/blobs"));
    let mut stored = std::fs::read(&blob).unwrap();
    assert!(stored.len() > 3 * MIB, "{}", blob.display());
    stored[2 * MIB] ^= 1;
    std::fs::write(&blob, stored).unwrap();
}

fn largest_file(dir: &Path) -> PathBuf {
    let mut folders = vec![dir.to_owned()];
    let mut largest = (0, PathBuf::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let (path, meta) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            if meta.is_dir() {
                folders.push(path);
            } else if meta.len() > largest.0 {
                largest = (meta.len(), path);
            }
        }
    }
    largest.1
}

#[tokio::test]
async fn intact_bucket_is_nothing_wrong_beside_a_running_service_and_without_one() {
    let service = Service::start(BackEnd::Embedded).await;
    version_of(&service, "a/b", &["one", "two"]).await;
    version_of(&service, "other/m", &["three"]).await;
    let said = run(&service.data_dir(), &["--full"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert_eq!(said.out, "3 objects looked at, 3 of them read (11 bytes), 2 manifests: nothing wrong\n");
    let unknown = run(&service.data_dir(), &["--namespace", "nobody"]);
    assert!(unknown.code == 1 && unknown.err.contains("there is no namespace `nobody`"), "{unknown:?}");
    assert_eq!(run(&service.data_dir(), &["--sample", "200%"]).code, 1);

    let (data, data_dir) = service.stop();
    let path = data.path().join("report.json");
    let said = run(&data_dir, &["--namespace", "A", "--report", path.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    let written: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((&written["objects"], &written["hashed"], &written["hashed_bytes"]), (&json!(2), &json!(2), &json!(6)));
    assert_eq!((&written["format"], &written["namespace"], &written["findings"]), (&json!(1), &json!("A"), &json!([])));

    let empty = tempfile::tempdir().unwrap();
    let text = format!("data_dir = '{}'\n", empty.path().join("data").display());
    std::fs::write(empty.path().join("strongroom.toml"), text).unwrap();
    let said = run(&empty.path().join("data"), &[]);
    assert!(said.code == 1 && said.err.contains("there is no catalog"), "{said:?}");
}

#[tokio::test]
async fn sample_reads_its_part_and_asks_about_all() {
    let service = Service::start(BackEnd::Embedded).await;
    let names: Vec<String> = (0..10).map(|n| format!("part-{n}")).collect();
    version_of(&service, "a/b", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (sample, hashed) in [("20%", 2), ("0", 0), ("100%", 10)] {
        let seen = report(&service.data_dir(), 0, &["--sample", sample]);
        assert_eq!((&seen["objects"], &seen["hashed"]), (&json!(10), &json!(hashed)), "{sample}");
    }
    let (key, version) = place_of(&service, "part-3").await;
    service.s3().await.delete_object().bucket(&service.bucket).key(key).version_id(version).send().await.unwrap();
    let seen = report(&service.data_dir(), 1, &["--sample", "0%"]);
    assert_eq!(findings(&seen), found(&[("missing", "part-3")]), "without reading anything");
}

#[tokio::test]
async fn each_kind_of_damage_is_found_and_named_with_what_uses_it() {
    let service = Service::start(BackEnd::Embedded).await;
    version_of(
        &service,
        "a/b",
        &["intact", "rotten", "missing", "overwritten", "deleted", "longer", "other-key", "other-checksum"],
    )
    .await;
    service.published("a/big", "flipped", &bytes(1, 3 * MIB)).await;
    let (data_dir, s3) = (service.data_dir(), service.s3().await);
    let (key, version) = place_of(&service, "missing").await;
    s3.delete_object().bucket(&service.bucket).key(key).version_id(version).send().await.unwrap();
    let over = overwrite(&service, &place_of(&service, "overwritten").await.0).await;
    let (key, _) = place_of(&service, "deleted").await;
    let marker = s3.delete_object().bucket(&service.bucket).key(key).send().await.unwrap().version_id.unwrap();
    flip_a_byte(&data_dir);
    // Rows that say other things than the bucket: what rot, a swapped object or a foreign write would look like.
    let other = hex_sha256(b"before it rotted");
    for (name, change) in [
        ("rotten", format!("sha256 = '{other}'")),
        ("longer", "size = 7".to_owned()),
        ("other-key", "kms_key_arn = 'arn:aws:kms:us-east-1:000000000000:key/another'".to_owned()),
        ("other-checksum", "s3_checksum = 'AAAA'".to_owned()),
    ] {
        sql(&data_dir, &format!("update objects set {change} where s3_key like '%/{name}' returning s3_key"))
            .await
            .unwrap();
    }

    let seen = report(&data_dir, 1, &[]);
    assert_eq!(
        findings(&seen),
        found(&[
            ("deleted", "deleted"),
            ("missing", "missing"),
            ("overwritten", "overwritten"),
            ("unreadable", "flipped"),
            ("wrong_bytes", "rotten"),
            ("wrong_checksum", "other-checksum"),
            ("wrong_key", "other-key"),
            ("wrong_size", "longer"),
        ])
    );
    let said = run(&data_dir, &[]);
    assert_eq!(said.code, 1);
    for sentence in [
        "missing: models/a/b/".to_owned(),
        "the version is not in the bucket: restore its bytes from a copy, or delete what uses it".to_owned(),
        format!("a newer version lies over it, reads get it still: delete version {over}"),
        format!("a delete marker lies over it, reads get it still: remove delete marker {marker}"),
        format!("its 6 bytes have the SHA-256 {}, and should have {other}", hex_sha256(b"rotten")),
        "unreadable: models/a/big/".to_owned(),
        "S3 does not give its bytes out: restore it from a copy".to_owned(),
        "it has 6 bytes, and should have 7".to_owned(),
        "it is encrypted under another KMS key than it was written with".to_owned(),
        "and said another one when it was written".to_owned(),
        "  used by  a/b version 1: rotten".to_owned(),
        "  used by  a/big version 1: flipped".to_owned(),
        "9 objects looked at, 7 of them read".to_owned(),
        ": 8 wrong\n".to_owned(),
    ] {
        assert!(said.out.contains(&sentence), "{sentence:?} in {}", said.out);
    }
    // It only reports.
    assert_eq!(service.json("/v1/models/a/b/versions/1").await["quarantine"], Value::Null);
    assert_eq!(service.rows("objects where integrity = 'wrong'").await, 0);
    // Repaired as it said.
    for (name, version) in [("overwritten", over), ("deleted", marker)] {
        let (key, _) = place_of(&service, name).await;
        s3.delete_object().bucket(&service.bucket).key(key).version_id(version).send().await.unwrap();
    }
    assert_eq!(report(&data_dir, 1, &["--sample", "0"])["finding_count"], 4);
}

#[tokio::test]
async fn what_is_lost_or_rotten_is_quarantined_when_that_is_asked_for() {
    let service = Service::start(BackEnd::Embedded).await;
    version_of(&service, "a/rotten", &["r.bin", "fine"]).await;
    version_of(&service, "a/lost", &["l.bin"]).await;
    version_of(&service, "a/fine", &["f.bin"]).await;
    let draft = service.draft("a/rotten", json!({ "base": 1 })).await;
    draft.put("more", b"more").await;
    draft.published().await;
    let data_dir = service.data_dir();
    let other = hex_sha256(b"before it rotted");
    sql(&data_dir, &format!("update objects set sha256 = '{other}' where s3_key like '%/r.bin' returning s3_key"))
        .await;
    let (key, version) = place_of(&service, "l.bin").await;
    service.s3().await.delete_object().bucket(&service.bucket).key(key).version_id(version).send().await.unwrap();

    let seen = report(&data_dir, 1, &["--quarantine"]);
    assert_eq!(findings(&seen), found(&[("missing", "l.bin"), ("wrong_bytes", "r.bin")]));
    let mut quarantined = seen["quarantined"].as_array().unwrap().clone();
    quarantined.sort_by_key(ToString::to_string);
    assert_eq!(quarantined, ["a/lost version 1", "a/rotten version 1", "a/rotten version 2"]);

    for (version, reason) in [
        ("a/rotten/versions/1", "the bytes of `r.bin` do not have the SHA-256 that was stated"),
        ("a/rotten/versions/2", "the bytes of `r.bin` do not have the SHA-256 that was stated"),
        ("a/lost/versions/1", "the bytes of `l.bin` are not in the bucket any more"),
    ] {
        let seen = service.json(&format!("/v1/models/{version}")).await;
        assert_eq!((&seen["quarantine"], &seen["integrity"]), (&json!(reason), &json!("wrong")));
    }
    let answer = service.get("/v1/models/a/rotten/versions/2/files/more").await;
    assert_eq!(code(answer, 409).await, "version_quarantined");
    assert_eq!(service.get("/v1/models/a/fine/versions/1/files/f.bin").await.status(), StatusCode::OK);
    assert_eq!(service.rows("outbox where event like '%object_checked%wrong%'").await, 2);
    assert_eq!(service.rows("versions where declared_files = 1").await, 3);

    // They are known now.
    let again = report(&data_dir, 0, &[]);
    assert_eq!((&again["known_wrong"], &again["objects"]), (&json!(2), &json!(3)));
}

#[tokio::test]
async fn full_look_covers_drafts_and_manifests() {
    let service = Service::start(BackEnd::Embedded).await;
    for n in 1..=3 {
        version_of(&service, "a/b", &[&format!("file-{n}")]).await;
    }
    let draft = service.draft("a/b", json!({})).await;
    draft.put("only-in-a-draft", b"x").await;
    let data_dir = service.data_dir();
    let s3 = service.s3().await;
    let gone = "manifests/a/b/1.json";
    let head = s3.head_object().bucket(&service.bucket).key(gone).send().await.unwrap();
    let version = head.version_id().unwrap();
    s3.delete_object().bucket(&service.bucket).key(gone).version_id(version).send().await.unwrap();
    overwrite(&service, "manifests/a/b/2.json").await;
    let (key, version) = place_of(&service, "only-in-a-draft").await;
    s3.delete_object().bucket(&service.bucket).key(key).version_id(version).send().await.unwrap();

    assert_eq!(report(&data_dir, 0, &[])["objects"], 3);
    let seen = report(&data_dir, 1, &["--full"]);
    assert_eq!((&seen["objects"], &seen["manifests"]), (&json!(4), &json!(3)));
    let expected = [("manifest_differs", "2.json"), ("manifest_missing", "1.json"), ("missing", "only-in-a-draft")];
    assert_eq!(findings(&seen), found(&expected));
    assert!(seen["findings"].to_string().contains(&format!("draft {}: only-in-a-draft", draft.id)), "{seen}");
}
