//! `rapidbridge demo`: the main job on real HTTP and real processes. A scheduler fires a trigger, workers sync a
//! local helpdesk to a local receiver, the worker that holds the run is killed twice, and the run goes on. The
//! ledgers of the helpdesk and of the receiver say what happened; the engine is not asked.

mod api;
mod cluster;
mod definitions;
mod kills;
mod progress;
mod report;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rapidbridge::clock;
use rapidbridge::playground::helpdesk::{self, RateLimit};
use rapidbridge::playground::{Helpdesk, Receiver, receiver};
use rapidbridge::redis_server::{Options as RedisOptions, RedisServer, Search};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use api::Api;
use cluster::Cluster;
use kills::Kill;
use progress::Progress;
use report::Report;

/// The whole story, kills included, takes a third of this on two slow cores.
const STORY_TIMEOUT: Duration = Duration::from_secs(120);
/// From the trigger's being there to the first event: the next slot, a claim, a delivery.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// From the last kill to the end of the run.
const END_TIMEOUT: Duration = Duration::from_secs(90);

/// What `rapidbridge demo` takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where demo.json is written
    #[arg(long, value_name = "DIR", default_value = "target/reports")]
    report_dir: PathBuf,
    /// The Redis or Valkey server to start; found in .redis/bin or on PATH otherwise
    #[arg(long, value_name = "PROGRAM")]
    redis_server: Option<PathBuf>,
    /// How many workers run at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    workers: u8,
    /// How often the worker that holds the run is killed
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=10))]
    kills: u8,
    /// Where programs are looked for
    #[arg(long, env = "PATH", hide = true)]
    path: Option<OsString>,
}

/// Plays the demo, prints what happened and writes the report.
///
/// # Errors
/// When something could not be started, or the ledgers show a fault; the logs are kept then.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("rapidbridge-demo-").tempdir()?;
    let outcome = tokio::select! {
        outcome = play(&options, folder.path()) => outcome,
        outcome = interrupted() => {
            // Dropping the play has killed every process it started.
            outcome?;
            bail!("interrupted; everything the demo started is stopped");
        }
    };
    if outcome.is_err() {
        eprintln!("the logs of all processes are kept in {}", folder.keep().display());
    }
    outcome
}

/// Everything that takes part.
struct Stage {
    helpdesk: Arc<Helpdesk>,
    receiver: Arc<Receiver>,
    cluster: Cluster,
    api: Api,
    progress: Progress,
    kills: Vec<Kill>,
    redis: RedisServer,
}

async fn play(options: &Options, folder: &Path) -> anyhow::Result<()> {
    let began = clock::monotonic();
    Report::forget(&options.report_dir)?;
    let mut stage = Stage::set(options, folder).await?;
    let story = timeout(STORY_TIMEOUT, stage.tell(options)).await;
    let story = story.unwrap_or_else(|_| bail!("the demo did not end within {STORY_TIMEOUT:?}"));
    stage.progress.finish();
    // Also a story that broke off leaves its measurements.
    let broke_off = story.as_ref().err().map(|error| format!("{error:#}"));
    let report =
        Report::of(&stage.helpdesk, &stage.receiver, &stage.kills, options.kills.into(), began.elapsed());
    let report = report.with_fault(broke_off);
    stage.cluster.stop().await;
    stage.redis.stop().await?;
    report.print();
    let file = report.write(&options.report_dir)?;
    println!("\nThe measurements are in {}.", file.display());
    story?;
    match report.faults() {
        [] => Ok(()),
        faults => bail!("the ledgers show a fault: {}", faults.join("; ")),
    }
}

impl Stage {
    async fn set(options: &Options, folder: &Path) -> anyhow::Result<Self> {
        println!(
            "rapidbridge demo: a helpdesk, a receiver, a scheduler and {} workers on this machine",
            options.workers
        );
        let redis = RedisServer::start(&RedisOptions {
            search: Search {
                program: options.redis_server.clone(),
                folders: vec![PathBuf::from(".redis/bin")],
                path: options.path.clone(),
            },
            ..RedisOptions::new(folder.join("redis"), None)
        })
        .await?;
        println!("  · {} in a private folder, on a unix socket", redis.program());
        let helpdesk =
            Arc::new(Helpdesk::start(helpdesk_settings()).await.context("can't start the helpdesk")?);
        let receiver =
            Receiver::start(receiver::Settings::default()).await.context("can't start the receiver")?;
        let receiver = Arc::new(receiver);
        println!("  · the helpdesk at {}, the receiver at {}", helpdesk.url(), receiver.url());
        let mut cluster = Cluster::new(folder, redis.url(), &options.path)?;
        let api = cluster.start_scheduler().await?;
        for _ in 0..options.workers {
            cluster.start_worker()?;
        }
        println!(
            "  · the scheduler's API at {}; requests to 127.0.0.0/8 are allowed, for this demo alone",
            api.url()
        );
        let progress = Progress::new(helpdesk.clone(), receiver.clone());
        Ok(Self { helpdesk, receiver, cluster, api, progress, kills: Vec::new(), redis })
    }

    async fn tell(&mut self, options: &Options) -> anyhow::Result<()> {
        let definitions = definitions::read(&self.helpdesk, &self.receiver)?;
        self.api.apply(&definitions).await?;
        self.progress
            .say("applied integration, account, webhook, sync job and a trigger that is due every 5 s");
        let run = self.wait_for_start().await?;
        self.progress.say(&format!("the scheduler fired the trigger: run {run}"));
        // One run is enough: the ledgers are about this one.
        self.api.apply(&definitions::without_trigger(definitions)).await?;
        let pages = report::pages_expected(&self.helpdesk);
        for number in 1..=u64::from(options.kills) {
            let threshold = pages * number / (u64::from(options.kills) + 1);
            let what = format!("page {threshold} of {pages} at the receiver");
            self.receiver.wait_for(&what, END_TIMEOUT, |ledger| ledger.pages() >= threshold).await?;
            let kill =
                kills::kill_the_holder(&mut self.cluster, &self.api, &self.receiver, &self.progress, &run)
                    .await?;
            self.kills.push(kill);
        }
        self.receiver
            .wait_for("the run's end", END_TIMEOUT, |ledger| ledger.run(&run).ended.is_some())
            .await?;
        self.progress.say("the run ended");
        let status = self.api.run_when_ended(&run).await?.status;
        if status != "completed" {
            bail!("the run ended as {status:?}, not as \"completed\"");
        }
        Ok(())
    }

    async fn wait_for_start(&mut self) -> anyhow::Result<String> {
        let arrived =
            self.receiver.wait_for("the first event", START_TIMEOUT, |ledger| !ledger.runs.is_empty()).await;
        if let Err(error) = arrived {
            self.cluster.check_alive()?;
            return Err(error.into());
        }
        let first = self.receiver.read(|ledger| ledger.runs.keys().next().cloned());
        first.context("the receiver's ledger has a run")
    }
}

/// 5,000 tickets, 1,000 users, 200 organizations, comments on every 10th ticket; a 429 every 1,300 requests, a
/// 500 every 997.
fn helpdesk_settings() -> helpdesk::Settings {
    helpdesk::Settings {
        seed: 20_260_101,
        tickets: 5_000,
        users: 1_000,
        organizations: 200,
        comments_every: 10,
        comments_max: 3,
        rate_limit: RateLimit::Every { requests: 1_300, retry_after_seconds: 1 },
        error_every: 997,
        ..helpdesk::Settings::default()
    }
}

/// Returns when the user or the system asks to stop.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
