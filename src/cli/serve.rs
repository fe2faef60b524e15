//! `strongroom serve`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, Settings, bucket, print, runtime};
use crate::app::Service;
use crate::config::{Config, Storage};
use crate::telemetry;

/// Secure the bucket and answer requests.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Settings,
    /// Where the API listens [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where the embedded S3 and KMS listen; loopback only [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDR")]
    embedded_listen: Option<String>,
    /// A proxy in front ends TLS: listening on other addresses than loopback is safe.
    #[arg(long)]
    behind_tls_proxy: bool,
}

impl Serve {
    pub(super) fn run(self) -> Outcome {
        let mut more = Vec::new();
        more.extend(self.listen.clone().map(|listen| ("listen", listen)));
        more.extend(self.embedded_listen.clone().map(|listen| ("embedded_listen", listen)));
        if self.behind_tls_proxy {
            more.push(("behind_tls_proxy", "true".to_owned()));
        }
        let config = self.settings.load(&more)?;
        telemetry::init(config.log_format, config.log_filter.as_deref());
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        runtime()?.block_on(serve(&config))
    }
}

async fn serve(config: &Config) -> Outcome {
    // Before the bucket is touched: a signal during the start ends it in an orderly way too.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let service = tokio::select! {
        service = Service::start(config) => service?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    print(&greeting(config, &service))?;
    service
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("ending: requests that have begun are finished");
        })
        .await;
    Ok(())
}

/// An address that can be called: every address of the machine is not one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// What the operator sees: what was made, where things are, and what to type next.
fn greeting(config: &Config, service: &Service) -> String {
    let scheme = if config.door.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", reachable(service.address));
    let token = config.data_dir.join("admin-token").display().to_string();
    let mut lines: Vec<String> = service.changes.iter().map(|change| format!("secured: {change}")).collect();
    lines.extend(service.remarks.iter().map(|remark| format!("note: {remark}")));
    lines.push(bucket::outputs_text(&service.outputs).trim_end().to_owned());
    if matches!(config.storage, Storage::Embedded { .. }) {
        lines.push(format!("data           {}", config.data_dir.display()));
    }
    lines.push(format!("api            {url}/v1   (documentation: {url}/docs)"));
    lines.push(if service.new_admin_token.is_some() {
        format!("admin token    {token} (made now, readable by you only)")
    } else {
        "admin token    as before".to_owned()
    });
    lines.push(String::new());
    lines.push("Publish a first version:".to_owned());
    lines.push("  echo hello > hello.txt".to_owned());
    lines.push(format!("  curl -H \"Authorization: Bearer $(cat '{token}')\" --data-binary @hello.txt \\"));
    lines.push(format!("    '{url}/v1/models/demo/hello/versions?path=hello.txt'\n"));
    lines.join("\n")
}
