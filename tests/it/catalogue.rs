//! The catalogue: each declaration reads a simulator of its API to the end, sees its rate limit for what it is, and tells
//! refused credentials. A simulator is a pure function of a request, written from the API's documentation; it refuses what
//! the API refuses, and ends lists as the API does.

mod asana;
mod freshdesk;
mod github;
mod gitlab;
mod hubspot;
mod intercom;
mod jira;
mod linear;
mod notion;
mod pipedrive;
mod salesforce;
mod shopify;
mod slack;
mod stripe;
mod zendesk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use rapidbridge::clock::Millis;
use rapidbridge::definition::unified::{What, findings};
use rapidbridge::definition::{Account, Document, Integration, read_files, read_json};
use rapidbridge::definition::{UnifiedModel, schema};
use rapidbridge::egress::Egress;
use rapidbridge::engine::budget::Budget;
use rapidbridge::engine::cursor::Cursor;
use rapidbridge::engine::seam::{FetchError, FetchErrorKind, FetchRequest, Page, SendGuard, Source};
use rapidbridge::json::Json;
use rapidbridge::source::{Http, HttpSource};
use rstest_reuse::{apply, template};
use serde_json::{Value, json};

use crate::support::Setup;

/// More pages than any simulated list has.
const PAGES_MAX: usize = 200;

/// An API of the catalogue and how it behaves.
pub(crate) struct Api {
    name: &'static str,
    /// Context and credentials of an account; the credentials are those that `answer` accepts.
    account: &'static str,
    lists: &'static [List],
    /// Lists of unified models: every one that the declaration maps.
    unified: &'static [List],
    answer: fn(&Asked) -> Answer,
    /// How it says that there were too many requests.
    limited: fn() -> Answer,
    /// The seconds that this asks to wait.
    limited_for: u64,
}

/// A list that is read to its end.
struct List {
    resource: &'static str,
    /// What a job's node would ask with, a JSON object.
    query: &'static str,
    records: usize,
}

/// A request as a simulator sees it.
struct Asked {
    method: String,
    /// The whole path, decoded.
    path: String,
    /// Scheme and host.
    base: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    /// A JSON body, or the members of a form.
    body: Value,
}

