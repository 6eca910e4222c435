//! An API with its own Redis, and a client that remembers every answer.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::{Api, serve};
use crate::definition::{Document, Kind};
use crate::egress::Egress;
use crate::redis_server::{Options, RedisServer};
use crate::seal::Sealer;
use crate::settings::Settings;
use crate::source::Http;
use crate::store::Store;
use crate::store::definitions::Definitions;

pub(super) const TOKEN: &str = "token-of-the-tests";
pub(super) const OTHER_TOKEN: &str = "second-token-of-the-tests";

/// Texts that are secret and must never come back.
pub(super) const CANARIES: [&str; 5] =
    ["canary-credential", "canary-signing", "canary-header", "canary-rotated", TOKEN];

pub(super) struct Fixture {
    url: String,
    http: reqwest::Client,
    pub(super) definitions: Definitions,
    pub(super) changed: Arc<Notify>,
    answers: Mutex<Vec<String>>,
    _leave: DropGuard,
    pub(super) redis: RedisServer,
    _folder: tempfile::TempDir,
}

/// A status and a body.
pub(super) type Answer = (u16, Value);

impl Fixture {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test stands for the binary that reads PATH")]
        let path = std::env::var("PATH").ok().map(Into::into);
        let redis = RedisServer::start(&Options::new(folder.path(), path)).await.unwrap();
        let given = [
            ("RAPIDBRIDGE_REDIS__URL", redis.url().to_owned()),
            ("RAPIDBRIDGE_REDIS__PARTITIONS", "4".to_owned()),
            ("RAPIDBRIDGE_SEAL__KEY", "00".repeat(32)),
            ("RAPIDBRIDGE_API__TOKENS", format!("{TOKEN},{OTHER_TOKEN}")),
            ("RAPIDBRIDGE_API__BODY_BYTES_MAX", "64KiB".to_owned()),
        ];
        let given = given.into_iter().map(|(name, value)| (name.to_owned(), value));
        let settings = Settings::load(None, given).unwrap();
        crate::process::prepare_tls();
        let store = Store::open(&settings.redis, &settings.environment).await.unwrap();
        let sealer = Sealer::new(settings.seal.key.clone(), vec![]);
        let sealer = Arc::new(sealer);
        let definitions = Definitions::new(store.clone(), Arc::clone(&sealer));
        let http = Http::new(Egress::new(Vec::new()), 1 << 20).unwrap();
        let changed = Arc::new(Notify::new());
        let api = Api::new(settings, store, sealer, http, Arc::clone(&changed));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let leave = CancellationToken::new();
        tokio::spawn(serve(listener, api, leave.clone()));
        Self {
            url,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            definitions,
            changed,
            answers: Mutex::default(),
            _leave: leave.drop_guard(),
            redis,
            _folder: folder,
        }
    }

    /// One with the definitions of [`documents`].
    pub(super) async fn applied() -> Self {
        let fixture = Self::start().await;
        let (status, answer) = fixture.apply(&documents()).await;
        assert_eq!(status, 200, "{answer}");
        fixture
    }

    /// A request without the token.
    pub(super) fn bare(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("{}{path}", self.url))
    }

    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let mut response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(body).unwrap();
        self.answers.lock().unwrap().push(format!("{:?} {text}", response.headers()));
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
    }

    pub(super) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let request = self.bare(method, path).bearer_auth(TOKEN);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        self.send(request).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None).await
    }

    pub(super) async fn apply(&self, documents: &[Value]) -> Answer {
        self.post("/apply", &json!({ "documents": documents })).await
    }

    /// A run of the job for the account; panics unless it is accepted.
    pub(super) async fn run(&self) -> Value {
        let (status, run) = self.post("/sync-job-run", &wanted()).await;
        assert_eq!(status, 201, "{run}");
        run
    }

    /// A definition with its secrets, as it is kept.
    pub(super) async fn kept(&self, kind: Kind, id: &str) -> Document {
        self.definitions.document(kind, id).await.unwrap().unwrap()
    }

    /// Everything the API ever answered, headers included.
    pub(super) fn all_answers(&self) -> String {
        self.answers.lock().unwrap().join("\n")
    }
}

/// The body of a request for a run.
pub(super) fn wanted() -> Value {
    json!({ "sync_job_id": "full", "integrated_account_id": "acme", "webhook_id": "backend" })
}

/// One definition of every kind.
pub(super) fn documents() -> Vec<Value> {
    let lists = |name: &str| json!({ "list": { "method": "get", "path": format!("/{name}"), "response_path": name } });
    vec![
        json!({
            "kind": "integration", "name": "helpdesk", "base_url": "https://helpdesk.example/api",
            "authorization": { "format": "bearer", "config": { "token": "{{credentials.token}}" } },
            "resources": { "users": lists("users"), "tickets": lists("tickets") }
        }),
        json!({
            "kind": "integrated_account", "id": "acme", "integration": "helpdesk", "tenant_id": "acme-inc",
            "context": { "region": "eu", "plan": "gold" }, "credentials": { "token": "canary-credential" }
        }),
        json!({
            "kind": "webhook", "id": "backend", "target_url": "https://backend.example/events",
            "secret": "canary-signing", "headers": { "x-key": "canary-header" }
        }),
        json!({
            "kind": "sync_job", "id": "full", "integration_name": "helpdesk",
            "resources": [{ "resource": "users", "method": "list" }, { "resource": "tickets", "method": "list" }]
        }),
        json!({
            "kind": "sync_job_cron_trigger", "id": "nightly", "sync_job_id": "full",
            "integrated_account_id": "acme", "webhook_id": "backend", "cron_expression": "0 2 * * *"
        }),
    ]
}
