//! The command line: it talks to a scheduler's REST API, and starts processes. Each command is a file.

mod apply;
mod check;
mod client;
mod commands;
mod connect;
mod definitions;
mod demo;
mod dev;
mod dry_run;
mod files;
mod key;
mod lint;
mod new;
mod paint;
mod playground;
mod run;
mod runs;
mod schema;
mod serve;
mod state;
mod validate;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use commands::{Cli, Command, IntegrationCommand, KeyCommand, TriggerCommand};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    rapidbridge::process::prepare_tls();
    match obey(cli).await {
        Ok(code) => code,
        Err(error) => {
            let red = paint::RED;
            anstream::eprintln!("{red}error:{red:#} {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn obey(cli: Cli) -> anyhow::Result<ExitCode> {
    let remote = cli.remote;
    match cli.command {
        Command::Apply(options) => apply::run(&remote.client()?, options).await,
        Command::Validate(options) => validate::run(&options),
        Command::Schema => schema::print(),
        Command::Integration(IntegrationCommand::New(options)) => new::run(&options),
        Command::Integration(IntegrationCommand::Check(options)) => check::run(*options).await,
        Command::Integration(IntegrationCommand::Lint(options)) => lint::run(&options),
        Command::DryRun(options) => dry_run::run(&remote.client()?, options).await,
        Command::Run(options) => run::run(&remote.client()?, options).await,
        Command::Runs(options) => runs::list(&remote.client()?, options).await,
        Command::Show { run } => runs::show(&remote.client()?, &run).await,
        Command::Watch { run } => watch::watch(&remote.client()?, &run).await,
        Command::Stop { run, reason } => run::stop(&remote.client()?, &run, &reason).await,
        Command::Resume { run, watch } => run::resume(&remote.client()?, &run, watch).await,
        Command::Replay { run, watch } => run::replay(&remote.client()?, &run, watch).await,
        Command::Trigger(TriggerCommand::Run { trigger, watch }) => {
            run::trigger(&remote.client()?, &trigger, watch).await
        }
        Command::State(command) => state::run(&remote.client()?, command).await,
        Command::Connect(options) => connect::run(&remote.client()?, options).await,
        Command::Delete(options) => definitions::delete(&remote.client()?, options).await,
        Command::Dev(options) => dev::run(options).await,
        Command::Demo(options) => demo::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Playground(options) => playground::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Worker(options) => serve::worker(options).await,
        Command::Scheduler(options) => serve::scheduler(options).await,
        Command::Key(KeyCommand::Generate) => Ok(key::generate()),
    }
}
