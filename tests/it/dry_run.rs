//! Dry runs: real requests, and nothing else.

use rapidbridge::playground::helpdesk;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::cluster::TOKEN;
use crate::support::{Cluster, Setup, definitions};

async fn cluster() -> Cluster {
    let settings = helpdesk::Settings { tickets: 30, comments_every: 1, ..helpdesk::Settings::default() };
    let cluster = Setup { helpdesk: settings, ..Setup::default() }.start().await;
    let resources = json!([
        { "name": "seen", "type": "get_state", "config": { "key": "seen", "default": "never" } },
        { "name": "tickets", "type": "request", "resource": "tickets", "changes": true },
        { "name": "slim", "type": "transform", "depends_on": "tickets",
          "config": { "expression": "resources.tickets.{\"id\": id, \"seen\": $$.resources.seen.value}" } },
        { "name": "comments", "type": "request", "resource": "comments", "depends_on": "slim",
          "query": { "ticket_id": "{{resources.slim.id}}" } },
        { "name": "done", "type": "event", "config": { "name": "complete" } },
        { "name": "keep", "type": "update_state", "depends_on": "done", "config": { "key": "seen", "value": "now" } },
        { "name": "out", "type": "destination", "config": { "id": "{{args.hook?:backend}}" },
          "resources_to_persist": ["slim", "comments"] }
    ]);
    cluster.apply(vec![definitions::job("graph", resources)]).await;
    cluster
}

fn steps(answer: &Value, what: &str) -> Vec<Value> {
    let steps = answer["steps"].as_array().unwrap().iter();
    steps.filter(|step| step["what"] == what).map(|step| step["detail"].clone()).collect()
}

#[tokio::test]
async fn a_dry_run_asks_the_source_and_does_nothing_else() {
    let cluster = cluster().await;
    let body = json!({ "integrated_account_id": "acme", "limit": 2 });
    let answer = cluster.api.post("/sync-job/graph/dry-run", &body).await;
    assert_eq!(
        (&answer["run"]["status"], &answer["run"]["dry_run"]),
        (&json!("completed"), &json!(2)),
        "{answer}"
    );
    assert!(steps(&answer, "plan")[0]["plan"].as_str().unwrap().contains("for each record: comments"));
    let requests = steps(&answer, "request");
    let asked: Vec<&str> = requests.iter().map(|request| request["resource"].as_str().unwrap()).collect();
    assert_eq!(asked, ["tickets", "comments", "comments"]);
    assert_eq!(requests[1]["query"]["ticket_id"], "1");
    assert!(requests[0]["answer"]["first"][0]["subject"].is_string());
    let node = &steps(&answer, "node")[0];
    assert_eq!(node["node"], "slim");
    assert_eq!(node["output"], json!([{ "id": 1, "seen": "never" }, { "id": 2, "seen": "never" }]));
    assert!(node["input"]["resources"]["tickets"][0]["subject"].is_string());
    let deliveries = steps(&answer, "delivery");
    assert_eq!(deliveries.len(), 5, "started, one page, two of comments, completed");
    let order: Vec<&str> =
        answer["steps"].as_array().unwrap().iter().filter_map(|step| step["what"].as_str()).collect();
    let first = |what: &str| order.iter().position(|other| *other == what);
    assert!(first("plan") < first("request") && first("request") < first("node"), "{order:?}");
    let states = steps(&answer, "state");
    assert!(
        states.iter().any(|state| state["would_write"] == "seen" && state["value"] == "now"),
        "{states:?}"
    );

    assert_eq!(cluster.receiver.read(|ledger| ledger.requests.len()), 0, "the webhook got something");
    assert_eq!(cluster.helpdesk.read(|ledger| ledger.requests), 3, "requests");
    let (status, _) =
        cluster.api.call(reqwest::Method::GET, "/sync-job-run-state/seen?state_key=graph", None).await;
    assert_eq!(status, 404, "a cell was written");
    // Nothing of it is remembered: for the next run all is new.
    let run = cluster.api.push("graph", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    let slim = cluster.receiver.read(|ledger| ledger.run(&run).resources["tickets"].unique.len());
    assert_eq!(slim, 30);
    let (status, text) =
        cluster.api.call(reqwest::Method::POST, "/sync-job/graph/dry-run", Some(&json!({}))).await;
    assert_eq!(status, 422, "{text}");
}

#[tokio::test]
async fn the_command_line_tells_it_step_by_step() {
    let cluster = cluster().await;
    let output = Command::new(env!("CARGO_BIN_EXE_rapidbridge"))
        .args(["--api-url", &cluster.api.urls[0], "dry-run", "graph", "--account", "acme", "--limit", "1"])
        .env_clear()
        .env("RAPIDBRIDGE_TOKEN", TOKEN)
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "plan\n  seen (reads a state cell)",
        "request list tickets",
        "20 records, next",
        "node slim",
        "would deliver sync_job_run:record to backend",
        "\"would_write\":\"seen\"",
        "completed: nothing delivered, 1 records of each list at most",
    ] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
}
