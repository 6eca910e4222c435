//! A suspect runs alone: a run whose last claims all ended in a crash, without a checkpoint between, may be what ended
//! its workers. So the next crash tells, and no bystander is ever ended as poison for having been beside it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tracing::{info, warn};

use super::Worker;
use super::leases::Lease;

/// Makes `suspect`, which is claimed and not yet driven, the only run of this worker: asks the others to leave, each
/// after its delivery in flight, and lets go of them when that takes longer than a drain may. Nothing is claimed
/// meanwhile, as the claiming loop waits here; nor afterwards, as the suspect keeps all slots until it saves a
/// checkpoint or is let go.
pub(super) async fn isolate(worker: &Worker, suspect: &Arc<Lease>) {
    let crowd = worker.leases.others(suspect);
    info!(run = %suspect.run, others = crowd.len(), "a suspect must run alone: the other runs of this worker leave");
    let Some(others) = clear(worker, &crowd).await else { return };
    suspect.keep_alone(others);
    // Without this note its next crash counts no further: it may be another's.
    match worker.store.alone(suspect.run, suspect.epoch, &suspect.owner, suspect.left()).await {
        Ok(true) => info!(run = %suspect.run, "a suspect runs alone"),
        Ok(false) => suspect.lose(),
        Err(error) => warn!(run = %suspect.run, %error, "could not note that a suspect runs alone"),
    }
}

/// The slots of all other runs, once they are free; `None` when the worker leaves.
async fn clear(worker: &Worker, crowd: &[Arc<Lease>]) -> Option<OwnedSemaphorePermit> {
    crowd.iter().for_each(|lease| lease.leave());
    let slots = u32::try_from(worker.settings.worker.concurrency - 1).unwrap_or(u32::MAX);
    let free = Arc::clone(&worker.slots).acquire_many_owned(slots);
    tokio::pin!(free);
    let late = async |drain: Duration| {
        tokio::time::sleep(drain).await;
        warn!("drain time-out: what is in flight beside a suspect is let go");
        crowd.iter().for_each(|lease| lease.let_go_now());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = worker.leaving.cancelled() => None,
        others = &mut free => others.ok(),
        () = late(worker.settings.worker.drain_timeout) => None,
    }
}
