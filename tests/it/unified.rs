//! Unified models end to end: runs that read a model's resource, mappings in layers that a run pins, and live requests
//! (`/unified`, `/proxy`) against a source of this test's own.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use rapidbridge::playground::Answer;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::definitions::{job, with};
use crate::support::{Cluster, Setup};

/// Tickets of the source; those of even numbers were changed later than `2026-01-01`.
const TICKETS: u64 = 25;
/// Beyond what a double holds.
const BIG: &str = "12345678901234567890";

#[derive(Default)]
struct Source {
    /// The queries of lists, as they came.
    asked: Vec<String>,
    /// Bodies that were written, each with how.
    written: Vec<(String, Value)>,
    /// Answers this to everything while it is set.
    answers: Option<(StatusCode, Value)>,
}

type Shared = Arc<Mutex<Source>>;
type Reply = (StatusCode, HeaderMap, String);

fn reply(status: StatusCode, body: impl Into<String>) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert("retry-after", "7".parse().unwrap());
    }
    (status, headers, body.into())
}

fn ticket(number: u64) -> String {
    let state = if number.is_multiple_of(3) { "done" } else { "todo" };
    format!(
        r#"{{"key":{number},"title":"T{number}","state":"{state}","labels":["a"],"big":{BIG},"severity":"s{number}","junk":{}}}"#,
        number == 5
    )
}

fn scripted(source: &Shared) -> Option<Reply> {
    let (status, body) = source.lock().unwrap().answers.clone()?;
    Some(reply(status, body.to_string()))
}

