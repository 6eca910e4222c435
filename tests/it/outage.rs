//! Redis is away, forgets, or stands still; a worker stands still. The run goes on, in order, with nothing lost.

use rapidbridge::playground::Answer;
use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::receiver::{self, Given, Ledger};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Cluster, Expected, PATIENCE, Setup, definitions, eventually, hold_at, judge};

/// A run of 20 pages; page 5 waits at the receiver's gate.
async fn under_way(workers: usize) -> (Cluster, String) {
    let helpdesk = helpdesk::Settings { tickets: 400, ..helpdesk::Settings::default() };
    let setup = Setup { workers, helpdesk, ..Setup::default() }
        .set("REDIS__RESPONSE_TIMEOUT", "1s")
        .set("LOG__FILTER", "info,rapidbridge::worker=debug");
    let cluster = setup.start().await;
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    hold_at(&cluster.receiver, 5);
    let run = cluster.api.push("tickets", "acme", "backend").await;
    cluster.receiver.wait_for("page 5", PATIENCE, is_waiting).await.unwrap();
    (cluster, run)
}

fn is_waiting(ledger: &Ledger) -> bool {
    ledger.requests.last().is_some_and(|last| last.seq == Some(5) && last.given.is_none())
}

async fn assert_completed(cluster: &mut Cluster, run: &str, duplicates: u64) {
    // The API says 503 while Redis is away.
    let path = format!("/sync-job-run/{run}");
    eventually("the run to end", async || {
        let (status, text) = cluster.api.call(reqwest::Method::GET, &path, None).await;
        (status == 200 && text.contains("\"status\":\"completed\"")).then_some(())
    })
    .await;
    let expected = Expected { duplicates, ..Expected::default() };
    judge(&cluster.helpdesk, &cluster.receiver, run, &[Resource::Tickets], expected);
    cluster.assert_quiet().await;
    cluster.check_alive();
}

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_costs_a_page_twice_at_most() {
    let (mut cluster, run) = under_way(1).await;
    cluster.redis.kill().await.unwrap();
    // The page is acknowledged while nothing can be saved.
    cluster.receiver.release();
    let acked = |ledger: &Ledger| ledger.run(&run).last_acked_seq >= 5;
    cluster.receiver.wait_for("page 5 to be acknowledged", PATIENCE, acked).await.unwrap();
    cluster.redis.restart().await.unwrap();
    assert_completed(&mut cluster, &run, 1).await;
}

/// Longer than a lease: the worker may not send meanwhile, and gets its run back or loses it cleanly.
#[tokio::test]
async fn a_redis_that_stands_still_for_more_than_a_lease_is_waited_for() {
    let (mut cluster, run) = under_way(2).await;
    cluster.redis.freeze().unwrap();
    cluster.receiver.release();
    let acked = |ledger: &Ledger| ledger.run(&run).last_acked_seq >= 5;
    cluster.receiver.wait_for("page 5 to be acknowledged", PATIENCE, acked).await.unwrap();
    // No renewal came through: the worker knows that its lease is over, and lets go.
    let let_go = async || cluster.logs().contains("run let go").then_some(());
    eventually("the worker to let go", let_go).await;
    let sent = cluster.receiver.read(|ledger| ledger.requests.len());
    assert_eq!(sent, 6, "something was sent though page 5 is not saved");
    cluster.redis.thaw().unwrap();
    assert_completed(&mut cluster, &run, 1).await;
}

