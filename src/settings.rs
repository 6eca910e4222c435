//! Settings of the processes: an optional file under the environment, read once, at start. This is the only room that
//! looks at either; whoever starts it hands the environment in.
//!
//! Each setting stands in one of the groups below, with its meaning, default and limits. `docs/settings.md` is made
//! from them, and a test compares the two. All problems are reported at once, each with its key, where the value came
//! from and what is allowed; a secret's value is never part of it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;

use crate::id::EnvironmentId;
use crate::seal::SealKey;

mod docs;
mod kind;
mod reader;
mod redis_address;

pub use reader::{Problem, SettingsError};
pub use redis_address::{NodeAccess, RedisAddress};

use kind::{
    bytes, choice, duration, environment_id, list, log_filter, networks, optional, redis_url, seal_key,
    socket, switch, token, whole,
};
use reader::Reader;

/// What a group of settings is: its fields with their documentation, and how each is read.
macro_rules! group {
    (
        $(#[doc = $about:literal])+
        $name:ident in $group:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $kind:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl $name {
            fn read(reader: &mut Reader) -> Option<Self> {
                reader.group($group, concat!($($about),+));
                $( let $field = reader.field(stringify!($field), concat!($($doc),+), &$kind); )+
                Some(Self { $( $field: $field?, )+ })
            }
        }
    };
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// All settings of a process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The environment that definitions and runs belong to.
    pub environment: EnvironmentId,
    /// Where everything is kept.
    pub redis: RedisSettings,
    /// The scheduler's REST API.
    pub api: ApiSettings,
    /// The keys that secrets are sealed with.
    pub seal: SealSettings,
    /// Where requests may go.
    pub egress: EgressSettings,
    /// The workers.
    pub worker: WorkerSettings,
    /// The schedulers.
    pub scheduler: SchedulerSettings,
    /// How long things are kept.
    pub retention: RetentionSettings,
    /// Room for pages that wait.
    pub stage: StageSettings,
    /// Limits on what comes from outside.
    pub limits: LimitSettings,
    /// Logs.
    pub log: LogSettings,
}

group! {
    /// All processes.
    General in "" {
        /// The environment that definitions and runs belong to; every key in Redis carries it. Processes that should
        /// work together name the same one.
        environment: EnvironmentId = environment_id("default"),
    }
}

group! {
    /// Where definitions, runs and checkpoints are kept.
    RedisSettings in "redis" {
        /// Address of Redis (7.0 or newer) or Valkey (8 or newer), with user, password and database if there are any:
        /// of one server, of the sentinels that know the primary (they log in with `?sentinel_user=…&sentinel_password=…`
        /// if they must), or of some nodes of a cluster. Never logged.
        url: SecretString = redis_url("redis://127.0.0.1:6379"),
        /// Into how many parts runs are divided. Fixed by the first process that uses an empty Redis; another number
        /// is refused later.
        partitions: u16 = whole("16", 1..=1024),
        /// How safe a run is once it was accepted, and its end once it was written: `everysec`, the primary has it and
        /// writes it to its disk within a second; `replicated`, as many replicas as `redis.wait_replicas` have it too;
        /// `always`, it is on the primary's disk (`appendfsync always`).
        durability: Level = choice("everysec", &[
            ("everysec", Level::EverySecond), ("replicated", Level::Replicated), ("always", Level::Always),
        ]),
        /// With `replicated`: the replicas that must have what was accepted.
        wait_replicas: u32 = whole("1", 1..=16),
        /// With `replicated`: how long one wait for them takes at most. A request whose run no replica has by then is
        /// answered with 503.
        wait_timeout: Duration = duration("1s", 10 * MS, 30 * SECOND),
        /// What to do when Redis could lose what was acknowledged (no AOF, an eviction policy other than `noeviction`, or
        /// less than `redis.durability` asks for): refuse to start, or warn.
        require_durable: Durability = choice("true", &[("true", Durability::Refuse), ("warn", Durability::Warn)]),
        /// The longest time a command may take.
        response_timeout: Duration = duration("10s", 100 * MS, MINUTE),
        /// The longest time connecting may take.
        connect_timeout: Duration = duration("5s", 100 * MS, MINUTE),
        /// Connections of a process to each primary for everything but the hot path.
        pool_size: usize = whole("8", 1..=256),
    }
}

/// How safe a run is once it was accepted, and its end once it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The primary has it; its disk has it a second later.
    EverySecond,
    /// Replicas have it too.
    Replicated,
    /// The primary's disk has it.
    Always,
}

