//! Triggers: when they are due, and the runs they make. A trigger lives in its account's partition, and one
//! compare-and-set on its next time fires it, so any number of schedulers need no leader.

use std::collections::HashMap;

use super::runs::{BACKLOG_MAX, Exclusive, mutex, to_json};
use super::{PATIENCE, Store, StoreError, Unconfirmed, keys, locks};
use crate::clock::Millis;
use crate::id::TriggerId;
use crate::run::RunRequest;

/// Due triggers taken up by one look.
const DUE_MAX: usize = 100;

/// A trigger whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The trigger.
    pub trigger: TriggerId,
    /// The time it was due, which a firing must name again.
    pub at: Millis,
}

/// A trigger's place on the clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TriggerState {
    /// The newest slot that was dealt with.
    pub last_slot: Option<Millis>,
    /// When it is due next.
    pub next: Option<Millis>,
    /// When it fired last.
    pub fired: Option<Millis>,
    /// The newest run it made.
    pub last_run: Option<String>,
    /// Slots skipped because a run had not ended.
    pub skipped: u64,
    /// Slots missed while no scheduler ran.
    pub missed: u64,
}

/// What happens when a slot's turn comes while other runs of its trigger have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotOverlap {
    /// No run.
    Skip,
    /// One may wait.
    Queue,
    /// Both run.
    Allow,
    /// A slot that is made up for: it waits, however many there are.
    CatchUp,
}

/// A run that a firing should make.
#[derive(Debug, Clone)]
pub struct SlotRun {
    /// The run; its id is derived from trigger and slot.
    pub request: RunRequest,
    /// The slot.
    pub slot: Millis,
    /// When the run may start, if not at once.
    pub wake: Option<Millis>,
    /// What to do about other runs of the trigger.
    pub overlap: SlotOverlap,
}

/// What became of a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// Another scheduler was faster.
    Behind,
    /// It counted.
    Made {
        /// Runs made.
        runs: u64,
        /// Slots that made none because of `overlap`.
        skipped: u64,
    },
}

/// Members of a sorted set with their scores.
type Scored = Vec<(String, f64)>;

impl Store {
    /// The triggers of a partition that are due, and when the next one will be.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn due_triggers(
        &self,
        partition: u16,
        now: Millis,
    ) -> Result<(Vec<Due>, Option<Millis>), StoreError> {
        let key = format!("{}triggers", self.partition(partition));
        let mut pipe = redis::pipe();
        pipe.cmd("ZRANGEBYSCORE")
            .arg(&key)
            .arg("-inf")
            .arg(now.0)
            .arg("WITHSCORES")
            .arg("LIMIT")
            .arg(0)
            .arg(DUE_MAX);
        pipe.cmd("ZRANGEBYSCORE").arg(&key).arg(format!("({}", now.0)).arg("(+inf");
        pipe.arg("WITHSCORES").arg("LIMIT").arg(0).arg(1);
        let (due, next): (Scored, Scored) = pipe.query_async(&mut self.shared.clone()).await?;
        let due = due
            .into_iter()
            .filter_map(|(trigger, at)| Some(Due { trigger: trigger.parse().ok()?, at: Millis(at as i64) }));
        Ok((due.collect(), next.first().map(|(_, at)| Millis(*at as i64))))
    }

    /// Where a trigger is on the clock.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn trigger_state(
        &self,
        partition: u16,
        trigger: &TriggerId,
    ) -> Result<TriggerState, StoreError> {
        let key = format!("{}trigger:{trigger}", self.partition(partition));
        let fields: HashMap<String, String> =
            redis::cmd("HGETALL").arg(key).query_async(&mut self.shared.clone()).await?;
        let number = |name: &str| fields.get(name).and_then(|text| text.parse::<i64>().ok());
        let count =
            |name: &str| number(name).and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
        Ok(TriggerState {
            last_slot: number("last_slot").map(Millis),
            next: number("next").map(Millis),
            fired: number("fired").map(Millis),
            last_run: fields.get("last_run").cloned(),
            skipped: count("skipped"),
            missed: count("missed"),
        })
    }

    /// Every trigger that has a place on the clock, with the partition it is in.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn scheduled_triggers(&self) -> Result<Vec<(u16, TriggerId)>, StoreError> {
        let mut pipe = redis::pipe();
        for partition in 0..self.partitions {
            pipe.cmd("ZRANGE").arg(format!("{}triggers", self.partition(partition))).arg(0).arg(-1);
        }
        let answers: Vec<Vec<String>> = pipe.query_async(&mut self.shared.clone()).await?;
        let found = (0..self.partitions).zip(answers);
        let found = found.flat_map(|(partition, ids)| ids.into_iter().map(move |id| (partition, id)));
        Ok(found.filter_map(|(partition, id)| Some((partition, id.parse().ok()?))).collect())
    }

    /// Makes a trigger's place on the clock agree with its definition. `next` is `None` when it is disabled or
    /// has no further slot.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn schedule_trigger(
        &self,
        partition: u16,
        trigger: &TriggerId,
        revision: &str,
        next: Option<Millis>,
    ) -> Result<(), StoreError> {
        let mut call = self.scripts.schedule.key(self.partition(partition));
        call.arg(trigger.as_str())
            .arg(revision)
            .arg(next.map_or_else(String::new, |next| next.0.to_string()));
        self.call::<i64>(&call, PATIENCE).await.map(|_| ())
    }

    /// Takes a deleted trigger off the clock.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn unschedule_trigger(&self, partition: u16, trigger: &TriggerId) -> Result<(), StoreError> {
        let mut call = self.scripts.schedule.key(self.partition(partition));
        call.arg(trigger.as_str()).arg("").arg("");
        self.call::<i64>(&call, PATIENCE).await.map(|_| ())
    }

    /// Fires a trigger: makes the runs of its due slots, each once, if nobody else did.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn fire(
        &self,
        partition: u16,
        due: &Due,
        next: Option<Millis>,
        newest_slot: Millis,
        missed: u64,
        runs: &[SlotRun],
    ) -> Result<Fired, StoreError> {
        let prefix = self.partition(partition);
        let mut call = self.scripts.fire.key(&prefix);
        call.arg(due.trigger.as_str()).arg(due.at.0);
        call.arg(next.map_or_else(String::new, |next| next.0.to_string()));
        call.arg(newest_slot.0).arg(missed).arg(1).arg(BACKLOG_MAX);
        for run in runs {
            let request = &run.request;
            let (overlap, exclusive) = match run.overlap {
                SlotOverlap::Skip => ("skip", Exclusive::Yes),
                SlotOverlap::Queue => ("queue", Exclusive::Yes),
                SlotOverlap::Allow => ("allow", Exclusive::No),
                SlotOverlap::CatchUp => ("catch_up", Exclusive::Yes),
            };
            call.arg(request.id.to_string()).arg(request.account.as_str()).arg(keys::series(request));
            call.arg(mutex(request, exclusive)).arg(locks::key(request)).arg(request.created_at.0);
            call.arg(run.wake.map_or_else(String::new, |wake| wake.0.to_string()));
            call.arg(overlap).arg(run.slot.0).arg(to_json(request));
        }
        let answer: Vec<redis::Value> = self.call_safely(&prefix, &call, PATIENCE, Unconfirmed::Goes).await?;
        let count = |index: usize| -> u64 {
            answer
                .get(index)
                .cloned()
                .and_then(|value| redis::from_redis_value(value).ok())
                .unwrap_or_default()
        };
        let made = answer.len() == 3;
        Ok(if made { Fired::Made { runs: count(1), skipped: count(2) } } else { Fired::Behind })
    }
}