impl Asked {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter as a number.
    fn number(&self, name: &str, default: usize) -> usize {
        self.query(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// A header, empty when there is none.
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What a simulator answers.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    fn json(status: u16, body: Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    fn text(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }
}

/// A simulator that listens.
struct Simulator {
    base: String,
    /// Answers `limited` while this is set.
    is_limited: Arc<Mutex<bool>>,
    task: tokio::task::AbortHandle,
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Simulator {
    async fn start(api: &'static Api) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let is_limited = Arc::new(Mutex::new(false));
        let (own, limited) = (base.clone(), is_limited.clone());
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let asked = asked(own, &method, &uri, headers, &body);
            let answer = if *limited.lock().unwrap() { (api.limited)() } else { (api.answer)(&asked) };
            let mut response = Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            response.body(Body::from(answer.body)).unwrap()
        };
        let router = Router::new().fallback(handler);
        let task = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { base, is_limited, task }
    }
}

fn asked(base: String, method: &Method, uri: &Uri, headers: HeaderMap, body: &[u8]) -> Asked {
    let decoded = |text: &str| {
        let text = text.replace('+', "%2B");
        url::form_urlencoded::parse(text.as_bytes()).next().map_or(String::new(), |(key, _)| key.into_owned())
    };
    let pairs = |text: &[u8]| url::form_urlencoded::parse(text).into_owned().collect::<Vec<_>>();
    let is_form = headers.get("content-type").is_some_and(|kind| kind == "application/x-www-form-urlencoded");
    let body = if is_form {
        Value::Object(pairs(body).into_iter().map(|(key, value)| (key, Value::String(value))).collect())
    } else {
        serde_json::from_slice(body).unwrap_or(Value::Null)
    };
    Asked {
        method: method.to_string(),
        path: decoded(uri.path()),
        base,
        query: pairs(uri.query().unwrap_or_default().as_bytes()),
        headers,
        body,
    }
}

/// A run that stays ours.
struct Ours;

impl SendGuard for Ours {
    fn permit(&self) -> Option<u64> {
        Some(1)
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

fn catalogue() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue")
}

/// The declaration, with the simulator in place of the API's hosts.
fn integration(name: &str, base: &str) -> Integration {
    Integration::from_document(&integration_document(name, base)).unwrap()
}

fn integration_document(name: &str, base: &str) -> Document {
    let text = std::fs::read_to_string(catalogue().join(name).join("integration.yaml")).unwrap();
    let at_simulator = |line: &str| match line.trim_start().strip_prefix("base_url:") {
        Some(url) if url.contains("://") => {
            let (start, rest) = line.split_once("https://").unwrap();
            let end = rest.find(['/', '"', '\'']).unwrap_or(rest.len());
            format!("{start}{base}{}", &rest[end..])
        }
        _ => line.to_owned(),
    };
    let text = text.lines().map(at_simulator).collect::<Vec<_>>().join("\n");
    read_files([("integration.yaml", text.as_str())], &|_| None).unwrap().remove(0)
}

/// An account, with each of its credentials changed by `credential`.
fn account(api: &Api, base: &str, credential: impl Fn(&str) -> String) -> Account {
    Account::from_document(&read_json(&account_document(api, base, credential)).unwrap()).unwrap()
}

fn account_document(api: &Api, base: &str, credential: impl Fn(&str) -> String) -> Value {
    let mut body: Value = serde_json::from_str(api.account).unwrap();
    for value in body["credentials"].as_object_mut().unwrap().values_mut() {
        *value = json!(credential(value.as_str().unwrap()));
    }
    for value in body["context"].as_object_mut().into_iter().flatten().map(|(_, value)| value) {
        if value.as_str().is_some_and(|value| value.starts_with("https://")) {
            *value = json!(base);
        }
    }
    body["kind"] = json!("integrated_account");
    body["id"] = json!("acme");
    body["integration"] = json!(api.name);
    body
}

fn source(integration: Integration, account: Account) -> HttpSource {
    let http = Http::new(Egress::new(vec!["127.0.0.0/8".parse().unwrap()]), 1 << 24).unwrap();
    HttpSource::new(Arc::new(integration), Arc::new(account), http)
}

async fn fetch(source: &HttpSource, list: &List, cursor: Cursor) -> Result<Page, FetchError> {
    let query = Json::parse(list.query).unwrap();
    let first = FetchRequest::first(list.resource, "list", Millis(0));
    let request = FetchRequest { query, cursor, attempts: Some(1), ..first };
    let room = Budget::new(1 << 26, 1 << 24).begin(0).await;
    source.fetch(&request, &room, &Ours).await
}

/// One record of a list's resource.
async fn get(source: &HttpSource, list: &List, id: &str, takes: &[String]) -> Result<Page, FetchError> {
    let first = FetchRequest::first(list.resource, "get", Millis(0));
    // Some sources want to know where a record is; other filters are for lists.
    let query: Value = serde_json::from_str(list.query).unwrap();
    let ticket = query.get("ticket_id").filter(|_| takes.iter().any(|name| name == "ticket_id"));
    let query = ticket.map(|ticket| json!({ "ticket_id": ticket })).unwrap_or(json!({}));
    let request =
        FetchRequest { id: Some(id.to_owned()), query: Json::of(&query), attempts: Some(1), ..first };
    let room = Budget::new(1 << 26, 1 << 24).begin(0).await;
    source.fetch(&request, &room, &Ours).await
}

/// All records of a list, and how many pages it had.
async fn read(source: &HttpSource, list: &List) -> (Vec<String>, usize) {
    let (mut records, mut cursor, mut asked) = (Vec::new(), Cursor::Start, Vec::new());
    for pages in 1..=PAGES_MAX {
        let page = fetch(source, list, cursor.clone()).await.unwrap_or_else(|error| {
            panic!("{} at {cursor:?}: {error}; {:?}", list.resource, error.raw_response)
        });
        records.extend((0..page.records.len()).map(|index| page.record(index).to_owned()));
        asked.push(cursor);
        match page.next {
            Some(next) => cursor = next,
            None => return (records, pages),
        }
        assert!(!asked.contains(&cursor), "{}: {cursor:?} comes again", list.resource);
    }
    panic!("{} does not end", list.resource)
}

/// One test for each entry.
#[template]
#[rstest::rstest]
#[case(&asana::API)]
#[case(&freshdesk::API)]
#[case(&github::API)]
#[case(&gitlab::API)]
#[case(&hubspot::API)]
#[case(&intercom::API)]
#[case(&jira::API)]
#[case(&linear::API)]
#[case(&notion::API)]
#[case(&pipedrive::API)]
#[case(&salesforce::API)]
#[case(&shopify::API)]
#[case(&slack::API)]
#[case(&stripe::API)]
#[case(&zendesk::API)]
fn each_api(#[case] api: &'static Api) {}

#[apply(each_api)]
#[tokio::test]
async fn an_api_is_read_as_its_documentation_says(#[case] api: &'static Api) {
    let simulator = Simulator::start(api).await;
    let integration = integration(api.name, &simulator.base);
    let good = source(integration.clone(), account(api, &simulator.base, str::to_owned));
    for list in api.lists {
        let (records, pages) = read(&good, list).await;
        assert_eq!(records.len(), list.records, "{} {}", api.name, list.resource);
        // Short lists that the API does not page are whole at once.
        assert!(pages > 2 || list.records < 50, "{} {}: {pages} pages", api.name, list.resource);
        let distinct: BTreeSet<&String> = records.iter().collect();
        assert_eq!(distinct.len(), records.len(), "{} {}: a record came twice", api.name, list.resource);
    }
    let first = &api.lists[0];
    let bad = source(integration, account(api, &simulator.base, |credential| format!("{credential}-not")));
    let error = fetch(&bad, first, Cursor::Start).await.unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Unauthorized, "{}: {error}", api.name);
    *simulator.is_limited.lock().unwrap() = true;
    let error = fetch(&good, first, Cursor::Start).await.unwrap_err();
    let FetchErrorKind::RateLimited { wait } = error.kind else { panic!("{}: {error}", api.name) };
    assert_eq!(wait.as_secs(), api.limited_for, "{}: {error}", api.name);
}

/// Lists that are mapped to a unified model give records of its schema, each with what it was made from, and the mapping
/// makes nothing that the model doesn't know.
#[apply(each_api)]
#[tokio::test]
async fn mapped_records_are_what_the_model_says(#[case] api: &'static Api) {
    let simulator = Simulator::start(api).await;
    let integration = integration(api.name, &simulator.base);
    let models: BTreeMap<String, UnifiedModel> = UnifiedModel::all(std::iter::empty());
    let source = source(integration.clone(), account(api, &simulator.base, str::to_owned));
    let mut seen = BTreeSet::new();
    for list in api.unified {
        let (records, _) = read(&source, list).await;
        assert_eq!(records.len(), list.records, "{} {}", api.name, list.resource);
        seen.insert(list.resource.to_owned());
        let (model, resource) = list.resource.split_once('/').unwrap();
        let resource = &models[model].resources[resource];
        let mut ids = BTreeSet::new();
        let mut made: BTreeSet<String> = BTreeSet::new();
        for record in &records {
            let violations = schema::violations(&resource.schema, &Json::parse(record).unwrap());
            assert!(violations.is_empty(), "{} {}: {violations:?} in {record}", api.name, list.resource);
            let value: Value = serde_json::from_str(record).unwrap();
            assert!(value["remote_data"].is_object(), "{} {}: {record}", api.name, list.resource);
            assert!(
                ids.insert(value["id"].to_string()),
                "{} {}: {} twice",
                api.name,
                list.resource,
                value["id"]
            );
            made.extend(
                value
                    .as_object()
                    .unwrap()
                    .iter()
                    .filter(|(_, it)| !it.is_null())
                    .map(|(name, _)| name.clone()),
            );
        }
        if let Some(mapping) = integration.mapping(list.resource, "get") {
            let takes = mapping.filters().unwrap_or_default();
            let first: Value = serde_json::from_str(&records[0]).unwrap();
            let page = get(&source, list, first["id"].as_str().unwrap(), &takes).await;
            let page = page.unwrap_or_else(|error| panic!("{} {}.get: {error}", api.name, list.resource));
            let record = page.record(0);
            let violations = schema::violations(&resource.schema, &Json::parse(record).unwrap());
            assert!(violations.is_empty(), "{} {}.get: {violations:?} in {record}", api.name, list.resource);
            let one: Value = serde_json::from_str(record).unwrap();
            assert_eq!((page.records.len(), &one["id"]), (1, &first["id"]), "{} {}", api.name, list.resource);
        }
        // A member that no record has is a path that leads nowhere, or a simulator that never gives it.
        let mapping = integration.mapping(list.resource, "list").unwrap().response.as_ref().unwrap();
        let never: Vec<&String> =
            mapping.members.as_ref().unwrap().iter().filter(|name| !made.contains(*name)).collect();
        assert!(never.is_empty(), "{} {}: no record has {never:?}", api.name, list.resource);
    }
    let mapped = integration.unified.iter().filter(|(_, methods)| methods.contains_key("list"));
    let mapped: BTreeSet<String> = mapped.map(|(name, _)| name.clone()).collect();
    assert_eq!(seen, mapped, "{}: lists that are mapped, and lists that are read", api.name);
    for finding in findings(&integration, &models) {
        match finding.what {
            What::Unmapped(_) | What::UnmappedFilters(_) => {}
            What::UnknownModel | What::UnknownResource | What::NotInModel(_) | What::Opaque => {
                panic!("{}: {finding}", api.name)
            }
        }
    }
}

/// The example job of each entry, as a worker executes it against the simulator: a dry run, which asks for real and reads
/// the beginning of each list.
#[apply(each_api)]
#[tokio::test]
async fn the_example_job_reads_the_api(#[case] api: &'static Api) {
    let simulator = Simulator::start(api).await;
    let cluster = Setup { workers: 1, ..Setup::default() }.start().await;
    let text = std::fs::read_to_string(catalogue().join(api.name).join("sync-job.yaml")).unwrap();
    let jobs = read_files([("sync-job.yaml", text.as_str())], &|_| None).unwrap();
    let account = account_document(api, &simulator.base, str::to_owned);
    let documents = [integration_document(api.name, &simulator.base).body, account];
    cluster
        .api
        .apply(&documents.into_iter().chain(jobs.iter().map(|job| job.body.clone())).collect::<Vec<_>>())
        .await;
    for job in &jobs {
        let takes = job.body["args_schema"].as_object().into_iter().flat_map(|args| args.keys());
        let args: serde_json::Map<String, Value> = takes.map(|name| (name.clone(), json!("acme"))).collect();
        let body = json!({ "integrated_account_id": "acme", "limit": 1, "args": args });
        let answer = cluster.api.post(&format!("/sync-job/{}/dry-run", job.id), &body).await;
        assert_eq!(answer["run"]["status"], "completed", "{}: {answer:#}", api.name);
        let steps = answer["steps"].as_array().unwrap().iter().filter(|step| step["what"] == "request");
        let asked: Vec<&Value> = steps.map(|step| &step["detail"]).collect();
        let failed: Vec<_> = asked.iter().filter(|request| !request["answer"]["error"].is_null()).collect();
        assert!(failed.is_empty(), "{}: {failed:#?}", api.name);
        let read: BTreeSet<&str> = asked
            .iter()
            .filter(|request| request["answer"]["records"].as_u64().is_some_and(|records| records > 0))
            .filter_map(|request| request["resource"].as_str())
            .collect();
        // The first record of a list need not have any of those that hang on it.
        let nodes = job.body["resources"].as_array().unwrap().iter();
        let first: BTreeSet<&str> = nodes
            .filter(|node| node["depends_on"].is_null())
            .filter_map(|node| node["resource"].as_str())
            .collect();
        assert!(!first.is_empty() && read.is_superset(&first), "{}: {read:?} of {first:?}", api.name);
    }
}

/// Definitions and example jobs are sound, each folder by itself, and each has notes.
#[test]
fn every_entry_is_sound() {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(catalogue()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    assert_eq!(folders.len(), 15);
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for folder in &folders {
        let output = Command::new(env!("CARGO_BIN_EXE_rapidbridge"))
            .arg("validate")
            .args([folder.join("integration.yaml"), folder.join("sync-job.yaml")])
            .output()
            .unwrap();
        assert!(folder.join("README.md").exists(), "{} has no README.md", folder.display());
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            told.insert(folder.display().to_string(), text.into_owned());
        }
    }
    assert!(told.is_empty(), "{told:#?}");
}
