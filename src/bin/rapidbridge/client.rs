//! A client of a scheduler's REST API.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rapidbridge::json::Json;
use rapidbridge::run::{Counts, Status};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

/// How long one call may take; longer than the server's own default.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    token: Option<SecretString>,
}

/// What the API said no with.
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    #[serde(rename = "statusCode")]
    pub(crate) status: u16,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) details: Value,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) result: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

/// A run, as far as the command line shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) sync_job_id: String,
    pub(crate) integrated_account_id: String,
    pub(crate) webhook_id: Option<String>,
    pub(crate) status: Status,
    pub(crate) args: Json,
    pub(crate) error_handling: String,
    pub(crate) mutex_key: Option<String>,
    pub(crate) state_key: Option<String>,
    #[serde(default)]
    pub(crate) force: bool,
    #[serde(default)]
    pub(crate) dry_run: Option<u64>,
    pub(crate) resource_stats: BTreeMap<String, BTreeMap<String, Counts>>,
    pub(crate) created_at: String,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) sync_job_cron_trigger_id: Option<String>,
    pub(crate) slot: Option<String>,
    pub(crate) replay_of: Option<String>,
    pub(crate) attempt: u32,
    pub(crate) place: String,
    pub(crate) worker: Option<String>,
    pub(crate) wake_at: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) stop_requested: bool,
    pub(crate) pages: u64,
    pub(crate) incomplete: BTreeMap<String, String>,
    pub(crate) node: Option<String>,
    pub(crate) error: Option<RunError>,
    pub(crate) terminal_undelivered: bool,
    pub(crate) previous_run_date: Option<String>,
    pub(crate) resumable_until: Option<String>,
}

/// Why a run failed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RunError {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
}

impl Run {
    /// Whether it completed without having read everything.
    pub(crate) fn has_holes(&self) -> bool {
        self.status == Status::Completed && !self.incomplete.is_empty()
    }
}

impl Client {
    pub(crate) fn new(url: Url, token: Option<SecretString>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            // The token goes to the address that was named and nowhere else.
            .redirect(Policy::none())
            .no_proxy()
            .timeout(CALL_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()?;
        Ok(Self { http, url, token })
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        self.ask(Method::GET, path, query).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        self.ask(Method::DELETE, path, query).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let mut url = self.at(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.call(self.http.request(method, url)).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &Value) -> anyhow::Result<T> {
        self.call(self.post_request(path, body.to_string())?).await
    }

    /// A POST whose body is JSON already, with headers yet to come.
    pub(crate) fn post_request(&self, path: &[&str], body: String) -> anyhow::Result<RequestBuilder> {
        let request = self.http.request(Method::POST, self.at(path)?);
        Ok(request.header("content-type", "application/json").body(body))
    }

    /// One run.
    pub(crate) async fn run(&self, id: &str) -> anyhow::Result<Run> {
        self.get(&["sync-job-run", id], &[]).await
    }

    /// The URL of a path; each part is escaped, so that an id can't name another path.
    fn at(&self, path: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
            Err(()) => bail!("{} is no address of an API; write http://host:port", self.url),
        }
        Ok(url)
    }

    pub(crate) async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        let mut response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.context("the API's answer broke off")? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                bail!("the API's answer is larger than {ANSWER_BYTES_MAX} bytes; ask for less (--limit)");
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return serde_json::from_slice(&body)
                .context("the API's answer is not what this version expects");
        }
        let Ok(refusal) = serde_json::from_slice::<Refusal>(&body) else {
            bail!("{} answered {status}: is that a rapidbridge scheduler?", self.url);
        };
        if status == StatusCode::UNAUTHORIZED {
            bail!(
                "{} does not know us: no token, or a wrong one. Run this in the folder of `rapidbridge dev`, or set \
                 RAPIDBRIDGE_TOKEN or --token to one of the scheduler's api.tokens",
                self.url
            );
        }
        Err(refusal.into())
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let url = self.url.as_str().trim_end_matches('/');
        if error.is_connect() {
            return anyhow::anyhow!(
                "nothing answers at {url}: is the scheduler running? try `rapidbridge dev`"
            );
        }
        if error.is_timeout() {
            return anyhow::anyhow!("{url} did not answer within {CALL_TIMEOUT:?}");
        }
        anyhow::Error::new(error.without_url()).context(format!("the request to {url} failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_part_of_the_path() {
        let client = Client::new("http://127.0.0.1:1/api/".parse().unwrap(), None).unwrap();
        let url = client.at(&["sync-job-run", "../webhook?x"]).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:1/api/sync-job-run/..%2Fwebhook%3Fx");
    }

    #[tokio::test]
    async fn a_scheduler_that_is_not_there_is_named_with_what_to_do() {
        rapidbridge::process::prepare_tls();
        // Port 1 is reserved and nobody listens there.
        let client = Client::new("http://127.0.0.1:1".parse().unwrap(), None).unwrap();
        let error = client.run("x").await.unwrap_err().to_string();
        assert!(error.contains("try `rapidbridge dev`"), "{error}");
    }
}
