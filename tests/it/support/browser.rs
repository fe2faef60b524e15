//! A real browser, driven over WebDriver: Chromium without a window, in an empty profile that ends with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Guarded, source};

/// Longest that the browser may take for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// A window of a browser.
#[derive(Debug)]
pub(crate) struct Browser {
    session: String,
    http: reqwest::Client,
    // What it has downloaded, and its profile.
    dir: TempDir,
    _driver: Guarded,
}

/// Where the browser and its driver are; installs both at the first call.
fn programs() -> &'static (PathBuf, PathBuf) {
    static FOUND: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    FOUND.get_or_init(|| {
        let install = Command::new(source("tests/tools/install_browser")).stdin(Stdio::null()).output().unwrap();
        assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
        let printed = String::from_utf8(install.stdout).unwrap();
        let (browser, driver) = printed.trim().split_once('\n').unwrap();
        (browser.into(), driver.into())
    })
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let (browser, driver) = programs();
        let dir = TempDir::new().unwrap();
        let run_dir = TempDir::new().unwrap().keep();
        let driver = Guarded::start("chromedriver", &run_dir, driver, &["--port=0".to_owned()], &[], &[]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let port: u16 = loop {
            let log = driver.log();
            if let Some(rest) = log.split("started successfully on port ").nth(1)
                && let Some((port, _)) = rest.split_once('.')
            {
                break port.parse().unwrap();
            }
            assert!(Instant::now() < deadline, "{}", driver.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let at = format!("http://127.0.0.1:{port}/session");
        let downloads = dir.path().join("downloads");
        let arguments = [
            "--headless",
            // The tests may run as root, in a container with a small /dev/shm.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            // It asks nobody but whom it is sent to.
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            // One process for all sites: what is sent in frames can have the tests' headers, too.
            "--disable-site-isolation-trials",
            "--disable-features=IsolateOrigins,site-per-process",
            &format!("--user-data-dir={}", dir.path().join("profile").display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": browser,
                "args": arguments,
                "prefs": { "download.default_directory": downloads, "download.prompt_for_download": false },
            },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": 30_000 },
        }}});
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let made: Value = http.post(&at).json(&capabilities).send().await.unwrap().json().await.unwrap();
        let id = made["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{made}\n{}", driver.log_tail()));
        Self { session: format!("{at}/{id}"), http, dir, _driver: driver }
    }

    async fn command(&self, method: Method, what: &str, body: Option<Value>) -> Result<Value, String> {
        let request = self.http.request(method, format!("{}/{what}", self.session));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        if status.is_success() { Ok(body["value"].clone()) } else { Err(body["value"].to_string()) }
    }

    /// Goes to a page, and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.command(Method::POST, "url", Some(json!({ "url": url }))).await.unwrap();
    }

    /// Goes where there may be nothing to show.
    pub(crate) async fn try_to_open(&self, url: &str) {
        // Some versions of the driver call it an error when a page becomes a download.
        let _shown = self.command(Method::POST, "url", Some(json!({ "url": url }))).await;
    }

    /// Adds a header to whatever is sent from now on, as a browser does with a password that it remembers.
    pub(crate) async fn always_send(&self, name: &str, value: &str) {
        let command = async |what: &str, parameters: Value| {
            let body = json!({ "cmd": what, "params": parameters });
            self.command(Method::POST, "goog/cdp/execute", Some(body)).await.unwrap();
        };
        command("Network.enable", json!({})).await;
        command("Network.setExtraHTTPHeaders", json!({ "headers": { name: value } })).await;
    }

    /// What a script gives, that the test runs in the page.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.command(Method::POST, "execute/sync", Some(body)).await.unwrap()
    }

    /// Waits until a script gives true.
    pub(crate) async fn until(&self, script: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.run(script).await != true {
            if Instant::now() >= deadline {
                let text = self.run("return location.href + '\\n' + document.documentElement.outerHTML").await;
                panic!("{script} does not become true on {:.2000}\n{:?}", text.as_str().unwrap(), self.console().await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn title(&self) -> String {
        self.command(Method::GET, "title", None).await.unwrap().as_str().unwrap().to_owned()
    }

    /// What the browser has complained of since it was asked last.
    pub(crate) async fn console(&self) -> Vec<String> {
        let entries = self.command(Method::POST, "se/log", Some(json!({ "type": "browser" }))).await.unwrap();
        entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Where its downloads lie.
    pub(crate) fn downloads(&self) -> PathBuf {
        self.dir.path().join("downloads")
    }

    /// The names of what it has downloaded to the end.
    pub(crate) fn downloaded(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.downloads()) else { return Vec::new() };
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let names = entries.map(|entry| name(&entry.unwrap().path()));
        names.filter(|name| !name.ends_with(".crdownload") && !name.starts_with('.')).collect()
    }

    /// Ends it, before its profile goes.
    pub(crate) async fn end(self) {
        let _ended = self.http.delete(&self.session).send().await;
    }
}
