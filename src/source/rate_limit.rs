//! How long a source asks to be left alone: from an answer's status and headers to a wait. Pure.
//!
//! `Retry-After` is read by [`crate::retry_after`]. Moments are compared with the answer's own `Date` where it has one, so that a wrong clock on either side does not matter.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::clock::Millis;
use crate::definition::integration::{RateLimitRule, ResetHeader, ResetUnit};
use crate::retry_after;

/// No wait is shorter: a limit that is "over now" often isn't.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// From here on a number is a moment in seconds since 1970 (September 2001): no wait is that long.
const EPOCH_SECONDS_MIN: f64 = 1e9;
/// From here on it is a moment in milliseconds.
const EPOCH_MILLIS_MIN: f64 = 1e11;

/// How long to wait, if the answer is a rate limit; from one second to `rule.max_wait`.
pub(super) fn wait(rule: &RateLimitRule, status: u16, headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let now = header_texts(headers, DATE.as_str()).find_map(retry_after::http_date).unwrap_or(now);
    let hints = header_texts(headers, RETRY_AFTER.as_str());
    let retry_after = hints.filter_map(|text| retry_after::parse(text, now)).max();
    let is_limit = rule.statuses.contains(&status) || (status == 503 && retry_after.is_some());
    if !is_limit {
        return None;
    }
    let reset = rule.reset_header.as_ref().and_then(|header| reset(header, headers, now));
    let told = retry_after.max(reset).or_else(|| learnt(headers, now));
    let wait = told.unwrap_or(rule.default_wait);
    Some(wait.min(rule.max_wait).max(WAIT_MIN))
}

fn header_texts<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::trim)
}

fn reset(header: &ResetHeader, headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let wait = |value: f64| match header.unit {
        ResetUnit::DeltaSeconds => seconds_up(value),
        ResetUnit::EpochSeconds => millis(value * 1000.0).since(now),
        ResetUnit::EpochMillis => millis(value).since(now),
    };
    header_texts(headers, &header.name).filter_map(number).map(wait).max()
}

/// What the usual headers say, where nothing is declared: `RateLimit: "default";r=0;t=30` (draft-ietf-httpapi-ratelimit-headers),
/// and `RateLimit-Reset` of its older versions or `X-RateLimit-Reset`, of which some are seconds from now and some a moment.
fn learnt(headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let structured = header_texts(headers, "ratelimit").flat_map(|text| text.split([';', ',']));
    let structured = structured.filter_map(|part| number(part.trim().strip_prefix("t=")?)).map(seconds_up);
    let names = ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"];
    let plain = names.into_iter().flat_map(|name| header_texts(headers, name)).filter_map(number);
    let plain = plain.map(|value| match value {
        seconds if seconds < EPOCH_SECONDS_MIN => seconds_up(seconds),
        moment if moment < EPOCH_MILLIS_MIN => millis(moment * 1000.0).since(now),
        moment => millis(moment).since(now),
    });
    structured.chain(plain).max()
}

