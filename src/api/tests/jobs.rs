//! Runs of jobs that declare arguments and name their own webhooks.

use serde_json::{Value, json};

use super::fixture::{Fixture, wanted};

/// A graph with two destinations, one of which takes part only when the run names it.
fn graph() -> Value {
    json!({
        "kind": "sync_job", "id": "graph", "integration_name": "helpdesk", "default_runtime_version": 4,
        "args_schema": {
            "start": { "type": "string", "format": "date", "required": true },
            "count": { "type": "integer", "default": 10 },
            "archive_id": { "type": "string", "format": "webhook_id" },
            "other_account": { "type": "string", "format": "integrated_account_id" }
        },
        "args_validation": "args.count > 100 ? {'message': 'count is more than 100'}",
        "resources": [
            { "name": "users", "type": "request", "resource": "users" },
            { "name": "out", "type": "destination", "config": { "id": "backend" }, "resources_to_persist": ["users"] },
            { "name": "archive", "type": "destination", "run_if": "$exists(args.archive_id)",
              "config": { "id": "{{args.archive_id}}" }, "resources_to_persist": ["users"] }
        ]
    })
}

async fn with_graph() -> Fixture {
    let fixture = Fixture::applied().await;
    let archive = json!({ "kind": "webhook", "id": "archive", "target_url": "https://archive.example/", "secret": "s" });
    let (status, answer) = fixture.apply(&[graph(), archive]).await;
    assert_eq!(status, 200, "{answer}");
    fixture
}

fn of(args: &Value) -> Value {
    json!({ "sync_job_id": "graph", "integrated_account_id": "acme", "args": args })
}

/// What is wrong with a run of these arguments: path and message.
async fn refused(fixture: &Fixture, body: &Value) -> Vec<(String, String)> {
    let (status, answer) = fixture.post("/sync-job-run", body).await;
    assert_eq!(status, 422, "{answer}");
    let text = |detail: &Value, name: &str| detail[name].as_str().unwrap_or_default().to_owned();
    let details = answer["details"].as_array().unwrap().iter();
    details.map(|detail| (text(detail, "path"), text(detail, "message"))).collect()
}

#[tokio::test]
async fn a_runs_arguments_are_completed_and_its_webhooks_are_the_jobs() {
    let fixture = with_graph().await;
    let (status, run) = fixture.post("/sync-job-run", &of(&json!({ "start": "2026-01-31" }))).await;
    assert_eq!(status, 201, "{run}");
    assert_eq!(run["args"], json!({ "start": "2026-01-31", "count": 10 }));
    assert_eq!(run["webhook_id"], "backend");
    let both = of(&json!({ "start": "2026-01-31", "archive_id": "archive" }));
    assert_eq!(fixture.post("/sync-job-run", &both).await.0, 201);
    // The run that delivers to it stands in the way; so does the job that names the other one.
    assert_eq!(fixture.delete("/webhook/archive").await.0, 409);
    let (status, answer) = fixture.delete("/webhook/backend").await;
    assert_eq!(status, 409);
    assert!(answer["details"].as_array().unwrap().iter().any(|it| it["id"] == "graph"), "{answer}");
}

#[tokio::test]
async fn each_argument_that_is_wrong_is_named() {
    let fixture = with_graph().await;
    let body = of(&json!({ "start": "yesterday", "count": "5", "strat": 1 }));
    let paths: Vec<String> = refused(&fixture, &body).await.into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["args.start", "args.count", "args.strat"]);
    let together = refused(&fixture, &of(&json!({ "start": "2026-01-31", "count": 101 }))).await;
    assert_eq!(together, [("args".to_owned(), "count is more than 100".to_owned())]);
    let account = refused(&fixture, &of(&json!({ "start": "2026-01-31", "other_account": "acne" }))).await;
    assert_eq!(account[0].0, "args.other_account");
}

#[tokio::test]
async fn a_destinations_webhook_must_be_there_and_active() {
    let fixture = with_graph().await;
    let to = |id: &str| of(&json!({ "start": "2026-01-31", "archive_id": id }));
    let missing = refused(&fixture, &to("archiv")).await;
    assert!(
        missing[0].1.starts_with("destination \"archive\": there is no webhook \"archiv\""),
        "{missing:?}"
    );
    fixture.patch("/webhook/archive", &json!({ "is_active": false })).await;
    let inactive = refused(&fixture, &to("archive")).await;
    assert!(
        inactive[0].1.starts_with("destination \"archive\": webhook \"archive\" is not active"),
        "{inactive:?}"
    );
}

#[tokio::test]
async fn a_version_must_fit_the_job_and_a_flat_list_needs_a_webhook() {
    let fixture = with_graph().await;
    let mut body = of(&json!({ "start": "2026-01-31" }));
    body["version"] = json!(4);
    assert_eq!(fixture.post("/sync-job-run", &body).await.0, 201);
    body["version"] = json!(3);
    assert_eq!(refused(&fixture, &body).await[0].0, "version");
    let mut flat = wanted();
    flat["version"] = json!(4);
    assert_eq!(refused(&fixture, &flat).await[0].0, "version");
    flat["version"] = json!(2);
    flat.as_object_mut().unwrap().remove("webhook_id");
    assert_eq!(refused(&fixture, &flat).await, [("webhook_id".to_owned(), "is missing".to_owned())]);
}

#[tokio::test]
async fn a_trigger_is_held_to_its_jobs_arguments() {
    let fixture = with_graph().await;
    let trigger = |args: &Value| {
        json!({ "kind": "sync_job_cron_trigger", "id": "often", "sync_job_id": "graph", "every": "1h",
                "integrated_account_id": "acme", "args": args })
    };
    let (status, answer) = fixture.apply(&[trigger(&json!({ "count": 1.5 }))]).await;
    assert_eq!(status, 422);
    let paths: Vec<&Value> = answer["details"].as_array().unwrap().iter().map(|it| &it["path"]).collect();
    assert_eq!(paths, ["args.start", "args.count"], "{answer}");
    assert_eq!(fixture.apply(&[trigger(&json!({ "start": "2026-01-31" }))]).await.0, 200);
    let (status, run) = fixture.post("/sync-job-cron-trigger/often/run", &json!({})).await;
    assert_eq!(status, 201, "{run}");
    assert_eq!((&run["args"]["count"], &run["webhook_id"]), (&json!(10), &json!("backend")));
}
