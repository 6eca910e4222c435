//! Credentials that must not leave, whatever the source does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;

use super::*;

const CANARY: &str = "sk_canary/0123+456 789";

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
