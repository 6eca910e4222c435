//! A look into Redis past the product: who has which run, and whether anything is left to do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rapidbridge::clock;
use redis::aio::MultiplexedConnection;
use serde_json::Value;

use crate::evidence::Evidence;
use crate::world::{ENVIRONMENT, PARTITIONS};

/// How long one look may take.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// The pause between two looks at a run.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub(crate) struct Queue {
    client: redis::Client,
}

impl Queue {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let connection = redis::IntoConnectionInfo::into_connection_info(format!("redis://{address}"));
        #[expect(clippy::expect_used, reason = "an address of a socket is a valid URL")]
        let client = connection.and_then(redis::Client::open).expect("a Redis URL");
        Self { client }
    }

    async fn connect(&self) -> Option<MultiplexedConnection> {
        tokio::time::timeout(LOOK_MAX, self.client.get_multiplexed_async_connection()).await.ok()?.ok()
    }

    /// The runs that the worker with this process id has, with their epochs. None while Redis is away.
    pub(crate) async fn held_by(&self, pid: u32) -> Vec<(String, String)> {
        let Some(mut connection) = self.connect().await else { return Vec::new() };
        let mut held = Vec::new();
        for partition in 0..PARTITIONS {
            let leases: Vec<String> = redis::cmd("ZRANGE")
                .arg(key(partition, "leases"))
                .arg(0)
                .arg(-1)
                .query_async(&mut connection)
                .await
                .unwrap_or_default();
            for run in leases {
                let owner: Result<(Option<String>, Option<String>), _> = redis::cmd("HMGET")
                    .arg(key(partition, &format!("run:{run}")))
                    .arg("worker")
                    .arg("epoch")
                    .query_async(&mut connection)
                    .await;
                if let Ok((Some(worker), Some(epoch))) = owner
                    && process_of(&worker) == Some(pid)
                {
                    held.push((run, epoch));
                }
            }
        }
        held
    }

    /// When the run is claimed again after `epoch`; `None` when that takes too long, or it had ended just before.
    pub(crate) async fn claimed_again(&self, run: &str, epoch: &str, within: Duration) -> Option<Instant> {
        let since = clock::monotonic();
        let mut connection = None;
        while since.elapsed() < within {
            if connection.is_none() {
                connection = self.connect().await;
            }
            if let Some(open) = &mut connection {
                match self.claim(open, run).await {
                    Ok(Some((now, _))) if now != epoch => return Some(clock::monotonic()),
                    Ok(Some((_, place))) if place == "ended" => return None,
                    // A power loss took it.
                    Ok(None) => return None,
                    Ok(_) => {}
                    Err(_) => connection = None,
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }

    /// A run's epoch and place.
    async fn claim(
        &self,
        connection: &mut MultiplexedConnection,
        run: &str,
    ) -> redis::RedisResult<Option<(String, String)>> {
        for partition in 0..PARTITIONS {
            let found: (Option<String>, Option<String>) = redis::cmd("HMGET")
                .arg(key(partition, &format!("run:{run}")))
                .arg("epoch")
                .arg("place")
                .query_async(connection)
                .await?;
            if let (Some(epoch), Some(place)) = found {
                return Ok(Some((epoch, place)));
            }
        }
        Ok(None)
    }

    /// Redis' clock, in milliseconds since 1970.
    pub(crate) async fn clock(&self) -> anyhow::Result<u64> {
        let mut connection = self.client.get_multiplexed_async_connection().await?;
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// Makes Redis forget its scripts and its groups, and drop its clients. Nothing happens while it is away.
    pub(crate) async fn forget(&self) {
        let Some(mut connection) = self.connect().await else { return };
        let mut commands = redis::pipe();
        commands.cmd("SCRIPT").arg("FLUSH").ignore();
        for partition in 0..PARTITIONS {
            commands.cmd("XGROUP").arg("DESTROY").arg(key(partition, "ready")).arg("workers").ignore();
        }
        commands.cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").ignore();
        // A stream that is not there has no group to lose.
        let _: redis::RedisResult<()> = commands.query_async(&mut connection).await;
    }

    /// Whether no run waits, is held or sleeps anywhere.
    pub(crate) async fn is_at_rest(&self) -> bool {
        let Some(mut connection) = self.connect().await else { return false };
        for partition in 0..PARTITIONS {
            for (command, name) in
                [("SCARD", "live"), ("ZCARD", "leases"), ("ZCARD", "parked"), ("XLEN", "ready")]
            {
                let count: Result<u64, _> =
                    redis::cmd(command).arg(key(partition, name)).query_async(&mut connection).await;
                if count.is_ok_and(|count| count > 0) {
                    return false;
                }
            }
        }
        true
    }

    /// The runs' own logs, and by them which process had which run under which epoch. `began` is the trial's start by
    /// Redis' clock, in milliseconds since 1970.
    pub(crate) async fn logs(&self, began: u64, evidence: &mut Evidence) -> anyhow::Result<()> {
        let mut connection = self.client.get_multiplexed_async_connection().await?;
        for partition in 0..PARTITIONS {
            for run in evidence.runs.keys() {
                let log: Vec<String> = redis::cmd("LRANGE")
                    .arg(key(partition, &format!("log:{run}")))
                    .arg(0)
                    .arg(-1)
                    .query_async(&mut connection)
                    .await?;
                let lines = log.iter().filter_map(|line| {
                    let at = serde_json::from_str::<Value>(line).ok()?["at"].as_u64()?;
                    Some((Duration::from_millis(at.saturating_sub(began)), line.clone()))
                });
                evidence.logs.entry(run.clone()).or_default().extend(lines);
                evidence.owners.extend(log.iter().filter_map(|line| {
                    let rest = line.split("by worker ").nth(1)?;
                    let (worker, rest) = rest.split_once(", epoch ")?;
                    let epoch = rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
                    Some(((run.clone(), epoch), process_of(worker)?))
                }));
            }
        }
        Ok(())
    }
}

fn key(partition: u16, name: &str) -> String {
    format!("rb:{{{ENVIRONMENT}.{partition}}}:{name}")
}

/// The process id in a worker's name (`worker-<pid>-<nonce>`).
fn process_of(worker: &str) -> Option<u32> {
    worker.split('-').nth(1)?.parse().ok()
}
