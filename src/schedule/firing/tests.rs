//! What becomes of due and missed slots.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn trigger() -> TriggerId {
    "nightly".parse().unwrap()
}

fn fire(schedule: &Schedule, catch_up: CatchUp, limit: u32, last_slot: i64, now: i64) -> Firing {
    let trigger = trigger();
    let rule = FireRule {
        schedule,
        trigger: &trigger,
        jitter: Duration::ZERO,
        grace: GRACE,
        catch_up,
        catch_up_limit: limit,
    };
    rule.firing(Millis(last_slot), Millis(now))
}

fn hourly() -> [Schedule; 2] {
    [Schedule::cron("0 * * * *", None).unwrap(), Schedule::every(Duration::from_hours(1)).unwrap()]
}

#[rstest]
// On time.
#[case(CatchUp::Latest, 9, 0, HOUR, &[HOUR], 0)]
#[case(CatchUp::None, 9, 0, HOUR + MINUTE, &[HOUR], 0)]
// Late.
#[case(CatchUp::Latest, 9, 0, HOUR + 2 * MINUTE, &[HOUR], 0)]
#[case(CatchUp::None, 9, 0, HOUR + 2 * MINUTE, &[], 1)]
#[case(CatchUp::All, 9, 0, HOUR + 2 * MINUTE, &[HOUR], 0)]
// Three missed, the newest on time.
#[case(CatchUp::Latest, 9, 0, 4 * HOUR, &[4 * HOUR], 3)]
#[case(CatchUp::None, 9, 0, 4 * HOUR, &[4 * HOUR], 3)]
#[case(CatchUp::All, 9, 0, 4 * HOUR, &[HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR], 0)]
// The limit counts missed slots alone, and keeps the newest.
#[case(CatchUp::All, 2, 0, 4 * HOUR, &[2 * HOUR, 3 * HOUR, 4 * HOUR], 1)]
#[case(CatchUp::All, 2, 0, 4 * HOUR + 30 * MINUTE, &[3 * HOUR, 4 * HOUR], 2)]
#[case(CatchUp::All, 0, 0, 4 * HOUR, &[4 * HOUR], 3)]
// Nothing is due.
#[case(CatchUp::All, 9, 0, HOUR - 1, &[], 0)]
#[case(CatchUp::All, 9, HOUR, HOUR, &[], 0)]
#[case(CatchUp::All, 9, 5 * HOUR, 2 * HOUR, &[], 0)]
fn slots_and_missed(
    #[case] catch_up: CatchUp,
    #[case] limit: u32,
    #[case] last_slot: i64,
    #[case] now: i64,
    #[case] slots: &[i64],
    #[case] missed: u64,
) {
    for schedule in hourly() {
        let firing = fire(&schedule, catch_up, limit, last_slot, now);
        let newest = (now - now % HOUR).max(last_slot);
        assert_eq!(firing.slots, slots.iter().copied().map(Millis).collect::<Vec<_>>(), "{schedule}");
        assert_eq!((firing.missed, firing.missed_capped), (missed, false), "{schedule}");
        assert_eq!(
            (firing.last_slot, firing.next),
            (Millis(newest), Some(Millis(newest + HOUR))),
            "{schedule}"
        );
        assert_eq!(firing.next_at, firing.next);
    }
}

#[test]
fn years_of_seconds_are_counted_without_a_walk() {
    let schedule = Schedule::every(Duration::from_secs(1)).unwrap();
    let ten_years = 10 * 365 * 24 * HOUR;
    let firing = fire(&schedule, CatchUp::All, u32::MAX, 0, ten_years);
    assert_eq!(firing.slots.len(), CATCH_UP_MAX as usize + 1);
    assert_eq!(firing.slots.last(), Some(&Millis(ten_years)));
    assert_eq!(firing.missed, 10 * 365 * 24 * 3600 - u64::from(CATCH_UP_MAX) - 1);
    assert!(!firing.missed_capped);
}

#[test]
fn years_of_cron_slots_end_with_the_newest_and_a_lower_bound() {
    let schedule = Schedule::cron("* * * * *", Some("Europe/Berlin")).unwrap();
    let ten_years = 10 * 365 * 24 * HOUR;
    let firing = fire(&schedule, CatchUp::All, 3, 0, ten_years + 90_000);
    let expected: Vec<Millis> = (-1..=1).map(|n| Millis(ten_years + n * MINUTE)).collect();
    assert_eq!(firing.slots[firing.slots.len() - 3..], expected);
    assert_eq!((firing.missed, firing.missed_capped), (COUNTED_MAX - firing.slots.len() as u64, true));
    assert_eq!(firing.next, Some(Millis(ten_years + 2 * MINUTE)));
}

