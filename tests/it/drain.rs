//! SIGTERM: a worker finishes the delivery in flight and gives its run back at once (rule 18).
//!
//! Leases are five minutes long here. So a run that goes on at all was given back: nobody waited for its lease.

use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::receiver::Ledger;
use rustix::process::Signal;

use crate::support::{Cluster, Expected, PATIENCE, Setup, definitions, eventually, hold_at, judge};

async fn cluster(drain_timeout: &str) -> Cluster {
    let helpdesk = helpdesk::Settings { tickets: 200, ..helpdesk::Settings::default() };
    let setup = Setup { workers: 2, helpdesk, ..Setup::default() }
        .set("WORKER__LEASE", "5m")
        .set("WORKER__DRAIN_TIMEOUT", drain_timeout);
    let cluster = setup.start().await;
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    cluster
}

fn is_waiting(ledger: &Ledger) -> bool {
    ledger.requests.last().is_some_and(|last| last.given.is_none() && last.seq == Some(3))
}

#[tokio::test]
async fn a_worker_that_is_asked_to_leave_delivers_what_is_in_flight_and_nothing_twice() {
    let mut cluster = cluster("30s").await;
    let receiver = cluster.receiver.clone();
    hold_at(&receiver, 3);
    let run = cluster.api.push("tickets", "acme", "backend").await;
    receiver.wait_for("a delivery that waits", PATIENCE, is_waiting).await.unwrap();
    let mut holder = cluster.take_holder(&run).await;
    holder.signal(Signal::TERM);
    let leaves = async || holder.log_text().contains("worker leaves").then_some(());
    eventually("the worker to have heard the signal", leaves).await;
    receiver.release();
    assert_eq!(holder.left().await.code(), Some(0));
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    judge(&cluster.helpdesk, &receiver, &run, &[Resource::Tickets], Expected::default());
    assert_eq!(receiver.read(|ledger| ledger.run(&run).epochs.len()), 2, "one worker after the other");
    assert_eq!(receiver.read(|ledger| ledger.duplicates), Default::default());
}

#[tokio::test]
async fn a_drain_that_takes_too_long_lets_go_of_the_run_and_costs_one_page_twice_at_most() {
    let mut cluster = cluster("1s").await;
    let receiver = cluster.receiver.clone();
    hold_at(&receiver, 3);
    let run = cluster.api.push("tickets", "acme", "backend").await;
    receiver.wait_for("a delivery that waits", PATIENCE, is_waiting).await.unwrap();
    let mut holder = cluster.take_holder(&run).await;
    let stuck = receiver.read(|ledger| ledger.requests.len());
    holder.signal(Signal::TERM);
    // It leaves though the receiver still has not answered.
    assert_eq!(holder.left().await.code(), Some(0));
    let elsewhere = |ledger: &Ledger| ledger.requests.len() > stuck;
    receiver.wait_for("the other worker's delivery", PATIENCE, elsewhere).await.unwrap();
    receiver.release();
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    let expected = Expected { duplicates: 1, ..Expected::default() };
    judge(&cluster.helpdesk, &receiver, &run, &[Resource::Tickets], expected);
}

/// A source that takes its time keeps nobody: what was not delivered is fetched again by the next worker.
#[tokio::test]
async fn a_worker_that_waits_for_the_source_leaves_at_once() {
    let mut cluster = cluster("5m").await;
    cluster.helpdesk.hold();
    let run = cluster.api.push("tickets", "acme", "backend").await;
    cluster.helpdesk.wait_for_requests(1, PATIENCE).await.unwrap();
    let mut holder = cluster.take_holder(&run).await;
    holder.signal(Signal::TERM);
    assert_eq!(holder.left().await.code(), Some(0));
    // The other worker asks as well, while nobody was answered yet.
    cluster.helpdesk.wait_for_requests(2, PATIENCE).await.unwrap();
    cluster.helpdesk.release();
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
}

#[tokio::test]
async fn a_worker_without_runs_leaves_at_once_and_a_scheduler_too() {
    let mut cluster = Setup { schedulers: 1, workers: 1, ..Setup::default() }.start().await;
    for process in cluster.workers.iter_mut().chain(&mut cluster.schedulers) {
        // Its handler is in place once it says that it started.
        let started = async || process.log_text().contains("started\"").then_some(());
        eventually("the process to start", started).await;
        process.signal(Signal::TERM);
        assert_eq!(process.left().await.code(), Some(0), "{}", process.tail());
    }
}
