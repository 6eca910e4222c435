//! The audit sees what is out of place, and nothing in what is in order.

use rapidbridge::clock::Millis;
use rapidbridge::store::audit::Audit;

use super::bench::Bench;
use crate::support::{Setup, definitions};

async fn audit(bench: &Bench) -> Audit {
    bench.store.audit().await.unwrap()
}

/// A run in each of the places.
async fn in_every_place(bench: &Bench) -> [String; 6] {
    let parked = bench.push("parked", "job", 1).await;
    let claim = bench.claim("w").await;
    let later = bench.store.now().await.unwrap().0 + 600_000;
    assert!(bench.park(&claim, 1, Millis(later)).await);
    let ended = bench.push("ended", "job", 2).await;
    let claim = bench.claim("w").await;
    bench.fail(&claim).await;
    let leased = bench.push("acme", "job", 3).await;
    bench.claim("w").await;
    let waiting = bench.push("acme", "job", 4).await;
    bench.tend().await;
    let ready = bench.push("ready", "job", 5).await;
    // The stream is kept shallow: what comes now waits in its backlog.
    let backlog = bench.push("backlog", "job", 6).await;
    let runs = [parked, ended, leased, waiting, ready, backlog];
    for (run, place) in runs.iter().zip(["parked", "ended", "leased", "waiting", "ready", "backlog"]) {
        assert_eq!(bench.place(*run).await, place);
    }
    runs.map(|run| run.to_string())
}

#[tokio::test]
async fn what_is_in_order_is_found_in_order() {
    let bench = Bench::start().await;
    assert_eq!(audit(&bench).await, Audit::default());
    in_every_place(&bench).await;
    let found = audit(&bench).await;
    assert!(found.is_clean(), "{found}");
}

