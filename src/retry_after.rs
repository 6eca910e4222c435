//! `Retry-After` (RFC 9110, 10.2.3): seconds or a date, as sources and receivers write it. Pure. What makes no sense
//! is ignored, since a wait made of garbage is worse than our own. How long a wait is believed is the caller's matter.

use std::time::{Duration, UNIX_EPOCH};

use crate::clock::Millis;

/// The wait after an answer that came at `now`; `None` for what is neither a number of seconds nor a date. A date in
/// the past means no wait.
pub(crate) fn parse(value: &str, now: Millis) -> Option<Duration> {
    let value = value.trim();
    if value.starts_with(|c: char| c.is_ascii_digit()) { seconds(value) } else { date(value, now) }
}

/// Whole seconds; a fraction, which some servers send, is rounded up.
fn seconds(value: &str) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let more = u64::from(fraction.bytes().any(|digit| digit != b'0'));
    // Too many digits for a number are longer than anybody believes.
    let seconds = whole.parse::<u64>().unwrap_or(u64::MAX).saturating_add(more);
    Some(Duration::from_secs(seconds))
}

fn date(value: &str, now: Millis) -> Option<Duration> {
    http_date(value).map(|date| date.since(now))
}

/// A date in one of HTTP's three forms.
pub(crate) fn http_date(value: &str) -> Option<Millis> {
    let since_epoch = httpdate::parse_http_date(value.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Millis(0).plus(since_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// 2015-05-15 15:34:21 UTC.
    const NOW: Millis = Millis(1_431_704_061_000);

    #[rstest]
    #[case("0", 0)]
    #[case(" 7 ", 7)]
    #[case("1.2", 2)]
    #[case("2.0", 2)]
    #[case("3600", 3600)]
    #[case("99999999999999999999999999", u64::MAX)]
    #[case("Fri, 15 May 2015 15:34:51 GMT", 30)]
    #[case("Friday, 15-May-15 15:34:51 GMT", 30)]
    #[case("Fri May 15 15:34:51 2015", 30)]
    #[case("Fri, 15 May 2015 15:34:21 GMT", 0)]
    #[case("Thu, 01 Jan 1970 00:00:00 GMT", 0)]
    #[case("Fri, 15 May 2015 16:34:21 GMT", 3600)]
    fn a_wait_is_read(#[case] value: &str, #[case] expected: u64) {
        assert_eq!(parse(value, NOW), Some(Duration::from_secs(expected)));
    }

    #[rstest]
    fn nonsense_is_ignored(
        #[values(
            "",
            "-1",
            "+5",
            "nan",
            "inf",
            "1e999",
            "5s",
            "0x10",
            "1.2.3",
            "1,5",
            "soon",
            "2015-05-15T15:34:51Z"
        )]
        value: &str,
    ) {
        assert_eq!(parse(value, NOW), None);
    }
}
