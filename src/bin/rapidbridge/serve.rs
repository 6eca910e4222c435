//! `rapidbridge worker` and `rapidbridge scheduler`: the same as the programs of these names.

use std::path::PathBuf;
use std::process::ExitCode;

use rapidbridge::process::{self, SchedulerProcess};
use rapidbridge::settings::Settings;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Settings (TOML, YAML or JSON); rapidbridge.toml in this folder if there is one. See docs/settings.md
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Options {
    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings::load(self.config.as_deref(), process::environment())?)
    }
}

pub(crate) async fn worker(options: Options) -> anyhow::Result<ExitCode> {
    let settings = options.settings()?;
    process::prepare(&settings)?;
    process::work(settings, process::leave_on_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn scheduler(options: Options) -> anyhow::Result<ExitCode> {
    let settings = options.settings()?;
    process::prepare(&settings)?;
    let leave = process::leave_on_signal()?;
    let scheduler = tokio::select! {
        started = SchedulerProcess::start(&settings) => started?,
        () = leave.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    scheduler.run(leave).await?;
    Ok(ExitCode::SUCCESS)
}
