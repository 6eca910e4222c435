//! Another server becomes the primary, with and without the last writes of the one before. Every accepted run
//! completes, no page is skipped, and what comes again is what Redis lost.

mod cluster;
mod measure;
mod replicated;
mod sentinel;

use std::time::Instant;

use rapidbridge::id::AccountId;
use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::receiver::{Ledger, Rewind};
use serde_json::Value;

use crate::support::redis_group::RedisGroup;
use crate::support::{Cluster, Expected, PATIENCE, Setup, definitions, eventually, judge};

/// Runs under way, each of an account of its own: those of one account and job wait for each other.
const RUNS: usize = 12;
/// Into how many parts they are divided.
const PARTITIONS: u16 = 8;

/// Two workers and two schedulers over `group`, and [`RUNS`] nested runs that were accepted.
async fn under_way(group: &RedisGroup) -> (Cluster, Vec<String>) {
    let helpdesk = helpdesk::Settings {
        tickets: 240,
        comments_every: 4,
        comments_max: 3,
        latency: std::time::Duration::from_millis(15),
        ..helpdesk::Settings::default()
    };
    let setup = Setup { workers: 2, schedulers: 2, helpdesk, ..Setup::default() }
        .set("REDIS__URL", &group.url)
        .set("REDIS__PARTITIONS", &PARTITIONS.to_string())
        .set("LOG__FILTER", "info,rapidbridge::worker=debug");
    let cluster = setup.start().await;
    let token = &cluster.helpdesk.settings().token;
    let accounts =
        (0..RUNS).map(|number| definitions::account(&account(number), &cluster.helpdesk.url(), token));
    let mut more: Vec<Value> = accounts.collect();
    more.push(definitions::job("nested", definitions::nested()));
    cluster.apply(more).await;
    let mut runs = Vec::new();
    for number in 0..RUNS {
        runs.push(cluster.api.push("nested", &account(number), "backend").await);
    }
    (cluster, runs)
}

fn account(number: usize) -> String {
    format!("acme-{number}")
}

/// The prefix of the keys of account `number`'s runs.
fn prefix(number: usize) -> String {
    let account: AccountId = account(number).parse().unwrap();
    format!("rb:{{default.{}}}:", account.partition(PARTITIONS))
}

/// Waits until so many more pages are acknowledged.
async fn more_pages(cluster: &Cluster, count: u64) {
    let goal = cluster.receiver.read(|ledger| ledger.acknowledged) + count;
    cluster.receiver.wait_for("more pages", PATIENCE, |ledger| ledger.acknowledged >= goal).await.unwrap();
}

/// Waits until all runs have completed, and judges them: nothing is lost; runs begin again only after `failed_over`,
/// and what comes twice is what they went back over, and for each run the page that was under way.
async fn assert_all_completed(cluster: &mut Cluster, runs: &[String], failed_over: Instant) -> Vec<Rewind> {
    for run in runs {
        let path = format!("/sync-job-run/{run}");
        eventually(&format!("run {run} to complete"), async || {
            // 503 while there is no primary.
            let (status, text) = cluster.api.call(reqwest::Method::GET, &path, None).await;
            assert!(status == 200 || status == 503, "{status}: {text}");
            (status == 200 && text.contains("\"status\":\"completed\"")).then_some(())
        })
        .await;
    }
    let rewinds = cluster.receiver.read(|ledger| ledger.rewinds.clone());
    assert!(rewinds.iter().all(|rewind| rewind.at > failed_over), "{rewinds:?}");
    let again: u64 = rewinds.iter().map(Rewind::pages).sum();
    for run in runs {
        let ours = rewinds.iter().filter(|rewind| rewind.run == *run);
        let expected = Expected {
            duplicates: again + runs.len() as u64,
            renamed: ours.map(Rewind::pages).sum::<u64>() + 1,
            rewinds: rewinds.len(),
            ..Expected::default()
        };
        judge(&cluster.helpdesk, &cluster.receiver, run, &[Resource::Tickets, Resource::Comments], expected);
    }
    cluster.check_alive();
    rewinds
}

/// Pages of `run` that were acknowledged.
fn acknowledged(ledger: &Ledger, run: &str) -> u64 {
    ledger.run(run).last_acked_seq
}
