//! Runs a server alone: `serve KUBECONFIG [DATA_DIRECTORY]` writes a kubeconfig and serves until it is stopped.

use std::error::Error;
use std::path::PathBuf;

use everynode_apiserver::{Config, Server, Storage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kubeconfig = arguments.next().ok_or("usage: serve KUBECONFIG [DATA_DIRECTORY]")?;
    let storage = arguments.next().map_or(Storage::Ephemeral, |path| Storage::Directory(PathBuf::from(path)));
    let server = Server::start(Config { storage, ..Config::default() }).await?;
    std::fs::write(kubeconfig, server.kubeconfig())?;
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