/// What to do when Redis could lose what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Don't start.
    Refuse,
    /// Start, and say so.
    Warn,
}

group! {
    /// The REST API, served by schedulers.
    ApiSettings in "api" {
        /// The address it listens on.
        listen: SocketAddr = socket("127.0.0.1:8080"),
        /// Bearer tokens that open it, each of them fully. A scheduler wants at least one; two or more let clients
        /// change over.
        tokens: Vec<SecretString> = list(token()),
        /// The largest body of a request.
        body_bytes_max: usize = bytes("8MiB", 64 * KIB, 256 * MIB),
        /// The longest time a request may take.
        request_timeout: Duration = duration("30s", SECOND, 10 * MINUTE),
    }
}

group! {
    /// The keys that credentials and webhook secrets are sealed with before they reach Redis.
    SealSettings in "seal" {
        /// The key that seals. Make one with `openssl rand -base64 32`; whoever loses it loses the secrets.
        key: SealKey = seal_key(),
        /// Older keys that still open what they sealed.
        previous: Vec<SealKey> = list(seal_key()),
    }
}

group! {
    /// Where requests to sources and webhooks may go. Public addresses always; nothing else but this.
    EgressSettings in "egress" {
        /// Networks that are allowed although they are private, loopback or reserved.
        allow: Vec<IpNet> = list(networks()),
    }
}

group! {
    /// Workers: they execute runs.
    WorkerSettings in "worker" {
        /// How many runs one worker executes at a time.
        concurrency: usize = whole("16", 1..=1024),
        /// How long a run stays a worker's own without a sign of life. The shorter, the sooner another worker takes
        /// over after a crash; renewed every third of it.
        lease: Duration = duration("15s", 3 * SECOND, 5 * MINUTE),
        /// How long a worker that is asked to stop waits for deliveries in flight.
        drain_timeout: Duration = duration("30s", Duration::ZERO, 10 * MINUTE),
        /// The most memory that pages in one worker may take together.
        memory_budget_bytes: usize = bytes("256MiB", 16 * MIB, 64 * GIB),
        /// Whether the next page is fetched while this one is being delivered.
        fetch_ahead: bool = switch("true"),
        /// The address of the health check (`/health`), if there should be one.
        health_listen: Option<SocketAddr> = optional(socket("")),
    }
}

group! {
    /// Schedulers: they fire triggers, wake what waits and serve the API.
    SchedulerSettings in "scheduler" {
        /// How often a scheduler looks for what is due when no signal comes.
        tick: Duration = duration("500ms", 50 * MS, 10 * SECOND),
        /// How late a slot of a trigger may be and still count as on time; a later one was missed, and the trigger's
        /// `catch_up` decides.
        grace: Duration = duration("1m", SECOND, HOUR),
    }
}

group! {
    /// How long things are kept. Nothing grows without bound.
    RetentionSettings in "retention" {
        /// How long a run is kept after its end.
        finished_runs: Duration = duration("30d", HOUR, 3650 * DAY),
        /// The most ended runs that are kept in one partition (there are `redis.partitions`); the oldest go first.
        finished_runs_max: usize = whole("10000", 1..=1_000_000),
        /// How long a failed or stopped run keeps its checkpoint and pages, so that it can be resumed.
        resumable: Duration = duration("7d", MINUTE, 365 * DAY),
    }
}

group! {
    /// Room in Redis for pages that have to outlive an attempt to deliver them.
    StageSettings in "stage" {
        /// The most bytes one run may keep there. A page over it that can be fetched again is not kept, but fetched
        /// again when the run wakes.
        run_bytes_max: usize = bytes("64MiB", MIB, 4 * GIB),
        /// The most bytes all runs may keep there together, divided evenly over the partitions.
        total_bytes_max: usize = bytes("1GiB", MIB, 1024 * GIB),
    }
}

