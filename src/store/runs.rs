//! Runs from outside: enqueue, look at, list, stop, resume.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tracing::warn;

use super::{PATIENCE, Store, StoreError, Unconfirmed, keys, locks};
use crate::clock::Millis;
use crate::id::{AccountId, JobId, RunId};
use crate::json::Json;
use crate::run::{Outcome, Progress, RunRequest, Status};

/// The most runs of one account that may wait for a slot. A schedule faster than its runs would fill Redis.
pub const BACKLOG_MAX: usize = 10_000;

/// How long a client's idempotency key stands for the run it made.
pub const IDEMPOTENCY_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Runs looked at for one page of a filtered list; a page may be short, its cursor goes on.
const LIST_LOOKS_MAX: usize = 2_000;

/// Live runs that are read by one command.
const LIVE_BATCH: usize = 500;

/// What became of a request to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// It was accepted.
    Created(RunId),
    /// The same id or idempotency key was accepted before.
    Exists(RunId),
    /// The account has too many runs waiting.
    Full {
        /// How many.
        waiting: u64,
    },
}

/// Whether runs of one job and account may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusive {
    /// They wait for each other.
    Yes,
    /// They may overlap.
    No,
}

/// What became of a request to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// There is no such run.
    Missing,
    /// It had ended before.
    Ended(String),
    /// Its outcome is decided; only its last event is still under way.
    Decided,
    /// It will stop after the delivery in flight.
    Requested,
    /// It had not started and is stopped.
    Now,
}

/// What became of a request to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumed {
    /// There is no such run.
    Missing,
    /// Only failed and stopped runs can be resumed.
    Unfit(String),
    /// Its checkpoint is no longer kept: replay it.
    Gone,
    /// The next attempt is under way.
    Attempt(u32),
}

/// A run as the API shows it.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// What was asked for.
    pub request: RunRequest,
    /// Where it stands.
    pub status: Status,
    /// Which of the places it is in.
    pub place: String,
    /// The worker that has it.
    pub worker: Option<String>,
    /// The newest claim's fencing token.
    pub epoch: u64,
    /// Which attempt it is.
    pub attempt: u32,
    /// Crashes since the last checkpoint.
    pub crashes: u32,
    /// When it wakes, if it is parked.
    pub wake: Option<Millis>,
    /// Why it is parked.
    pub reason: Option<String>,
    /// The key it waits for, and who has that; absent when it doesn't.
    pub waits_for: Option<WaitsFor>,
    /// A stop request under way.
    pub stop: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Whether its terminal event could not be delivered.
    pub terminal_undelivered: bool,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// When anything about it changed last.
    pub updated_at: Millis,
    /// Whether its checkpoint and stages are still there.
    pub is_resumable: bool,
    /// What it did so far.
    pub progress: Progress,
    /// Pages acknowledged by the first webhook.
    pub seq: u64,
}

/// What a run waits for whose key (its `mutex_key`) another one has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitsFor {
    /// The key.
    pub key: String,
    /// The run that has it; unknown while it is handed over.
    pub holder: Option<RunId>,
}

/// Which runs a list should show.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only of this job.
    pub job: Option<JobId>,
    /// Only of this account.
    pub account: Option<AccountId>,
    /// Only of this trigger.
    pub trigger: Option<crate::id::TriggerId>,
    /// Only with this status.
    pub status: Option<Status>,
}

/// One page of a list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunRecord>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// One line of a run's log.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct LogEntry(pub Json);

