//! Every kind of list, one page at a time.

use super::*;

fn cursor_rule() -> CursorPagination {
    CursorPagination {
        source: CursorSource::Body(vec!["next".to_owned()]),
        is_link: false,
        param: "after".to_owned(),
        send_in: SendIn::Query,
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

/// An answer with so many records, and nothing else that speaks of the next page.
fn answer(headers: &HeaderMap, records: usize) -> Answer<'_> {
    Answer { cursor: None, told: None, body: "{}", headers, records }
}

fn after(pagination: &Pagination, cursor: &Cursor, query: &str, records: usize) -> Option<Cursor> {
    let turn = place(pagination, cursor, &mut params(query), &mut None).unwrap();
    next(pagination, &Ends::default(), &turn, &answer(&HeaderMap::new(), records)).unwrap()
}

/// The same where the answer tells something of the end.
fn after_told(
    pagination: &Pagination,
    ends: &Ends,
    cursor: &Cursor,
    told: Option<&str>,
    records: usize,
) -> Option<Cursor> {
    let turn = place(pagination, cursor, &mut params("{}"), &mut None).unwrap();
    let headers = HeaderMap::new();
    next(pagination, ends, &turn, &Answer { told, ..answer(&headers, records) }).unwrap()
}

fn told(make: fn(Vec<String>) -> Told) -> Ends {
    Ends { told: Some(make(vec!["there".to_owned()])), ..Ends::default() }
}

#[test]
fn what_the_answer_tells_decides() {
    let (page, offset) = (page_rule(), offset_rule());
    let after = |pagination: &Pagination, ends: &Ends, cursor: Cursor, told: &str, records| {
        after_told(pagination, ends, &cursor, Some(told), records)
    };
    let (more, last) = (told(Told::HasNext), told(Told::IsLast));
    assert_eq!(after(&page, &more, Cursor::Page(4), "true", 3), Some(Cursor::Page(5)), "a short page");
    assert_eq!(
        after(&page, &more, Cursor::Page(4), "true", 0),
        Some(Cursor::Page(5)),
        "all were filtered out"
    );
    assert_eq!(after(&page, &more, Cursor::Page(4), "false", 10), None);
    assert_eq!(after(&page, &last, Cursor::Page(4), "false", 3), Some(Cursor::Page(5)));
    assert_eq!(after(&page, &last, Cursor::Page(4), "true", 10), None);
    assert_eq!(
        after_told(&page, &last, &Cursor::Page(4), None, 10),
        Some(Cursor::Page(5)),
        "nothing is told"
    );
    assert_eq!(
        after_told(&page, &last, &Cursor::Page(4), None, 3),
        Some(Cursor::Page(5)),
        "nor by a short page"
    );
    assert_eq!(after_told(&page, &last, &Cursor::Page(4), None, 0), None);
    let total = told(Told::Records);
    assert_eq!(after(&offset, &total, Cursor::Offset(20), "25", 5), None);
    assert_eq!(after(&offset, &total, Cursor::Offset(20), "26", 5), Some(Cursor::Offset(25)));
    assert_eq!(after(&offset, &total, Cursor::Offset(20), "\"26\"", 5), Some(Cursor::Offset(25)));
    assert_eq!(after(&offset, &total, Cursor::Offset(20), "99", 0), None, "it shrank meanwhile");
    assert_eq!(after(&page, &total, Cursor::Page(3), "30", 10), None);
    assert_eq!(after(&page, &total, Cursor::Page(3), "31", 10), Some(Cursor::Page(4)));
    assert_eq!(after(&page, &total, Cursor::Page(3), "25", 5), None);
    assert_eq!(
        after(&page, &total, Cursor::Page(3), "99", 5),
        Some(Cursor::Page(4)),
        "capped below what was asked for"
    );
    assert_eq!(after(&page, &total, Cursor::Start, "3", 3), None);
    assert_eq!(after(&page, &last, Cursor::Page(4), "\"False\"", 3), Some(Cursor::Page(5)));
    let pages = told(Told::Pages);
    assert_eq!(after(&page, &pages, Cursor::Page(3), "3", 10), None);
    assert_eq!(after(&page, &pages, Cursor::Start, "2", 10), Some(Cursor::Page(2)));
}

#[test]
fn more_is_never_told_in_vain() {
    let headers = HeaderMap::new();
    for (pagination, records) in [(Pagination::LinkHeader { limit: None }, 3), (offset_rule(), 0)] {
        let turn = place(&pagination, &Cursor::Start, &mut Params::default(), &mut None).unwrap();
        let answer = Answer { told: Some("true"), ..answer(&headers, records) };
        let failure = next(&pagination, &super::tests::told(Told::HasNext), &turn, &answer).unwrap_err();
        assert_eq!(failure.error, "missing_cursor", "{pagination:?}");
    }
}

#[test]
fn a_list_may_go_on_after_a_short_page() {
    let ends = Ends { only_when_empty: true, ..Ends::default() };
    assert_eq!(after_told(&page_rule(), &ends, &Cursor::Start, None, 1), Some(Cursor::Page(2)));
    assert_eq!(after_told(&page_rule(), &ends, &Cursor::Start, None, 0), None);
    assert_eq!(after_told(&offset_rule(), &ends, &Cursor::Start, None, 1), Some(Cursor::Offset(1)));
}

#[test]
fn ranges_are_counted_by_what_came() {
    let rule = Pagination::Range { unit: "items".to_owned(), size: 10 };
    let after = |cursor: Cursor, came: Option<&str>, records: usize| {
        let turn = place(&rule, &cursor, &mut Params::default(), &mut None).unwrap();
        let mut headers = HeaderMap::new();
        came.map(|came| headers.insert(CONTENT_RANGE, came.parse().unwrap()));
        let next = next(&rule, &Ends::default(), &turn, &answer(&headers, records));
        (
            turn.range.clone().unwrap(),
            next.unwrap_or_else(|failure| Some(Cursor::Token(failure.error.to_owned()))),
        )
    };
    let wrong = || Some(Cursor::Token("invalid_range".to_owned()));
    let first = "items=0-9".to_owned();
    assert_eq!(after(Cursor::Start, Some("items 0-9/25"), 10), (first.clone(), Some(Cursor::Offset(10))));
    assert_eq!(
        after(Cursor::Start, Some("items 0-4/25"), 5),
        (first.clone(), Some(Cursor::Offset(5))),
        "capped"
    );
    assert_eq!(after(Cursor::Start, Some("items 0-9/*"), 10), (first.clone(), Some(Cursor::Offset(10))));
    assert_eq!(after(Cursor::Start, Some("items 0-3/*"), 4), (first.clone(), Some(Cursor::Offset(4))));
    assert_eq!(after(Cursor::Start, Some("items */0"), 0), (first.clone(), None));
    assert_eq!(after(Cursor::Start, Some("items 0-9/25"), 0), (first.clone(), wrong()));
    assert_eq!(after(Cursor::Start, None, 4), (first.clone(), None), "the whole list");
    assert_eq!(after(Cursor::Start, Some("items 0-x/4"), 4), (first, wrong()));
    for strange in [None, Some("items 0-9/25"), Some("items 10-9/25"), Some("10-19")] {
        assert_eq!(after(Cursor::Offset(10), strange, 10).1, wrong(), "{strange:?}");
    }
    assert_eq!(after(Cursor::Offset(20), Some("items 20-24/25"), 5), ("items=20-29".to_owned(), None));
}

#[test]
fn expressions_make_the_parameters_of_each_page() {
    let expression = |source: &str| Expression::parse(source).unwrap();
    let rule = Pagination::Dynamic {
        first: Some(expression("{'since': query.from, 'n': 0}")),
        next: expression("count > 0 ? {'since': body.last, 'n': paginationValues.n + 1}"),
        send_in: SendIn::Query,
    };
    let mut query = params(r#"{"from":"2026","keep":1}"#);
    let turn = place(&rule, &Cursor::Start, &mut query, &mut None).unwrap();
    assert_eq!(query.to_json().as_str(), r#"{"from":"2026","keep":1,"since":"2026","n":0}"#);
    let headers = HeaderMap::new();
    let next = |turn: &Turn, records| {
        next(&rule, &Ends::default(), turn, &Answer { body: r#"{"last":"b"}"#, ..answer(&headers, records) })
    };
    let second = next(&turn, 2).unwrap().unwrap();
    assert_eq!(second, Cursor::Token(r#"{"since":"b","n":1}"#.to_owned()));
    let mut query = params(r#"{"since":"x"}"#);
    let turn = place(&rule, &second, &mut query, &mut None).unwrap();
    assert_eq!(query.to_json().as_str(), r#"{"since":"b","n":1}"#);
    assert_eq!(next(&turn, 0).unwrap(), None);
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
        let headers = HeaderMap::new();
        let answer = Answer { cursor, told: has_next, ..answer(&headers, 1) };
        let pagination = Pagination::Cursor(cursor_rule());
        let turn = place(&pagination, &Cursor::Start, &mut Params::default(), &mut None).unwrap();
        next(&pagination, &told(Told::HasNext), &turn, &answer).map_err(|failure| failure.error.to_owned())
    };
    let token = |text: &str| Ok(Some(Cursor::Token(text.to_owned())));
    assert_eq!(decide(Some(r#""a\u0062""#), None), token("ab"));
    assert_eq!(decide(Some("123456789012345678901234567890"), None), token("123456789012345678901234567890"));
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
    let decide = |headers: &HeaderMap| next_by_cursor(&rule, None, &answer(headers, 1)).unwrap();
    assert_eq!(decide(&headers), None);
    headers.insert("x-next", "/p?c=2".parse().unwrap());
    assert_eq!(decide(&headers), Some(Cursor::Link("/p?c=2".to_owned())));
}
