//! Sources that are slow, gone, in trouble, or not to be asked at all.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rstest::rstest;

use super::*;

#[tokio::test]
async fn a_source_that_drips_or_is_silent_meets_its_deadline() {
    let server = Server::start(|count, _| {
        if count == 0 {
            return json(Body::from_stream(futures::stream::pending::<Result<Vec<u8>, Infallible>>()));
        }
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, Infallible>(vec![b' ']), ()))
        });
        json(Body::from_stream(drip))
    })
    .await;
    let method = Method { timeout: Duration::from_millis(200), ..list(Pagination::None) };
    let failed = fetch(&server.source(method), Cursor::Start).await.unwrap_err();
    assert_eq!(
        (failed.error.as_str(), failed.kind, server.count()),
        ("timeout", FetchErrorKind::Transient, 3)
    );
    assert!(failed.message.contains("200 ms"), "{failed}");
}

/// A server that answers every request with these bytes, and then closes the connection.
async fn cut_off(answer: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 1024];
            let _read = socket.read(&mut request).await;
            let _written = socket.write_all(answer).await;
        }
    });
    (base, accepted)
}

/// However an answer would have said where it ends, or whether it would not have.
#[rstest]
#[case::length(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":[")]
#[case::chunks(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"data\":[\r\n")]
#[case::close(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":[1,{\"id\":")]
#[case::within_a_character(b"HTTP/1.0 200 OK\r\n\r\n{\"data\":[\"\xc3")]
#[case::within_a_text(b"HTTP/1.0 200 OK\r\n\r\n{\"data\":[\"sor")]
#[tokio::test]
async fn an_answer_that_breaks_off_is_tried_again(#[case] answer: &'static [u8]) {
    let (base, accepted) = cut_off(answer).await;
    let source = source(with(integration(&base), list(Pagination::None)), account("{}", &[]));
    let failed = fetch(&source, Cursor::Start).await.unwrap_err();
    assert_eq!(
        (failed.error.as_str(), failed.kind),
        ("broken_answer", FetchErrorKind::Transient),
        "{failed}"
    );
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_end_of_the_connection_may_be_the_end_of_the_body() {
    let (base, _) = cut_off(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":[1]}").await;
    let whole = source(with(integration(&base), list(Pagination::None)), account("{}", &[]));
    assert_eq!(fetch(&whole, Cursor::Start).await.unwrap().records.len(), 1);
    // What is wrong in the middle was not cut off.
    let (base, _) = cut_off(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\":[nope]}").await;
    let wrong = source(with(integration(&base), list(Pagination::None)), account("{}", &[]));
    let failed = fetch(&wrong, Cursor::Start).await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.kind), ("invalid_json", FetchErrorKind::Permanent), "{failed}");
}

#[tokio::test]
async fn nobody_there_is_transient() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/secret-free", listener.local_addr().unwrap());
    drop(listener);
    let source = source(with(integration(&base), list(Pagination::None)), account("{}", &[]));
    let failed = fetch(&source, Cursor::Start).await.unwrap_err();
    assert_eq!(
        (failed.error.as_str(), failed.kind),
        ("connect_failed", FetchErrorKind::Transient),
        "{failed}"
    );
    assert!(failed.message.contains("refused"), "{failed}");
}

#[tokio::test]
async fn server_errors_are_tried_again_and_then_given_back() {
    let server = Server::start(|count, _| match count {
        0 | 1 => answer(500, &[], "oops"),
        _ => json("[1]"),
    })
    .await;
    assert_eq!(fetch(&server.source(method()), Cursor::Start).await.unwrap().records.len(), 1);

    // A broken answer after stumbles is one more of them: nothing is given up for it.
    let server = Server::start(|count, _| match count {
        0 | 1 => answer(500, &[], "oops"),
        _ => json("{\"sorry\":"),
    })
    .await;
    let failed = fetch(&server.source(method()), Cursor::Start).await.unwrap_err();
    assert_eq!((failed.kind, server.count()), (FetchErrorKind::Transient, 3), "{failed}");

    let numbered = Pagination::Page { param: "p".to_owned(), start: 1, limit: None };
    let server =
        Server::start(|_, _| answer(502, &[("content-type", "text/html")], "<html>bad gateway")).await;
    let failed = fetch(&server.source(list(numbered)), Cursor::Page(4)).await.unwrap_err();
    assert_eq!((failed.kind, failed.status, server.count()), (FetchErrorKind::Transient, Some(502), 3));
    assert_eq!(failed.skip_to, Some(Cursor::Page(5)));
    assert_eq!(failed.raw_response.as_deref(), Some("<html>bad gateway"));
}

