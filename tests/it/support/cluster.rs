//! Redis, schedulers and workers around a helpdesk and a receiver.

use std::path::Path;
use std::sync::Arc;

use rapidbridge::playground::{Helpdesk, Receiver, helpdesk, receiver};
use rapidbridge::redis_server::RedisServer;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{Api, definitions, eventually};

/// The API's token.
pub(crate) const TOKEN: &str = "token-of-the-integration-tests";
/// The key that seals, in hexadecimal.
pub(crate) const SEAL_KEY: &str = "5eA15eA15eA15eA15eA15eA15eA15eA15eA15eA15eA15eA15eA15eA15eA15eA1";

/// How soon after the last run's end nothing may be left of it.
const QUIET: std::time::Duration = std::time::Duration::from_secs(10);

/// What a test wants to run.
pub(crate) struct Setup {
    pub(crate) schedulers: usize,
    pub(crate) workers: usize,
    pub(crate) helpdesk: helpdesk::Settings,
    pub(crate) receiver: receiver::Settings,
    /// Settings beyond the tests' own, by their variables' names without `RAPIDBRIDGE_`.
    pub(crate) settings: Vec<(&'static str, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            schedulers: 1,
            workers: 1,
            helpdesk: helpdesk::Settings::default(),
            receiver: receiver::Settings { keep_bytes_max: 4 << 20, ..receiver::Settings::default() },
            settings: Vec::new(),
        }
    }
}

impl Setup {
    /// With a setting of the product's.
    pub(crate) fn set(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Starts everything.
    pub(crate) async fn start(self) -> Cluster {
        let folder = tempfile::Builder::new().prefix("rapidbridge-it-").tempdir().unwrap();
        let redis = super::redis(&folder.path().join("redis")).await;
        let mut settings = vec![
            ("REDIS__URL", redis.url().to_owned()),
            ("REDIS__PARTITIONS", "4".to_owned()),
            ("SEAL__KEY", SEAL_KEY.to_owned()),
            ("API__TOKENS", TOKEN.to_owned()),
            ("API__LISTEN", "127.0.0.1:0".to_owned()),
            ("EGRESS__ALLOW", "127.0.0.0/8".to_owned()),
            ("WORKER__LEASE", "3s".to_owned()),
            ("SCHEDULER__TICK", "100ms".to_owned()),
        ];
        settings.retain(|(name, _)| self.settings.iter().all(|(other, _)| name != other));
        settings.extend(self.settings);
        let settings = settings.into_iter().map(|(name, value)| (format!("RAPIDBRIDGE_{name}"), value));
        let mut cluster = Cluster {
            helpdesk: Arc::new(Helpdesk::start(self.helpdesk).await.unwrap()),
            receiver: Arc::new(Receiver::start(self.receiver).await.unwrap()),
            api: Api::new(Vec::new(), TOKEN),
            schedulers: Vec::new(),
            workers: Vec::new(),
            gone: Vec::new(),
            settings: settings.collect(),
            started: 0,
            redis,
            folder,
        };
        for _ in 0..self.schedulers {
            cluster.start_scheduler().await;
        }
        for _ in 0..self.workers {
            cluster.start_worker();
        }
        cluster
    }
}

pub(crate) struct Cluster {
    pub(crate) helpdesk: Arc<Helpdesk>,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) api: Api,
    pub(crate) schedulers: Vec<Process>,
    pub(crate) workers: Vec<Process>,
    pub(crate) redis: RedisServer,
    /// The logs of those that were killed or left.
    gone: Vec<std::path::PathBuf>,
    settings: Vec<(String, String)>,
    started: usize,
    folder: TempDir,
}

impl Cluster {
    /// Starts one more scheduler and waits until its API answers.
    pub(crate) async fn start_scheduler(&mut self) {
        let mut process = self.start("rapidbridge-scheduler", "scheduler");
        let url = eventually("the scheduler's API", async || {
            process.check_alive();
            listening(&process.log_text())
        })
        .await;
        self.api.urls.push(url);
        self.schedulers.push(process);
    }

    /// Starts one more worker. It may take runs a moment later.
    pub(crate) fn start_worker(&mut self) {
        let worker = self.start("rapidbridge-worker", "worker");
        self.workers.push(worker);
    }

    fn start(&mut self, program: &str, kind: &str) -> Process {
        self.started += 1;
        Process::start(program, &format!("{kind}-{}", self.started), self.folder.path(), &self.settings)
    }

    /// Takes the worker that holds `run` out of the cluster, as soon as one does.
    pub(crate) async fn take_holder(&mut self, run: &str) -> Process {
        let (api, workers) = (&self.api, &self.workers);
        let index = eventually(&format!("a worker to hold run {run}"), async || {
            let now = api.run(run).await;
            assert!(!now.has_ended(), "run {run} ended before its worker was found: {now:?}");
            let holder = now.worker.filter(|_| now.place == "leased")?;
            workers.iter().position(|worker| worker.is_called(&holder))
        })
        .await;
        let worker = self.workers.swap_remove(index);
        self.gone.push(worker.log().to_owned());
        worker
    }

