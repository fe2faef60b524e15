//! The endpoint as a process of its own: it can be killed, and its memory is its own.
//!
//! The process is the test binary itself, told to run only its test `endpoint_process`, which calls [`serve_if_child`].

use embedded_aws::{Config, EmbeddedAws};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Environment variable that names the directory to the endpoint's process.
const DIRECTORY: &str = "EMBEDDED_AWS_TEST_DIR";

/// Killed with SIGKILL when it is dropped.
pub struct Process {
    child: Child,
    url: String,
}

impl Process {
    pub fn start(dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "endpoint_process", "--nocapture"]).env(DIRECTORY, dir);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let url = lines.find_map(|line| line.split(' ').find(|word| word.starts_with("http://")).map(str::to_owned));
        Self { child, url: url.expect("the endpoint says where it listens") }
    }

    pub fn client(&self, dir: &Path) -> aws_sdk_s3::Client {
        let text = std::fs::read_to_string(dir.join("credentials.json")).unwrap();
        let json: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        super::s3_client(&self.url, &json["access_key"], &json["secret_key"])
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Serves until it is killed, when a [`Process`] has started this; in an ordinary run there is nothing to do.
pub async fn serve_if_child() {
    #[expect(clippy::disallowed_methods, reason = "the one way to tell a test binary something besides its tests")]
    let Some(dir) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let server = EmbeddedAws::start(Config::new(dir)).await.unwrap();
    // Written at once: the other end waits for it.
    let mut stdout = std::io::stdout();
    stdout.write_all(format!(" http://{} \n", server.addr()).as_bytes()).unwrap();
    stdout.flush().unwrap();
    std::future::pending::<()>().await;
}
