//! Rule 16: a run that ends its workers is found out alone, and ends as poison. Those that shared its workers go on;
//! releases, stops and outages of Redis are no crashes.

use std::collections::BTreeSet;
use std::sync::Arc;

use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::receiver::{self, Ledger};
use rapidbridge::playground::{Helpdesk, Receiver};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Cluster, Expected, PATIENCE, Setup, definitions, eventually, hold_at, judge, limit_at};

const STARTED: &str = "sync_job_run:started";

/// A second receiver with its webhook, and the definitions of a run that goes there.
async fn second(cluster: &Cluster, webhook: &str, more: Vec<Value>) -> Receiver {
    let settings = receiver::Settings { keep_bytes_max: 1 << 20, ..receiver::Settings::default() };
    let secret = settings.secret.clone();
    let second = Receiver::start(settings).await.unwrap();
    let hook = definitions::webhook(webhook, &second.url(), &secret);
    cluster.apply([vec![hook], more].concat()).await;
    second
}

/// The notes of a run's log lines of this kind.
async fn notes(cluster: &Cluster, run: &str, what: &str) -> Vec<String> {
    let log = cluster.api.get(&format!("/sync-job-run/{run}/log")).await;
    let lines = log["result"].as_array().unwrap().iter().filter(|line| line["what"] == what);
    lines.map(|line| line["note"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Epoch → worker of a run's claims.
async fn claims(cluster: &Cluster, run: &str) -> Vec<(u64, String)> {
    let claim = |note: &String| {
        let (worker, rest) = note.strip_prefix("by worker ")?.split_once(", epoch ")?;
        Some((rest.split(';').next()?.parse().ok()?, worker.to_owned()))
    };
    notes(cluster, run, "claimed").await.iter().map(|note| claim(note).unwrap()).collect()
}

fn tries(ledger: &Ledger, event: &str) -> usize {
    ledger.requests.iter().filter(|request| request.event == event).count()
}

#[tokio::test]
async fn a_run_that_ends_its_workers_is_poison_and_those_beside_it_are_not() {
    let mut cluster = Setup { workers: 2, ..Setup::default() }.start().await;
    let users = json!([{ "resource": "users" }]);
    let token = cluster.helpdesk.settings().token.clone();
    let mut more = vec![definitions::job("deadly", definitions::tickets()), definitions::job("users", users)];
    // Runs come all the time, so each worker always has some.
    for account in ["calm-1", "calm-2", "calm-3", "calm-4"] {
        more.push(definitions::account(account, &cluster.helpdesk.url(), &token));
        more.push(definitions::trigger(account, "users", account, "backend", "1s"));
    }
    let deadly = second(&cluster, "deadly", more).await;
    deadly.hold();
    let run = cluster.api.push("deadly", "acme", "deadly").await;
    for crash in 1..=3 {
        let came = |ledger: &Ledger| tries(ledger, STARTED) == crash;
        deadly.wait_for("`started` to wait for its answer", PATIENCE, came).await.unwrap();
        if crash == 3 {
            assert_alone(&cluster, &deadly, &run).await;
        }
        let holder = cluster.take_holder(&run).await;
        holder.kill().await;
        cluster.start_worker();
    }
    let failed = |ledger: &Ledger| tries(ledger, "sync_job_run:failed") == 1;
    deadly.release();
    deadly.wait_for("the last word", PATIENCE, failed).await.unwrap();
    let ended = cluster.api.ended(&run).await;
    assert_eq!((ended.status.as_str(), ended.code()), ("failed", "poison"), "{ended:?}");
    assert!(ended.message().contains("3 workers in a row"), "{ended:?}");
    assert_eq!(notes(&cluster, &run, "reaped").await.len(), 3, "its story");
    // The others: none failed, and each comes to its end.
    for account in ["calm-1", "calm-2", "calm-3", "calm-4"] {
        let off = json!({ "enabled": false });
        cluster
            .api
            .call(reqwest::Method::PATCH, &format!("/sync-job-cron-trigger/{account}"), Some(&off))
            .await;
    }
    let others = cluster.api.runs("sync_job_id=users").await;
    assert!(others.len() >= 12, "only {} runs beside it", others.len());
    for other in others {
        let ended = cluster.api.ended(&other.id).await;
        assert_eq!(ended.status, "completed", "{ended:?}");
    }
    cluster.check_alive();
}

/// The run has its worker to itself, while many others flow through another.
async fn assert_alone(cluster: &Cluster, deadly: &Receiver, run: &str) {
    let since = deadly.read(|ledger| ledger.requests.last().unwrap().at);
    let claims_of_run = claims(cluster, run).await;
    let worker = &claims_of_run.last().unwrap().1;
    let alone = notes(cluster, run, "alone").await;
    assert_eq!(alone.len(), 1, "alone at its third claim, not before: {alone:?}");
    assert!(alone[0].contains(worker.as_str()), "{alone:?}, but {worker} has it");
    let before = cluster.receiver.read(|ledger| ledger.acknowledged);
    let flow = |ledger: &Ledger| ledger.acknowledged >= before + 60;
    cluster.receiver.wait_for("other runs to flow", PATIENCE, flow).await.unwrap();
    let sent: BTreeSet<(String, u64)> = cluster.receiver.read(|ledger| {
        let after = ledger.requests.iter().filter(|request| request.at > since);
        after.filter_map(|request| Some((request.run.clone()?, request.epoch?))).collect()
    });
    let mut workers = BTreeSet::new();
    for (other, epoch) in &sent {
        let claims = claims(cluster, other).await;
        workers.extend(claims.into_iter().filter(|claim| claim.0 == *epoch).map(|claim| claim.1));
    }
    assert!(!workers.is_empty() && !workers.contains(worker), "{worker} is not alone: {workers:?}");
}

/// The one worker there is has a delivery in flight when it claims a suspect.
#[tokio::test]
async fn the_others_leave_a_suspects_worker_after_the_delivery_in_flight_and_come_back() {
    let helpdesk = helpdesk::Settings { tickets: 200, ..helpdesk::Settings::default() };
    let setup = Setup { workers: 1, helpdesk, ..Setup::default() }.set("WORKER__LEASE", "5m");
    let mut cluster = setup.start().await;
    let limited = Arc::new(Helpdesk::start(helpdesk::Settings::default()).await.unwrap());
    let more = vec![
        definitions::job("users", json!([{ "resource": "users" }])),
        definitions::job("tickets", definitions::tickets()),
        definitions::account("limited", &limited.url(), &limited.settings().token),
    ];
    let deadly = second(&cluster, "deadly", more).await;
    hold_at(&cluster.receiver, 3);
    let calm = cluster.api.push("tickets", "acme", "backend").await;
    let waits = |ledger: &Ledger| ledger.requests.last().is_some_and(|last| last.seq == Some(3));
    cluster.receiver.wait_for("page 3 to wait", PATIENCE, waits).await.unwrap();
    // It has a checkpoint, and becomes a suspect while it waits for the source's limit to pass.
    limit_at(&limited, 1, 3);
    let run = cluster.api.push("users", "limited", "deadly").await;
    cluster.api.run_when(&run, "parked", |run| run.place == "parked").await;
    cluster.set_field(&run, "crashes", "2").await;
    limited.hold();
    eventually("the suspect to be claimed", async || {
        notes(&cluster, &run, "claimed").await.iter().any(|note| note.contains("a suspect")).then_some(())
    })
    .await;
    assert_eq!(limited.read(|ledger| ledger.requests), 1, "driven beside another run");
    assert_eq!(cluster.api.run(&calm).await.place, "leased", "its delivery was cut short");
    cluster.receiver.release();
    limited.wait_for_requests(2, PATIENCE).await.unwrap();
    let (waiting, sent) =
        (cluster.api.run(&calm).await, cluster.receiver.read(|ledger| ledger.requests.len()));
    assert_ne!(waiting.place, "leased", "{waiting:?}");
    assert_eq!(notes(&cluster, &run, "alone").await.len(), 1);
    // Nothing was sent since: it is still alone.
    assert_eq!(cluster.receiver.read(|ledger| ledger.requests.len()), sent);
    assert_ne!(cluster.api.run(&calm).await.place, "leased");
    limited.release();
    for run in [&calm, &run] {
        assert_eq!(cluster.api.ended(run).await.status, "completed");
    }
    judge(&cluster.helpdesk, &cluster.receiver, &calm, &[Resource::Tickets], Expected::default());
    judge(&limited, &deadly, &run, &[Resource::Users], Expected::default());
    assert!(!notes(&cluster, &calm, "released").await.is_empty());
    cluster.assert_quiet().await;
    cluster.check_alive();
}

/// Three of each in a row, all at the same page: no checkpoint lies between.
#[tokio::test]
async fn outages_releases_and_stops_are_no_crashes() {
    let helpdesk = helpdesk::Settings { tickets: 200, ..helpdesk::Settings::default() };
    let setup = Setup { workers: 1, helpdesk, ..Setup::default() }
        .set("REDIS__RESPONSE_TIMEOUT", "500ms")
        .set("WORKER__DRAIN_TIMEOUT", "100ms");
    let mut cluster = setup.start().await;
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    let receiver = cluster.receiver.clone();
    hold_at(&receiver, 3);
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let mut tried = 0;
    let mut next_try = async |cluster: &Cluster, why: &str| {
        tried += 1;
        let came = |ledger: &Ledger| {
            ledger.requests.iter().filter(|request| request.seq == Some(3)).count() >= tried
        };
        cluster.receiver.wait_for(why, PATIENCE, came).await.unwrap();
        assert_eq!(cluster.field(&run, "crashes").await.as_deref(), Some("0"), "{why}");
    };
    next_try(&cluster, "the first try").await;
    for _ in 0..3 {
        let before = cluster.logs().matches("run let go").count();
        cluster.redis.kill().await.unwrap();
        // Its delivery in flight ends only when the answer comes.
        receiver.release();
        let let_go = async || (cluster.logs().matches("run let go").count() > before).then_some(());
        eventually("the worker to let go", let_go).await;
        receiver.hold();
        cluster.redis.restart().await.unwrap();
        next_try(&cluster, "the try after an outage").await;
    }
    assert!(!notes(&cluster, &run, "given_up").await.is_empty());
    for _ in 0..3 {
        let mut holder = cluster.take_holder(&run).await;
        cluster.start_worker();
        holder.signal(Signal::TERM);
        assert_eq!(holder.left().await.code(), Some(0));
        next_try(&cluster, "the try after a release").await;
    }
    let path = format!("/sync-job-run/{run}");
    cluster.api.post(&format!("{path}/stop"), &json!({})).await;
    receiver.release();
    assert_eq!(cluster.api.ended(&run).await.status, "stopped");
    assert_eq!(cluster.field(&run, "crashes").await.as_deref(), Some("0"), "after a stop");
    cluster.api.post(&format!("{path}/resume"), &json!({})).await;
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    assert_eq!(notes(&cluster, &run, "reaped").await, Vec::<String>::new());
    judge(
        &cluster.helpdesk,
        &receiver,
        &run,
        &[Resource::Tickets],
        Expected { duplicates: 9, ..Expected::default() },
    );
    cluster.assert_quiet().await;
}
