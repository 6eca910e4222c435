//! Tends the queue: wakes what is due, puts back what crashed workers left, admits what this worker has slots
//! for. Every worker and scheduler does this; none is needed in particular.

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::{Worker, announcer};

/// The longest pause between two looks.
const TICK: Duration = Duration::from_millis(500);
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
async fn tend(worker: &Arc<Worker>) -> Duration {
    match worker.store.tend_all(worker.depth(), worker.settings.worker.lease).await {
        Ok(tended) => {
            if tended.reaped > 0 {
                info!(runs = tended.reaped, "put back runs whose worker is gone");
            }
            let pause = tended.pause(TICK);
            announcer::tell(worker, tended.announcing);
            pause
        }
        Err(error) => {
            error.report("the queue was not tended");
            OUTAGE_TICK
        }
    }
}
