//! The command line.

mod demo;

use clap::Parser;

/// A self-hosted, durable data-sync engine
#[derive(Debug, Parser)]
#[command(name = "rapidbridge", version)]
enum Command {
    /// Show the main job on this machine: a sync that survives killed workers
    Demo(demo::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command::Demo(options) = Command::parse();
    demo::run(options).await
}
