//! Runs that share a `mutex_key` do not overlap, whatever their account, and none of those that wait holds a slot.

use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::receiver::Ledger;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::definitions::{self, account, job};
use crate::support::{Cluster, Expected, PATIENCE, Setup, hold_at, judge, limit_at};

const KEY: &str = "warehouse";

/// A cluster with some accounts, spread over its partitions.
async fn start(workers: usize, tickets: u64) -> Cluster {
    let helpdesk = helpdesk::Settings { tickets, ..helpdesk::Settings::default() };
    let cluster = Setup { workers, helpdesk, ..Setup::default() }.start().await;
    let token = cluster.helpdesk.settings().token.clone();
    let mut documents =
        vec![job("tickets", definitions::tickets()), job("users", json!([{ "resource": "users" }]))];
    documents.extend((0..6).map(|number| account(&format!("a{number}"), &cluster.helpdesk.url(), &token)));
    cluster.apply(documents).await;
    cluster
}

fn wanted(job: &str, account: &str) -> Value {
    json!({ "sync_job_id": job, "integrated_account_id": account, "webhook_id": "backend", "mutex_key": KEY })
}

/// Returns when page 2 of the first run has come, which the receiver holds.
async fn page_waits(cluster: &Cluster) {
    let arrived = |ledger: &Ledger| ledger.requests.iter().any(|request| request.seq == Some(2));
    cluster.receiver.wait_for("page 2 to wait", PATIENCE, arrived).await.unwrap();
}

/// The runs in the order in which they started, after a check that each had ended before the next one started; but for
/// one that was forced.
fn order(cluster: &Cluster, forced: Option<&str>) -> Vec<String> {
    cluster.receiver.read(|ledger| {
        let (mut order, mut open) = (Vec::new(), None);
        for request in &ledger.requests {
            let Some(run) = request.run.clone().filter(|run| Some(run.as_str()) != forced) else { continue };
            match request.event.as_str() {
                "sync_job_run:started" if !order.contains(&run) => {
                    assert_eq!(open, None, "{run} started before that one had ended");
                    open = Some(run.clone());
                    order.push(run);
                }
                "sync_job_run:completed" if open.as_ref() == Some(&run) => open = None,
                _ => {}
            }
        }
        order
    })
}

#[tokio::test]
async fn runs_of_many_accounts_take_their_turns_and_force_waits_for_nobody() {
    let mut cluster = start(2, 60).await;
    hold_at(&cluster.receiver, 2);
    let mut runs = Vec::new();
    for number in 0..6 {
        runs.push(cluster.api.push_with(wanted("tickets", &format!("a{number}"))).await);
    }
    let last = cluster.api.run_when(&runs[5], "waiting", |run| run.place == "waiting").await;
    assert_eq!((last.status.as_str(), last.worker), ("created", None));
    let reason = format!("waits for mutex \"warehouse\", held by run {}", runs[0]);
    assert_eq!(last.reason.as_deref(), Some(reason.as_str()));
    let shown = cluster.api.get(&format!("/sync-job-run/{}", runs[5])).await;
    assert_eq!((&shown["mutex_key"], &shown["force"]), (&json!(KEY), &json!(false)));
    // The first one waits for its answer. One that is forced has its job and account in common with it as well.
    let mut forced = wanted("users", "a0");
    forced["force"] = json!(true);
    let forced = cluster.api.push_with(forced).await;
    cluster.api.run_when(&forced, "under way", |run| run.place == "leased").await;
    assert!(!cluster.api.run(&runs[0]).await.has_ended());
    page_waits(&cluster).await;
    cluster.receiver.release();
    assert_eq!(cluster.api.ended(&forced).await.status, "completed");
    for run in &runs {
        assert_eq!(cluster.api.ended(run).await.status, "completed");
        judge(&cluster.helpdesk, &cluster.receiver, run, &[Resource::Tickets], Expected::default());
    }
    assert_eq!(order(&cluster, Some(&forced)), runs, "first come, first served");
    cluster.assert_quiet().await;
    cluster.check_alive();
}

#[tokio::test]
async fn a_holder_that_is_killed_still_holds_and_the_next_one_follows_it() {
    let mut cluster = start(2, 60).await;
    hold_at(&cluster.receiver, 2);
    let first = cluster.api.push_with(wanted("tickets", "a0")).await;
    let second = cluster.api.push_with(wanted("tickets", "a1")).await;
    page_waits(&cluster).await;
    cluster.take_holder(&first).await.kill().await;
    cluster.receiver.release();
    for run in [&first, &second] {
        assert_eq!(cluster.api.ended(run).await.status, "completed");
    }
    assert_eq!(order(&cluster, None), [first, second]);
    cluster.assert_quiet().await;
}

#[tokio::test]
async fn a_holder_that_its_source_limits_still_holds() {
    let mut cluster = start(1, 60).await;
    limit_at(&cluster.helpdesk, 2, 3);
    let first = cluster.api.push_with(wanted("tickets", "a0")).await;
    cluster.api.run_when(&first, "limited", |run| run.status == "rate_limited").await;
    let second = cluster.api.push_with(wanted("tickets", "a1")).await;
    let waiting = cluster.api.run_when(&second, "waiting", |run| run.place == "waiting").await;
    assert!(waiting.reason.unwrap().contains(&first));
    for run in [&first, &second] {
        assert_eq!(cluster.api.ended(run).await.status, "completed");
    }
    assert_eq!(order(&cluster, None), [first, second]);
    cluster.assert_quiet().await;
    cluster.check_alive();
}

#[tokio::test]
async fn a_run_that_waits_is_stopped_at_once_and_resumed_into_the_line() {
    let mut cluster = start(1, 60).await;
    hold_at(&cluster.receiver, 2);
    let first = cluster.api.push_with(wanted("tickets", "a0")).await;
    let second = cluster.api.push_with(wanted("tickets", "a1")).await;
    let third = cluster.api.push_with(wanted("tickets", "a2")).await;
    cluster.api.run_when(&second, "waiting", |run| run.place == "waiting").await;
    cluster.api.post(&format!("/sync-job-run/{second}/stop"), &json!({})).await;
    assert_eq!(cluster.api.run(&second).await.status, "stopped");
    cluster.api.post(&format!("/sync-job-run/{third}/stop"), &json!({})).await;
    cluster.api.post(&format!("/sync-job-run/{third}/resume"), &json!({})).await;
    page_waits(&cluster).await;
    cluster.receiver.release();
    for run in [&first, &third] {
        assert_eq!(cluster.api.ended(run).await.status, "completed");
    }
    assert_eq!(order(&cluster, None), [first, third]);
    cluster.assert_quiet().await;
    cluster.check_alive();
}

#[tokio::test]
async fn a_key_that_is_too_long_is_refused() {
    let cluster = start(0, 60).await;
    let mut body = wanted("tickets", "a0");
    body["mutex_key"] = json!("x".repeat(513));
    let (status, text) = cluster.api.call(Method::POST, "/sync-job-run", Some(&body)).await;
    assert!(status == 422 && text.contains("mutex_key") && text.contains("513 bytes"), "{text}");
}
