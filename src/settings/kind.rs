//! How single settings are written: as text, in the file and in the environment alike. Each kind knows its default,
//! what it allows, and whether its value may be shown.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use crate::id::EnvironmentId;
use crate::seal::SealKey;

use super::redis_address::RedisAddress;

/// The shortest token that is accepted: 16 characters at random can't be guessed.
const TOKEN_CHARS_MIN: usize = 16;

/// The longest list in one setting.
const LIST_MAX: usize = 256;

/// Reads what was written; one text unless the kind is a list.
type Read<T> = dyn Fn(&[String]) -> Option<T>;

/// How one setting is written and read.
pub(super) struct Kind<T> {
    /// Written as a value would be; `None` when the setting must be given, empty when it may be left out.
    pub(super) default: Option<&'static str>,
    /// What may be written, as the end of a sentence: "write …".
    pub(super) allowed: String,
    /// Whether its value may be shown.
    pub(super) secret: bool,
    read: Box<Read<T>>,
    list: bool,
}

/// What was written.
pub(super) enum Given {
    /// One value.
    One(String),
    /// A list, as files can have it.
    Many(Vec<String>),
}

impl<T> Kind<T> {
    fn new(
        default: &'static str,
        allowed: impl Into<String>,
        read: impl Fn(&str) -> Option<T> + 'static,
    ) -> Self {
        Self {
            default: Some(default),
            allowed: allowed.into(),
            secret: false,
            read: Box::new(move |texts| read(texts.first()?)),
            list: false,
        }
    }

    fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    fn required(mut self) -> Self {
        self.default = None;
        self
    }

    /// The value, when what was written is allowed.
    pub(super) fn read(&self, given: &Given) -> Option<T> {
        match given {
            Given::One(text) if self.list => {
                let texts: Vec<String> = text
                    .split(',')
                    .map(|part| part.trim().to_owned())
                    .filter(|part| !part.is_empty())
                    .collect();
                (self.read)(&texts)
            }
            Given::One(text) => (self.read)(&[text.trim().to_owned()]),
            Given::Many(texts) if self.list => (self.read)(texts),
            Given::Many(_) => None,
        }
    }
}

/// A whole number.
pub(super) fn whole<T: TryFrom<u64>>(default: &'static str, range: RangeInclusive<u64>) -> Kind<T> {
    let allowed = format!("a whole number from {} to {}", range.start(), range.end());
    Kind::new(default, allowed, move |text| {
        let number = text.parse::<u64>().ok().filter(|number| range.contains(number))?;
        T::try_from(number).ok()
    })
}

/// A length of time such as `90s` or `1h 30m`.
pub(super) fn duration(default: &'static str, min: Duration, max: Duration) -> Kind<Duration> {
    let shown = |duration| humantime::format_duration(duration).to_string();
    let allowed = format!("a duration from {} to {}, such as `{default}`", shown(min), shown(max));
    Kind::new(default, allowed, move |text| {
        humantime::parse_duration(text).ok().filter(|duration| (min..=max).contains(duration))
    })
}

/// A number of bytes such as `64MiB` or `65536`.
pub(super) fn bytes(default: &'static str, min: usize, max: usize) -> Kind<usize> {
    let allowed = format!(
        "a size from {} to {}, such as `{default}`, or a number of bytes",
        in_bytes(min),
        in_bytes(max)
    );
    Kind::new(default, allowed, move |text| parse_bytes(text).filter(|bytes| (min..=max).contains(bytes)))
}

const UNITS: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

fn parse_bytes(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((lower.strip_suffix(&suffix.to_ascii_lowercase())?, *unit)))
        .unwrap_or((&lower, 1));
    digits.trim_end().parse::<usize>().ok()?.checked_mul(unit)
}

fn in_bytes(bytes: usize) -> String {
    let (suffix, unit) =
        UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)).unwrap_or(&UNITS[3]);
    format!("{}{suffix}", bytes / unit)
}

/// Yes or no.
pub(super) fn switch(default: &'static str) -> Kind<bool> {
    choice(default, &[("true", true), ("false", false)])
}

/// One of a few words.
pub(super) fn choice<T: Copy + 'static>(
    default: &'static str,
    words: &'static [(&'static str, T)],
) -> Kind<T> {
    let allowed = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    Kind::new(default, allowed, |text| words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value))
}

/// What `inner` takes, or nothing.
pub(super) fn optional<T: 'static>(inner: Kind<T>) -> Kind<Option<T>> {
    let allowed = inner.allowed.clone();
    Kind::new("", allowed, move |text| match text {
        "" => Some(None),
        text => inner.read(&Given::One(text.to_owned())).map(Some),
    })
}

/// A list of what `item` takes; in the environment, with commas between.
pub(super) fn list<T: 'static>(item: Kind<T>) -> Kind<Vec<T>> {
    Kind {
        default: Some(""),
        allowed: format!("a list of up to {LIST_MAX}, each {}", item.allowed),
        secret: item.secret,
        read: Box::new(move |texts| {
            let fits = texts.len() <= LIST_MAX;
            fits.then(|| texts.iter().map(|text| item.read(&Given::One(text.clone()))).collect())?
        }),
        list: true,
    }
}

pub(super) fn socket(default: &'static str) -> Kind<SocketAddr> {
    Kind::new(default, "an IP address and a port, such as `0.0.0.0:8080`", |text| text.parse().ok())
}

pub(super) fn environment_id(default: &'static str) -> Kind<EnvironmentId> {
    Kind::new(default, "1 to 128 letters, digits, `-`, `_` or `.`", |text| text.parse().ok())
}

/// An address may carry a password, so it counts as a secret.
pub(super) fn redis_url(default: &'static str) -> Kind<SecretString> {
    let allowed = "`redis://host:port`, `unix:///path/to/socket`, `redis+sentinel://host:port,host:port/name-of-primary` or \
                   `redis+cluster://host:port,host:port` (`rediss…` for TLS)";
    let known = |text: &str| RedisAddress::parse(text).map(|_| text.to_owned().into());
    Kind::new(default, allowed, known).secret()
}

pub(super) fn token() -> Kind<SecretString> {
    let allowed = format!("a token of {TOKEN_CHARS_MIN} or more visible ASCII characters without commas");
    let usable = |text: &str| {
        let plain = text.chars().all(|c| c.is_ascii_graphic() && c != ',');
        (plain && text.len() >= TOKEN_CHARS_MIN).then(|| text.to_owned().into())
    };
    Kind::new("", allowed, usable).secret()
}

pub(super) fn seal_key() -> Kind<SealKey> {
    Kind::new("", "32 random bytes as base64 or hex", |text| SealKey::parse(&text.to_owned().into()).ok())
        .secret()
        .required()
}

pub(super) fn networks() -> Kind<IpNet> {
    Kind::new("", "a network as CIDR, such as `10.1.0.0/16`", |text| text.parse().ok())
}

pub(super) fn log_filter(default: &'static str) -> Kind<String> {
    let allowed = "a level (`error`, `warn`, `info`, `debug`, `trace`) or directives with commas between";
    Kind::new(default, allowed, |text| {
        let readable = !text.is_empty() && EnvFilter::try_new(text).is_ok();
        readable.then(|| text.to_owned())
    })
}

/// Shows what was written, cut short.
pub(super) fn shown(given: &Given) -> String {
    const CHARS_MAX: usize = 80;
    let short = |text: &dyn Display| text.to_string().chars().take(CHARS_MAX).collect::<String>();
    match given {
        Given::One(text) => format!("{:?}", short(text)),
        Given::Many(texts) => format!("[{}]", short(&texts.join(", "))),
    }
}