/// What breaks something, what mends it, and a word of what is found.
type Case<'c> = ([&'c str; 4], [&'c str; 4], String);

/// Breaks one thing after the other behind the store's back; it is named until it is mended.
async fn each_is_named(bench: &Bench, cases: Vec<Case<'_>>) {
    for (breaks, mends, word) in cases {
        command(bench, breaks).await;
        let found = audit(bench).await;
        assert!(found.to_string().contains(&word), "{breaks:?}: {word:?} is not in {found}");
        command(bench, mends).await;
        let found = audit(bench).await;
        assert!(found.is_clean(), "after {mends:?}: {found}");
    }
}

#[tokio::test]
async fn every_run_that_is_out_of_place_is_named() {
    let bench = Bench::start().await;
    let [parked, ended, leased, waiting, ready, backlog] = in_every_place(&bench).await;
    let now = bench.store.now().await.unwrap().0.to_string();
    let cases = vec![
        (
            ["ZREM", "parked", &parked, ""],
            ["ZADD", "parked", &now, &parked],
            format!("{parked}: it says that it is parked, and is in no place"),
        ),
        (["ZADD", "leases", &now, &parked], ["ZREM", "leases", &parked, ""], format!("{parked} in leases")),
        (
            ["ZREM", "leases", &leased, ""],
            ["ZADD", "leases", &now, &leased],
            format!("{leased}: it says that it is leased"),
        ),
        (
            ["ZREM", "backlog:backlog", &backlog, ""],
            ["ZADD", "backlog:backlog", "6", &backlog],
            format!("{backlog}: it says"),
        ),
        (
            ["ZREM", "ring", "backlog", ""],
            ["ZADD", "ring", "9", "backlog"],
            "account backlog never gets a turn".into(),
        ),
        (["ZADD", "ring", "9", "nobody"], ["ZREM", "ring", "nobody", ""], "nobody in ring".into()),
        (
            ["HDEL", "mutexes", "job:acme", ""],
            ["HSET", "mutexes", "job:acme", &leased],
            format!("{waiting}: it waits for job:acme"),
        ),
        (["HSET", "mutexes", "other", &ended], ["HDEL", "mutexes", "other", ""], "other in mutexes".into()),
        (
            ["SREM", "live", &ready, ""],
            ["SADD", "live", &ready, ""],
            format!("{ready}: it is ready, and is not counted as live"),
        ),
        (["SADD", "live", &ended, ""], ["SREM", "live", &ended, ""], format!("{ended} in live")),
    ];
    each_is_named(&bench, cases).await;
}

#[tokio::test]
async fn every_key_without_an_owner_is_named() {
    let bench = Bench::start().await;
    let [_, ended, ..] = in_every_place(&bench).await;
    let (run, stage) = (format!("run:{ended}"), format!("stage:{ended}"));
    let created: String = bench.raw(&["ZSCORE", &bench.key("runs"), &ended]).await;
    let cases = vec![
        (["ZREM", "runs", &ended, ""], ["ZADD", "runs", &created, &ended], "no list names it".into()),
        (["ZADD", "runs", "1", "gone"], ["ZREM", "runs", "gone", ""], "gone in runs".into()),
        (
            ["HSET", "run:gone", "status", "running"],
            ["DEL", "run:gone", "", ""],
            "it lacks what every run has".into(),
        ),
        (["RPUSH", "log:gone", "{}", ""], ["DEL", "log:gone", "", ""], "log:gone: its run is gone".into()),
        (
            ["HSET", "stage:gone", "a", "b"],
            ["DEL", "stage:gone", "", ""],
            "stage:gone: its run is gone".into(),
        ),
        (
            ["HSET", &run, "status", "completed"],
            ["HSET", &run, "status", "failed"],
            format!("{stage}: its run completed"),
        ),
        (["ZADD", "stages", "7", "gone"], ["ZREM", "stages", "gone", ""], "gone in stages".into()),
        (
            ["INCRBY", "staged", "7", ""],
            ["DECRBY", "staged", "7", ""],
            "staged: it counts 12 bytes, and 5 are staged".into(),
        ),
        (
            ["SET", "idempotency:k", &ended, ""],
            ["DEL", "idempotency:k", "", ""],
            "idempotency:k: it should expire".into(),
        ),
        (
            ["HSET", "gate:acme", "opens", "1"],
            ["DEL", "gate:acme", "", ""],
            "gate:acme: it should expire".into(),
        ),
        (
            ["HSET", "watermarks:nobody", "s", "1"],
            ["DEL", "watermarks:nobody", "", ""],
            "there is no account \"nobody\"".into(),
        ),
        (
            ["HSET", "trigger:none", "next", "1"],
            ["DEL", "trigger:none", "", ""],
            "there is no trigger \"none\"".into(),
        ),
        (["ZADD", "triggers", "1", "none"], ["ZREM", "triggers", "none", ""], "none in triggers".into()),
        (
            ["SADD", "trigger-runs:t", &ended, ""],
            ["DEL", "trigger-runs:t", "", ""],
            format!("{ended} in trigger-runs:t"),
        ),
        (
            ["SET", "novelty:x", "1", ""],
            ["DEL", "novelty:x", "", ""],
            "novelty:x: it is no kind of key that is known".into(),
        ),
    ];
    each_is_named(&bench, cases).await;
}

#[tokio::test]
async fn entries_that_nobody_knows_and_contents_without_a_list_are_named() {
    let bench = Bench::start().await;
    bench.push("acme", "job", 1).await;
    let ready = bench.key("ready");
    let _: String = bench.raw(&["XADD", &ready, "*", "run", "gone"]).await;
    let content = format!("{}content:abc", rapidbridge::store::keys::definitions(bench.store.environment()));
    let _: String = bench.raw(&["SET", &content, "{}"]).await;
    let found = audit(&bench).await;
    assert!(found.orphans.is_empty(), "{found}");
    assert_eq!(found.leftovers.len(), 2, "{found}");
    assert!(found.to_string().contains("run gone does not know it"), "{found}");
    assert!(found.to_string().contains("content:abc: no list names it"), "{found}");
}

/// Each slice is judged at one moment: while runs go from place to place, nothing is found out of place.
#[tokio::test]
async fn an_audit_is_right_while_runs_are_at_work() {
    let cluster = Setup { workers: 2, ..Setup::default() }.start().await;
    let token = &cluster.helpdesk.settings().token;
    let mut documents = vec![definitions::job("nested", definitions::nested())];
    let accounts: Vec<String> = (0..6).map(|number| format!("account-{number}")).collect();
    documents.extend(accounts.iter().map(|id| definitions::account(id, &cluster.helpdesk.url(), token)));
    cluster.apply(documents).await;
    let store = cluster.store().await;
    let mut audits = 0;
    for round in 0..4 {
        let mut runs = Vec::new();
        for account in &accounts {
            runs.push(cluster.api.push("nested", account, "backend").await);
        }
        // Some are stopped wherever they are.
        cluster.api.post(&format!("/sync-job-run/{}/stop", runs[round]), &serde_json::json!({})).await;
        for run in &runs {
            while !cluster.api.run(run).await.has_ended() {
                let found = store.audit().await.unwrap();
                assert!(found.is_clean(), "{found}");
                audits += 1;
            }
        }
    }
    assert!(audits > 3, "{audits} audits while runs were at work");
}

async fn command(bench: &Bench, words: [&str; 4]) {
    let key = bench.key(words[1]);
    let mut words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words[1] = &key;
    let _: redis::Value = bench.raw(&words).await;
}
