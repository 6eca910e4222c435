//! The scheduler process: wiring only.

use rapidbridge::process::{self, SchedulerProcess};

const ABOUT: &str = "Fires triggers, wakes what waits, keeps the house in order, and serves the REST API.";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = std::env::args_os().skip(1);
    let Some(settings) = process::settings("rapidbridge-scheduler", ABOUT, arguments)? else { return Ok(()) };
    process::prepare(&settings)?;
    let leave = process::leave_on_signal()?;
    let scheduler = tokio::select! {
        started = SchedulerProcess::start(&settings) => started?,
        () = leave.cancelled() => return Ok(()),
    };
    scheduler.run(leave).await?;
    Ok(())
}
