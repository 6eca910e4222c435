//! Waits until replicas have what was written (`WAIT`), many writes by one wait.
//!
//! `WAIT` counts for the writes of its own connection, and stops that connection meanwhile. So scripts that want to
//! be confirmed run on one connection, and the wait follows them there: it speaks of the very server process that ran
//! them, which another connection might have missed the end of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;

/// Writes the key, also while Redis' memory is full: what finishes work must not be refused for want of these bytes.
const MARK: &str = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], ARGV[1])";

/// The connection of one primary on which writes are confirmed.
pub(in super::super) struct Confirmer {
    connection: MultiplexedConnection,
    /// How many writes have asked to be confirmed.
    asked: AtomicU64,
    last: Mutex<Wait>,
}

/// What a wait was told.
#[derive(Debug, Clone, Copy, Default)]
struct Wait {
    /// It speaks for this many of those that asked.
    covers: u64,
    /// The replicas that have them.
    replicas: u32,
}

impl Confirmer {
    pub(super) fn new(connection: MultiplexedConnection) -> Self {
        Self { connection, asked: AtomicU64::new(0), last: Mutex::default() }
    }

    /// The connection to write over.
    pub(in super::super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// How many replicas have what was written here before this call, once `wanted` do or `patience` is over.
    /// `key` is written on the way: the call may be the repetition of a write that another connection made, and newer
    /// servers wait only for what this connection itself wrote (seen with Valkey 9; Redis 7.0 waits for all).
    pub(in super::super) async fn replicas(
        &self,
        key: &str,
        wanted: u32,
        patience: Duration,
    ) -> RedisResult<u32> {
        let mine = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut last = self.last.lock().await;
        if last.covers >= mine {
            return Ok(last.replicas);
        }
        // Whoever has asked by now has its answer, so the wait below is for it as well.
        let covers = self.asked.load(Ordering::Acquire);
        let mut commands = redis::pipe();
        commands.cmd("EVAL").arg(MARK).arg(1).arg(key).arg(covers).ignore();
        commands.cmd("WAIT").arg(wanted).arg(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
        let (replicas,): (u32,) = commands.query_async(&mut self.connection.clone()).await?;
        *last = Wait { covers, replicas };
        Ok(replicas)
    }
}
