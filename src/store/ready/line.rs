//! One connection that reads ready streams: those of all partitions, or in a cluster those of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::super::connection::{Route, slot_of_key};
use super::super::{Store, StoreError, keys};
use super::{BLOCK, LAG_MAX, ReadyEntry};
use crate::clock;

/// How long a line that broke stays closed: an outage must not make a storm.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// A connection of its own that reads the ready streams of some partitions.
pub(super) struct Line {
    partitions: Vec<u16>,
    /// Which partition comes first in the next turn.
    first: usize,
    open: Option<Open>,
    /// When it may be opened again after it broke.
    asleep_until: Option<Instant>,
}

/// An open line.
#[derive(Clone)]
pub(super) struct Open {
    route: Route,
    connection: MultiplexedConnection,
    /// What Redis calls this connection.
    client: u64,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(partitions: Vec<u16>) -> Self {
        Self { partitions, first: 0, open: None, asleep_until: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn open(&self) -> Option<Open> {
        self.open.clone()
    }

    /// Lets go of the connection: an answer may still be under way on it.
    pub(super) fn close(&mut self) {
        self.open = None;
        self.asleep_until = Some(clock::monotonic() + REOPEN_AFTER);
    }

    /// Connects, if that is needed and it is not too soon.
    pub(super) async fn ready(&mut self, store: &Store, lag: Duration) -> Result<(), StoreError> {
        if self.open.as_ref().is_some_and(|open| !store.hub.is_current(&open.route)) {
            self.open = None;
        }
        if self.open.is_some() {
            return Ok(());
        }
        if self.asleep_until.is_some_and(|until| clock::monotonic() < until) {
            return Err(StoreError::Unreachable("waiting before connecting again".to_owned()));
        }
        let connected = timeout(lag, self.connect(store)).await;
        let connected = connected.unwrap_or_else(|_| Err(silent()));
        connected.inspect_err(|_| self.close())
    }

    /// What is there now.
    pub(super) async fn take(
        &mut self,
        store: &Store,
        worker: &str,
        slots: usize,
        lag: Duration,
    ) -> Result<Vec<ReadyEntry>, StoreError> {
        self.first = (self.first + 1) % self.partitions.len().max(1);
        let mut order = self.partitions.clone();
        order.rotate_left(self.first);
        let mut found = Vec::new();
        for partition in order {
            let partition = [partition];
            let read = self.xreadgroup(store, worker, &partition, slots - found.len(), None);
            match timeout(lag, read).await {
                Ok(read) => found.extend(read?),
                Err(_) => {
                    self.close();
                    return Err(silent());
                }
            }
            if found.len() >= slots {
                break;
            }
        }
        Ok(found)
    }

    /// What comes within [`BLOCK`].
    pub(super) async fn block(&mut self, store: &Store, worker: &str) -> Result<Vec<ReadyEntry>, StoreError> {
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
            self.close();
        }
        Ok(result?.map(|reply| entries(&streams, partitions, reply)).unwrap_or_default())
    }

    async fn send(
        &mut self,
        store: &Store,
        command: &redis::Cmd,
    ) -> Result<Option<StreamReadReply>, StoreError> {
        let Some(mut open) = self.open.clone() else { return Err(silent()) };
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

    async fn connect(&mut self, store: &Store) -> Result<(), StoreError> {
        let partition = self.partitions.first().copied().unwrap_or_default();
        let route = store.hub.route(slot_of_key(store.partition(partition).as_bytes())).await?;
        let connect = async {
            let mut connection = route.link.dedicated(BLOCK).await?;
            let client: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await?;
            Ok((connection, client))
        };
        let connected = route.link.unless_superseded(connect).await;
        let (mut connection, client) = connected.inspect_err(|error| store.hub.note(&route, error))?;
        store.create_groups(&mut connection, &self.partitions).await?;
        self.open = Some(Open { route, connection, client });
        Ok(())
    }
}

impl Open {
    /// Has Redis end its blocking read, if it is in one. Nobody waits for the answer.
    pub(super) fn unblock(&self) {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(self.client);
        let link = Arc::clone(&self.route.link);
        tokio::spawn(async move {
            let asked = async { command.query_async::<u64>(&mut link.shared().await?).await };
            if let Ok(Err(error)) = timeout(LAG_MAX, asked).await {
                debug!(%error, node = link.name(), "a blocking read was not ended");
            }
        });
    }
}

fn silent() -> StoreError {
    StoreError::Unreachable("a ready stream can't be read".to_owned())
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
