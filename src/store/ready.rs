//! The ready stream from a worker's side: read an entry, claim its run.
//!
//! A blocking read has a connection of its own with a response time-out above its block time: on a shared
//! connection everybody else would wait, and after the client's default time-out the server would hand the
//! next entry to a reply that nobody reads.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use tracing::{debug, error, warn};
use uuid::Uuid;

use super::connection::Route;
use super::{PATIENCE, Store, StoreError, keys};
use crate::clock::{self, Millis};
use crate::id::RunId;
use crate::run::RunRequest;

/// How long one blocking read waits.
pub const BLOCK: Duration = Duration::from_secs(2);

/// How long a line that broke stays closed: an outage must not make a storm.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// How often Redis is asked to end a blocking read until it has.
const UNBLOCK_EVERY: Duration = Duration::from_millis(20);

/// How long an entry may stay read but unclaimed before another worker takes it over. A claim follows its read
/// within milliseconds.
const UNCLAIMED: Duration = Duration::from_secs(5);

/// How long a run waits that the worker which claimed it can't read: soon enough that a worker of the right version
/// finds it, and seldom enough that many such runs cost little.
const SET_ASIDE: Duration = Duration::from_secs(60);

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

/// A connection of its own that reads the ready streams of some partitions.
struct Line {
    partitions: Vec<u16>,
    /// Which partition comes first in the next turn.
    first: usize,
    open: Option<Open>,
    /// When it may be opened again after it broke.
    asleep_until: Option<Instant>,
}

