//! Daylight saving by table, and properties.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn millis(text: &str) -> Millis {
    Millis(text.parse::<Timestamp>().unwrap().as_millisecond())
}

/// The slots of `expression` from `start` (inclusive), as UTC texts.
fn slots(expression: &str, zone: &str, start: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(expression, Some(zone)).unwrap();
    let mut at = Millis(millis(start).0 - 1);
    std::iter::repeat_with(|| {
        at = cron.next_after(at).unwrap();
        Timestamp::from_millisecond(at.0).unwrap().to_string()
    })
    .take(count)
    .collect()
}

#[rstest]
// New York, 8 March 2026: 02:00 EST (07:00Z) becomes 03:00 EDT. 02:30 is left out: once, at 03:00.
#[case("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", &["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"])]
// Several times in the gap, and one at its end: still once.
#[case("0,15,30,45 2,3 * * *", "America/New_York", "2026-03-08T06:00:00Z",
    &["2026-03-08T07:00:00Z", "2026-03-08T07:15:00Z", "2026-03-08T07:30:00Z", "2026-03-08T07:45:00Z", "2026-03-09T06:00:00Z"])]
// A list of hours is a time of day, too.
#[case("30 2,14 * * *", "America/New_York", "2026-03-08T06:00:00Z", &["2026-03-08T07:00:00Z", "2026-03-08T18:30:00Z"])]
// On 1 November 2026 02:00 EDT (06:00Z) becomes 01:00 EST: 01:30 comes twice and is due the first time.
#[case("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"])]
#[case("*/20 1 * * *", "America/New_York", "2026-11-01T00:00:00Z",
    &["2026-11-01T05:00:00Z", "2026-11-01T05:20:00Z", "2026-11-01T05:40:00Z", "2026-11-02T06:00:00Z"])]
// Interval-like: straight through both.
#[case("*/30 * * * *", "America/New_York", "2026-03-08T06:00:00Z",
    &["2026-03-08T06:00:00Z", "2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"])]
#[case("*/30 * * * *", "America/New_York", "2026-11-01T05:00:00Z",
    &["2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z", "2026-11-01T07:00:00Z"])]
#[case("5,35 * * * *", "America/New_York", "2026-11-01T05:00:00Z",
    &["2026-11-01T05:05:00Z", "2026-11-01T05:35:00Z", "2026-11-01T06:05:00Z", "2026-11-01T06:35:00Z", "2026-11-01T07:05:00Z"])]
#[case("@hourly", "America/New_York", "2026-11-01T05:00:00Z", &["2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"])]
#[case("0 0-23 * * *", "America/New_York", "2026-11-01T05:00:00Z", &["2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z"])]
// Every second hour by the wall clock: 02:00 is left out, and not made up for.
#[case("0 */2 * * *", "America/New_York", "2026-03-08T05:00:00Z", &["2026-03-08T05:00:00Z", "2026-03-08T08:00:00Z"])]
// Berlin, 29 March 2026 (02:00 becomes 03:00 at 01:00Z) and 25 October 2026 (03:00 becomes 02:00 at 01:00Z).
#[case("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"])]
#[case("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"])]
#[case("0 3 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", &["2026-10-25T02:00:00Z"])]
// Lord Howe moves by 30 minutes: 4 October 2026 02:00 becomes 02:30 (at 3 October 15:30Z), 5 April 2026 02:00 becomes 01:30.
#[case("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"])]
#[case("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"])]
#[case("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:30:00Z",
    &["2026-04-04T14:30:00Z", "2026-04-04T14:45:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:15:00Z", "2026-04-04T15:30:00Z"])]
// A whole day that never was: Samoa went from 29 to 31 December 2011. Its noon is made up for at the first moment after.
#[case("0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z", &["2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"])]
// The calendar.
#[case("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"])]
#[case("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", &["2104-02-29T00:00:00Z"])]
#[case("0 0 L * *", "UTC", "2026-02-01T00:00:00Z", &["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"])]
#[case("30 9 * * MON-FRI", "UTC", "2026-11-20T10:00:00Z", &["2026-11-23T09:30:00Z", "2026-11-24T09:30:00Z"])]
#[case("0 0 * * 7", "UTC", "2026-11-24T00:00:00Z", &["2026-11-29T00:00:00Z"])]
#[case("*/20 * * * * *", "UTC", "2026-11-24T00:00:01Z", &["2026-11-24T00:00:20Z", "2026-11-24T00:00:40Z"])]
#[case("@DAILY", "Asia/Kolkata", "2026-11-24T00:00:00Z", &["2026-11-24T18:30:00Z"])]
fn due(#[case] expression: &str, #[case] zone: &str, #[case] start: &str, #[case] expected: &[&str]) {
    assert_eq!(slots(expression, zone, start, expected.len()), expected, "{expression} in {zone}");
}

