//! Access that is renewed (OAuth 2): by one worker at a time, each refresh token once, and told when the source refuses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use rapidbridge::playground::receiver::{self, Given};
use rapidbridge::playground::{Answer, TimedOut};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::definitions::{job, webhook, with};
use crate::support::{Cluster, Setup};

/// Pages of the list, of two records each.
const PAGES: u64 = 8;
/// So many pages are read with an access token, and the next one asks for the one after it.
const PAGES_OF_TOKEN: u64 = 3;
const REFUSED: &str = "integrated_account:authentication_error";
const REACTIVATED: &str = "integrated_account:reactivated";
const JOBS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A source whose tokens wear out.
#[derive(Default)]
struct Issuer {
    /// The refresh token that works, made new with each renewal.
    refresh: u64,
    /// Access tokens before this one don't work any more.
    least: u64,
    renewals: u64,
    /// Renewals with a refresh token that was used before.
    reused: u64,
    refused: u64,
    refuses: bool,
    /// Where tokens are made nobody is at home.
    is_down: bool,
}

type Shared = Arc<Mutex<Issuer>>;

async fn token(State(issuer): State<Shared>, form: String) -> (StatusCode, Json<Value>) {
    let form: HashMap<String, String> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
    let mut issuer = issuer.lock().unwrap();
    if issuer.is_down {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({})));
    }
    let is_client =
        is("client_id", "client") && is("client_secret", "s3cret-canary") && is("audience", "api");
    let by_refresh = is("grant_type", "refresh_token");
    let fits = if by_refresh {
        is("refresh_token", &format!("refresh-{}", issuer.refresh))
    } else {
        is("grant_type", "client_credentials")
    };
    if by_refresh && !fits {
        issuer.reused += 1;
    }
    if issuer.refuses || !is_client || !fits {
        issuer.refused += 1;
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" })));
    }
    issuer.renewals += 1;
    issuer.refresh += 1;
    let (access, refresh) = (format!("access-{}", issuer.refresh), format!("refresh-{}", issuer.refresh));
    (StatusCode::OK, Json(json!({ "access_token": access, "refresh_token": refresh, "expires_in": "3600" })))
}

#[derive(Deserialize)]
struct Page {
    page: u64,
}

async fn tickets(
    State(issuer): State<Shared>,
    Query(asked): Query<Page>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let token =
        headers.get("authorization").and_then(|token| token.to_str().ok()?.strip_prefix("Bearer access-"));
    let token: u64 = token.and_then(|number| number.parse().ok()).unwrap_or_default();
    if token < asked.page.div_ceil(PAGES_OF_TOKEN).max(issuer.lock().unwrap().least) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "invalid_token" })));
    }
    let records: Vec<Value> = (0..2).map(|record| json!({ "id": asked.page * 2 + record })).collect();
    (StatusCode::OK, Json(json!({ "tickets": records, "more": asked.page < PAGES })))
}

async fn source() -> (String, Shared) {
    let issuer = Shared::default();
    let router = Router::new().route("/oauth/token", post(token)).route("/tickets", get(tickets));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = router.with_state(issuer.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, issuer)
}

fn integration(url: &str, format: &str) -> Value {
    json!({
        "kind": "integration", "name": "helpdesk", "base_url": url,
        "authorization": { "format": "bearer" },
        "credentials": { "format": format, "config": {
            "token_url": format!("{url}/oauth/token"), "params": { "audience": "api" } } },
        "retry": { "attempts": 1, "base": "20ms", "max": "100ms", "outage_budget": "0s" },
        "pagination": { "format": "page", "has_next_path": "more" },
        "resources": { "tickets": { "list": { "path": "/tickets", "response_path": "tickets" } } },
    })
}

fn account(refresh: &str) -> Value {
    json!({
        "kind": "integrated_account", "id": "acme", "integration": "helpdesk",
        "credentials": { "client_id": "client", "client_secret": "s3cret-canary", "refresh_token": refresh },
    })
}

/// What is told outside runs: the events of accounts, and whether all of an event's tries have one id.
fn told(cluster: &Cluster, event: &str) -> Vec<(String, Option<u16>)> {
    let status = |given: Option<Given>| match given {
        Some(Given::Status(status)) => Some(status),
        Some(Given::HungUp) | None => None,
    };
    cluster.receiver.read(|ledger| {
        let own = ledger.requests.iter().filter(|received| received.event == event);
        own.map(|received| (received.id.clone(), status(received.given))).collect()
    })
}

async fn start(format: &str) -> (Cluster, Shared) {
    let cluster = Setup { workers: 2, ..Setup::default() }.start().await;
    let (url, issuer) = source().await;
    let secret = receiver::Settings::default().secret;
    let events = json!({ "event_types": [REFUSED, REACTIVATED] });
    let ops = with(webhook("ops", &cluster.receiver.url(), &secret), events);
    let jobs = JOBS.iter().map(|id| job(id, json!([{ "resource": "tickets" }])));
    cluster
        .apply([integration(&url, format), account("refresh-0"), ops].into_iter().chain(jobs).collect())
        .await;
    (cluster, issuer)
}

fn unique(cluster: &Cluster, run: &str) -> usize {
    cluster.receiver.read(|ledger| ledger.run(run).resources["tickets"].unique.len())
}

/// The account as the API shows it.
async fn access(cluster: &Cluster) -> Value {
    let (_, text) = cluster.api.call(Method::GET, "/integrated-account/acme", None).await;
    serde_json::from_str(&text).unwrap()
}