impl Store {
    /// Accepts a run.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn enqueue(
        &self,
        request: &RunRequest,
        exclusive: Exclusive,
        idempotency_key: Option<&str>,
    ) -> Result<Enqueued, StoreError> {
        let prefix = self.of_run(request.id);
        let mut call = self.scripts.enqueue.key(&prefix);
        call.arg(request.id.to_string()).arg(request.account.as_str()).arg(keys::series(request));
        call.arg(mutex(request, exclusive)).arg(locks::key(request));
        call.arg(request.slot.as_ref().map_or("", |slot| slot.trigger.as_str()));
        call.arg(request.created_at.0).arg("").arg(to_json(request));
        call.arg(idempotency_key.unwrap_or_default());
        call.arg(u64::try_from(IDEMPOTENCY_LIFE.as_millis()).unwrap_or(u64::MAX)).arg(BACKLOG_MAX).arg(1);
        let (what, detail): (String, String) =
            self.call_safely(&prefix, &call, PATIENCE, Unconfirmed::Fails).await?;
        if !locks::key(request).is_empty()
            && let Err(error) = self.run_errands(request.id.partition() % self.partitions.max(1)).await
        {
            // It was accepted; whoever tends asks for its key.
            error.report("its mutex was not asked for yet");
        }
        match what.as_str() {
            "full" => Ok(Enqueued::Full { waiting: detail.parse().unwrap_or_default() }),
            "created" => Ok(Enqueued::Created(request.id)),
            _ => detail
                .parse()
                .map(Enqueued::Exists)
                .map_err(|_| StoreError::Damaged(format!("{detail:?} is no run id"))),
        }
    }

    /// Looks a run up; `None` when there is none.
    ///
    /// # Errors
    /// When Redis can't be reached, or what it holds can't be read.
    pub async fn run(&self, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        let key = format!("{}run:{run}", self.of_run(run));
        let mut connection = self.pooled().await?;
        let fields: HashMap<String, String> =
            redis::cmd("HGETALL").arg(key).query_async(&mut connection).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        let mut record = record(&fields)?;
        self.add_holders([&mut record]).await?;
        Ok(Some(record))
    }

    /// Says of runs that wait for a key who has it.
    async fn add_holders<'r>(
        &self,
        records: impl IntoIterator<Item = &'r mut RunRecord>,
    ) -> Result<(), StoreError> {
        let mut waits: Vec<&mut WaitsFor> =
            records.into_iter().filter_map(|record| record.waits_for.as_mut()).collect();
        let keys: Vec<String> = waits.iter().map(|waits| waits.key.clone()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let holders = self.key_holders(&keys).await?;
        waits.iter_mut().zip(holders).for_each(|(waits, holder)| waits.holder = holder);
        Ok(())
    }

    /// A run's log, the oldest line first.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn run_log(&self, run: RunId) -> Result<Vec<LogEntry>, StoreError> {
        let key = format!("{}log:{run}", self.of_run(run));
        let mut connection = self.pooled().await?;
        let lines: Vec<String> =
            redis::cmd("LRANGE").arg(key).arg(0).arg(-1).query_async(&mut connection).await?;
        Ok(lines.iter().filter_map(|line| Json::parse(line).ok()).map(LogEntry).collect())
    }

    /// One page of runs, the newest first. `cursor` is what the page before said.
    ///
    /// # Errors
    /// When Redis can't be reached, or `cursor` is none of ours (`Unfit`).
    pub async fn runs(
        &self,
        filter: &RunFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<RunPage, StoreError> {
        let mut position = cursor.map(Position::parse).transpose()?;
        let mut page = RunPage::default();
        let mut looks = 0;
        loop {
            let ids = self.newest(filter, position.as_ref(), limit.max(1)).await?;
            let exhausted = ids.len() < limit.max(1);
            let records = self.records(&ids).await?;
            for (at, record) in ids.into_iter().zip(records) {
                looks += 1;
                page.runs.extend(record.filter(|record| filter.matches(record)));
                position = Some(at);
                if page.runs.len() >= limit || looks >= LIST_LOOKS_MAX {
                    page.next = position.map(|position| position.to_string());
                    return Ok(page);
                }
            }
            if exhausted {
                return Ok(page);
            }
        }
    }

    /// What was asked for of every run of a partition that has not ended.
    ///
    /// # Errors
    /// When Redis can't be reached, or what it holds can't be read.
    pub async fn live_runs(&self, partition: u16) -> Result<Vec<RunRequest>, StoreError> {
        let prefix = self.partition(partition);
        let mut connection = self.pooled().await?;
        let (mut cursor, mut found, mut seen) = ("0".to_owned(), Vec::new(), HashSet::new());
        loop {
            let mut scan = redis::cmd("SSCAN");
            scan.arg(format!("{prefix}live")).arg(&cursor).arg("COUNT").arg(LIVE_BATCH);
            let (next, mut ids): (String, Vec<String>) = scan.query_async(&mut connection).await?;
            // A scan may bring a member twice.
            ids.retain(|id| seen.insert(id.clone()));
            let mut pipe = redis::pipe();
            for id in &ids {
                pipe.cmd("HGET").arg(format!("{prefix}run:{id}")).arg("request");
            }
            if !ids.is_empty() {
                let requests: Vec<Option<String>> = pipe.query_async(&mut connection).await?;
                for request in requests.into_iter().flatten() {
                    let damaged =
                        |error| StoreError::Damaged(format!("a run's request can't be read: {error}"));
                    found.push(serde_json::from_str(&request).map_err(damaged)?);
                }
            }
            if next == "0" {
                return Ok(found);
            }
            cursor = next;
        }
    }

    async fn records(&self, ids: &[Position]) -> Result<Vec<Option<RunRecord>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for at in ids {
            pipe.cmd("HGETALL").arg(format!("{}run:{}", self.of_run(at.run), at.run));
        }
        let mut connection = self.pooled().await?;
        let answers: Vec<HashMap<String, String>> = pipe.query_async(&mut connection).await?;
        let mut records: Vec<Option<RunRecord>> = answers
            .iter()
            .zip(ids)
            .map(|(fields, at)| {
                let unreadable = |error: &StoreError| {
                    warn!(run = %at.run, %error, "left out of the list: a later version's, or damaged");
                };
                // One run that can't be read must not hide all others.
                if fields.is_empty() { None } else { record(fields).inspect_err(unreadable).ok() }
            })
            .collect();
        self.add_holders(records.iter_mut().flatten()).await?;
        Ok(records)
    }

    /// The ids of the next `limit` runs after `position` over all partitions, merged by time.
    async fn newest(
        &self,
        filter: &RunFilter,
        position: Option<&Position>,
        limit: usize,
    ) -> Result<Vec<Position>, StoreError> {
        let partitions = match &filter.account {
            Some(account) => vec![account.partition(self.partitions)],
            None => (0..self.partitions).collect(),
        };
        let highest = position.map_or_else(|| "+inf".to_owned(), |position| position.created.to_string());
        let mut pipe = redis::pipe();
        for partition in &partitions {
            // Runs of the same millisecond as the position come again and are left out below.
            let key = format!("{}runs", self.partition(*partition));
            pipe.cmd("ZREVRANGEBYSCORE").arg(key).arg(&highest).arg("-inf");
            pipe.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit + SAME_MILLISECOND_MAX);
        }
        let mut connection = self.pooled().await?;
        let answers: Vec<Vec<(String, f64)>> = pipe.query_async(&mut connection).await?;
        let mut found: Vec<Position> = answers
            .into_iter()
            .flatten()
            .filter_map(|(run, created)| Some(Position { created: created as i64, run: run.parse().ok()? }))
            .filter(|at| position.is_none_or(|position| at < position))
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(limit);
        Ok(found)
    }

    /// Asks for a run to stop.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn stop(&self, run: RunId, reason: &str) -> Result<Stopped, StoreError> {
        let outcome = Outcome {
            status: Status::Stopped,
            reason: Some(reason.to_owned()),
            code: Some("stopped".to_owned()),
        };
        let prefix = self.of_run(run);
        let mut call = self.scripts.stop.key(&prefix);
        call.arg(run.to_string()).arg(reason).arg(to_json(&outcome)).arg(nonce());
        let answer: Vec<String> = self.call_safely(&prefix, &call, PATIENCE, Unconfirmed::Fails).await?;
        Ok(match answer.first().map(String::as_str) {
            Some("missing") => Stopped::Missing,
            Some("ended") => Stopped::Ended(answer.get(1).cloned().unwrap_or_default()),
            Some("decided") => Stopped::Decided,
            Some("stopped") => Stopped::Now,
            _ => Stopped::Requested,
        })
    }

    /// Opens the next attempt of a failed or stopped run, if it ended no longer than `resumable` ago.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn resume(&self, run: RunId, resumable: Duration) -> Result<Resumed, StoreError> {
        let prefix = self.of_run(run);
        let mut call = self.scripts.resume.key(&prefix);
        call.arg(run.to_string())
            .arg(u64::try_from(resumable.as_millis()).unwrap_or(u64::MAX))
            .arg(1)
            .arg(nonce());
        let answer: Vec<redis::Value> =
            self.call_safely(&prefix, &call, PATIENCE, Unconfirmed::Fails).await?;
        let text = |index: usize| -> String {
            answer
                .get(index)
                .cloned()
                .and_then(|value| redis::from_redis_value(value).ok())
                .unwrap_or_default()
        };
        Ok(match text(0).as_str() {
            "missing" => Resumed::Missing,
            "unfit" => Resumed::Unfit(text(1)),
            "gone" => Resumed::Gone,
            _ => Resumed::Attempt(text(1).parse().unwrap_or(1)),
        })
    }
}

