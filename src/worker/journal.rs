//! The engine's journal over the store: numbers each write, keeps the lease's clock, and speaks Redis' time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::leases::Lease;
use crate::clock::{self, Millis};
use crate::engine::machine::{self, Gate, Park, Recall, Remember, Remembered};
use crate::engine::seam::{Entry, Journal, JournalError, Notice};
use crate::id::AccountId;
use crate::json::Json;
use crate::run::{Outcome, RunRequest, Status};
use crate::store::budget::Counted;
use crate::store::lease::{Fence, Terminal, Write};
use crate::store::marks::Mark;
use crate::store::ready::Claim;
use crate::store::state::{Author, CellChange, Changed};
use crate::store::{Store, StoreError};

/// The journal of one claim.
#[derive(Debug)]
pub(super) struct StoreJournal {
    store: Store,
    lease: Arc<Lease>,
    lease_length: Duration,
    account: AccountId,
    raises_watermark: bool,
    rev: AtomicU64,
    /// Redis' clock at the claim, and ours: the difference is carried on by the monotonic clock.
    anchor: (Millis, Instant),
}

impl StoreJournal {
    pub(super) fn new(store: Store, lease: Arc<Lease>, lease_length: Duration, claim: &Claim) -> Self {
        let claimed = lease.claimed;
        Self {
            store,
            lease,
            lease_length,
            account: claim.request.account.clone(),
            raises_watermark: raises_watermark(&claim.request),
            rev: AtomicU64::new(claim.rev),
            anchor: (claim.now, claimed),
        }
    }

    /// Writes with `write`, repeating it while the lease lasts; the number counts only when it succeeded.
    async fn write<T>(
        &self,
        entry: &Entry<'_>,
        status: Status,
        write: impl AsyncFnOnce(Fence<'_>, &Write<'_>, Duration) -> Result<Option<T>, StoreError>,
    ) -> Result<T, JournalError> {
        let rev = self.rev.load(Ordering::Acquire) + 1;
        let fence = Fence { run: self.lease.run, epoch: self.lease.epoch, owner: &self.lease.owner, rev };
        let checkpoint = serde_json::to_vec(entry.checkpoint).unwrap_or_default();
        let lines: Vec<String> =
            entry.log.iter().filter_map(|line| serde_json::to_string(line).ok()).collect();
        let log = lines.join("\n");
        let what = Write {
            status,
            decided: entry.checkpoint.outcome.is_some(),
            checkpoint: &checkpoint,
            log: &log,
            staged: entry.staged,
            put: entry.changes.put.iter().map(|(name, bytes)| (name.as_str(), bytes.as_ref())).collect(),
            drop: entry.changes.drop.iter().map(String::as_str).collect(),
            marks: entry.changes.marks.iter().map(mark).collect(),
        };
        match write(fence, &what, self.lease.left()).await {
            Ok(Some(answer)) => {
                self.rev.store(rev, Ordering::Release);
                Ok(answer)
            }
            Ok(None) => {
                warn!(rev, "write refused: the run has another owner");
                self.lease.lose();
                Err(JournalError::Lost)
            }
            Err(error) => {
                self.lease.lose();
                Err(failed(error))
            }
        }
    }
}

impl StoreJournal {
    /// Lets the run wait, as it was saved, for a worker that can read it.
    pub(super) async fn set_aside(&self, reason: &str) -> Result<(), JournalError> {
        let lease = &self.lease;
        match self.store.set_aside(lease.run, &lease.epoch.to_string(), &lease.owner, reason).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(JournalError::Lost),
            Err(error) => Err(JournalError::Unavailable(error.to_string())),
        }
    }
}

impl Journal for StoreJournal {
    async fn save(&self, entry: Entry<'_>) -> Result<Notice, JournalError> {
        let sent = clock::monotonic();
        let notice = self
            .write(&entry, Status::Running, async |fence, write, patience| {
                self.store.save(fence, write, self.lease_length, patience).await
            })
            .await?;
        self.lease.renewed(sent);
        if self.lease.open() {
            info!("a suspect saved a checkpoint: others may run beside it again");
        }
        Ok(Notice { stop: notice.stop, gate: gate(notice.gate) })
    }

    async fn park(&self, entry: Entry<'_>, park: &Park) -> Result<(), JournalError> {
        self.write(&entry, park.status, async |fence, write, patience| {
            let parked = self.store.park(fence, write, park.until, &park.reason, patience).await?;
            Ok(parked.then_some(()))
        })
        .await
    }

