//! Definitions: applied, created, changed, deleted; and never a secret in an answer.

use futures::FutureExt as _;
use serde_json::{Value, json};

use super::fixture::{CANARIES, Fixture, documents};
use crate::definition::Kind;

fn actions(answer: &Value) -> Vec<&str> {
    answer["result"].as_array().unwrap().iter().map(|change| change["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn applying_twice_changes_nothing() {
    let fixture = Fixture::start().await;
    let (status, first) = fixture.apply(&documents()).await;
    assert_eq!((status, &first["applied"]), (200, &json!(true)));
    assert_eq!(actions(&first), ["created"; 5]);
    assert!(fixture.changed.notified().now_or_never().is_some(), "the scheduler is not told");
    let before = fixture.definitions.generation().await.unwrap();
    let (_, second) = fixture.apply(&documents()).await;
    assert_eq!(actions(&second), ["unchanged"; 5]);
    assert_eq!(fixture.definitions.generation().await.unwrap(), before);
    // What the API returned can be applied again as well.
    for path in ["/integration/helpdesk", "/sync-job/full", "/sync-job-cron-trigger/nightly"] {
        let (_, returned) = fixture.get(path).await;
        let (_, answer) = fixture.apply(&[returned]).await;
        assert_eq!(actions(&answer), ["unchanged"], "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_diff_and_does_nothing() {
    let fixture = Fixture::applied().await;
    let mut changed = documents();
    changed[1]["context"]["plan"] = json!("silver");
    changed[1]["credentials"]["token"] = json!("canary-rotated");
    let body = json!({ "documents": changed, "dry_run": true });
    let (status, answer) = fixture.post("/apply", &body).await;
    assert_eq!((status, &answer["applied"]), (200, &json!(false)));
    assert_eq!(actions(&answer), ["unchanged", "updated", "unchanged", "unchanged", "unchanged"]);
    assert_eq!(
        answer["result"][1]["diff"],
        json!([
            { "path": "context.plan", "before": "\"gold\"", "after": "\"silver\"" },
            { "path": "credentials", "before": "(secret)", "after": "(secret)" }
        ])
    );
    assert_eq!(fixture.get("/integrated-account/acme").await.1["context"]["plan"], "gold");
}

#[tokio::test]
async fn all_problems_are_reported_at_once_and_nothing_is_applied() {
    let fixture = Fixture::start().await;
    let mut broken = documents();
    broken[1]["integration"] = json!("helpdesc");
    broken[3]["resources"][0]["resource"] = json!("user");
    broken[4]["every"] = json!("5m");
    let (status, answer) = fixture.apply(&broken).await;
    assert_eq!((status, &answer["error"]), (422, &json!("Unprocessable Entity")));
    let details = answer["details"].as_array().unwrap();
    let mentions = |word: &str| details.iter().any(|detail| detail.to_string().contains(word));
    assert!(details.len() >= 3 && mentions("helpdesc") && mentions("every"), "{answer}");
    assert_eq!(fixture.get("/integration").await.1["result"], json!([]));
    // Documents that can't be told apart are reported by their place in the list.
    let (status, answer) = fixture.apply(&[json!({ "kind": "sync_jop" }), json!({ "id": "x" })]).await;
    assert_eq!(status, 422);
    assert_eq!(answer["details"][0]["path"], "documents[0].kind");
    assert_eq!(answer["details"][1]["path"], "documents[1].kind");
    let twice = [documents()[0].clone(), documents()[0].clone()];
    assert!(fixture.apply(&twice).await.1["message"].as_str().unwrap().contains("was there before"));
}

#[tokio::test]
async fn a_change_that_breaks_another_definition_is_refused() {
    let fixture = Fixture::applied().await;
    let (status, answer) = fixture
        .patch(
            "/integration/helpdesk",
            &json!({ "resources": { "users": {
        "list": { "method": "get", "path": "/users", "response_path": "users" } } } }),
        )
        .await;
    assert_eq!(status, 422);
    assert!(answer["message"].as_str().unwrap().contains("sync_job \"full\""), "{answer}");
}

#[tokio::test]
async fn pruning_deletes_what_is_left_out() {
    let fixture = Fixture::applied().await;
    let kept = &documents()[..4];
    let (_, answer) = fixture.post("/apply", &json!({ "documents": kept, "prune": true })).await;
    assert_eq!(actions(&answer).last(), Some(&"deleted"));
    assert_eq!(fixture.get("/sync-job-cron-trigger/nightly").await.0, 404);
    fixture.run().await;
    let without_job = &documents()[..3];
    let (status, _) = fixture.post("/apply", &json!({ "documents": without_job, "prune": true })).await;
    assert_eq!(status, 409, "a run needs the job");
}

#[tokio::test]
async fn definitions_are_created_listed_and_changed() {
    let fixture = Fixture::applied().await;
    let mut account = documents()[1].clone();
    let members = account.as_object_mut().unwrap();
    members.remove("id");
    members.remove("kind");
    let (status, made) = fixture.post("/integrated-account", &account).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["id"].as_str().unwrap().len(), 36);
    let (status, again) = fixture.post("/integrated-account", &documents()[1]).await;
    assert_eq!((status, &again["error"]), (409, &json!("Conflict")));

    let (_, page) = fixture.get("/integrated-account?limit=1").await;
    assert_eq!((page["result"].as_array().unwrap().len(), &page["limit"]), (1, &json!(1)));
    let next = page["next_cursor"].as_str().unwrap();
    let (_, rest) = fixture.get(&format!("/integrated-account?limit=1&next_cursor={next}")).await;
    assert_eq!((rest["result"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    assert_ne!(page["result"][0]["id"], rest["result"][0]["id"]);
    assert_eq!(fixture.get("/integrated-account?tenant_id=nobody").await.1["result"], json!([]));

    let change = json!({ "context": { "plan": "silver", "region": null }, "label": "Acme" });
    let (status, changed) = fixture.patch("/integrated-account/acme", &change).await;
    assert_eq!(
        (status, &changed["context"], &changed["label"]),
        (200, &json!({ "plan": "silver" }), &json!("Acme"))
    );
    let kept = fixture.kept(Kind::Account, "acme").await;
    assert_eq!(kept.body["credentials"], json!({ "token": "canary-credential" }), "omitted secrets are kept");
    assert_eq!(fixture.patch("/integrated-account/acme", &json!({ "id": "other" })).await.0, 409);
    assert_eq!(fixture.patch("/integrated-account/nobody", &json!({})).await.0, 404);

    let rotated = json!({ "secrets": ["canary-rotated", "canary-signing"] });
    assert_eq!(fixture.patch("/webhook/backend", &rotated).await.0, 200);
    let kept = fixture.kept(Kind::Webhook, "backend").await;
    assert_eq!((kept.body.get("secret"), &kept.body["secrets"]), (None, &rotated["secrets"]));
}

#[tokio::test]
async fn what_others_need_is_not_deleted() {
    let fixture = Fixture::applied().await;
    let (status, answer) = fixture.delete("/integration/helpdesk").await;
    assert_eq!(status, 409);
    assert_eq!(answer["details"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(fixture.delete("/webhook/backend").await.1["details"][0]["id"], "nightly");
    assert_eq!(
        fixture.delete("/sync-job-cron-trigger/nightly").await,
        (200, json!({ "id": "nightly", "stopped_runs": [] }))
    );
    let run = fixture.run().await;
    for path in ["/webhook/backend", "/integrated-account/acme", "/sync-job/full"] {
        let (status, answer) = fixture.delete(path).await;
        assert_eq!((status, &answer["details"]["sync_job_runs"]), (409, &json!([run["id"]])), "{path}");
    }
    let (status, answer) = fixture.delete("/webhook/backend?force=true").await;
    assert_eq!((status, &answer["stopped_runs"]), (200, &json!([run["id"]])));
    let (_, run) = fixture.get(&format!("/sync-job-run/{}", run["id"].as_str().unwrap())).await;
    assert_eq!(
        (&run["status"], &run["reason"]),
        (&json!("stopped"), &json!("webhook \"backend\" was deleted"))
    );
    assert_eq!(fixture.delete("/webhook/backend").await.0, 404);
}

#[tokio::test]
async fn triggers_show_their_clock_and_run_now() {
    let fixture = Fixture::applied().await;
    let (_, trigger) = fixture.get("/sync-job-cron-trigger/nightly").await;
    assert_eq!((&trigger["last_run_id"], &trigger["skipped"]), (&Value::Null, &json!(0)));
    assert!(trigger.as_object().unwrap().contains_key("next_run_at"));
    let (status, run) = fixture.post("/sync-job-cron-trigger/nightly/run", &json!({})).await;
    assert_eq!(
        (status, &run["sync_job_cron_trigger_id"], &run["slot"]),
        (201, &json!("nightly"), &Value::Null)
    );
    let scheduled = fixture.post("/sync-job-cron-trigger/nightly/schedule", &json!({})).await;
    assert_eq!(scheduled, (200, json!({ "success": true })));
    assert_eq!(fixture.post("/sync-job-cron-trigger/none/run", &json!({})).await.0, 404);
    let (_, runs) = fixture.get("/sync-job-run?sync_job_cron_trigger_id=nightly").await;
    assert_eq!(runs["result"][0]["id"], run["id"]);
}

#[tokio::test]
async fn no_answer_holds_a_secret() {
    let fixture = Fixture::applied().await;
    let mut broken = documents();
    broken[1]["credentials"] = json!({ "token": { "nested": "canary-rotated" } });
    broken[2]["secret"] = json!(["canary-signing"]);
    fixture.apply(&broken).await;
    fixture.patch("/webhook/backend", &json!({ "secret": "canary-rotated" })).await;
    fixture.patch("/webhook/backend", &json!({ "headers": "canary-header" })).await;
    fixture.post("/integrated-account", &documents()[1]).await;
    let run = fixture.run().await;
    let mut paths =
        vec![format!("/sync-job-run/{}", run["id"].as_str().unwrap()), "/sync-job-run".to_owned()];
    for kind in Kind::ALL {
        paths.push(crate::api::route::path(*kind).to_owned());
    }
    paths.extend(["/integrated-account/acme".to_owned(), "/webhook/backend".to_owned()]);
    for path in paths {
        assert_eq!(fixture.get(&path).await.0, 200, "{path}");
    }
    fixture.delete("/webhook/backend").await;
    let answers = fixture.all_answers();
    assert!(answers.contains("secret_fields") && answers.contains("helpdesk.example"));
    for canary in CANARIES {
        assert!(!answers.contains(canary), "{canary} came back");
    }
}

#[tokio::test]
async fn a_webhook_where_no_delivery_may_go_is_refused_beside_all_other_problems() {
    let fixture = Fixture::start().await;
    let mut broken = documents();
    broken[2]["target_url"] = json!("http://169.254.169.254/latest");
    broken[1]["integration"] = json!("helpdesc");
    let (status, answer) = fixture.apply(&broken).await;
    assert_eq!(status, 422, "{answer}");
    let details = answer["details"].as_array().unwrap();
    let target = details.iter().find(|problem| problem["path"] == "target_url").unwrap();
    assert_eq!(target["document"], "webhook \"backend\"");
    assert!(target["hint"].as_str().unwrap().contains("egress.allow"), "{target}");
    assert!(details.len() > 1, "{answer}");
    assert!(!answer.to_string().contains("169.254"), "{answer}");
}
