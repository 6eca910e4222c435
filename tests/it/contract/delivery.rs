//! A delivery that does not get its 200: tried again, parked, given up, resumed. The source is not asked twice.

use rapidbridge::playground::Answer;
use rapidbridge::playground::helpdesk::Resource;
use rapidbridge::playground::receiver::{self, Acknowledgement, Ledger};
use serde_json::json;

use crate::support::definitions::{job, tickets, webhook, with};
use crate::support::{Cluster, Expected, PATIENCE, Setup, judge};

const FAILED: &str = "sync_job_run:failed";
const COMPLETED: &str = "sync_job_run:completed";

/// Refuses page 4 of every run with this status, until the script ends.
fn stumble_at_page_4(cluster: &Cluster, status: u16) {
    cluster.receiver.script(move |event| (event.seq == Some(4)).then(|| Answer::status(status)));
}

fn tries_of_page_4(ledger: &Ledger) -> usize {
    ledger.requests.iter().filter(|request| request.seq == Some(4)).count()
}

/// Without fetching ahead: a page that was fetched early is not kept when its run parks.
async fn cluster() -> Cluster {
    Setup::default().set("WORKER__FETCH_AHEAD", "false").start().await
}

fn assert_asked_once(cluster: &Cluster) {
    cluster.helpdesk.read(|ledger| {
        assert!(ledger.asked.values().all(|times| *times == 1), "asked twice: {:?}", ledger.asked);
    });
}

#[tokio::test]
async fn a_receiver_that_is_down_for_a_while_gets_everything_when_it_is_back() {
    let cluster = cluster().await;
    cluster.apply(vec![job("tickets", tickets())]).await;
    stumble_at_page_4(&cluster, 503);
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let receiver = &cluster.receiver;
    receiver.wait_for("page 4 again", PATIENCE, |ledger| tries_of_page_4(ledger) >= 4).await.unwrap();
    cluster.api.run_when(&run, "retrying", |run| run.status == "retrying" && run.place == "parked").await;
    receiver.down();
    let before = receiver.read(tries_of_page_4);
    receiver.wait_for("hang-ups", PATIENCE, |ledger| tries_of_page_4(ledger) >= before + 4).await.unwrap();
    receiver.unscript();
    receiver.up();
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    judge(&cluster.helpdesk, receiver, &run, &[Resource::Tickets], Expected::default());
    assert_asked_once(&cluster);
    receiver.read(|ledger| {
        let page: Vec<_> = ledger.requests.iter().filter(|request| request.seq == Some(4)).collect();
        assert!(page.windows(2).all(|pair| pair[0].id == pair[1].id), "one page, one id");
        let tries: Vec<u64> = page.iter().map(|request| request.attempt.unwrap()).collect();
        assert_eq!(tries, (1..=tries.len() as u64).collect::<Vec<_>>(), "tries are counted over parking");
    });
}

