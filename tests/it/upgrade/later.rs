//! State that a later version wrote, met by this one, as in the middle of a rolling upgrade: it waits untouched for a
//! process that understands it, and keeps nobody else from anything.

use std::collections::BTreeSet;

use rapidbridge::playground::helpdesk::Resource;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

use super::dump::{ask, connect};
use crate::support::{Cluster, Expected, PATIENCE, Run, Setup, definitions, eventually, hold_at, judge};

/// A cluster without workers, and a hand in its Redis.
struct Bench {
    cluster: Cluster,
    redis: MultiplexedConnection,
}

impl Bench {
    async fn start() -> Self {
        let cluster = Setup { workers: 0, ..Setup::default() }.start().await;
        let other =
            definitions::account("other", &cluster.helpdesk.url(), &cluster.helpdesk.settings().token);
        cluster.apply(vec![definitions::job("tickets", definitions::tickets()), other]).await;
        let redis = connect(cluster.redis.url()).await;
        Self { cluster, redis }
    }

    /// The one key with this name, in whichever partition.
    async fn key(&mut self, name: &str) -> String {
        let found: Vec<String> = ask(&mut self.redis, &["KEYS", &format!("rb:*}}:{name}")]).await;
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found.into_iter().next().unwrap()
    }

    async fn get(&mut self, key: &str, field: &str) -> String {
        ask(&mut self.redis, &["HGET", key, field]).await
    }

    async fn set(&mut self, key: &str, field: &str, value: &str) {
        let _: u64 = ask(&mut self.redis, &["HSET", key, field, value]).await;
    }

    /// The run once a worker put it aside.
    async fn set_aside(&self, run: &str) -> Run {
        let wanted = |run: &Run| run.place == "parked" && run.status == "retrying";
        self.cluster.api.run_when(run, "set aside", wanted).await
    }

    /// Ends the run's wait.
    async fn wake(&mut self, run: &str) {
        let key = self.key(&format!("run:{run}")).await;
        let parked = key.replace(&format!("run:{run}"), "parked");
        let _: u64 = ask(&mut self.redis, &["ZADD", &parked, "XX", "1", run]).await;
    }

    /// Others are served as ever, by the very worker that does not understand this one.
    async fn others_complete(&self) {
        let run = self.cluster.api.push("tickets", "other", "backend").await;
        assert_eq!(self.cluster.api.ended(&run).await.status, "completed");
    }

    /// Waits until a trigger is on the clock (1), or off it (0).
    async fn clock_has(&mut self, trigger: &str, wanted: usize) {
        let pattern = format!("rb:*}}:trigger:{trigger}");
        eventually(&format!("{wanted} of trigger {trigger}"), async || {
            let found: Vec<String> = ask(&mut self.redis, &["KEYS", &pattern]).await;
            (found.len() == wanted).then_some(())
        })
        .await;
    }

    /// A run that was left after its first page, by a worker that is gone.
    async fn left_in_flight(&mut self) -> (String, String) {
        hold_at(&self.cluster.receiver, 2);
        self.cluster.start_worker();
        let run = self.cluster.api.push("tickets", "acme", "backend").await;
        let came = |ledger: &rapidbridge::playground::receiver::Ledger| ledger.run(&run).last_acked_seq == 1;
        self.cluster.receiver.wait_for("page 1", PATIENCE, came).await.unwrap();
        let held = |ledger: &rapidbridge::playground::receiver::Ledger| {
            ledger.requests.iter().any(|request| request.seq == Some(2))
        };
        self.cluster.receiver.wait_for("page 2 to wait", PATIENCE, held).await.unwrap();
        self.cluster.take_holder(&run).await.kill().await;
        self.cluster.receiver.release();
        let key = self.key(&format!("run:{run}")).await;
        (run, key)
    }
}

#[tokio::test]
async fn a_checkpoint_of_a_later_version_waits_untouched() {
    let mut bench = Bench::start().await;
    let (run, key) = bench.left_in_flight().await;
    let before = bench.get(&key, "checkpoint").await;
    let mut later: Value = serde_json::from_str(&before).unwrap();
    later["frames"][0]["cursor"] = json!({ "window": ["2026-01-01", 7] });
    let later = later.to_string();
    bench.set(&key, "checkpoint", &later).await;
    bench.set(&key, "novelty", "what a later version keeps here").await;
    bench.cluster.start_worker();
    let aside = bench.set_aside(&run).await;
    assert!(aside.reason.as_deref().unwrap().contains("update the workers"), "{aside:?}");
    assert_eq!(bench.get(&key, "checkpoint").await, later);
    bench.others_complete().await;
    // A stop does not end what nobody here understands.
    bench.cluster.api.post(&format!("/sync-job-run/{run}/stop"), &json!({})).await;
    bench.set_aside(&run).await;
    let _: u64 = ask(&mut bench.redis, &["HDEL", &key, "stop"]).await;
    assert_eq!(bench.get(&key, "checkpoint").await, later);
    // Then comes a worker that understands it; here, the checkpoint is made one that this one does.
    bench.set(&key, "checkpoint", &before).await;
    bench.wake(&run).await;
    assert_eq!(bench.cluster.api.ended(&run).await.status, "completed");
    assert_eq!(bench.get(&key, "novelty").await, "what a later version keeps here");
    let cluster = &mut bench.cluster;
    let expected = Expected { duplicates: 1, ..Expected::default() };
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], expected);
    cluster.check_alive();
}

