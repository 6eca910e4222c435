//! `Retry-After` (RFC 9110, 10.2.3): seconds or a date. Pure. What makes no sense is ignored, since a wait made of
//! garbage is worse than our own.

use std::time::{Duration, UNIX_EPOCH};

use crate::clock::Millis;

/// The longest wait that a receiver can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The wait after an answer that came at `now`, by the receiver's header; capped at [`RETRY_AFTER_MAX`].
/// `None` for what is neither a number of seconds nor a date. A date in the past means no wait.
pub(super) fn parse(value: &str, now: Millis) -> Option<Duration> {
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
    // Too many digits for a number are certainly beyond the cap.
    let seconds = whole.parse::<u64>().unwrap_or(u64::MAX).saturating_add(more);
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn date(value: &str, now: Millis) -> Option<Duration> {
    let since_epoch = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Millis(0).plus(since_epoch).since(now).min(RETRY_AFTER_MAX))
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
    #[case("3601", 3600)]
    #[case("99999999999999999999999999", 3600)]
    #[case("Fri, 15 May 2015 15:34:51 GMT", 30)]
    #[case("Friday, 15-May-15 15:34:51 GMT", 30)]
    #[case("Fri May 15 15:34:51 2015", 30)]
    #[case("Fri, 15 May 2015 15:34:21 GMT", 0)]
    #[case("Thu, 01 Jan 1970 00:00:00 GMT", 0)]
    #[case("Sun, 15 May 2050 15:34:21 GMT", 3600)]
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
