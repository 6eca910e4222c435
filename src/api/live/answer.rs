//! What a live request is answered with: records in RapidBridge's envelope, or what the source said instead.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;

use super::query::Asked;
use super::seconds;
use crate::api::error::{Answer, ApiError};
use crate::engine::budget::Room;
use crate::engine::seam::{FetchError, FetchErrorKind, FetchRequest, Page};
use crate::id::AccountId;
use crate::json::{self, Json};
use crate::live::BUDGET_USED_UP;
use crate::source::grant::NEEDS_REAUTH;

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

/// The answer that `page` makes. Records stay as they were written. What it takes of the memory for pages is given back when
/// it was sent.
pub(super) fn page(
    page: Page,
    room: Room,
    next: Option<&str>,
    shape: Shape,
    fetch: &FetchRequest,
    asked: &Asked,
) -> Answer {
    if shape == Shape::One && page.records.is_empty() && fetch.method == "get" {
        let id = fetch.id.as_deref().unwrap_or_default();
        return Err(ApiError::missing(&format!("{} {id:?}", fetch.resource)).remote(None));
    }
    let count = page.records.len();
    let mut body = String::with_capacity(page.body.len() + 256);
    let list = |body: &mut String| {
        for at in 0..count {
            body.push_str(if at == 0 { "" } else { "," });
            body.push_str(&without(page.record(at), asked));
        }
    };
    match shape {
        Shape::List => {
            body.push_str("{\"result\":[");
            list(&mut body);
            let next = Json::of(&next);
            body.push_str(&format!(
                "],\"next_cursor\":{next},\"prev_cursor\":null,\"result_count\":{count},\"is_partial_response\":false}}"
            ));
        }
        Shape::One if count > 0 => body.push_str(&without(page.record(0), asked)),
        Shape::One | Shape::Deleted => body.push_str(&format!("{{\"id\":{}}}", Json::of(&fetch.id))),
        Shape::Result => {
            body.push_str(if count == 1 { "{\"result\":" } else { "{\"result\":[" });
            list(&mut body);
            body.push_str(if count == 1 { "}" } else { "]}" });
        }
    }
    drop(page);
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], slowly(body.into(), room)).into_response())
}

/// A body that is handed over in pieces, as fast as the client takes them; until then it keeps its room.
fn slowly(bytes: Bytes, room: Room) -> Body {
    const PIECE: usize = 64 << 10;
    let pieces = futures::stream::unfold((bytes, room), async |(mut rest, room)| {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        Some((Ok::<_, std::convert::Infallible>(piece), (rest, room)))
    });
    Body::from_stream(pieces)
}

/// `record` without the members that nobody wants.
fn without<'r>(record: &'r str, asked: &Asked) -> Cow<'r, str> {
    if asked.without.is_empty() {
        return Cow::Borrowed(record);
    }
    let Ok(members) = json::members(record) else { return Cow::Borrowed(record) };
    let kept = members.iter().filter(|(name, _)| !asked.without.contains(name));
    let kept: Vec<String> = kept.map(|(name, value)| format!("{}:{value}", Json::string(name))).collect();
    Cow::Owned(format!("{{{}}}", kept.join(",")))
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
        FetchErrorKind::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, error.error != BUDGET_USED_UP),
        FetchErrorKind::Held { .. } => (StatusCode::TOO_MANY_REQUESTS, false),
        FetchErrorKind::Unauthorized if is_remote || error.error == NEEDS_REAUTH => {
            (of_client.unwrap_or(StatusCode::UNAUTHORIZED), true)
        }
        // The account can't be used as it stands.
        FetchErrorKind::Unauthorized => (StatusCode::UNPROCESSABLE_ENTITY, false),
        FetchErrorKind::NoAccess => (StatusCode::BAD_GATEWAY, is_remote),
        FetchErrorKind::CursorRefused => (of_client.unwrap_or(StatusCode::BAD_REQUEST), true),
        FetchErrorKind::Transient if error.error == "timeout" => (StatusCode::GATEWAY_TIMEOUT, true),
        FetchErrorKind::Transient => (StatusCode::BAD_GATEWAY, true),
        FetchErrorKind::Permanent => match error.error.as_str() {
            "invalid_query" | "invalid_body" | "unmapped_query" | "unmapped_body" | "template_error"
            | "invalid_request" | "invalid_header" | "invalid_path" => (StatusCode::BAD_REQUEST, false),
            "mapping_failed" => (StatusCode::UNPROCESSABLE_ENTITY, false),
            _ => (of_client.unwrap_or(StatusCode::BAD_GATEWAY), is_remote),
        },
        FetchErrorKind::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, false),
    };
    let answer = ApiError::new(status, error.message);
    let answer = match error.kind {
        FetchErrorKind::RateLimited { wait } | FetchErrorKind::Held { wait } => {
            answer.retry_after(seconds(wait).max(1))
        }
        FetchErrorKind::Transient
        | FetchErrorKind::NoAccess
        | FetchErrorKind::Unauthorized
        | FetchErrorKind::CursorRefused
        | FetchErrorKind::Permanent
        | FetchErrorKind::NoRoom => answer,
    };
    if is_remote { answer.remote(error.raw_response) } else { answer }
}