#[test]
fn a_fraction_of_a_second_neither_repeats_nor_skips_a_slot() {
    let cron = Cron::parse("* * * * * *", None).unwrap();
    assert_eq!(cron.next_after(Millis(999)), Some(Millis(1_000)));
    assert_eq!(cron.next_after(Millis(1_000)), Some(Millis(2_000)));
    assert_eq!(cron.next_after(Millis(1_001)), Some(Millis(2_000)));
    assert_eq!(cron.next_after(Millis(-1)), Some(Millis(0)));
    let daily = Cron::parse("0 0 * * *", None).unwrap();
    assert_eq!(daily.next_after(Millis(-1)), Some(Millis(0)));
}

#[test]
fn the_end_of_time_is_an_answer() {
    let cron = Cron::parse("0 0 * * *", None).unwrap();
    assert_eq!(cron.next_after(Millis(i64::MAX)), None);
    assert_eq!(cron.next_after(Millis(253_402_207_200_000)), None); // 9999-12-31
}

#[rstest]
#[case("", None, "has 0 fields: write five")]
#[case("0 2 * *", None, "has 4 fields: write five")]
#[case("0 0 2 * * * 2027", None, "has 7 fields")]
#[case("0 0 31 2 *", None, "is never due")]
#[case("0 0 30 2 *", Some("Europe/Berlin"), "is never due")]
#[case("0 0 31 4,6,9,11 *", None, "is never due")]
#[case("61 * * * *", None, "is no cron expression")]
#[case("0 25 * * *", None, "is no cron expression")]
#[case("0 0 0 * *", None, "is no cron expression")]
#[case("*/0 * * * *", None, "is no cron expression")]
#[case("0 2 * * FOO", None, "is no cron expression")]
#[case("@reboot", None, "no known nickname")]
#[case("@every 5m", None, "no known nickname")]
#[case("0 2 * * *", Some("Berlin"), "there is no time zone \"Berlin\"")]
#[case("0 2 * * *", Some(""), "there is no time zone")]
#[case("0 2 * * *", Some("Etc/Unknown"), "there is no time zone")]
#[case("0 2 * * *", Some("+02:00"), "there is no time zone")]
fn refused(#[case] expression: &str, #[case] zone: Option<&str>, #[case] expected: &str) {
    let error = Cron::parse(expression, zone).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(error.len() < 400, "{error}");
}

#[test]
fn a_giant_expression_is_refused_unread() {
    assert_eq!(Cron::parse(&"1,".repeat(10_000), None), Err(CronError::Long));
}

const EXPRESSIONS: [&str; 10] = [
    "* * * * *",
    "*/15 * * * *",
    "30 2 * * *",
    "0,30 1,2,3 * * *",
    "0 */3 * * *",
    "0 0 * * 0",
    "15 2 L * *",
    "*/10 30 1-3 * * *",
    "*/7 * 2 * * *",
    "0 0 29 2 *",
];
const ZONES: [&str; 6] =
    ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"];

/// A moment near a change of the clocks half of the time, anywhere from 2020 to 2037 otherwise.
fn moment() -> impl Strategy<Value = Millis> {
    let change = prop::sample::select(vec![
        "2026-03-08T07:00:00Z",
        "2026-11-01T06:00:00Z",
        "2026-03-29T01:00:00Z",
        "2026-10-25T01:00:00Z",
        "2026-10-03T15:30:00Z",
        "2026-04-04T15:00:00Z",
    ]);
    prop_oneof![
        (change, -14_400_000i64..14_400_000).prop_map(|(text, offset)| Millis(millis(text).0 + offset)),
        (1_577_836_800_000i64..2_145_916_800_000).prop_map(Millis),
    ]
}

fn any_cron() -> impl Strategy<Value = Cron> {
    (prop::sample::select(EXPRESSIONS.to_vec()), prop::sample::select(ZONES.to_vec()))
        .prop_map(|(expression, zone)| Cron::parse(expression, Some(zone)).unwrap())
}

proptest! {
    #[test]
    fn slots_only_go_up(cron in any_cron(), start in moment()) {
        let mut at = start;
        for _ in 0..20 {
            let next = cron.next_after(at).unwrap();
            prop_assert!(next > at && next.0 % 1000 == 0, "{next:?} after {at:?}");
            at = next;
        }
    }

    /// `next_after` has no memory: looking from anywhere before a slot finds the same slots.
    #[test]
    fn no_slot_depends_on_where_one_looks_from(cron in any_cron(), start in moment(), share in 0.0..1.0f64) {
        let next = cron.next_after(start).unwrap();
        let between = Millis(start.0 + ((next.0 - start.0 - 1) as f64 * share) as i64);
        prop_assert_eq!(cron.next_after(between), Some(next), "from {:?} and {:?}", start, between);
    }
}
