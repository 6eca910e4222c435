//! Dates, as `$dtFromIso` and `$dtFromFormat` give them: objects with the members of a Luxon `DateTime`; the prelude
//! (`_date`) adds its functions, which come back here. A date without a meaning is an object whose `isValid` is false.

mod format;
mod read;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Span, SpanTotal, Timestamp, Unit, Zoned};
use jsonata_core::evaluator::EvaluatorError;
use jsonata_core::value::JValue;

use super::value::object;
use super::{Answer, Args, Function};
use crate::expression::output::DATE_TEXT;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: " dateFromIso", call: from_iso },
    Function { name: " dateFromFormat", call: from_format },
    Function { name: " datePlus", call: |args| shift(args, 1) },
    Function { name: " dateMinus", call: |args| shift(args, -1) },
    Function { name: " dateSet", call: set },
    Function { name: " dateStartOf", call: start_of },
    Function { name: " dateEndOf", call: end_of },
    Function { name: " dateSetZone", call: set_zone },
    Function { name: " dateDiff", call: diff },
    Function { name: " dateFormat", call: in_format },
    Function {
        name: " dateIso",
        call: |args| Ok(args.get(0).get(DATE_TEXT).cloned().unwrap_or(JValue::Null)),
    },
];

/// The members of a date; those of none say that it is invalid.
fn date(zoned: Option<&Zoned>) -> JValue {
    let Some(zoned) = zoned else {
        let members = [("isValid", JValue::Bool(false)), (DATE_TEXT, JValue::Null)];
        return object(members.map(|(name, value)| (name.to_owned(), value)));
    };
    let week = zoned.date().iso_week_date();
    let number = |n: i64| JValue::from(n);
    let members = [
        ("isValid", JValue::Bool(true)),
        (DATE_TEXT, JValue::from(format::iso(zoned))),
        ("ts", number(zoned.timestamp().as_millisecond())),
        ("year", number(zoned.year().into())),
        ("quarter", number(i64::from((zoned.month() - 1) / 3 + 1))),
        ("month", number(zoned.month().into())),
        ("day", number(zoned.day().into())),
        ("hour", number(zoned.hour().into())),
        ("minute", number(zoned.minute().into())),
        ("second", number(zoned.second().into())),
        ("millisecond", number(zoned.millisecond().into())),
        ("weekYear", number(week.year().into())),
        ("weekNumber", number(week.week().into())),
        ("weekday", number(zoned.weekday().to_monday_one_offset().into())),
        ("ordinal", number(zoned.day_of_year().into())),
        ("monthShort", JValue::from(format::short(format::MONTHS, zoned.month() - 1))),
        ("monthLong", JValue::from(format::long(format::MONTHS, zoned.month() - 1))),
        ("weekdayShort", JValue::from(format::short(format::DAYS, zoned.weekday().to_monday_zero_offset()))),
        ("weekdayLong", JValue::from(format::long(format::DAYS, zoned.weekday().to_monday_zero_offset()))),
        ("offset", number(i64::from(zoned.offset().seconds() / 60))),
        ("zoneName", JValue::from(format::zone_name(zoned))),
        ("daysInMonth", number(zoned.days_in_month().into())),
        ("daysInYear", number(zoned.days_in_year().into())),
        ("isInLeapYear", JValue::Bool(zoned.in_leap_year())),
    ];
    object(members.map(|(name, value)| (name.to_owned(), value)))
}

/// The date that an object is, or that a text or a number of milliseconds says.
fn date_of(value: &JValue) -> Option<Zoned> {
    match value {
        JValue::String(text) => read::iso(text, None),
        JValue::Number(_) => Some(Timestamp::from_millisecond(value.as_i64()?).ok()?.to_zoned(TimeZone::UTC)),
        other => {
            let zone = zone_of(other.get("zoneName")?.as_str()?)?;
            let millis = whole(other.get("ts")?)?;
            Some(Timestamp::from_millisecond(millis).ok()?.to_zoned(zone))
        }
    }
}

