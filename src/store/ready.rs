//! The ready stream from a worker's side: read an entry, claim its run.
//!
//! A blocking read has a connection of its own with a response time-out above its block time: on a shared
//! connection everybody else would wait, and after the client's default time-out the server would hand the
//! next entry to a reply that nobody reads.

mod line;

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use redis::FromRedisValue;
use tokio::time::{timeout, timeout_at};
use tracing::error;
use uuid::Uuid;

use super::locks::Kept;
use super::maintenance::CRASHES_MAX;
use super::{PATIENCE, Store, StoreError, keys};
use crate::clock::{self, Millis};
use crate::id::RunId;
use crate::run::RunRequest;

use line::{Line, Open};

/// How long one blocking read waits.
pub const BLOCK: Duration = Duration::from_secs(2);

/// How long one part of a cluster may keep a worker from the others.
const LAG_MAX: Duration = Duration::from_secs(1);

/// Where there is only one line, its connection's own time-outs are enough.
const ALONE: Duration = Duration::from_secs(24 * 3600);

/// How long Redis is asked to end a blocking read before its connection is cut.
const UNBLOCK_MAX: Duration = Duration::from_millis(200);

/// How often Redis is asked to end a blocking read until it has.
const UNBLOCK_EVERY: Duration = Duration::from_millis(20);

/// How long an entry may stay read but unclaimed before another worker takes it over. A claim follows its read
/// within milliseconds.
const UNCLAIMED: Duration = Duration::from_secs(5);

/// How long a run waits that the worker which claimed it can't read: soon enough that a worker of the right version
/// finds it, and seldom enough that many such runs cost little.
const SET_ASIDE: Duration = Duration::from_secs(60);

/// How long a run waits that can't find out whether it is the only one with its key, as a part of Redis is away.
const KEY_UNKNOWN: Duration = Duration::from_secs(5);

/// How long a run that has not begun waits while Redis' memory is full, before it is looked at again.
const FULL_WAIT: Duration = Duration::from_secs(10);

/// Why it does, for whoever looks at the run.
const FULL_REASON: &str = "Redis' memory is full, so nothing new starts: raise its maxmemory, or keep less (settings \
                           retention.finished_runs, retention.finished_runs_max, stage.total_bytes_max)";

/// A run on the ready stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyEntry {
    /// The run.
    pub run: RunId,
    /// The stream entry's id.
    pub entry: String,
    partition: u16,
}

/// A reader of all ready streams, for one worker.
#[derive(Debug)]
pub struct ReadyReader {
    store: Store,
    worker: String,
    /// One for all partitions; in a cluster, where a command names keys of one slot only, one for each.
    lines: Vec<Line>,
}

/// A claimed run with everything a worker needs to go on with it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// What was asked for.
    pub request: RunRequest,
    /// The fencing token; grows with every claim.
    pub epoch: u64,
    /// The nonce of this claim.
    pub owner: String,
    /// Number of the last checkpoint written.
    pub rev: u64,
    /// Which attempt of the run this is.
    pub attempt: u32,
    /// The checkpoint, if it was ever started.
    pub checkpoint: Option<Vec<u8>>,
    /// The stages the checkpoint names.
    pub stages: Vec<(String, Vec<u8>)>,
    /// A stop request.
    pub stop: Option<String>,
    /// Why the run must not be tried again, if it ended too many workers.
    pub poison: Option<String>,
    /// Generation of the account's gate, and when it opens.
    pub gate: (u64, Millis),
    /// Redis' clock at the claim.
    pub now: Millis,
    /// The start of the newest completed run of this job and account.
    pub watermark: Option<Millis>,
    /// Bytes that the partition's other runs keep staged.
    pub staged_by_others: u64,
    /// How many claims in a row ended in a crash, without a checkpoint between.
    pub crashes: u32,
    /// What the run knows of the key it needs (its `mutex_key`).
    pub key: Option<HeldKey>,
}

/// A key that a run was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldKey {
    /// When, by the clock of the key's slot in microseconds.
    pub ticket: u64,
    /// Whether it was found to be the only run that has it.
    pub is_only: bool,
}

impl Claim {
    /// Whether this run may be what ended its workers: it must run alone, so that the next crash tells.
    pub fn is_suspect(&self) -> bool {
        self.crashes >= SUSPECT_CRASHES
    }
}

