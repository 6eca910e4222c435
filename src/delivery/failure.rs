//! Words for a request that got no answer. Never the URL, whose path or query may hold a token, and never an
//! address, which would tell what a name resolves to inside our network.

use std::error::Error;
use std::io;

use crate::egress::Refused;

/// What happened, continuing "webhook … ".
pub(super) fn of(error: &reqwest::Error) -> String {
    if let Some(refused) = Refused::behind(error) {
        return format!("was not connected: {refused}");
    }
    let cause = cause(error);
    if error.is_dns() {
        format!("was not connected: its host name could not be resolved ({cause})")
    } else if error.is_timeout() {
        "was not connected in time".to_owned()
    } else if error.is_connect() {
        format!("was not connected: {cause}")
    } else {
        format!("broke off before it answered, and may have the event: {cause}")
    }
}

/// The root of the chain of causes; of an error of the operating system only its kind.
fn cause(error: &reqwest::Error) -> String {
    let mut root: Option<&dyn Error> = error.source();
    while let Some(next) = root.and_then(Error::source) {
        root = Some(next);
    }
    match root {
        None => "the client could not say why".to_owned(),
        Some(root) => match root.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map_or_else(|| io.kind().to_string(), ToString::to_string),
            None => root.to_string(),
        },
    }
}
