//! Runs an endpoint on a directory until it is killed: `serve DIR [ADDR]`.
//!
//! The first line on standard output says where it listens; credentials are in `DIR/credentials.json`.

use embedded_aws::{Config, EmbeddedAws};
use std::{error::Error, io::Write};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: serve DIR [ADDR]")?;
    let mut config = Config::new(dir);
    if let Some(listen) = arguments.next() {
        config.listen = listen.parse()?;
    }
    let server = EmbeddedAws::start(config).await?;
    writeln!(std::io::stdout(), "http://{}", server.addr())?;
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}
