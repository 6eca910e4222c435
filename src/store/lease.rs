//! The writes of a run's owner: save, park, release, finish, renew. All are fenced by (epoch, owner) and can be
//! repeated when their answer was lost.

use std::time::Duration;

use redis::ScriptInvocation;

use super::marks::{self, Mark};
use super::{PATIENCE, Store, StoreError, Unconfirmed};
use crate::clock::Millis;
use crate::id::RunId;
use crate::run::{Outcome, Status};

/// Who writes, and which write it is.
#[derive(Debug, Clone, Copy)]
pub struct Fence<'a> {
    /// The run.
    pub run: RunId,
    /// The claim's epoch.
    pub epoch: u64,
    /// The claim's nonce.
    pub owner: &'a str,
    /// The number of this write: one more than the last one's.
    pub rev: u64,
}

/// What a transition writes.
#[derive(Debug, Clone)]
pub struct Write<'a> {
    /// The run's status after it.
    pub status: Status,
    /// Whether the outcome is decided, so that a stop is refused.
    pub decided: bool,
    /// The checkpoint, opaque here.
    pub checkpoint: &'a [u8],
    /// A line for the run's log: a JSON object, or empty.
    pub log: &'a str,
    /// Bytes staged after it.
    pub staged: usize,
    /// Stages to write.
    pub put: Vec<(&'a str, &'a [u8])>,
    /// Stages to drop.
    pub drop: Vec<&'a str>,
    /// What is remembered of records from now on; at most [`MARKS_MAX`](super::marks::MARKS_MAX).
    pub marks: Vec<Mark<'a>>,
}

/// Whether the webhooks know how the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// They do, or did not want to.
    Delivered,
    /// The event was given up; `resume` sends it again.
    Undelivered,
}

/// What an owner learns with an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// A stop request.
    pub stop: Option<String>,
    /// Generation of the account's gate, and when it opens.
    pub gate: (u64, Millis),
}

/// What became of one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// It was extended; a stop may have been asked for.
    Held {
        /// The reason for the stop.
        stop: Option<String>,
    },
    /// Somebody else has the run, or it ended.
    Lost,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Store {
    /// Saves a checkpoint and renews the lease. `None` when the run has another owner.
    ///
    /// # Errors
    /// When Redis can't be written for as long as `patience`.
    pub async fn save(
        &self,
        fence: Fence<'_>,
        write: &Write<'_>,
        lease: Duration,
        patience: Duration,
    ) -> Result<Option<Notice>, StoreError> {
        let mut call = self.scripts.save.key(self.of_run(fence.run));
        call.arg(millis(lease));
        add_write(&mut call, fence, write)?;
        let (state, stop, generation, opens): (String, String, u64, i64) = self.call(&call, patience).await?;
        let notice = Notice { stop: (!stop.is_empty()).then_some(stop), gate: (generation, Millis(opens)) };
        Ok((state == "ok").then_some(notice))
    }

    /// Parks the run until `wake`. False when it has another owner.
    ///
    /// # Errors
    /// When Redis can't be written for as long as `patience`.
    pub async fn park(
        &self,
        fence: Fence<'_>,
        write: &Write<'_>,
        wake: Millis,
        reason: &str,
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let mut call = self.scripts.park.key(self.of_run(fence.run));
        call.arg(wake.0).arg(reason).arg(1);
        add_write(&mut call, fence, write)?;
        Ok(self.call::<String>(&call, patience).await? == "ok")
    }

    /// Gives the run back for another worker. False when it has another owner.
    ///
    /// # Errors
    /// When Redis can't be written for as long as `patience`.
    pub async fn release(
        &self,
        fence: Fence<'_>,
        write: &Write<'_>,
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let mut call = self.scripts.release.key(self.of_run(fence.run));
        call.arg(1);
        add_write(&mut call, fence, write)?;
        Ok(self.call::<String>(&call, patience).await? == "ok")
    }

    /// Ends the run. A completed one without holes raises its job's watermark to `watermark`. False when it has
    /// another owner.
    ///
    /// # Errors
    /// When Redis can't be written for as long as `patience`.
    pub async fn finish(
        &self,
        fence: Fence<'_>,
        write: &Write<'_>,
        outcome: &Outcome,
        watermark: Option<Millis>,
        terminal: Terminal,
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let undelivered = terminal == Terminal::Undelivered;
        let keep = undelivered || outcome.status != Status::Completed;
        let prefix = self.of_run(fence.run);
        let mut call = self.scripts.finish.key(&prefix);
        call.arg(serde_json::to_string(outcome).unwrap_or_default());
        call.arg(watermark.map_or_else(String::new, |at| at.0.to_string()));
        call.arg(if keep { "1" } else { "0" }).arg(if undelivered { "1" } else { "0" }).arg(1);
        add_write(&mut call, fence, write)?;
        let state: String = self.call_safely(&prefix, &call, patience, Unconfirmed::Goes).await?;
        Ok(state == "ok")
    }

    /// Renews the leases of `runs` (run, epoch, owner), all of one partition.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn renew(
        &self,
        runs: &[(RunId, u64, String)],
        lease: Duration,
    ) -> Result<Vec<Renewal>, StoreError> {
        let Some((first, ..)) = runs.first() else { return Ok(Vec::new()) };
        let mut call = self.scripts.renew.key(self.of_run(*first));
        call.arg(millis(lease));
        for (run, epoch, owner) in runs {
            call.arg(run.to_string()).arg(*epoch).arg(owner);
        }
        let answer: Vec<String> = self.call(&call, PATIENCE).await?;
        let renewal = |pair: &[String]| match pair {
            [state, stop] if state == "ok" => {
                Renewal::Held { stop: (!stop.is_empty()).then(|| stop.clone()) }
            }
            _ => Renewal::Lost,
        };
        Ok(answer.chunks(2).map(renewal).collect())
    }

    /// Notes that a suspect has its worker to itself. False when it has another owner.
    ///
    /// # Errors
    /// When Redis can't be written for as long as `patience`.
    pub async fn alone(
        &self,
        run: RunId,
        epoch: u64,
        owner: &str,
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let mut call = self.scripts.alone.key(self.of_run(run));
        call.arg(run.to_string()).arg(epoch).arg(owner);
        Ok(self.call::<String>(&call, patience).await? == "ok")
    }

    /// Gives a run back that was let go because Redis was out of reach: no crash, and no checkpoint. False when
    /// somebody else has it.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn give_up(&self, run: RunId, epoch: u64, owner: &str) -> Result<bool, StoreError> {
        let mut call = self.scripts.give_up.key(self.of_run(run));
        call.arg(run.to_string()).arg(epoch).arg(owner).arg(1);
        Ok(self.call::<String>(&call, PATIENCE).await? == "ok")
    }
}

fn add_write(call: &mut ScriptInvocation<'_>, fence: Fence<'_>, write: &Write<'_>) -> Result<(), StoreError> {
    call.arg(fence.run.to_string()).arg(fence.epoch).arg(fence.owner).arg(fence.rev);
    call.arg(write.status.as_str()).arg(if write.decided { "1" } else { "0" });
    call.arg(write.checkpoint).arg(write.log).arg(write.staged);
    call.arg(write.put.len());
    for (name, bytes) in &write.put {
        call.arg(*name).arg(*bytes);
    }
    call.arg(write.drop.len());
    for name in &write.drop {
        call.arg(*name);
    }
    marks::add(call, &write.marks)
}
