//! The worker process: wiring only.

use rapidbridge::{process, worker};

const ABOUT: &str = "Executes sync job runs: fetches pages, delivers them to webhooks, keeps checkpoints.";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = std::env::args_os().skip(1);
    let Some(settings) = process::settings("rapidbridge-worker", ABOUT, arguments)? else { return Ok(()) };
    process::prepare(&settings)?;
    let leave = process::leave_on_signal()?;
    let store = tokio::select! {
        opened = process::open_store(&settings) => opened?,
        () = leave.cancelled() => return Ok(()),
    };
    worker::run(settings, store, leave).await?;
    Ok(())
}
