//! Faults planted in a worker, so that `make chaos` can show that its checker finds them. Only there with the feature
//! `planted`, which no release has; the environment variable `CHAOS_PLANTED` says which fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Millis;
use crate::engine::checkpoint::Checkpoint;
use crate::engine::machine::{Gate, Park, Recall, Remember, Remembered};
use crate::engine::seam::{Courier, Delivery, Entry, Journal, JournalError, Notice, SendGuard, Verdict};
use crate::json::Json;
use crate::run::Outcome;

/// A fault in the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// What a webhook did not take counts as taken: records are lost.
    AcknowledgeUnsent,
    /// Only every fourth checkpoint is written: a crash goes back further than the last page.
    ForgetSaves,
    /// Ends are not told to the webhook.
    SilentEnd,
    /// What spools collected last is not kept: whoever goes on with the run passes on less.
    ForgetfulSpool,
}

fn fault() -> Option<Fault> {
    match std::env::var("CHAOS_PLANTED").ok()?.as_str() {
        "acknowledge_unsent" => Some(Fault::AcknowledgeUnsent),
        "forget_saves" => Some(Fault::ForgetSaves),
        "silent_end" => Some(Fault::SilentEnd),
        "forgetful_spool" => Some(Fault::ForgetfulSpool),
        other => panic!("there is no planted fault {other:?}"),
    }
}

/// A courier or a journal with the fault in it.
#[derive(Debug)]
pub(super) struct Double<T> {
    real: Arc<T>,
    fault: Option<Fault>,
    saves: AtomicU64,
}

impl<T> Double<T> {
    pub(super) fn of(real: Arc<T>) -> Arc<Self> {
        Arc::new(Self { real, fault: fault(), saves: AtomicU64::new(0) })
    }

    /// The position that is kept instead of this one, if it is another.
    fn forgotten(&self, checkpoint: &Checkpoint) -> Option<Checkpoint> {
        (self.fault == Some(Fault::ForgetfulSpool)).then(|| {
            let mut checkpoint = checkpoint.clone();
            for spool in &mut checkpoint.spools {
                spool.stages.pop();
            }
            checkpoint
        })
    }
}

impl<T: Courier> Courier for Double<T> {
    async fn deliver(&self, delivery: &Delivery, guard: &dyn SendGuard) -> Verdict {
        let ends = delivery.event.to_string().ends_with(":completed");
        if self.fault == Some(Fault::SilentEnd) && ends {
            return Verdict::Acknowledged;
        }
        match self.real.deliver(delivery, guard).await {
            Verdict::Failed(_) if self.fault == Some(Fault::AcknowledgeUnsent) => Verdict::Acknowledged,
            verdict => verdict,
        }
    }
}

impl<T: Journal> Journal for Double<T> {
    async fn save(&self, entry: Entry<'_>) -> Result<Notice, JournalError> {
        let is_written = self.saves.fetch_add(1, Ordering::Relaxed).is_multiple_of(4);
        if self.fault == Some(Fault::ForgetSaves) && !is_written && entry.changes.put.is_empty() {
            return Ok(Notice::default());
        }
        let forgotten = self.forgotten(entry.checkpoint);
        self.real.save(Entry { checkpoint: forgotten.as_ref().unwrap_or(entry.checkpoint), ..entry }).await
    }

    async fn park(&self, entry: Entry<'_>, park: &Park) -> Result<(), JournalError> {
        let forgotten = self.forgotten(entry.checkpoint);
        let entry = Entry { checkpoint: forgotten.as_ref().unwrap_or(entry.checkpoint), ..entry };
        self.real.park(entry, park).await
    }

    async fn release(&self, entry: Entry<'_>) -> Result<(), JournalError> {
        let forgotten = self.forgotten(entry.checkpoint);
        let entry = Entry { checkpoint: forgotten.as_ref().unwrap_or(entry.checkpoint), ..entry };
        self.real.release(entry).await
    }

    async fn finish(&self, entry: Entry<'_>, outcome: &Outcome) -> Result<(), JournalError> {
        self.real.finish(entry, outcome).await
    }

    async fn recall(&self, what: &Recall) -> Result<Option<Json>, JournalError> {
        self.real.recall(what).await
    }

    async fn remember(&self, what: &Remember) -> Result<Remembered, JournalError> {
        self.real.remember(what).await
    }

    async fn close_gate(&self, seen: u64, wait: Duration) -> Result<Gate, JournalError> {
        self.real.close_gate(seen, wait).await
    }

    async fn pass_gate(&self, generation: u64) {
        self.real.pass_gate(generation).await;
    }

    fn now(&self) -> Millis {
        self.real.now()
    }
}
