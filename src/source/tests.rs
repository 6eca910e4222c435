//! The whole room against real HTTP on loopback: what servers do wrong, and what must never leave.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;

use crate::definition::integration::{
    Authorization, CursorPagination, CursorSource, Limit, Method, Pagination, SendIn,
};
use crate::definition::{Account, Integration};
use crate::egress::Egress;
use crate::engine::seam::{Cursor, FetchError, FetchErrorKind, FetchRequest, Page, Source};
use crate::json::Json;
use crate::source::testing::{account, integration, literal, method, object, request};
use crate::source::{Http, HttpSource};
use crate::template::Template;

const CANARY: &str = "sk_canary/0123+456 789";

/// One request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    uri: String,
    headers: HeaderMap,
    body: String,
}

/// A server that answers the n-th request (from 0) with `answer(n, request)`.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(answer: impl Fn(usize, &Seen) -> Response + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, answer) = (seen.clone(), Arc::new(answer));
        let handler = move |uri: Uri, headers: HeaderMap, body: String| async move {
            let one = Seen { uri: uri.to_string(), headers, body };
            let count = {
                let mut log = log.lock().unwrap();
                log.push(one.clone());
                log.len() - 1
            };
            answer(count, &one)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
    }

    fn base(&self) -> String {
        format!("http://{}/api", self.address)
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn uris(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.uri.clone()).collect()
    }

    fn source(&self, method: Method) -> HttpSource {
        source(with(integration(&self.base()), method), account("{}", &[]))
    }
}

fn with(mut integration: Integration, method: Method) -> Integration {
    integration.resources.entry("tickets".to_owned()).or_default().insert("list".to_owned(), method);
    integration
}

fn source(integration: Integration, account: Account) -> HttpSource {
    let http = Http::new(Egress::new(vec!["127.0.0.0/8".parse().unwrap()])).unwrap();
    HttpSource::new(Arc::new(integration), Arc::new(account), http)
}

fn json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

async fn fetch(source: &HttpSource, cursor: Cursor) -> Result<Page, FetchError> {
    source.fetch(&FetchRequest { cursor, ..request("tickets", "list") }).await
}

/// All records of a list, page by page.
async fn read_all(source: &HttpSource) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), Cursor::Start);
    loop {
        let page = fetch(source, cursor).await.unwrap();
        pages.push((0..page.records.len()).map(|index| page.record(index).to_owned()).collect());
        assert!(pages.len() < 20, "the list does not end");
        match page.next {
            Some(next) => cursor = next,
            None => return pages,
        }
    }
}

fn list(pagination: Pagination) -> Method {
    Method { response_path: vec!["data".to_owned()], pagination, ..method() }
}

fn cursor_rule() -> CursorPagination {
    CursorPagination {
        source: CursorSource::Body(vec!["meta".to_owned(), "next".to_owned()]),
        is_link: false,
        param: "page[after]".to_owned(),
        send_in: SendIn::Query,
        has_next_path: None,
        limit: Some(Limit { param: "page[size]".to_owned(), value: 2 }),
    }
}

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
        has_next_path: Some(vec!["meta".to_owned(), "more".to_owned()]),
        limit: None,
        ..cursor_rule()
    };
    let body = Some(object(&[("query", literal("\"q\""))]));
    let method = Method { http_method: "POST".to_owned(), body, ..list(Pagination::Cursor(rule)) };
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
async fn no_content_is_an_empty_last_page() {
    for status in [204, 304] {
        let server = Server::start(move |_, _| answer(status, &[], Body::empty())).await;
        let page =
            fetch(&server.source(list(Pagination::Cursor(cursor_rule()))), Cursor::Start).await.unwrap();
        assert_eq!((page.records.len(), page.next), (0, None), "{status}");
    }
}

/// What a broken answer becomes, and after how many tries.
#[rstest]
#[case::empty("", "application/json", "invalid_json", 3)]
#[case::truncated(r#"{"data":[1,"#, "application/json", "invalid_json", 3)]
#[case::trailing(r#"{"data":[1]} x"#, "application/json", "invalid_json", 3)]
#[case::not_a_number(r#"{"data":[NaN]}"#, "application/json", "invalid_json", 3)]
#[case::html("<html>", "text/html; charset=utf-8", "unexpected_content_type", 3)]
#[case::html_as_json("<html>", "application/json", "invalid_json", 3)]
#[case::missing(r#"{"message":"ok"}"#, "application/json", "missing_records", 1)]
#[case::object(r#"{"data":{"id":1}}"#, "application/json", "records_not_a_list", 1)]
#[case::too_many(r#"{"data":[1,2,3,4]}"#, "application/json", "too_many_records", 1)]
#[case::bad_cursor(r#"{"data":[1],"meta":{"next":{}}}"#, "application/json", "invalid_cursor", 3)]
#[case::the_same_cursor(r#"{"data":[1],"meta":{"next":"c0"}}"#, "application/json", "pagination_loop", 1)]
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
    assert_eq!(failed.raw_response.as_deref(), (!body.is_empty()).then_some(body));
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
    assert_eq!(failed.error, "invalid_json");

    let server = Server::start(move |_, _| answer(200, &gzip, "this is no gzip")).await;
    let failed = fetch(&server.source(list(Pagination::None)), Cursor::Start).await.unwrap_err();
    assert_eq!((failed.error.as_str(), failed.kind), ("broken_answer", FetchErrorKind::Transient));
}

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

