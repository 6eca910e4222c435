//! `started`: nothing is fetched before it is acknowledged, and 400 refuses the run.

use rapidbridge::playground::Answer;
use rapidbridge::playground::helpdesk::Resource;

use crate::support::{Expected, PATIENCE, Setup, definitions, judge};

#[tokio::test]
async fn a_receiver_that_answers_400_refuses_the_run_and_nothing_is_fetched() {
    let cluster = Setup::default().start().await;
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    cluster.receiver.script(|_| Some(Answer::status(400).json(r#"{"message":"we have no such tenant"}"#)));
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "stopped", "{ended:?}");
    assert!(ended.reason.as_deref().unwrap().contains("we have no such tenant"), "{ended:?}");
    assert_eq!(cluster.helpdesk.read(|ledger| ledger.requests), 0);
    cluster.receiver.read(|ledger| {
        let events: Vec<&str> = ledger.requests.iter().map(|request| request.event.as_str()).collect();
        assert_eq!(events, ["sync_job_run:started"]);
        let body: serde_json::Value =
            serde_json::from_slice(ledger.requests[0].body.as_ref().unwrap()).unwrap();
        assert_eq!(
            (&body["payload"]["id"], &body["payload"]["status"]),
            (&run.clone().into(), &"running".into())
        );
    });
}

#[tokio::test]
async fn nothing_is_fetched_until_started_is_acknowledged() {
    let cluster = Setup::default().start().await;
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    cluster.receiver.down_with(500);
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let tried = |ledger: &rapidbridge::playground::receiver::Ledger| ledger.requests.len() >= 5;
    cluster.receiver.wait_for("five tries", PATIENCE, tried).await.unwrap();
    cluster.api.run_when(&run, "retrying", |run| run.status == "retrying" && run.place == "parked").await;
    assert_eq!(cluster.helpdesk.read(|ledger| ledger.requests), 0);
    cluster.receiver.up();
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
    cluster.receiver.read(|ledger| {
        let started = ledger.requests.iter().filter(|request| request.event == "sync_job_run:started");
        let tries: Vec<u64> = started.map(|request| request.attempt.unwrap()).collect();
        assert!(tries.windows(2).all(|pair| pair[1] == pair[0] + 1), "tries are counted on: {tries:?}");
    });
}
