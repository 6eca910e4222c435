//! A client of the REST API as it should be: it names every push with an `Idempotency-Key`, and asks the next scheduler
//! when one does not answer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use rapidbridge::clock;
use serde_json::{Value, json};

use crate::world::TOKEN;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a call is repeated.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer: a page of runs is far smaller.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The pause before it is repeated.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    schedulers: Vec<SocketAddr>,
}

impl Client {
    pub(crate) fn new(schedulers: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(CALL_TIMEOUT).build()?;
        Ok(Self { http, schedulers })
    }

    /// Applies definitions.
    pub(crate) async fn apply(&self, documents: &[Value]) -> anyhow::Result<()> {
        self.call(reqwest::Method::POST, "/apply", Some(&json!({ "documents": documents })), None)
            .await
            .map(drop)
    }

    /// Pushes a run; returns its id.
    pub(crate) async fn push(&self, body: &Value, key: &str) -> anyhow::Result<String> {
        let run = self.call(reqwest::Method::POST, "/sync-job-run", Some(body), Some(key)).await?;
        run["id"].as_str().map(ToOwned::to_owned).with_context(|| format!("a run without id: {run}"))
    }

    /// Resumes a failed run.
    pub(crate) async fn resume(&self, run: &str) -> anyhow::Result<()> {
        let path = format!("/sync-job-run/{run}/resume");
        self.call(reqwest::Method::POST, &path, Some(&json!({})), None).await.map(drop)
    }

    /// All runs that a query finds.
    pub(crate) async fn runs(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/sync-job-run?limit=200&{query}{cursor}");
            let mut page = self.call(reqwest::Method::GET, &path, None, None).await?;
            if let Some(runs) = page["result"].as_array_mut() {
                found.append(runs);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&next_cursor={next}"),
                None => return Ok(found),
            }
        }
    }

    /// The state cells of a namespace.
    pub(crate) async fn cells(&self, namespace: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/sync-job-run-state?state_key={}", namespace.replace(' ', "%20"));
        let page = self.call(reqwest::Method::GET, &path, None, None).await?;
        Ok(page["result"].as_array().cloned().unwrap_or_default())
    }

    /// A trigger with its place on the clock.
    pub(crate) async fn trigger(&self, id: &str) -> anyhow::Result<Value> {
        self.call(reqwest::Method::GET, &format!("/sync-job-cron-trigger/{id}"), None, None).await
    }

    async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Value> {
        let begun = clock::monotonic();
        loop {
            let mut last = anyhow::anyhow!("there is no scheduler");
            for scheduler in &self.schedulers {
                match self.try_call(*scheduler, &method, path, body, key).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => last = error,
                }
            }
            if begun.elapsed() > PATIENCE {
                return Err(last.context(format!("{path} was asked for {PATIENCE:?}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_call(
        &self,
        scheduler: SocketAddr,
        method: &reqwest::Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Value> {
        let mut request =
            self.http.request(method.clone(), format!("http://{scheduler}{path}")).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let mut response = request.send().await?;
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                bail!("{method} {path} answered more than {ANSWER_BYTES_MAX} bytes");
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        match status {
            200..300 => Ok(serde_json::from_str(&text)?),
            _ => bail!("{method} {path} answered {status}: {text}"),
        }
    }
}