async fn list(State(source): State<Shared>, RawQuery(query): RawQuery) -> Reply {
    if let Some(answer) = scripted(&source) {
        return answer;
    }
    let query = query.unwrap_or_default();
    source.lock().unwrap().asked.push(query.clone());
    let value = |name: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, it)| it.into_owned())
    };
    let number = |name: &str, default: u64| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (page, size) = (number("page", 1), number("size", 10).min(10));
    let numbers = (1..=TICKETS).filter(|number| value("since").is_none() || number.is_multiple_of(2));
    let numbers: Vec<u64> = numbers.collect();
    let shown: Vec<String> =
        numbers.iter().skip(((page - 1) * size) as usize).take(size as usize).map(|it| ticket(*it)).collect();
    reply(StatusCode::OK, format!(r#"{{"items":[{}]}}"#, shown.join(",")))
}

async fn create(State(source): State<Shared>, Json(body): Json<Value>) -> Reply {
    source.lock().unwrap().written.push(("create".to_owned(), body));
    reply(StatusCode::OK, ticket(99))
}

async fn one(State(source): State<Shared>, Path(key): Path<u64>) -> Reply {
    match scripted(&source) {
        Some(answer) => answer,
        None if (1..=TICKETS).contains(&key) => reply(StatusCode::OK, ticket(key)),
        None => reply(StatusCode::NOT_FOUND, r#"{"error":"no such ticket"}"#),
    }
}

async fn change(State(source): State<Shared>, Path(key): Path<u64>, Json(body): Json<Value>) -> Reply {
    source.lock().unwrap().written.push((format!("update {key}"), body));
    reply(StatusCode::OK, ticket(key))
}

async fn remove(State(source): State<Shared>, Path(key): Path<u64>) -> StatusCode {
    source.lock().unwrap().written.push((format!("delete {key}"), Value::Null));
    StatusCode::NO_CONTENT
}

async fn start(workers: usize) -> (Cluster, Shared) {
    let cluster = Setup { workers, ..Setup::default() }.start().await;
    let source = Shared::default();
    let router = Router::new()
        .route("/tickets", get(list).post(create))
        .route("/tickets/{key}", get(one).patch(change).delete(remove))
        .with_state(source.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let documents = vec![
        integration(&url),
        account("acme", &Value::Null),
        job("unified", json!([{ "resource": "ticketing/tickets" }])),
        job(
            "normalized",
            json!([{ "resource": "ticketing/tickets", "response_format": "normalized",
            "query": { "updated_at": { "gt": "2026-01-01T00:00:00Z" } } }]),
        ),
        job("raw", json!([{ "resource": "ticketing/tickets", "response_format": "raw" }])),
    ];
    cluster.apply(documents).await;
    (cluster, source)
}

fn integration(url: &str) -> Value {
    json!({
        "kind": "integration", "name": "helpdesk", "base_url": url,
        "retry": { "attempts": 2, "base": "20ms", "max": "100ms", "outage_budget": "0s" },
        "pagination": { "format": "page", "limit_param": "size", "max_limit": 10 },
        "resources": { "issues": {
            "list": { "path": "/tickets", "response_path": "items", "query_schema": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "since": { "type": "string", "format": "date-time" }, "sort": { "type": "string" },
                    "above": { "type": "integer" },
                },
            } },
            "get": { "path": "/tickets/{{id}}" },
            "create": { "path": "/tickets", "method": "post" },
            "update": { "path": "/tickets/{{id}}", "method": "patch" },
            "delete": { "path": "/tickets/{{id}}", "method": "delete" },
            "search": { "path": "/tickets", "response_path": "items" },
        } },
        "unified": { "ticketing": { "tickets": {
            "resource": "issues",
            "response_mapping": {
                "id": "$string(response.key)",
                "subject": "response.title",
                "status": "$lookup({'todo': 'open', 'done': 'closed'}, response.state)",
                "tags": "[response.labels]",
            },
            "list": { "query_mapping": { "since": "query.updated_at.gt" } },
            "get": {},
            "create": { "request_body_mapping": { "title": "body.subject" } },
            "update": { "request_body_mapping": { "title": "body.subject" } },
            "delete": {},
            "search": {},
        } } },
    })
}

fn account(id: &str, changes: &Value) -> Value {
    json!({ "kind": "integrated_account", "id": id, "integration": "helpdesk", "unified_model_override": changes })
}

/// What the environment changes: junk is dropped, and there is a field that only this customer's product has.
fn environment() -> Value {
    json!({
        "kind": "unified_model", "name": "ticketing",
        "resources": { "tickets": { "schema": { "properties": { "severity": { "type": "string" } } } } },
        "mappings": { "helpdesk": { "tickets": { "response_mapping": { "severity": "response.severity" } } } },
    })
}

/// The records that are delivered from now on, in order.
fn collected(cluster: &Cluster) -> Arc<Mutex<Vec<Value>>> {
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&seen);
    cluster.receiver.script(move |received| {
        let body: Value = serde_json::from_slice(received.body.as_ref()?).ok()?;
        kept.lock().unwrap().extend(body["payload"]["records"].as_array().cloned().unwrap_or_default());
        None::<Answer>
    });
    seen
}

/// The records that a run delivers.
async fn records(cluster: &Cluster, job: &str, account: &str) -> Vec<Value> {
    let records = collected(cluster);
    let run = cluster.api.push(job, account, "backend").await;
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    records.lock().unwrap().clone()
}

