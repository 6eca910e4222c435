//! Lists that are read to their end, by each pagination.

use super::*;
use crate::definition::integration::{AnswerFormat, BodyFormat, Ends, Told};
use crate::expression::Expression;

#[tokio::test]
async fn records_arrive_as_they_were_sent() {
    const RECORD: &str = r#"{"id":12345678901234567890123,"price":1.10,"a":1,"a":2,"ü":"\u00e9 \ud800"}"#;
    let server =
        Server::start(|_, _| json(format!("\u{feff}{{\"n\":0,\"data\":[ {RECORD} ,{RECORD}]}}"))).await;
    let page =
        fetch(&server.source(list(Pagination::LinkHeader { limit: None })), Cursor::Start).await.unwrap();
    assert_eq!((page.record(0), page.record(1), page.records.len()), (RECORD, RECORD, 2));
    assert!(page.next.is_none() && page.replayable);
    assert_eq!(server.seen.lock().unwrap()[0].headers["accept"], "application/json");
}

#[tokio::test]
async fn a_list_by_cursor_is_read_to_its_end() {
    let server = Server::start(|_, seen| {
        json(match seen.uri.as_str() {
            "/api/tickets?page%5Bsize%5D=2" => r#"{"data":[1,2],"meta":{"next":98765432109876543210}}"#,
            "/api/tickets?page%5Bafter%5D=98765432109876543210&page%5Bsize%5D=2" => {
                r#"{"data":[],"meta":{"next":"a=&b"}}"#
            }
            "/api/tickets?page%5Bafter%5D=a%3D%26b&page%5Bsize%5D=2" => {
                r#"{"data":[3],"meta":{"next":null}}"#
            }
            _ => "unexpected",
        })
    })
    .await;
    let pages = read_all(&server.source(list(Pagination::Cursor(cursor_rule())))).await;
    assert_eq!(pages, [vec!["1", "2"], vec![], vec!["3"]]);
}

