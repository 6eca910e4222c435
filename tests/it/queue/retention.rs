//! What is no longer needed goes, by age and by count, however much of it there is; and nothing stays without an owner.

use std::sync::Arc;
use std::time::Duration;

use rapidbridge::clock::Millis;
use rapidbridge::seal::{SealKey, Sealer};
use rapidbridge::store::audit::Sweep;
use rapidbridge::store::definitions::Definitions;
use rapidbridge::store::ready::ReadyReader;
use serde_json::json;

use super::LEASE;
use super::bench::Bench;
use crate::support::{Setup, definitions, eventually};

/// More than one call of a script handles twice over.
const MANY: usize = 450;

impl Bench {
    /// So many runs that have ended, with something staged each.
    async fn ended(&self, count: usize) {
        for created in 1..=count {
            let run = self.push(&format!("account-{}", created % 7), "job", created as i64).await;
            self.store.stop(run, "a test").await.unwrap();
        }
        // As if they had failed at work.
        let stage = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. 'ended', 0, -1)) do
            redis.call('HSET', KEYS[1] .. 'stage:' .. id, 's1', 'bytes')
            redis.call('ZADD', KEYS[1] .. 'stages', 5, id)
            redis.call('INCRBY', KEYS[1] .. 'staged', 5)
        end";
        let _: Option<String> = self.raw(&["EVAL", stage, "1", &self.key("")]).await;
    }

    async fn count(&self, kind: &str) -> usize {
        self.raw::<Vec<String>>(&["KEYS", &self.key(&format!("{kind}:*"))]).await.len()
    }
}

#[tokio::test]
async fn pruning_does_not_fall_behind_however_many_runs_ended() {
    let bench = Bench::start().await;
    bench.ended(MANY).await;
    let mut retention = bench.settings.retention.clone();
    assert_eq!((bench.store.prune(0, &retention).await.unwrap(), bench.count("stage").await), (0, MANY));
    retention.resumable = Duration::ZERO;
    assert_eq!((bench.store.prune(0, &retention).await.unwrap(), bench.count("stage").await), (0, 0));
    assert_eq!(bench.raw::<i64>(&["GET", &bench.key("staged")]).await, 0);
    let newest: Vec<String> = bench.raw(&["ZRANGE", &bench.key("ended"), "-10", "-1"]).await;
    retention.finished_runs_max = 10;
    assert_eq!(bench.store.prune(0, &retention).await.unwrap(), MANY as u64 - 10);
    let kept: Vec<String> = bench.raw(&["ZRANGE", &bench.key("ended"), "0", "-1"]).await;
    assert_eq!(kept, newest, "the oldest go first");
    retention.finished_runs = Duration::ZERO;
    assert_eq!(bench.store.prune(0, &retention).await.unwrap(), 10);
    assert_eq!((bench.count("run").await, bench.count("log").await), (0, 0));
    let found = bench.store.audit().await.unwrap();
    assert!(found.is_clean(), "{found}");
}

#[tokio::test]
async fn a_stopped_run_leaves_its_account_no_turn() {
    let bench = Bench::start().await;
    bench.push("first", "job", 1).await;
    let waits = bench.push("second", "job", 2).await;
    assert_eq!(bench.place(waits).await, "backlog");
    bench.store.stop(waits, "a test").await.unwrap();
    assert_eq!(bench.raw::<u64>(&["EXISTS", &bench.key("ring")]).await, 0);
    let found = bench.store.audit().await.unwrap();
    assert!(found.is_clean(), "{found}");
}

#[tokio::test]
async fn consumers_that_are_idle_and_hold_nothing_go() {
    let bench = Bench::start().await;
    let (ready, run) = (bench.key("ready"), bench.push("acme", "job", 1).await);
    let mut holds = ReadyReader::new(bench.store.clone(), "holds".into());
    assert_eq!(holds.read(1).await.unwrap()[0].run, run);
    let _: u64 = bench.raw(&["XGROUP", "CREATECONSUMER", &ready, "workers", "gone"]).await;
    let names = async || {
        let consumers: Vec<Vec<redis::Value>> = bench.raw(&["XINFO", "CONSUMERS", &ready, "workers"]).await;
        let names = consumers.into_iter().map(|fields| redis::from_redis_value(fields[1].clone()).unwrap());
        names.collect::<Vec<String>>()
    };
    assert_eq!(names().await, ["gone", "holds"]);
    bench.store.reconcile(0, LEASE).await.unwrap();
    assert_eq!(names().await, ["gone", "holds"], "it may come back");
    eventually("the idle one to go", async || {
        bench.store.reconcile_with(0, LEASE, Duration::ZERO).await.unwrap();
        (names().await == ["holds"]).then_some(())
    })
    .await;
}

