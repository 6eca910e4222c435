//! How a list continues: where a cursor goes in the request, and which cursor an answer leads to.
//!
//! It sees one page at a time. A cursor equal to the one just used is an error here; longer cycles, and how
//! many pages a list may have, are the engine's business.

use reqwest::header::{CONTENT_RANGE, HeaderMap};

use crate::aside::aside;
use crate::clock;
use crate::definition::integration::{CursorPagination, CursorSource, Ends, Limit, Pagination, SendIn, Told};
use crate::engine::seam::Cursor;
use crate::expression::{Expression, World};
use crate::json::{self, Json};
use crate::source::failure::Failure;
use crate::source::params::Params;
use crate::source::{link_header, told};

/// Which page is asked for, once the pagination's defaults are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    /// The page.
    pub(super) cursor: Cursor,
    /// A page with fewer records than this is the last one.
    pub(super) full_page: Option<u64>,
    /// The page after this one, if it can be told without this one's answer.
    pub(super) skip_to: Option<Cursor>,
    /// How many pages of a numbered list came before.
    pub(super) before: u64,
    /// The value of the header `Range`.
    pub(super) range: Option<String>,
    /// What expressions made of the page before, or for the first one.
    pub(super) values: Option<Json>,
}

impl Turn {
    /// Asks for the page at `cursor` by what was put into the request.
    fn at(cursor: Cursor) -> Self {
        Self { cursor, full_page: None, skip_to: None, before: 0, range: None, values: None }
    }

    /// Whether the list begins with this page.
    pub(super) fn is_first(&self) -> bool {
        match self.cursor {
            Cursor::Start | Cursor::Offset(0) => true,
            Cursor::Page(_) => self.before == 0,
            Cursor::Token(_) | Cursor::Link(_) | Cursor::Offset(_) => false,
        }
    }
}

/// What an answer says about the next page.
pub(super) struct Answer<'a> {
    /// The value at the cursor's path in the body or in the last record, as JSON.
    pub(super) cursor: Option<&'a str>,
    /// The value where the answer tells whether there is more, as JSON.
    pub(super) told: Option<&'a str>,
    /// The whole body, as JSON.
    pub(super) body: &'a str,
    /// The headers.
    pub(super) headers: &'a HeaderMap,
    /// How many records the page holds.
    pub(super) records: usize,
}

/// Puts the page's parameters into the request.
///
/// # Errors
/// When the cursor was made by another pagination than this: the integration changed since, and the list
/// starts over.
pub(super) fn place(
    pagination: &Pagination,
    cursor: &Cursor,
    query: &mut Params,
    body: &mut Option<Params>,
) -> Result<Turn, Failure> {
    match (pagination, cursor) {
        (Pagination::None, Cursor::Start) => Ok(Turn::at(Cursor::Start)),
        (Pagination::LinkHeader { limit }, Cursor::Start | Cursor::Link(_)) => {
            place_limit(limit.as_ref(), query);
            Ok(Turn::at(cursor.clone()))
        }
        (Pagination::Cursor(rule), Cursor::Start | Cursor::Token(_) | Cursor::Link(_))
            if is_of(rule, cursor) =>
        {
            place_cursor(rule, cursor, query, body);
            Ok(Turn::at(cursor.clone()))
        }
        (Pagination::Page { param, start, limit }, Cursor::Start | Cursor::Page(_)) => {
            let page = if let Cursor::Page(page) = cursor { *page } else { *start };
            query.set(param, number(page));
            let full_page = place_limit(limit.as_ref(), query);
            let skip_to = page.checked_add(1).map(Cursor::Page);
            let before = page.saturating_sub(*start);
            Ok(Turn { full_page, skip_to, before, ..Turn::at(Cursor::Page(page)) })
        }
        (Pagination::Offset { param, limit }, Cursor::Start | Cursor::Offset(_)) => {
            let offset = if let Cursor::Offset(offset) = cursor { *offset } else { 0 };
            query.set(param, number(offset));
            let full_page = place_limit(Some(limit), query);
            let skip_to = full_page.and_then(|size| offset.checked_add(size)).map(Cursor::Offset);
            Ok(Turn { full_page, skip_to, ..Turn::at(Cursor::Offset(offset)) })
        }
        (Pagination::Range { unit, size }, Cursor::Start | Cursor::Offset(_)) => {
            let offset = if let Cursor::Offset(offset) = cursor { *offset } else { 0 };
            let after = offset.saturating_add(*size);
            let range = Some(format!("{unit}={offset}-{}", after.saturating_sub(1)));
            let skip_to = Some(Cursor::Offset(after));
            Ok(Turn { full_page: Some(*size), skip_to, range, ..Turn::at(Cursor::Offset(offset)) })
        }
        (Pagination::Dynamic { first, send_in, .. }, Cursor::Start | Cursor::Token(_)) => {
            let values = match cursor {
                Cursor::Token(values) => Json::parse(values).ok(),
                Cursor::Start | Cursor::Page(_) | Cursor::Offset(_) | Cursor::Link(_) => {
                    first.as_ref().map(|first| first_values(first, query, body.as_ref())).transpose()?
                }
            };
            if let Some(values) = values.as_ref().and_then(|values| Params::parse(values).ok()) {
                match send_in {
                    SendIn::Query => query.merge(values),
                    SendIn::Body => body.get_or_insert_with(Params::default).merge(values),
                }
            }
            Ok(Turn { values, ..Turn::at(cursor.clone()) })
        }
        (
            Pagination::None
            | Pagination::Cursor(_)
            | Pagination::Page { .. }
            | Pagination::Offset { .. }
            | Pagination::LinkHeader { .. }
            | Pagination::Range { .. }
            | Pagination::Dynamic { .. },
            _,
        ) => Err(Failure::cursor_refused(
            "cursor_mismatch",
            "the stored cursor belongs to another kind of pagination than the method has now; the list starts over",
        )),
    }
}