    /// Panics unless the queue comes to rest with nothing left in it: no entry, lease, timer, key or stage.
    pub(crate) async fn assert_quiet(&self) {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut left = Vec::new();
        let look = async || {
            let keys: Vec<String> =
                redis::cmd("KEYS").arg("rb:*").query_async(&mut connection).await.unwrap();
            // What stays: runs with their logs, and what is known of accounts, triggers and definitions.
            let stays = [
                "run:",
                "log:",
                "runs",
                "ended",
                "turn",
                "beat",
                "reap-after",
                "gate:",
                "watermarks:",
                "trigger",
                // What jobs remember.
                "seen:",
                "order:",
                "sets:",
                "read-to:",
                "state:",
                "cells:",
                "graves:",
            ];
            let is_queue = |key: &&String| {
                let name = key.split_once("}:").map_or("", |(_, name)| name);
                !key.contains("definitions")
                    && name != "ready"
                    && !stays.iter().any(|kind| name.starts_with(kind))
            };
            left = keys.iter().filter(is_queue).cloned().collect();
            // Counters of staged bytes stay, at nothing.
            for (at, key) in left.clone().iter().enumerate().rev().filter(|(_, key)| key.ends_with(":staged"))
            {
                let bytes: i64 = redis::cmd("GET").arg(key).query_async(&mut connection).await.unwrap();
                match bytes {
                    0 => drop(left.swap_remove(at)),
                    _ => left[at] = format!("{key} of {bytes} bytes"),
                }
            }
            for stream in keys.iter().filter(|key| key.ends_with(":ready")) {
                let entries: u64 = redis::cmd("XLEN").arg(stream).query_async(&mut connection).await.unwrap();
                let mut pending = redis::cmd("XPENDING");
                pending.arg(stream).arg("workers");
                let pending: redis::RedisResult<redis::streams::StreamPendingReply> =
                    pending.query_async(&mut connection).await;
                match pending {
                    Ok(pending) if entries == 0 && pending.count() == 0 => {}
                    Ok(pending) => left.push(format!("{stream}: {entries}, pending {}", pending.count())),
                    Err(error) => left.push(format!("{stream}: {error}")),
                }
            }
            left.is_empty().then_some(())
        };
        if tokio::time::timeout(QUIET, eventually("the queue to be empty", look)).await.is_err() {
            panic!("the queue does not come to rest: {left:?}");
        }
    }

    async fn of_run<T: redis::FromRedisValue>(&self, run: &str, command: &str, words: &[&str]) -> T {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut keys = redis::cmd("KEYS");
        let keys: Vec<String> =
            keys.arg(format!("rb:*:run:{run}")).query_async(&mut connection).await.unwrap();
        redis::cmd(command).arg(&keys[0]).arg(words).query_async(&mut connection).await.unwrap()
    }

    /// A field of the run's hash, as it is in Redis.
    pub(crate) async fn field(&self, run: &str, name: &str) -> Option<String> {
        self.of_run(run, "HGET", &[name]).await
    }

    /// Sets a field of the run's hash behind everybody's back.
    pub(crate) async fn set_field(&self, run: &str, name: &str, value: &str) {
        self.of_run::<u64>(run, "HSET", &[name, value]).await;
    }

    /// The whole text of all logs so far.
    pub(crate) fn logs(&self) -> String {
        let alive = self.schedulers.iter().chain(&self.workers).map(|process| process.log().to_owned());
        alive
            .chain(self.gone.iter().cloned())
            .map(|log| std::fs::read_to_string(log).unwrap_or_default())
            .collect()
    }

    /// The store of its processes.
    pub(crate) async fn store(&self) -> rapidbridge::store::Store {
        let settings = rapidbridge::settings::Settings::load(None, self.settings.iter().cloned()).unwrap();
        rapidbridge::store::Store::open(&settings.redis, &settings.environment).await.unwrap()
    }

    /// Where everything is kept.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The helpdesk's integration, an account `acme` and a webhook `backend`, with jobs and what else is given.
    /// What is given with the same kind and id comes instead.
    pub(crate) fn documents(&self, more: Vec<Value>) -> Vec<Value> {
        let settings = receiver::Settings::default();
        let token = &self.helpdesk.settings().token;
        let mut documents = vec![
            definitions::integration(),
            definitions::account("acme", &self.helpdesk.url(), token),
            definitions::webhook("backend", &self.receiver.url(), &settings.secret),
        ];
        let name =
            |document: &Value| [&document["kind"], &document["id"], &document["name"]].map(Value::to_string);
        documents.retain(|document| more.iter().all(|other| name(other) != name(document)));
        documents.extend(more);
        documents
    }

    /// Applies [`Cluster::documents`].
    pub(crate) async fn apply(&self, more: Vec<Value>) {
        self.api.apply(&self.documents(more)).await;
    }

    /// Panics when a process left by itself.
    pub(crate) fn check_alive(&mut self) {
        self.schedulers.iter_mut().chain(&mut self.workers).for_each(Process::check_alive);
    }
}

/// The address in the log line that says where the API listens.
fn listening(log: &str) -> Option<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut addresses = lines.filter(|line| line["message"] == "the API listens");
    Some(format!("http://{}", addresses.next()?["address"].as_str()?))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for process in self.schedulers.iter().chain(&self.workers) {
            eprintln!("--- {}:\n{}", process.name(), process.tail());
        }
        for log in &self.gone {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!(
                "--- {} (gone):\n{}",
                log.display(),
                lines[lines.len().saturating_sub(12)..].join("\n")
            );
        }
        eprintln!("--- receiver: {}", self.receiver.read(ToString::to_string));
        for problem in self.receiver.read(|ledger| ledger.problems.clone()) {
            eprintln!("    {problem}");
        }
        eprintln!("--- helpdesk: {}", self.helpdesk.read(ToString::to_string));
    }
}
