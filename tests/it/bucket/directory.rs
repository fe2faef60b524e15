//! The data directory of the embedded store, as a command finds it.

use super::place::Place;

#[test]
fn file_that_cannot_be_written_is_named_with_the_reason_to_write_it() {
    let place = Place::nothing("");
    place.expect(0, &["apply"]);
    let lock = place.data_dir().join("lock");
    std::fs::remove_file(&lock).unwrap();
    // Root may write everywhere, but no directory.
    std::fs::create_dir(&lock).unwrap();
    for command in [&["plan"][..], &["outputs"], &["check"]] {
        let said = place.bucket(command);
        assert_eq!(said.code, 1, "{said:?}");
        for part in [&*lock.display().to_string(), "only looks", "when no server runs"] {
            assert!(said.err.contains(part), "{part} in {}", said.err);
        }
    }
}

#[test]
fn file_of_the_store_that_cannot_be_written_is_named_too() {
    let place = Place::nothing("");
    place.expect(0, &["apply"]);
    let lock = place.data_dir().join("embedded").join("lock");
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    let said = place.bucket(&["plan"]);
    assert_eq!(said.code, 1, "{said:?}");
    for part in [&*lock.display().to_string(), "only looks", "unless a server runs"] {
        assert!(said.err.contains(part), "{part} in {}", said.err);
    }
}

#[test]
fn record_of_a_server_that_runs_no_more_leads_nobody_astray() {
    let place = Place::nothing("");
    place.expect(0, &["apply"]);
    // Whoever listens there now is somebody else, who never answers.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let record = format!("{{\"endpoint\":\"http://{}\"}}", other.local_addr().unwrap());
    let file = place.data_dir().join("endpoint.json");
    std::fs::write(&file, record).unwrap();
    place.expect(0, &["plan"]);
    assert!(!file.exists(), "a command records no endpoint, and forgets a stale one");
}
