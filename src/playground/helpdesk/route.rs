//! From a request to its answer.

use std::fmt::Write;

use axum::extract::Request;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::data::Data;
use super::limit::Limited;
use super::{RequestInfo, Resource};
use crate::playground::answer::Answer;

/// The page's size when nobody asks for one.
const PAGE_SIZE_DEFAULT: u64 = 50;

/// What an answer gave away.
#[derive(Debug)]
pub(super) enum Served {
    Nothing,
    Limited(Limited),
    Records(Resource, Vec<u64>),
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    List(Resource),
    CommentsOf(u64),
    Ticket(u64),
    Unknown,
}

impl Target {
    pub(super) fn of(path: &str) -> Self {
        let Some(rest) = path.strip_prefix("/api/v1/") else { return Self::Unknown };
        let id = |text: &str| text.parse::<u64>().ok();
        match *rest.split('/').collect::<Vec<_>>().as_slice() {
            ["tickets"] => Self::List(Resource::Tickets),
            ["users"] => Self::List(Resource::Users),
            ["organizations"] => Self::List(Resource::Organizations),
            ["tickets", ticket] => id(ticket).map_or(Self::Unknown, Self::Ticket),
            ["tickets", ticket, "comments"] => id(ticket).map_or(Self::Unknown, Self::CommentsOf),
            _ => Self::Unknown,
        }
    }

    fn resource(&self) -> Option<Resource> {
        match self {
            Self::List(resource) => Some(*resource),
            Self::CommentsOf(_) => Some(Resource::Comments),
            Self::Ticket(_) => Some(Resource::Tickets),
            Self::Unknown => None,
        }
    }
}

/// Reads what a script may want to know; the number comes later.
pub(super) fn read(request: &Request) -> RequestInfo {
    let uri = request.uri();
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let query: Vec<(String, String)> = pairs.into_owned().collect();
    RequestInfo {
        number: 0,
        path: uri.path().to_owned(),
        resource: Target::of(uri.path()).resource(),
        cursor: value(&query, "cursor").filter(|cursor| !cursor.is_empty()).map(ToOwned::to_owned),
        query,
        headers: request.headers().clone(),
    }
}

/// The honest answer.
pub(super) fn answer(
    target: &Target,
    info: &RequestInfo,
    data: &Data,
    page_size_max: u64,
) -> (Answer, Served) {
    let (resource, parent) = match *target {
        Target::List(resource) => (resource, None),
        Target::CommentsOf(ticket) if data.has_ticket(ticket) => (Resource::Comments, Some(ticket)),
        Target::Ticket(ticket) => match data.ticket(ticket) {
            Some(text) => return (Answer::ok().json(text), Served::Records(Resource::Tickets, vec![ticket])),
            None => return (not_found(), Served::Nothing),
        },
        Target::CommentsOf(_) | Target::Unknown => return (not_found(), Served::Nothing),
    };
    let limit = match value(&info.query, "limit").map(str::parse::<u64>) {
        None => PAGE_SIZE_DEFAULT.min(page_size_max),
        Some(Ok(limit)) if limit > 0 => limit.min(page_size_max),
        Some(_) => return (error(400, "invalid_limit", "limit must be a number above 0"), Served::Nothing),
    };
    let after = match &info.cursor {
        None => 0,
        Some(cursor) => match open_cursor(cursor, &info.path) {
            Some(after) => after,
            None => return (error(400, "invalid_cursor", "this cursor is none of ours"), Served::Nothing),
        },
    };
    let page = data.page(resource, parent, after, limit);
    let mut body = format!(r#"{{"{resource}":["#);
    for (index, (_, record)) in page.records.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(record);
    }
    let ids: Vec<u64> = page.records.iter().map(|(id, _)| *id).collect();
    let next =
        ids.last().filter(|_| page.has_more).map(|last| format!("\"{}\"", make_cursor(*last, &info.path)));
    // Writing to a String can't fail.
    let _ = write!(
        body,
        r#"],"meta":{{"has_more":{},"next_cursor":{}}}}}"#,
        page.has_more,
        next.as_deref().unwrap_or("null")
    );
    (Answer::ok().json(body), Served::Records(resource, ids))
}

/// A refusal in the helpdesk's words.
pub(super) fn error(status: u16, error: &str, message: &str) -> Answer {
    Answer::status(status).json(format!(r#"{{"error":"{error}","message":"{message}"}}"#))
}

/// 429 with its `Retry-After`.
pub(super) fn limited(retry_after_seconds: u64) -> Answer {
    error(429, "rate_limited", "too many requests").header("retry-after", &retry_after_seconds.to_string())
}

fn not_found() -> Answer {
    error(404, "not_found", "there is no such record")
}

fn value<'q>(query: &'q [(String, String)], name: &str) -> Option<&'q str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Opaque to the reader; bound to its list, so that a cursor of another list is refused.
fn make_cursor(after: u64, path: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{path}:{after}"))
}

fn open_cursor(cursor: &str, path: &str) -> Option<u64> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.strip_prefix(path)?.strip_prefix(':')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_understood() {
        assert_eq!(Target::of("/api/v1/tickets"), Target::List(Resource::Tickets));
        assert_eq!(Target::of("/api/v1/tickets/7"), Target::Ticket(7));
        assert_eq!(Target::of("/api/v1/tickets/7/comments"), Target::CommentsOf(7));
        assert_eq!(Target::of("/api/v1/tickets/x"), Target::Unknown);
        assert_eq!(Target::of("/api/v2/tickets"), Target::Unknown);
    }

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let cursor = make_cursor(100, "/api/v1/tickets");
        assert_eq!(open_cursor(&cursor, "/api/v1/tickets"), Some(100));
        assert_eq!(open_cursor(&cursor, "/api/v1/users"), None);
        assert_eq!(open_cursor("!!", "/api/v1/tickets"), None);
    }
}
