//! The headers of one request to a webhook. Pure.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;

use super::signature::{self, UnusableSecret};
use crate::clock::Millis;
use crate::definition::Webhook;
use crate::engine::seam::Delivery;

/// Headers that a webhook can't set itself: ours, and those that decide where a message ends or who gets it
/// (RFC 9110, 7.6.1).
const RESERVED: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-truto-signature",
];
const RESERVED_PREFIXES: [&str; 3] = ["webhook-", "rapidbridge-", "proxy-"];

/// Why a request could not be made from what the webhook says. Carries no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsendable {
    /// A secret can't sign.
    #[error(transparent)]
    Secret(#[from] UnusableSecret),
    /// A header can't be sent.
    #[error("has the header {name:?}, which can't be sent ({why}); remove or correct it")]
    Header {
        /// The header's name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// All headers of one try: `epoch` proves whose run it is, `attempt` counts the tries of this event from 1,
/// `now` is when it is sent.
pub(super) fn of(
    webhook: &Webhook,
    delivery: &Delivery,
    epoch: u64,
    attempt: u32,
    now: Millis,
) -> Result<HeaderMap, Unsendable> {
    let mut headers = custom(webhook)?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let signed = signature::standard(&webhook.secrets, &delivery.id, now, &delivery.body)?;
    put(&mut headers, "webhook-id", &delivery.id)?;
    put(&mut headers, "webhook-timestamp", &signed.timestamp)?;
    put(&mut headers, "webhook-signature", &signed.signature)?;
    if webhook.truto_signature {
        put(&mut headers, "x-truto-signature", &signature::truto(&webhook.secrets, &delivery.body)?)?;
    }
    if let Some(run) = delivery.run {
        put(&mut headers, "rapidbridge-run", &run.to_string())?;
        headers.insert("rapidbridge-epoch", epoch.into());
    }
    if let Some(seq) = delivery.seq {
        headers.insert("rapidbridge-seq", seq.into());
    }
    headers.insert("rapidbridge-attempt", attempt.into());
    Ok(headers)
}

/// The webhook's own headers, marked as secrets so that no log of the client shows them.
fn custom(webhook: &Webhook) -> Result<HeaderMap, Unsendable> {
    let mut headers = HeaderMap::new();
    for (name, value) in &webhook.headers {
        let wrong = |why| Unsendable::Header { name: name.clone(), why };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("its name is no header name"))?;
        if is_reserved(key.as_str()) {
            return Err(wrong("its name is reserved"));
        }
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| wrong("its value has characters that are not visible ASCII"))?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), Unsendable> {
    let wrong = |_| Unsendable::Header { name: name.to_owned(), why: "its value is no header value" };
    headers.insert(name, HeaderValue::from_str(value).map_err(wrong)?);
    Ok(())
}
