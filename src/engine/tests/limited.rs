//! A source that limits the rate and never answers anything else.

use std::time::Duration;

use super::plans::{one_list_plan, plain_facts};
use crate::clock::Millis;
use crate::definition::webhook::EventType;
use crate::engine::machine::{Effect, Gate, Machine};
use crate::engine::seam::{FetchError, FetchErrorKind, Verdict};
use crate::run::Status;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the machine does next that is no save and no delivery (those succeed), and how often it reported a limit before.
fn next(machine: &mut Machine, now: Millis) -> (Effect, u32) {
    let mut reported = 0;
    loop {
        match machine.next(now) {
            Effect::Save => machine.saved(),
            Effect::Deliver(delivery) => {
                reported += u32::from(delivery.event == EventType::RateLimited);
                machine.delivered(Verdict::Acknowledged, now);
            }
            effect @ (Effect::Fetch(_)
            | Effect::Recall(_)
            | Effect::Remember(_)
            | Effect::Park(_)
            | Effect::Finish(_)) => return (effect, reported),
        }
    }
}

fn error(status: Option<u16>, kind: FetchErrorKind) -> FetchError {
    FetchError { status, ..FetchError::new(kind, "Too Many Requests", "slow down".to_owned()) }
}

/// Asks and is answered by `answer` on each of these days; on which it failed, and how often it reported a limit before.
fn ask(days: impl IntoIterator<Item = u32>, answer: impl Fn(u32) -> FetchError) -> (Option<u32>, u32) {
    let start = Millis(1_769_846_400_000);
    let mut machine = Machine::start(one_list_plan(), plain_facts(), start);
    let mut reported = 0;
    for day in days {
        let now = start.plus(DAY * day);
        let (effect, _) = next(&mut machine, now);
        assert!(matches!(effect, Effect::Fetch(_)), "{effect:?} on day {day}");
        let gate = Gate { generation: u64::from(day) + 1, opens_at: now.plus(DAY), passed: false };
        machine.fetched(Err(answer(day)), gate, now);
        let (effect, times) = next(&mut machine, now);
        reported += times;
        if let Effect::Finish(outcome) = effect {
            assert_eq!((outcome.status, outcome.code.as_deref()), (Status::Failed, Some("rate_limited")));
            let reason = outcome.reason.unwrap();
            assert!(reason.contains("for 8 days") && reason.contains("Too Many Requests (429)"), "{reason}");
            return (Some(day), reported);
        }
        assert!(matches!(effect, Effect::Park(_)), "{effect:?} on day {day}");
    }
    (None, reported)
}

#[test]
fn a_limit_that_never_ends_fails_the_run_after_days() {
    let limited = FetchErrorKind::RateLimited { wait: DAY };
    assert_eq!(ask(0..20, |_| error(Some(429), limited)), (Some(8), 8));
    // By what is declared, or by others' limits, a run only waits; it reports what it met.
    assert_eq!(ask(0..20, |_| error(None, limited)), (None, 20));
    assert_eq!(ask(0..20, |_| error(None, FetchErrorKind::Held { wait: DAY })), (None, 0));
    // One that did not ask for long was not told anything meanwhile.
    assert_eq!(ask([0, 9, 10, 16], |_| error(Some(429), limited)), (None, 4));
    // And one that was told something else begins again.
    let outage = |day| if day == 5 { FetchErrorKind::Transient } else { limited };
    assert_eq!(ask(0..13, |day| error(Some(429), outage(day))), (None, 12));
    assert_eq!(ask(0..20, |day| error(Some(429), outage(day))).0, Some(14));
}
