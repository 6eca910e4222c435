//! Sources that no integration wants: each is told as an error of its own, nothing hangs, loops or looks like an
//! empty page, and the other runs go on.

use std::time::Duration;

use rapidbridge::playground::helpdesk::{self, RequestInfo, Resource};
use rapidbridge::playground::{Answer, Helpdesk, hostile};
use serde_json::{Value, json};

use crate::support::definitions::{self, account, job, with};
use crate::support::{Cluster, Expected, Setup, judge};

/// What the source does under this path's last part, which record errors must name it, and how many pages arrive
/// before.
const CASES: [(&str, &str, u64); 17] = [
    ("html", "unexpected_content_type", 0),
    ("login_page", "unexpected_content_type", 1),
    ("invalid_json", "invalid_json", 0),
    ("nothing", "empty_answer", 0),
    ("vanishes", "unexpected_empty", 1),
    ("broken", "broken_answer", 0),
    ("endless", "page_too_large", 0),
    ("drip", "timeout", 0),
    ("silent", "timeout", 0),
    ("never", "timeout", 0),
    ("too_many", "too_many_records", 0),
    ("too_deep", "too_deep", 0),
    ("missing", "missing_records", 0),
    ("redirect", "Found", 0),
    ("same_cursor", "pagination_loop", 2),
    ("cycle", "pagination_loop", 0),
    ("for_ever", "too_many_pages", 7),
];

