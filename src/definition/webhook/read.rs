//! From a document to a webhook.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use url::Url;

use super::{Ack, DeliveryRetry, EventType, Webhook};
use super::{HEADER_VALUE_BYTES_MAX, HEADERS_MAX, SECRETS_MAX, TIMEOUT_DEFAULT, TIMEOUT_MAX};
use crate::definition::check::{Fields, Spot};
use crate::definition::{BOOKKEEPING, headers};

const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
const GIVE_UP_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn webhook(root: &Spot<'_>) -> Option<Webhook> {
    let fields = root.fields()?;
    fields.ignore(BOOKKEEPING);
    fields.ignore(&["label", "name", "description"]);
    let id = fields.required("id").and_then(|spot| spot.parsed());
    let target_url = fields.required("target_url").and_then(|spot| target_url(&spot));
    let secrets = secrets(&fields);
    let event_types = fields.maybe("event_types", event_types);
    let is_active = fields.or("is_active", true, Spot::boolean);
    let ack = fields.or("ack", Ack::default(), ack);
    let truto_signature = fields.or("truto_signature", false, Spot::boolean);
    let headers = fields.or("headers", Vec::new(), own_headers);
    let timeout =
        fields.or("timeout", TIMEOUT_DEFAULT, |spot| spot.duration(Duration::from_millis(100)..=TIMEOUT_MAX));
    let retry = fields.or("retry", DeliveryRetry::default(), retry);
    fields.finish();
    Some(Webhook {
        id: id?,
        target_url: target_url?,
        secrets: secrets?,
        event_types: event_types?,
        is_active: is_active?,
        ack: ack?,
        truto_signature: truto_signature?,
        headers: headers?,
        timeout: timeout?,
        retry: retry?,
    })
}

/// The address is never repeated in a message: what stands in it may be a secret.
fn target_url(spot: &Spot<'_>) -> Option<Url> {
    let text = spot.filled()?;
    let refuse = |message: &str, hint: &str| {
        spot.problem(message, Some(hint));
        None
    };
    // The parser would drop or rewrite these, and what is stored would not be what is called.
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return refuse("a URL has no spaces, line breaks or backslashes", "write it as https://host/path");
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return refuse(&format!("this is no URL: {error}"), "write it as https://host/path"),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("only http and https can be called", "write it as https://host/path");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(
            "a URL must not hold a user name or password",
            "send them as a header: headers: {authorization: …}",
        );
    }
    if url.fragment().is_some() {
        return refuse("a fragment (#…) is never sent", "leave it out");
    }
    if url.port() == Some(0) {
        return refuse("there is no port 0", "write the port of the endpoint");
    }
    Some(url)
}

fn secrets(fields: &Fields<'_>) -> Option<Vec<SecretString>> {
    let hint = "deliveries are always signed: secret: ${WEBHOOK_SECRET}";
    let one = fields.get("secret");
    let many = fields.get("secrets");
    match (one, many) {
        (Some(_), Some(many)) => {
            many.problem_of_key(
                "secret and secrets can't both be written",
                Some("put all of them under secrets"),
            );
            None
        }
        (Some(one), None) => Some(vec![secret(&one)?]),
        (None, Some(many)) => {
            let spots = many.list()?;
            if spots.is_empty() || spots.len() > SECRETS_MAX {
                many.problem(
                    &format!("1 to {SECRETS_MAX} secrets are allowed"),
                    Some("the current one comes first"),
                );
                return None;
            }
            let read: Vec<Option<SecretString>> = spots.iter().map(secret).collect();
            read.into_iter().collect()
        }
        (None, None) => {
            fields.missing("secret", Some(hint));
            None
        }
    }
}

fn secret(spot: &Spot<'_>) -> Option<SecretString> {
    let text = spot.filled()?;
    if let Some(encoded) = text.strip_prefix("whsec_")
        && STANDARD.decode(encoded).map_or(true, |key| key.is_empty())
    {
        spot.problem(
            "after whsec_ a secret is base64, and this is not",
            Some("copy all of it, or leave whsec_ out when the secret is plain text"),
        );
        return None;
    }
    Some(SecretString::from(text))
}

