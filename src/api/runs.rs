//! Runs that are there: list, read, log, stop, resume.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;
use tracing::info;

use super::Api;
use super::error::{Answer, ApiError, reply};
use super::request::{Body, Query};
use super::run_view::RunView;
use crate::id::RunId;
use crate::run::Status;
use crate::store::StoreError;
use crate::store::runs::{Resumed, RunFilter, RunRecord, Stopped};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// The longest reason for a stop; it is kept and sent.
const REASON_CHARS_MAX: usize = 1000;

pub(super) async fn list(State(api): State<Api>, mut query: Query) -> Answer {
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let cursor = query.text("next_cursor");
    let filter = RunFilter {
        job: query.parsed("sync_job_id")?,
        account: query.parsed("integrated_account_id")?,
        trigger: query.parsed("sync_job_cron_trigger_id")?,
        status: query.text("status").map(|text| status(&text)).transpose()?,
    };
    if query.text("sort").is_some_and(|sort| sort != "-created_at") {
        return Err(ApiError::bad_request("runs are sorted by -created_at, the newest first"));
    }
    query.finish(&[
        "sync_job_id",
        "integrated_account_id",
        "sync_job_cron_trigger_id",
        "status",
        "limit",
        "next_cursor",
        "sort",
    ])?;
    let page = api.store().runs(&filter, cursor.as_deref(), limit).await.map_err(refused)?;
    let shown: Vec<RunView<'_>> =
        page.runs.iter().map(|record| RunView::of(record, &api.settings().retention)).collect();
    Ok(reply(StatusCode::OK, &Page { result: shown, next_cursor: page.next, limit }))
}

/// A cursor that is none of the store's is the client's mistake.
fn refused(error: StoreError) -> ApiError {
    if let StoreError::Unfit(message) = error {
        return ApiError::bad_request(format!("next_cursor: {message}"));
    }
    error.into()
}

/// Not `json!`, which would read the runs' args into a tree.
#[derive(serde::Serialize)]
struct Page<T> {
    result: Vec<T>,
    next_cursor: Option<String>,
    limit: usize,
}

fn status(text: &str) -> Result<Status, ApiError> {
    text.parse().map_err(|error| {
        let all: Vec<&str> = Status::ALL.iter().map(|status| status.as_str()).collect();
        ApiError::bad_request(format!("status: {error}; there are {}", all.join(", ")))
    })
}

pub(super) fn missing(id: &str) -> ApiError {
    if id.parse::<RunId>().is_err() {
        return ApiError::new(
            StatusCode::NOT_FOUND,
            format!("{id:?} is no run's id; GET /sync-job-run lists runs"),
        );
    }
    ApiError::missing(&format!(
        "sync_job_run {id:?}; it may have ended longer ago than retention.finished_runs, or been accepted in the last second \
         before Redis lost its power or its primary: then send its request again"
    ))
}

/// The run with this id.
pub(super) async fn record(api: &Api, id: &str) -> Result<RunRecord, ApiError> {
    let run: RunId = id.parse().map_err(|_| missing(id))?;
    api.store().run(run).await?.ok_or_else(|| missing(id))
}

async fn answer(api: &Api, id: &str) -> Answer {
    Ok(reply(StatusCode::OK, &RunView::of(&record(api, id).await?, &api.settings().retention)))
}

pub(super) async fn read(State(api): State<Api>, Path(id): Path<String>, query: Query) -> Answer {
    query.finish(&[])?;
    answer(&api, &id).await
}

/// What happened to a run, the oldest line first; all lines that are kept.
pub(super) async fn log(State(api): State<Api>, Path(id): Path<String>, query: Query) -> Answer {
    query.finish(&[])?;
    let run = record(&api, &id).await?.request.id;
    let lines = api.store().run_log(run).await?;
    let limit = lines.len();
    Ok(reply(StatusCode::OK, &Page { result: lines, next_cursor: None, limit }))
}

pub(super) async fn stop(State(api): State<Api>, Path(id): Path<String>, body: Body) -> Answer {
    let mut fields = body.fields()?;
    let reason = fields.maybe::<String>("reason").unwrap_or_else(|| "stopped through the API".to_owned());
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        fields.problem("reason", &format!("must have 1 to {REASON_CHARS_MAX} characters"), None);
    }
    fields.finish()?;
    let run: RunId = id.parse().map_err(|_| missing(&id))?;
    match api.store().stop(run, &reason).await? {
        Stopped::Missing => Err(missing(&id)),
        Stopped::Ended(status) if status == Status::Stopped.as_str() => answer(&api, &id).await,
        Stopped::Ended(status) => {
            Err(ApiError::conflict(format!("run {id} has ended before: it is {status}")))
        }
        Stopped::Decided => {
            let message =
                format!("the outcome of run {id} is decided; only its last event is still under way");
            Err(ApiError::conflict(message))
        }
        Stopped::Requested | Stopped::Now => {
            info!(%run, reason, "stop requested");
            answer(&api, &id).await
        }
    }
}

pub(super) async fn resume(State(api): State<Api>, Path(id): Path<String>, body: Body) -> Answer {
    body.fields()?.finish()?;
    let run: RunId = id.parse().map_err(|_| missing(&id))?;
    match api.store().resume(run, api.settings().retention.resumable).await? {
        Resumed::Missing => Err(missing(&id)),
        Resumed::Unfit(status) => {
            let message = format!("run {id} is {status}; only failed and stopped runs can be resumed");
            Err(ApiError::conflict(message).with_details(json!({ "status": status })))
        }
        Resumed::Gone => {
            let message = format!(
                "the checkpoint of run {id} is no longer kept (setting retention.resumable); \
                 POST /sync-job-run/{id}/replay does it all over"
            );
            Err(ApiError::new(StatusCode::GONE, message))
        }
        Resumed::Attempt(attempt) => {
            info!(%run, attempt, "run resumed");
            answer(&api, &id).await
        }
    }
}