#[tokio::test]
async fn a_worker_that_lost_the_run_asks_nothing_more() {
    let server = Server::start(|_, _| answer(500, &[], "oops")).await;
    let failed = fetch_while(&server.source(method()), Cursor::Start, 2).await.unwrap_err();
    assert_eq!((failed.error.as_str(), server.count()), ("lease_lost", 2), "{failed}");
    assert!(fetch_while(&server.source(method()), Cursor::Start, 0).await.is_err());
    assert_eq!(server.count(), 2, "not even once");
}

#[tokio::test]
async fn limits_and_refusals_come_back_at_once() {
    let server = Server::start(|count, _| match count {
        0 => answer(500, &[], ""),
        _ => answer(429, &[("retry-after", "7")], "slow down"),
    })
    .await;
    let failed = fetch(&server.source(method()), Cursor::Start).await.unwrap_err();
    assert_eq!(failed.kind, FetchErrorKind::RateLimited { wait: Duration::from_secs(7) });
    assert_eq!(server.count(), 2);

    let server = Server::start(|_, _| answer(401, &[], "no")).await;
    let failed = fetch(&server.source(method()), Cursor::Start).await.unwrap_err();
    assert_eq!((failed.kind, server.count()), (FetchErrorKind::Unauthorized, 1));

    let server = Server::start(|_, _| answer(400, &[], r#"{"error":"Invalid cursor"}"#)).await;
    let source = server.source(list(Pagination::Cursor(cursor_rule())));
    let failed = fetch(&source, Cursor::Token("old".to_owned())).await.unwrap_err();
    assert_eq!((failed.kind, server.count()), (FetchErrorKind::CursorRefused, 1));
}

#[tokio::test]
async fn what_cannot_be_asked_is_not_asked() {
    let server = Server::start(|_, _| json("[]")).await;
    let mut method = method();
    method.path = Template::parse("/tickets/{{id}}").unwrap();
    let source = server.source(method);
    let failed = fetch(&source, Cursor::Start).await.unwrap_err();
    assert_eq!(
        (failed.error.as_str(), failed.kind),
        ("template_error", FetchErrorKind::Permanent),
        "{failed}"
    );
    let room = Budget::new(64 << 20, 16 << 20).begin(0).await;
    let ours = Permits(AtomicUsize::new(usize::MAX));
    let failed = source.fetch(&request("tickets", "get"), &room, &ours).await.unwrap_err();
    assert_eq!(failed.error, "unknown_method");
    let mut bad = request("tickets", "list");
    bad.query = Json::parse("[]").unwrap();
    assert_eq!(source.fetch(&bad, &room, &ours).await.unwrap_err().error, "template_error");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn the_guard_is_asked_before_anything_is_sent() {
    let server = Server::start(|_, _| json("[]")).await;
    let http = Http::new(Egress::new(Vec::new()), 1 << 26).unwrap();
    let integration = with(integration(&server.base()), method());
    let source = HttpSource::new(Arc::new(integration), Arc::new(account("{}", &[])), http);
    let failed = fetch(&source, Cursor::Start).await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.kind), ("destination_not_allowed", FetchErrorKind::Permanent));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_resolves_to() {
    let server = Server::start(|_, _| json("[]")).await;
    let base = format!("http://localhost:{}", server.address.port());
    // Some network is allowed, so a local name is looked up; its own addresses still are not.
    let http = Http::new(Egress::new(vec!["10.0.0.0/8".parse().unwrap()]), 1 << 26).unwrap();
    let integration = with(integration(&base), method());
    let source = HttpSource::new(Arc::new(integration), Arc::new(account("{}", &[])), http);
    let failed = fetch(&source, Cursor::Start).await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.kind), ("destination_not_allowed", FetchErrorKind::Permanent));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_dropped_fetch_drops_its_request() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let source = source(with(integration(&base), list(Pagination::None)), account("{}", &[]));
    let fetching = tokio::spawn(async move { fetch(&source, Cursor::Start).await });
    let (mut socket, _) = listener.accept().await.unwrap();
    fetching.abort();
    // The connection ends instead of waiting for the method's ten seconds.
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut rest).await.unwrap();
}
