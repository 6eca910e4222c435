//! Redis' memory is full: what brings new work is refused with what to do about it, runs under way come to their end,
//! and once there is memory again everything that was accepted goes on, each slot of a trigger included.

use rapidbridge::clock;
use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::receiver::Ledger;
use reqwest::Method;
use serde_json::json;

use crate::schedule::{missing, slots};
use crate::support::definitions::{self, account, job, trigger, with};
use crate::support::{Cluster, Expected, PATIENCE, Run, Setup, eventually, hold_at, judge};

async fn max_memory(cluster: &Cluster, bytes: &str) {
    let client = redis::Client::open(cluster.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory").arg(bytes).query_async::<()>(&mut connection).await.unwrap();
    // Whatever is cached must not be what lets the runs go on.
    redis::cmd("SCRIPT").arg("FLUSH").query_async::<()>(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_full_redis_refuses_new_work_and_finishes_what_it_has() {
    let helpdesk = helpdesk::Settings { tickets: 400, ..helpdesk::Settings::default() };
    let setup = Setup { workers: 1, helpdesk, ..Setup::default() }.set("WORKER__CONCURRENCY", "1");
    let mut cluster = setup.start().await;
    let often = with(
        trigger("often", "quick", "other", "backend", "1s"),
        json!({ "overlap": "allow", "catch_up": "all" }),
    );
    let definitions = vec![
        job("tickets", definitions::tickets()),
        job("quick", json!([{ "resource": "organizations" }])),
        account("other", &cluster.helpdesk.url(), &cluster.helpdesk.settings().token),
    ];
    cluster.apply([definitions.clone(), vec![often.clone()]].concat()).await;
    hold_at(&cluster.receiver, 5);
    let under_way = cluster.api.push("tickets", "acme", "backend").await;
    let waits = |ledger: &Ledger| {
        ledger
            .requests
            .last()
            .is_some_and(|last| last.seq == Some(5) && last.run.as_deref() == Some(&under_way))
    };
    cluster.receiver.wait_for("page 5 to wait", PATIENCE, waits).await.unwrap();
    let accepted = cluster.api.push("tickets", "other", "backend").await;
    max_memory(&cluster, "1").await;
    let full = clock::now();

    let wanted = json!({ "sync_job_id": "quick", "integrated_account_id": "acme", "webhook_id": "backend" });
    let again = json!({ "documents": [with(job("quick", json!([])), json!({ "resources": [{ "resource": "users" }] }))] });
    for (path, body) in [("/sync-job-run", &wanted), ("/apply", &again)] {
        let (status, text) = cluster.api.call(Method::POST, path, Some(body)).await;
        assert_eq!(status, 503, "{path}: {text}");
        for word in ["memory is full", "maxmemory", "retention.finished_runs", "Nothing was written"] {
            assert!(text.contains(word), "{path}: {word:?} is not said: {text}");
        }
    }
    cluster.receiver.release();
    let ended = cluster.api.ended(&under_way).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    judge(&cluster.helpdesk, &cluster.receiver, &under_way, &[Resource::Tickets], Expected::default());
    // Slots pass, and the free worker tries to take what waits.
    let refused = async || {
        let told = cluster.logs().matches("new work is refused").count() >= 2;
        (told && clock::now().since(full).as_secs() >= 4).then_some(())
    };
    eventually("scheduler and worker to be refused", refused).await;
    assert!(!cluster.api.run(&accepted).await.has_ended());
    let made = slots(&cluster.api, "quick").await;

    max_memory(&cluster, "0").await;
    let ended = cluster.api.ended(&accepted).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    let pushed = cluster.api.push("quick", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&pushed).await.status, "completed");
    let caught_up = async || (slots_of_trigger(&cluster).await.len() > made.len() + 4).then_some(());
    eventually("the slots to be made up for", caught_up).await;
    cluster.apply([definitions, vec![with(often, json!({ "enabled": false }))]].concat()).await;
    let all = slots_of_trigger(&cluster).await;
    assert_eq!(missing(&all), Vec::<i64>::new(), "of {all:?}");
    for run in cluster.api.runs("sync_job_id=quick").await {
        let ended = cluster.api.ended(&run.id).await;
        assert_eq!(ended.status, "completed", "{ended:?}");
    }
    cluster.assert_quiet().await;
    assert!(!cluster.logs().contains("mended runs"), "something was half written");
    cluster.check_alive();
}

/// What only a claim can bring out of Redis again comes out, and a run that waits for memory says so.
#[tokio::test]
async fn runs_that_were_parked_or_whose_worker_died_complete_while_redis_is_full() {
    let helpdesk = helpdesk::Settings { tickets: 400, ..helpdesk::Settings::default() };
    let setup = Setup { workers: 1, helpdesk, ..Setup::default() };
    let mut cluster = setup.start().await;
    let other = account("other", &cluster.helpdesk.url(), &cluster.helpdesk.settings().token);
    cluster.apply(vec![job("tickets", definitions::tickets()), other]).await;
    // One is parked with its page staged, the worker of the other dies.
    cluster.receiver.down();
    let parked = cluster.api.push("tickets", "acme", "backend").await;
    let stopped = cluster.api.push("tickets", "other", "backend").await;
    for run in [&parked, &stopped] {
        cluster.api.run_when(run, "parked", |run| run.place == "parked").await;
    }
    cluster.workers.remove(0).kill().await;
    let fresh = cluster.api.push("tickets", "other", "backend").await;
    max_memory(&cluster, "1").await;
    cluster.start_worker();
    assert_eq!(
        cluster.api.post(&format!("/sync-job-run/{stopped}/stop"), &json!({})).await["id"],
        stopped.as_str()
    );
    assert_eq!(cluster.api.ended(&stopped).await.status, "stopped");
    cluster.receiver.up();
    assert_eq!(cluster.api.ended(&parked).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &parked, &[Resource::Tickets], Expected::default());
    let waits =
        |run: &Run| run.reason.as_deref().is_some_and(|reason| reason.contains("raise its maxmemory"));
    assert_eq!(cluster.api.run_when(&fresh, "waiting for memory", waits).await.status, "created");
    max_memory(&cluster, "0").await;
    cluster.api.post(&format!("/sync-job-run/{stopped}/resume"), &json!({})).await;
    for run in [&fresh, &stopped] {
        assert_eq!(cluster.api.ended(run).await.status, "completed");
    }
    cluster.assert_quiet().await;
}

async fn slots_of_trigger(cluster: &Cluster) -> std::collections::BTreeSet<i64> {
    slots(&cluster.api, "quick&integrated_account_id=other").await
}