    async fn release(&self, entry: Entry<'_>) -> Result<(), JournalError> {
        self.write(&entry, Status::Running, async |fence, write, patience| {
            Ok(self.store.release(fence, write, patience).await?.then_some(()))
        })
        .await
    }

    async fn finish(&self, entry: Entry<'_>, outcome: &Outcome) -> Result<(), JournalError> {
        let progress = &entry.checkpoint.progress;
        let whole = outcome.status == Status::Completed && progress.incomplete.is_empty();
        let watermark = progress.started_at.filter(|_| whole && self.raises_watermark);
        let undelivered = entry.checkpoint.terminal_undelivered;
        let terminal = if undelivered { Terminal::Undelivered } else { Terminal::Delivered };
        self.write(&entry, outcome.status, async |fence, write, patience| {
            Ok(self.store.finish(fence, write, outcome, watermark, terminal, patience).await?.then_some(()))
        })
        .await
    }

    async fn recall(&self, what: &Recall) -> Result<Option<Json>, JournalError> {
        let (store, account, left) = (&self.store, &self.account, self.lease.left());
        let found = match what {
            Recall::State { state_key, key } => {
                store.cell(state_key, key, left).await.map(|cell| cell.map(|cell| cell.value))
            }
            Recall::Known { set, ids } => {
                store.known(account, set, ids, left).await.map(|known| Some(Json::of(&known)))
            }
            Recall::Before { set, order, most } => {
                store.seen_before(account, set, *order, *most, left).await.map(|ids| Some(Json::of(&ids)))
            }
            Recall::Size { set } => {
                store.set_size(account, set, left).await.map(|size| Some(Json::of(&size)))
            }
            Recall::Watermark { set } => store.read_to(account, set, left).await,
        };
        found.map_err(failed)
    }

    async fn remember(&self, what: &Remember) -> Result<Remembered, JournalError> {
        let Remember { state_key, key, value, step } = what;
        let change = value.as_ref().map_or(CellChange::Delete, CellChange::Set);
        let author = Author::Run { run: self.lease.run, epoch: self.lease.epoch, step: *step };
        let left = self.lease.left();
        // An owner whose lease is over may have a successor that changes the same cells.
        if left.is_zero() {
            return Err(JournalError::Lost);
        }
        let changed = self.store.change_cell(state_key, key, change, author, left).await.map_err(failed)?;
        Ok(match changed {
            Changed::Done { .. } | Changed::Missing => Remembered::Written,
            Changed::Older => Remembered::Older,
            Changed::Refused(reason) => Remembered::Refused(reason),
        })
    }

    async fn close_gate(&self, seen: u64, wait: Duration) -> Result<Gate, JournalError> {
        let closed = self.store.close_gate(Counted::Account(&self.account), seen, wait).await;
        closed.map(gate).map_err(|error| JournalError::Unavailable(error.to_string()))
    }

    async fn pass_gate(&self, generation: u64) {
        let passed = self.store.pass_gate(Counted::Account(&self.account), generation).await;
        // The others then wait a little longer.
        let _ =
            passed.inspect_err(|error| tracing::debug!(%error, "nobody was told that the gate is passed"));
    }

    fn now(&self) -> Millis {
        let (redis, ours) = self.anchor;
        redis.plus(clock::monotonic().saturating_duration_since(ours))
    }
}

pub(super) fn gate((generation, opens_at): (u64, Millis)) -> Gate {
    Gate { generation, opens_at, passed: false }
}

fn mark(mark: &machine::Mark) -> Mark<'_> {
    match mark {
        machine::Mark::Seen { set, id, digest, order } => Mark::Seen { set, id, digest, order: *order },
        machine::Mark::Gone { set, id } => Mark::Gone { set, id },
        machine::Mark::Trim { set, from } => Mark::Trim { set, from: *from },
        machine::Mark::Watermark { set, value } => Mark::Watermark { set, value },
    }
}

fn failed(error: StoreError) -> JournalError {
    if error.is_passing() {
        JournalError::Unavailable(error.to_string())
    } else {
        JournalError::Failed(error.to_string())
    }
}

/// A replay repeats what was read before, and a dry run sends nothing: neither says anything about what is new.
fn raises_watermark(request: &RunRequest) -> bool {
    request.replay_of.is_none() && request.dry_run.is_none()
}