/// How many runs of one partition may share a millisecond and still be listed without a gap.
const SAME_MILLISECOND_MAX: usize = 500;

/// A run's place in the list of all runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    created: i64,
    run: RunId,
}

impl Position {
    fn parse(text: &str) -> Result<Self, StoreError> {
        let read = || {
            let (created, run) = text.split_once('~')?;
            Some(Self { created: created.parse().ok()?, run: run.parse().ok()? })
        };
        read().ok_or_else(|| {
            StoreError::Unfit(format!("{text:?} is no cursor of this list; leave it out to start over"))
        })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}~{}", self.created, self.run)
    }
}

impl RunFilter {
    fn matches(&self, record: &RunRecord) -> bool {
        let trigger = record.request.slot.as_ref().map(|slot| &slot.trigger);
        self.job.as_ref().is_none_or(|job| *job == record.request.job)
            && self.account.as_ref().is_none_or(|account| *account == record.request.account)
            && self.trigger.as_ref().is_none_or(|wanted| Some(wanted) == trigger)
            && self.status.is_none_or(|status| status == record.status)
    }
}

pub(super) fn mutex(request: &RunRequest, exclusive: Exclusive) -> String {
    match exclusive {
        Exclusive::Yes if !request.force => keys::overlap_mutex(&request.job, &request.account),
        Exclusive::Yes | Exclusive::No => String::new(),
    }
}

