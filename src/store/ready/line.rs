//! One connection that reads ready streams: those of all partitions, or in a cluster those of one.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use tracing::{debug, warn};

use super::super::connection::{Route, slot_of_key};
use super::super::{Store, StoreError, keys};
use super::{BLOCK, ReadyEntry};
use crate::clock;

/// How long a line that broke stays closed: an outage must not make a storm.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// A connection of its own that reads the ready streams of some partitions.
pub(super) struct Line {
    partitions: Vec<u16>,
    /// Which partition comes first in the next turn.
    first: usize,
    pub(super) open: Option<Open>,
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

    /// What is there now.
    pub(super) async fn take(
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
        let route = store.hub.route(slot_of_key(store.partition(partition).as_bytes())).await?;
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
    pub(super) async fn unblock(&self) {
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
