//! The formats of texts.

use jiff::Timestamp;
use jiff::civil::Date;

use crate::id::AccountId;

/// Every format that can be declared. Those that are not looked at stand last.
pub(super) const ALL: [&str; 20] = [
    "date",
    "date-time",
    "updated_at",
    "email",
    "uri",
    "uuid",
    "ipv4",
    "ipv6",
    "integrated_account_id",
    "webhook_id",
    "datastore_id",
    "time",
    "duration",
    "hostname",
    "idn-email",
    "idn-hostname",
    "iri",
    "uri-reference",
    "regex",
    "json-pointer",
];

/// What a text of this format looks like, when `text` is none.
pub(super) fn refusal(format: &str, text: &str) -> Option<&'static str> {
    let (good, like) = match format {
        "date" => (is_date(text), "2026-01-31"),
        "date-time" => (text.parse::<Timestamp>().is_ok(), "2026-01-31T08:00:00Z"),
        "updated_at" => (is_date(text) || text.parse::<Timestamp>().is_ok(), "2026-01-31T08:00:00Z"),
        "email" => (is_email(text), "jane@example.com"),
        "uri" => (url::Url::parse(text).is_ok(), "https://example.com/path"),
        "uuid" => (text.parse::<uuid::Uuid>().is_ok(), "0197f1c2-3c4d-7e5f-8a9b-0c1d2e3f4a5b"),
        "ipv4" => (text.parse::<std::net::Ipv4Addr>().is_ok(), "192.0.2.1"),
        "ipv6" => (text.parse::<std::net::Ipv6Addr>().is_ok(), "2001:db8::1"),
        // Ids of all kinds are written alike.
        "integrated_account_id" | "webhook_id" => {
            (text.parse::<AccountId>().is_ok(), "the id of a definition")
        }
        "datastore_id" => (!text.is_empty(), "the id of a datastore"),
        _ => return None,
    };
    (!good).then_some(like)
}

/// `2026-01-31` and nothing behind it.
fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<Date>().is_ok()
}

/// One `@` with something on both sides, and no white space: more would refuse addresses that work.
fn is_email(text: &str) -> bool {
    let sides = text.rsplit_once('@');
    sides.is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !text.contains(char::is_whitespace)
            && !domain.starts_with('.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_looked_at() {
        for (format, good, bad) in [
            ("date", "2026-02-28", "2026-02-30"),
            ("date", "2026-02-28", "2026-02-28T00:00:00Z"),
            ("date-time", "2026-02-28T00:00:00+01:00", "2026-02-28"),
            ("updated_at", "2026-02-28", "yesterday"),
            ("updated_at", "2026-02-28T00:00:00.5Z", "28.2.2026"),
            ("email", "a.b+c@example.com", "a b@example.com"),
            ("email", "\"a@b\"@example.com", "example.com"),
            ("uri", "https://example.com/a?b=c", "example.com"),
            ("uuid", "0197f1c2-3c4d-7e5f-8a9b-0c1d2e3f4a5b", "0197f1c2"),
            ("ipv4", "192.0.2.1", "192.0.2.256"),
            ("ipv6", "2001:db8::1", "2001:db8:::1"),
            ("webhook_id", "backend-1", "my backend"),
            ("integrated_account_id", "acme", ""),
            ("datastore_id", "any thing", ""),
        ] {
            assert_eq!(refusal(format, good), None, "{format} {good}");
            assert!(refusal(format, bad).is_some(), "{format} {bad}");
        }
        assert_eq!(refusal("hostname", "not looked at"), None);
    }
}