/// A number of digits with at most one dot. Signs, exponents, `nan` and `inf`, which Rust reads, are no
/// numbers here.
fn number(text: &str) -> Option<f64> {
    let is_plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_plain.then(|| text.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

fn seconds_up(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(Duration::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest moment there is")]
fn millis(epoch_ms: f64) -> Millis {
    Millis(epoch_ms as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // 2026-01-31T08:00:00Z
    const NOW: Millis = Millis(1_769_846_400_000);

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(reqwest::header::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn seconds(rule: &RateLimitRule, status: u16, pairs: &[(&str, &str)]) -> Option<u64> {
        wait(rule, status, &headers(pairs), NOW).map(|wait| wait.as_secs())
    }

    #[test]
    fn usual_headers_are_learnt_from() {
        let rule = RateLimitRule::default();
        for (name, value, expected) in [
            ("ratelimit", r#""default";r=0;t=17"#, 17),
            ("ratelimit", "limit=10, remaining=0, reset=5", 30),
            ("ratelimit", r#""burst";r=0;t=2, "daily";r=5;t=90"#, 90),
            ("ratelimit-reset", "12", 12),
            ("x-ratelimit-reset", "0", 1),
            ("x-ratelimit-reset", "1769846425", 25),
            ("x-rate-limit-reset", "1769846425000", 25),
            ("x-ratelimit-reset", "1769846000", 1),
            ("x-ratelimit-reset", "99999999999999999999", 3600),
            ("x-ratelimit-reset", "2026-01-31T08:01:00Z", 30),
        ] {
            assert_eq!(seconds(&rule, 429, &[(name, value)]), Some(expected), "{name}: {value}");
            assert_eq!(
                seconds(&rule, 429, &[(name, value), ("retry-after", "7")]),
                Some(7),
                "what is told counts"
            );
            assert_eq!(seconds(&rule, 200, &[(name, value)]), None);
        }
    }

    #[test]
    fn retry_after_in_all_forms() {
        let rule = RateLimitRule::default();
        for (value, expected) in [
            ("7", 7),
            ("0", 1),
            ("1.2", 2),
            ("9999999999", 3600),
            ("99999999999999999999999999", 3600),
            (" 12 ", 12),
            ("Sat, 31 Jan 2026 08:01:30 GMT", 90),
            ("Saturday, 31-Jan-26 08:01:30 GMT", 90),
            ("Sat Jan 31 08:01:30 2026", 90),
            ("Sat, 31 Jan 2026 07:00:00 GMT", 1),
            ("Thu, 31 Jan 2036 07:00:00 GMT", 3600),
            ("-5", 30),
            ("+5", 30),
            ("nan", 30),
            ("inf", 30),
            ("1e999", 30),
            ("1e2", 30),
            ("1.2.3", 30),
            (".", 30),
            ("soon", 30),
            ("", 30),
        ] {
            assert_eq!(seconds(&rule, 429, &[("retry-after", value)]), Some(expected), "{value:?}");
        }
        assert_eq!(seconds(&rule, 429, &[]), Some(30));
        assert_eq!(
            seconds(&rule, 429, &[("retry-after", "3"), ("retry-after", "9"), ("retry-after", "x")]),
            Some(9)
        );
    }

    #[test]
    fn only_declared_statuses_are_limits() {
        let rule = RateLimitRule { statuses: vec![429, 403], ..RateLimitRule::default() };
        assert_eq!(seconds(&rule, 403, &[]), Some(30));
        assert_eq!(seconds(&rule, 503, &[]), None);
        assert_eq!(seconds(&rule, 503, &[("retry-after", "garbage")]), None);
        assert_eq!(seconds(&rule, 503, &[("retry-after", "4")]), Some(4));
        assert_eq!(seconds(&rule, 500, &[("retry-after", "4")]), None);
        assert_eq!(seconds(&rule, 200, &[("retry-after", "4")]), None);
    }

    #[test]
    fn the_declared_header_counts_in_its_unit_and_the_longer_wait_wins() {
        for (unit, value, expected) in [
            (ResetUnit::DeltaSeconds, "41", 41),
            (ResetUnit::DeltaSeconds, "0.2", 5),
            (ResetUnit::EpochSeconds, "1769846460", 60),
            (ResetUnit::EpochSeconds, "1769846400", 5),
            (ResetUnit::EpochSeconds, "1", 5),
            (ResetUnit::EpochSeconds, "99999999999999999999", 3600),
            (ResetUnit::EpochMillis, "1769846420000", 20),
            (ResetUnit::EpochMillis, "-1", 5),
            (ResetUnit::EpochMillis, "x", 5),
        ] {
            let reset_header = Some(ResetHeader { name: "x-reset".to_owned(), unit });
            let rule = RateLimitRule { reset_header, ..RateLimitRule::default() };
            let pairs = [("x-reset", value), ("retry-after", "5")];
            assert_eq!(seconds(&rule, 429, &pairs), Some(expected), "{unit:?} {value}");
        }
    }

    #[test]
    fn moments_are_compared_with_the_answers_own_date() {
        let reset_header = Some(ResetHeader { name: "x-reset".to_owned(), unit: ResetUnit::EpochSeconds });
        let rule = RateLimitRule { reset_header, ..RateLimitRule::default() };
        // The source's clock is an hour behind ours.
        let date = ("date", "Sat, 31 Jan 2026 07:00:00 GMT");
        assert_eq!(seconds(&rule, 429, &[date, ("retry-after", "Sat, 31 Jan 2026 07:00:10 GMT")]), Some(10));
        assert_eq!(seconds(&rule, 429, &[date, ("x-reset", "1769842820")]), Some(20));
        assert_eq!(seconds(&rule, 429, &[("date", "garbage"), ("x-reset", "1769846420")]), Some(20));
    }

    #[test]
    fn limits_below_a_second_do_not_panic() {
        let rule = RateLimitRule { max_wait: Duration::ZERO, ..RateLimitRule::default() };
        assert_eq!(seconds(&rule, 429, &[("retry-after", "5")]), Some(1));
    }

    proptest! {
        #[test]
        fn whatever_a_source_writes_the_wait_stays_in_its_bounds(text in "[ -~]{0,30}|[0-9.]{1,40}", date in "[ -~]{0,30}") {
            let reset_header = Some(ResetHeader { name: "x-reset".to_owned(), unit: ResetUnit::EpochMillis });
            let rule = RateLimitRule { reset_header, ..RateLimitRule::default() };
            let headers = headers(&[("retry-after", &text), ("x-reset", &text), ("date", &date)]);
            let wait = wait(&rule, 429, &headers, NOW).unwrap();
            prop_assert!(wait >= WAIT_MIN && wait <= rule.max_wait, "{:?}", wait);
        }
    }
}
