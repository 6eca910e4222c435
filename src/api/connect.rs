//! `POST /integrated-account/{id}/connect`: a person lets an account in at the source. Asked with a `redirect_uri`, it says
//! where to send the person; asked with the `code` and the `state` that came back, it keeps the account's tokens. So a
//! product's own pages can do it, and `rapidbridge connect` does.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;
use tracing::info;
use url::{Host, Url};

use super::Api;
use super::error::{Answer, ApiError, reply};
use super::live::answer;
use super::request::Body;
use crate::definition::Kind;
use crate::engine::seam::{FetchError, FetchErrorKind};
use crate::id::AccountId;

/// The longest address to come back to: the state holds it, and comes back as well.
const URI_BYTES_MAX: usize = 1024;
/// The longest code or state that is taken.
const TEXT_BYTES_MAX: usize = 4096;

pub(super) async fn connect(State(api): State<Api>, Path(id): Path<String>, body: Body) -> Answer {
    let mut fields = body.fields()?;
    let redirect = fields.maybe::<String>("redirect_uri");
    let (code, state) = (fields.maybe::<String>("code"), fields.maybe::<String>("state"));
    for (name, text) in [("code", &code), ("state", &state)] {
        if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            fields.problem(name, "is longer than any that a source gives back", None);
        }
    }
    match (&redirect, &code, &state) {
        (Some(uri), None, None) => {
            if let Err(what) = check(uri) {
                fields.problem("redirect_uri", what, Some("such as https://app.example.com/connected"));
            }
        }
        (None, Some(_), Some(_)) => {}
        _ => {
            let hint = "first redirect_uri alone; then code and state, as the source gave them back";
            fields.problem("redirect_uri", "this is neither the first step nor the second", Some(hint));
        }
    }
    fields.finish()?;
    let account: AccountId = id.parse().map_err(|_| missing(&id))?;
    if api.definitions().record(Kind::Account, account.as_str()).await?.is_none() {
        return Err(missing(&id));
    }
    let connections = &api.0.connections;
    if let (Some(code), Some(state)) = (code, state) {
        connections.admit(&account, &code, &state).await.map_err(refused)?;
        info!(account = account.as_str(), "a person let the account in");
        return Ok(reply(StatusCode::OK, &json!({ "id": account.as_str(), "status": "active" })));
    }
    let invitation = connections.invite(&account, redirect.as_deref().unwrap_or_default()).await;
    let invitation = invitation.map_err(refused)?;
    let body = json!({
        "id": account.as_str(),
        "authorize_url": invitation.authorize_url,
        "state": invitation.state,
        "expires_at": invitation.expires_at.rfc3339(),
    });
    Ok(reply(StatusCode::OK, &body))
}

/// Never a 401: that would say that this API doesn't know who asks.
fn refused(error: FetchError) -> ApiError {
    if error.kind != FetchErrorKind::Unauthorized {
        return answer::failure(error);
    }
    let is_remote = error.status.is_some();
    let answer = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error.message);
    if is_remote { answer.remote(error.raw_response) } else { answer }
}

fn missing(id: &str) -> ApiError {
    super::definitions::missing(Kind::Account, id)
}

/// A code is worth an account's access: it must not pass a network in the clear (RFC 8252, section 7.3).
fn check(uri: &str) -> Result<(), &'static str> {
    if uri.len() > URI_BYTES_MAX {
        return Err("is too long to come back from a source");
    }
    let url = Url::parse(uri).map_err(|_| "is no URL")?;
    let is_own = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        _ if url.fragment().is_some() => Err("must have no #"),
        "https" => Ok(()),
        "http" if is_own => Ok(()),
        "http" => Err("must be https, unless it is on this machine"),
        _ => Err("must begin with https://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_does_not_travel_in_the_clear() {
        for good in
            ["https://app.example.com/x?y=1", "http://127.0.0.1:7/c", "http://[::1]/", "http://localhost:1"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "http://app.example.com",
            "http://localhost.example",
            "app.example.com",
            "ftp://x",
            "https://x#y",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
