//! Tends the queue: wakes what is due, puts back what crashed workers left, admits what this worker has slots
//! for. Every worker and scheduler does this; none is needed in particular.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::Worker;

/// The longest pause between two looks.
const TICK: Duration = Duration::from_millis(500);
/// The shortest: something due at once is left to the next turn.
const TICK_MIN: Duration = Duration::from_millis(20);
/// The pause while Redis is away: an outage must not make a storm.
const OUTAGE_TICK: Duration = Duration::from_secs(1);

pub(super) async fn run(worker: Arc<Worker>) {
    loop {
        let pause = tend(&worker).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = worker.free.notified() => {}
        }
    }
}

/// One turn over all partitions. Returns how long to wait for the next.
async fn tend(worker: &Worker) -> Duration {
    let depth = worker.depth();
    let lease = worker.settings.worker.lease;
    let turns = (0..worker.store.partitions()).map(|partition| worker.store.tend(partition, depth, lease));
    let mut pause = TICK;
    for turn in futures::future::join_all(turns).await {
        match turn {
            Ok(tended) => {
                if tended.reaped > 0 {
                    info!(runs = tended.reaped, "put back runs whose worker is gone");
                }
                if tended.woken > 0 {
                    debug!(runs = tended.woken, "woke runs");
                }
                pause = pause.min(tended.next.unwrap_or(TICK).max(TICK_MIN));
            }
            Err(error) => {
                warn!(%error, "the queue was not tended");
                return OUTAGE_TICK;
            }
        }
    }
    pause
}
