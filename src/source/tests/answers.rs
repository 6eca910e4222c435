//! Answers that are broken, hostile or too large.

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;

use super::*;

/// What a broken answer becomes, and after how many tries.
#[rstest]
#[case::truncated(r#"{"data":[1,"#, "application/json", "invalid_json", 3)]
#[case::trailing(r#"{"data":[1]} x"#, "application/json", "invalid_json", 3)]
#[case::not_a_number(r#"{"data":[NaN]}"#, "application/json", "invalid_json", 3)]
#[case::plain("sorry", "text/plain; charset=utf-8", "unexpected_content_type", 3)]
#[case::html_as_json("<html>", "application/json", "invalid_json", 3)]
#[case::missing(r#"{"message":"ok"}"#, "application/json", "missing_records", 3)]
#[case::object(r#"{"data":{"id":1}}"#, "application/json", "records_not_a_list", 3)]
#[case::too_many(r#"{"data":[1,2,3,4]}"#, "application/json", "too_many_records", 1)]
#[case::bad_cursor(r#"{"data":[1],"meta":{"next":{}}}"#, "application/json", "invalid_cursor", 3)]
#[tokio::test]
async fn a_broken_answer_is_an_error_of_its_own(
    #[case] body: &'static str,
    #[case] content_type: &'static str,
    #[case] error: &str,
    #[case] tries: usize,
) {
    let server = Server::start(move |_, _| answer(200, &[("content-type", content_type)], body)).await;
    let method = Method { page_records_max: 3, ..list(Pagination::Cursor(cursor_rule())) };
    let failed = fetch(&server.source(method), Cursor::Token("c0".to_owned())).await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.kind), (error, FetchErrorKind::Permanent), "{failed}");
    assert_eq!((failed.status, server.count()), (Some(200), tries), "{failed}");
    assert!(failed.message.starts_with("GET /api/tickets (tickets.list): "), "{failed}");
    assert!(!failed.message.contains("after"), "no query in {failed}");
    assert_eq!(failed.raw_response.as_deref(), Some(body));
}

/// What a source in trouble, or a proxy before it, says with a 200 is an outage: nothing is given up for it.
#[rstest]
#[case::page_for_people("<html>be right back", "text/html; charset=utf-8", "unexpected_content_type")]
#[case::empty("", "application/json", "empty_answer")]
#[case::blank(" \n", "application/json", "empty_answer")]
#[tokio::test]
async fn a_success_without_an_answer_is_an_outage(
    #[case] body: &'static str,
    #[case] content_type: &'static str,
    #[case] error: &str,
) {
    let server = Server::start(move |_, _| answer(200, &[("content-type", content_type)], body)).await;
    let source = server.source(list(Pagination::Cursor(cursor_rule())));
    let failed = fetch(&source, Cursor::Token("c0".to_owned())).await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.kind), (error, FetchErrorKind::Transient), "{failed}");
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn bytes_that_are_no_text_and_deep_nesting_are_refused() {
    let server = Server::start(|_, _| json(&b"{\"data\":[\"\xff\"]}"[..])).await;
    let failed = fetch(&server.source(list(Pagination::None)), Cursor::Start).await.unwrap_err();
    assert_eq!(failed.error, "invalid_utf8");
    assert!(failed.message.contains("byte 10"), "{failed}");

    let server = Server::start(|_, _| json(format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)))).await;
    let failed = fetch(&server.source(list(Pagination::None)), Cursor::Start).await.unwrap_err();
    assert_eq!((failed.error.as_str(), server.count()), ("too_deep", 1));
    assert_eq!(failed.raw_response.unwrap().len(), 4096);
}

#[tokio::test]
async fn a_broken_answer_may_be_an_accident() {
    let server = Server::start(|count, _| match count {
        0 => answer(200, &[("content-type", "text/html")], "<html>"),
        1 => json(r#"{"data":[1"#),
        _ => json(r#"{"data":[1]}"#),
    })
    .await;
    let page = fetch(&server.source(list(Pagination::None)), Cursor::Start).await.unwrap();
    assert_eq!((page.records.len(), server.count()), (1, 3));
}

#[tokio::test]
async fn a_body_over_the_limit_is_cut_off() {
    let endless = || {
        let chunks = futures::stream::repeat_with(|| Ok::<_, Infallible>(vec![b' '; 4096]));
        Body::from_stream(chunks)
    };
    let server = Server::start(move |_, _| json(endless())).await;
    let failed = fetch(&server.source(list(Pagination::None)), Cursor::Start).await.unwrap_err();
    assert_eq!(
        (failed.error.as_str(), failed.kind, server.count()),
        ("page_too_large", FetchErrorKind::Permanent, 1)
    );

    // The same for an answer that is an error: its beginning is enough.
    let server = Server::start(move |_, _| answer(403, &[], endless())).await;
    let failed = fetch(&server.source(list(Pagination::None)), Cursor::Start).await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.status), ("Forbidden", Some(403)));
}

#[tokio::test]
async fn the_limit_counts_what_was_decompressed() {
    // 128 KiB of spaces in 163 bytes.
    const BOMB: &str = "H4sIAAAAAAACA+3BMQEAAADCoCrrn9LDGkABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA3ACLNry7AAACAA==";
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let server = Server::start(move |_, _| answer(200, &gzip, STANDARD.decode(BOMB).unwrap())).await;
    let small = Method { page_bytes_max: 100_000, ..list(Pagination::None) };
    let failed = fetch(&server.source(small), Cursor::Start).await.unwrap_err();
    assert_eq!((failed.error.as_str(), server.count()), ("page_too_large", 1));
    // It was unpacked at all: with a larger limit it is an empty text.
    let failed = fetch(&server.source(list(Pagination::None)), Cursor::Start).await.unwrap_err();
    assert_eq!(failed.error, "empty_answer");

    let server = Server::start(move |_, _| answer(200, &gzip, "this is no gzip")).await;
    let failed = fetch(&server.source(list(Pagination::None)), Cursor::Start).await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.kind), ("broken_answer", FetchErrorKind::Transient));
}
