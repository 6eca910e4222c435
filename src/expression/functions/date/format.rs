//! Dates as texts, in Luxon's tokens.

use jiff::Zoned;

pub(super) const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: &[&str] =
    &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

pub(super) fn long(names: &[&'static str], index: i8) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

pub(super) fn short(names: &[&'static str], index: i8) -> &'static str {
    long(names, index).get(..3).unwrap_or_default()
}

/// `2026-01-31T08:00:00.000Z`, or with the offset that is not that of UTC.
pub(super) fn iso(zoned: &Zoned) -> String {
    let end = if zone_name(zoned) == "UTC" { "Z".to_owned() } else { offset(zoned, 2) };
    format!("{}{end}", in_format(zoned, "yyyy-MM-dd'T'HH:mm:ss.SSS"))
}

/// `Europe/Paris`, `UTC` or `UTC+2`
pub(super) fn zone_name(zoned: &Zoned) -> String {
    match zoned.time_zone().iana_name() {
        Some(name) => name.to_owned(),
        None if zoned.offset().seconds() == 0 => "UTC".to_owned(),
        None => format!("UTC{}", offset(zoned, 1)),
    }
}

/// `+2`, `+02:00` or `+0200`, as many letters as the token has.
fn offset(zoned: &Zoned, letters: usize) -> String {
    let minutes = zoned.offset().seconds() / 60;
    let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
    let (hours, minutes) = (minutes / 60, minutes % 60);
    match letters {
        1 if minutes == 0 => format!("{sign}{hours}"),
        1 => format!("{sign}{hours}:{minutes:02}"),
        2 => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}{minutes:02}"),
    }
}

/// The parts of a format: a letter and how often it is repeated, or text that stands for itself.
pub(super) enum Part {
    Token(char, usize),
    Text(String),
}

pub(super) fn parts(format: &str) -> Vec<Part> {
    let mut parts = vec![];
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            parts.push(Part::Text(chars.by_ref().take_while(|c| *c != '\'').collect()));
        } else if c.is_ascii_alphabetic() {
            let mut letters = 1;
            while chars.next_if_eq(&c).is_some() {
                letters += 1;
            }
            parts.push(Part::Token(c, letters));
        } else {
            parts.push(Part::Text(c.to_string()));
        }
    }
    parts
}

pub(super) fn in_format(zoned: &Zoned, format: &str) -> String {
    parts(format)
        .into_iter()
        .map(|part| match part {
            Part::Text(text) => text,
            Part::Token(letter, letters) => token(zoned, letter, letters),
        })
        .collect()
}

fn token(zoned: &Zoned, letter: char, letters: usize) -> String {
    let padded = |number: i64| format!("{number:0letters$}");
    let hour = i64::from(zoned.hour());
    match (letter, letters) {
        ('y' | 'k', 2) => format!("{:02}", zoned.year().rem_euclid(100)),
        ('y', _) => padded(zoned.year().into()),
        ('k', _) => padded(zoned.date().iso_week_date().year().into()),
        ('M' | 'L', 1 | 2) => padded(zoned.month().into()),
        ('M' | 'L', 3) => short(MONTHS, zoned.month() - 1).to_owned(),
        ('M' | 'L', _) => long(MONTHS, zoned.month() - 1).to_owned(),
        ('d', _) => padded(zoned.day().into()),
        ('o', _) => padded(zoned.day_of_year().into()),
        ('q', _) => padded(i64::from((zoned.month() - 1) / 3 + 1)),
        ('W', _) => padded(zoned.date().iso_week_date().week().into()),
        ('E' | 'c', 1) => zoned.weekday().to_monday_one_offset().to_string(),
        ('E' | 'c', 3) => short(DAYS, zoned.weekday().to_monday_zero_offset()).to_owned(),
        ('E' | 'c', _) => long(DAYS, zoned.weekday().to_monday_zero_offset()).to_owned(),
        ('H', _) => padded(hour),
        ('h', _) => padded((hour + 11) % 12 + 1),
        ('m', _) => padded(zoned.minute().into()),
        ('s', _) => padded(zoned.second().into()),
        ('S' | 'u', _) => padded(zoned.millisecond().into()),
        ('a', _) => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        ('Z', _) => offset(zoned, letters),
        ('z', _) => zone_name(zoned),
        ('X', _) => zoned.timestamp().as_second().to_string(),
        ('x', _) => zoned.timestamp().as_millisecond().to_string(),
        _ => letter.to_string().repeat(letters),
    }
}
