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
        return Ok(Page { body: Bytes::from_static(b"[]"), records: Vec::new(), next: None, replayable });
    }
    decode::check_content_type(headers)?;
    let body = decode::without_mark(body);
    let text = decode::text(&body)?;

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

/// The next cursor as it is stored. One that leads to where we are is the engine's business: it watches for
/// cycles of any length, and this page's records are delivered first.
fn stored(next: Cursor, prepared: &Prepared) -> Cursor {
    match next {
        Cursor::Link(link) => Cursor::Link(prepared.stored_link(&link)),
        next @ (Cursor::Start | Cursor::Token(_) | Cursor::Page(_) | Cursor::Offset(_)) => next,
    }
}
