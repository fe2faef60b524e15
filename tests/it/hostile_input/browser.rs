//! The same in a real browser: the documentation works, stored pages do not run, other sites' pages change nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::browser::Browser;
use crate::support::service::{BackEnd, Service};

/// Somebody else's web server: serves pages, and remembers what it was asked for.
struct Site {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Path, type and text of a page.
type Page = (&'static str, &'static str, String);

impl Site {
    async fn new(pages: impl FnOnce(u16) -> Vec<Page>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, pages) = (Arc::new(Mutex::new(Vec::new())), Arc::new(pages(port)));
        let paths = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&paths), Arc::clone(&pages)));
            }
        });
        Self { port, asked }
    }

    /// Under a name that makes it another site than the service, which is called by address.
    fn at(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// Whether a script that was not to run has told of it.
    fn has_heard(&self, what: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|path| path.contains(what))
    }
}

async fn answer(mut stream: TcpStream, asked: Arc<Mutex<Vec<String>>>, pages: Arc<Vec<Page>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(path.clone());
    let (status, kind, text) = match pages.iter().find(|(at, ..)| *at == path) {
        Some((_, kind, text)) => ("200 OK", *kind, text.as_str()),
        None => ("404 Not Found", "text/plain", ""),
    };
    let length = text.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _sent = stream.write_all(format!("{head}{text}").as_bytes()).await;
}

/// Long enough for scripts that run.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(1500)).await;
}

/// Lets the browser know the password of the administrator.
async fn tell_password(browser: &Browser, service: &Service) {
    let password = STANDARD.encode(format!("anybody:{}", service.token));
    browser.always_send("Authorization", &format!("Basic {password}")).await;
}

#[tokio::test]
async fn documentation_shows_every_operation_under_its_own_policy() {
    let service = Service::start(BackEnd::Embedded).await;
    let site = Site::new(|_| vec![("/evil.js", "text/javascript", "document.title = 'run'".to_owned())]).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/docs", service.api)).await;
    browser.until("return document.querySelectorAll('.swagger-ui .opblock').length > 50").await;
    browser.until("return document.querySelector('.swagger-ui .title').innerText.includes('Strongroom')").await;
    // One of them unfolded, and tried as far as that goes without a token.
    browser.run("document.querySelector('#operations-operations-healthz .opblock-summary-control').click()").await;
    browser.until("return document.querySelector('.try-out__btn') !== null").await;
    browser.run("document.querySelector('.try-out__btn').click()").await;
    browser.until("return document.querySelector('.execute') !== null").await;
    browser.run("document.querySelector('.execute').click()").await;
    browser
        .until("return [...document.querySelectorAll('.live-responses-table')].some(e => e.innerText.includes('ok'))")
        .await;
    let console = browser.console().await;
    assert!(console.is_empty(), "{console:?}");

    // The policy is in force: what comes from elsewhere is not loaded, and the console says so.
    let load = "const s = document.createElement('script'); s.src = arguments; document.body.append(s)";
    browser.run(&load.replace("arguments", &json!(site.at("/evil.js")).to_string())).await;
    browser.run("const s = document.createElement('script'); s.textContent = \"document.title = 'run'\"; document.body.append(s)").await;
    a_moment().await;
    assert_ne!(browser.title().await, "run");
    assert!(!site.has_heard("evil"));
    let console = browser.console().await;
    assert!(console.iter().filter(|line| line.contains("Content Security Policy")).count() >= 2, "{console:?}");
    browser.end().await;
}

/// Pages that tell when they run: HTML, a picture, a script and a document of XML.
fn live_pages(port: u16) -> Vec<Page> {
    let told = |what: &str| {
        format!("document.title = 'run'; fetch('http://localhost:{port}/ran-{what}', {{ mode: 'no-cors' }});")
    };
    vec![
        ("/live/x.html", "text/html", format!("<title>as stored</title><script>{}</script>", told("html"))),
        (
            "/live/x.svg",
            "image/svg+xml",
            format!("<svg xmlns='http://www.w3.org/2000/svg'><script>{}</script></svg>", told("svg")),
        ),
        (
            "/live/x.xml",
            "text/xml",
            format!("<r><s:script xmlns:s='http://www.w3.org/1999/xhtml'>{}</s:script></r>", told("xml")),
        ),
        ("/live/x.js", "text/javascript", told("js")),
    ]
}

/// A browser on a page of the site, which goes where it is told, or gets things into that page.
struct Visit<'a> {
    browser: &'a Browser,
    site: &'a Site,
    saved: usize,
}

