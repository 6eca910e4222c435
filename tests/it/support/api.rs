//! A client of the REST API. It asks every scheduler it knows, one after the other, so that a killed one is no matter.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{PATIENCE, eventually};

const CALL_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    pub(crate) urls: Vec<String>,
    token: String,
    key: Option<String>,
}

/// A run as the API shows it; `all` is everything it says.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) place: String,
    pub(crate) worker: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) slot: Option<String>,
    pub(crate) error: Option<RunError>,
    #[serde(default)]
    pub(crate) incomplete: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RunError {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
}

impl Run {
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "stopped")
    }

    /// The code of its failure, or nothing.
    pub(crate) fn code(&self) -> &str {
        self.error.as_ref().and_then(|error| error.code.as_deref()).unwrap_or_default()
    }

    /// Why it failed, or nothing.
    pub(crate) fn message(&self) -> &str {
        self.error.as_ref().and_then(|error| error.message.as_deref()).unwrap_or_default()
    }
}

impl Api {
    pub(crate) fn new(urls: Vec<String>, token: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(CALL_TIMEOUT).build().unwrap();
        Self { http, urls, token: token.to_owned(), key: None }
    }

    /// The same client, sending this idempotency key with all it does.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// Applies definitions.
    pub(crate) async fn apply(&self, documents: &[Value]) -> Value {
        self.post("/apply", &json!({ "documents": documents })).await
    }

    /// Pushes a run of `job` for `account` to `webhook`.
    pub(crate) async fn push(&self, job: &str, account: &str, webhook: &str) -> String {
        self.push_with(json!({ "sync_job_id": job, "integrated_account_id": account, "webhook_id": webhook }))
            .await
    }

    /// Pushes a run; returns its id.
    pub(crate) async fn push_with(&self, body: Value) -> String {
        let run = self.post("/sync-job-run", &body).await;
        run["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn run(&self, id: &str) -> Run {
        serde_json::from_value(self.get(&format!("/sync-job-run/{id}")).await).unwrap()
    }

    /// The run once `wanted` holds.
    pub(crate) async fn run_when(&self, id: &str, what: &str, wanted: impl Fn(&Run) -> bool) -> Run {
        let mut last = None;
        let look = async || {
            let run = self.run(id).await;
            last = Some(run.clone());
            wanted(&run).then_some(run)
        };
        let found = tokio::time::timeout(PATIENCE, eventually(&format!("run {id} to be {what}"), look)).await;
        found.unwrap_or_else(|_| panic!("run {id} is not {what}: {last:?}"))
    }

    /// The run once it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Run {
        self.run_when(id, "ended", Run::has_ended).await
    }

    /// All runs that a query (`sync_job_id=…`) finds.
    pub(crate) async fn runs(&self, query: &str) -> Vec<Run> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/sync-job-run?limit=200&{query}{cursor}")).await;
            found.extend(serde_json::from_value::<Vec<Run>>(page["result"].clone()).unwrap());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&next_cursor={next}"),
                None => return found,
            }
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ok(reqwest::Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        self.ok(reqwest::Method::POST, path, Some(body)).await
    }

    async fn ok(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Value {
        let (status, text) = self.call(method, path, body).await;
        assert!((200..300).contains(&status), "{path} answered {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Status and body, whatever they are. A scheduler that is gone is passed over.
    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, String) {
        self.call_with(method, path, body, &[]).await
    }

    /// As [`Api::call`], with further headers.
    pub(crate) async fn call_with(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let mut last = None;
        for url in &self.urls {
            let mut request =
                self.http.request(method.clone(), format!("{url}{path}")).bearer_auth(&self.token);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(key) = &self.key {
                request = request.header("idempotency-key", key);
            }
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            match request.send().await {
                Ok(mut response) => {
                    let status = response.status().as_u16();
                    let mut bytes = Vec::new();
                    while let Some(chunk) = response.chunk().await.unwrap() {
                        bytes.extend_from_slice(&chunk);
                    }
                    return (status, String::from_utf8(bytes).unwrap());
                }
                Err(error) => last = Some(error),
            }
        }
        panic!("no scheduler answers {path}: {last:?}");
    }
}
