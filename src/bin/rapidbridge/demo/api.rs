//! The few REST calls the demo makes.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// How long a run may take from its terminal event to its terminal status.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two looks.
const POLL: Duration = Duration::from_millis(20);

/// A client of one scheduler.
pub(super) struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// What the demo looks at of a run.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) status: String,
    /// Who holds it.
    #[serde(default)]
    pub(super) worker: Option<String>,
}

impl Run {
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "stopped")
    }
}

impl Api {
    pub(super) fn new(url: String, token: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(CALL_TIMEOUT).build()?;
        Ok(Self { http, url, token })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the API answers with our token.
    pub(super) async fn answers(&self) -> bool {
        self.call(self.http.get(format!("{}/sync-job-run?limit=1", self.url))).await.is_ok()
    }

    pub(super) async fn apply(&self, documents: &[Value]) -> anyhow::Result<()> {
        let body = json!({ "documents": documents }).to_string();
        let request = self.http.post(format!("{}/apply", self.url));
        self.call(request.header("content-type", "application/json").body(body))
            .await
            .context("apply failed")?;
        Ok(())
    }

    pub(super) async fn run(&self, id: &str) -> anyhow::Result<Run> {
        let answer = self.call(self.http.get(format!("{}/sync-job-run/{id}", self.url))).await?;
        serde_json::from_value(answer).context("the API's run is none")
    }

    /// The run once its status is a terminal one: the receiver sees the end a moment before the store does.
    pub(super) async fn run_when_ended(&self, id: &str) -> anyhow::Result<Run> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let run = self.run(id).await?;
            if run.has_ended() || Instant::now() > deadline {
                return Ok(run);
            }
            sleep(POLL).await;
        }
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let mut response = request.bearer_auth(&self.token).send().await?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                bail!("the API's answer is larger than {ANSWER_BYTES_MAX} bytes");
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            bail!("the API answered {status}: {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).context("the API's answer is no JSON")
    }
}
