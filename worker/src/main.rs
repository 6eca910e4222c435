//! The worker process: wiring only.

use rapidbridge::process;

const ABOUT: &str = "Executes sync job runs: fetches pages, delivers them to webhooks, keeps checkpoints.";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = std::env::args_os().skip(1);
    let Some(settings) = process::settings("rapidbridge-worker", ABOUT, arguments)? else { return Ok(()) };
    process::prepare(&settings)?;
    process::work(settings, process::leave_on_signal()?).await?;
    Ok(())
}
