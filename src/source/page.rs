//! From a complete answer to a page: its records, and the cursor that leads to the next one.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::definition::integration::Method;
use crate::engine::seam::{Cursor, Page};
use crate::source::failure::Failure;
use crate::source::request::Prepared;
use crate::source::{decode, pagination, select};

/// The page that an answer of a status for which [`crate::source::status::is_page`] holds is.
pub(super) fn read(
    method: &Method,
    prepared: &Prepared,
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Page, Failure> {
    let replayable = method.replayable;
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return without_content(method, prepared);
    }
    decode::check_content_type(headers)?;
    let body = decode::without_mark(body);
    let text = decode::text(&body)?;
    if text.trim().is_empty() {
        return if method.missing_is_empty { without_content(method, prepared) } else { Err(empty()) };
    }

    let (cursor_path, has_next_path) = pagination::paths(&method.pagination);
    let paths = [Some(method.response_path.as_slice()), cursor_path, has_next_path];
    let paths: Vec<&[String]> = paths.into_iter().flatten().collect();
    let found = select::select(text, &paths).map_err(|error| decode::invalid_json(text, &error))?;
    let mut found = found.into_iter();
    let root = found.next().flatten();
    let cursor = cursor_path.and_then(|_| found.next().flatten());
    let has_next = has_next_path.and_then(|_| found.next().flatten());

    let records = decode::records(text, root, method)?;
    let answer = pagination::Answer { cursor, has_next, headers, records: records.len() };
    let next = pagination::next(&method.pagination, &prepared.turn, &answer)?;
    let next = next.map(|next| stored(next, prepared));
    Ok(Page { body, records, next, replayable })
}

/// An answer that says it has nothing: no records, and the end of a list. A list that was followed to here by a cursor or
/// link of the source's own can't have nothing here: it would lack the end, and nobody would know.
fn without_content(method: &Method, prepared: &Prepared) -> Result<Page, Failure> {
    if matches!(prepared.turn.cursor, Cursor::Token(_) | Cursor::Link(_)) {
        let what = "the answer has no content, though the page before it led here: what else the list holds is unknown";
        return Err(Failure::broken("unexpected_empty", what));
    }
    let replayable = method.replayable;
    Ok(Page { body: Bytes::from_static(b"[]"), records: Vec::new(), next: None, replayable })
}

/// A success with nothing in it says neither that there are records nor that there are none: something between the
/// source and us lost them.
fn empty() -> Failure {
    let what = "the body is empty where JSON should be, as if the answer was lost on its way; if the source means that \
                there are no records, set missing_response_path: empty";
    Failure::transient("empty_answer", what)
}

/// The next cursor as it is stored. One that leads to where we are is the engine's business: it watches for
/// cycles of any length, and this page's records are delivered first.
fn stored(next: Cursor, prepared: &Prepared) -> Cursor {
    match next {
        Cursor::Link(link) => Cursor::Link(prepared.stored_link(&link)),
        next @ (Cursor::Start | Cursor::Token(_) | Cursor::Page(_) | Cursor::Offset(_)) => next,
    }
}
