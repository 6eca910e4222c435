//! No secret leaves: not in logs, answers, events or errors, and not in clear in what Redis writes to its disk.

use std::fmt::Write as _;
use std::path::Path;

use rapidbridge::playground::helpdesk::{self, Resource};
use rapidbridge::playground::{Answer, receiver};
use serde_json::{Value, json};

use crate::support::cluster::TOKEN;
use crate::support::definitions::{account, integration, job, tickets, webhook, with};
use crate::support::{Expected, SEAL_KEY, Setup, judge};

const CREDENTIAL: &str = "canary-credential-0f8b";
const QUERY_KEY: &str = "canary-query-77aa";
const SECRET: &str = "canary-webhook-secret-91cd";
const HEADER: &str = "canary-webhook-header-aa31";

/// All texts, with what they become in URLs, in base64 and in JSON.
fn canaries() -> Vec<String> {
    let plain = [CREDENTIAL, QUERY_KEY, SECRET, HEADER, TOKEN, SEAL_KEY];
    let encoded = plain.iter().map(|text| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text));
    plain.iter().map(|text| (*text).to_owned()).chain(encoded).collect()
}

fn assert_clean(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for canary in canaries() {
        if let Some(at) = text.find(&canary) {
            let from = text[..at].char_indices().rev().nth(200).map_or(0, |(at, _)| at);
            panic!("{what} holds {canary}: …{}", &text[from..at + canary.len()]);
        }
    }
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn no_secret_is_seen_anywhere() {
    let setup = Setup {
        helpdesk: helpdesk::Settings { token: CREDENTIAL.to_owned(), ..helpdesk::Settings::default() },
        receiver: receiver::Settings {
            secret: SECRET.to_owned(),
            keep_bytes_max: 64 << 20,
            ..receiver::Settings::default()
        },
        ..Setup::default()
    };
    let cluster = setup.set("LOG__FILTER", "trace").start().await;
    // The source throws back what it was sent, in good answers and in bad ones.
    cluster.helpdesk.script(|info| {
        let mut sent = String::new();
        for (name, value) in &info.headers {
            write!(sent, "{name}: {value:?} ").unwrap();
        }
        write!(sent, "{:?}", info.query).unwrap();
        (info.path == "/api/v1/users").then(|| {
            Answer::status(403).json(format!("{{\"error\":{}}}", serde_json::to_string(&sent).unwrap()))
        })
    });
    let mut keyed = account("acme", &cluster.helpdesk.url(), CREDENTIAL);
    keyed["credentials"]["key"] = QUERY_KEY.into();
    let hook =
        with(webhook("backend", &cluster.receiver.url(), SECRET), json!({ "headers": { "x-own": HEADER } }));
    let asks = with(integration(), json!({ "query": { "api_key": "{{credentials.key}}" } }));
    let dead =
        with(webhook("dead", "http://127.0.0.1:9/x", SECRET), json!({ "retry": { "give_up_after": "0s" } }));
    let documents = cluster.documents(vec![
        asks,
        keyed,
        hook,
        dead,
        job("job", json!([{ "resource": "users" }, { "resource": "tickets" }])),
        with(job("fast", json!([{ "resource": "users" }])), json!({ "error_handling": "fail_fast" })),
        job("tickets", tickets()),
    ]);
    let mut answers = vec![cluster.api.apply(&documents).await];
    let run = cluster.api.push("job", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    let errors = Expected { record_errors: 1, ..Expected::default() };
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], errors);
    let fast = cluster.api.push("fast", "acme", "backend").await;
    let undelivered = cluster.api.push("tickets", "acme", "dead").await;
    assert_eq!(
        [cluster.api.ended(&fast).await.status, cluster.api.ended(&undelivered).await.status],
        ["failed", "failed"]
    );

    for path in ["/integration", "/integrated-account", "/webhook", "/sync-job", "/sync-job-run"] {
        answers.push(cluster.api.get(path).await);
    }
    for run in [&run, &fast, &undelivered] {
        answers.push(cluster.api.get(&format!("/sync-job-run/{run}/log")).await);
    }
    // Refusals, too: one that echoes a body, and a token that is almost right.
    let almost = crate::support::Api::new(cluster.api.urls.clone(), &format!("{TOKEN}x"));
    let (status, text) = almost.call(reqwest::Method::GET, "/webhook", None).await;
    assert_eq!(status, 401, "{text}");
    answers.push(Value::String(text));
    let broken = json!({ "documents": [{ "kind": "webhook", "id": "w", "target_url": "nonsense", "secret": SECRET,
        "headers": { "host": HEADER } }, { "kind": "integrated_account", "id": "a", "integration": "helpdesk",
        "credentials": { "token": [CREDENTIAL] }, "creds": QUERY_KEY }] });
    let (status, text) = cluster.api.call(reqwest::Method::POST, "/apply", Some(&broken)).await;
    assert_eq!(status, 422, "{text}");
    answers.push(Value::String(text));
    for answer in answers {
        assert_clean("an answer of the API", answer.to_string().as_bytes());
    }
    cluster.receiver.read(|ledger| {
        assert!(
            ledger.requests.iter().all(|request| request.headers["x-own"] == HEADER),
            "they do reach the receiver"
        );
        for request in &ledger.requests {
            assert_clean(&request.event, request.body.as_ref().unwrap());
        }
    });
    let logs = cluster.logs();
    assert!(
        logs.contains("\"level\":\"TRACE\"") && logs.contains("delivery tried"),
        "there is something to look at"
    );
    assert_clean("a log", logs.as_bytes());
    // Everything is in the append-only file, since it was never rewritten.
    let mut written = Vec::new();
    files(&cluster.folder().join("redis"), &mut written);
    let aof: Vec<u8> = written.iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
    assert!(String::from_utf8_lossy(&aof).contains("integrated_account"), "the definitions are in it");
    assert_clean("Redis' disk", &aof);
}
