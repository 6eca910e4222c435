//! All of Redis: keys, scripts, queue, leases, checkpoints, definitions, triggers, retention.
//!
//! The truth about a run is its hash and the one place it is in; the ready stream is only the pipe that wakes
//! a worker. Every transition is one script (`store/lua/`), and every script can be repeated with the same
//! arguments when its answer was lost.
//!
//! Three kinds of connection: a dedicated one for each blocking read ([`ready`]), one shared multiplexed
//! connection for the hot path, and a pool for everything else.

pub mod definitions;
pub mod keys;
pub mod lease;
pub mod maintenance;
mod outage;
pub mod ready;
pub mod runs;
mod scripts;
pub mod startup;
pub mod triggers;

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, ScriptInvocation};
use secrecy::ExposeSecret;
use tracing::{debug, warn};

use crate::backoff;
use crate::clock::{self, Millis};
use crate::id::{EnvironmentId, RunId};
use crate::settings::RedisSettings;

pub use startup::Durability;

/// Why something could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Redis can't be reached, or did not answer in time.
    #[error("Redis can't be reached: {0}")]
    Unreachable(String),
    /// Redis refuses to write: a replica was asked, or its disk fails.
    #[error("Redis refuses: {0}. Nothing was written; mend its disk, or point redis.url at the primary")]
    Refused(String),
    /// Redis has no memory for anything new; what finishes work goes on.
    #[error(
        "Redis' memory is full ({0}). Nothing was written, and nothing new is accepted; runs under way go on. Raise its \
         maxmemory, or keep less: settings retention.finished_runs, retention.finished_runs_max, stage.total_bytes_max"
    )]
    Full(String),
    /// Redis lacks what is needed, or holds something else.
    #[error("{0}")]
    Unfit(String),
    /// What was read is not what was written.
    #[error("damaged data in Redis: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refused(_) | Self::Full(_))
    }

    fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Logs that a loop's turn failed. What the store itself tells, at its own pace, is only a detail here.
    pub fn report(&self, what: &str) {
        match self {
            Self::Unreachable(_) | Self::Full(_) => debug!(error = %self, "{what}"),
            Self::Refused(_) | Self::Unfit(_) | Self::Damaged(_) => warn!(error = %self, "{what}"),
        }
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        match error.code() {
            Some("OOM") => Self::Full(text),
            Some("READONLY" | "MISCONF" | "NOREPLICAS") => Self::Refused(text),
            Some("WRONGPASS" | "NOAUTH" | "NOPERM") => {
                Self::Unfit(format!("Redis does not let us in: {text}. Check user and password in redis.url"))
            }
            Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN") => Self::Unreachable(text),
            Some(_) => Self::Damaged(text),
            None if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => {
                Self::Unreachable(text)
            }
            None => Self::Damaged(text),
        }
    }
}

/// The first wait before a call is repeated; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_BASE: Duration = Duration::from_millis(50);
/// The longest wait.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long calls outside of a lease are repeated before the caller is told.
const PATIENCE: Duration = Duration::from_secs(3);

/// The store of one environment. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    environment: EnvironmentId,
    partitions: u16,
    client: Client,
    shared: ConnectionManager,
    pool: Pool,
    scripts: Arc<scripts::Scripts>,
    outage: Arc<outage::Outage>,
    response_timeout: Duration,
    connect_timeout: Duration,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("environment", &self.environment).finish_non_exhaustive()
    }
}

impl Store {
    /// Connects, and checks that Redis is what is needed: its version, its durability, and the layout that
    /// the first process wrote down.
    ///
    /// # Errors
    /// When Redis can't be reached or is unfit.
    pub async fn open(settings: &RedisSettings, environment: &EnvironmentId) -> Result<Self, StoreError> {
        let url = settings.url.expose_secret();
        let client = Client::open(url).map_err(|error| StoreError::Unfit(format!("redis.url: {error}")))?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(RETRY_WAIT_BASE)
            .set_max_delay(RETRY_WAIT_MAX)
            .set_response_timeout(Some(settings.response_timeout))
            .set_connection_timeout(Some(settings.connect_timeout));
        let shared = ConnectionManager::new_with_config(client.clone(), config).await?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(settings.response_timeout))
            .set_connection_timeout(Some(settings.connect_timeout));
        let manager = Manager::new_with_config(url, config)?;
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size)
            .wait_timeout(Some(settings.response_timeout))
            .create_timeout(Some(settings.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Unfit(error.to_string()))?;
        let store = Self {
            environment: environment.clone(),
            partitions: settings.partitions,
            client,
            shared,
            pool,
            scripts: Arc::new(scripts::Scripts::default()),
            outage: Arc::default(),
            response_timeout: settings.response_timeout,
            connect_timeout: settings.connect_timeout,
        };
        store.check(settings.require_durable).await?;
        Ok(store)
    }

    /// The environment whose keys this is.
    pub fn environment(&self) -> &EnvironmentId {
        &self.environment
    }

    /// Into how many partitions runs are divided.
    pub fn partitions(&self) -> u16 {
        self.partitions
    }

    fn partition(&self, partition: u16) -> String {
        keys::partition(&self.environment, partition)
    }

    fn of_run(&self, run: RunId) -> String {
        self.partition(run.partition() % self.partitions.max(1))
    }

    /// Runs a script on the shared connection, repeating it while Redis is away, until `patience` is over. A full
    /// memory is told at once: waiting does not mend it.
    async fn call<T: FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        patience: Duration,
    ) -> Result<T, StoreError> {
        let start = clock::monotonic();
        let mut attempt = 0;
        loop {
            self.outage.turn(patience.saturating_sub(start.elapsed())).await?;
            let error = match invocation.invoke_async(&mut self.shared.clone()).await {
                Ok(answer) => {
                    self.outage.answered();
                    return Ok(answer);
                }
                Err(error) => StoreError::from(error),
            };
            self.outage.failed(&error);
            attempt += 1;
            let wait = backoff::delay(RETRY_WAIT_BASE, RETRY_WAIT_MAX, attempt, u64::from(attempt));
            if !error.is_passing() || error.is_full() || start.elapsed() + wait >= patience {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Returns when Redis answers again, at once when it does, or when `patience` is over.
    pub async fn answers(&self, patience: Duration) {
        self.outage.wait(patience).await;
    }

    /// A pooled connection, for everything but the hot path. While Redis is away callers are told at once: it is
    /// tried by the loops.
    async fn pooled(&self) -> Result<deadpool_redis::Connection, StoreError> {
        self.outage.check()?;
        self.pool.get().await.map_err(|error| StoreError::Unreachable(error.to_string()))
    }

    /// The time by Redis' clock.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn now(&self) -> Result<Millis, StoreError> {
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut self.shared.clone()).await?;
        Ok(Millis(seconds * 1000 + micros / 1000))
    }
}