impl Visit<'_> {
    /// Goes there: the bytes are saved, and the page that was shown before stays.
    async fn go(&mut self, url: &str) {
        self.browser.open(&self.site.at("/start")).await;
        self.browser.try_to_open(url).await;
        self.saved += 1;
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.browser.downloaded().len() < self.saved {
            let address = url.split('?').next().unwrap();
            assert!(Instant::now() < deadline, "{address} was not saved: {:?}", self.browser.downloaded());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.browser.title().await, "start");
        assert_eq!(self.browser.run("return location.pathname").await, "/start");
    }

    /// Puts it into the page, by each of these elements.
    async fn embed(&self, url: &str, tags: &[&str]) {
        self.browser.open(&self.site.at("/start")).await;
        for tag in tags {
            let attribute = if *tag == "object" { "data" } else { "src" };
            let make = format!("const e = document.createElement('{tag}'); e.{attribute} = {}", json!(url));
            self.browser.run(&format!("{make}; document.body.append(e)")).await;
        }
        a_moment().await;
        assert_eq!(self.browser.title().await, "start");
        assert!(!self.site.has_heard("ran-"), "{:?}", self.site.asked.lock().unwrap());
    }
}

#[tokio::test]
async fn stored_page_does_not_run_in_a_browser() {
    let service = Service::start(BackEnd::Embedded).await;
    let site = Site::new(|port| {
        let with_script = "<title>start</title><script src='/live/x.js'></script>".to_owned();
        let start = ("/start", "text/html", "<title>start</title><p>nothing".to_owned());
        [live_pages(port), vec![start, ("/with-script", "text/html", with_script)]].concat()
    })
    .await;
    let draft = service.draft("web/pages", json!({})).await;
    let pages = live_pages(site.port);
    let names: Vec<&str> = pages.iter().map(|(path, ..)| path.rsplit('/').next().unwrap()).collect();
    for (name, (_, _, text)) in names.iter().zip(&pages) {
        assert_eq!(draft.put(name, text.as_bytes()).await.status(), 200);
    }
    draft.published().await;

    let browser = Browser::start().await;
    // These pages do run, where somebody serves them as what they are.
    for name in ["x.html", "x.svg", "x.xml"] {
        browser.open(&site.at(&format!("/live/{name}"))).await;
        // A document of XML has no title to change.
        if name != "x.xml" {
            browser.until("return document.title === 'run'").await;
        }
    }
    browser.open(&site.at("/with-script")).await;
    browser.until("return document.title === 'run'").await;
    a_moment().await;
    for kind in ["html", "svg", "xml", "js"] {
        assert!(site.has_heard(&format!("ran-{kind}")), "{kind} is no page that runs");
    }
    site.asked.lock().unwrap().clear();

    let mut visit = Visit { browser: &browser, site: &site, saved: 0 };
    let direct = service.request(Method::POST, "/v1/models/web/pages/versions/1/download-urls").json(&json!({}));
    let direct: Value = direct.send().await.unwrap().json().await.unwrap();
    for item in direct["items"].as_array().unwrap() {
        let url = item["url"].as_str().unwrap();
        visit.go(url).await;
        // Who knows such a URL can fetch it and run in his own page what he likes: as a page of its own it does nothing.
        visit.embed(url, &["iframe", "object", "embed", "img"]).await;
    }
    tell_password(&browser, &service).await;
    for name in names {
        let url = format!("{}/v1/models/web/pages/versions/1/files/{name}?via=proxy", service.api);
        visit.go(&url).await;
        visit.embed(&url, &["iframe", "object", "embed", "img", "script"]).await;
    }
    assert!(!service.log().contains("status=401"), "the browser was let in every time");
    browser.end().await;
}

#[tokio::test]
async fn page_of_another_site_publishes_nothing_from_a_browser_that_knows_the_password() {
    let service = Service::start(BackEnd::Embedded).await;
    let versions = format!("{}/v1/models/web/stolen/versions", service.api);
    let whoami = format!("{}/v1/whoami", service.api);
    let site = Site::new(|_| {
        let form = format!(
            "<form method=post enctype=multipart/form-data action='{versions}'><input name=x.bin value=bytes></form>\
             <script>document.forms[0].submit()</script>"
        );
        let quietly = format!(
            "<script>const f = new FormData(); f.append('x.bin', new Blob(['bytes']));\
             fetch('{versions}', {{ method: 'POST', mode: 'no-cors', credentials: 'include', body: f }})\
             .then(() => document.title = 'sent', () => document.title = 'failed')</script>"
        );
        let asking = format!("<script>location = '{whoami}'</script>");
        [("/form", form), ("/quietly", quietly), ("/asking", asking)]
            .map(|(path, text)| (path, "text/html", text))
            .into()
    })
    .await;
    let browser = Browser::start().await;
    tell_password(&browser, &service).await;
    browser.open(&whoami).await;
    browser.until("return document.body.innerText.includes('token:admin')").await;
    // The browser does add the password to what another site's page makes it ask for.
    browser.open(&site.at("/asking")).await;
    browser.until("return document.body !== null && document.body.innerText.includes('token:admin')").await;
    browser.open(&site.at("/form")).await;
    browser.until("return document.body !== null && document.body.innerText.includes('cross_site_request')").await;
    browser.open(&site.at("/quietly")).await;
    browser.until("return ['sent', 'failed'].includes(document.title)").await;
    a_moment().await;
    assert_eq!(service.get("/v1/models/web/stolen").await.status(), 404);
    browser.end().await;
}
