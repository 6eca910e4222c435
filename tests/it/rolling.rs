//! A deploy: every worker and scheduler is replaced, one after the other, while runs flow. No run fails, no slot is
//! missed, and nothing comes twice.

use std::time::Duration;

use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::receiver::Duplicates;
use rustix::process::Signal;
use serde_json::json;

use crate::schedule::{missing, slots};
use crate::support::definitions::{self, account, job, trigger, with};
use crate::support::{Cluster, Expected, PATIENCE, Setup, eventually, judge};

const WORKERS: usize = 3;
const RUNS: usize = 6;

/// Waits until pages flow: a replacement must hit runs at work.
async fn flow(cluster: &Cluster) {
    let goal = cluster.receiver.read(|ledger| ledger.acknowledged) + 2 * RUNS as u64;
    let flowed = cluster.receiver.wait_for("pages to flow", PATIENCE, |ledger| ledger.acknowledged >= goal);
    flowed.await.unwrap();
}

#[tokio::test]
async fn a_rolling_restart_of_everything_fails_no_run_and_sends_no_page_twice() {
    let helpdesk = helpdesk::Settings {
        tickets: 2000,
        latency: Duration::from_millis(40),
        ..helpdesk::Settings::default()
    };
    // A run that was not given back would wait longer for its lease than the test does.
    let setup =
        Setup { schedulers: 2, workers: WORKERS, helpdesk, ..Setup::default() }.set("WORKER__LEASE", "5m");
    let mut cluster = setup.start().await;
    let (url, token) = (cluster.helpdesk.url(), cluster.helpdesk.settings().token.clone());
    let accounts: Vec<String> = (0..RUNS).map(|number| format!("account-{number}")).collect();
    let often = trigger("often", "quick", "acme", "backend", "1s");
    let often = with(often, json!({ "overlap": "allow", "catch_up": "all" }));
    let mut definitions: Vec<_> = accounts.iter().map(|id| account(id, &url, &token)).collect();
    definitions.push(job("tickets", definitions::tickets()));
    definitions.push(job("quick", json!([{ "resource": "organizations" }])));
    cluster.apply([definitions.clone(), vec![often.clone()]].concat()).await;
    let mut runs = Vec::new();
    for id in &accounts {
        runs.push(cluster.api.push("tickets", id, "backend").await);
    }
    flow(&cluster).await;

    let mut old_workers: Vec<_> = cluster.workers.drain(..).collect();
    let mut old_schedulers: Vec<_> = cluster.schedulers.drain(..).collect();
    for worker in &mut old_workers {
        cluster.start_worker();
        worker.signal(Signal::TERM);
        assert_eq!(worker.left().await.code(), Some(0), "{}", worker.tail());
        flow(&cluster).await;
    }
    for scheduler in &mut old_schedulers {
        cluster.start_scheduler().await;
        scheduler.signal(Signal::TERM);
        assert_eq!(scheduler.left().await.code(), Some(0), "{}", scheduler.tail());
        flow(&cluster).await;
    }
    for run in &runs {
        let ended = cluster.api.ended(run).await;
        assert_eq!(ended.status, "completed", "{ended:?}");
        judge(&cluster.helpdesk, &cluster.receiver, run, &[Resource::Tickets], Expected::default());
    }
    cluster.apply([definitions, vec![with(often, json!({ "enabled": false }))]].concat()).await;
    let made = async || Some(slots(&cluster.api, "quick").await).filter(|slots| slots.len() >= 3);
    let made = eventually("some slots", made).await;
    assert_eq!(missing(&made), Vec::<i64>::new(), "of {made:?}");
    for run in cluster.api.runs("sync_job_id=quick").await {
        let ended = cluster.api.ended(&run.id).await;
        assert_eq!(ended.status, "completed", "{ended:?}");
        judge(&cluster.helpdesk, &cluster.receiver, &run.id, &[Resource::Organizations], Expected::default());
    }
    cluster.receiver.read(|ledger| {
        assert_eq!(ledger.duplicates, Duplicates::default());
        let claims: usize = runs.iter().map(|run| ledger.run(run).epochs.len()).sum();
        assert!(claims >= RUNS + WORKERS, "only {claims} claims of {RUNS} runs: the restarts hit nothing");
    });
    cluster.assert_quiet().await;
    cluster.check_alive();
}