#[tokio::test]
async fn a_connection_that_breaks_is_tried_again() {
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
            let _written =
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":[").await;
        }
    });
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

    let numbered = Pagination::Page { param: "p".to_owned(), start: 1, limit: None };
    let server =
        Server::start(|_, _| answer(502, &[("content-type", "text/html")], "<html>bad gateway")).await;
    let failed = fetch(&server.source(list(numbered)), Cursor::Page(4)).await.unwrap_err();
    assert_eq!((failed.kind, failed.status, server.count()), (FetchErrorKind::Transient, Some(502), 3));
    assert_eq!(failed.skip_to, Some(Cursor::Page(5)));
    assert_eq!(failed.raw_response.as_deref(), Some("<html>bad gateway"));
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
async fn credentials_never_leave_the_integrations_origin() {
    let other = Server::start(|_, _| json("[]")).await;
    let elsewhere = format!("http://{}/tickets?c=1", other.address);
    for redirect in [true, false] {
        let to = elsewhere.clone();
        let server = Server::start(move |_, _| match redirect {
            true => answer(302, &[("location", &to)], ""),
            false => answer(200, &[("link", &format!("<{to}>; rel=\"next\""))], r#"{"data":[1]}"#),
        })
        .await;
        let mut integration = with(integration(&server.base()), list(Pagination::LinkHeader { limit: None }));
        integration.authorization = Authorization::Bearer { token: Template::parse("{{token}}").unwrap() };
        let source = source(integration, account("{}", &[("token", CANARY)]));
        let first = fetch(&source, Cursor::Start).await;
        let failed = match first {
            // The page itself is good; the link is refused when it is to be followed.
            Ok(page) => fetch(&source, page.next.unwrap()).await.unwrap_err(),
            Err(failed) => failed,
        };
        let error = if redirect { "Found" } else { "cross_origin_link" };
        assert_eq!((failed.error.as_str(), failed.kind), (error, FetchErrorKind::Permanent), "{failed}");
        assert!(!failed.message.contains("c=1"), "{failed}");
        assert_eq!(server.count(), 1);
    }
    assert_eq!(other.count(), 0);
}

#[rstest]
#[case::bearer(Authorization::Bearer { token: Template::parse("{{token}}").unwrap() })]
#[case::header(Authorization::Header { headers: vec![("x-key".to_owned(), Template::parse("k={{token}}").unwrap())] })]
#[case::query(Authorization::Query { params: vec![("key".to_owned(), Template::parse("{{token}}").unwrap())] })]
#[case::basic(Authorization::Basic { username: Template::parse("u").unwrap(), password: Template::parse("{{token}}").unwrap() })]
#[tokio::test]
async fn an_echo_of_a_credential_is_in_no_error(#[case] authorization: Authorization) {
    let server = Server::start(|_, seen| {
        let echo = format!("{seen:?} {CANARY} {}", serde_json::Value::from(CANARY));
        answer(422, &[("location", CANARY)], echo)
    })
    .await;
    let mut method = list(Pagination::None);
    method.path = Template::parse("/bot{{token}}/tickets").unwrap();
    let mut integration = with(integration(&server.base()), method);
    integration.authorization = authorization;
    let source = source(integration, account("{}", &[("token", CANARY)]));
    let failed = fetch(&source, Cursor::Start).await.unwrap_err();
    let shown = format!("{failed} {failed:?}");
    assert_eq!(failed.status, Some(422));
    for form in [CANARY, "canary", &STANDARD.encode(CANARY), &STANDARD.encode(format!("u:{CANARY}"))] {
        assert!(!shown.contains(form), "{form}: {shown}");
    }
    // It did reach the server, and a bit of the answer did come back.
    assert!(format!("{:?}", server.seen.lock().unwrap()).contains("canary"));
    assert!(
        shown.contains("/bot[redacted]/tickets") && failed.raw_response.unwrap().contains("Seen"),
        "{shown}"
    );
}

/// A log that can be read afterwards.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_a_request_without_query_or_credentials() {
    use tracing::instrument::WithSubscriber as _;
    let server =
        Server::start(|count, _| if count == 0 { answer(500, &[], CANARY) } else { json("[1,2]") }).await;
    let mut method = method();
    method.path = Template::parse("/bot{{token}}/tickets").unwrap();
    method.query = object(&[("since", literal("\"yesterday\""))]);
    let mut integration = with(integration(&server.base()), method);
    integration.authorization = Authorization::Bearer { token: Template::parse("{{token}}").unwrap() };
    let source = source(integration, account("{}", &[("token", CANARY)]));
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    fetch(&source, Cursor::Start).with_subscriber(subscriber).await.unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("source request")).collect();
    assert!(lines[0].contains(r#"method="GET" path="/api/bot[redacted]/tickets" status=500"#), "{text}");
    assert!(lines[1].contains("status=200") && lines[1].contains("bytes=5 records=2"), "{text}");
    assert!(!text.contains("canary") && !text.contains("yesterday"), "{text}");
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
    let failed = source.fetch(&request("tickets", "get")).await.unwrap_err();
    assert_eq!(failed.error, "unknown_method");
    let mut bad = request("tickets", "list");
    bad.query = Json::parse("[]").unwrap();
    assert_eq!(source.fetch(&bad).await.unwrap_err().error, "template_error");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn the_guard_is_asked_before_anything_is_sent() {
    let server = Server::start(|_, _| json("[]")).await;
    let http = Http::new(Egress::new(Vec::new())).unwrap();
    let integration = with(integration(&server.base()), method());
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