/// Tells the repetition of a call whose answer was lost from another call.
fn nonce() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn record(fields: &HashMap<String, String>) -> Result<RunRecord, StoreError> {
    let text = |name: &str| fields.get(name).filter(|text| !text.is_empty()).cloned();
    let number = |name: &str| fields.get(name).and_then(|text| text.parse::<i64>().ok());
    let damaged = |what: &str| StoreError::Damaged(format!("a run's {what} can't be read"));
    let request: RunRequest = text("request")
        .and_then(|text| serde_json::from_str(&text).ok())
        .ok_or_else(|| damaged("request"))?;
    // The checkpoint belongs to the engine; only its progress is part of a run's public face.
    let checkpoint: Value =
        text("checkpoint").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let progress = serde_json::from_value(checkpoint["progress"].clone()).unwrap_or_default();
    Ok(RunRecord {
        status: text("status").and_then(|text| text.parse().ok()).ok_or_else(|| damaged("status"))?,
        place: text("place").unwrap_or_default(),
        worker: text("worker"),
        epoch: text("epoch").and_then(|text| text.parse().ok()).unwrap_or_default(),
        attempt: number("attempt").and_then(|number| number.try_into().ok()).unwrap_or(1),
        crashes: number("crashes").and_then(|number| number.try_into().ok()).unwrap_or_default(),
        wake: number("wake").map(Millis),
        reason: text("reason"),
        waits_for: text("waits")
            .and_then(|_| text("key"))
            .map(|key| WaitsFor { key, holder: None })
            .filter(|_| text("place").is_some_and(|place| place == "waiting")),
        stop: text("stop"),
        outcome: text("outcome").and_then(|text| serde_json::from_str(&text).ok()),
        terminal_undelivered: checkpoint["terminal_undelivered"].as_bool().unwrap_or_default(),
        finished_at: number("finished").map(Millis),
        updated_at: number("updated").map(Millis).unwrap_or(request.created_at),
        is_resumable: !fields.contains_key("stripped"),
        seq: checkpoint["destinations"][0]["seq"].as_u64().unwrap_or_default(),
        progress,
        request,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_round_trips_and_nonsense_is_refused() {
        let position = Position { created: 1_769_846_400_007, run: RunId::new(3) };
        assert_eq!(Position::parse(&position.to_string()).unwrap(), position);
        for text in ["", "1", "~", "1~x", "x~y"] {
            assert!(Position::parse(text).is_err(), "{text:?}");
        }
    }
}
