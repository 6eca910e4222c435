//! Runs: accepted, shown, stopped, resumed, replayed.

use serde_json::{Value, json};

use super::fixture::{Fixture, TOKEN, wanted};

fn id(run: &Value) -> &str {
    run["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_run_is_shown_with_all_its_fields() {
    let fixture = Fixture::applied().await;
    let run = fixture.run().await;
    let mut names: Vec<&String> = run.as_object().unwrap().keys().collect();
    names.sort();
    let expected = [
        "args",
        "attempt",
        "created_at",
        "dry_run",
        "environment_id",
        "epoch",
        "error",
        "error_handling",
        "events_to_send",
        "finished_at",
        "force",
        "id",
        "ignore_previous_run",
        "incomplete",
        "integrated_account_id",
        "mutex_key",
        "node",
        "pages",
        "place",
        "previous_run_date",
        "reason",
        "replay_of",
        "resource_stats",
        "resumable_until",
        "seq",
        "slot",
        "started_at",
        "state_key",
        "status",
        "stop_requested",
        "sync_job_cron_trigger_id",
        "sync_job_id",
        "terminal_undelivered",
        "updated_at",
        "wake_at",
        "webhook_id",
        "worker",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        (&run["status"], &run["attempt"], &run["environment_id"]),
        (&json!("created"), &json!(1), &json!("default"))
    );
    assert_eq!((&run["error_handling"], &run["webhook_id"]), (&json!("ignore"), &json!("backend")));
    assert_eq!(fixture.get(&format!("/sync-job-run/{}", id(&run))).await, (200, run.clone()));
    let (_, log) = fixture.get(&format!("/sync-job-run/{}/log", id(&run))).await;
    assert_eq!((&log["result"][0]["what"], &log["next_cursor"]), (&json!("created"), &Value::Null));
}

/// Digits that no double holds come back as they were sent.
#[tokio::test]
async fn arguments_stay_as_they_were_written() {
    let fixture = Fixture::applied().await;
    let body = r#"{"sync_job_id":"full","integrated_account_id":"acme","webhook_id":"backend",
        "args":{"big":12345678901234567890123,"money":1.10}}"#;
    let request = fixture.bare("POST", "/sync-job-run").bearer_auth(TOKEN).body(body);
    assert_eq!(fixture.send(request).await.0, 201);
    fixture.get("/sync-job-run").await;
    let answers = fixture.all_answers();
    assert_eq!(answers.matches(r#""args":{"big":12345678901234567890123,"money":1.10}"#).count(), 2);
}

#[tokio::test]
async fn a_request_is_refused_with_everything_that_is_wrong() {
    let fixture = Fixture::applied().await;
    let body = json!({ "sync_jobid": "full", "args": [1], "error_handling": "stop", "webhook_id": 7, "super_query": "apac" });
    let (status, answer) = fixture.post("/sync-job-run", &body).await;
    assert_eq!(status, 422);
    let details = answer["details"].as_array().unwrap();
    let of = |path: &str| {
        details.iter().find(|detail| detail["path"] == path).unwrap_or_else(|| panic!("{path}: {answer}"))
    };
    assert_eq!(of("sync_jobid")["hint"], "did you mean sync_job_id?");
    assert_eq!(of("sync_job_id")["message"], "is missing");
    assert_eq!(of("integrated_account_id")["message"], "is missing");
    assert!(of("error_handling")["message"].as_str().unwrap().contains("fail_fast"));
    assert_eq!(of("super_query")["message"], "is not supported yet");
    assert!(of("args")["hint"].is_string() && of("webhook_id")["message"].is_string());

    let body = json!({ "sync_job_id": "ful", "integrated_account_id": "nobody", "webhook_id": "none" });
    let (status, answer) = fixture.post("/sync-job-run", &body).await;
    assert_eq!((status, answer["details"].as_array().unwrap().len()), (422, 3));
    assert_eq!(answer["details"][0]["hint"], "did you mean \"full\"?");
    assert_eq!(fixture.get("/sync-job-run").await.1["result"], json!([]));
}

#[tokio::test]
async fn a_run_brings_keys_of_its_own_and_its_replay_keeps_them() {
    let fixture = Fixture::applied().await;
    let mut first = wanted();
    first["mutex_key"] = json!("shared {{as it stands}}");
    first["state_key"] = json!("acme");
    let (status, run) = fixture.post("/sync-job-run", &first).await;
    assert_eq!(status, 201, "{run}");
    assert_eq!((&run["mutex_key"], &run["state_key"]), (&first["mutex_key"], &first["state_key"]));
    // Of the same job and account, it waits for that mutex first.
    let (_, second) = fixture.post("/sync-job-run", &first).await;
    let (_, runs) = fixture.get("/sync-job-run").await;
    assert_eq!(
        (runs["result"][0]["id"].as_str(), runs["result"].as_array().unwrap().len()),
        (second["id"].as_str(), 2)
    );
    let mut forced = first.clone();
    forced["force"] = json!(true);
    let (_, forced) = fixture.post("/sync-job-run", &forced).await;
    assert_eq!((&forced["force"], &forced["reason"]), (&json!(true), &Value::Null));
    fixture.delete(&format!("/sync-job-run/{}", id(&run))).await;
    let (_, replay) = fixture.post(&format!("/sync-job-run/{}/replay", id(&run)), &json!({})).await;
    assert_eq!((&replay["mutex_key"], &replay["state_key"]), (&first["mutex_key"], &first["state_key"]));
    let mut long = wanted();
    long["state_key"] = json!("x".repeat(513));
    let (status, answer) = fixture.post("/sync-job-run", &long).await;
    assert_eq!((status, &answer["details"][0]["path"]), (422, &json!("state_key")));
}

#[tokio::test]
async fn job_account_and_webhook_must_fit() {
    let fixture = Fixture::applied().await;
    let other = json!([
        { "kind": "integration", "name": "crm", "base_url": "https://crm.example", "resources": {} },
        { "kind": "integrated_account", "id": "crm-acme", "integration": "crm" },
    ]);
    let mut crm = other.as_array().unwrap().clone();
    crm[0]["resources"] = json!({ "people": { "list": { "method": "get", "path": "/people" } } });
    let (status, answer) = fixture.apply(&crm).await;
    assert_eq!(status, 200, "{answer}");
    let mut body = wanted();
    body["integrated_account_id"] = json!("crm-acme");
    let (status, answer) = fixture.post("/sync-job-run", &body).await;
    assert_eq!(status, 422);
    assert!(answer["message"].as_str().unwrap().contains("connects to \"crm\""), "{answer}");
    // Nodes of its own fit the integration as the job's do.
    let mut own = wanted();
    own["resources"] = json!([{ "resource": "ticketz" }]);
    let (status, answer) = fixture.post("/sync-job-run", &own).await;
    assert_eq!((status, &answer["details"][0]["path"]), (422, &json!("resources[0].resource")), "{answer}");
    fixture.patch("/webhook/backend", &json!({ "is_active": false })).await;
    let (status, answer) = fixture.post("/sync-job-run", &wanted()).await;
    assert_eq!(status, 422);
    assert!(answer["message"].as_str().unwrap().contains("deliver nothing"), "{answer}");
}

#[tokio::test]
async fn runs_are_listed_page_by_page_the_newest_first() {
    let fixture = Fixture::applied().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(fixture.run().await["id"].clone());
    }
    made.reverse();
    let (mut listed, mut path) = (Vec::new(), "/sync-job-run?limit=2&sort=-created_at".to_owned());
    loop {
        let (_, page) = fixture.get(&path).await;
        listed.extend(page["result"].as_array().unwrap().iter().map(|run| run["id"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/sync-job-run?limit=2&next_cursor={next}");
    }
    assert_eq!(listed, made);
    for (filter, count) in [
        ("status=created", 5),
        ("status=running", 0),
        ("sync_job_id=full&integrated_account_id=acme", 5),
        ("integrated_account_id=nobody", 0),
    ] {
        let (_, page) = fixture.get(&format!("/sync-job-run?{filter}")).await;
        assert!(page["result"].is_array(), "{filter}: {page}");
        assert_eq!(page["result"].as_array().unwrap().len(), count, "{filter}");
    }
}

#[tokio::test]
async fn a_run_is_stopped_resumed_and_replayed() {
    let fixture = Fixture::applied().await;
    let mut body = wanted();
    body["args"] = json!({ "since": "2026-01-01" });
    body["error_handling"] = json!("fail_fast");
    let (_, run) = fixture.post("/sync-job-run", &body).await;
    let path = format!("/sync-job-run/{}", id(&run));
    let (status, answer) = fixture.post(&format!("{path}/replay"), &json!({})).await;
    assert_eq!(status, 409, "{answer}");
    let (status, answer) = fixture.post(&format!("{path}/resume"), &json!({})).await;
    assert_eq!((status, &answer["details"]["status"]), (409, &json!("created")));

    let (status, stopped) = fixture.post(&format!("{path}/stop"), &json!({ "reason": "a test" })).await;
    assert_eq!((status, &stopped["status"], &stopped["reason"]), (200, &json!("stopped"), &json!("a test")));
    assert_eq!((&stopped["error"], stopped["resumable_until"].is_string()), (&Value::Null, true));
    assert_eq!(fixture.delete(&path).await.0, 200, "stopping a stopped run changes nothing");

    let (status, replayed) = fixture.post(&format!("{path}/replay"), &json!({})).await;
    assert_eq!((status, &replayed["replay_of"], &replayed["args"]), (201, &run["id"], &body["args"]));
    assert_eq!(replayed["error_handling"], "fail_fast");

    let (status, resumed) = fixture.post(&format!("{path}/resume"), &json!({})).await;
    assert_eq!((status, &resumed["status"], &resumed["attempt"]), (200, &json!("created"), &json!(2)));
    assert_eq!(fixture.delete(&path).await.1["status"], "stopped");
    let (_, log) = fixture.get(&format!("{path}/log")).await;
    let lines: Vec<&str> =
        log["result"].as_array().unwrap().iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(lines, ["created", "stopped", "resumed", "stopped"]);
    let none = "0190a0a0-0000-7000-8000-000000000000";
    for path in ["stop", "resume", "replay"] {
        assert_eq!(fixture.post(&format!("/sync-job-run/{none}/{path}"), &json!({})).await.0, 404);
    }
}