/// `Europe/Paris`, `UTC`, `UTC+2`, `+02:00`.
fn zone_of(name: &str) -> Option<TimeZone> {
    let upper = name.trim().to_uppercase();
    if matches!(upper.as_str(), "UTC" | "GMT" | "Z" | "LOCAL" | "SYSTEM" | "DEFAULT") {
        return Some(TimeZone::UTC);
    }
    let offset = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT")).unwrap_or(&upper);
    match read::offset(offset) {
        Some(offset) => Some(TimeZone::fixed(offset)),
        None => TimeZone::get(name.trim()).ok(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
fn whole(value: &JValue) -> Option<i64> {
    value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15).map(|number| number as i64)
}

/// `$dtFromIso(text, zone)`
fn from_iso(args: &Args) -> Answer {
    let zone = match args.optional(1) {
        None => None,
        Some(_) => {
            Some(zone_of(args.text(1)?).ok_or_else(|| args.wants(1, "a time zone such as Europe/Paris"))?)
        }
    };
    let zoned = args.get(0).as_str().and_then(|text| read::iso(text, None));
    Ok(date(
        zoned
            .map(|zoned| match zone {
                Some(zone) => zoned.with_time_zone(zone),
                None => zoned,
            })
            .as_ref(),
    ))
}

/// `$dtFromFormat(text, format, {"zone": …})`
fn from_format(args: &Args) -> Answer {
    let zone = args.get(2).get("zone").and_then(JValue::as_str);
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => zone_of(name).ok_or_else(|| args.wants(2, "an object whose zone is a time zone"))?,
    };
    let text = super::value::text_of(args.get(0));
    let zoned = match args.text_or(1, "ISO")? {
        "ISO" => read::iso(&text, Some(zone)),
        "RFC2822" => jiff::fmt::rfc2822::parse(&text).ok(),
        "fromSeconds" => {
            let seconds = text.trim().parse::<i64>().ok();
            seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).map(|at| at.to_zoned(zone))
        }
        format => read::in_format(&text, format, zone),
    };
    Ok(date(zoned.as_ref()))
}

/// Plus or minus `{"days": 1, "hours": -2}`, or a number of milliseconds.
fn shift(args: &Args, sign: i64) -> Answer {
    let span = span_of(args, 1, sign)?;
    Ok(date(date_of(args.get(0)).and_then(|zoned| zoned.checked_add(span).ok()).as_ref()))
}

fn span_of(args: &Args, index: usize, sign: i64) -> Result<Span, EvaluatorError> {
    let wrong = || args.wants(index, "an object such as {\"days\": 1}, of whole numbers");
    let mut span = Span::new();
    let value = args.get(index);
    let Some(parts) = value.as_object() else {
        let millis = whole(value).ok_or_else(wrong)?;
        return Span::new().try_milliseconds(sign * millis).map_err(|_| wrong());
    };
    for (name, value) in parts.iter().filter(|(_, value)| !value.is_function()) {
        let amount = sign * whole(value).ok_or_else(wrong)?;
        let put = match name.trim_end_matches('s') {
            "year" => span.try_years(amount),
            "quarter" => span.try_months(amount.saturating_mul(3)),
            "month" => span.try_months(amount),
            "week" => span.try_weeks(amount),
            "day" => span.try_days(amount),
            "hour" => span.try_hours(amount),
            "minute" => span.try_minutes(amount),
            "second" => span.try_seconds(amount),
            "millisecond" => span.try_milliseconds(amount),
            _ => return Err(wrong()),
        };
        span = put.map_err(|_| wrong())?;
    }
    Ok(span)
}

/// `set({"day": 1})`
fn set(args: &Args) -> Answer {
    let Some(zoned) = date_of(args.get(0)) else { return Ok(date(None)) };
    let wrong = || args.wants(1, "an object such as {\"day\": 1}");
    let parts = args.get(1).as_object().ok_or_else(wrong)?;
    let mut with = zoned.with();
    for (name, value) in parts {
        let number = i16::try_from(whole(value).ok_or_else(wrong)?).map_err(|_| wrong())?;
        let small = i8::try_from(number).map_err(|_| wrong());
        with = match name.trim_end_matches('s') {
            "year" => with.year(number),
            "month" => with.month(small?),
            "day" => with.day(small?),
            "hour" => with.hour(small?),
            "minute" => with.minute(small?),
            "second" => with.second(small?),
            "millisecond" => with.millisecond(number),
            _ => return Err(wrong()),
        };
    }
    Ok(date(with.build().ok().as_ref()))
}