group! {
    /// Limits on what comes from outside. What a single integration, job or webhook may set for itself stands in its
    /// definition.
    LimitSettings in "limits" {
        /// The largest page, decompressed, whatever a method's `page_bytes_max` allows. A worker makes room for it before
        /// it fetches one: twice this much of its memory budget, as a page is held twice at most, as it came and as the
        /// event it became.
        page_bytes_max: usize = bytes("8MiB", KIB, GIB),
        /// The deepest nesting of JSON that the API accepts.
        json_depth_max: usize = whole("128", 8..=1024),
    }
}

group! {
    /// Logs, written to standard error.
    LogSettings in "log" {
        /// One JSON object a line, or text for people.
        format: LogFormat = choice("json", &[("json", LogFormat::Json), ("text", LogFormat::Text)]),
        /// What is logged: a level, or directives such as `info,rapidbridge::delivery=debug`.
        filter: String = log_filter("info"),
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

impl Settings {
    /// The settings of the file at `path` (TOML, YAML or JSON, by its extension) under those of `env`, the process's
    /// environment variables. Without a path `rapidbridge.toml` in the working directory is read, if there is one.
    ///
    /// # Errors
    /// All problems at once: a file that can't be read, unknown keys, missing or impossible values.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut reader = Reader::open(path, env)?;
        let settings = Self::read(&mut reader);
        let settings = reader.finish(settings)?;
        match settings.contradictions() {
            problems if problems.is_empty() => Ok(settings),
            problems => Err(SettingsError { problems }),
        }
    }

    /// Whether a scheduler can serve its API with these settings.
    ///
    /// # Errors
    /// When no token is set: nobody could use it.
    pub fn check_api(&self) -> Result<(), SettingsError> {
        if self.api.tokens.is_empty() {
            return Err(
                Problem::missing("api.tokens", "a list of bearer tokens of 16 characters or more").into()
            );
        }
        Ok(())
    }

    /// Values that are possible each for itself, but not together.
    fn contradictions(&self) -> Vec<Problem> {
        let (retention, stage) = (&self.retention, &self.stage);
        let page = self.limits.page_bytes_max.saturating_mul(2);
        let rules = [
            (
                retention.resumable > retention.finished_runs,
                "retention.resumable",
                "is longer than `retention.finished_runs`: a run that is gone can't be resumed; keep runs at least as long",
            ),
            (
                stage.run_bytes_max > stage.total_bytes_max,
                "stage.run_bytes_max",
                "is more than `stage.total_bytes_max`: a run can't keep more than all runs together; raise the total",
            ),
            (
                page > self.worker.memory_budget_bytes,
                "worker.memory_budget_bytes",
                "is less than twice `limits.page_bytes_max`: not one page would fit; raise it, or lower the page's limit",
            ),
        ];
        let broken = rules.into_iter().filter(|(broken, ..)| *broken);
        broken.map(|(_, key, message)| Problem { key: key.to_owned(), message: message.to_owned() }).collect()
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        // All groups are read before any is missed, so that all problems are found.
        let general = General::read(reader);
        let redis = RedisSettings::read(reader);
        let api = ApiSettings::read(reader);
        let seal = SealSettings::read(reader);
        let egress = EgressSettings::read(reader);
        let worker = WorkerSettings::read(reader);
        let scheduler = SchedulerSettings::read(reader);
        let retention = RetentionSettings::read(reader);
        let stage = StageSettings::read(reader);
        let limits = LimitSettings::read(reader);
        let log = LogSettings::read(reader);
        Some(Self {
            environment: general?.environment,
            redis: redis?,
            api: api?,
            seal: seal?,
            egress: egress?,
            worker: worker?,
            scheduler: scheduler?,
            retention: retention?,
            stage: stage?,
            limits: limits?,
            log: log?,
        })
    }
}

/// The settings reference, in Markdown: what `docs/settings.md` holds.
pub fn reference() -> String {
    let mut reader = Reader::empty();
    Settings::read(&mut reader);
    docs::render(reader.groups())
}

/// The environment variable of every setting.
pub fn variables() -> Vec<String> {
    let mut reader = Reader::empty();
    Settings::read(&mut reader);
    reader
        .groups()
        .iter()
        .flat_map(|group| group.fields.iter().map(|field| reader::variable(&field.key)))
        .collect()
}

#[cfg(test)]
mod tests;
