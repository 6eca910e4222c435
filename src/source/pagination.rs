//! How a list continues: where a cursor goes in the request, and which cursor an answer leads to.
//!
//! It sees one page at a time. A cursor equal to the one just used is an error here; longer cycles, and how
//! many pages a list may have, are the engine's business.

use reqwest::header::HeaderMap;

use crate::definition::integration::{CursorPagination, CursorSource, Limit, Pagination, SendIn};
use crate::engine::seam::Cursor;
use crate::json::{self, Json};
use crate::source::failure::Failure;
use crate::source::link_header;
use crate::source::params::Params;

/// Which page is asked for, once the pagination's defaults are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    /// The page.
    pub(super) cursor: Cursor,
    /// A page with fewer records than this is the last one.
    pub(super) full_page: Option<u64>,
    /// The page after this one, if it can be told without this one's answer.
    pub(super) skip_to: Option<Cursor>,
}

/// What an answer says about the next page.
pub(super) struct Answer<'a> {
    /// The value at the cursor's path in the body, as JSON.
    pub(super) cursor: Option<&'a str>,
    /// The value at `has_next_path`, as JSON.
    pub(super) has_next: Option<&'a str>,
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
        (Pagination::None, Cursor::Start) => {
            Ok(Turn { cursor: Cursor::Start, full_page: None, skip_to: None })
        }
        (Pagination::LinkHeader { limit }, Cursor::Start | Cursor::Link(_)) => {
            place_limit(limit.as_ref(), query);
            Ok(Turn { cursor: cursor.clone(), full_page: None, skip_to: None })
        }
        (Pagination::Cursor(rule), Cursor::Start | Cursor::Token(_) | Cursor::Link(_))
            if is_of(rule, cursor) =>
        {
            place_cursor(rule, cursor, query, body);
            Ok(Turn { cursor: cursor.clone(), full_page: None, skip_to: None })
        }
        (Pagination::Page { param, start, limit }, Cursor::Start | Cursor::Page(_)) => {
            let page = if let Cursor::Page(page) = cursor { *page } else { *start };
            query.set(param, number(page));
            let full_page = place_limit(limit.as_ref(), query);
            Ok(Turn { cursor: Cursor::Page(page), full_page, skip_to: page.checked_add(1).map(Cursor::Page) })
        }
        (Pagination::Offset { param, limit }, Cursor::Start | Cursor::Offset(_)) => {
            let offset = if let Cursor::Offset(offset) = cursor { *offset } else { 0 };
            query.set(param, number(offset));
            let full_page = place_limit(Some(limit), query);
            let skip_to = full_page.and_then(|size| offset.checked_add(size)).map(Cursor::Offset);
            Ok(Turn { cursor: Cursor::Offset(offset), full_page, skip_to })
        }
        (
            Pagination::None
            | Pagination::Cursor(_)
            | Pagination::Page { .. }
            | Pagination::Offset { .. }
            | Pagination::LinkHeader { .. },
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

/// The paths in the body that [`next`] wants to know: the cursor's and `has_next_path`.
pub(super) fn paths(pagination: &Pagination) -> (Option<&[String]>, Option<&[String]>) {
    let Pagination::Cursor(rule) = pagination else { return (None, None) };
    let cursor = if let CursorSource::Body(path) = &rule.source { Some(path.as_slice()) } else { None };
    (cursor, rule.has_next_path.as_deref())
}

/// The next page; `None` at the end of the list. A link is as the source wrote it.
pub(super) fn next(
    pagination: &Pagination,
    turn: &Turn,
    answer: &Answer<'_>,
) -> Result<Option<Cursor>, Failure> {
    match pagination {
        Pagination::None => Ok(None),
        Pagination::LinkHeader { .. } => {
            Ok(link_header::next(answer.headers).filter(|link| !link.is_empty()).map(Cursor::Link))
        }
        Pagination::Cursor(rule) => next_by_cursor(rule, answer),
        Pagination::Page { .. } | Pagination::Offset { .. } => Ok(next_by_count(turn, answer.records)),
    }
}

fn next_by_count(turn: &Turn, records: usize) -> Option<Cursor> {
    let records = u64::try_from(records).unwrap_or(u64::MAX);
    if records == 0 || turn.full_page.is_some_and(|full| records < full) {
        return None;
    }
    match turn.cursor {
        Cursor::Page(page) => page.checked_add(1).map(Cursor::Page),
        Cursor::Offset(offset) => offset.checked_add(records).map(Cursor::Offset),
        Cursor::Start | Cursor::Token(_) | Cursor::Link(_) => None,
    }
}

fn next_by_cursor(rule: &CursorPagination, answer: &Answer<'_>) -> Result<Option<Cursor>, Failure> {
    let has_next = rule.has_next_path.as_ref().and(answer.has_next).map(is_true);
    if has_next == Some(false) {
        return Ok(None);
    }
    let token = match &rule.source {
        CursorSource::Body(_) => token(answer.cursor)?,
        CursorSource::Header(name) => {
            let value =
                answer.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            value.filter(|text| !text.is_empty())
        }
    };
    match token {
        Some(link) if rule.is_link => Ok(Some(Cursor::Link(link))),
        Some(token) => Ok(Some(Cursor::Token(token))),
        None if has_next == Some(true) => Err(Failure::broken(
            "missing_cursor",
            "the answer says that there is a next page but holds no cursor; check the pagination's cursor_path",
        )),
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
    !matches!(value, "false" | "null" | "0" | "\"\"" | "\"false\"" | "\"0\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor_rule() -> CursorPagination {
        CursorPagination {
            source: CursorSource::Body(vec!["next".to_owned()]),
            is_link: false,
            param: "after".to_owned(),
            send_in: SendIn::Query,
            has_next_path: None,
            limit: Some(Limit { param: "limit".to_owned(), value: 50 }),
        }
    }

    fn page_rule() -> Pagination {
        let limit = Some(Limit { param: "per_page".to_owned(), value: 10 });
        Pagination::Page { param: "page".to_owned(), start: 1, limit }
    }

    fn offset_rule() -> Pagination {
        let limit = Limit { param: "limit".to_owned(), value: 10 };
        Pagination::Offset { param: "offset".to_owned(), limit }
    }

    fn params(text: &str) -> Params {
        Params::parse(&Json::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn each_pagination_places_its_parameters() {
        for (pagination, cursor, query, expected) in [
            (Pagination::None, Cursor::Start, "{}", "{}"),
            (page_rule(), Cursor::Start, "{}", r#"{"page":1,"per_page":10}"#),
            (page_rule(), Cursor::Page(7), r#"{"per_page":5}"#, r#"{"per_page":5,"page":7}"#),
            (offset_rule(), Cursor::Start, "{}", r#"{"offset":0,"limit":10}"#),
            (offset_rule(), Cursor::Offset(20), r#"{"q":"x"}"#, r#"{"q":"x","offset":20,"limit":10}"#),
            (Pagination::Cursor(cursor_rule()), Cursor::Start, "{}", r#"{"limit":50}"#),
            (
                Pagination::Cursor(cursor_rule()),
                Cursor::Token("a=&".to_owned()),
                r#"{"after":"old"}"#,
                r#"{"after":"a=&","limit":50}"#,
            ),
        ] {
            let mut query = params(query);
            place(&pagination, &cursor, &mut query, &mut None).unwrap();
            assert_eq!(query.to_json().as_str(), expected, "{pagination:?} {cursor:?}");
        }
    }

    #[test]
    fn a_cursor_in_the_body_goes_to_its_path() {
        let limit = Some(Limit { param: "variables.first".to_owned(), value: 50 });
        let param = "variables.after".to_owned();
        let rule = CursorPagination { send_in: SendIn::Body, param, limit, ..cursor_rule() };
        let mut body = Some(params(r#"{"query":"q"}"#));
        let cursor = Cursor::Token("c".to_owned());
        place(&Pagination::Cursor(rule), &cursor, &mut Params::default(), &mut body).unwrap();
        assert_eq!(body.unwrap().to_json().as_str(), r#"{"query":"q","variables":{"after":"c","first":50}}"#);
    }

    #[test]
    fn a_cursor_of_another_pagination_starts_the_list_over() {
        let link = Pagination::Cursor(CursorPagination { is_link: true, ..cursor_rule() });
        for (pagination, cursor) in [
            (Pagination::None, Cursor::Page(2)),
            (page_rule(), Cursor::Offset(2)),
            (offset_rule(), Cursor::Token("x".to_owned())),
            (Pagination::Cursor(cursor_rule()), Cursor::Link("/x".to_owned())),
            (link, Cursor::Token("x".to_owned())),
            (Pagination::LinkHeader { limit: None }, Cursor::Page(1)),
        ] {
            let failure = place(&pagination, &cursor, &mut Params::default(), &mut None).unwrap_err();
            assert_eq!(failure.error, "cursor_mismatch", "{pagination:?} {cursor:?}");
        }
    }

    fn after(pagination: &Pagination, cursor: &Cursor, query: &str, records: usize) -> Option<Cursor> {
        let turn = place(pagination, cursor, &mut params(query), &mut None).unwrap();
        let answer = Answer { cursor: None, has_next: None, headers: &HeaderMap::new(), records };
        next(pagination, &turn, &answer).unwrap()
    }

    #[test]
    fn counted_lists_end_at_a_short_page() {
        assert_eq!(after(&page_rule(), &Cursor::Start, "{}", 10), Some(Cursor::Page(2)));
        assert_eq!(after(&page_rule(), &Cursor::Page(4), "{}", 9), None);
        assert_eq!(after(&page_rule(), &Cursor::Page(4), "{}", 0), None);
        assert_eq!(after(&offset_rule(), &Cursor::Start, "{}", 10), Some(Cursor::Offset(10)));
        assert_eq!(after(&offset_rule(), &Cursor::Offset(10), "{}", 12), Some(Cursor::Offset(22)));
        assert_eq!(after(&offset_rule(), &Cursor::Offset(10), "{}", 3), None);
        // Asked for 1000, capped by the source to its 10: not the end.
        assert_eq!(after(&page_rule(), &Cursor::Start, r#"{"per_page":1000}"#, 10), Some(Cursor::Page(2)));
        assert_eq!(after(&page_rule(), &Cursor::Start, r#"{"per_page":5}"#, 5), Some(Cursor::Page(2)));
        assert_eq!(after(&page_rule(), &Cursor::Page(u64::MAX), "{}", 10), None);
    }

    #[test]
    fn skipping_is_possible_where_pages_are_counted() {
        let skip = |pagination: &Pagination, cursor: &Cursor| {
            place(pagination, cursor, &mut Params::default(), &mut None).unwrap().skip_to
        };
        assert_eq!(skip(&page_rule(), &Cursor::Start), Some(Cursor::Page(2)));
        assert_eq!(skip(&offset_rule(), &Cursor::Offset(30)), Some(Cursor::Offset(40)));
        assert_eq!(skip(&Pagination::Cursor(cursor_rule()), &Cursor::Start), None);
    }

    #[test]
    fn cursors_of_any_json_kind() {
        let decide = |cursor: Option<&str>, has_next: Option<&str>| {
            let rule = CursorPagination { has_next_path: Some(vec!["more".to_owned()]), ..cursor_rule() };
            next_by_cursor(&rule, &Answer { cursor, has_next, headers: &HeaderMap::new(), records: 1 })
                .map_err(|failure| failure.error.to_owned())
        };
        let token = |text: &str| Ok(Some(Cursor::Token(text.to_owned())));
        assert_eq!(decide(Some(r#""a\u0062""#), None), token("ab"));
        assert_eq!(
            decide(Some("123456789012345678901234567890"), None),
            token("123456789012345678901234567890")
        );
        assert_eq!(decide(Some("1.10"), Some("true")), token("1.10"));
        for end in [None, Some("null"), Some("\"\""), Some("false")] {
            assert_eq!(decide(end, None), Ok(None), "{end:?}");
            assert_eq!(decide(end, Some("true")), Err("missing_cursor".to_owned()), "{end:?}");
        }
        assert_eq!(decide(Some("\"c\""), Some("false")), Ok(None));
        assert_eq!(decide(Some("{}"), None), Err("invalid_cursor".to_owned()));
    }

    #[test]
    fn a_cursor_may_stand_in_a_header() {
        let source = CursorSource::Header("x-next".to_owned());
        let rule = CursorPagination { source, is_link: true, ..cursor_rule() };
        let mut headers = HeaderMap::new();
        let decide = |headers: &HeaderMap| {
            next_by_cursor(&rule, &Answer { cursor: None, has_next: None, headers, records: 1 }).unwrap()
        };
        assert_eq!(decide(&headers), None);
        headers.insert("x-next", "/p?c=2".parse().unwrap());
        assert_eq!(decide(&headers), Some(Cursor::Link("/p?c=2".to_owned())));
    }
}