/// The first moment of the unit that the date is in.
fn start(zoned: &Zoned, unit: &str) -> Option<Zoned> {
    let date = zoned.date();
    let first = match unit.trim_end_matches('s') {
        "year" => date.first_of_year(),
        "quarter" => date.first_of_month().checked_sub(Span::new().months((date.month() - 1) % 3)).ok()?,
        "month" => date.first_of_month(),
        "week" => date.tomorrow().ok()?.nth_weekday(-1, Weekday::Monday).ok()?,
        "day" => date,
        smaller => {
            let unit = match smaller {
                "hour" => Unit::Hour,
                "minute" => Unit::Minute,
                "second" => Unit::Second,
                "millisecond" => Unit::Millisecond,
                _ => return None,
            };
            let round = jiff::ZonedRound::new().smallest(unit).mode(jiff::RoundMode::Trunc);
            return zoned.round(round).ok();
        }
    };
    first.to_zoned(zoned.time_zone().clone()).ok()
}

const UNITS: &str = "a unit: year, quarter, month, week, day, hour, minute, second or millisecond";

fn start_of(args: &Args) -> Answer {
    let unit = args.text(1)?;
    let Some(zoned) = date_of(args.get(0)) else { return Ok(date(None)) };
    Ok(date(Some(&start(&zoned, unit).ok_or_else(|| args.wants(1, UNITS))?)))
}

/// The last millisecond of the unit.
fn end_of(args: &Args) -> Answer {
    let unit = args.text(1)?;
    let Some(zoned) = date_of(args.get(0)) else { return Ok(date(None)) };
    let first = start(&zoned, unit).ok_or_else(|| args.wants(1, UNITS))?;
    let next = match unit.trim_end_matches('s') {
        "year" => Span::new().years(1),
        "quarter" => Span::new().months(3),
        "month" => Span::new().months(1),
        "week" => Span::new().weeks(1),
        "day" => Span::new().days(1),
        "hour" => Span::new().hours(1),
        "minute" => Span::new().minutes(1),
        "second" => Span::new().seconds(1),
        _ => Span::new().milliseconds(1),
    };
    let last = first.checked_add(next).and_then(|next| next.checked_sub(Span::new().milliseconds(1)));
    Ok(date(last.ok().as_ref()))
}

fn set_zone(args: &Args) -> Answer {
    let zone = zone_of(args.text(1)?).ok_or_else(|| args.wants(1, "a time zone such as Europe/Paris"))?;
    Ok(date(date_of(args.get(0)).map(|zoned| zoned.with_time_zone(zone)).as_ref()))
}

/// `diff(other, "days")` → `{"days": 1.5}`; milliseconds when no unit is given.
fn diff(args: &Args) -> Answer {
    let unit = args.text_or(2, "milliseconds")?;
    let (Some(to), Some(from)) = (date_of(args.get(0)), date_of(args.get(1))) else {
        return Ok(JValue::Null);
    };
    let (unit_of, times) = match unit.trim_end_matches('s') {
        "year" => (Unit::Year, 1.0),
        "quarter" => (Unit::Month, 3.0),
        "month" => (Unit::Month, 1.0),
        "week" => (Unit::Week, 1.0),
        "day" => (Unit::Day, 1.0),
        "hour" => (Unit::Hour, 1.0),
        "minute" => (Unit::Minute, 1.0),
        "second" => (Unit::Second, 1.0),
        "millisecond" => (Unit::Millisecond, 1.0),
        _ => return Err(args.wants(2, UNITS)),
    };
    let from = from.with_time_zone(to.time_zone().clone());
    let total = from.until(&to).and_then(|span| span.total(SpanTotal::from(unit_of).relative(&from)));
    let total = total.map_err(|_| args.refuse("the dates are too far apart"))?;
    Ok(object([(format!("{}s", unit.trim_end_matches('s')), JValue::Number(total / times))]))
}

fn in_format(args: &Args) -> Answer {
    Ok(match date_of(args.get(0)) {
        Some(zoned) => JValue::from(format::in_format(&zoned, args.text(1)?)),
        None => JValue::Null,
    })
}
