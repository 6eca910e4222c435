//! All of Redis: keys, scripts, queue, leases, checkpoints, definitions, triggers, retention.
//!
//! The truth about a run is its hash and the one place it is in; the ready stream is only the pipe that wakes
//! a worker. Every transition is one script (`store/lua/`), and every script can be repeated with the same
//! arguments when its answer was lost.
//!
//! Three kinds of connection to each primary: a dedicated one for each blocking read ([`ready`]), one shared
//! multiplexed connection for the hot path, and a pool for everything else. Which server is the primary, and what
//! happens when another one becomes it, is the business of `connection` alone.

pub mod announcements;
pub mod audit;
pub mod budget;
mod connection;
pub mod definitions;
pub mod keys;
mod layout;
pub mod lease;
pub mod locks;
pub mod maintenance;
pub mod marks;
mod outage;
pub mod ready;
pub mod runs;
mod scripts;
pub mod startup;
pub mod state;
pub mod tokens;
pub mod triggers;
mod writable;

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{ErrorKind, FromRedisValue, RedisError, ScriptInvocation};
use tracing::{debug, warn};

use crate::backoff;
use crate::clock::{self, Millis};
use crate::id::{EnvironmentId, RunId};
use crate::settings::{Level, RedisSettings};

use connection::{Connection, Hub};

pub use startup::Durability;

/// Why something could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Redis can't be reached, or did not answer in time.
    #[error("Redis can't be reached: {0}")]
    Unreachable(String),
    /// Redis refuses to write: a replica was asked, its disk fails, or its replicas are away. What it said, and what to do.
    #[error("Redis refuses to write: {0}. Nothing was written; {1}")]
    Refused(String, &'static str),
    /// It was written, but not as safely as `redis.durability` asks for.
    #[error(
        "the primary has accepted this, but {replicas} of {wanted} replicas confirmed it in time: it is lost if that \
         primary is lost now. Send the request again (a new run with the same Idempotency-Key) until it is confirmed"
    )]
    Unconfirmed {
        /// The replicas that have it.
        replicas: u32,
        /// How many should.
        wanted: u32,
    },
    /// Redis has no memory for anything new; what finishes work goes on.
    #[error(
        "Redis' memory is full ({0}). Nothing was written, and nothing new is accepted or started; runs that have begun go \
         on. Raise its maxmemory, or keep less: settings retention.finished_runs, retention.finished_runs_max, \
         stage.total_bytes_max"
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
    fn not_let_in(why: &str) -> Self {
        Self::Unfit(format!("Redis does not let us in: {why}. Check user and password in redis.url"))
    }

    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Refused(..) | Self::Full(_) | Self::Unconfirmed { .. })
    }

    /// Logs that a loop's turn failed. What the store itself tells, at its own pace, is only a detail here.
    pub fn report(&self, what: &str) {
        match self {
            Self::Unreachable(_) | Self::Full(_) | Self::Refused(..) => debug!(error = %self, "{what}"),
            Self::Unconfirmed { .. } | Self::Unfit(_) | Self::Damaged(_) => {
                warn!(error = %self, "{what}");
            }
        }
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let error = connection::said(&error);
        // Redis ends some of its sentences with a stop, and ours go on.
        let text = error.to_string().trim_end_matches('.').to_owned();
        match error.code() {
            Some("OOM") => Self::Full(text),
            Some("READONLY") => {
                Self::Refused(text, "point redis.url at the primary, or at the sentinels that know it")
            }
            Some("MISCONF") => Self::Refused(
                text,
                "it can't save to its disk: make room there or mend it, its log says more",
            ),
            Some("NOREPLICAS") => Self::Refused(
                text,
                "too few replicas are connected, or they lag: mend them, or lower its min-replicas-to-write",
            ),
            Some("WRONGPASS" | "NOAUTH" | "NOPERM") => Self::not_let_in(&text),
            // The primary starts, is busy, changes, or hands a slot over. A script that is not there was loaded into
            // a server that is the primary no more.
            Some(
                "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "MOVED" | "ASK"
                | "UNBLOCKED" | "NOSCRIPT",
            ) => Self::Unreachable(text),
            Some(_) => Self::Damaged(text),
            None => {
                let kind = error.kind();
                let is_away = [
                    ErrorKind::Io,
                    // An answer that was cut off: the connection is gone, not the data.
                    ErrorKind::Parse,
                    ErrorKind::ClusterConnectionNotFound,
                    ErrorKind::MasterNameNotFoundBySentinel,
                ];
                if is_away.contains(&kind) || error.is_connection_dropped() || error.is_timeout() {
                    Self::Unreachable(text)
                } else if kind == ErrorKind::AuthenticationFailed {
                    Self::not_let_in(&text)
                } else if kind == ErrorKind::InvalidClientConfig {
                    Self::Unfit(text)
                } else {
                    Self::Damaged(text)
                }
            }
        }
    }
}

