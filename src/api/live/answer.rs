//! What a live request is answered with: records in RapidBridge's envelope, or what the source said instead.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::query::Asked;
use super::seconds;
use crate::api::error::{Answer, ApiError};
use crate::engine::seam::{FetchError, FetchErrorKind, FetchRequest, Page};
use crate::id::AccountId;
use crate::json::{self, Json};

/// In which form records are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{result, next_cursor, prev_cursor, result_count, is_partial_response}`
    List,
    /// The record alone.
    One,
    /// `{id}`
    Deleted,
    /// `{result}`, of a custom method.
    Result,
}

/// The answer that `page` makes. Records stay as they were written.
pub(super) fn page(
    page: &Page,
    next: Option<&str>,
    shape: Shape,
    fetch: &FetchRequest,
    asked: &Asked,
) -> Answer {
    let record = |at: usize| without(page.record(at), asked);
    let records = || (0..page.records.len()).map(record).collect::<Vec<_>>().join(",");
    let body = match shape {
        Shape::List => {
            let next = Json::of(&next);
            let count = page.records.len();
            format!(
                "{{\"result\":[{}],\"next_cursor\":{next},\"prev_cursor\":null,\"result_count\":{count},\
                 \"is_partial_response\":false}}",
                records()
            )
        }
        Shape::One if page.records.is_empty() && fetch.method == "get" => {
            let id = fetch.id.as_deref().unwrap_or_default();
            return Err(ApiError::missing(&format!("{} {id:?}", fetch.resource)).remote(None));
        }
        Shape::One if page.records.is_empty() => format!("{{\"id\":{}}}", Json::of(&fetch.id)),
        Shape::One => record(0),
        Shape::Deleted => format!("{{\"id\":{}}}", Json::of(&fetch.id)),
        Shape::Result if page.records.len() == 1 => format!("{{\"result\":{}}}", record(0)),
        Shape::Result => format!("{{\"result\":[{}]}}", records()),
    };
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// `record` without the members that nobody wants.
fn without(record: &str, asked: &Asked) -> String {
    if asked.without.is_empty() {
        return record.to_owned();
    }
    let Ok(members) = json::members(record) else { return record.to_owned() };
    let kept = members.iter().filter(|(name, _)| !asked.without.contains(name));
    let kept: Vec<String> = kept.map(|(name, value)| format!("{}:{value}", Json::string(name))).collect();
    format!("{{{}}}", kept.join(","))
}

/// 429: the account's source asked to be left alone.
pub(super) fn limited(account: &AccountId, wait: Duration) -> ApiError {
    let wait = seconds(wait).max(1);
    let message = format!(
        "the source limits the rate of account {:?} for {wait} s more; it was not asked",
        account.as_str()
    );
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, message).retry_after(wait).remote(None)
}

/// What the source said, or why it could not be asked. Its own status where that says what went wrong.
pub(in crate::api) fn failure(error: FetchError) -> ApiError {
    let own = error.status.and_then(|status| StatusCode::from_u16(status).ok());
    let of_client = own.filter(StatusCode::is_client_error);
    let is_remote = error.status.is_some();
    let (status, is_remote) = match error.kind {
        // The declared budget is ours.
        FetchErrorKind::RateLimited { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, error.error != "budget_used_up")
        }
        FetchErrorKind::Unauthorized => (of_client.unwrap_or(StatusCode::UNAUTHORIZED), true),
        FetchErrorKind::CursorRefused => (of_client.unwrap_or(StatusCode::BAD_REQUEST), true),
        FetchErrorKind::Transient if error.error == "timeout" => (StatusCode::GATEWAY_TIMEOUT, true),
        FetchErrorKind::Transient => (StatusCode::BAD_GATEWAY, true),
        FetchErrorKind::Permanent => match error.error.as_str() {
            "unmapped_query" | "template_error" | "invalid_request" | "invalid_header" => {
                (StatusCode::BAD_REQUEST, false)
            }
            "mapping_failed" => (StatusCode::UNPROCESSABLE_ENTITY, false),
            _ => (of_client.unwrap_or(StatusCode::BAD_GATEWAY), is_remote),
        },
        FetchErrorKind::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, false),
    };
    let answer = ApiError::new(status, error.message);
    let answer = match error.kind {
        FetchErrorKind::RateLimited { wait } => answer.retry_after(seconds(wait).max(1)),
        FetchErrorKind::Transient
        | FetchErrorKind::Unauthorized
        | FetchErrorKind::CursorRefused
        | FetchErrorKind::Permanent
        | FetchErrorKind::NoRoom => answer,
    };
    if is_remote { answer.remote(error.raw_response) } else { answer }
}