/// Whether a list by this rule can have come to `cursor`.
fn is_of(rule: &CursorPagination, cursor: &Cursor) -> bool {
    match cursor {
        Cursor::Start => true,
        Cursor::Token(_) => !rule.is_link,
        Cursor::Link(_) => rule.is_link,
        Cursor::Page(_) | Cursor::Offset(_) => false,
    }
}

fn place_cursor(rule: &CursorPagination, cursor: &Cursor, query: &mut Params, body: &mut Option<Params>) {
    let token = if let Cursor::Token(token) = cursor { Some(Json::string(token)) } else { None };
    match rule.send_in {
        SendIn::Query => {
            if let Some(token) = token {
                query.set(&rule.param, token);
            }
            place_limit(rule.limit.as_ref(), query);
        }
        SendIn::Body => {
            let body = body.get_or_insert_with(Params::default);
            if let Some(token) = token {
                body.set_path(&rule.param, token);
            }
            if let Some(limit) = &rule.limit
                && body.at_path(&limit.param).is_none()
            {
                body.set_path(&limit.param, number(limit.value));
            }
        }
    }
}

/// Asks for the declared page size unless the request names one, and answers the size of a full page. Of the
/// two sizes it is the smaller: a source that caps what it was asked for must not look like the end of the
/// list.
fn place_limit(limit: Option<&Limit>, query: &mut Params) -> Option<u64> {
    let limit = limit?;
    match query.get(&limit.param).filter(|json| json.as_str() != "null") {
        Some(asked) => {
            asked.to_text().parse::<u64>().ok().filter(|size| *size > 0).map(|size| size.min(limit.value))
        }
        None => {
            query.set(&limit.param, number(limit.value));
            Some(limit.value)
        }
    }
}

fn number(number: u64) -> Json {
    Json::of(&number)
}

/// The paths in the body that [`next`] wants to know: the cursor's, and where the answer tells whether there is more.
pub(super) fn paths<'p>(
    pagination: &'p Pagination,
    ends: &'p Ends,
) -> (Option<&'p [String]>, Option<&'p [String]>) {
    let cursor = match pagination {
        Pagination::Cursor(CursorPagination { source: CursorSource::Body(path), .. }) => {
            Some(path.as_slice())
        }
        Pagination::Cursor(_)
        | Pagination::None
        | Pagination::Page { .. }
        | Pagination::Offset { .. }
        | Pagination::LinkHeader { .. }
        | Pagination::Range { .. }
        | Pagination::Dynamic { .. } => None,
    };
    (cursor, ends.told.as_ref().map(Told::path))
}

/// The path of the cursor in a page's last record.
pub(super) fn path_in_last_record(pagination: &Pagination) -> Option<&[String]> {
    let Pagination::Cursor(CursorPagination { source: CursorSource::LastRecord(path), .. }) = pagination
    else {
        return None;
    };
    Some(path)
}