#[tokio::test]
async fn a_cursor_can_be_sent_in_the_body() {
    let server = Server::start(|count, _| {
        json(
            [
                r#"{"data":[1],"meta":{"next":"c1","more":true}}"#,
                r#"{"data":[2],"meta":{"next":"c2","more":false}}"#,
            ][count],
        )
    })
    .await;
    let rule = CursorPagination {
        param: "variables.after".to_owned(),
        send_in: SendIn::Body,
        limit: None,
        ..cursor_rule()
    };
    let body = Some(object(&[("query", literal("\"q\""))]));
    let told = Some(Told::HasNext(vec!["meta".to_owned(), "more".to_owned()]));
    let ends = Ends { told, ..Ends::default() };
    let method = Method { http_method: "POST".to_owned(), body, ends, ..list(Pagination::Cursor(rule)) };
    assert_eq!(read_all(&server.source(method)).await, [["1"], ["2"]]);
    let seen = server.seen.lock().unwrap();
    let bodies: Vec<_> = seen.iter().map(|seen| seen.body.as_str()).collect();
    assert_eq!(bodies, [r#"{"query":"q"}"#, r#"{"query":"q","variables":{"after":"c1"}}"#]);
    assert_eq!(seen[0].headers["content-type"], "application/json");
}

#[tokio::test]
async fn links_in_the_body_are_followed_absolute_or_relative() {
    let server = Server::start(|count, seen| {
        let host = seen.headers["host"].to_str().unwrap();
        json(match count {
            0 => format!(r#"{{"data":[1],"meta":{{"next":"http://{host}/api/tickets?c=%2b1"}}}}"#),
            1 => r#"{"data":[2],"meta":{"next":"/other?c=2"}}"#.to_owned(),
            2 => r#"{"data":[3],"meta":{"next":"?c=3"}}"#.to_owned(),
            _ => r#"{"data":[4],"meta":{"next":""}}"#.to_owned(),
        })
    })
    .await;
    let rule = CursorPagination { is_link: true, limit: None, ..cursor_rule() };
    let pages = read_all(&server.source(list(Pagination::Cursor(rule)))).await;
    assert_eq!(pages, [["1"], ["2"], ["3"], ["4"]]);
    assert_eq!(server.uris(), ["/api/tickets", "/api/tickets?c=%2b1", "/other?c=2", "/other?c=3"]);
}

#[tokio::test]
async fn the_link_header_is_followed() {
    let server = Server::start(|count, _| match count {
        0 => answer(
            200,
            &[("link", r#"</api/tickets?ids=1,2&p=2>; rel="next", </z>; rel="last""#)],
            r#"{"data":[1]}"#,
        ),
        _ => answer(200, &[("link", r#"</api/tickets>; rel="prev""#)], r#"{"data":[2]}"#),
    })
    .await;
    let limit = Some(Limit { param: "per_page".to_owned(), value: 100 });
    assert_eq!(read_all(&server.source(list(Pagination::LinkHeader { limit }))).await, [["1"], ["2"]]);
    assert_eq!(server.uris(), ["/api/tickets?per_page=100", "/api/tickets?ids=1,2&p=2"]);
}

#[tokio::test]
async fn counted_lists_are_read_to_a_short_or_empty_page() {
    let pages = |count: usize| {
        json([r#"{"data":[1,2]}"#, r#"{"data":[3,4]}"#, r#"{"data":[5]}"#, r#"{"data":[]}"#][count])
    };
    let server = Server::start(move |count, _| pages(count)).await;
    let limit = Limit { param: "size".to_owned(), value: 2 };
    let numbered = Pagination::Page { param: "p".to_owned(), start: 0, limit: Some(limit.clone()) };
    assert_eq!(read_all(&server.source(list(numbered))).await.concat(), ["1", "2", "3", "4", "5"]);
    assert_eq!(server.uris().last().unwrap(), "/api/tickets?p=2&size=2");

    let server = Server::start(move |count, _| pages(count)).await;
    let numbered = Pagination::Page { param: "p".to_owned(), start: 1, limit: None };
    assert_eq!(read_all(&server.source(list(numbered))).await.len(), 4);

    let server = Server::start(move |count, _| pages(count)).await;
    let offset = Pagination::Offset { param: "o".to_owned(), limit };
    assert_eq!(read_all(&server.source(list(offset))).await.len(), 3);
    assert_eq!(
        server.uris(),
        ["/api/tickets?o=0&size=2", "/api/tickets?o=2&size=2", "/api/tickets?o=4&size=2"]
    );
}

#[tokio::test]
async fn no_content_is_an_empty_list_or_the_end_of_a_counted_one() {
    let limit = Limit { param: "size".to_owned(), value: 2 };
    let counted = || Pagination::Offset { param: "o".to_owned(), limit: limit.clone() };
    let cases = [
        (Pagination::Cursor(cursor_rule()), Cursor::Start),
        (Pagination::LinkHeader { limit: None }, Cursor::Start),
        (Pagination::Page { param: "p".to_owned(), start: 1, limit: None }, Cursor::Page(4)),
        (counted(), Cursor::Offset(8)),
    ];
    for (pagination, cursor) in cases {
        // An empty body means the same where the method declares it.
        for (status, missing_is_empty) in [(204, false), (304, false), (200, true)] {
            let server = Server::start(move |_, _| answer(status, &[], Body::empty())).await;
            let source = server.source(Method { missing_is_empty, ..list(pagination.clone()) });
            let page = fetch(&source, cursor.clone()).await.unwrap();
            assert_eq!((page.records.len(), page.next), (0, None), "{status} {pagination:?}");
        }
    }
}

#[tokio::test]
async fn a_page_that_the_source_led_to_cannot_be_nothing() {
    let link = Pagination::Cursor(CursorPagination { is_link: true, ..cursor_rule() });
    let cases = [
        (Pagination::Cursor(cursor_rule()), Cursor::Token("c3".to_owned())),
        (link, Cursor::Link("/api/tickets?c=3".to_owned())),
        (Pagination::LinkHeader { limit: None }, Cursor::Link("/api/tickets?c=3".to_owned())),
    ];
    for (pagination, cursor) in cases {
        for (status, missing_is_empty) in [(204, false), (304, true), (200, true)] {
            let server = Server::start(move |_, _| answer(status, &[], Body::empty())).await;
            let source = server.source(Method { missing_is_empty, ..list(pagination.clone()) });
            let failed = fetch(&source, cursor.clone()).await.unwrap_err();
            assert_eq!(failed.error, "unexpected_empty", "{status} {pagination:?}");
            assert_eq!((failed.kind, server.count()), (FetchErrorKind::Permanent, 3), "{failed}");
        }
    }
}

#[tokio::test]
async fn a_status_may_say_that_there_is_no_further_page() {
    let server = Server::start(|count, _| match count {
        0 => json(r#"{"data":[1,2]}"#),
        _ => answer(404, &[("content-type", "application/json")], r#"{"error":"no such page"}"#),
    })
    .await;
    let limit = Some(Limit { param: "size".to_owned(), value: 2 });
    let pages = Pagination::Page { param: "page".to_owned(), start: 1, limit };
    let ends = Ends { statuses: vec![404], ..Ends::default() };
    let source = server.source(Method { ends, ..list(pages) });
    assert_eq!(read_all(&source).await, vec![vec!["1", "2"], vec![]]);
    // On the first page it means what it always means.
    let error = fetch(&source, Cursor::Page(1)).await.unwrap_err();
    assert_eq!((error.kind, error.status), (FetchErrorKind::Permanent, Some(404)));
}

#[tokio::test]
async fn a_cursor_may_be_the_last_record_of_a_page() {
    let server = Server::start(|_, seen| match seen.uri.contains("page%5Bafter%5D=b") {
        false => json(r#"{"data":[{"id":"a"},{"id":"b"}],"meta":{"more":true}}"#),
        true => json(r#"{"data":[{"id":"c"}],"meta":{"more":false}}"#),
    })
    .await;
    let source = CursorSource::LastRecord(vec!["id".to_owned()]);
    let ends =
        Ends { told: Some(Told::HasNext(vec!["meta".to_owned(), "more".to_owned()])), ..Ends::default() };
    let method = Method { ends, ..list(Pagination::Cursor(CursorPagination { source, ..cursor_rule() })) };
    assert_eq!(
        read_all(&server.source(method)).await.concat(),
        [r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"c"}"#]
    );
}

#[tokio::test]
async fn ranges_are_asked_for_and_a_part_is_a_page() {
    let server = Server::start(|count, _| match count {
        0 => answer(206, &[("content-range", "items 0-1/4")], "[1,2]"),
        1 => answer(206, &[("content-range", "items 2-3/*")], "[3,4]"),
        _ => answer(416, &[("content-range", "items */4")], "no"),
    })
    .await;
    let pagination = Pagination::Range { unit: "items".to_owned(), size: 2 };
    let source = server.source(Method { response_path: Vec::new(), ..list(pagination) });
    assert_eq!(read_all(&source).await, vec![vec!["1", "2"], vec!["3", "4"], vec![]]);
    let seen = server.seen.lock().unwrap();
    let asked: Vec<_> = seen.iter().map(|seen| seen.headers["range"].to_str().unwrap()).collect();
    assert_eq!(asked, ["items=0-1", "items=2-3", "items=4-5"]);
}

#[tokio::test]
async fn bodies_are_written_and_answers_read_in_other_formats() {
    let server = Server::start(|_, seen| match seen.uri.as_str() {
        "/api/tickets" => {
            answer(200, &[("content-type", "application/x-ndjson")], "{\"n\":1.10}\n{\"n\":2}\n")
        }
        _ => answer(500, &[], ""),
    })
    .await;
    let method = Method {
        http_method: "POST".to_owned(),
        body: Some(object(&[("q", literal("\"a b\"")), ("l", literal("[1,2]"))])),
        body_format: BodyFormat::Form,
        query_in_body: true,
        answer_format: AnswerFormat::NdJson,
        ..list(Pagination::LinkHeader { limit: None })
    };
    let source = server.source(Method { response_path: Vec::new(), ..method });
    let room = crate::engine::budget::Budget::new(64 << 20, 16 << 20).begin(0).await;
    let request =
        FetchRequest { query: Json::parse(r#"{"since":"x&y"}"#).unwrap(), ..request("tickets", "list") };
    let page = source.fetch(&request, &room, &Permits(AtomicUsize::new(1))).await.unwrap();
    assert_eq!((page.record(0), page.record(1)), (r#"{"n":1.10}"#, r#"{"n":2}"#));
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].body, "q=a+b&l%5B%5D=1&l%5B%5D=2&since=x%26y");
    assert_eq!(seen[0].headers["content-type"], "application/x-www-form-urlencoded");
    assert!(seen[0].headers["accept"].to_str().unwrap().starts_with("application/x-ndjson"));
}

#[tokio::test]
async fn xml_is_sent_and_read() {
    let server = Server::start(|_, seen| {
        let is_first = !seen.body.contains("<page>");
        let next = if is_first { "<next>2</next>" } else { "" };
        let items = "<item id=\"7\"><name>a &amp; b</name></item>".repeat(if is_first { 2 } else { 1 });
        let body = format!("<answer><items>{items}</items>{next}</answer>");
        answer(200, &[("content-type", "text/xml; charset=utf-8")], body)
    })
    .await;
    let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let cursor = CursorPagination {
        source: CursorSource::Body(path("answer.next")),
        send_in: SendIn::Body,
        param: "query.page".to_owned(),
        limit: None,
        ..cursor_rule()
    };
    let method = Method {
        http_method: "POST".to_owned(),
        body: Some(object(&[("query", literal(r#"{"@version":"1","of":"items"}"#))])),
        body_format: BodyFormat::Xml,
        answer_format: AnswerFormat::Xml,
        error_expression: Some(Expression::parse("data.answer.error").unwrap()),
        response_path: path("answer.items.item"),
        ..list(Pagination::Cursor(cursor))
    };
    let source = server.source(method);
    let first = fetch(&source, Cursor::Start).await.unwrap();
    assert_eq!((first.records.len(), first.record(0)), (2, r#"{"@id":"7","name":"a & b"}"#));
    // One record is no list in XML, and a page all the same.
    let second = fetch(&source, first.next.unwrap()).await.unwrap();
    assert_eq!((second.records.len(), second.next), (1, None));
    let seen = server.seen.lock().unwrap();
    let declaration = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    assert_eq!(seen[0].body, format!(r#"{declaration}<query version="1"><of>items</of></query>"#));
    assert_eq!(
        seen[1].body,
        format!(r#"{declaration}<query version="1"><of>items</of><page>2</page></query>"#)
    );
    assert_eq!(seen[0].headers["content-type"], "application/xml");
}

/// In XML an empty list has nothing at its path; neither has another document.
#[tokio::test]
async fn another_xml_document_is_no_empty_list() {
    for (body, error) in [
        ("<answer><items/></answer>", None),
        ("<answer><items></items></answer>", None),
        ("<fault>busy</fault>", Some("missing_records")),
        ("<answer><error/></answer>", Some("missing_records")),
    ] {
        let server = Server::start(move |_, _| answer(200, &[("content-type", "text/xml")], body)).await;
        let method = Method {
            answer_format: AnswerFormat::Xml,
            missing_is_empty: true,
            response_path: ["answer", "items", "item"].map(str::to_owned).to_vec(),
            ..list(Pagination::LinkHeader { limit: None })
        };
        let page = fetch(&server.source(method), Cursor::Start).await;
        assert_eq!(page.as_ref().err().map(|error| error.error.as_str()), error, "{body}");
    }
}

#[tokio::test]
async fn a_list_never_ends_because_its_last_record_has_no_cursor() {
    let server = Server::start(|_, seen| {
        let is_first = !seen.uri.contains("after");
        json(if is_first { r#"{"data":[{"id":"a"},{}]}"# } else { r#"{"data":[]}"# })
    })
    .await;
    let source = CursorSource::LastRecord(vec!["id".to_owned()]);
    let source = server.source(list(Pagination::Cursor(CursorPagination { source, ..cursor_rule() })));
    assert_eq!(fetch(&source, Cursor::Start).await.unwrap_err().error, "missing_cursor");
    // An empty page is the end.
    assert_eq!(fetch(&source, Cursor::Token("b".to_owned())).await.unwrap().next, None);
}

#[tokio::test]
async fn nothing_in_place_of_lines_is_no_empty_list() {
    for format in [AnswerFormat::NdJson, AnswerFormat::Csv] {
        let server = Server::start(|_, _| answer(200, &[("content-type", "text/plain")], " \n")).await;
        let method = Method { answer_format: format, ..list(Pagination::LinkHeader { limit: None }) };
        let source = server.source(Method { response_path: Vec::new(), ..method });
        assert_eq!(fetch(&source, Cursor::Start).await.unwrap_err().error, "empty_answer", "{format:?}");
    }
}
