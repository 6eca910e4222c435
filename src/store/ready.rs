//! The ready stream from a worker's side: read an entry, claim its run.
//!
//! A blocking read has a connection of its own with a response time-out above its block time: on a shared
//! connection everybody else would wait, and after the client's default time-out the server would hand the
//! next entry to a reply that nobody reads.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use redis::{AsyncConnectionConfig, FromRedisValue};
use tracing::warn;
use uuid::Uuid;

use super::maintenance::CRASHES_MAX;
use super::{PATIENCE, Store, StoreError, keys};
use crate::clock::Millis;
use crate::id::RunId;
use crate::run::RunRequest;

/// How long one blocking read waits.
pub const BLOCK: Duration = Duration::from_secs(2);

/// How long an entry may stay read but unclaimed before another worker takes it over. A claim follows its read
/// within milliseconds.
const UNCLAIMED: Duration = Duration::from_secs(5);

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
    connection: Option<MultiplexedConnection>,
    first: u16,
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
        Self { store, worker, connection: None, first: 0 }
    }

    /// Entries to claim, at most about `slots`: what is there now, else what comes within [`BLOCK`]. A blocking
    /// read may bring one entry of each partition at once; the caller gives back what it has no slot for.
    ///
    /// # Errors
    /// When Redis can't be reached. The connection is made anew by the next call.
    pub async fn read(&mut self, slots: usize) -> Result<Vec<ReadyEntry>, StoreError> {
        let result = self.try_read(slots).await;
        if let Err(error) = &result {
            self.store.outage.failed(error);
            self.connection = None;
        }
        result
    }

    async fn try_read(&mut self, slots: usize) -> Result<Vec<ReadyEntry>, StoreError> {
        let partitions = self.store.partitions;
        self.first = (self.first + 1) % partitions.max(1);
        let order: Vec<u16> = (0..partitions).map(|offset| (self.first + offset) % partitions).collect();
        let mut found = Vec::new();
        for &partition in &order {
            found.extend(self.xreadgroup(&[partition], slots - found.len(), None).await?);
            if found.len() >= slots {
                return Ok(found);
            }
        }
        if found.is_empty() {
            found = self.xreadgroup(&order, 1, Some(BLOCK)).await?;
        }
        Ok(found)
    }

    async fn xreadgroup(
        &mut self,
        partitions: &[u16],
        count: usize,
        block: Option<Duration>,
    ) -> Result<Vec<ReadyEntry>, StoreError> {
        let streams: Vec<String> =
            partitions.iter().map(|&partition| self.store.ready_stream(partition)).collect();
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(keys::GROUP).arg(&self.worker).arg("COUNT").arg(count);
        if let Some(block) = block {
            command.arg("BLOCK").arg(u64::try_from(block.as_millis()).unwrap_or(u64::MAX));
        }
        command.arg("STREAMS").arg(&streams).arg(vec![">"; streams.len()]);
        let mut connection = self.connection().await?;
        let answer: Result<Option<StreamReadReply>, _> = command.query_async(&mut connection).await;
        match answer {
            Ok(reply) => Ok(reply.map(|reply| self.entries(&streams, partitions, reply)).unwrap_or_default()),
            Err(error) if error.code() == Some("NOGROUP") => {
                // New, or Redis lost it: made again wherever it is missed.
                self.store.create_groups(&mut connection).await?;
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn entries(&self, streams: &[String], partitions: &[u16], reply: StreamReadReply) -> Vec<ReadyEntry> {
        let mut entries = Vec::new();
        for key in reply.keys {
            let Some(position) = streams.iter().position(|stream| *stream == key.key) else { continue };
            for id in key.ids {
                match id.get::<String>("run").and_then(|run| run.parse().ok()) {
                    Some(run) => {
                        entries.push(ReadyEntry { run, entry: id.id, partition: partitions[position] })
                    }
                    None => {
                        warn!(stream = key.key, entry = id.id, "an entry without a run on the ready stream")
                    }
                }
            }
        }
        entries
    }

    async fn connection(&mut self) -> Result<MultiplexedConnection, StoreError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.store.connect_timeout))
            .set_response_timeout(Some(BLOCK + self.store.response_timeout));
        let mut connection = self.store.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.store.create_groups(&mut connection).await?;
        Ok(self.connection.insert(connection).clone())
    }

    /// Takes over entries that a worker read and did not claim, because it died in between.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn recover(&mut self, count: usize) -> Result<Vec<ReadyEntry>, StoreError> {
        let mut found = Vec::new();
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
                Err(error) if error.code() == Some("NOGROUP") => {
                    self.store.create_groups(&mut connection).await?
                }
                Err(error) => return Err(error.into()),
            }
            if found.len() >= count {
                break;
            }
        }
        Ok(found)
    }
}

impl Store {
    fn ready_stream(&self, partition: u16) -> String {
        format!("{}ready", self.partition(partition))
    }

    async fn create_groups(
        &self,
        connection: &mut impl redis::aio::ConnectionLike,
    ) -> Result<(), StoreError> {
        for partition in 0..self.partitions {
            let mut command = redis::cmd("XGROUP");
            command.arg("CREATE").arg(self.ready_stream(partition)).arg(keys::GROUP).arg("0").arg("MKSTREAM");
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
        call.arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)).arg(SUSPECT_CRASHES);
        let answer: Vec<redis::Value> = self.call(&call, PATIENCE).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        parse_claim(owner, answer).map(Some)
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
    let mut stages = Vec::new();
    while let Some(name) = parts.next() {
        let name = String::from_redis_value(name).map_err(|error| StoreError::Damaged(error.to_string()))?;
        stages.push((name, take(&mut parts, "stage")?));
    }
    Ok(Claim {
        request: serde_json::from_str(&request)
            .map_err(|error| StoreError::Damaged(format!("the request of a run: {error}")))?,
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
    })
}