/// The next page; `None` at the end of the list. A link is as the source wrote it.
pub(super) fn next(
    pagination: &Pagination,
    ends: &Ends,
    turn: &Turn,
    answer: &Answer<'_>,
) -> Result<Option<Cursor>, Failure> {
    let more = ends.told.as_ref().and_then(|told| is_more(told, turn, answer));
    if more == Some(false) {
        return Ok(None);
    }
    let next = match pagination {
        Pagination::None => return Ok(None),
        Pagination::LinkHeader { .. } => {
            Ok(link_header::next(answer.headers).filter(|link| !link.is_empty()).map(Cursor::Link))
        }
        Pagination::Cursor(rule) => next_by_cursor(rule, more, answer),
        Pagination::Page { .. } | Pagination::Offset { .. } => {
            // Where an answer lacks what was declared to tell the end, a short page is not taken for it.
            let tells_nothing = ends.told.is_some() && answer.told.is_none();
            let is_short_the_end = !ends.only_when_empty && !tells_nothing;
            Ok(next_by_count(is_short_the_end, more, turn, answer.records))
        }
        Pagination::Range { .. } => next_by_range(more, turn, answer),
        Pagination::Dynamic { next, .. } => next_values(next, turn, answer),
    }?;
    if next.is_none() && more == Some(true) {
        return Err(Failure::broken(
            "missing_cursor",
            "the answer says that there is a next page, and nothing in it leads there; check the pagination",
        ));
    }
    Ok(next)
}

/// What an answer tells about whether there is more; `None` when it tells nothing.
fn is_more(told: &Told, turn: &Turn, answer: &Answer<'_>) -> Option<bool> {
    let value = answer.told?;
    let count = || json::text_of(value).parse::<u64>().ok();
    let records = u64::try_from(answer.records).unwrap_or(u64::MAX);
    match told {
        Told::HasNext(_) => Some(is_true(value)),
        Told::IsLast(_) => Some(!is_true(value)),
        Told::Pages(_) => count().map(|pages| turn.before.saturating_add(1) < pages),
        Told::Records(_) => {
            let total = count()?;
            // A page with nothing is the end, whatever the number says: lists shrink while they are read.
            if records == 0 {
                return Some(false);
            }
            match turn.cursor {
                Cursor::Offset(offset) => Some(offset.saturating_add(records) < total),
                // How many came before is known only where pages are full: after a short one that doesn't end at the
                // total, the list is read to an empty page.
                Cursor::Page(_) => {
                    let full = turn.full_page?;
                    let read = turn.before.checked_mul(full)?.saturating_add(records);
                    Some(if records < full && turn.before > 0 { read != total } else { read < total })
                }
                Cursor::Start | Cursor::Token(_) | Cursor::Link(_) => None,
            }
        }
    }
}

fn next_by_count(is_short_the_end: bool, more: Option<bool>, turn: &Turn, records: usize) -> Option<Cursor> {
    let records = u64::try_from(records).unwrap_or(u64::MAX);
    let is_short = || is_short_the_end && turn.full_page.is_some_and(|full| records < full);
    if more.is_none() && (records == 0 || is_short()) {
        return None;
    }
    match turn.cursor {
        Cursor::Page(page) => page.checked_add(1).map(Cursor::Page),
        Cursor::Offset(_) if records == 0 => None,
        Cursor::Offset(offset) => offset.checked_add(records).map(Cursor::Offset),
        Cursor::Start | Cursor::Token(_) | Cursor::Link(_) => None,
    }
}

/// `Content-Range: items 0-99/1000` says what came, and perhaps how much there is. A first answer without it is the whole
/// list: the source took no notice of what was asked for.
fn next_by_range(more: Option<bool>, turn: &Turn, answer: &Answer<'_>) -> Result<Option<Cursor>, Failure> {
    let Some(value) = answer.headers.get(CONTENT_RANGE) else {
        return if turn.is_first() { Ok(None) } else { Err(wrong_range("the answer doesn't say what came")) };
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    // `items */0`: there is nothing here.
    if answer.records == 0 && value.contains('*') {
        return Ok(None);
    }
    let Some((from, after, total)) = range(&value) else {
        return Err(wrong_range(&format!("{value:?} is no Content-Range")));
    };
    let asked = if let Cursor::Offset(offset) = turn.cursor { offset } else { 0 };
    if from != asked || after <= asked || answer.records == 0 {
        let records = answer.records;
        let what = format!("records from {asked} were asked for, and {records} came with {value:?}");
        return Err(wrong_range(&what));
    }
    // Where nobody knows how many there are, the end is an empty answer, or 416.
    let is_more = more.unwrap_or_else(|| total.is_none_or(|total| after < total));
    Ok(is_more.then_some(Cursor::Offset(after)))
}

fn wrong_range(what: &str) -> Failure {
    Failure::broken("invalid_range", format!("{what}; what comes next can't be told"))
}

/// First, behind the last, and of how many, where that is known.
fn range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (_, range) = value.trim().split_once(' ')?;
    let (came, total) = range.split_once('/')?;
    let (first, last) = came.split_once('-')?;
    let after = last.trim().parse::<u64>().ok()?.checked_add(1)?;
    Some((first.trim().parse().ok()?, after, total.trim().parse().ok()))
}

