//! What an account's credentials are: as they stand, or tokens that are renewed. Truto's declaration of a form for people is
//! looked at as far as it says that.

use super::read::{base_url, check_roots};
use super::{ClientAuth, Grant, GrantKind};
use crate::definition::check::{Fields, Spot};
use crate::template::Template;

/// Formats whose credentials are used as they stand.
const AS_THEY_ARE: [&str; 2] = ["api_key", "basic"];

/// One format, or several by their names.
pub(super) fn read(spot: &Spot<'_>) -> Option<Option<Grant>> {
    if let Some(format) = spot.value().get("format") {
        return of_format(spot, format.as_str().unwrap_or_default());
    }
    let mut grant = None;
    for (format, spot) in spot.entries()? {
        let this = of_format(&spot, format)?;
        if this.is_some() && grant.is_some() {
            spot.problem_of_key(
                "two formats that are renewed",
                Some("keep the one that accounts are connected by"),
            );
            return None;
        }
        grant = this.or(grant);
    }
    Some(grant)
}

fn of_format(spot: &Spot<'_>, format: &str) -> Option<Option<Grant>> {
    let kind = match format {
        "oauth2" => GrantKind::RefreshToken,
        "oauth2_client_credentials" => GrantKind::ClientCredentials,
        format if AS_THEY_ARE.contains(&format) => return Some(None),
        _ => {
            spot.problem(
                "credentials of this format are not supported yet",
                Some("api_key, basic, oauth2 and oauth2_client_credentials are"),
            );
            return None;
        }
    };
    let fields = spot.fields()?.unwrapped("config")?;
    fields.ignore(&["format", "fields", "label", "client", "authorize_url", "pkce"]);
    let token_url = token_url(&fields);
    let scope = fields.maybe("scope", scope);
    let client_auth = fields.or("client_auth", ClientAuth::Body, |spot| {
        spot.choice(&[("body", ClientAuth::Body), ("basic", ClientAuth::Basic)])
    });
    let params = fields.or("params", Vec::new(), params);
    fields.finish();
    Some(Some(Grant {
        kind,
        token_url: token_url?,
        scope: scope?,
        client_auth: client_auth?,
        params: params?,
    }))
}

/// `token_url`, or Truto's `auth` with host and path.
fn token_url(fields: &Fields<'_>) -> Option<Template> {
    if let Some(spot) = fields.get("token_url") {
        return base_url(&spot);
    }
    let Some(auth) = fields.get("auth") else {
        fields.missing("token_url", Some("where tokens are made: https://api.example.com/oauth/token"));
        return None;
    };
    let of_auth = auth.fields()?;
    of_auth.ignore(&["authorizeHost", "authorizePath", "revokePath"]);
    let host = of_auth.required("tokenHost").and_then(|spot| spot.filled());
    let path = of_auth.any_of(&["refreshPath", "tokenPath"]).and_then(|spot| spot.filled());
    of_auth.finish();
    let whole =
        format!("{}/{}", host?.trim_end_matches('/'), path.unwrap_or("oauth/token").trim_start_matches('/'));
    match Template::parse(&whole) {
        Ok(template) => check_roots(&auth, &template).map(|()| template),
        Err(error) => {
            auth.problem(&error.to_string(), None);
            None
        }
    }
}

/// Text, or a list of words.
fn scope(spot: &Spot<'_>) -> Option<String> {
    if !spot.value().is_array() {
        return spot.filled().map(str::to_owned);
    }
    let words: Vec<Option<&str>> = spot.list()?.iter().map(Spot::filled).collect();
    Some(words.into_iter().collect::<Option<Vec<&str>>>()?.join(" "))
}

fn params(spot: &Spot<'_>) -> Option<Vec<(String, Template)>> {
    let read = |(name, spot): (&str, Spot<'_>)| {
        let template = spot.template()?;
        check_roots(&spot, &template)?;
        Some((name.to_owned(), template))
    };
    let read: Vec<Option<_>> = spot.entries()?.into_iter().map(read).collect();
    read.into_iter().collect()
}