/// The first wait before a call is repeated; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_BASE: Duration = Duration::from_millis(50);
/// The longest wait.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long calls outside of a lease are repeated before the caller is told.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long calls on a pooled connection wait for a Redis that is away: long enough for a turn to find it back.
const POOLED_PATIENCE: Duration = Duration::from_secs(1);

/// The store of one environment. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    environment: EnvironmentId,
    partitions: u16,
    hub: Hub,
    shared: Connection,
    /// The slot of the definitions.
    home: u16,
    scripts: Arc<scripts::Scripts>,
    /// How many replicas must have what was accepted, and how long one wait for them takes.
    replicas: Option<(u32, Duration)>,
    outage: Arc<outage::Outage>,
    writable: Arc<writable::Writable>,
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
        let hub = Hub::new(settings)?;
        let home = connection::slot_of_key(keys::definitions(environment).as_bytes());
        let outage = Arc::new(outage::Outage::new(!hub.is_cluster()));
        let store = Self {
            environment: environment.clone(),
            partitions: settings.partitions,
            shared: hub.shared(home),
            home,
            hub,
            scripts: Arc::new(scripts::Scripts::default()),
            replicas: (settings.durability == Level::Replicated)
                .then_some((settings.wait_replicas, settings.wait_timeout)),
            outage,
            writable: Arc::default(),
        };
        store.check(settings).await?;
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

    /// The prefix of the keys of an account.
    fn of_account(&self, account: &crate::id::AccountId) -> String {
        self.partition(account.partition(self.partitions))
    }

    /// Runs a script on the shared connection, repeating it while Redis is away, until `patience` is over. A full
    /// memory is told at once: waiting does not mend it.
    async fn call<T: FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        patience: Duration,
    ) -> Result<T, StoreError> {
        let mut tries = Tries::within(patience);
        loop {
            self.outage.turn(tries.left()).await?;
            match self.told(invocation.invoke_async(&mut self.shared.clone()).await) {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Asks one thing on the shared connection, repeating it while Redis is away, until `patience` is over.
    async fn look<T: FromRedisValue>(
        &self,
        command: &redis::Cmd,
        patience: Duration,
    ) -> Result<T, StoreError> {
        let mut tries = Tries::within(patience);
        loop {
            self.outage.turn(tries.left()).await?;
            match self.told(command.query_async(&mut self.shared.clone()).await) {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Notes whether Redis answered.
    fn told<T>(&self, answer: redis::RedisResult<T>) -> Result<T, StoreError> {
        match answer {
            Ok(answer) => {
                self.outage.answered();
                Ok(answer)
            }
            Err(error) => {
                let error = StoreError::from(error);
                self.outage.failed(&error);
                Err(error)
            }
        }
    }

    /// Returns when Redis answers again, at once when it does, or when `patience` is over.
    pub async fn answers(&self, patience: Duration) {
        self.outage.wait(patience).await;
    }

    /// Runs a script of `prefix` whose effect must be as safe as `redis.durability` says, repeating it while Redis is
    /// away, until `patience` is over. An effect that replicas don't confirm stays; `unconfirmed` says what is done.
    async fn call_safely<T: FromRedisValue>(
        &self,
        prefix: &str,
        invocation: &ScriptInvocation<'_>,
        patience: Duration,
        unconfirmed: Unconfirmed,
    ) -> Result<T, StoreError> {
        let Some(level) = self.replicas else { return self.call(invocation, patience).await };
        let mut tries = Tries::within(patience);
        loop {
            self.outage.turn(tries.left()).await?;
            match self.write_safely(prefix, Some(invocation), level, &tries, unconfirmed).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => return Err(StoreError::Damaged("a script without an answer".to_owned())),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Waits until what was written under `prefix` so far is as safe as `redis.durability` says.
    async fn confirm(&self, prefix: &str) -> Result<(), StoreError> {
        let Some(level) = self.replicas else { return Ok(()) };
        let mut tries = Tries::within(PATIENCE);
        loop {
            match self.write_safely::<()>(prefix, None, level, &tries, Unconfirmed::Fails).await {
                Ok(_) => return Ok(()),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// One try of a script, if there is one, and of its confirmation.
    async fn write_safely<T: FromRedisValue>(
        &self,
        prefix: &str,
        script: Option<&ScriptInvocation<'_>>,
        (wanted, wait): (u32, Duration),
        tries: &Tries,
        unconfirmed: Unconfirmed,
    ) -> Result<Option<T>, StoreError> {
        let route = self.hub.route(connection::slot_of_key(prefix.as_bytes())).await?;
        let marker = format!("{prefix}confirmed");
        let done = async {
            let confirmer = route.link.confirmer().await?;
            let answer = match script {
                Some(script) => Some(script.invoke_async(&mut confirmer.connection()).await?),
                None => None,
            };
            let mut replicas = confirmer.replicas(&marker, wanted, wait).await?;
            while replicas < wanted && unconfirmed == Unconfirmed::Goes && tries.left() > wait {
                warn!(replicas, wanted, "waiting for replicas to confirm what was written");
                replicas = confirmer.replicas(&marker, wanted, wait).await?;
            }
            Ok((answer, replicas))
        };
        let done = route.link.unless_superseded(done).await;
        let (answer, replicas) = self.told(done.inspect_err(|error| self.hub.note(&route, error)))?;
        if replicas < wanted {
            warn!(replicas, wanted, "replicas did not confirm in time what was written");
            if unconfirmed == Unconfirmed::Fails {
                return Err(StoreError::Unconfirmed { replicas, wanted });
            }
        }
        Ok(answer)
    }

    /// A pooled connection, for everything but the hot path. While Redis is away callers wait a little for it to come
    /// back, and are told that it has not.
    async fn pooled(&self) -> Result<Connection, StoreError> {
        self.outage.turn(POOLED_PATIENCE).await?;
        Ok(self.hub.pooled(self.home))
    }

    /// The time by Redis' clock; in a cluster by that of the node which has the definitions.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn now(&self) -> Result<Millis, StoreError> {
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut self.shared.clone()).await?;
        Ok(Millis(seconds * 1000 + micros / 1000))
    }
}

/// What is done about a write that replicas did not confirm in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unconfirmed {
    /// Whoever asked for it is told, and asks again.
    Fails,
    /// Nobody waits for the answer: it is warned of, and goes on.
    Goes,
}

/// The tries of a call that is repeated while Redis is away, until patience is over.
struct Tries {
    start: Instant,
    patience: Duration,
    attempt: u32,
}

impl Tries {
    fn within(patience: Duration) -> Self {
        Self { start: clock::monotonic(), patience, attempt: 0 }
    }

    fn left(&self) -> Duration {
        self.patience.saturating_sub(self.start.elapsed())
    }

    /// Waits before the next try; the error again when there is to be none.
    async fn again(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.attempt += 1;
        let wait = backoff::delay(RETRY_WAIT_BASE, RETRY_WAIT_MAX, self.attempt, u64::from(self.attempt));
        // Waiting does not mend them.
        let is_told = matches!(error, StoreError::Unconfirmed { .. } | StoreError::Full(_));
        if is_told || !error.is_passing() || self.left() <= wait {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do_about_it() {
        for (said, hint) in [
            ("READONLY You can't write against a read only replica.", "point redis.url at the primary"),
            ("MISCONF Redis is configured to save RDB snapshots, but can't.", "make room there or mend it"),
            ("NOREPLICAS Not enough good replicas to write.", "lower its min-replicas-to-write"),
            ("OOM command not allowed when used memory > 'maxmemory'.", "Raise its maxmemory"),
        ] {
            let answer = redis::parse_redis_value(format!("-{said}\r\n").as_bytes()).unwrap();
            let redis::Value::ServerError(error) = answer else { panic!("{answer:?}") };
            let error = StoreError::from(RedisError::from(error));
            let text = format!("{error}. Try again");
            assert!(text.contains(hint) && error.is_passing(), "{text}");
            assert!(!text.contains("..") && !text.contains(".)"), "{text}");
        }
    }
}
