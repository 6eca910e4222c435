//! `redis.durability` = `replicated`: what was accepted is confirmed by a replica, or the caller is told.

use rapidbridge::settings::Settings;
use rapidbridge::store::runs::{Enqueued, Exclusive};
use rapidbridge::store::{Store, StoreError};
use serde_json::json;

use crate::queue::bench;
use crate::support::cluster::TOKEN;
use crate::support::redis_group::RedisGroup;
use crate::support::{Api, SEAL_KEY, Setup, definitions, eventually};

fn settings(group: &RedisGroup, more: &[(&str, &str)]) -> Settings {
    let given = [
        ("RAPIDBRIDGE_REDIS__URL", group.url.as_str()),
        ("RAPIDBRIDGE_REDIS__PARTITIONS", "4"),
        ("RAPIDBRIDGE_SEAL__KEY", SEAL_KEY),
    ];
    let given = given.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(None, given.collect::<Vec<_>>().into_iter()).unwrap()
}

/// Pushes with an idempotency key; the status and the answer.
async fn push(api: &Api, key: &str) -> (u16, String) {
    let body = json!({ "sync_job_id": "tickets", "integrated_account_id": "acme", "webhook_id": "backend" });
    api.call_with(reqwest::Method::POST, "/sync-job-run", Some(&body), &[("idempotency-key", key)]).await
}

#[tokio::test]
async fn a_run_that_no_replica_has_is_not_reported_as_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut group = RedisGroup::replicated(folder.path(), 1).await;
    let setup = Setup { workers: 0, schedulers: 2, ..Setup::default() }
        .set("REDIS__URL", &group.url)
        .set("REDIS__DURABILITY", "replicated")
        .set("REDIS__WAIT_TIMEOUT", "200ms");
    let mut cluster = setup.start().await;
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    let (status, text) = push(&cluster.api, "first").await;
    assert_eq!(status, 201, "{text}");

    // It stays connected and confirms nothing. Another scheduler, which has written nothing since, knows no better.
    let other = Api::new(vec![cluster.api.urls[1].clone()], TOKEN);
    assert_eq!(push(&other, "first").await.0, 200);
    group.nodes[1].freeze().unwrap();
    assert_eq!(push(&cluster.api, "frozen").await.0, 503);
    assert_eq!(push(&other, "frozen").await.0, 503);
    group.nodes[1].thaw().unwrap();
    let thawed = async || (push(&other, "frozen").await.0 == 200).then_some(());
    eventually("the push to be confirmed", thawed).await;

    group.nodes[1].kill().await.unwrap();
    let (status, text) = push(&cluster.api, "second").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("0 of 1 replicas") && text.contains("Idempotency-Key"), "{text}");
    // It is there, and says so as often as it is asked; but it is not confirmed.
    assert_eq!(cluster.api.runs("").await.len(), 3);
    assert_eq!(push(&cluster.api, "second").await.0, 503);
    let job = definitions::with(definitions::job("tickets", definitions::tickets()), json!({ "label": "x" }));
    let apply = json!({ "documents": [job] });
    for _ in 0..2 {
        // Also the second time, when nothing is left to be changed.
        let (status, text) = cluster.api.call(reqwest::Method::POST, "/apply", Some(&apply)).await;
        assert_eq!(status, 503, "{text}");
    }

    group.nodes[1].restart().await.unwrap();
    group.wait_for_replicas(0, 1).await;
    // A replica that is online may still be loading what it was sent.
    eventually("the repeated push to be confirmed", async || {
        let (status, text) = push(&cluster.api, "second").await;
        assert!(status == 200 || status == 503, "{status}: {text}");
        (status == 200).then_some(())
    })
    .await;
    assert_eq!(cluster.api.runs("").await.len(), 3, "the same key makes one run");
    // What ends is confirmed as well.
    cluster.start_worker();
    for run in cluster.api.runs("").await {
        assert_eq!(cluster.api.ended(&run.id).await.status, "completed");
    }
    cluster.check_alive();
}

/// The runs that were reported as accepted, and are not there after a fail-over to a replica that was cut off.
async fn lost_runs(level: &str) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut group = RedisGroup::with_sentinels(folder.path()).await;
    let more = [("RAPIDBRIDGE_REDIS__DURABILITY", level), ("RAPIDBRIDGE_REDIS__WAIT_TIMEOUT", "20ms")];
    let settings = settings(&group, &more);
    let store = Store::open(&settings.redis, &settings.environment).await.unwrap();
    let mut accepted = Vec::new();
    for number in 0..40 {
        if number == 20 {
            group.cut_off(1).await;
            group.cut_off(2).await;
        }
        let request = bench::request(&settings.environment, "acme", "job", number);
        match store.enqueue(&request, Exclusive::No, None).await {
            Ok(enqueued) => {
                assert_eq!(enqueued, Enqueued::Created(request.id));
                accepted.push(request.id);
            }
            Err(error) => assert!(matches!(error, StoreError::Unconfirmed { .. }), "{error}"),
        }
    }
    group.nodes[0].kill().await.unwrap();
    group.promoted().await;
    let mut lost = 0;
    for run in &accepted {
        let found = eventually("the new primary to answer", async || store.run(*run).await.ok()).await;
        lost += usize::from(found.is_none());
    }
    (accepted.len(), lost)
}

/// The worst that asynchronous replication can do, once with what it costs and once with what it takes.
#[tokio::test]
async fn a_fail_over_loses_what_was_accepted_under_everysec_and_nothing_under_replicated() {
    assert_eq!(lost_runs("everysec").await, (40, 20));
    assert_eq!(lost_runs("replicated").await, (20, 0));
}

#[tokio::test]
async fn less_than_was_asked_for_is_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let group = RedisGroup::replicated(folder.path(), 0).await;
    let open = async |level: &str, require: &str| {
        let more =
            [("RAPIDBRIDGE_REDIS__DURABILITY", level), ("RAPIDBRIDGE_REDIS__REQUIRE_DURABLE", require)];
        let settings = settings(&group, &more);
        Store::open(&settings.redis, &settings.environment).await
    };
    for (level, says) in [("replicated", "0 replicas are connected"), ("always", "appendfsync is everysec")] {
        let error = open(level, "true").await.unwrap_err();
        assert!(matches!(error, StoreError::Unfit(_)) && error.to_string().contains(says), "{error}");
        open(level, "warn").await.unwrap();
    }
    let _: String = group.ask(0, &["CONFIG", "SET", "appendfsync", "always"]).await;
    open("always", "true").await.unwrap();
}
