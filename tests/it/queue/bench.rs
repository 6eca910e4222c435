//! A store of one partition over a Redis of its own, with the few moves of a worker.

use std::collections::HashMap;
use std::time::Duration;

use rapidbridge::clock::Millis;
use rapidbridge::definition::job::ErrorHandling;
use rapidbridge::id::{EnvironmentId, RunId};
use rapidbridge::json::Json;
use rapidbridge::redis_server::RedisServer;
use rapidbridge::run::{Outcome, Revisions, RunRequest, Status};
use rapidbridge::settings::Settings;
use rapidbridge::store::Store;
use rapidbridge::store::lease::{Fence, Terminal, Write};
use rapidbridge::store::maintenance::Tended;
use rapidbridge::store::ready::{Claim, ReadyReader};
use rapidbridge::store::runs::{Enqueued, Exclusive, RunRecord};
use tempfile::TempDir;

use super::LEASE;
use crate::support::{self, eventually};

/// How deep the ready stream is kept.
pub(crate) const DEPTH: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) redis: RedisServer,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = support::redis(&folder.path().join("redis")).await;
        Self::over(redis, folder, &[]).await
    }

    /// Over `redis`, with settings beyond the bench's own.
    pub(crate) async fn over(redis: RedisServer, folder: TempDir, more: &[(&str, &str)]) -> Self {
        let given = [
            ("RAPIDBRIDGE_REDIS__URL", redis.url()),
            ("RAPIDBRIDGE_REDIS__PARTITIONS", "1"),
            ("RAPIDBRIDGE_SEAL__KEY", support::SEAL_KEY),
        ];
        let given = given.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::load(None, given.collect::<Vec<_>>().into_iter()).unwrap();
        let store = Store::open(&settings.redis, &settings.environment).await.unwrap();
        Self { store, settings, redis, folder }
    }

    /// A request of `account` for `job`, made at this time.
    pub(crate) fn request(&self, account: &str, job: &str, created_at: i64) -> RunRequest {
        request(self.store.environment(), account, job, created_at)
    }

    /// Puts a run into its account's backlog.
    pub(crate) async fn push(&self, account: &str, job: &str, created_at: i64) -> RunId {
        let request = self.request(account, job, created_at);
        let enqueued = self.store.enqueue(&request, Exclusive::Yes, None).await.unwrap();
        assert_eq!(enqueued, Enqueued::Created(request.id));
        request.id
    }

    pub(crate) async fn tend(&self) -> Tended {
        self.store.tend(0, DEPTH, LEASE).await.unwrap()
    }

    pub(crate) async fn record(&self, run: RunId) -> RunRecord {
        self.store.run(run).await.unwrap().unwrap()
    }

    pub(crate) async fn place(&self, run: RunId) -> String {
        self.record(run).await.place
    }

    /// The next run there is; keeps tending until there is one.
    pub(crate) async fn claim(&self, worker: &str) -> Claim {
        let mut reader = ReadyReader::new(self.store.clone(), worker.to_owned());
        eventually("a run to claim", async || {
            self.tend().await;
            for entry in reader.recover(1).await.unwrap().into_iter().chain(reader.read(1).await.unwrap()) {
                if let Some(claim) = self.store.claim(&entry, worker, LEASE).await.unwrap() {
                    return Some(claim);
                }
            }
            None
        })
        .await
    }

    /// Ends a claimed run as completed.
    pub(crate) async fn finish(&self, claim: &Claim) {
        let outcome = Outcome { status: Status::Completed, reason: None, code: None };
        let write = write(Status::Completed, b"{}");
        assert!(
            self.store
                .finish(fence(claim, 1), &write, &outcome, None, Terminal::Delivered, PATIENCE)
                .await
                .unwrap()
        );
    }

    /// Ends a claimed run as failed, with a stage.
    pub(crate) async fn fail(&self, claim: &Claim) {
        let outcome = Outcome { status: Status::Failed, reason: Some("no".into()), code: Some("x".into()) };
        let write = Write { put: vec![("s1", b"bytes")], staged: 5, ..write(Status::Failed, b"{}") };
        assert!(
            self.store
                .finish(fence(claim, 1), &write, &outcome, None, Terminal::Delivered, PATIENCE)
                .await
                .unwrap()
        );
    }

    pub(crate) async fn save(&self, claim: &Claim, rev: u64, checkpoint: &[u8]) -> bool {
        let write = write(Status::Running, checkpoint);
        self.store.save(fence(claim, rev), &write, LEASE, PATIENCE).await.unwrap().is_some()
    }

    pub(crate) async fn park(&self, claim: &Claim, rev: u64, wake: Millis) -> bool {
        let write = write(Status::Retrying, b"{}");
        self.store.park(fence(claim, rev), &write, wake, "a test", PATIENCE).await.unwrap()
    }

    pub(crate) async fn release(&self, claim: &Claim, rev: u64) -> bool {
        self.store.release(fence(claim, rev), &write(Status::Running, b"{}"), PATIENCE).await.unwrap()
    }

    /// A key of the partition.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", rapidbridge::store::keys::partition(self.store.environment(), 0))
    }

    /// A command behind the store's back.
    pub(crate) async fn raw<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }

    /// The run's hash as it is.
    pub(crate) async fn hash(&self, run: RunId) -> HashMap<String, String> {
        self.raw(&["HGETALL", &self.key(&format!("run:{run}"))]).await
    }
}

/// The fence of a claim's write; `step` 1 is its first.
pub(crate) fn fence(claim: &Claim, step: u64) -> Fence<'_> {
    Fence { run: claim.request.id, epoch: claim.epoch, owner: &claim.owner, rev: claim.rev + step }
}

pub(crate) fn write(status: Status, checkpoint: &[u8]) -> Write<'_> {
    let log = r#"{"what":"a write"}"#;
    Write {
        status,
        decided: false,
        checkpoint,
        log,
        staged: 0,
        put: Vec::new(),
        drop: Vec::new(),
        marks: Vec::new(),
    }
}

/// A request of `account` for `job` in partition 0, made at this time.
pub(crate) fn request(environment: &EnvironmentId, account: &str, job: &str, created_at: i64) -> RunRequest {
    RunRequest {
        id: RunId::new(0),
        environment: environment.clone(),
        job: job.parse().unwrap(),
        account: account.parse().unwrap(),
        webhooks: vec!["hook".parse().unwrap()],
        args: Json::empty_object(),
        error_handling: ErrorHandling::Ignore,
        ignore_previous_run: false,
        slot: None,
        replay_of: None,
        revisions: Revisions { job: "j".into(), integration: "i".into() },
        mutex_key: None,
        state_key: None,
        force: false,
        dry_run: None,
        events_to_send: None,
        version: 1,
        created_at: Millis(created_at),
    }
}