#[tokio::test]
async fn a_request_of_a_later_version_is_not_executed() {
    let mut bench = Bench::start().await;
    let mut runs = Vec::new();
    for (member, value) in
        [("version", json!(rapidbridge::run::REQUEST_VERSION + 1)), ("error_handling", json!("novelty"))]
    {
        let run = bench.cluster.api.push("tickets", "acme", "backend").await;
        let key = bench.key(&format!("run:{run}")).await;
        let mine = bench.get(&key, "request").await;
        let mut later: Value = serde_json::from_str(&mine).unwrap();
        later[member] = value;
        bench.set(&key, "request", &later.to_string()).await;
        runs.push((run, key, mine, later.to_string()));
    }
    bench.cluster.start_worker();
    bench.others_complete().await;
    // Both are of one job and account: the first holds the key that the second waits for.
    for (run, key, mine, later) in runs {
        eventually("it to be set aside", async || (bench.get(&key, "place").await == "parked").then_some(()))
            .await;
        assert_eq!(bench.get(&key, "request").await, later);
        let reason = bench.get(&key, "reason").await;
        assert!(reason.contains("update the workers"), "{reason}");
        bench.set(&key, "request", &mine).await;
        bench.wake(&run).await;
        assert_eq!(bench.cluster.api.ended(&run).await.status, "completed");
    }
}

#[tokio::test]
async fn a_definition_of_a_later_version_fails_no_run() {
    let mut bench = Bench::start().await;
    let run = bench.cluster.api.push("tickets", "acme", "backend").await;
    let key = bench.key("webhook").await;
    let mine = bench.get(&key, "backend").await;
    let mut later: Value = serde_json::from_str(&mine).unwrap();
    later["body"]["novelty"] = json!({ "deep": true });
    later["labels"] = json!(["beside the body"]);
    bench.set(&key, "backend", &later.to_string()).await;
    bench.cluster.start_worker();
    let aside = bench.set_aside(&run).await;
    assert!(aside.reason.as_deref().unwrap().contains("novelty"), "{aside:?}");
    // Applied anew, what stands beside the body stays.
    bench.cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    let now: Value = serde_json::from_str(&bench.get(&key, "backend").await).unwrap();
    assert_eq!((&now["labels"], &now["body"]["novelty"]), (&later["labels"], &Value::Null));
    bench.wake(&run).await;
    assert_eq!(bench.cluster.api.ended(&run).await.status, "completed");
}

#[tokio::test]
async fn a_trigger_of_a_later_version_keeps_its_place_on_the_clock() {
    let mut bench = Bench::start().await;
    let trigger = definitions::trigger("hourly", "tickets", "acme", "backend", "1h");
    bench.cluster.api.apply(&[trigger]).await;
    bench.clock_has("hourly", 1).await;
    let state = bench.key("trigger:hourly").await;
    let slot = bench.get(&state, "last_slot").await;
    let records = bench.key("sync_job_cron_trigger").await;
    let mut later: Value = serde_json::from_str(&bench.get(&records, "hourly").await).unwrap();
    later["body"]["novelty"] = json!(true);
    bench.set(&records, "hourly", &later.to_string()).await;
    let generation = bench.key("generation").await;
    let _: u64 = ask(&mut bench.redis, &["INCR", &generation]).await;
    // A trigger that goes at the same look shows when the look is over.
    let gone = definitions::trigger("gone", "tickets", "acme", "backend", "1h");
    bench.cluster.api.apply(&[gone]).await;
    bench.clock_has("gone", 1).await;
    let (status, text) =
        bench.cluster.api.call(reqwest::Method::DELETE, "/sync-job-cron-trigger/gone", None).await;
    assert_eq!(status, 200, "{text}");
    bench.clock_has("gone", 0).await;
    assert_eq!(bench.get(&state, "last_slot").await, slot);
    assert!(bench.cluster.logs().contains("this scheduler does not fire it"));
}

/// A list shows what can be read.
#[tokio::test]
async fn a_run_that_can_not_be_read_hides_no_other() {
    let mut bench = Bench::start().await;
    let hidden = bench.cluster.api.push("tickets", "acme", "backend").await;
    let shown = bench.cluster.api.push("tickets", "acme", "backend").await;
    let key = bench.key(&format!("run:{hidden}")).await;
    bench.set(&key, "status", "pondering").await;
    let runs = bench.cluster.api.runs("sync_job_id=tickets").await;
    assert_eq!(runs.iter().map(|run| &run.id).collect::<Vec<_>>(), [&shown]);
}

/// Bytes that are no checkpoint at all say nothing of where the run was: it starts over, and keeps nothing of before.
#[tokio::test]
async fn a_damaged_checkpoint_starts_the_run_over() {
    let mut bench = Bench::start().await;
    let (run, key) = bench.left_in_flight().await;
    bench.set(&key, "checkpoint", "{\"version\":1,\"frames\":[{").await;
    let stage = key.replace("run:", "stage:");
    bench.set(&stage, "s9", "what nothing names any more").await;
    bench.cluster.start_worker();
    assert_eq!(bench.cluster.api.ended(&run).await.status, "completed");
    let came = bench.cluster.receiver.read(|ledger| ledger.run(&run).resources["tickets"].unique.clone());
    let came: BTreeSet<u64> = came.iter().map(|id| id.parse().unwrap()).collect();
    assert_eq!(came, bench.cluster.helpdesk.ids(Resource::Tickets));
    assert!(bench.cluster.logs().contains("the run starts over"));
    bench.cluster.assert_quiet().await;
}
