//! Tends the queue, as workers do too. A scheduler has no slots, so it admits only what an idle worker would
//! take at once.

use std::time::Duration;

use tracing::info;

use super::Scheduler;

/// The pause while Redis is away.
const OUTAGE_TICK: Duration = Duration::from_secs(1);

pub(super) async fn run(scheduler: &Scheduler) {
    loop {
        let pause = match scheduler.store.tend_all(1, scheduler.settings.worker.lease).await {
            Ok(tended) => {
                if tended.reaped > 0 {
                    info!(runs = tended.reaped, "put back runs whose worker is gone");
                }
                tended.pause(scheduler.settings.scheduler.tick)
            }
            Err(error) => {
                error.report("the queue was not tended");
                OUTAGE_TICK
            }
        };
        tokio::time::sleep(pause).await;
    }
}
