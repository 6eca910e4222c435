//! What every request passes: the token, the shape of errors, the limits.

use rstest::rstest;
use serde_json::json;

use super::fixture::{Fixture, OTHER_TOKEN, TOKEN, wanted};

#[tokio::test]
async fn only_health_is_open_without_a_token() {
    let fixture = Fixture::start().await;
    for path in ["/healthz", "/readyz", "/health"] {
        assert_eq!(fixture.send(fixture.bare("GET", path)).await.0, 200, "{path}");
    }
    for (method, path) in
        [("GET", "/sync-job-run"), ("POST", "/apply"), ("DELETE", "/webhook/x"), ("GET", "/nowhere")]
    {
        let (status, body) = fixture.send(fixture.bare(method, path)).await;
        assert_eq!((status, &body["error"]), (401, &json!("Unauthorized")), "{method} {path}");
        assert!(body["message"].as_str().unwrap().contains("Authorization: Bearer <token>"), "{body}");
    }
    for token in [TOKEN, OTHER_TOKEN] {
        assert_eq!(fixture.send(fixture.bare("GET", "/webhook").bearer_auth(token)).await.0, 200);
    }
    for wrong in ["", "token-of-the-test", "Token-of-the-tests"] {
        let (status, body) = fixture.send(fixture.bare("GET", "/webhook").bearer_auth(wrong)).await;
        assert_eq!(status, 401, "{wrong}: {body}");
    }
    let basic = fixture.bare("GET", "/webhook").basic_auth("user", Some(TOKEN));
    let (status, body) = fixture.send(basic).await;
    assert_eq!(status, 401);
    assert!(body["message"].as_str().unwrap().contains("must be `Bearer <token>`"), "{body}");
}

/// It can be asked for everything, and takes nothing.
#[tokio::test]
async fn a_redis_that_takes_no_writes_is_told() {
    let fixture = Fixture::start().await;
    let client = redis::Client::open(fixture.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for (memory, ready, redis) in [("0", 200, "ok"), ("1", 503, "memory is full"), ("0", 200, "ok")] {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(memory).query_async::<()>(&mut connection).await.unwrap();
        // What was found last stands for a second.
        let changed = async {
            while fixture.send(fixture.bare("GET", "/readyz")).await.0 != ready {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), changed).await.unwrap();
        let (status, body) = fixture.send(fixture.bare("GET", "/health")).await;
        assert_eq!(status, 200, "a restart would not help: {body}");
        assert!(body["redis"].as_str().unwrap().contains(redis), "{body}");
        assert_eq!(fixture.send(fixture.bare("GET", "/healthz")).await.0, 200);
    }
}

#[tokio::test]
async fn every_refusal_has_the_same_shape() {
    let fixture = Fixture::start().await;
    let calls = [
        ("GET", "/nowhere", 404, "Not Found"),
        ("PUT", "/webhook/x", 405, "Method Not Allowed"),
        ("GET", "/webhook/none", 404, "Not Found"),
        ("GET", "/sync-job-run/none", 404, "Not Found"),
        ("GET", "/sync-job-run?status=done", 400, "Bad Request"),
        ("GET", "/sync-job-run?next_cursor=x", 400, "Bad Request"),
        ("GET", "/webhook?limit=0", 400, "Bad Request"),
        ("POST", "/sync-job", 400, "Bad Request"),
    ];
    for (method, path, status, error) in calls {
        let (got, body) = fixture.call(method, path, None).await;
        assert_eq!(
            (got, &body["statusCode"], &body["error"]),
            (status, &json!(status), &json!(error)),
            "{path}"
        );
        assert!(!body["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_unknown_parameter_is_named_with_the_nearest() {
    let fixture = Fixture::start().await;
    let (status, body) = fixture.get("/sync-job-run?sync_jobid=full").await;
    assert_eq!(status, 400);
    assert!(body["message"].as_str().unwrap().contains("did you mean sync_job_id?"), "{body}");
}

#[rstest]
#[case::too_large(400_000, 413, "larger than 65536 bytes")]
#[case::too_deep(200, 400, "nested deeper than 128 levels")]
#[tokio::test]
async fn bodies_have_limits(#[case] depth: usize, #[case] status: u16, #[case] message: &str) {
    let fixture = Fixture::start().await;
    let body = "[".repeat(depth);
    let (got, answer) = fixture.send(fixture.bare("POST", "/apply").bearer_auth(TOKEN).body(body)).await;
    assert_eq!(got, status);
    assert!(answer["message"].as_str().unwrap().contains(message), "{answer}");
}

#[rstest]
#[case::no_json("{", "the body is not the JSON object")]
#[case::no_object("[1]", "the body is not the JSON object")]
#[case::empty("", "documents")]
#[tokio::test]
async fn a_body_that_is_none_is_refused(#[case] body: &'static str, #[case] message: &str) {
    let fixture = Fixture::start().await;
    let (status, answer) = fixture.send(fixture.bare("POST", "/apply").bearer_auth(TOKEN).body(body)).await;
    assert!([400, 422].contains(&status), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains(message), "{answer}");
}

#[tokio::test]
async fn an_idempotency_key_makes_one_run() {
    let fixture = Fixture::applied().await;
    let create = |body: serde_json::Value, key: &'static str| {
        let request = fixture.bare("POST", "/sync-job-run").bearer_auth(TOKEN).body(body.to_string());
        fixture.send(request.header("Idempotency-Key", key))
    };
    let (first, run) = create(wanted(), "order-7").await;
    let (second, same) = create(wanted(), "order-7").await;
    assert_eq!((first, second, &run["id"]), (201, 200, &same["id"]));
    let (third, other) = create(wanted(), "order-8").await;
    assert_eq!(third, 201);
    assert_ne!(other["id"], run["id"]);
    let mut different = wanted();
    different["args"] = json!({ "since": "2026" });
    let (status, answer) = create(different, "order-7").await;
    assert_eq!(status, 422);
    assert!(answer["message"].as_str().unwrap().contains("use a new key"), "{answer}");
    assert_eq!(create(wanted(), "").await.0, 400);
}
