//! Killing the worker that holds the run, and measuring how long the run stands still.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rapidbridge::clock;
use rapidbridge::playground::Receiver;
use tokio::time::{sleep, timeout};

use super::api::Api;
use super::cluster::Cluster;
use super::progress::Progress;

/// How long until somebody holds the run: it may be parked by a rate limit just now.
const HOLDER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long until the run goes on: its lease runs out, somebody notices, claims and delivers.
const RESUME_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause between two looks.
const POLL: Duration = Duration::from_millis(10);

/// One worker killed.
pub(super) struct Kill {
    /// From the kill to the first request of the run at the receiver under a higher epoch.
    pub(super) resumed_after: Duration,
}

/// Kills the worker that holds `run`, starts another one, and waits until the run goes on.
pub(super) async fn kill_the_holder(
    cluster: &mut Cluster,
    api: &Api,
    receiver: &Receiver,
    progress: &Progress,
    run: &str,
) -> anyhow::Result<Kill> {
    let holder = timeout(HOLDER_TIMEOUT, holder_of(api, run)).await;
    let holder = holder.context("nobody holds the run")??;
    let killed_at = clock::monotonic();
    let name = cluster.kill(&holder).await?;
    // The process is gone, so what is booked now under the highest epoch is the last of it.
    let old_epoch = receiver.read(|ledger| last_epoch(ledger, run));
    let replacement = cluster.start_worker()?;
    progress.say(&format!("killed {name} (SIGKILL), which held the run; started {replacement}"));
    let went_on = |ledger: &_| first_after(ledger, run, old_epoch).is_some();
    let resumed = receiver.wait_for("the run to go on after the kill", RESUME_TIMEOUT, went_on).await;
    if resumed.is_err() {
        cluster.check_alive()?;
    }
    resumed?;
    let resumed_at = receiver.read(|ledger| first_after(ledger, run, old_epoch)).unwrap_or(killed_at);
    let resumed_after = resumed_at.duration_since(killed_at);
    progress.say(&format!("the run went on after {:.1} s, where it was", resumed_after.as_secs_f64()));
    Ok(Kill { resumed_after })
}

/// Who holds the run, as soon as somebody does.
async fn holder_of(api: &Api, run: &str) -> anyhow::Result<String> {
    loop {
        let now = api.run(run).await?;
        if now.has_ended() {
            bail!("the run ended as {:?} before the demo could kill its worker", now.status);
        }
        match now.worker {
            Some(worker) if now.status == "running" => return Ok(worker),
            Some(_) | None => sleep(POLL).await,
        }
    }
}

fn last_epoch(ledger: &rapidbridge::playground::receiver::Ledger, run: &str) -> u64 {
    let run = ledger.runs.get(run);
    run.and_then(|run| run.epochs.last_key_value()).map_or(0, |(epoch, _)| *epoch)
}

fn first_after(ledger: &rapidbridge::playground::receiver::Ledger, run: &str, epoch: u64) -> Option<Instant> {
    let (_, at) = ledger.runs.get(run)?.epochs.range(epoch + 1..).next()?;
    Some(*at)
}
