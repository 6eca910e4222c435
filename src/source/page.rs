//! From a complete answer to a page: its records, and the cursor that leads to the next one.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, HeaderMap};

use crate::aside::aside;
use crate::definition::integration::{AnswerFormat, Method};
use crate::engine::seam::{Cursor, Page};
use crate::json;
use crate::source::failure::Failure;
use crate::source::request::Prepared;
use crate::source::{decode, lines, pagination, select};

/// Whether an answer of this status is a page: success, but not a part of a body (206), unless parts are what was asked
/// for; "nothing new" (304); and what says that there is nothing past the last page.
pub(super) fn is_page(method: &Method, prepared: &Prepared, status: StatusCode) -> bool {
    let is_part = status == StatusCode::PARTIAL_CONTENT && prepared.turn.range.is_none();
    (status.is_success() && !is_part)
        || status == StatusCode::NOT_MODIFIED
        || is_past_the_end(method, prepared, status)
}

fn is_past_the_end(method: &Method, prepared: &Prepared, status: StatusCode) -> bool {
    let is_out_of_range = status == StatusCode::RANGE_NOT_SATISFIABLE && prepared.turn.range.is_some();
    is_out_of_range || (method.ends.statuses.contains(&status.as_u16()) && !prepared.turn.is_first())
}

/// The page that an answer of a status for which [`is_page`] holds is.
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
    if is_past_the_end(method, prepared, status) {
        return Ok(nothing(method));
    }
    if status == StatusCode::PARTIAL_CONTENT && !headers.contains_key(CONTENT_RANGE) {
        let what = "the answer is a part (206) and doesn't say which; what comes next can't be told";
        return Err(Failure::broken("invalid_range", what));
    }
    decode::check_content_type(method.answer_format, headers)?;
    let body = decode::without_mark(body);
    if body.trim_ascii().is_empty() {
        return if method.missing_is_empty { without_content(method, prepared) } else { Err(empty()) };
    }
    let body = aside(|| lines::as_json(method.answer_format, body))?;
    if method.answer_format == AnswerFormat::Xml && body.len() > method.page_bytes_max {
        let what = format!(
            "the page is larger than {} bytes as JSON; ask for smaller pages, or raise the method's page_bytes_max",
            method.page_bytes_max
        );
        return Err(Failure::permanent("page_too_large", what));
    }
    let text = decode::text(&body)?;

    let (cursor_path, told_path) = pagination::paths(&method.pagination, &method.ends);
    let paths = [Some(method.response_path.as_slice()), cursor_path, told_path];
    let paths: Vec<&[String]> = paths.into_iter().flatten().collect();
    let found = select::select(text, &paths).map_err(|error| decode::invalid_json(text, &error))?;
    let mut found = found.into_iter();
    let root = found.next().flatten();
    let cursor = cursor_path.and_then(|_| found.next().flatten());
    let told = told_path.and_then(|_| found.next().flatten());

    let records = decode::records(text, root, method)?;
    let in_last_record = pagination::path_in_last_record(&method.pagination)
        .and_then(|path| json::get(text.get(records.last()?.clone())?, path));
    let cursor = cursor.or(in_last_record);
    let answer = pagination::Answer { cursor, told, headers, records: records.len(), body: text };
    let next = pagination::next(&method.pagination, &method.ends, &prepared.turn, &answer)?;
    let next = next.map(|next| stored(next, prepared)).transpose()?;
    Ok(Page { body, records, next, replayable })
}

/// An answer that says it has nothing: no records, and the end of a list. A list that was followed to here by a cursor or
/// link of the source's own can't have nothing here: it would lack the end, and nobody would know.
fn without_content(method: &Method, prepared: &Prepared) -> Result<Page, Failure> {
    if matches!(prepared.turn.cursor, Cursor::Token(_) | Cursor::Link(_)) {
        let what = "the answer has no content, though the page before it led here: what else the list holds is unknown";
        return Err(Failure::broken("unexpected_empty", what));
    }
    Ok(nothing(method))
}

/// The last page, without records.
fn nothing(method: &Method) -> Page {
    let replayable = method.replayable;
    Page { body: Bytes::from_static(b"[]"), records: Vec::new(), next: None, replayable }
}

/// A success with nothing in it says neither that there are records nor that there are none: something between the
/// source and us lost them.
fn empty() -> Failure {
    let what = "the body is empty where records should be, as if the answer was lost on its way; if the source means that \
                there are no records, set missing_response_path: empty";
    Failure::transient("empty_answer", what)
}

/// The next cursor as it is stored. One that leads to where we are is the engine's business: it watches for
/// cycles of any length, and this page's records are delivered first.
fn stored(next: Cursor, prepared: &Prepared) -> Result<Cursor, Failure> {
    let next = match next {
        Cursor::Link(link) => Cursor::Link(prepared.stored_link(&link)),
        next @ (Cursor::Start | Cursor::Token(_) | Cursor::Page(_) | Cursor::Offset(_)) => next,
    };
    if let Cursor::Link(text) | Cursor::Token(text) = &next
        && prepared.secrets.are_long_in(text)
    {
        let what = "what leads to the next page holds a credential, and cursors are kept in the clear; put the credential into \
                    authorization, headers or query";
        return Err(Failure::permanent("secret_in_cursor", what));
    }
    Ok(next)
}
