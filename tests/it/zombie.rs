//! A worker that slept for longer than its lease: its run is somebody else's, and it asks nobody for anything any more.

use rapidbridge::playground::Answer;
use rapidbridge::playground::helpdesk::{self, Resource};
use rustix::process::Signal;

use crate::support::{Cluster, Expected, PATIENCE, Setup, definitions, eventually, judge};

/// A retry after waking would spend a cursor that works once, or a rate limit that the new owner was told of.
#[tokio::test]
async fn a_worker_that_slept_does_not_ask_the_source_again() {
    let helpdesk = helpdesk::Settings { tickets: 60, ..helpdesk::Settings::default() };
    let mut cluster: Cluster = Setup { workers: 2, helpdesk, ..Setup::default() }.start().await;
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    // The first request's connection breaks while its sender sleeps: a failure that is tried again.
    cluster.helpdesk.script(|request| (request.number == 1).then(Answer::hang_up));
    cluster.helpdesk.hold();
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let mut sleeper = cluster.take_holder(&run).await;
    cluster.helpdesk.wait_for_requests(1, PATIENCE).await.unwrap();
    sleeper.signal(Signal::STOP);
    cluster.helpdesk.release();
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    let asked = cluster.helpdesk.read(|ledger| ledger.requests);

    // Redis does not tell it either: it knows by its own clock alone.
    cluster.redis.freeze().unwrap();
    sleeper.signal(Signal::CONT);
    let let_go = async || sleeper.log_text().contains("run let go").then_some(());
    eventually("the sleeper to let go of the run", let_go).await;
    assert_eq!(cluster.helpdesk.read(|ledger| ledger.requests), asked, "the sleeper asked again");
    cluster.redis.thaw().unwrap();
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
    sleeper.check_alive();
    cluster.assert_quiet().await;
}