/// The parameters of a list's first page.
fn first_values(first: &Expression, query: &Params, body: Option<&Params>) -> Result<Json, Failure> {
    let body = body.map_or_else(Json::null, Params::to_json);
    let input = format!("{{\"query\":{},\"body\":{body}}}", query.to_json());
    values(first, &input)?.ok_or_else(|| {
        let what = "get_initial_pagination_values_expression gives nothing; it must give an object";
        Failure::permanent("expression_failed", what)
    })
}

/// The parameters of the page after this one.
fn next_values(next: &Expression, turn: &Turn, answer: &Answer<'_>) -> Result<Option<Cursor>, Failure> {
    let before = turn.values.clone().unwrap_or_else(Json::empty_object);
    let mut members = vec![format!("\"paginationValues\":{before}"), format!("\"count\":{}", answer.records)];
    if next.may_read("headers") {
        members.push(format!("\"headers\":{}", told::headers_of(answer.headers)));
    }
    if next.may_read("body") {
        members.push(format!("\"body\":{}", answer.body));
    }
    let values = values(next, &format!("{{{}}}", members.join(",")))?;
    Ok(values.map(|values| Cursor::Token(values.to_string())))
}

fn values(expression: &Expression, input: &str) -> Result<Option<Json>, Failure> {
    let failed =
        |why: &str| Failure::permanent("expression_failed", format!("the pagination's expression: {why}"));
    let input = Json::parse(input).map_err(|_| failed("the answer is no JSON"))?;
    let world = World { now: clock::now(), seed: 0 };
    let value = aside(|| expression.evaluate(&input, &world)).map_err(|error| failed(&error.to_string()))?;
    let value = value.filter(|value| value.as_str() != "null");
    match value {
        Some(value) if !value.as_str().starts_with('{') => {
            Err(failed("it must give an object of parameters, or nothing at the end of the list"))
        }
        value => Ok(value),
    }
}

fn next_by_cursor(
    rule: &CursorPagination,
    more: Option<bool>,
    answer: &Answer<'_>,
) -> Result<Option<Cursor>, Failure> {
    let token = match &rule.source {
        CursorSource::Body(_) | CursorSource::LastRecord(_) => token(answer.cursor)?,
        CursorSource::Header(name) => {
            let value =
                answer.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            value.filter(|text| !text.is_empty())
        }
    };
    match token {
        Some(link) if rule.is_link => Ok(Some(Cursor::Link(link))),
        Some(token) => Ok(Some(Cursor::Token(token))),
        None if more == Some(true) => Err(Failure::broken(
            "missing_cursor",
            "the answer says that there is a next page but holds no cursor; check the pagination's cursor_path",
        )),
        None if matches!(rule.source, CursorSource::LastRecord(_)) && answer.records > 0 => {
            Err(Failure::broken(
                "missing_cursor",
                "the page's last record has no cursor, so what comes after it can't be asked for; check the pagination's cursor_path",
            ))
        }
        None => Ok(None),
    }
}

/// The cursor's text, a number digit for digit; `None` when the value says that there is none.
fn token(value: Option<&str>) -> Result<Option<String>, Failure> {
    match value {
        None | Some("null" | "false" | "\"\"") => Ok(None),
        Some(value) if value == "true" || value.starts_with(['{', '[']) => Err(Failure::broken(
            "invalid_cursor",
            "the cursor is neither a string nor a number; check the pagination's cursor_path",
        )),
        Some(value) => Ok(Some(json::text_of(value).into_owned())),
    }
}

fn is_true(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "false" | "null" | "0" | "\"\"" | "\"false\"" | "\"0\"")
}

#[cfg(test)]
mod tests;
