//! Texts as dates.

use jiff::civil::{Date, DateTime, ISOWeekDate, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::format::{DAYS, MONTHS, Part, parts};

/// ISO 8601: a date, a date and a time, with or without an offset. Without one it is in `zone`, or UTC; with one it keeps
/// the moment, and is shown in `zone`, or UTC.
pub(super) fn iso(text: &str, zone: Option<TimeZone>) -> Option<Zoned> {
    let zone = zone.unwrap_or(TimeZone::UTC);
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.to_zoned(zone));
    }
    let civil = text.parse::<DateTime>().ok().or_else(|| partial(text));
    civil?.to_zoned(zone).ok()
}

/// `2026`, `2026-01`, `2026-W05`, `2026-W05-6`, `2026-031`
fn partial(text: &str) -> Option<DateTime> {
    let (year, rest) = text.split_at_checked(4)?;
    let year: i16 = year.parse().ok()?;
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    let date = if let Some(week) = rest.strip_prefix('W') {
        let (week, day) = week.split_once('-').unwrap_or((week, "1"));
        let day = Weekday::from_monday_one_offset(day.parse().ok()?).ok()?;
        ISOWeekDate::new(year, week.parse().ok()?, day).ok()?.date()
    } else {
        match rest.len() {
            0 => Date::new(year, 1, 1).ok()?,
            2 => Date::new(year, rest.parse().ok()?, 1).ok()?,
            3 => Date::new(year, 1, 1).ok()?.with().day_of_year(rest.parse().ok()?).build().ok()?,
            _ => return None,
        }
    };
    Some(date.to_datetime(jiff::civil::Time::midnight()))
}

/// `+2`, `+02`, `+0200`, `-02:30`
pub(super) fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let plain = |part: &str| part.chars().all(|c| c.is_ascii_digit()).then(|| part.parse::<i32>().ok())?;
    Offset::from_seconds(sign * (plain(hours)? * 3600 + plain(minutes)? * 60)).ok()
}

/// What was read so far of a text in a format.
#[derive(Default)]
struct Read {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    ordinal: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    millisecond: i16,
    afternoon: Option<bool>,
    zone: Option<TimeZone>,
    at: Option<Timestamp>,
}

/// Luxon's tokens. What the format leaves out is the first there is; the year is then 1970.
pub(super) fn in_format(text: &str, format: &str, zone: TimeZone) -> Option<Zoned> {
    let (mut read, mut rest) = (Read::default(), text.trim());
    for part in parts(format) {
        rest = match part {
            Part::Text(text) => rest.strip_prefix(text.as_str())?,
            Part::Token(letter, letters) => read.token(letter, letters, rest)?,
        };
    }
    rest.trim().is_empty().then(|| read.zoned(zone))?
}

impl Read {
    /// Reads one token from the front of `text`; the rest of it.
    fn token<'t>(&mut self, letter: char, letters: usize, text: &'t str) -> Option<&'t str> {
        // One letter takes what digits there are (a year four at most), several take as many as they are.
        let digits = |most: usize| {
            let most = if letters == 1 { most } else { letters };
            let end = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
            (end >= letters.min(most) && end > 0).then(|| text.split_at(end))
        };
        let (rest, _) = match (letter, letters) {
            ('y', 2) => {
                let (year, rest) = digits(2)?;
                let year: i16 = year.parse().ok()?;
                (rest, self.year = Some(if year > 60 { 1900 + year } else { 2000 + year }))
            }
            ('y', _) => digits(4).and_then(|(n, rest)| Some((rest, self.year = Some(n.parse().ok()?))))?,
            ('M' | 'L', 1 | 2) => {
                digits(2).and_then(|(n, rest)| Some((rest, self.month = Some(n.parse().ok()?))))?
            }
            ('M' | 'L', _) => name(text, MONTHS, letters).map(|(n, rest)| (rest, self.month = Some(n)))?,
            ('d', _) => digits(2).and_then(|(n, rest)| Some((rest, self.day = Some(n.parse().ok()?))))?,
            ('o', _) => digits(3).and_then(|(n, rest)| Some((rest, self.ordinal = Some(n.parse().ok()?))))?,
            ('H' | 'h', _) => digits(2).and_then(|(n, rest)| Some((rest, self.hour = n.parse().ok()?)))?,
            ('m', _) => digits(2).and_then(|(n, rest)| Some((rest, self.minute = n.parse().ok()?)))?,
            ('s', _) => digits(2).and_then(|(n, rest)| Some((rest, self.second = n.parse().ok()?)))?,
            ('S', _) => digits(3).and_then(|(n, rest)| Some((rest, self.millisecond = n.parse().ok()?)))?,
            ('a', _) => {
                let (half, rest) = text.split_at_checked(2)?;
                let afternoon = match half.to_uppercase().as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                };
                (rest, self.afternoon = Some(afternoon))
            }
            ('E' | 'c', 2..) => name(text, DAYS, letters).map(|(_, rest)| (rest, ()))?,
            ('Z', _) => {
                let end =
                    text.find(|c: char| !(c.is_ascii_digit() || "+-:".contains(c))).unwrap_or(text.len());
                let (written, rest) = text.split_at(end);
                (rest, self.zone = Some(TimeZone::fixed(offset(written)?)))
            }
            ('z', _) => {
                let end = text.find(char::is_whitespace).unwrap_or(text.len());
                let (written, rest) = text.split_at(end);
                (rest, self.zone = Some(super::zone_of(written)?))
            }
            ('X', _) => {
                let (n, rest) = number(text)?;
                (rest, self.at = Some(Timestamp::from_second(n).ok()?))
            }
            ('x', _) => {
                let (n, rest) = number(text)?;
                (rest, self.at = Some(Timestamp::from_millisecond(n).ok()?))
            }
            _ => return None,
        };
        Some(rest)
    }

    fn zoned(self, zone: TimeZone) -> Option<Zoned> {
        if let Some(at) = self.at {
            return Some(at.to_zoned(zone));
        }
        let year = self.year.unwrap_or(1970);
        let date = match self.ordinal {
            Some(ordinal) => Date::new(year, 1, 1).ok()?.with().day_of_year(ordinal).build().ok()?,
            None => Date::new(year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?,
        };
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let nanos = i32::from(self.millisecond) * 1_000_000;
        let time = jiff::civil::Time::new(hour, self.minute, self.second, nanos).ok()?;
        // A moment with an offset of its own is shown in the zone that was asked for.
        let there = date.to_datetime(time).to_zoned(self.zone.unwrap_or_else(|| zone.clone())).ok()?;
        Some(there.with_time_zone(zone))
    }
}

fn number(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// The number, from 1, of the name at the front of `text`, which three letters shorten.
fn name<'t>(text: &'t str, names: &[&str], letters: usize) -> Option<(i8, &'t str)> {
    names.iter().zip(1..).find_map(|(name, number)| {
        let name = if letters == 3 { name.get(..3)? } else { name };
        let (front, rest) = text.split_at_checked(name.len())?;
        front.eq_ignore_ascii_case(name).then_some((number, rest))
    })
}
