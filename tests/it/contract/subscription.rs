//! What goes to which webhook, in which order and with which signatures.

use rapidbridge::playground::helpdesk::Resource;
use rapidbridge::playground::receiver;
use serde_json::json;

use crate::support::definitions::{job, nested, tickets, webhook, with};
use crate::support::{Cluster, Expected, Setup, judge};

async fn subscribed(events: &[&str]) -> (Cluster, String) {
    let cluster = Setup::default().start().await;
    let secret = receiver::Settings::default().secret;
    let hook = with(webhook("backend", &cluster.receiver.url(), &secret), json!({ "event_types": events }));
    cluster.apply(vec![job("tickets", tickets()), hook]).await;
    let run = cluster.api.push("tickets", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    (cluster, run)
}

#[tokio::test]
async fn a_webhook_gets_no_event_that_it_does_not_name() {
    let (cluster, run) = subscribed(&["sync_job_run:record"]).await;
    cluster.receiver.read(|ledger| {
        let ours = ledger.run(&run);
        assert_eq!(ours.events.keys().collect::<Vec<_>>(), ["sync_job_run:record"]);
        assert_eq!((ours.resources["tickets"].unique.len(), ours.last_acked_seq), (250, 13));
    });
}

#[tokio::test]
async fn a_run_sends_no_event_that_it_was_not_asked_to() {
    let cluster = Setup::default().start().await;
    cluster.apply(vec![job("tickets", tickets())]).await;
    let body = json!({
        "sync_job_id": "tickets", "integrated_account_id": "acme", "webhook_id": "backend",
        "events_to_send": ["sync_job_run:record", "sync_job_run:completed", "sync_job_run:stopped"],
    });
    let run = cluster.api.push_with(body).await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    cluster.receiver.read(|ledger| {
        let sent = ledger.run(&run).events;
        assert_eq!(sent.keys().collect::<Vec<_>>(), ["sync_job_run:completed", "sync_job_run:record"]);
    });
    let wrong = json!({ "sync_job_id": "tickets", "integrated_account_id": "acme", "webhook_id": "backend",
        "events_to_send": ["sync_job_run:everything"] });
    assert_eq!(cluster.api.call(reqwest::Method::POST, "/sync-job-run", Some(&wrong)).await.0, 422);
}

#[tokio::test]
async fn a_run_may_have_nodes_of_its_own() {
    let cluster = Setup::default().start().await;
    cluster.apply(vec![job("tickets", tickets())]).await;
    let body = |resources: serde_json::Value| {
        json!({
            "sync_job_id": "tickets", "integrated_account_id": "acme", "webhook_id": "backend",
            "resources": resources,
        })
    };
    let run = cluster.api.push_with(body(json!([{ "resource": "users" }]))).await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    let delivered = |run: &str| {
        cluster.receiver.read(|ledger| ledger.run(run).resources.keys().cloned().collect::<Vec<_>>())
    };
    assert_eq!(delivered(&run), ["users"]);
    let run = cluster.api.push("tickets", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    assert_eq!(delivered(&run), ["tickets"], "the job itself stays as it is");
    let wrong = body(json!([{ "resource": "users", "methd": "list" }]));
    let (status, text) = cluster.api.call(reqwest::Method::POST, "/sync-job-run", Some(&wrong)).await;
    assert!(status == 422 && text.contains("did you mean"), "{status}: {text}");
}

#[tokio::test]
async fn a_webhook_without_record_hears_of_the_run_alone() {
    let (cluster, run) = subscribed(&["sync_job_run:started", "sync_job_run:completed"]).await;
    cluster.receiver.read(|ledger| {
        let ours = ledger.run(&run);
        assert_eq!(
            ours.events.keys().collect::<Vec<_>>(),
            ["sync_job_run:completed", "sync_job_run:started"]
        );
        assert_eq!(ours.ended.as_deref(), Some("sync_job_run:completed"));
    });
}

#[tokio::test]
async fn resources_come_in_order_and_what_is_not_persisted_only_feeds_its_children() {
    let cluster = Setup::default().start().await;
    let secret = receiver::Settings::default().secret;
    let signed =
        with(webhook("backend", &cluster.receiver.url(), &secret), json!({ "truto_signature": true }));
    let mut resources = vec![json!({ "resource": "organizations" }), json!({ "resource": "users" })];
    resources.extend(nested().as_array().unwrap().iter().cloned());
    resources[2]["persist"] = false.into();
    cluster.apply(vec![signed, job("all", json!(resources))]).await;
    let run = cluster.api.push("all", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    let wanted = [Resource::Organizations, Resource::Users, Resource::Comments];
    judge(&cluster.helpdesk, &cluster.receiver, &run, &wanted, Expected::default());
    cluster.receiver.read(|ledger| {
        assert_eq!(ledger.run(&run).resources.get("tickets").map(|tickets| tickets.total), None);
        let mut order: Vec<&str> =
            ledger.requests.iter().filter_map(|request| request.resource.as_deref()).collect();
        order.dedup();
        assert_eq!(order, ["organizations", "users", "comments"]);
        assert_eq!(
            ledger.truto_signatures,
            ledger.requests.len() as u64,
            "X-Truto-Signature on every request"
        );
    });
    assert_eq!(cluster.helpdesk.read(|ledger| ledger.served(Resource::Tickets)), 250, "parents are read");
}

/// Standard Webhooks: all live secrets sign, so a receiver that knows any of them is served.
#[tokio::test]
async fn every_live_secret_signs() {
    let cluster = Setup::default().start().await;
    let secret = receiver::Settings::default().secret;
    let mut hook = webhook("backend", &cluster.receiver.url(), &secret);
    hook.as_object_mut().unwrap().remove("secret");
    hook["secrets"] = json!(["the-new-secret-of-the-webhook", secret]);
    cluster.apply(vec![job("tickets", tickets()), hook]).await;
    let run = cluster.api.push("tickets", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
    cluster.receiver.set_secret("the-new-secret-of-the-webhook");
    let again = cluster.api.push("tickets", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&again).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &again, &[Resource::Tickets], Expected::default());
}