#[tokio::test]
async fn scripts_and_groups_that_redis_forgets_under_way_are_made_again() {
    let (mut cluster, run) = under_way(1).await;
    let client = redis::Client::open(cluster.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("SCRIPT").arg("FLUSH").arg("SYNC").query_async::<()>(&mut connection).await.unwrap();
    let streams: Vec<String> =
        redis::cmd("KEYS").arg("rb:*:ready").query_async(&mut connection).await.unwrap();
    assert_eq!(streams.len(), 4);
    for stream in &streams {
        let mut destroy = redis::cmd("XGROUP");
        destroy.arg("DESTROY").arg(stream).arg("workers").query_async::<()>(&mut connection).await.unwrap();
    }
    // Every connection is cut as well.
    let _: Result<(), _> = redis::cmd("CLIENT")
        .arg("KILL")
        .arg("TYPE")
        .arg("normal")
        .arg("SKIPME")
        .arg("yes")
        .query_async(&mut connection)
        .await;
    cluster.receiver.release();
    assert_completed(&mut cluster, &run, 1).await;
    let again = cluster.api.push("tickets", "acme", "backend").await;
    assert_completed(&mut cluster, &again, 1).await;
}

/// A worker that was asleep for longer than its lease wakes up as a zombie: another one has its run.
#[tokio::test]
async fn a_worker_that_was_asleep_sends_nothing_of_a_run_that_another_one_has() {
    let (mut cluster, run) = under_way(2).await;
    let zombie = cluster.take_holder(&run).await;
    zombie.signal(Signal::STOP);
    // Its page is answered, but it does not hear it; the other worker delivers the page again, and waits.
    let taken_over = |ledger: &Ledger| ledger.run(&run).epochs.len() == 2;
    cluster.receiver.wait_for("the other worker", PATIENCE, taken_over).await.unwrap();
    zombie.signal(Signal::CONT);
    // It finds out before the gate opens for either of them.
    let found_out = async || zombie.log_text().contains("lease lost").then_some(());
    eventually("the zombie to see that its run is lost", found_out).await;
    cluster.receiver.release();
    assert_completed(&mut cluster, &run, 1).await;
    assert_eq!(cluster.receiver.read(|ledger| ledger.run(&run).epochs.len()), 2);
    drop(zombie);
}

/// Asleep between two tries of a delivery: a wait that is over is no permission to send.
#[tokio::test]
async fn a_zombie_between_two_tries_tries_no_more() {
    let setup = Setup { workers: 2, ..Setup::default() }.set("LOG__FILTER", "info,rapidbridge::worker=debug");
    let mut cluster = setup.start().await;
    let secret = receiver::Settings::default().secret;
    let patient = json!({ "retry": { "attempts": 10, "base": "600ms", "max": "600ms" } });
    let hook = definitions::with(definitions::webhook("backend", &cluster.receiver.url(), &secret), patient);
    cluster.apply(vec![hook, definitions::job("tickets", definitions::tickets())]).await;
    cluster.receiver.script(|event| (event.seq == Some(5)).then(|| Answer::status(500)));
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let refused =
        |ledger: &Ledger| ledger.requests.last().is_some_and(|last| last.given == Some(Given::Status(500)));
    cluster.receiver.wait_for("page 5 to be refused", PATIENCE, refused).await.unwrap();
    let zombie = cluster.take_holder(&run).await;
    zombie.signal(Signal::STOP);
    let taken_over = |ledger: &Ledger| ledger.run(&run).epochs.len() == 2;
    cluster.receiver.wait_for("the other worker", PATIENCE, taken_over).await.unwrap();
    zombie.signal(Signal::CONT);
    let let_go = async || zombie.log_text().contains("run let go").then_some(());
    eventually("the zombie to let go", let_go).await;
    cluster.receiver.unscript();
    assert_completed(&mut cluster, &run, 0).await;
    drop(zombie);
}

/// As before, but it wakes up with its page acknowledged: what it does next is to save.
#[tokio::test]
async fn a_zombie_that_wakes_up_with_an_acknowledgement_does_not_save_it() {
    let (mut cluster, run) = under_way(2).await;
    let zombie = cluster.take_holder(&run).await;
    zombie.signal(Signal::STOP);
    cluster.receiver.unscript();
    cluster.receiver.release();
    assert_completed(&mut cluster, &run, 1).await;
    let log = cluster.api.get(&format!("/sync-job-run/{run}/log")).await;
    zombie.signal(Signal::CONT);
    let let_go = async || zombie.log_text().contains("run let go").then_some(());
    eventually("the zombie to let go", let_go).await;
    assert_eq!(cluster.api.get(&format!("/sync-job-run/{run}/log")).await, log, "it wrote something");
    assert_eq!(cluster.api.run(&run).await.status, "completed");
    judge(
        &cluster.helpdesk,
        &cluster.receiver,
        &run,
        &[Resource::Tickets],
        Expected { duplicates: 1, ..Expected::default() },
    );
}