#[tokio::test]
async fn retry_after_of_a_receiver_is_respected() {
    let cluster = Setup::default().start().await;
    cluster.apply(vec![job("tickets", tickets())]).await;
    let asked = std::sync::atomic::AtomicBool::new(false);
    cluster.receiver.script(move |event| {
        let first = event.seq == Some(4) && !asked.swap(true, std::sync::atomic::Ordering::SeqCst);
        first.then(|| Answer::status(429).header("retry-after", "2"))
    });
    let run = cluster.api.push("tickets", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    cluster.receiver.read(|ledger| {
        let page: Vec<_> = ledger.requests.iter().filter(|request| request.seq == Some(4)).collect();
        assert_eq!(page.len(), 2, "tried before the wait was over, or never again");
        assert!(page[1].at.duration_since(page[0].at).as_millis() >= 2000);
    });
}

fn impatient(cluster: &Cluster) -> serde_json::Value {
    let secret = receiver::Settings::default().secret;
    with(
        webhook("backend", &cluster.receiver.url(), &secret),
        json!({ "retry": { "give_up_after": "600ms" } }),
    )
}

#[tokio::test]
async fn a_delivery_that_is_given_up_fails_the_run_and_resume_brings_the_rest() {
    let cluster = cluster().await;
    cluster.apply(vec![job("tickets", tickets()), impatient(&cluster)]).await;
    stumble_at_page_4(&cluster, 500);
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let failed = cluster.api.ended(&run).await;
    assert_eq!((failed.status.as_str(), failed.code()), ("failed", "delivery_exhausted"), "{failed:?}");
    assert!(failed.message().contains("500"), "{failed:?}");
    assert_eq!(cluster.receiver.read(|ledger| ledger.run(&run).ended.clone()).as_deref(), Some(FAILED));
    cluster.receiver.unscript();
    let resumed = cluster.api.post(&format!("/sync-job-run/{run}/resume"), &json!({})).await;
    assert_eq!(resumed["attempt"], 2);
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
    assert_asked_once(&cluster);
    cluster.receiver.read(|ledger| {
        let ours = ledger.run(&run);
        assert_eq!((ours.event(FAILED).distinct, ours.event(COMPLETED).distinct), (1, 1));
        let ids: Vec<&str> = [FAILED, COMPLETED]
            .map(|event| ledger.requests.iter().find(|request| request.event == event).unwrap().id.as_str())
            .into();
        assert_ne!(ids[0], ids[1]);
    });
}

#[tokio::test]
async fn a_dead_receiver_hears_of_the_end_only_after_the_resume() {
    let cluster = cluster().await;
    cluster.apply(vec![job("tickets", tickets()), impatient(&cluster)]).await;
    cluster.receiver.script(|event| (event.seq == Some(4)).then(|| Answer::hang_up().then_down()));
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let failed = cluster.api.ended(&run).await;
    assert_eq!((failed.status.as_str(), failed.code()), ("failed", "delivery_exhausted"), "{failed:?}");
    assert_eq!(cluster.api.get(&format!("/sync-job-run/{run}")).await["terminal_undelivered"], true);
    cluster.receiver.unscript();
    cluster.receiver.up();
    cluster.api.post(&format!("/sync-job-run/{run}/resume"), &json!({})).await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
    assert_asked_once(&cluster);
}

#[tokio::test]
async fn a_stop_is_heeded_while_a_delivery_waits_and_resume_goes_on_there() {
    let cluster = Setup::default().start().await;
    cluster.apply(vec![job("tickets", tickets())]).await;
    stumble_at_page_4(&cluster, 500);
    let run = cluster.api.push("tickets", "acme", "backend").await;
    cluster.api.run_when(&run, "retrying", |run| run.status == "retrying" && run.place == "parked").await;
    cluster.api.post(&format!("/sync-job-run/{run}/stop"), &json!({ "reason": "enough for today" })).await;
    let stopped = cluster.api.ended(&run).await;
    assert_eq!((stopped.status.as_str(), stopped.reason.as_deref()), ("stopped", Some("enough for today")));
    cluster.receiver.unscript();
    cluster.api.post(&format!("/sync-job-run/{run}/resume"), &json!({})).await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
}

/// Nobody has to answer for a run to be stopped: neither the source nor the receiver.
#[tokio::test]
async fn a_stop_is_heeded_while_the_source_is_silent() {
    let cluster = Setup::default().start().await;
    cluster.apply(vec![job("tickets", tickets())]).await;
    cluster.helpdesk.hold();
    let run = cluster.api.push("tickets", "acme", "backend").await;
    cluster.helpdesk.wait_for_requests(1, PATIENCE).await.unwrap();
    cluster.api.post(&format!("/sync-job-run/{run}/stop"), &json!({})).await;
    assert_eq!(cluster.api.ended(&run).await.status, "stopped");
    assert_eq!(cluster.receiver.read(|ledger| ledger.pages()), 0);
    cluster.helpdesk.release();
    cluster.api.post(&format!("/sync-job-run/{run}/resume"), &json!({})).await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
    cluster.assert_quiet().await;
}

/// 202 is an acknowledgement where the webhook says so, and nowhere else.
#[tokio::test]
async fn any_2xx_acknowledges_where_the_webhook_widens_it() {
    let setup = Setup {
        receiver: receiver::Settings { acknowledges_with: Acknowledgement::Any2xx, ..Default::default() },
        ..Setup::default()
    };
    let cluster = setup.start().await;
    let secret = receiver::Settings::default().secret;
    let strict = receiver::Receiver::start(receiver::Settings::default()).await.unwrap();
    let wide = with(webhook("backend", &cluster.receiver.url(), &secret), json!({ "ack": "2xx" }));
    cluster.apply(vec![job("tickets", tickets()), wide, webhook("strict", &strict.url(), &secret)]).await;
    cluster.receiver.script(|_| Some(Answer::status(202)));
    strict.script(|event| (event.seq == Some(1) && event.attempt < Some(4)).then(|| Answer::status(202)));
    let run = cluster.api.push("tickets", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
    let again = cluster.api.push("tickets", "acme", "strict").await;
    assert_eq!(cluster.api.ended(&again).await.status, "completed");
    judge(&cluster.helpdesk, &strict, &again, &[Resource::Tickets], Expected::default());
    strict.read(|ledger| {
        let page = ledger.requests.iter().filter(|request| request.seq == Some(1));
        assert_eq!(page.count(), 4, "202 counted as an acknowledgement");
    });
}