/// An open line.
#[derive(Clone)]
struct Open {
    route: Route,
    connection: MultiplexedConnection,
    /// What Redis calls this connection.
    client: u64,
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
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl ReadyReader {
    /// A reader that appears in Redis as consumer `worker`.
    pub fn new(store: Store, worker: String) -> Self {
        let all: Vec<u16> = (0..store.partitions).collect();
        let lines =
            if store.hub.is_cluster() { all.chunks(1).map(<[u16]>::to_vec).collect() } else { vec![all] };
        let line = |partitions| Line { partitions, first: 0, open: None, asleep_until: None };
        Self { store, worker, lines: lines.into_iter().map(line).collect() }
    }

    /// Entries to claim, at most about `slots`: what is there now, else what comes within [`BLOCK`]. A blocking
    /// read may bring one entry of each partition at once; the caller gives back what it has no slot for.
    ///
    /// # Errors
    /// When no partition can be read. Those that can't are tried again a second later, with a new connection.
    pub async fn read(&mut self, slots: usize) -> Result<Vec<ReadyEntry>, StoreError> {
        // Another line goes first each time, so that a busy partition does not starve the others.
        self.lines.rotate_left(1);
        let (store, worker) = (&self.store, self.worker.as_str());
        let (mut found, mut error) = (Vec::new(), None);
        for line in &mut self.lines {
            match line.take(store, worker, slots - found.len()).await {
                Ok(entries) => found.extend(entries),
                Err(wrong) => error = Some(wrong),
            }
            if found.len() >= slots {
                return Ok(found);
            }
        }
        if found.is_empty() && self.lines.iter().any(|line| line.open.is_some()) {
            found = self.wait().await?;
            return Ok(found);
        }
        match error {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// Blocks on all lines at once until one of them has something, or [`BLOCK`] is over.
    async fn wait(&mut self) -> Result<Vec<ReadyEntry>, StoreError> {
        let (store, worker) = (&self.store, self.worker.as_str());
        let opened: Vec<Open> = self.lines.iter().filter_map(|line| line.open.clone()).collect();
        let lines = self.lines.iter_mut().filter(|line| line.open.is_some());
        let mut reads: FuturesUnordered<_> = lines.map(|line| line.block(store, worker)).collect();
        let (mut found, mut error, mut served) = (Vec::new(), None, false);
        while found.is_empty() {
            match reads.next().await {
                Some(Ok(entries)) => {
                    served = true;
                    found.extend(entries);
                }
                Some(Err(wrong)) => error = Some(wrong),
                None => break,
            }
        }
        // The others must not be handed what nobody has a slot for. A read that is cut off might be: so Redis is asked
        // to end it, again and again, as a read may not have begun when it is asked first.
        while !reads.is_empty() {
            for open in &opened {
                open.unblock().await;
            }
            let pause = tokio::time::sleep(UNBLOCK_EVERY);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    read = reads.next() => match read {
                        Some(entries) => found.extend(entries.unwrap_or_default()),
                        None => break,
                    },
                    () = &mut pause => break,
                }
            }
        }
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
        for partition in 0..self.store.partitions {
            let stream = self.store.ready_stream(partition);
            let mut command = redis::cmd("XAUTOCLAIM");
            command.arg(&stream).arg(keys::GROUP).arg(&self.worker);
            command.arg(u64::try_from(UNCLAIMED.as_millis()).unwrap_or(u64::MAX)).arg("0-0");
            command.arg("COUNT").arg(count.saturating_sub(found.len()).max(1));
            let mut connection = self.store.shared.clone();
            let answer: redis::RedisResult<redis::streams::StreamAutoClaimReply> =
                command.query_async(&mut connection).await;
            match answer {
                Ok(reply) => found.extend(reply.claimed.into_iter().filter_map(|id| {
                    let run = id.get::<String>("run")?.parse().ok()?;
                    Some(ReadyEntry { run, entry: id.id, partition })
                })),
                Err(wrong) if wrong.code() == Some("NOGROUP") => {
                    self.store.create_groups(&mut connection, &[partition]).await?
                }
                // A part of a cluster may be away: the others go on.
                Err(wrong) => error = Some(wrong),
            }
            if found.len() >= count {
                break;
            }
        }
        match error {
            Some(error) if found.is_empty() => Err(error.into()),
            _ => Ok(found),
        }
    }
}

impl Line {
    /// What is there now.
    async fn take(
        &mut self,
        store: &Store,
        worker: &str,
        slots: usize,
    ) -> Result<Vec<ReadyEntry>, StoreError> {
        if self.open.as_ref().is_some_and(|open| !store.hub.is_current(&open.route)) {
            self.open = None;
        }
        if self.open.is_none() && self.asleep_until.is_some_and(|until| clock::monotonic() < until) {
            return Ok(Vec::new());
        }
        self.first = (self.first + 1) % self.partitions.len().max(1);
        let mut order = self.partitions.clone();
        order.rotate_left(self.first);
        let mut found = Vec::new();
        for partition in order {
            found.extend(self.xreadgroup(store, worker, &[partition], slots - found.len(), None).await?);
            if found.len() >= slots {
                break;
            }
        }
        Ok(found)
    }

    /// What comes within [`BLOCK`].
    async fn block(&mut self, store: &Store, worker: &str) -> Result<Vec<ReadyEntry>, StoreError> {
        let mut order = self.partitions.clone();
        order.rotate_left(self.first);
        self.xreadgroup(store, worker, &order, 1, Some(BLOCK)).await
    }

    async fn xreadgroup(
        &mut self,
        store: &Store,
        worker: &str,
        partitions: &[u16],
        count: usize,
        block: Option<Duration>,
    ) -> Result<Vec<ReadyEntry>, StoreError> {
        let streams: Vec<String> =
            partitions.iter().map(|&partition| store.ready_stream(partition)).collect();
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(keys::GROUP).arg(worker).arg("COUNT").arg(count);
        if let Some(block) = block {
            command.arg("BLOCK").arg(u64::try_from(block.as_millis()).unwrap_or(u64::MAX));
        }
        command.arg("STREAMS").arg(&streams).arg(vec![">"; streams.len()]);
        let result = self.send(store, &command).await;
        if result.is_err() {
            // Whatever it was: an answer may still be under way on this connection.
            self.open = None;
            self.asleep_until = Some(clock::monotonic() + REOPEN_AFTER);
        }
        Ok(result?.map(|reply| entries(&streams, partitions, reply)).unwrap_or_default())
    }

