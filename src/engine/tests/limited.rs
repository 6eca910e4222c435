//! A source that limits the rate and never answers anything else.

use std::time::Duration;

use super::plans::{one_list_plan, plain_facts};
use crate::clock::Millis;
use crate::engine::machine::{Effect, Gate, Machine};
use crate::engine::seam::{FetchError, FetchErrorKind, Verdict};
use crate::run::Status;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the machine does next that is no save and no delivery: those succeed.
fn next(machine: &mut Machine, now: Millis) -> Effect {
    loop {
        match machine.next(now) {
            Effect::Save => machine.saved(),
            Effect::Deliver(_) => machine.delivered(Verdict::Acknowledged, now),
            effect @ (Effect::Fetch(_)
            | Effect::Recall(_)
            | Effect::Remember(_)
            | Effect::Park(_)
            | Effect::Finish(_)) => return effect,
        }
    }
}

fn limited(status: Option<u16>, kind: FetchErrorKind) -> FetchError {
    FetchError { status, ..FetchError::new(kind, "Too Many Requests", "slow down".to_owned()) }
}

#[test]
fn a_limit_that_never_ends_fails_the_run_after_days() {
    let told = |wait| limited(Some(429), FetchErrorKind::RateLimited { wait });
    let budget = |wait| limited(None, FetchErrorKind::RateLimited { wait });
    let held = |wait| limited(None, FetchErrorKind::Held { wait });
    for (ends_on_day, error) in [(Some(8), told(DAY)), (None, budget(DAY)), (None, held(DAY))] {
        let mut now = Millis(1_769_846_400_000);
        let mut machine = Machine::start(one_list_plan(), plain_facts(), now);
        let mut ended_on_day = None;
        for day in 0..20 {
            assert!(matches!(next(&mut machine, now), Effect::Fetch(_)), "on day {day}");
            let gate = Gate { generation: day + 1, opens_at: now.plus(DAY), passed: false };
            machine.fetched(Err(error.clone()), gate, now);
            let effect = next(&mut machine, now);
            if let Effect::Finish(outcome) = &effect {
                assert_eq!((outcome.status, outcome.code.as_deref()), (Status::Failed, Some("rate_limited")));
                let reason = outcome.reason.as_deref().unwrap();
                assert!(
                    reason.contains("for 8 days") && reason.contains("Too Many Requests (429)"),
                    "{reason}"
                );
                ended_on_day = Some(day);
                break;
            }
            let until = now.plus(DAY);
            let waits = matches!(&effect, Effect::Park(park) if park.until == until);
            assert!(waits, "{effect:?} on day {day}");
            now = until;
        }
        assert_eq!(ended_on_day, ends_on_day);
    }
}