#[tokio::test]
async fn runs_deliver_records_of_the_model() {
    let (cluster, source) = start(1).await;
    let unified = records(&cluster, "unified", "acme").await;
    assert_eq!(unified.len() as u64, TICKETS);
    let first = json!({ "id": "1", "subject": "T1", "status": "open", "tags": ["a"] });
    let mut shown = unified[0].clone();
    let remote = shown.as_object_mut().unwrap().remove("remote_data").unwrap();
    assert_eq!((shown, remote["key"].clone()), (first.clone(), json!(1)));

    source.lock().unwrap().asked.clear();
    let normalized = records(&cluster, "normalized", "acme").await;
    assert_eq!(normalized.len() as u64, TICKETS / 2);
    assert!(normalized.iter().all(|record| record.get("remote_data").is_none()), "{normalized:?}");
    let asked = source.lock().unwrap().asked.join(" ");
    assert!(asked.contains("since=2026-01-01T00%3A00%3A00Z") && !asked.contains("updated_at"), "{asked}");

    let raw = records(&cluster, "raw", "acme").await;
    assert_eq!((raw[0]["key"].clone(), raw[0].get("subject")), (json!(1), None));

    // A layer of the environment, and over it one of an account that also drops a record.
    let changes = json!({ "ticketing": { "tickets": { "list": {
        "response_mapping": "response.junk ? null : {'id': 'x' & response.key, 'severity': response.severity}" } } } });
    cluster.api.apply(&[environment(), account("other", &changes)]).await;
    let layered = records(&cluster, "unified", "acme").await;
    assert_eq!((layered[1]["severity"].clone(), layered[1]["subject"].clone()), (json!("s2"), json!("T2")));
    // Those for which the filter is false are left out, of a page that is mapped at once, too.
    let whole = json!({ "ticketing": { "tickets": { "list": {
        "response_filter": "response.state = 'done'", "response_mapping_method": "array",
        "response_mapping": "response.{'id': $string(key)}" } } } });
    cluster.api.apply(&[account("third", &whole)]).await;
    let ids: Vec<Value> =
        records(&cluster, "unified", "third").await.iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, ["3", "6", "9", "12", "15", "18", "21", "24"]);
    let own = records(&cluster, "unified", "other").await;
    assert_eq!(
        (own.len() as u64, own[0]["id"].clone(), own[0].get("subject")),
        (TICKETS - 1, json!("x1"), None)
    );
}

/// A run is executed with the mappings it was made with, whatever is applied meanwhile (rule 22).
#[tokio::test]
async fn a_run_pins_its_mappings() {
    let (mut cluster, _source) = start(0).await;
    let account_changes =
        json!({ "ticketing": { "tickets": { "response_mapping": { "type": "'first'" } } } });
    cluster.api.apply(&[environment(), account("acme", &account_changes)]).await;
    let records = collected(&cluster);
    let run = cluster.api.push("unified", "acme", "backend").await;
    let changed = with(
        environment(),
        json!({ "mappings": { "helpdesk": { "tickets": { "response_mapping": {
        "severity": "'changed'" } } } } }),
    );
    cluster.api.apply(&[changed, account("acme", &Value::Null)]).await;
    cluster.start_worker();
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    let records = records.lock().unwrap().clone();
    assert_eq!(records.len() as u64, TICKETS);
    let pinned =
        |record: &Value| record["severity"].as_str().unwrap().starts_with('s') && record["type"] == "first";
    assert!(records.iter().all(pinned), "{records:?}");
}

