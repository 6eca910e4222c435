//! What a person may see of the exchanges with a source, while writing an integration: everything but secrets.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap};

use crate::source::request::Prepared;
use crate::source::secrets::Secrets;

/// A request as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// `GET` and so on.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Name and value of each header that the HTTP client doesn't write itself.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<String>,
}

/// An answer as it begins to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
}

/// Is told of each try of each request. Secrets are taken out before.
pub trait Witness: Send + Sync + fmt::Debug {
    /// A request goes out.
    fn sent(&self, sent: &Sent);
    /// Its answer begins.
    fn came(&self, came: &Came);
}

/// What a witness sees of a request.
pub(super) fn sent(prepared: &Prepared) -> Sent {
    let secrets = &prepared.secrets;
    Sent {
        method: prepared.http_method.to_string(),
        url: secrets.scrub(prepared.url.as_str()),
        headers: headers(&prepared.headers, secrets),
        body: prepared.body.as_deref().map(|body| secrets.scrub(body)),
    }
}

/// What a witness sees of an answer.
pub(super) fn came(status: u16, answered: &HeaderMap, prepared: &Prepared) -> Came {
    Came { status, headers: headers(answered, &prepared.secrets) }
}

fn headers(headers: &HeaderMap, secrets: &Secrets) -> Vec<(String, String)> {
    let shown = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        let text = String::from_utf8_lossy(value.as_bytes());
        let clean = secrets.scrub(&text);
        // Credentials that are too short to be looked for are still credentials.
        let clean = if name == AUTHORIZATION && clean == text { "[redacted]".to_owned() } else { clean };
        (name.as_str().to_owned(), clean)
    };
    headers.iter().map(shown).collect()
}
