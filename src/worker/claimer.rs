//! Takes runs: as many as there are free slots, woken by the ready stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tracing::{Instrument, debug, info_span};

use super::leases::Lease;
use super::{Worker, execute, suspect};
use crate::clock;
use crate::store::StoreError;
use crate::store::ready::{BLOCK, Claim, ReadyEntry, ReadyReader};

/// The pause after Redis could not be reached.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);
/// How often entries that a dead worker read and never claimed are looked for.
const RECOVER_EVERY: Duration = Duration::from_secs(5);

pub(super) async fn run(worker: Arc<Worker>) {
    let mut reader = ReadyReader::new(worker.store.clone(), worker.name.clone());
    let mut recovered = clock::monotonic();
    while let Some(slot) = free_slot(&worker).await {
        let result = take(&worker, &mut reader, &mut recovered, slot).await;
        if let Err(error) = result {
            error.report("nothing claimed");
            tokio::select! {
                () = tokio::time::sleep(OUTAGE_PAUSE) => {}
                () = worker.leaving.cancelled() => break,
            }
        }
    }
}

/// Waits for a free slot; `None` when the worker leaves.
async fn free_slot(worker: &Worker) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = worker.leaving.cancelled() => None,
        slot = Arc::clone(&worker.slots).acquire_owned() => slot.ok(),
    }
}

/// Returns when this worker leaves and a read should have ended by itself: Redis is away. What it may still hand
/// to the read is taken over by another worker.
async fn overdue(worker: &Worker) {
    worker.leaving.cancelled().await;
    tokio::time::sleep(BLOCK + OUTAGE_PAUSE).await;
}

async fn take(
    worker: &Arc<Worker>,
    reader: &mut ReadyReader,
    recovered: &mut std::time::Instant,
    slot: OwnedSemaphorePermit,
) -> Result<(), StoreError> {
    let slots = worker.slots.available_permits() + 1;
    let mut entries = Vec::new();
    if recovered.elapsed() >= RECOVER_EVERY {
        *recovered = clock::monotonic();
        entries = reader.recover(slots).await?;
    }
    if entries.is_empty() {
        entries = tokio::select! {
            // Not cut short when the worker leaves: Redis may be handing it the very run that was just given back.
            read = reader.read(slots) => read?,
            () = overdue(worker) => Vec::new(),
        };
    }
    let (mut slot, mut full) = (Some(slot), Ok(()));
    let mut entries = entries.into_iter();
    for entry in entries.by_ref() {
        let free = slot.take().or_else(|| Arc::clone(&worker.slots).try_acquire_owned().ok());
        let Some(slot) = free.filter(|_| !worker.leaving.is_cancelled()) else {
            worker.store.give_back(&entry).await?;
            continue;
        };
        let claimed = match claim(worker, &entry).await {
            // That run waits; one of the others may have begun, and can be finished.
            Err(error @ StoreError::Full(_)) => {
                full = Err(error);
                None
            }
            claimed => claimed?,
        };
        let Some((claim, lease)) = claimed else { continue };
        if !claim.is_suspect() {
            start(worker, claim, lease, slot);
            continue;
        }
        // Before the wait: others should have them at once.
        let given_back = give_back_all(worker, entries).await;
        suspect::isolate(worker, &lease).await;
        start(worker, claim, lease, slot);
        return given_back;
    }
    full
}

async fn give_back_all(worker: &Worker, entries: impl Iterator<Item = ReadyEntry>) -> Result<(), StoreError> {
    for entry in entries {
        worker.store.give_back(&entry).await?;
    }
    Ok(())
}

/// Claims the run of `entry`; its lease is kept from here on.
async fn claim(worker: &Worker, entry: &ReadyEntry) -> Result<Option<(Claim, Arc<Lease>)>, StoreError> {
    let claimed = clock::monotonic();
    let length = worker.settings.worker.lease;
    let Some(claim) = worker.store.claim(entry, &worker.name, length).await? else {
        debug!(run = %entry.run, "a stale entry");
        return Ok(None);
    };
    let leaving = worker.leaving.child_token();
    let lease =
        Arc::new(Lease::new(claim.request.id, claim.epoch, claim.owner.clone(), length, claimed, leaving));
    worker.leases.add(Arc::clone(&lease));
    Ok(Some((claim, lease)))
}

/// Executes a claimed run beside the others.
fn start(worker: &Arc<Worker>, claim: Claim, lease: Arc<Lease>, slot: OwnedSemaphorePermit) {
    let request = &claim.request;
    let span = info_span!(
        "run",
        run = %request.id,
        job = %request.job,
        account = %request.account,
        epoch = claim.epoch,
        attempt = claim.attempt,
    );
    let task = {
        let worker = Arc::clone(worker);
        async move {
            execute::execute(&worker, claim, lease).await;
            drop(slot);
            worker.free.notify_one();
        }
    };
    worker.tasks.spawn(task.instrument(span));
}
