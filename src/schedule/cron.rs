//! Cron expressions in a time zone. `croner` reads them and walks the calendar; what daylight saving does to them is
//! decided here.
//!
//! - An expression that names its hours (`30 2 * * *`, `0 9,17 * * 1-5`) is a *time of day*: a local time that a zone
//!   leaves out is due once, at the first moment after the gap, and one that comes twice is due the first time.
//! - An expression with every hour, or every n-th (`*/15 * * * *`, `0 */2 * * *`), is *interval-like*: it runs through
//!   gap and repetition as the wall clock does.

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::clock::Millis;

/// The longest expression that is read.
pub const CRON_CHARS_MAX: usize = 512;

/// Short names and what they stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Whether an expression is ever due is asked from here on: the calendar repeats, so the answer holds for all time.
const PROBE: Millis = Millis(946_684_800_000); // 2000-01-01

/// Matching local times that are looked at for one answer. More than one is needed inside a repeated stretch of time
/// alone, where all of them have had their first pass: a day of seconds covers the longest repetition ever decreed.
const CANDIDATES_MAX: u32 = 24 * 60 * 60 + 1;

/// Why a text is no cron schedule: what is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Longer than [`CRON_CHARS_MAX`].
    #[error("the cron expression is longer than {CRON_CHARS_MAX} characters: split it into several triggers")]
    Long,
    /// Neither five nor six fields.
    #[error(
        "{expression:?} has {found} fields: write five (minute, hour, day of month, month, day of week), \
         or six with seconds in front, such as `0 2 * * *`"
    )]
    Fields {
        /// As written.
        expression: String,
        /// How many it has.
        found: usize,
    },
    /// An unknown `@name`.
    #[error(
        "{expression:?} is no known nickname: use @yearly, @monthly, @weekly, @daily or @hourly, or `every: 15m`"
    )]
    Nickname {
        /// As written.
        expression: String,
    },
    /// A field that can't be read.
    #[error(
        "{expression:?} is no cron expression: {reason}. Each field takes numbers, `*`, lists `1,15`, ranges `1-5` and \
         steps `*/10`; months and week days also names such as JAN or MON"
    )]
    Field {
        /// As written.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Never due.
    #[error(
        "{expression:?} is never due: its day does not exist in its month; name one that does, or `L` for a month's last"
    )]
    Impossible {
        /// As written.
        expression: String,
    },
    /// No such zone.
    #[error(
        "there is no time zone {name:?}: use an IANA name such as Europe/Berlin, America/New_York or UTC"
    )]
    Timezone {
        /// As written.
        name: String,
    },
}

/// A cron expression in its time zone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cron {
    expression: String,
    timezone: String,
    pattern: croner::Cron,
    zone: TimeZone,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    TimeOfDay,
    IntervalLike,
}

impl Cron {
    pub(super) fn parse(expression: &str, timezone: Option<&str>) -> Result<Self, CronError> {
        if expression.len() > CRON_CHARS_MAX {
            return Err(CronError::Long);
        }
        let expression = expression.split_whitespace().collect::<Vec<_>>().join(" ");
        let plain = without_nickname(&expression)?;
        let fields: Vec<&str> = plain.split(' ').filter(|field| !field.is_empty()).collect();
        if !(5..=6).contains(&fields.len()) {
            return Err(CronError::Fields { found: fields.len(), expression });
        }
        let hours = fields[fields.len() - 4];
        let pattern = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build()
            .parse(plain)
            .map_err(|error| CronError::Field { expression: expression.clone(), reason: reason(&error) })?;
        let every_hour = pattern.pattern.hours.values().len() == 24;
        let kind = if hours.contains('*') || every_hour { Kind::IntervalLike } else { Kind::TimeOfDay };
        let (timezone, zone) = zone(timezone)?;
        let cron = Self { expression, timezone, pattern, zone, kind };
        if cron.next_after(PROBE).is_none() {
            return Err(CronError::Impossible { expression: cron.expression });
        }
        Ok(cron)
    }

    pub(super) fn expression(&self) -> &str {
        &self.expression
    }

    pub(super) fn timezone(&self) -> &str {
        &self.timezone
    }

    /// The first slot strictly after `after`. Slots are whole seconds, so its fraction does not matter.
    pub(super) fn next_after(&self, after: Millis) -> Option<Millis> {
        let second = Timestamp::from_second(after.0.div_euclid(1000)).ok()?;
        let next = match self.kind {
            Kind::TimeOfDay => self.next_time_of_day(second)?,
            Kind::IntervalLike => {
                let start = second.to_zoned(self.zone.clone());
                self.pattern.find_next_occurrence(&start, false).ok()?.timestamp()
            }
        };
        (next > second).then(|| Millis(next.as_millisecond()))
    }

    /// Walks the local calendar and gives each local time its one moment. That moment never goes back as local times
    /// go on, so the first one past `after` is the answer, and nothing before `after`'s own local time can be it.
    fn next_time_of_day(&self, after: Timestamp) -> Option<Timestamp> {
        let mut local = after.to_zoned(self.zone.clone()).datetime();
        let mut inclusive = true;
        for _ in 0..CANDIDATES_MAX {
            local = self.pattern.find_next_occurrence(&local, inclusive).ok()?;
            inclusive = false;
            let moment = self.moment(local)?;
            if moment > after {
                return Some(moment);
            }
        }
        None
    }

    /// When a time of day happens: the first time if it comes twice, the end of the gap if it is left out.
    fn moment(&self, local: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
            // Read with the offset that the gap leads to, a local time in it lies before the change: the next change is it.
            AmbiguousOffset::Gap { .. } => {
                let before = ambiguous.earlier().ok()?;
                self.zone.following(before).next().map(|change| change.timestamp())
            }
        }
    }
}

fn without_nickname(expression: &str) -> Result<&str, CronError> {
    if !expression.starts_with('@') {
        return Ok(expression);
    }
    NICKNAMES
        .iter()
        .find(|(name, _)| expression.eq_ignore_ascii_case(name))
        .map(|(_, plain)| *plain)
        .ok_or_else(|| CronError::Nickname { expression: expression.to_owned() })
}

fn zone(name: Option<&str>) -> Result<(String, TimeZone), CronError> {
    let Some(name) = name else {
        return Ok(("UTC".to_owned(), TimeZone::UTC));
    };
    let name = name.trim();
    let known = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown());
    let zone = known.ok_or_else(|| CronError::Timezone { name: name.chars().take(64).collect() })?;
    Ok((zone.iana_name().unwrap_or(name).to_owned(), zone))
}

/// The library's words without its prefix and full stop, so that they fit into our sentence.
fn reason(error: &croner::errors::CronError) -> String {
    use croner::errors::CronError as Error;
    let text = match error {
        Error::InvalidPattern(text) | Error::IllegalCharacters(text) | Error::ComponentError(text) => {
            text.clone()
        }
        Error::EmptyPattern | Error::InvalidDate | Error::InvalidTime | Error::TimeSearchLimitExceeded => {
            error.to_string()
        }
    };
    text.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