async fn answer(cluster: &Cluster, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
    let (status, text) = cluster.api.call(method, path, body).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn live_requests_answer_in_the_documented_envelope() {
    let (cluster, source) = start(0).await;
    // A list, page by page, by one opaque cursor.
    for (path, id) in [("/unified/ticketing/tickets", "id"), ("/proxy/issues", "key")] {
        let (mut ids, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = cluster.api.get(&format!("{path}?integrated_account_id=acme&limit=9{cursor}")).await;
            let records = page["result"].as_array().unwrap();
            assert_eq!(page["result_count"], records.len(), "{page}");
            assert_eq!((&page["prev_cursor"], &page["is_partial_response"]), (&Value::Null, &json!(false)));
            ids.extend(records.iter().map(|record| record[id].to_string()));
            pages += 1;
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&next_cursor={next}"),
                None => break,
            }
        }
        assert_eq!((ids.len() as u64, pages), (TICKETS, 3), "{path}: {ids:?}");
        let elsewhere =
            if path.starts_with("/proxy") { "/unified/ticketing/tickets" } else { "/proxy/issues" };
        let (status, body) =
            answer(&cluster, Method::GET, &format!("{elsewhere}?integrated_account_id=acme{cursor}"), None)
                .await;
        assert_eq!(status, 400, "a cursor of another list: {body}");
    }
    // Numbers stay what they are.
    let (_, text) =
        cluster.api.call(Method::GET, "/unified/ticketing/tickets/4?integrated_account_id=acme", None).await;
    assert!(text.starts_with(r#"{"id":"4","#) && text.contains(BIG), "{text}");
    let exclude = "/unified/ticketing/tickets/4?integrated_account_id=acme&truto_exclude_fields=tags,status&truto_ignore_remote_data=true";
    assert_eq!(cluster.api.get(exclude).await, json!({ "id": "4", "subject": "T4" }));
    // A filter goes the mapping's way; one that it doesn't take is refused, and not passed over.
    source.lock().unwrap().asked.clear();
    let filtered = "/unified/ticketing/tickets?integrated_account_id=acme&updated_at[gt]=2026-01-01T00:00:00Z&remote_query[sort]=key";
    assert_eq!(cluster.api.get(filtered).await["result"][0]["id"], "2");
    let asked = source.lock().unwrap().asked.join(" ");
    assert!(asked.contains("sort=key") && asked.contains("since="), "{asked}");
    let unknown = "/unified/ticketing/tickets?integrated_account_id=acme&priority=high";
    let (status, body) = answer(&cluster, Method::GET, unknown, None).await;
    assert_eq!(status, 400, "{body}");
    assert!(body["message"].as_str().unwrap().contains("takes no priority"), "{body}");
    // Writing, and a method of the integration's own.
    let subject = json!({ "subject": "new" });
    let (status, made) = answer(
        &cluster,
        Method::POST,
        "/unified/ticketing/tickets?integrated_account_id=acme",
        Some(&subject),
    )
    .await;
    assert_eq!((status, made["id"].clone()), (200, json!("99")), "{made}");
    let one = "/unified/ticketing/tickets/7?integrated_account_id=acme";
    assert_eq!(answer(&cluster, Method::PATCH, one, Some(&subject)).await.1["id"], "7");
    assert_eq!(answer(&cluster, Method::DELETE, one, None).await, (200, json!({ "id": "7" })));
    let title = json!({ "title": "new" });
    assert_eq!(
        source.lock().unwrap().written,
        [
            ("create".to_owned(), title.clone()),
            ("update 7".to_owned(), title),
            ("delete 7".to_owned(), Value::Null)
        ]
    );
    let (_, custom) =
        answer(&cluster, Method::POST, "/proxy/issues/search?integrated_account_id=acme", None).await;
    assert_eq!(custom["result"].as_array().unwrap().len(), 10, "{custom}");
    // What a model is, and what the integration has of it.
    let model = cluster.api.get("/unified/meta/ticketing").await;
    assert_eq!(model["resources"]["tickets"]["schema"]["required"], json!(["id"]));
    let meta = cluster.api.get("/unified/meta/ticketing/helpdesk").await;
    assert_eq!(meta["resources"]["tickets"]["list"]["filters"], json!(["updated_at"]), "{meta}");
    assert!(
        meta["resources"]["tickets"]["list"]["findings"].to_string().contains("not mapped: number"),
        "{meta}"
    );
}

#[tokio::test]
async fn live_requests_tell_what_the_source_said() {
    let (cluster, source) = start(0).await;
    let says = |status: u16, body: Value| {
        source.lock().unwrap().answers = Some((StatusCode::from_u16(status).unwrap(), body));
    };
    let get = async |path: &str| answer(&cluster, Method::GET, path, None).await;
    let list = "/unified/ticketing/tickets?integrated_account_id=acme";
    for (path, status, told) in [
        ("/unified/ticketing/tickets", 400, "integrated_account_id"),
        ("/unified/ticketing/tickets?integrated_account_id=nobody", 404, "nobody"),
        ("/unified/ticketing/comments?integrated_account_id=acme", 404, "it has ticketing/tickets"),
        ("/proxy/nothing?integrated_account_id=acme", 404, "it has issues"),
        ("/unified/meta/ticketin", 404, "did you mean"),
        ("/proxy/issues?integrated_account_id=acme&sinc=2026-01-01T00:00:00Z", 400, "did you mean \"since\""),
        ("/proxy/issues?integrated_account_id=acme&above=many", 400, "query.above"),
        ("/unified/ticketing/tickets?integrated_account_id=acme&updated_at[gt]=today", 400, "query.since"),
    ] {
        let (answered, body) = get(path).await;
        assert_eq!(answered, status, "{path}: {body}");
        assert!(body["message"].as_str().unwrap().contains(told), "{path}: {body}");
        assert!(body.get("truto_is_remote_error").is_none(), "{path}: {body}");
    }
    assert!(source.lock().unwrap().asked.is_empty(), "what can't be asked was asked");
    let (status, body) = get("/unified/ticketing/tickets/77?integrated_account_id=acme").await;
    assert_eq!((status, body["truto_is_remote_error"].clone()), (404, json!(true)), "{body}");
    assert!(body["raw_response"].as_str().unwrap().contains("no such ticket"), "{body}");
    for (source_says, status) in [(401, 401), (403, 403), (422, 422), (500, 502)] {
        says(source_says, json!({ "error": "nope" }));
        let (answered, body) = get(list).await;
        assert_eq!((answered, body["truto_is_remote_error"].clone()), (status, json!(true)), "{body}");
    }
    // A limit closes the account's gate for everybody: the source is not asked again.
    says(429, json!({}));
    let (status, body) = get(list).await;
    assert_eq!((status, body["truto_is_remote_error"].clone()), (429, json!(true)), "{body}");
    source.lock().unwrap().answers = None;
    source.lock().unwrap().asked.clear();
    let (status, body) = get(list).await;
    assert_eq!(status, 429, "{body}");
    assert!(body["message"].as_str().unwrap().contains("was not asked"), "{body}");
    assert!(source.lock().unwrap().asked.is_empty());
    let run = cluster.api.push("unified", "acme", "backend").await;
    assert_eq!(cluster.api.run(&run).await.status, "created");
}

#[tokio::test]
async fn mappings_that_do_not_fit_are_told_where_they_stand() {
    let (cluster, _source) = start(0).await;
    let apply = async |document: Value| {
        let body = json!({ "documents": [document] });
        answer(&cluster, Method::POST, "/apply", Some(&body)).await
    };
    let environment_with = |changes: Value| with(environment(), json!({ "mappings": changes }));
    for (document, told) in [
        (
            environment_with(
                json!({ "helpdesk": { "tickets": { "list": { "response_mapping": "response.(" } } } }),
            ),
            ["mappings.helpdesk.tickets.list.response_mapping", "no expression"],
        ),
        (
            environment_with(json!({ "zendesk": { "tickets": {} } })),
            ["mappings.zendesk", "there is no integration"],
        ),
        (
            account("acme", &json!({ "ticketing": { "tickets": { "list": { "resource": "isues" } } } })),
            ["unified_model_override.ticketing.tickets.list", "no resource"],
        ),
        (
            account("acme", &json!({ "ticketin": { "tickets": { "list": { "resource": "issues" } } } })),
            ["unified_model_override.ticketin.tickets", "did you mean"],
        ),
        (
            job(
                "bad",
                json!([{ "resource": "ticketing/tickets", "query": { "updated_at": { "lt": "x" } } }]),
            ),
            ["resources[0].query.updated_at.lt", "takes no"],
        ),
        (
            job(
                "bad",
                json!([{ "resource": "ticketing/tickets", "incremental": {
                "cursor_field": "updated_at", "param": "created_at.gt" } }]),
            ),
            ["resources[0].incremental.param", "takes no"],
        ),
        (
            job("bad", json!([{ "resource": "ticketing/tickets", "query": { "priority": "high" } }])),
            ["resources[0].query.priority", "takes no"],
        ),
        (
            job("bad", json!([{ "resource": "ticketing/ticket" }])),
            ["resources[0].resource", "ticketing/tickets"],
        ),
        (
            with(
                integration("http://127.0.0.1:1"),
                json!({ "unified": { "ticketin": { "tickets": { "list": {
                "resource": "issues" } } } } }),
            ),
            ["unified.ticketin", "did you mean"],
        ),
    ] {
        let (status, body) = apply(document).await;
        assert_eq!(status, 422, "{body}");
        let text = body["details"].to_string();
        assert!(told.iter().all(|part| text.contains(part)), "{told:?} in {text}");
    }
}
