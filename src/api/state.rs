//! State cells: what jobs remember from run to run, to look at, seed, and delete.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use tracing::info;

use super::Api;
use super::error::{Answer, ApiError, reply};
use super::request::{Body, Fields, Query};
use crate::id::RunId;
use crate::json::Json;
use crate::store::state::{Author, Cell, CellChange, Changed};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// How long a change waits for a Redis that is away.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// The JSON of a cell, as RapidBridge has it.
#[derive(Serialize)]
struct CellView<'c> {
    key: &'c str,
    value: &'c Json,
    /// The run that wrote it; null when it was written here.
    sync_job_run_id: Option<RunId>,
    created_at: String,
    updated_at: String,
}

impl<'c> CellView<'c> {
    fn of(cell: &'c Cell) -> Self {
        Self {
            key: &cell.key,
            value: &cell.value,
            sync_job_run_id: cell.run,
            created_at: cell.created_at.rfc3339(),
            updated_at: cell.updated_at.rfc3339(),
        }
    }
}

#[derive(Serialize)]
struct Page<'c> {
    result: Vec<CellView<'c>>,
    next_cursor: Option<String>,
    limit: usize,
}

/// The namespace, which every request names.
fn namespace(query: &mut Query) -> Result<String, ApiError> {
    query.text("state_key").ok_or_else(|| {
        ApiError::bad_request("state_key is missing: write ?state_key= with the namespace of the cells")
    })
}

/// The namespace of a request that takes nothing else.
fn only_namespace(mut query: Query) -> Result<String, ApiError> {
    let namespace = namespace(&mut query)?;
    query.finish(&["state_key"])?;
    Ok(namespace)
}

fn missing(namespace: &str, key: &str) -> ApiError {
    ApiError::missing(&format!("state cell {key:?} in state_key {namespace:?}"))
}

pub(super) async fn list(State(api): State<Api>, mut query: Query) -> Answer {
    let namespace = namespace(&mut query)?;
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let cursor = query.text("next_cursor");
    query.finish(&["state_key", "limit", "next_cursor"])?;
    let page = api.store().cells(&namespace, cursor.as_deref(), limit).await?;
    let result = page.cells.iter().map(CellView::of).collect();
    Ok(reply(StatusCode::OK, &Page { result, next_cursor: page.next, limit }))
}

pub(super) async fn read(State(api): State<Api>, Path(key): Path<String>, query: Query) -> Answer {
    answer(&api, StatusCode::OK, &only_namespace(query)?, &key).await
}

async fn answer(api: &Api, status: StatusCode, namespace: &str, key: &str) -> Answer {
    let cell = api.store().cell(namespace, key, PATIENCE).await?;
    let cell = cell.ok_or_else(|| missing(namespace, key))?;
    Ok(reply(status, &CellView::of(&cell)))
}

/// Writes a cell, whether it is there or not: seeding one twice is no mistake.
pub(super) async fn write(State(api): State<Api>, query: Query, body: Body) -> Answer {
    let namespace = only_namespace(query)?;
    let mut fields = body.fields()?;
    let key = fields.required::<String>("key", "the name of the cell");
    let value = value(&mut fields);
    fields.finish()?;
    let (Some(key), Some(value)) = (key, value) else {
        return Err(ApiError::bad_request("a field is missing"));
    };
    let is_new = change(&api, &namespace, &key, CellChange::Set(&value)).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    answer(&api, status, &namespace, &key).await
}

pub(super) async fn update(
    State(api): State<Api>,
    Path(key): Path<String>,
    query: Query,
    body: Body,
) -> Answer {
    let namespace = only_namespace(query)?;
    let mut fields = body.fields()?;
    let value = value(&mut fields);
    fields.finish()?;
    let Some(value) = value else { return Err(ApiError::bad_request("a field is missing")) };
    change(&api, &namespace, &key, CellChange::Update(&value)).await?;
    answer(&api, StatusCode::OK, &namespace, &key).await
}

pub(super) async fn delete(State(api): State<Api>, Path(key): Path<String>, query: Query) -> Answer {
    let namespace = only_namespace(query)?;
    change(&api, &namespace, &key, CellChange::Delete).await?;
    Ok(reply(StatusCode::OK, &serde_json::json!({ "key": key })))
}

/// Any JSON value, null as well.
fn value(fields: &mut Fields) -> Option<Json> {
    let value = fields.any("value");
    if value.is_none() {
        fields.problem("value", "is missing", Some("any JSON value"));
    }
    value
}

/// Returns whether the cell is new.
async fn change(api: &Api, namespace: &str, key: &str, change: CellChange<'_>) -> Result<bool, ApiError> {
    match api.store().change_cell(namespace, key, change, Author::Person, PATIENCE).await? {
        Changed::Done { is_new } => {
            info!(state_key = namespace, key, deleted = change == CellChange::Delete, "state cell changed");
            Ok(is_new)
        }
        Changed::Missing => Err(missing(namespace, key)),
        Changed::Older => Err(ApiError::conflict("a later change stands")),
        Changed::Refused(reason) => Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, reason)),
    }
}