#[test]
fn a_burst_long_ago_still_gives_its_newest_slot() {
    // A day of seconds each year, looked at in the summer after.
    let schedule = Schedule::cron("* * * 1 1 *", None).unwrap();
    let (new_year, july) = (1_767_225_600_000, 1_782_864_000_000);
    let firing = fire(&schedule, CatchUp::Latest, 0, new_year - 1, july);
    assert_eq!(firing.slots, [Millis(new_year + 24 * HOUR - 1_000)]);
    assert!(firing.missed_capped);
}

#[test]
fn a_slot_waits_for_its_jitter_and_is_on_time_then() {
    let (trigger, schedule) = (trigger(), Schedule::every(Duration::from_hours(1)).unwrap());
    let rule = FireRule {
        schedule: &schedule,
        trigger: &trigger,
        jitter: Duration::from_mins(30),
        grace: GRACE,
        catch_up: CatchUp::None,
        catch_up_limit: 0,
    };
    let at = jittered(Millis(HOUR), rule.jitter, &trigger);
    assert!(at.0 > HOUR + MINUTE, "the example wants a delay past the grace: {at:?}");
    let early = rule.firing(Millis(0), Millis(at.0 - 1));
    assert_eq!((early.slots, early.last_slot), (vec![], Millis(0)));
    assert_eq!((early.next, early.next_at), (Some(Millis(HOUR)), Some(at)));
    assert_eq!(rule.firing(Millis(0), at).slots, [Millis(HOUR)]);
    let late = rule.firing(Millis(0), Millis(at.0 + 61_000));
    assert_eq!((late.slots, late.missed), (vec![], 1));
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        (1u64..100_000).prop_map(|secs| Schedule::every(Duration::from_secs(secs)).unwrap()),
        prop::sample::select(vec![
            "* * * * *",
            "*/7 1-3 * * *",
            "30 2 * * *",
            "15,45 * * * *",
            "*/30 * 2 * * *"
        ])
        .prop_map(|text| Schedule::cron(text, Some("America/New_York")).unwrap()),
    ]
}

/// The night of 1 November 2026, when 01:00 to 02:00 comes twice.
const NIGHT: i64 = 1_793_502_000_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However the time is cut into turns, each slot comes up once, in order, and none is left out.
    #[test]
    fn any_split_of_a_time_gives_the_same_slots(
        schedule in any_schedule(), jitter in 0u64..600, mut cuts in prop::collection::vec(0i64..12 * HOUR, 0..12),
    ) {
        let trigger = trigger();
        let rule = FireRule {
            schedule: &schedule, trigger: &trigger, jitter: Duration::from_secs(jitter), grace: GRACE,
            catch_up: CatchUp::All, catch_up_limit: 1_000,
        };
        cuts.push(12 * HOUR);
        cuts.sort_unstable();
        let (mut last_slot, mut seen) = (Millis(NIGHT), vec![]);
        for cut in cuts {
            let now = Millis(NIGHT + cut);
            let firing = rule.firing(last_slot, now);
            prop_assert!(firing.last_slot >= last_slot);
            prop_assert!(firing.next_at.unwrap() > now, "the next look is later than now");
            prop_assert_eq!(firing.slots.last().map_or(last_slot, |slot| *slot), firing.last_slot);
            if firing.missed > 0 {
                return Ok(()); // past the limit of one turn: another test's matter
            }
            last_slot = firing.last_slot;
            seen.extend(firing.slots);
        }
        let mut expected = vec![];
        let mut at = Millis(NIGHT);
        while at < last_slot {
            at = schedule.next_after(at).unwrap();
            expected.push(at);
        }
        prop_assert_eq!(seen, expected);
    }

    /// Runs and missed slots together are all slots, whatever the policy.
    #[test]
    fn nothing_due_is_forgotten(
        schedule in any_schedule(), catch_up in prop::sample::select(vec![CatchUp::Latest, CatchUp::None, CatchUp::All]),
        limit in 0u32..20, span in 0i64..24 * HOUR,
    ) {
        let firing = fire(&schedule, catch_up, limit, NIGHT, NIGHT + span);
        let mut count = 0;
        let mut at = Millis(NIGHT);
        while let Some(next) = schedule.next_after(at).filter(|next| next.0 <= NIGHT + span) {
            (at, count) = (next, count + 1);
        }
        prop_assert_eq!(firing.slots.len() as u64 + firing.missed, count);
        prop_assert_eq!(firing.last_slot, at);
        prop_assert!(firing.slots.is_sorted() && firing.slots.len() <= limit.max(1) as usize + 1);
    }

    #[test]
    fn the_newest_slot_is_found_by_looking_forwards_alone(schedule in any_schedule(), span in 0i64..48 * HOUR) {
        let (after, until) = (Millis(NIGHT), Millis(NIGHT + span));
        let mut expected = None;
        let mut at = after;
        while let Some(next) = schedule.next_after(at).filter(|next| *next <= until) {
            (at, expected) = (next, Some(next));
        }
        prop_assert_eq!(schedule.newest_until(after, until), expected);
    }
}