/// Whatever accident left it: what has no owner goes by and by, and what is not known stays.
#[tokio::test]
async fn the_sweep_removes_what_has_no_owner_and_nothing_else() {
    let bench = Bench::start().await;
    bench.ended(3).await;
    let kept = bench.push("acme", "job", 9).await;
    let leftovers: [&[&str]; 16] = [
        &["ZADD", "leases", "1", "gone"],
        &["ZADD", "parked", "9999999999999", "gone"],
        &["ZADD", "waiting:key", "1", "gone"],
        &["HSET", "mutexes", "key", "gone"],
        &["ZADD", "backlog:acme", "1", "gone"],
        &["ZADD", "asleep", "9999999999999", "nobody"],
        &["SADD", "live", "gone"],
        &["SADD", "trigger-runs:t", "gone"],
        &["ZADD", "runs", "1", "gone"],
        &["ZADD", "ended", "9999999999999", "gone"],
        &["HSET", "run:half", "status", "running"],
        &["RPUSH", "log:gone", "{}"],
        &["HSET", "stage:gone", "a", "b"],
        &["SET", "idempotency:k", "gone"],
        &["HSET", "watermarks:nobody", "series", "1"],
        &["HSET", "trigger:none", "next", ""],
    ];
    for words in leftovers {
        let key = bench.key(words[1]);
        let mut words = words.to_vec();
        words[1] = &key;
        let _: redis::Value = bench.raw(&words).await;
    }
    let _: String = bench.raw(&["SET", &bench.key("novelty:x"), "a later version's"]).await;
    assert!(bench.store.audit().await.unwrap().leftovers.len() > leftovers.len());
    let mut sweep = Sweep::default();
    eventually("nothing to be left", async || {
        bench.store.sweep(&mut sweep).await.unwrap();
        let left = bench.store.audit().await.unwrap();
        (left.orphans.is_empty() && left.leftovers.len() == 1).then_some(())
    })
    .await;
    assert_eq!(bench.raw::<u64>(&["EXISTS", &bench.key("novelty:x")]).await, 1);
    assert_eq!(bench.count("run").await, 4);
    assert_eq!(bench.claim("w").await.request.id, kept);
}

/// What a run executes stays as long as the run, however long ago both were made.
#[tokio::test]
async fn contents_go_when_no_run_executes_them_any_more() {
    let bench = Bench::start().await;
    let prefix = rapidbridge::store::keys::definitions(bench.store.environment());
    // The bench's runs execute `j` and `i`.
    for address in ["j", "i", "pinned", "unused"] {
        let _: String = bench.raw(&["SET", &format!("{prefix}content:{address}"), "{}"]).await;
        let _: u64 = bench.raw(&["ZADD", &format!("{prefix}contents"), "1", address]).await;
    }
    let run = bench.push("acme", "job", 1).await;
    let sealer = Arc::new(Sealer::new(SealKey::generate(), Vec::new()));
    let definitions = Definitions::new(bench.store.clone(), sealer);
    let left = async || {
        let mut left: Vec<String> = bench.raw(&["KEYS", &format!("{prefix}content:*")]).await;
        left.iter_mut().for_each(|key| *key = key.replace(&format!("{prefix}content:"), ""));
        left.sort();
        left
    };
    let long_ago = Millis(2);
    let prune = async |before: Millis| {
        let unused = definitions.unused_contents(before).await.unwrap();
        definitions.forget_contents(&unused, before).await.unwrap()
    };
    let unused = definitions.unused_contents(long_ago).await.unwrap();
    assert_eq!(unused, ["pinned", "unused"]);
    definitions.pin(&["pinned"]).await.unwrap();
    assert_eq!(definitions.forget_contents(&unused, long_ago).await.unwrap(), 1);
    assert_eq!(left().await, ["i", "j", "pinned"], "one was pinned after the look");
    assert_eq!(prune(long_ago).await, 0, "they were just in use");
    bench.store.stop(run, "a test").await.unwrap();
    let later = Millis(bench.store.now().await.unwrap().0 + 60_000);
    assert_eq!(prune(later).await, 3);
    let found = bench.store.audit().await.unwrap();
    assert!(found.is_clean(), "{found}");
}

#[tokio::test]
async fn deleted_accounts_and_triggers_leave_nothing() {
    let cluster = Setup::default().start().await;
    let rests = definitions::trigger("rests", "tickets", "acme", "backend", "1h");
    let rests = definitions::with(rests, json!({ "enabled": false }));
    let ticks = definitions::trigger("ticks", "tickets", "acme", "backend", "1h");
    cluster.apply(vec![definitions::job("tickets", definitions::tickets()), rests, ticks]).await;
    let run = cluster.api.push("tickets", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    let store = cluster.store().await;
    let keys = async |pattern: &str| {
        let client = redis::Client::open(cluster.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("KEYS").arg(pattern).query_async::<Vec<String>>(&mut connection).await.unwrap()
    };
    eventually("both triggers to be on the clock", async || {
        (keys("*}:trigger:*").await.len() == 2).then_some(())
    })
    .await;
    assert_eq!(keys("*}:watermarks:acme").await.len(), 1);
    let found = store.audit().await.unwrap();
    assert!(found.is_clean(), "{found}");
    for path in ["sync-job-cron-trigger/rests", "sync-job-cron-trigger/ticks", "integrated-account/acme"] {
        let (status, text) = cluster.api.call(reqwest::Method::DELETE, &format!("/{path}"), None).await;
        assert_eq!(status, 200, "{text}");
    }
    assert_eq!(keys("*}:watermarks:acme").await.len(), 0, "at once, not with some later sweep");
    eventually("nothing of them to be left", async || store.audit().await.unwrap().is_clean().then_some(()))
        .await;
    assert_eq!(keys("*}:trigger*").await.len(), 0);
    assert!(!cluster.logs().contains("found out of place"), "each went with its owner, not with a sweep");
    assert_eq!(
        cluster.api.runs("sync_job_id=tickets").await.len(),
        1,
        "a trigger that is disabled makes no run"
    );
}
