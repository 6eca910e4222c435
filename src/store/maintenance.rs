//! What any process may do at any time: tend (wake, reap, admit), reconcile, prune.

use std::time::Duration;

use super::{PATIENCE, Store, StoreError};
use crate::settings::RetentionSettings;

/// Most runs of a kind that one call handles; bounds a script's time.
const BATCH: usize = 200;
/// Batches that one round of pruning handles in a partition: a hundred thousand runs, more than can end until the next.
const PRUNES_MAX: usize = 500;
/// Crashes in a row, without a checkpoint between, after which a run is poison.
pub(super) const CRASHES_MAX: u32 = 3;
/// How long a consumer may be idle before it is removed; a worker reads every two seconds.
pub(super) const CONSUMER_IDLE_MAX: Duration = Duration::from_secs(3600);

/// What tending one partition did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tended {
    /// Parked runs that were woken.
    pub woken: u64,
    /// Runs put back because their lease ran out.
    pub reaped: u64,
    /// Runs moved onto the ready stream.
    pub admitted: u64,
    /// When something is due next.
    pub next: Option<Duration>,
    /// Partitions where something is due to be announced.
    pub announcing: Vec<u16>,
}

/// The longest time a turn of one partition may keep the next turn of the others waiting.
const TURN_MAX: Duration = Duration::from_secs(2);
/// The shortest pause between two turns of tending: what is due at once is left to the next.
const PAUSE_MIN: Duration = Duration::from_millis(20);

impl Tended {
    /// How long to wait for the next turn: until something is due, at most `tick`.
    pub fn pause(&self, tick: Duration) -> Duration {
        self.next.unwrap_or(tick).clamp(PAUSE_MIN, tick)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Store {
    /// Wakes, reaps and admits in one partition, so that its ready stream holds up to `depth` runs.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn tend(&self, partition: u16, depth: usize, lease: Duration) -> Result<Tended, StoreError> {
        let mut call = self.scripts.tend.key(self.partition(partition));
        call.arg(depth).arg(millis(lease)).arg(BATCH).arg(CRASHES_MAX);
        let (woken, reaped, admitted, next, errands, announcements): (u64, u64, u64, i64, u64, u64) =
            self.call(&call, Duration::ZERO).await?;
        if errands > 0
            && let Err(error) = self.run_errands(partition).await
        {
            // They come again, and concern other partitions.
            error.report("what runs want of mutexes was not done");
        }
        let next = u64::try_from(next).ok().map(Duration::from_millis);
        let announcing = if announcements > 0 { vec![partition] } else { Vec::new() };
        Ok(Tended { woken, reaped, admitted, next, announcing })
    }

    /// Tends every partition, one after the other in one burst of calls.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn tend_all(&self, depth: usize, lease: Duration) -> Result<Tended, StoreError> {
        let turns = (0..self.partitions()).map(async |partition| {
            let turn = tokio::time::timeout(TURN_MAX, self.tend(partition, depth, lease)).await;
            turn.unwrap_or_else(|_| Err(StoreError::Unreachable("no answer in time".to_owned())))
        });
        let mut all = Tended::default();
        for turn in futures::future::join_all(turns).await {
            let tended = turn?;
            all.woken += tended.woken;
            all.reaped += tended.reaped;
            all.admitted += tended.admitted;
            all.announcing.extend(tended.announcing);
            all.next = all.next.into_iter().chain(tended.next).min();
        }
        Ok(all)
    }

    /// Checks that every run of a partition is in the place it says, and mends what is not. Returns how many
    /// were mended.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn reconcile(&self, partition: u16, lease: Duration) -> Result<u64, StoreError> {
        self.reconcile_with(partition, lease, CONSUMER_IDLE_MAX).await
    }

    /// The same, removing consumers that have been idle for `idle` and hold nothing.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn reconcile_with(
        &self,
        partition: u16,
        lease: Duration,
        idle: Duration,
    ) -> Result<u64, StoreError> {
        let mut cursor = "0".to_owned();
        let mut mended = 0;
        loop {
            let mut call = self.scripts.reconcile.key(self.partition(partition));
            call.arg(&cursor).arg(BATCH).arg(millis(lease)).arg(millis(idle));
            let (next, found): (String, u64) = self.call(&call, PATIENCE).await?;
            mended += found;
            if next == "0" {
                return Ok(mended + self.reconcile_locks(partition).await?);
            }
            cursor = next;
        }
    }

    /// Forgets ended runs as `retention` says, until nothing is left to forget, or [`PRUNES_MAX`] calls were made.
    /// Returns how many runs went.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn prune(&self, partition: u16, retention: &RetentionSettings) -> Result<u64, StoreError> {
        let mut all = 0;
        for _ in 0..PRUNES_MAX {
            let mut call = self.scripts.prune.key(self.partition(partition));
            call.arg(millis(retention.finished_runs)).arg(millis(retention.resumable));
            call.arg(retention.finished_runs_max).arg(BATCH);
            let (removed, _stripped, more): (u64, u64, u8) = self.call(&call, PATIENCE).await?;
            all += removed;
            if more == 0 {
                break;
            }
        }
        Ok(all)
    }
}