/// Waits until an event came so often, with an answer.
async fn told_by(cluster: &Cluster, event: &str, times: usize) -> Result<(), TimedOut> {
    let answered = |ledger: &receiver::Ledger| {
        let own = ledger.requests.iter().filter(|it| it.event == event && it.given.is_some());
        own.count() >= times
    };
    cluster.receiver.wait_for(event, Duration::from_secs(30), answered).await
}

#[tokio::test]
async fn many_runs_of_an_account_share_tokens_and_none_is_used_twice() {
    let (mut cluster, issuer) = start("oauth2").await;
    let mut runs = Vec::new();
    for id in JOBS {
        runs.push(cluster.api.push(id, "acme", "backend").await);
    }
    for run in &runs {
        let ended = cluster.api.ended(run).await;
        assert_eq!(ended.status, "completed", "{ended:?}");
        assert_eq!(unique(&cluster, run) as u64, PAGES * 2);
    }
    let (renewals, reused) = {
        let issuer = issuer.lock().unwrap();
        (issuer.renewals, issuer.reused)
    };
    assert_eq!(reused, 0, "a refresh token was used twice");
    assert_eq!(renewals, PAGES.div_ceil(PAGES_OF_TOKEN), "each of them for all runs");

    // The source refuses: the runs say so, and ask no more than once. Who wants to know is told until they know.
    cluster.receiver.script(|received| {
        let is_first = received.event == REFUSED && received.attempt == Some(1);
        is_first.then(|| Answer::status(503))
    });
    {
        let mut issuer = issuer.lock().unwrap();
        (issuer.refuses, issuer.least) = (true, issuer.refresh + 1);
    }
    let first = cluster.api.push("a", "acme", "backend").await;
    let failed = cluster.api.ended(&first).await;
    assert_eq!((failed.status.as_str(), failed.code()), ("failed", "unauthorized"), "{failed:?}");
    assert!(failed.message().contains("connect the account again"), "{failed:?}");
    let second = cluster.api.push("b", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&second).await.status, "failed");
    assert_eq!(issuer.lock().unwrap().refused, 1, "what was refused is not asked again");
    let shown = access(&cluster).await;
    assert_eq!(shown["status"], "needs_reauth", "{shown}");
    assert!(shown["last_error"].as_str().unwrap().contains("invalid_grant"), "{shown}");

    told_by(&cluster, REFUSED, 2).await.unwrap();
    let tries = told(&cluster, REFUSED);
    assert!(tries.iter().all(|(id, _)| *id == tries[0].0), "{tries:?}");
    assert_eq!((tries[0].1, tries[1].1), (Some(503), Some(200)));
    assert!(told(&cluster, REACTIVATED).is_empty());

    // Connected again, they go on.
    let newest = {
        let mut issuer = issuer.lock().unwrap();
        issuer.refuses = false;
        format!("refresh-{}", issuer.refresh)
    };
    cluster.api.apply(&[account(&newest)]).await;
    for run in [&first, &second] {
        cluster.api.post(&format!("/sync-job-run/{run}/resume"), &json!({})).await;
        assert_eq!(cluster.api.ended(run).await.status, "completed");
        assert_eq!(unique(&cluster, run) as u64, PAGES * 2);
    }
    assert_eq!(issuer.lock().unwrap().reused, 0);
    let shown = access(&cluster).await;
    assert_eq!((&shown["status"], &shown["last_error"]), (&json!("active"), &Value::Null), "{shown}");
    told_by(&cluster, REACTIVATED, 1).await.unwrap();
    cluster.check_alive();
}

#[tokio::test]
async fn a_client_gets_tokens_by_its_own_credentials() {
    let (mut cluster, issuer) = start("oauth2_client_credentials").await;
    let run = cluster.api.push("a", "acme", "backend").await;
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    assert_eq!(unique(&cluster, &run) as u64, PAGES * 2);
    assert_eq!(issuer.lock().unwrap().renewals, PAGES.div_ceil(PAGES_OF_TOKEN));
    cluster.check_alive();
}

/// Whatever a job says of errors: a page is no error of its own when nobody could ask for it.
#[tokio::test]
async fn nothing_is_skipped_while_no_token_can_be_had() {
    let (cluster, issuer) = start("oauth2").await;
    issuer.lock().unwrap().is_down = true;
    let run = cluster.api.push("a", "acme", "backend").await;
    let ended = cluster.api.ended(&run).await;
    assert_eq!((ended.status.as_str(), ended.code()), ("failed", "unauthorized"), "{ended:?}");
    issuer.lock().unwrap().is_down = false;
    cluster.api.post(&format!("/sync-job-run/{run}/resume"), &json!({})).await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    assert_eq!(unique(&cluster, &run) as u64, PAGES * 2);
}

/// Credentials go where they were meant to go: a run that began with one integration does not take them there when its
/// account is moved to another one.
#[tokio::test]
async fn a_moved_account_takes_its_credentials_with_it() {
    let mut cluster = Setup { workers: 0, ..Setup::default() }.start().await;
    let (url, issuer) = source().await;
    let jobs = [job("a", json!([{ "resource": "tickets" }]))];
    let first = [integration(&url, "oauth2"), account("refresh-0")];
    cluster.apply(first.into_iter().chain(jobs).collect()).await;
    let run = cluster.api.push("a", "acme", "backend").await;
    let other = with(integration(&url, "oauth2"), json!({ "name": "other" }));
    let moved = with(account("refresh-0"), json!({ "integration": "other" }));
    cluster.api.apply(&[other, moved]).await;
    cluster.start_worker();
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.code(), "unauthorized", "{ended:?}");
    assert!(ended.message().contains("connects to \"other\" now"), "{ended:?}");
    let issuer = issuer.lock().unwrap();
    assert_eq!((issuer.renewals, issuer.refused), (0, 0), "somebody was asked");
}