/// Kinds of events that webhooks are sent.
fn event_types(spot: &Spot<'_>) -> Option<BTreeSet<EventType>> {
    one_of(spot, EventType::is_sent)
}

/// Kinds of events that runs send.
pub(in crate::definition) fn events_of_runs(spot: &Spot<'_>) -> Option<BTreeSet<EventType>> {
    one_of(spot, |event| event.is_sent() && event.is_of_run())
}

fn one_of(spot: &Spot<'_>, may: impl Fn(EventType) -> bool) -> Option<BTreeSet<EventType>> {
    let spots = spot.list()?;
    if spots.is_empty() {
        spot.problem(
            "this names no event, so nothing would be sent",
            Some("leave event_types out for all of them"),
        );
        return None;
    }
    // What is not sent is better refused than waited for in vain.
    let choices: Vec<(&str, EventType)> =
        EventType::ALL.iter().filter(|event| may(**event)).map(|event| (event.as_str(), *event)).collect();
    let read: Vec<Option<EventType>> = spots.iter().map(|spot| spot.choice(&choices)).collect();
    read.into_iter().collect()
}

/// `"200"`, which YAML takes for a number without quotes, or `2xx`.
fn ack(spot: &Spot<'_>) -> Option<Ack> {
    let text = spot.loose_text()?;
    match text.as_str() {
        "200" => Some(Ack::Status200),
        "2xx" => Some(Ack::Any2xx),
        other => {
            spot.not_one_of(other, &["200", "2xx"]);
            None
        }
    }
}

fn own_headers(spot: &Spot<'_>) -> Option<Vec<(String, SecretString)>> {
    let entries = spot.entries()?;
    if entries.len() > HEADERS_MAX {
        spot.problem(&format!("at most {HEADERS_MAX} headers are allowed"), None);
        return None;
    }
    let mut seen = BTreeSet::new();
    let read = |(name, spot): (&str, Spot<'_>)| {
        let name = name.to_ascii_lowercase();
        if let Some(reason) = headers::refusal(&name).or_else(|| reserved(&name)) {
            spot.problem_of_key(reason, None);
            return None;
        }
        if !seen.insert(name.clone()) {
            spot.problem_of_key("this header is written twice; case doesn't matter", None);
            return None;
        }
        let value = spot.loose_text()?;
        if value.len() > HEADER_VALUE_BYTES_MAX || !headers::is_value(&value) {
            spot.problem(
                &format!("a header's value is at most {HEADER_VALUE_BYTES_MAX} visible ASCII characters"),
                None,
            );
            return None;
        }
        Some((name, SecretString::from(value)))
    };
    let read: Vec<Option<_>> = entries.into_iter().map(read).collect();
    read.into_iter().collect()
}

/// What every delivery carries already.
fn reserved(name: &str) -> Option<&'static str> {
    let prefixes = ["webhook-", "content-", "proxy-", "rapidbridge-"];
    let ours = prefixes.iter().any(|prefix| name.starts_with(prefix));
    (ours || name == "user-agent" || name == "x-truto-signature")
        .then_some("this header is reserved: every delivery carries our own")
}

fn retry(spot: &Spot<'_>) -> Option<DeliveryRetry> {
    let fields = spot.fields()?;
    let default = DeliveryRetry::default();
    let millis = Duration::from_millis(1);
    let wait = |name, default| fields.or(name, default, |spot| spot.duration(millis..=WAIT_MAX));
    let attempts = fields.or("attempts", default.attempts, |spot| spot.whole(1..=10));
    let (base, max) = (wait("base", default.base), wait("max", default.max));
    let (park_base, park_max) = (wait("park_base", default.park_base), wait("park_max", default.park_max));
    let give_up_after =
        fields.or("give_up_after", default.give_up_after, |spot| spot.duration(Duration::ZERO..=GIVE_UP_MAX));
    fields.finish();
    let retry = DeliveryRetry {
        attempts: attempts?,
        base: base?,
        max: max?,
        park_base: park_base?,
        park_max: park_max?,
        give_up_after: give_up_after?,
    };
    if retry.base > retry.max || retry.park_base > retry.park_max {
        spot.problem(
            "a first wait is longer than the longest one",
            Some("base ≤ max and park_base ≤ park_max"),
        );
        return None;
    }
    Some(retry)
}
