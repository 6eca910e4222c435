//! A ledger that can be waited on.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// What was waited for did not come.
#[derive(Debug, Clone, thiserror::Error)]
#[error("waited {waited:?} for {what}; so far: {state}")]
pub struct TimedOut {
    what: String,
    waited: Duration,
    state: String,
}

/// A value behind a lock whose every change wakes those who wait.
#[derive(Debug)]
pub(super) struct Watched<T>(watch::Sender<T>);

impl<T: ToString> Watched<T> {
    pub(super) fn new(value: T) -> Self {
        Self(watch::Sender::new(value))
    }

    /// Reads; a change waits for it, so `read` must be brief and must not wait for the server.
    pub(super) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.0.borrow())
    }

    /// Changes it and wakes everybody who waits.
    pub(super) fn change(&self, change: impl FnOnce(&mut T)) {
        self.0.send_modify(change);
    }

    /// Returns when `predicate` holds.
    pub(super) async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        predicate: impl FnMut(&T) -> bool,
    ) -> Result<(), TimedOut> {
        let mut changes = self.0.subscribe();
        // The sender lives as long as `self`, so the wait ends by the predicate or by the time alone.
        let in_time = timeout(within, changes.wait_for(predicate)).await.is_ok();
        if in_time {
            return Ok(());
        }
        Err(TimedOut { what: what.to_owned(), waited: within, state: self.read(ToString::to_string) })
    }
}
