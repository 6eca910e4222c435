//! When a trigger is due: cron or interval, time zone, jitter, catch-up. Pure: the time is an argument.
//! Knows neither triggers nor runs nor Redis; who fires, and how often it looks, is the scheduler's matter.
//!
//! A *slot* is a moment in UTC at which the schedule is due. Slots are whole seconds (cron) or whole
//! milliseconds (interval), and every process computes the same ones.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::Millis;
use crate::id::TriggerId;

mod cron;
mod firing;

pub use cron::{CRON_CHARS_MAX, CronError};
pub use firing::{CATCH_UP_MAX, COUNTED_MAX, FireRule, Firing, GRACE};

/// The shortest interval: runs that start more often than each second want another tool.
pub const EVERY_MIN: Duration = Duration::from_secs(1);

/// The longest interval, a leap year.
pub const EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The most a slot can be delayed by jitter; longer ones are cut to this.
pub const JITTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What happens when a slot comes while a run of the same trigger has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// The slot is recorded as skipped (the default).
    #[default]
    Skip,
    /// One run waits for the other; further slots are skipped.
    Queue,
    /// Both run.
    Allow,
}

/// What happens to slots that were missed while no scheduler ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// The newest of them makes one run (the default).
    #[default]
    Latest,
    /// They make none.
    None,
    /// Each makes a run, up to a limit.
    All,
}

/// When a trigger is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Cron(Box<cron::Cron>),
    /// Milliseconds between slots, which are the multiples of it since 1970-01-01.
    Every(i64),
}

/// A schedule as its author wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec<'a> {
    /// A cron expression and the IANA name of the zone it is read in.
    Cron {
        /// The expression, with single spaces.
        expression: &'a str,
        /// `UTC` when none was named.
        timezone: &'a str,
    },
    /// An interval.
    Every(Duration),
}

/// Why something is no schedule: what is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The cron expression or its zone.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// Below [`EVERY_MIN`] or above [`EVERY_MAX`].
    #[error("an interval of {} is not possible: write one between 1s and 366d, such as `15m`", humantime::format_duration(*.0))]
    Interval(Duration),
}

impl Schedule {
    /// A cron schedule: five fields (minute, hour, day of month, month, day of week), six with seconds in front, or a
    /// nickname such as `@daily`, in an IANA time zone (UTC when `None`).
    ///
    /// # Errors
    /// An expression that can't be read, one that is never due (`0 0 31 2 *`), or an unknown zone.
    pub fn cron(expression: &str, timezone: Option<&str>) -> Result<Self, ScheduleError> {
        Ok(Self(Kind::Cron(Box::new(cron::Cron::parse(expression, timezone)?))))
    }

    /// An interval, anchored at 1970-01-01T00:00:00Z, so that every process computes the same slots.
    ///
    /// # Errors
    /// When it is shorter than [`EVERY_MIN`] or longer than [`EVERY_MAX`].
    pub fn every(interval: Duration) -> Result<Self, ScheduleError> {
        if !(EVERY_MIN..=EVERY_MAX).contains(&interval) {
            return Err(ScheduleError::Interval(interval));
        }
        let ms = i64::try_from(interval.as_millis()).map_err(|_| ScheduleError::Interval(interval))?;
        Ok(Self(Kind::Every(ms)))
    }

    /// What its author wrote.
    pub fn spec(&self) -> Spec<'_> {
        match &self.0 {
            Kind::Cron(cron) => Spec::Cron { expression: cron.expression(), timezone: cron.timezone() },
            Kind::Every(ms) => Spec::Every(Duration::from_millis(ms.unsigned_abs())),
        }
    }

    /// The first slot strictly after `after`; `None` at the end of the calendar.
    pub fn next_after(&self, after: Millis) -> Option<Millis> {
        match &self.0 {
            Kind::Cron(cron) => cron.next_after(after),
            Kind::Every(ms) => (after.0.div_euclid(*ms) + 1).checked_mul(*ms).map(Millis),
        }
    }
}

impl fmt::Display for Schedule {
    /// `0 2 * * * (Europe/Berlin)`, or `every 15m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.spec() {
            Spec::Cron { expression, timezone } => write!(f, "{expression} ({timezone})"),
            Spec::Every(interval) => write!(f, "every {}", humantime::format_duration(interval)),
        }
    }
}

/// When the slot at `slot` is let go: it, or up to `jitter` (at most [`JITTER_MAX`]) later, by a hash of trigger and
/// slot. So triggers that share a slot spread out, and every scheduler computes the same moment.
pub fn jittered(slot: Millis, jitter: Duration, trigger: &TriggerId) -> Millis {
    let span = u64::try_from(jitter.min(JITTER_MAX).as_millis()).unwrap_or(0);
    if span == 0 {
        return slot;
    }
    let digest = Sha256::digest(format!("jitter\n{trigger}\n{}", slot.0));
    let mut word = [0u8; 8];
    word.copy_from_slice(&digest[..8]);
    slot.plus(Duration::from_millis(u64::from_be_bytes(word) % (span + 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_interval_is_anchored_at_the_epoch() {
        let quarter = Schedule::every(Duration::from_mins(15)).unwrap();
        let at = |ms| quarter.next_after(Millis(ms)).unwrap().0;
        assert_eq!(
            [at(0), at(899_999), at(900_000), at(-1), at(-900_000)],
            [900_000, 900_000, 1_800_000, 0, 0]
        );
        assert_eq!(quarter.next_after(Millis(i64::MAX)), None);
        assert_eq!(quarter.to_string(), "every 15m");
        assert_eq!(quarter.spec(), Spec::Every(Duration::from_mins(15)));
    }

    #[test]
    fn an_interval_has_limits() {
        for wrong in [Duration::ZERO, Duration::from_millis(999), EVERY_MAX + Duration::from_millis(1)] {
            let error = Schedule::every(wrong).unwrap_err().to_string();
            assert!(error.contains("between 1s and 366d"), "{error}");
        }
        assert!(Schedule::every(EVERY_MIN).is_ok() && Schedule::every(EVERY_MAX).is_ok());
    }

    #[test]
    fn schedules_are_equal_when_their_words_are() {
        let cron = |text, zone| Schedule::cron(text, zone).unwrap();
        assert_eq!(cron("0 2 * * *", None), cron(" 0  2 * * *", Some("UTC")));
        assert_ne!(cron("0 2 * * *", None), cron("0 2 * * *", Some("Europe/Berlin")));
        assert_eq!(cron("0 2 * * *", Some("Europe/Berlin")).to_string(), "0 2 * * * (Europe/Berlin)");
    }

    proptest! {
        #[test]
        fn jitter_only_delays_and_is_the_same_everywhere(slot in any::<i32>(), jitter in 0u64..200_000_000) {
            let (slot, jitter) = (Millis(i64::from(slot) * 1000), Duration::from_millis(jitter));
            let trigger: TriggerId = "nightly".parse().unwrap();
            let at = jittered(slot, jitter, &trigger);
            prop_assert!(at >= slot && at <= slot.plus(jitter.min(JITTER_MAX)));
            prop_assert_eq!(at, jittered(slot, jitter, &trigger));
        }
    }

    #[test]
    fn triggers_that_share_a_slot_spread_out() {
        let minute = Duration::from_mins(1);
        let delays: Vec<i64> =
            (0..100).map(|n| jittered(Millis(0), minute, &format!("t{n}").parse().unwrap()).0).collect();
        assert!(delays.iter().any(|d| *d < 10_000) && delays.iter().any(|d| *d > 50_000));
    }
}
