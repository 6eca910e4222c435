//! State cells: written, listed, changed, deleted.

use serde_json::{Value, json};

use super::fixture::Fixture;

#[tokio::test]
async fn a_cell_is_written_read_changed_and_deleted() {
    let fixture = Fixture::start().await;
    let all = "/sync-job-run-state?state_key=acme:tickets";
    let one = "/sync-job-run-state/since%2Flast?state_key=acme:tickets";
    assert_eq!(fixture.get(one).await.0, 404);
    let body = json!({ "key": "since/last", "value": { "at": "2026-01-31", "n": null } });
    let (status, cell) = fixture.post(all, &body).await;
    assert_eq!((status, &cell["value"], &cell["sync_job_run_id"]), (201, &body["value"], &Value::Null));
    let names: Vec<&String> = cell.as_object().unwrap().keys().collect();
    assert_eq!(names, ["key", "value", "sync_job_run_id", "created_at", "updated_at"]);
    assert_eq!(fixture.post(all, &body).await.0, 200, "seeding it twice is no mistake");
    assert_eq!(fixture.get(one).await.1["created_at"], cell["created_at"]);
    let (status, cell) = fixture.patch(one, &json!({ "value": null })).await;
    assert_eq!((status, &cell["value"]), (200, &Value::Null));
    fixture.post(all, &json!({ "key": "b", "value": 1 })).await;
    let (_, page) = fixture.get(&format!("{all}&limit=1")).await;
    assert_eq!((&page["result"][0]["key"], &page["limit"]), (&json!("b"), &json!(1)));
    let next = page["next_cursor"].as_str().unwrap();
    let (_, page) = fixture.get(&format!("{all}&limit=1&next_cursor={next}")).await;
    assert_eq!((&page["result"][0]["key"], &page["next_cursor"]), (&json!("since/last"), &Value::Null));
    assert_eq!(fixture.get("/sync-job-run-state?state_key=acme").await.1["result"], json!([]));
    assert_eq!(fixture.delete(one).await, (200, json!({ "key": "since/last" })));
    assert_eq!((fixture.delete(one).await.0, fixture.patch(one, &body).await.0), (404, 422));
}

#[tokio::test]
async fn a_request_that_lacks_something_is_told_what() {
    let fixture = Fixture::start().await;
    let said = async |method: &str, path: &str, body: Option<Value>| {
        let (status, answer) = fixture.call(method, path, body.as_ref()).await;
        (status, answer["message"].as_str().unwrap().to_owned())
    };
    for (method, path) in [("GET", ""), ("GET", "/c"), ("DELETE", "/c"), ("PATCH", "/c"), ("POST", "")] {
        let (status, message) = said(method, &format!("/sync-job-run-state{path}"), None).await;
        assert!(status == 400 && message.contains("state_key is missing"), "{method} {path}: {message}");
    }
    let path = "/sync-job-run-state?state_key=k";
    let (status, message) = said("POST", path, Some(json!({ "key": "c" }))).await;
    assert!(status == 422 && message.contains("value: is missing"), "{message}");
    let long = json!({ "key": "x".repeat(513), "value": 1 });
    let (status, message) = said("POST", path, Some(long)).await;
    assert!(status == 422 && message.contains("1 to 512"), "{message}");
    let (status, message) =
        said("PATCH", "/sync-job-run-state/c?state_key=k", Some(json!({ "value": 1 }))).await;
    assert!(status == 404 && message.contains("state cell \"c\" in state_key \"k\""), "{message}");
}
