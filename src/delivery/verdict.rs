//! What an answer means, and whether another try at once could help. Pure: no clock, no network.

use std::time::Duration;

use reqwest::StatusCode;

use super::words;
use crate::backoff;
use crate::definition::webhook::{Ack, DeliveryRetry, EventType};
use crate::engine::seam::{DeliveryError, Verdict};

/// The longest reason of a receiver that is kept.
const REASON_CHARS_MAX: usize = 512;

/// How much of the receiver's words goes into an error's message.
const MESSAGE_WORDS_CHARS_MAX: usize = 200;

/// A receiver's answer, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The wait it asks for, already capped.
    pub retry_after: Option<Duration>,
    /// The start of its body.
    pub body: &'a [u8],
}

/// What `answer` says about `event`; `attempts` is the number of tries made so far in this turn.
pub fn of(answer: &Answer<'_>, ack: Ack, event: EventType, attempts: u32) -> Verdict {
    if acknowledges(answer.status, ack) {
        return Verdict::Acknowledged;
    }
    if answer.status == 400 && event == EventType::RunStarted {
        let reason = words::of(answer.body, REASON_CHARS_MAX);
        return Verdict::Refused {
            reason: reason.unwrap_or_else(|| "the webhook gave no reason".to_owned()),
        };
    }
    Verdict::Failed(DeliveryError {
        status: Some(answer.status),
        message: message(answer),
        retry_after: answer.retry_after,
        attempts,
    })
}

/// Whether a status alone acknowledges; the body then no longer matters.
pub fn acknowledges(status: u16, ack: Ack) -> bool {
    match ack {
        Ack::Status200 => status == 200,
        Ack::Any2xx => (200..300).contains(&status),
    }
}

/// The wait before the next try at once, after `error`; `None` when the run should rather park: the tries are
/// used up, the receiver asks for a longer wait than one at once may take, or what it says won't change soon.
pub fn next_try(error: &DeliveryError, retry: &DeliveryRetry, seed: u64) -> Option<Duration> {
    let asked = error.retry_after.unwrap_or_default();
    let settled = error.status.is_some_and(|status| matches!(status, 300..400 | 404 | 410));
    if settled || error.attempts >= retry.attempts || asked > retry.max {
        return None;
    }
    Some(backoff::delay(retry.base, retry.max, error.attempts, seed).max(asked))
}

fn message(answer: &Answer<'_>) -> String {
    let reason = StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    let mut message = format!("answered {}", answer.status);
    if let Some(reason) = reason {
        message = format!("{message} {reason}");
    }
    match answer.status {
        200..300 => message + ", but only 200 acknowledges; let its `ack` be any 2xx if it has the event",
        300..400 => message + "; redirects are not followed, so let its URL be the final one",
        410 => message + ": the endpoint says that it is gone; change its URL, then resume the run",
        _ => match words::of(answer.body, MESSAGE_WORDS_CHARS_MAX) {
            Some(words) => format!("{message}: {words}"),
            None => message,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const EVENTS: &[EventType] = EventType::ALL;

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer { status, retry_after: None, body: body.as_bytes() }
    }

    fn failure(status: u16, body: &str) -> DeliveryError {
        match of(&answer(status, body), Ack::Status200, EventType::Record, 1) {
            Verdict::Failed(error) => error,
            other @ (Verdict::Acknowledged | Verdict::Refused { .. }) => panic!("{status}: {other:?}"),
        }
    }

    /// Every status, for every event, under both rules.
    #[test]
    fn only_a_200_acknowledges_unless_the_webhook_widens_it() {
        for status in 100..=599 {
            for event in EVENTS {
                let strict = of(&answer(status, ""), Ack::Status200, *event, 1) == Verdict::Acknowledged;
                let wide = of(&answer(status, ""), Ack::Any2xx, *event, 1) == Verdict::Acknowledged;
                assert_eq!(strict, status == 200, "{status} {event}");
                assert_eq!(wide, (200..=299).contains(&status), "{status} {event}");
            }
        }
    }

    #[test]
    fn only_a_400_to_started_refuses_the_run() {
        for status in 100..=599 {
            for event in EVENTS {
                let refused =
                    matches!(of(&answer(status, ""), Ack::Any2xx, *event, 1), Verdict::Refused { .. });
                assert_eq!(refused, status == 400 && *event == EventType::RunStarted, "{status} {event}");
            }
        }
    }

    #[rstest]
    #[case(r#"{"message":"account is closed"}"#, "account is closed")]
    #[case("closed", "closed")]
    #[case("", "the webhook gave no reason")]
    #[case("<html>", "the webhook gave no reason")]
    fn a_refusal_carries_the_receivers_reason(#[case] body: &str, #[case] expected: &str) {
        let verdict = of(&answer(400, body), Ack::Status200, EventType::RunStarted, 1);
        assert_eq!(verdict, Verdict::Refused { reason: expected.to_owned() });
    }

    #[rstest]
    #[case(503, "{\"error\":\"busy\"}", "answered 503 Service Unavailable: busy")]
    #[case(500, "", "answered 500 Internal Server Error")]
    #[case(599, "", "answered 599")]
    #[case(
        204,
        "",
        "answered 204 No Content, but only 200 acknowledges; let its `ack` be any 2xx if it has the event"
    )]
    #[case(
        301,
        "",
        "answered 301 Moved Permanently; redirects are not followed, so let its URL be the final one"
    )]
    #[case(
        410,
        "bye",
        "answered 410 Gone: the endpoint says that it is gone; change its URL, then resume the run"
    )]
    fn a_failure_says_what_happened(#[case] status: u16, #[case] body: &str, #[case] expected: &str) {
        let error = failure(status, body);
        assert_eq!((error.message.as_str(), error.status, error.attempts), (expected, Some(status), 1));
    }

    fn retry() -> DeliveryRetry {
        DeliveryRetry {
            attempts: 3,
            base: Duration::from_secs(1),
            max: Duration::from_secs(10),
            ..Default::default()
        }
    }

    #[test]
    fn tries_at_once_end_when_they_are_used_up_or_cannot_help() {
        let tried = |status: u16, attempts: u32| DeliveryError { attempts, ..failure(status, "") };
        for status in [400, 401, 403, 408, 409, 413, 425, 429, 500, 502, 503, 504, 204] {
            assert!(next_try(&tried(status, 1), &retry(), 0).is_some(), "{status}");
            assert!(next_try(&tried(status, 2), &retry(), 0).is_some(), "{status}");
            assert_eq!(next_try(&tried(status, 3), &retry(), 0), None, "{status}");
        }
        for status in [301, 302, 307, 308, 404, 410] {
            assert_eq!(next_try(&tried(status, 1), &retry(), 0), None, "{status}");
        }
        let no_answer = DeliveryError { status: None, ..tried(500, 1) };
        assert!(next_try(&no_answer, &retry(), 0).is_some());
    }

    #[test]
    fn a_wait_the_receiver_asks_for_is_kept_or_ends_the_tries_at_once() {
        let asked =
            |seconds| DeliveryError { retry_after: Some(Duration::from_secs(seconds)), ..failure(429, "") };
        assert!(next_try(&asked(10), &retry(), 7) >= Some(Duration::from_secs(10)));
        assert!(next_try(&asked(0), &retry(), 7) <= Some(Duration::from_secs(10)));
        assert_eq!(next_try(&asked(11), &retry(), 7), None);
    }
}
