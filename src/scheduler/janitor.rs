//! Keeps the house in order: mends runs that fell between two places, and forgets what its retention says.

use std::time::Duration;

use tracing::{info, warn};

use super::Scheduler;
use crate::clock::Millis;
use crate::store::StoreError;
use crate::store::audit::Sweep;

/// The pause between two rounds.
const ROUND: Duration = Duration::from_secs(30);
/// How much longer than runs the definitions they pinned are kept.
const CONTENT_MARGIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Findings of one round's sweep that are logged.
const FINDINGS_LOGGED_MAX: usize = 20;

pub(super) async fn run(scheduler: &Scheduler) {
    let mut sweep = Sweep::default();
    loop {
        if let Err(error) = round(scheduler, &mut sweep).await {
            error.report("the round was not finished");
        }
        tokio::time::sleep(ROUND).await;
    }
}

async fn round(scheduler: &Scheduler, sweep: &mut Sweep) -> Result<(), StoreError> {
    let (store, settings) = (&scheduler.store, &scheduler.settings);
    for partition in 0..store.partitions() {
        let mended = store.reconcile(partition, settings.worker.lease).await?;
        if mended > 0 {
            warn!(partition, runs = mended, "mended runs that were in no place");
        }
        let removed = store.prune(partition, &settings.retention).await?;
        if removed > 0 {
            info!(partition, runs = removed, "removed ended runs");
        }
    }
    let swept = store.sweep(sweep).await?;
    // Leftovers are gone now; an orphan is mended by the next reconciliation.
    for finding in swept.orphans.iter().chain(&swept.leftovers).take(FINDINGS_LOGGED_MAX) {
        warn!(finding, "found out of place");
    }
    let kept = settings.retention.finished_runs + CONTENT_MARGIN;
    let now = store.now().await?;
    let before = Millis(now.0.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)));
    let unused = scheduler.definitions.unused_contents(before).await?;
    scheduler.definitions.forget_contents(&unused, before).await.map(|_| ())
}