fn answer(info: &RequestInfo, elsewhere: &str) -> Option<Answer> {
    let case = info.path.strip_prefix("/api/v1/hostile/")?;
    let cursor = info.cursor.as_deref();
    let page = |next: &str| {
        let id = info.number;
        Answer::ok().json(format!("{{\"data\":[{{\"id\":{id}}}],\"next\":\"{next}\"}}"))
    };
    let body = |body: axum::body::Body| Answer::ok().header("content-type", "application/json").body(body);
    Some(match (case, cursor) {
        ("html", _) | ("login_page", Some(_)) => {
            Answer::ok().header("content-type", "text/html").body("<html>please log in</html>")
        }
        ("login_page" | "vanishes", None) => page("more"),
        ("vanishes", Some(_)) => Answer::status(204),
        ("invalid_json", _) => Answer::ok().json("{\"data\":[{\"id\":1}"),
        ("nothing", _) => Answer::ok().json(""),
        ("broken", _) => body(hostile::broken("{\"data\":[{\"id\":1},")),
        ("endless", _) => body(hostile::endless("{\"data\":[", "{\"id\":1},")),
        ("drip", _) => body(hostile::drip("{\"data\":[", Duration::from_millis(20))),
        ("silent", _) => body(hostile::silent("{\"data\":[")),
        ("never", _) => body(hostile::silent("")),
        ("too_many", _) => Answer::ok().json(format!("{{\"data\":[{}0]}}", "0,".repeat(50))),
        ("too_deep", _) => {
            let (open, close) = ("[".repeat(20_000), "]".repeat(20_000));
            Answer::ok().json(format!("{{\"data\":[{open}{close}]}}"))
        }
        ("missing", _) => Answer::ok().json(r#"{"error":"use data_v2"}"#),
        ("redirect", _) => Answer::status(302).header("location", elsewhere),
        ("same_cursor", _) => page("same"),
        ("cycle", Some("a")) => page("b"),
        ("cycle", _) => page("a"),
        ("for_ever", _) => page(&format!("c{}", info.number)),
        _ => Answer::status(404),
    })
}

/// The integration with a resource for each case, and the jobs.
fn documents() -> Vec<Value> {
    let list = |case: &str| {
        json!({ "list": { "path": format!("/hostile/{case}"), "response_path": "data", "timeout": "300ms",
            "page_bytes_max": 65536, "page_records_max": 40, "pages_max": 7,
            "pagination": { "format": "cursor", "config": { "cursor_path": "next", "cursor_key": "cursor" } } } })
    };
    let resources: serde_json::Map<String, Value> =
        CASES.iter().map(|(case, ..)| ((*case).to_owned(), list(case))).collect();
    let integration = with(definitions::integration(), json!({ "resources": resources }));
    // After each hostile list an honest one, which must come whole.
    let jobs =
        CASES.iter().map(|(case, ..)| job(case, json!([{ "resource": case }, { "resource": "users" }])));
    [integration].into_iter().chain(jobs).collect()
}

#[tokio::test]
async fn each_hostile_source_is_told_as_what_it_is_and_hurts_nobody_else() {
    let mut cluster = Setup { workers: 1, ..Setup::default() }.set("WORKER__CONCURRENCY", "32").start().await;
    let elsewhere = Helpdesk::start(helpdesk::Settings::default()).await.unwrap();
    let target = elsewhere.url();
    cluster.helpdesk.script(move |info| answer(info, &target));
    cluster.apply(documents()).await;
    let mut runs = Vec::new();
    for (case, ..) in CASES {
        runs.push(cluster.api.push(case, "acme", "backend").await);
    }
    for (run, (case, error, pages)) in runs.iter().zip(CASES) {
        let ended = cluster.api.ended(run).await;
        assert_eq!(ended.status, "completed", "{case}: {ended:?}");
        assert_eq!(ended.incomplete.keys().collect::<Vec<_>>(), [case], "{case}");
        cluster.receiver.read(|ledger| {
            let ours = ledger.run(run);
            let came = |resource: &str| ours.resources.get(resource).map_or(0, |resource| resource.total);
            assert_eq!(came("users"), 30, "{case}: the honest list after it");
            if case != "cycle" {
                assert_eq!(came(case), pages, "{case}: pages before the error");
            }
            let mut errors = ledger.requests.iter().filter(|request| {
                request.run.as_deref() == Some(run) && request.event == "sync_job_run:record_error"
            });
            let told = errors.next().unwrap_or_else(|| panic!("{case}: no record_error"));
            assert!(errors.next().is_none(), "{case}: one error, not several");
            let body: Value = serde_json::from_slice(told.body.as_ref().unwrap()).unwrap();
            assert_eq!(body["payload"]["error"]["error"], error, "{case}: {body}");
            assert_eq!(body["payload"]["resource"], case, "{body}");
            assert!(body["payload"]["error"]["message"].as_str().unwrap().len() > 20, "{case}: {body}");
        });
    }
    // A cycle costs a few pages until it is seen, not for ever.
    let cycled = cluster.helpdesk.read(|ledger| ledger.asked("/api/v1/hostile/cycle", "a"));
    assert!((1..=3).contains(&cycled), "the cycle was gone round {cycled} times");
    assert_eq!(elsewhere.read(|ledger| ledger.requests), 0, "a redirect was followed");
    cluster.check_alive();
}

#[tokio::test]
async fn a_wrong_token_fails_the_run_and_the_right_one_lets_it_go_on() {
    let cluster = Setup::default().start().await;
    let wrong = account("acme", &cluster.helpdesk.url(), "not-the-token");
    cluster.apply(vec![wrong, job("tickets", definitions::tickets())]).await;
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let failed = cluster.api.ended(&run).await;
    assert_eq!((failed.status.as_str(), failed.code()), ("failed", "unauthorized"), "{failed:?}");
    assert!(failed.message().contains("acme") && failed.message().contains("resume"), "{failed:?}");
    let asked = cluster.helpdesk.read(|ledger| ledger.requests);
    assert_eq!(asked, 1, "refused credentials are not tried again and again");
    // Mended and resumed at once, as a person would.
    let right = cluster.helpdesk.settings().token.clone();
    let mended = json!({ "credentials": { "token": right } });
    cluster.api.call(reqwest::Method::PATCH, "/integrated-account/acme", Some(&mended)).await;
    cluster.api.post(&format!("/sync-job-run/{run}/resume"), &json!({})).await;
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
}

/// All problems come at once, each with its place and what to do, and nothing of it is applied.
#[tokio::test]
async fn broken_definitions_are_refused_whole_with_all_their_problems() {
    let cluster: Cluster = Setup { workers: 0, ..Setup::default() }.start().await;
    let documents = cluster.documents(vec![
        with(
            job("job", json!([{ "resource": "tikets" }, { "resource": "users", "depends_on": "nobody" }])),
            json!({ "error_handling": "hope" }),
        ),
        definitions::trigger("often", "job-that-is-not", "acme", "backend", "10ms"),
    ]);
    let (status, text) =
        cluster.api.call(reqwest::Method::POST, "/apply", Some(&json!({ "documents": documents }))).await;
    assert!((400..500).contains(&status), "{status} {text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer["details"].as_array().unwrap().len() >= 3, "{answer:#}");
    for word in ["nobody", "hope", "ignore", "10ms"] {
        assert!(text.contains(word), "{word} is not named: {answer:#}");
    }
    assert_eq!(cluster.api.get("/sync-job").await["result"], json!([]));
    // References that lead nowhere.
    let documents =
        cluster.documents(vec![definitions::trigger("often", "no-job", "acme", "backend", "10s")]);
    let (status, text) =
        cluster.api.call(reqwest::Method::POST, "/apply", Some(&json!({ "documents": documents }))).await;
    assert!((400..500).contains(&status) && text.contains("no-job"), "{status} {text}");
    let unknown = json!({ "sync_job_id": "nope", "integrated_account_id": "acme", "webhook_id": "backend" });
    let (status, text) = cluster.api.call(reqwest::Method::POST, "/sync-job-run", Some(&unknown)).await;
    assert!((400..500).contains(&status) && text.contains("nope"), "{status} {text}");
}
