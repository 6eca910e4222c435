//! `make chaos`: breaks a cluster of rapidbridge in every way it can think of, by a seed, and checks that nothing is lost.
//!
//! [`plan`] draws the faults, [`world`] is what they happen to, [`trial`] lets them happen and gathers [`evidence`],
//! [`check`] holds the product's invariants against it, [`report`] says what was seen.

mod check;
mod client;
mod documents;
mod evidence;
mod gather;
mod graph;
mod plan;
mod power;
mod queue;
mod receiver;
mod report;
mod source;
mod trial;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use report::Report;
use trial::Trial;
use world::World;

/// Stories that are told; the report has all.
const STORIES_MAX: usize = 50;

/// Breaks a cluster in every way it can think of, and checks that nothing is lost.
#[derive(Debug, Parser)]
#[command(name = "rapidbridge-chaos", version)]
struct Arguments {
    /// All faults follow from it; drawn and shown when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults happen.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    seconds: u64,
    /// How many runs are pushed, beside those that triggers make; three a second when it is not given.
    #[arg(long)]
    runs: Option<usize>,
    /// Only faults of these kinds happen, by their names in the report, such as `worker_kill,worker_term`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the report goes.
    #[arg(long, default_value = "target/reports/chaos.json")]
    report: PathBuf,
    /// Keeps logs and Redis' data in this folder, which must not exist yet.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// The workers' program, beside this one.
    #[arg(long, default_value = "rapidbridge-worker")]
    worker: String,
    /// Expects that the checker finds a violation of a promise whose name begins so: it is being tested.
    #[arg(long)]
    expect: Option<String>,
    /// Settings for the product's processes beyond the trial's own (`RAPIDBRIDGE_…=value`).
    #[arg(long = "set", value_parser = setting)]
    settings: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("wants NAME=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    match chaos(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rapidbridge-chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn chaos(arguments: Arguments) -> anyhow::Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let length = Duration::from_secs(arguments.seconds);
    let runs = arguments.runs.unwrap_or(3 * usize::try_from(arguments.seconds)?);
    let trial = Trial { seed, length, runs, only: arguments.only.clone() };
    let this = std::env::current_exe().context("can't tell where this program is")?;
    let programs = this.parent().context("this program is in no folder")?.to_owned();
    let mut folder = tempfile::Builder::new().prefix("rapidbridge-chaos-").tempdir()?;
    if let Some(keep) = &arguments.keep {
        std::fs::create_dir(keep).with_context(|| format!("can't make {}", keep.display()))?;
        folder = tempfile::Builder::new().prefix("trial-").tempdir_in(keep)?;
        folder.disable_cleanup(true);
    }
    // What an earlier trial wrote is not this one's.
    if arguments.expect.is_none() && arguments.report.exists() {
        std::fs::remove_file(&arguments.report)?;
    }
    println!(
        "chaos for {} s with seed {seed}: {runs} runs are pushed while {} faults happen",
        arguments.seconds,
        trial.faults().len()
    );
    let mut world =
        World::start(folder.path(), &programs, &arguments.worker, seed, arguments.settings).await?;
    let evidence = trial::run(&trial, &mut world).await?;
    world.stop().await?;
    let findings = check::check(&evidence);
    let report = Report::of(&trial, &evidence, findings);
    // Where violations are expected one is enough to look at.
    report.print(if arguments.expect.is_some() { 1 } else { STORIES_MAX });
    let Some(expected) = &arguments.expect else {
        report.write(&arguments.report)?;
        return Ok(report.ok);
    };
    let is_found =
        report.invariant_violations.iter().any(|violation| violation.rule.starts_with(expected.as_str()));
    println!("the checker {} a violation of \"{expected}\"", if is_found { "found" } else { "DID NOT FIND" });
    Ok(is_found)
}