/// Crashes in a row that make a run a suspect. Not the first: every run of a killed worker has that one, and to run all
/// of them alone would serialise each ordinary recovery. One before the last: that one must happen alone.
const SUSPECT_CRASHES: u32 = CRASHES_MAX - 1;

impl ReadyReader {
    /// A reader that appears in Redis as consumer `worker`.
    pub fn new(store: Store, worker: String) -> Self {
        let all: Vec<u16> = (0..store.partitions).collect();
        let lines =
            if store.hub.is_cluster() { all.chunks(1).map(<[u16]>::to_vec).collect() } else { vec![all] };
        Self { store, worker, lines: lines.into_iter().map(Line::new).collect() }
    }

    /// Entries to claim, at most about `slots`: what is there now, else what comes within [`BLOCK`]. A blocking
    /// read may bring one entry of each partition at once; the caller gives back what it has no slot for.
    ///
    /// # Errors
    /// When no partition can be read. Those that can't are tried again a second later, with a new connection.
    pub async fn read(&mut self, slots: usize) -> Result<Vec<ReadyEntry>, StoreError> {
        let result = self.try_read(slots).await;
        if let Err(error) = &result {
            self.store.outage.failed(error);
        }
        result
    }

    async fn try_read(&mut self, slots: usize) -> Result<Vec<ReadyEntry>, StoreError> {
        // Another line goes first each time, so that a busy partition does not starve the others.
        self.lines.rotate_left(1);
        let (store, worker, lag) = (&self.store, self.worker.as_str(), self.lag());
        let opened = join_all(self.lines.iter_mut().map(|line| line.ready(store, lag))).await;
        let mut error = opened.into_iter().find_map(Result::err);
        let mut found = Vec::new();
        for line in self.lines.iter_mut().filter(|line| line.is_open()) {
            match line.take(store, worker, slots - found.len(), lag).await {
                Ok(entries) => found.extend(entries),
                Err(wrong) => error = Some(wrong),
            }
            if found.len() >= slots {
                return Ok(found);
            }
        }
        if found.is_empty() && self.lines.iter().any(Line::is_open) {
            return self.wait().await;
        }
        match error {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// How long a line may keep the others waiting.
    fn lag(&self) -> Duration {
        if self.lines.len() > 1 { LAG_MAX } else { ALONE }
    }

    /// Blocks on all lines at once until one of them has something, or [`BLOCK`] is over.
    async fn wait(&mut self) -> Result<Vec<ReadyEntry>, StoreError> {
        let (store, worker, lag) = (&self.store, self.worker.as_str(), self.lag());
        let mut lines: Vec<&mut Line> = self.lines.iter_mut().filter(|line| line.is_open()).collect();
        let opened: Vec<Option<Open>> = lines.iter().map(|line| line.open()).collect();
        let mut is_over = vec![false; lines.len()];
        let (mut found, mut error, mut served) = (Vec::new(), None, false);
        let reads = lines.iter_mut().enumerate();
        let reads = reads.map(async |(index, line)| (index, line.block(store, worker).await));
        let mut reads: FuturesUnordered<_> = reads.collect();
        let deadline = clock::monotonic() + BLOCK + lag;
        while found.is_empty()
            && let Ok(Some((index, read))) = timeout_at(deadline.into(), reads.next()).await
        {
            is_over[index] = true;
            match read {
                Ok(entries) => {
                    served = true;
                    found.extend(entries);
                }
                Err(wrong) => error = Some(wrong),
            }
        }
        // The others must not be handed what nobody has a slot for. A read that is cut off might be: so Redis is asked
        // to end it, again and again, as a read may not have begun when it is asked first.
        let deadline = clock::monotonic() + UNBLOCK_MAX;
        while !reads.is_empty() && clock::monotonic() < deadline {
            for (open, _) in opened.iter().zip(&is_over).filter(|(_, is_over)| !**is_over) {
                open.iter().for_each(Open::unblock);
            }
            let pause = clock::monotonic() + UNBLOCK_EVERY;
            while let Ok(Some((index, read))) = timeout_at(pause.into(), reads.next()).await {
                is_over[index] = true;
                found.extend(read.unwrap_or_default());
            }
        }
        drop(reads);
        lines.iter_mut().zip(is_over).filter(|(_, is_over)| !is_over).for_each(|(line, _)| line.close());
        match error {
            Some(error) if !served && found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// Takes over entries that a worker read and did not claim, because it died in between.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn recover(&mut self, count: usize) -> Result<Vec<ReadyEntry>, StoreError> {
        let (mut found, mut error) = (Vec::new(), None);
        let lag = self.lag();
        let looks = (0..self.store.partitions).map(async |partition| {
            let look = timeout(lag, self.recover_in(partition, count)).await;
            look.unwrap_or_else(|_| Err(StoreError::Unreachable("a ready stream did not answer".to_owned())))
        });
        for look in join_all(looks).await {
            match look {
                Ok(entries) => found.extend(entries),
                // A part of a cluster may be away: the others go on.
                Err(wrong) => error = Some(wrong),
            }
        }
        match error {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    async fn recover_in(&self, partition: u16, count: usize) -> Result<Vec<ReadyEntry>, StoreError> {
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(self.store.ready_stream(partition)).arg(keys::GROUP).arg(&self.worker);
        command.arg(u64::try_from(UNCLAIMED.as_millis()).unwrap_or(u64::MAX)).arg("0-0");
        command.arg("COUNT").arg(count.max(1));
        let mut connection = self.store.shared.clone();
        let answer: redis::RedisResult<redis::streams::StreamAutoClaimReply> =
            command.query_async(&mut connection).await;
        match answer {
            Ok(reply) => {
                let entry = |id: redis::streams::StreamId| {
                    let run = id.get::<String>("run")?.parse().ok()?;
                    Some(ReadyEntry { run, entry: id.id, partition })
                };
                Ok(reply.claimed.into_iter().filter_map(entry).collect())
            }
            Err(error) if error.code() == Some("NOGROUP") => {
                self.store.create_groups(&mut connection, &[partition]).await?;
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Store {
    fn ready_stream(&self, partition: u16) -> String {
        format!("{}ready", self.partition(partition))
    }

    async fn create_groups(
        &self,
        connection: &mut impl redis::aio::ConnectionLike,
        partitions: &[u16],
    ) -> Result<(), StoreError> {
        for partition in partitions {
            let call = self.scripts.group.key(self.partition(*partition));
            call.invoke_async::<()>(connection).await?;
        }
        Ok(())
    }

    /// Claims the run of `entry`; `None` when the entry is stale. While Redis' memory is full only a run that has begun
    /// can be claimed: it alone can free what it keeps there.
    ///
    /// # Errors
    /// When Redis can't be reached, what it holds can't be read, or its memory is full and the run has not begun, which
    /// then is parked.
    pub async fn claim(
        &self,
        entry: &ReadyEntry,
        worker: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let owner = Uuid::now_v7().simple().to_string();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let fill = |call: &mut redis::ScriptInvocation<'_>| {
            call.arg(entry.run.to_string()).arg(&entry.entry).arg(worker).arg(&owner);
            call.arg(millis(lease)).arg(SUSPECT_CRASHES);
        };
        let mut call = self.scripts.claim.key(self.partition(entry.partition));
        fill(&mut call);
        let claimed: Result<Vec<redis::Value>, _> = self.call(&call, PATIENCE).await;
        let answer = match claimed {
            Err(full @ StoreError::Full(_)) => {
                let mut begun = self.scripts.claim_begun.key(self.partition(entry.partition));
                fill(&mut begun);
                begun.arg(millis(FULL_WAIT)).arg(FULL_REASON);
                let answer: Vec<redis::Value> = self.call(&begun, PATIENCE).await?;
                // One value alone says that the run waits.
                if answer.len() == 1 {
                    return Err(full);
                }
                answer
            }
            claimed => claimed?,
        };
        if answer.is_empty() {
            return Ok(None);
        }
        let epoch = answer.first().cloned().and_then(|value| String::from_redis_value(value).ok());
        match (parse_claim(owner.clone(), answer), epoch) {
            (Ok(claim), _) => self.with_key(entry, claim).await,
            (Err(error), None) => Err(error),
            // A later version's, most likely. It must neither be lost nor keep this worker from other runs.
            (Err(error), Some(epoch)) => {
                error!(run = %entry.run, %error, "a run that this worker can't read waits for another worker");
                self.set_aside(entry.run, &epoch, &owner, &error.to_string()).await.map(|_| None)
            }
        }
    }

    /// A claim whose run may go on with the key it needs.
    async fn with_key(&self, entry: &ReadyEntry, claim: Claim) -> Result<Option<Claim>, StoreError> {
        match self.keep_key(entry, &claim).await {
            Kept::Yes => Ok(Some(claim)),
            Kept::No => Ok(None),
            Kept::Unknown(error) => {
                let reason = format!("can't tell whether another run has its mutex: {error}");
                let epoch = claim.epoch.to_string();
                self.wait_a_while(entry.run, &epoch, &claim.owner, &reason, KEY_UNKNOWN).await.map(|_| None)
            }
        }
    }

    /// Lets a claimed run that this worker can't read wait for one that can, as it is. False when it has another
    /// owner.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn set_aside(
        &self,
        run: RunId,
        epoch: &str,
        owner: &str,
        reason: &str,
    ) -> Result<bool, StoreError> {
        self.wait_a_while(run, epoch, owner, reason, SET_ASIDE).await
    }

    async fn wait_a_while(
        &self,
        run: RunId,
        epoch: &str,
        owner: &str,
        reason: &str,
        wait: Duration,
    ) -> Result<bool, StoreError> {
        let line = serde_json::json!({ "what": "set aside", "note": reason }).to_string();
        let mut call = self.scripts.set_aside.key(self.of_run(run));
        call.arg(run.to_string()).arg(epoch).arg(owner);
        call.arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)).arg(reason).arg(line).arg(1);
        Ok(self.call::<String>(&call, PATIENCE).await? == "ok")
    }

    /// Puts an entry that was read but can't be claimed for want of a slot back on the stream.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn give_back(&self, entry: &ReadyEntry) -> Result<(), StoreError> {
        let mut call = self.scripts.give_back.key(self.partition(entry.partition));
        call.arg(entry.run.to_string()).arg(&entry.entry);
        self.call::<i64>(&call, PATIENCE).await.map(|_| ())
    }
}

fn parse_claim(owner: String, answer: Vec<redis::Value>) -> Result<Claim, StoreError> {
    fn take<T: FromRedisValue>(
        parts: &mut impl Iterator<Item = redis::Value>,
        what: &str,
    ) -> Result<T, StoreError> {
        let value = parts.next().ok_or_else(|| StoreError::Damaged(format!("a claim without {what}")))?;
        T::from_redis_value(value).map_err(|error| StoreError::Damaged(format!("{what} of a claim: {error}")))
    }
    let mut parts = answer.into_iter();
    let epoch = take(&mut parts, "epoch")?;
    let rev = take(&mut parts, "rev")?;
    let attempt = take(&mut parts, "attempt")?;
    let request: String = take(&mut parts, "request")?;
    let checkpoint: Vec<u8> = take(&mut parts, "checkpoint")?;
    let stop: String = take(&mut parts, "stop")?;
    let poison: String = take(&mut parts, "poison")?;
    let generation = take(&mut parts, "gate generation")?;
    let opens = take(&mut parts, "gate opens")?;
    let now = take(&mut parts, "now")?;
    let watermark: String = take(&mut parts, "watermark")?;
    let staged_by_others: i64 = take(&mut parts, "staged bytes")?;
    let crashes = take(&mut parts, "crashes")?;
    let ticket: String = take(&mut parts, "ticket")?;
    let held: String = take(&mut parts, "what is known of its key")?;
    let mut stages = Vec::new();
    while let Some(name) = parts.next() {
        let name = String::from_redis_value(name).map_err(|error| StoreError::Damaged(error.to_string()))?;
        stages.push((name, take(&mut parts, "stage")?));
    }
    Ok(Claim {
        request: RunRequest::read(&request).map_err(|error| StoreError::Damaged(error.to_string()))?,
        epoch,
        owner,
        rev,
        attempt,
        checkpoint: (!checkpoint.is_empty()).then_some(checkpoint),
        stages,
        stop: (!stop.is_empty()).then_some(stop),
        poison: (!poison.is_empty()).then_some(poison),
        gate: (generation, Millis(opens)),
        now: Millis(now),
        watermark: watermark.parse().ok().map(Millis),
        staged_by_others: u64::try_from(staged_by_others).unwrap_or_default(),
        crashes,
        key: ticket.parse().ok().map(|ticket| HeldKey { ticket, is_only: held == "1" }),
    })
}
