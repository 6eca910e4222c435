//! The courier against real receivers on loopback, friendly and hostile. Signatures are checked by the library a
//! receiver would use.

mod receiver;

use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;

use self::receiver::{Receiver, courier, delivery, guard, webhook};
use super::*;
use crate::definition::webhook::{Ack, EventType};

const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn status(status: u16) -> Response {
    StatusCode::from_u16(status).unwrap().into_response()
}

fn error_of(verdict: Verdict) -> DeliveryError {
    match verdict {
        Verdict::Failed(error) => error,
        other @ (Verdict::Acknowledged | Verdict::Refused { .. }) => panic!("not a failure: {other:?}"),
    }
}

#[tokio::test]
async fn a_page_arrives_byte_for_byte_with_all_its_headers() {
    let receiver = Receiver::answering(|_| status(200)).await;
    let webhook = Webhook {
        truto_signature: true,
        headers: vec![
            ("x-tenant".to_owned(), "acme".into()),
            ("authorization".to_owned(), "Bearer t0ken".into()),
        ],
        ..webhook(&receiver.url, &[SECRET])
    };
    let sent = Delivery { attempts_before: 4, ..delivery(EventType::Record) };
    assert_eq!(courier(webhook).deliver(&sent, &guard()).await, Verdict::Acknowledged);

    let [got] = receiver.received().try_into().unwrap();
    assert_eq!(got.body, sent.body);
    standardwebhooks::Webhook::new(SECRET).unwrap().verify(&got.body, &got.headers).unwrap();
    let truto = super::super::signature::truto(&[SECRET.into()], &sent.body).unwrap();
    let expected = [
        ("webhook-id", "evt_1"),
        ("x-truto-signature", &truto),
        ("content-type", "application/json"),
        ("content-length", &sent.body.len().to_string()),
        ("user-agent", concat!("rapidbridge/", env!("CARGO_PKG_VERSION"))),
        ("rapidbridge-run", &sent.run.unwrap().to_string()),
        ("rapidbridge-seq", "7"),
        ("rapidbridge-epoch", "42"),
        ("rapidbridge-attempt", "5"),
        ("x-tenant", "acme"),
        ("authorization", "Bearer t0ken"),
    ];
    for (name, value) in expected {
        assert_eq!(got.headers.get(name).unwrap(), value, "{name}");
    }
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_sent() {
    let receiver = Receiver::answering(|_| status(200)).await;
    let sent = Delivery { seq: None, ..delivery(EventType::RunCompleted) };
    courier(webhook(&receiver.url, &[SECRET])).deliver(&sent, &guard()).await;
    let [got] = receiver.received().try_into().unwrap();
    for name in ["x-truto-signature", "rapidbridge-seq"] {
        assert!(!got.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn failures_are_tried_again_with_the_same_bytes_and_a_counted_attempt() {
    let receiver = Receiver::answering(|n| status([500, 503, 200][n])).await;
    let verdict =
        courier(webhook(&receiver.url, &[SECRET])).deliver(&delivery(EventType::Record), &guard()).await;
    assert_eq!(verdict, Verdict::Acknowledged);
    let got = receiver.received();
    let attempts: Vec<_> = got.iter().map(|got| got.headers["rapidbridge-attempt"].clone()).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    let verifier = standardwebhooks::Webhook::new(SECRET).unwrap();
    for one in &got {
        assert_eq!((&one.body, &one.headers["webhook-id"]), (&got[0].body, &got[0].headers["webhook-id"]));
        verifier.verify(&one.body, &one.headers).unwrap();
    }
}

#[tokio::test]
async fn when_the_tries_are_used_up_the_last_answer_is_told() {
    let receiver =
        Receiver::answering(|_| (StatusCode::BAD_GATEWAY, r#"{"error":"no backend"}"#).into_response()).await;
    let webhook = webhook(&format!("{}?token=t0ken", receiver.url), &[SECRET]);
    let error = error_of(courier(webhook).deliver(&delivery(EventType::Record), &guard()).await);
    assert_eq!(error.message, "webhook crm (127.0.0.1) answered 502 Bad Gateway: no backend");
    assert_eq!((error.status, error.attempts, receiver.received().len()), (Some(502), 3, 3));
}

#[tokio::test]
async fn a_refused_start_carries_the_reason_and_is_not_tried_again() {
    let refuse = |_| (StatusCode::BAD_REQUEST, r#"{"message":"trial\nended"}"#).into_response();
    let receiver = Receiver::answering(refuse).await;
    let courier = courier(webhook(&receiver.url, &[SECRET]));
    let verdict = courier.deliver(&delivery(EventType::RunStarted), &guard()).await;
    assert_eq!(verdict, Verdict::Refused { reason: "trial\\nended".to_owned() });
    assert_eq!(receiver.received().len(), 1);
    // The same answer to a page is a failure like any other.
    assert_eq!(error_of(courier.deliver(&delivery(EventType::Record), &guard()).await).attempts, 3);
}

#[tokio::test]
async fn only_a_webhook_that_widens_it_takes_a_204() {
    let receiver = Receiver::answering(|_| status(204)).await;
    let strict = webhook(&receiver.url, &[SECRET]);
    let wide = Webhook { ack: Ack::Any2xx, ..strict.clone() };
    let event = delivery(EventType::Record);
    assert_eq!(error_of(courier(strict).deliver(&event, &guard()).await).status, Some(204));
    assert_eq!(courier(wide).deliver(&event, &guard()).await, Verdict::Acknowledged);
}

#[tokio::test]
async fn a_long_retry_after_goes_back_to_the_engine() {
    let busy = |_| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "120")]).into_response();
    let receiver = Receiver::answering(busy).await;
    let error = error_of(
        courier(webhook(&receiver.url, &[SECRET])).deliver(&delivery(EventType::Record), &guard()).await,
    );
    assert_eq!((error.retry_after, error.attempts), (Some(Duration::from_secs(120)), 1));
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn of_several_waits_the_longest_counts_and_all_are_capped() {
    let busy = |_| {
        Response::builder()
            .status(503)
            .header("retry-after", "5")
            .header("retry-after", "999999")
            .body(Body::empty())
            .unwrap()
    };
    let receiver = Receiver::answering(busy).await;
    let error = error_of(
        courier(webhook(&receiver.url, &[SECRET])).deliver(&delivery(EventType::Record), &guard()).await,
    );
    assert_eq!(error.retry_after, Some(super::super::RETRY_AFTER_MAX));
}

#[tokio::test]
async fn a_wait_between_tries_ends_when_the_run_must_go() {
    let busy = |_| (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "9")]).into_response();
    let receiver = Receiver::answering(busy).await;
    let mut webhook = webhook(&receiver.url, &[SECRET]);
    webhook.retry.max = Duration::from_secs(10);
    let error =
        error_of(courier(webhook).deliver(&delivery(EventType::Record), &guard().interrupting()).await);
    assert_eq!(
        (error.status, error.attempts, error.retry_after),
        (Some(503), 1, Some(Duration::from_secs(9)))
    );
}

#[tokio::test]
async fn nothing_is_sent_once_the_run_is_no_longer_ours() {
    let receiver = Receiver::answering(|_| status(500)).await;
    let courier = courier(webhook(&receiver.url, &[SECRET]));
    let never = error_of(courier.deliver(&delivery(EventType::Record), &guard().permitting(0)).await);
    assert_eq!(
        (never.message.as_str(), never.attempts, never.status),
        ("the run is no longer ours", 0, None)
    );
    assert!(receiver.received().is_empty());
    let once = error_of(courier.deliver(&delivery(EventType::Record), &guard().permitting(1)).await);
    assert_eq!(
        (once.message.as_str(), once.attempts, once.status),
        ("the run is no longer ours", 1, Some(500))
    );
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_gone_endpoint_not_hammered() {
    for (code, words) in [(301, "redirects are not followed"), (404, "404 Not Found"), (410, "it is gone")] {
        let receiver = Receiver::answering(move |_| {
            Response::builder().status(code).header("location", "/elsewhere").body(Body::empty()).unwrap()
        })
        .await;
        let error = error_of(
            courier(webhook(&receiver.url, &[SECRET])).deliver(&delivery(EventType::Record), &guard()).await,
        );
        assert!(error.message.contains(words), "{}", error.message);
        assert_eq!((error.status, error.attempts, receiver.received().len()), (Some(code), 1, 1));
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_runs_into_the_time_limit() {
    let url = receiver::silent().await;
    let webhook = Webhook { timeout: Duration::from_millis(30), ..webhook(&url, &[SECRET]) };
    let error = error_of(courier(webhook).deliver(&delivery(EventType::Record), &guard()).await);
    assert_eq!(error.message, "webhook crm (127.0.0.1) did not answer within 30ms");
    assert_eq!((error.status, error.attempts), (None, 3));
}

fn endless() -> Body {
    Body::from_stream(futures::stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1024]))))
}

fn stalled(start: &'static str) -> Body {
    let first =
        futures::stream::once(std::future::ready(Ok::<_, Infallible>(Bytes::from_static(start.as_bytes()))));
    Body::from_stream(first.chain(futures::stream::pending()))
}

#[tokio::test]
async fn an_acknowledgement_does_not_wait_for_its_body() {
    for body in [endless as fn() -> Body, || stalled("O")] {
        let receiver = Receiver::answering(move |_| Response::new(body())).await;
        // With an hour to answer, the test ends only if the body is not waited for.
        let webhook = Webhook { timeout: Duration::from_secs(3600), ..webhook(&receiver.url, &[SECRET]) };
        let verdict = courier(webhook).deliver(&delivery(EventType::Record), &guard()).await;
        assert_eq!(verdict, Verdict::Acknowledged);
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_and_one_that_stalls_is_left() {
    let receiver =
        Receiver::answering(|_| (StatusCode::INTERNAL_SERVER_ERROR, endless()).into_response()).await;
    let mut webhook = Webhook { timeout: Duration::from_secs(3600), ..webhook(&receiver.url, &[SECRET]) };
    let event = delivery(EventType::RunStarted);
    let error = error_of(courier(webhook.clone()).deliver(&event, &guard()).await);
    assert!(error.message.ends_with("xxx…") && error.message.len() < 300, "{}", error.message);

    let receiver =
        Receiver::answering(|_| (StatusCode::BAD_REQUEST, stalled("not now")).into_response()).await;
    webhook.target_url = receiver.url.parse().unwrap();
    webhook.timeout = Duration::from_millis(50);
    let verdict = courier(webhook).deliver(&event, &guard()).await;
    assert_eq!(verdict, Verdict::Refused { reason: "not now".to_owned() });
}

#[tokio::test]
async fn a_connection_that_is_refused_or_breaks_is_a_failure_without_status() {
    let cases = [
        (receiver::closed().await, "webhook crm (127.0.0.1) was not connected: connection refused"),
        (
            receiver::breaking().await,
            "webhook crm (127.0.0.1) broke off before it answered, and may have the event",
        ),
    ];
    for (url, words) in cases {
        let error =
            error_of(courier(webhook(&url, &[SECRET])).deliver(&delivery(EventType::Record), &guard()).await);
        assert!(error.message.starts_with(words), "{}", error.message);
        assert_eq!((error.status, error.attempts), (None, 3));
    }
}

#[tokio::test]
async fn a_rotation_is_picked_up_between_two_tries() {
    let receiver = Receiver::answering(|n| status([500, 200][n])).await;
    let secrets = Mutex::new(vec![vec![SECRET, OLD_SECRET], vec![OLD_SECRET]]);
    let url = receiver.url.clone();
    let book = receiver::Book::new(move || {
        let secrets = secrets.lock().unwrap().pop().unwrap();
        Ok(Some(webhook(&url, &secrets)))
    });
    let verdict =
        receiver::courier_with(book, &["127.0.0.0/8"]).deliver(&delivery(EventType::Record), &guard()).await;
    assert_eq!(verdict, Verdict::Acknowledged);
    let [before, after] = receiver.received().try_into().unwrap();
    let verifies = |secret: &str, got: &receiver::Received| {
        standardwebhooks::Webhook::new(secret).unwrap().verify(&got.body, &got.headers).is_ok()
    };
    assert_eq!((verifies(OLD_SECRET, &before), verifies(SECRET, &before)), (true, false));
    assert_eq!((verifies(OLD_SECRET, &after), verifies(SECRET, &after)), (true, true));
}

/// What makes sending impossible is said at once, in words that tell what to do.
#[tokio::test]
async fn what_can_not_be_sent_says_why() {
    let receiver = Receiver::answering(|_| status(200)).await;
    let good = webhook(&receiver.url, &[SECRET]);
    let with =
        |name: &str, value: &str| Webhook { headers: vec![(name.to_owned(), value.into())], ..good.clone() };
    let elsewhere =
        Webhook { target_url: "http://169.254.169.254/latest?t0ken".parse().unwrap(), ..good.clone() };
    let cases = [
        (Ok(None), "there is no webhook crm"),
        (Err(BookError("Redis is away".to_owned())), "webhook crm could not be read: Redis is away"),
        (Ok(Some(Webhook { is_active: false, ..good.clone() })), "webhook crm is not active"),
        (Ok(Some(Webhook { secrets: vec![], ..good.clone() })), "webhook crm has no secret"),
        (Ok(Some(webhook(&receiver.url, &["whsec_t0ken!"]))), "webhook crm has a secret (number 1)"),
        (Ok(Some(with("host", "t0ken"))), "webhook crm has the header \"host\""),
        (Ok(Some(with("webhook-signature", "t0ken"))), "webhook crm has the header \"webhook-signature\""),
        (Ok(Some(with("x-a", "t0ken\r\nx: y"))), "webhook crm has the header \"x-a\""),
        (Ok(Some(with("x a", "t0ken"))), "webhook crm has the header \"x a\""),
        (Ok(Some(elsewhere)), "webhook crm (169.254.169.254): destination not allowed"),
    ];
    for (found, words) in cases {
        let courier = receiver::courier_with(receiver::Book::new(move || found.clone()), &["127.0.0.0/8"]);
        let error = error_of(courier.deliver(&delivery(EventType::Record), &guard()).await);
        assert!(error.message.starts_with(words), "{}", error.message);
        assert!(!error.message.contains("t0ken"), "{}", error.message);
        assert_eq!((error.status, error.attempts), (None, 1));
    }
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn a_private_address_is_never_connected() {
    let connections = Arc::new(AtomicU32::new(0));
    let url = receiver::counting(connections.clone()).await;
    for url in [url.clone(), url.replace("127.0.0.1", "localhost"), url.replace("127.0.0.1", "2130706433")] {
        let found = webhook(&url, &[SECRET]);
        let courier = receiver::courier_with(receiver::Book::new(move || Ok(Some(found.clone()))), &[]);
        let error = error_of(courier.deliver(&delivery(EventType::Record), &guard()).await);
        assert!(error.message.contains("destination not allowed"), "{}", error.message);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

/// With every line of every library on, no log names a secret, a header's value, a URL's query or a record.
#[tokio::test]
async fn no_log_line_has_a_secret_in_it() {
    let receiver = Receiver::answering(|n| {
        (StatusCode::from_u16([500, 200][n]).unwrap(), "canary-answer").into_response()
    })
    .await;
    let webhook = Webhook {
        headers: vec![("authorization".to_owned(), "Bearer canary-header".into())],
        ..webhook(&format!("{}/canary-path?key=canary-query", receiver.url), &["canary-secret"])
    };
    let sent = Delivery { body: Bytes::from_static(b"{\"canary-record\":1}"), ..delivery(EventType::Record) };
    let lines = receiver::Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    // While there is only one subscriber, a test on another thread that logs a line first, without one, switches that
    // line off for all threads. A second subscriber makes `tracing` ask them all.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let quiet = tracing::subscriber::set_default(subscriber);
    assert_eq!(courier(webhook).deliver(&sent, &guard()).await, Verdict::Acknowledged);
    drop(quiet);
    let text = lines.text();
    assert_eq!(text.matches("delivery tried").count(), 2, "{text}");
    assert!(
        text.contains(&format!(
            "run={} webhook=crm event=sync_job_run:record seq=7 attempt=2 status=200",
            sent.run.unwrap()
        )),
        "{text}"
    );
    assert!(!text.contains("canary"), "{text}");
}

/// Many frameworks write the head of an answer and its body apart. That must not cost a connection (and, with TLS,
/// two or three round trips) a page.
#[tokio::test]
async fn connections_are_used_again_though_the_body_comes_after_the_head() {
    const DELIVERIES: u32 = 200;
    let connections = Arc::new(AtomicU32::new(0));
    let url = receiver::in_two_parts(connections.clone()).await;
    let courier = courier(webhook(&url, &[SECRET]));
    for _ in 0..DELIVERIES {
        assert_eq!(courier.deliver(&delivery(EventType::Record), &guard()).await, Verdict::Acknowledged);
    }
    let opened = connections.load(Ordering::SeqCst);
    // A few are open at a time, as a delivery does not wait for the one before to be quite over.
    assert!(opened <= DELIVERIES / 2, "{opened} connections for {DELIVERIES} deliveries");
}