    async fn send(
        &mut self,
        store: &Store,
        command: &redis::Cmd,
    ) -> Result<Option<StreamReadReply>, StoreError> {
        let mut open = self.open(store).await?;
        let answer = open.route.link.unless_superseded(command.query_async(&mut open.connection)).await;
        match answer {
            Ok(reply) => Ok(reply),
            Err(error) if error.code() == Some("NOGROUP") => {
                // New, or Redis lost it: made again wherever it is missed.
                store.create_groups(&mut open.connection, &self.partitions).await?;
                Ok(None)
            }
            Err(error) => {
                store.hub.note(&open.route, &error);
                Err(error.into())
            }
        }
    }

    async fn open(&mut self, store: &Store) -> Result<Open, StoreError> {
        if let Some(open) = &self.open {
            return Ok(open.clone());
        }
        let partition = self.partitions.first().copied().unwrap_or_default();
        let route =
            store.hub.route(super::connection::slot_of_key(store.partition(partition).as_bytes())).await?;
        let connect = async {
            let mut connection = route.link.dedicated(BLOCK).await?;
            let client: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await?;
            Ok((connection, client))
        };
        let connected = route.link.unless_superseded(connect).await;
        let (mut connection, client) = connected.inspect_err(|error| store.hub.note(&route, error))?;
        store.create_groups(&mut connection, &self.partitions).await?;
        Ok(self.open.insert(Open { route, connection, client }).clone())
    }
}

impl Open {
    /// Ends its blocking read, if it is in one.
    async fn unblock(&self) {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(self.client);
        let asked = async { command.query_async::<u64>(&mut self.route.link.shared().await?).await };
        if let Err(error) = asked.await {
            debug!(%error, node = self.route.link.name(), "a blocking read was not ended");
        }
    }
}

fn entries(streams: &[String], partitions: &[u16], reply: StreamReadReply) -> Vec<ReadyEntry> {
    let mut entries = Vec::new();
    for key in reply.keys {
        let Some(position) = streams.iter().position(|stream| *stream == key.key) else { continue };
        for id in key.ids {
            match id.get::<String>("run").and_then(|run| run.parse().ok()) {
                Some(run) => entries.push(ReadyEntry { run, entry: id.id, partition: partitions[position] }),
                None => warn!(stream = key.key, entry = id.id, "an entry without a run on the ready stream"),
            }
        }
    }
    entries
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
            let mut command = redis::cmd("XGROUP");
            command
                .arg("CREATE")
                .arg(self.ready_stream(*partition))
                .arg(keys::GROUP)
                .arg("0")
                .arg("MKSTREAM");
            match command.query_async::<()>(connection).await {
                Ok(()) => {}
                Err(error) if error.code() == Some("BUSYGROUP") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Claims the run of `entry`; `None` when the entry is stale.
    ///
    /// # Errors
    /// When Redis can't be reached, or what it holds can't be read.
    pub async fn claim(
        &self,
        entry: &ReadyEntry,
        worker: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let owner = Uuid::now_v7().simple().to_string();
        let mut call = self.scripts.claim.key(self.partition(entry.partition));
        call.arg(entry.run.to_string()).arg(&entry.entry).arg(worker).arg(&owner);
        call.arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let answer: Vec<redis::Value> = self.call(&call, PATIENCE).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        let epoch = answer.first().cloned().and_then(|value| String::from_redis_value(value).ok());
        match (parse_claim(owner.clone(), answer), epoch) {
            (Ok(claim), _) => Ok(Some(claim)),
            (Err(error), None) => Err(error),
            // A later version's, most likely. It must neither be lost nor keep this worker from other runs.
            (Err(error), Some(epoch)) => {
                error!(run = %entry.run, %error, "a run that this worker can't read waits for another worker");
                self.set_aside(entry.run, &epoch, &owner, &error.to_string()).await.map(|_| None)
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
        let line = serde_json::json!({ "what": "set aside", "note": reason }).to_string();
        let mut call = self.scripts.set_aside.key(self.of_run(run));
        call.arg(run.to_string()).arg(epoch).arg(owner);
        call.arg(u64::try_from(SET_ASIDE.as_millis()).unwrap_or(u64::MAX)).arg(reason).arg(line).arg(1);
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
    })
}
