//! The leases of one worker's runs: who may still send.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::engine::seam::SendGuard;
use crate::id::RunId;

/// A claim's hold on its run, as this process sees it: by its own monotonic clock, from the time the last
/// successful renewal was *sent*, less a margin. So a worker that was asleep knows before it sends anything
/// that the run may be somebody else's.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) run: RunId,
    pub(super) epoch: u64,
    pub(super) owner: String,
    length: Duration,
    /// When the claim was sent.
    pub(super) claimed: Instant,
    sent: Mutex<Instant>,
    stop: Mutex<Option<String>>,
    lost: CancellationToken,
    /// Fires when this run must leave: with its worker, or for a suspect that must run alone.
    pub(super) leaving: CancellationToken,
    stopping: CancellationToken,
    let_go: CancellationToken,
    /// The worker's other slots, while the run must be alone.
    others: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Lease {
    pub(super) fn new(
        run: RunId,
        epoch: u64,
        owner: String,
        length: Duration,
        claimed: Instant,
        leaving: CancellationToken,
    ) -> Self {
        Self {
            run,
            epoch,
            owner,
            length,
            claimed,
            sent: Mutex::new(claimed),
            stop: Mutex::new(None),
            lost: CancellationToken::new(),
            leaving,
            stopping: CancellationToken::new(),
            let_go: CancellationToken::new(),
            others: Mutex::new(None),
        }
    }

    /// A renewal sent at `sent` succeeded.
    pub(super) fn renewed(&self, sent: Instant) {
        let mut last = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (*last).max(sent);
    }

    /// Another owner has the run, or this worker gives it up.
    pub(super) fn lose(&self) {
        self.lost.cancel();
    }

    /// Somebody asked for the run to stop.
    pub(super) fn stop(&self, reason: String) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        self.stopping.cancel();
    }

    /// Asks this run to leave after its delivery in flight.
    pub(super) fn leave(&self) {
        self.leaving.cancel();
    }

    /// Gives this run back now, whatever is in flight.
    pub(super) fn let_go_now(&self) {
        self.let_go.cancel();
    }

    /// Keeps the worker's other slots until the run has shown that it is no danger.
    pub(super) fn keep_alone(&self, others: OwnedSemaphorePermit) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = Some(others);
    }

    /// The run saved a checkpoint, or was let go: others may run beside it again. Returns whether it was alone.
    pub(super) fn open(&self) -> bool {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// How long the run is still ours for sure.
    pub(super) fn left(&self) -> Duration {
        if self.lost.is_cancelled() {
            return Duration::ZERO;
        }
        let sent = *self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        // A tenth for the answer's way and for clocks that run at different speeds.
        (self.length - self.length / 10).saturating_sub(clock::monotonic().saturating_duration_since(sent))
    }
}

impl SendGuard for Lease {
    fn permit(&self) -> Option<u64> {
        (self.left() > Duration::ZERO).then_some(self.epoch)
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            tokio::select! {
                () = self.lost.cancelled() => {}
                () = self.leaving.cancelled() => {}
                () = self.stopping.cancelled() => {}
            }
        })
    }

    fn let_go(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.let_go.cancelled())
    }

    fn stop_requested(&self) -> Option<String> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All leases of a worker.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<RunId, Arc<Lease>>>,
}

impl Leases {
    pub(super) fn add(&self, lease: Arc<Lease>) {
        self.lock().insert(lease.run, lease);
    }

    /// Forgets `lease`, unless a newer claim of the same run took its place.
    pub(super) fn remove(&self, lease: &Arc<Lease>) {
        let mut held = self.lock();
        if held.get(&lease.run).is_some_and(|found| Arc::ptr_eq(found, lease)) {
            held.remove(&lease.run);
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Lease>> {
        self.lock().values().cloned().collect()
    }

    /// All but this one.
    pub(super) fn others(&self, than: &Arc<Lease>) -> Vec<Arc<Lease>> {
        self.lock().values().filter(|lease| !Arc::ptr_eq(lease, than)).cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Gives every run back now, whatever is in flight.
    pub(super) fn let_go_of_all(&self) {
        for lease in self.all() {
            lease.let_go_now();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Arc<Lease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(age: Duration) -> Lease {
        let sent = clock::monotonic().checked_sub(age).unwrap();
        Lease::new(RunId::new(0), 7, "me".into(), Duration::from_secs(10), sent, CancellationToken::new())
    }

    #[test]
    fn a_lease_that_was_not_renewed_sends_nothing_more() {
        assert_eq!(lease(Duration::from_secs(8)).permit(), Some(7));
        // Within the lease, but inside the margin.
        assert_eq!(lease(Duration::from_millis(9_500)).permit(), None);
        let late = lease(Duration::from_secs(60));
        assert_eq!(late.permit(), None);
        late.renewed(clock::monotonic());
        assert_eq!(late.permit(), Some(7));
        late.lose();
        assert_eq!(late.permit(), None);
    }
}
