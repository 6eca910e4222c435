//! A scheduler: fires triggers, tends the queue, keeps the house in order, and serves the API. Any number of
//! them run side by side without a leader: each thing they do is one script that only the first one does.
//!
//! Loops, one a file: [`timetable`] brings triggers' definitions to the clock, [`firing`] makes the runs of due
//! slots, [`tender`] wakes, reaps and admits, [`janitor`] reconciles and prunes. Each wakes on a signal and
//! looks from time to time without one.

mod firing;
mod janitor;
mod tender;
mod timetable;

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::settings::Settings;
use crate::store::Store;
use crate::store::definitions::Definitions;

use timetable::Timetable;

/// What the loops of one scheduler share.
pub struct Scheduler {
    settings: Settings,
    store: Store,
    definitions: Definitions,
    timetable: Timetable,
    /// Rings when definitions changed through this process.
    changed: Arc<Notify>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").finish_non_exhaustive()
    }
}

impl Scheduler {
    /// A scheduler over `store`. Ring `changed` when definitions were applied, so that triggers follow at once.
    pub fn new(settings: Settings, store: Store, definitions: Definitions, changed: Arc<Notify>) -> Self {
        Self { settings, store, definitions, timetable: Timetable::default(), changed }
    }

    /// Runs all loops until `shutdown` fires. Nothing needs to be finished: every turn is a script.
    pub async fn run(self, shutdown: CancellationToken) {
        info!("scheduler started");
        let scheduler = Arc::new(self);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = timetable::run(&scheduler) => {}
            () = firing::run(&scheduler) => {}
            () = tender::run(&scheduler) => {}
            () = janitor::run(&scheduler) => {}
        }
        info!("scheduler stopped");
    }
}
