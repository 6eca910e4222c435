//! What an account's credentials are: as they stand, or tokens that are renewed. Truto's declaration of a form for people is
//! looked at as far as it says that.

use std::time::Duration;

use super::grant::TokenPlace;
use super::method::{own_headers, own_tree};
use super::read::{base_url, check_roots};
use super::{Assertion, Authorize, BodyFormat, ClientAuth, Grant, GrantKind, Login};
use crate::definition::check::{Fields, Spot};
use crate::template::{Template, Tree};

/// Formats whose credentials are used as they stand.
const AS_THEY_ARE: [&str; 2] = ["api_key", "basic"];

/// How assertions may be signed (RFC 7518, section 3.1; RFC 8037).
const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "HS256", "HS384", "HS512", "EdDSA"];
/// How long an assertion is good when it doesn't say.
const ASSERTION_LASTS: Duration = Duration::from_secs(300);
const LASTS_MIN: Duration = Duration::from_secs(10);
const LASTS_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// One format, or several by their names.
pub(super) fn read(spot: &Spot<'_>) -> Option<Option<Grant>> {
    let format = spot.value().get("format").or_else(|| spot.value().pointer("/config/format"));
    if let Some(format) = format {
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
    if AS_THEY_ARE.contains(&format) {
        return Some(None);
    }
    let fields = spot.fields()?.unwrapped("config")?;
    fields.ignore(&["format", "fields", "label", "client"]);
    let grant = match format {
        "oauth2" => oauth2(&fields, true),
        "oauth2_client_credentials" => oauth2(&fields, false),
        "session" => session(&fields),
        "jwt_assertion" => assertion(&fields),
        _ => {
            let known = "api_key, basic, oauth2, oauth2_client_credentials, session and jwt_assertion are";
            spot.problem("credentials of this format are not supported yet", Some(known));
            return None;
        }
    };
    fields.finish();
    grant.map(Some)
}

fn oauth2(fields: &Fields<'_>, by_refresh: bool) -> Option<Grant> {
    let token_url = token_url(fields);
    let scope = fields.maybe("scope", scope);
    let client_auth = fields.or("client_auth", ClientAuth::Body, |spot| {
        spot.choice(&[("body", ClientAuth::Body), ("basic", ClientAuth::Basic)])
    });
    let params = fields.or("params", Vec::new(), params);
    let authorize = authorize(fields);
    let kind = if by_refresh { GrantKind::RefreshToken(authorize?) } else { GrantKind::ClientCredentials };
    Some(Grant { kind, token_url: token_url?, scope: scope?, client_auth: client_auth?, params: params? })
}

/// `authorize_url`, or Truto's `auth` with host and path.
fn authorize(fields: &Fields<'_>) -> Option<Option<Authorize>> {
    let pkce = fields.or("pkce", true, Spot::boolean);
    let params = fields.or("authorize_params", Vec::new(), params);
    let url = match fields.get("authorize_url") {
        Some(spot) => Some(base_url(&spot)?),
        None => match fields.get("auth") {
            Some(auth) if auth.value().get("authorizePath").is_some() => {
                let of_auth = auth.fields()?;
                let host = of_auth.any_of(&["authorizeHost", "tokenHost"]).and_then(|spot| spot.filled());
                let path = of_auth.required("authorizePath").and_then(|spot| spot.filled());
                Some(joined(&auth, host?, path?)?)
            }
            Some(_) | None => None,
        },
    };
    let (pkce, params) = (pkce?, params?);
    Some(url.map(|url| Authorize { url, pkce, params }))
}

/// A login request of the source's own.
fn session(fields: &Fields<'_>) -> Option<Grant> {
    let url = fields.required("token_url").and_then(|spot| base_url(&spot));
    let http_method = fields.or("method", "POST", |spot| spot.choice(&[("post", "POST"), ("get", "GET")]));
    let headers = fields.or("headers", Vec::new(), |spot| {
        let headers = own_headers(spot)?.into_iter();
        Some(headers.filter_map(|(name, value)| Some((name, value?))).collect())
    });
    let body = fields.maybe("body", own_tree);
    let body_format = fields.or("body_format", BodyFormat::Json, |spot| {
        spot.choice(&[("json", BodyFormat::Json), ("form", BodyFormat::Form), ("xml", BodyFormat::Xml)])
    });
    let in_header = fields.maybe("token_header", |spot| {
        let name = spot.filled()?.to_ascii_lowercase();
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !plain {
            spot.problem("this is no name of a header", None);
        }
        plain.then_some(name)
    });
    let in_body = fields.or("token_path", vec!["access_token".to_owned()], Spot::response_path);
    let lasts = fields.maybe("expires_in", |spot| spot.duration(LASTS_MIN..=LASTS_MAX));
    let lasts_path = fields.or("expires_in_path", vec!["expires_in".to_owned()], Spot::response_path);
    if let (Some(spot), Some(_)) = (fields.get("token_path"), fields.get("token_header")) {
        spot.problem_of_key("the token is in the body or in a header", Some("leave one of them out"));
        return None;
    }
    let (in_header, in_body) = (in_header?, in_body?);
    let login = Login {
        http_method: http_method?,
        headers: headers?,
        body: body?,
        body_format: body_format?,
        token: in_header.map_or(TokenPlace::Body(in_body), TokenPlace::Header),
        lasts: lasts?,
        lasts_path: lasts_path?,
    };
    Some(of_kind(GrantKind::Login(Box::new(login)), url?))
}

/// A signed assertion, which is exchanged or is the token itself.
fn assertion(fields: &Fields<'_>) -> Option<Grant> {
    let url = fields.maybe("token_url", base_url);
    let algorithm = fields.or("algorithm", "RS256", |spot| {
        let known: Vec<(&str, &'static str)> = ALGORITHMS.iter().map(|name| (*name, *name)).collect();
        spot.choice(&known)
    });
    let key = fields.maybe("key", |spot| {
        let template = spot.template()?;
        check_roots(spot, &template).map(|()| template)
    });
    let header = fields.or("header", Tree::empty(), own_tree);
    let claims = fields.or("claims", Tree::empty(), own_tree);
    let lasts = fields.or("expires_in", ASSERTION_LASTS, |spot| spot.duration(LASTS_MIN..=LASTS_MAX));
    let params = fields.or("params", Vec::new(), params);
    let scope = fields.maybe("scope", scope);
    let url = url?;
    let assertion = Assertion {
        algorithm: algorithm?,
        key: key?.or_else(|| Template::parse("{{credentials.private_key}}").ok())?,
        header: header?,
        claims: claims?,
        lasts: lasts?,
        is_token: url.is_none(),
    };
    let kind = GrantKind::Assertion(Box::new(assertion));
    let grant = of_kind(kind, url.unwrap_or_else(|| Template::literal("")));
    Some(Grant { params: params?, scope: scope?, ..grant })
}

fn of_kind(kind: GrantKind, token_url: Template) -> Grant {
    Grant { kind, token_url, scope: None, client_auth: ClientAuth::Body, params: Vec::new() }
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
    joined(&auth, host?, path.unwrap_or("oauth/token"))
}

fn joined(auth: &Spot<'_>, host: &str, path: &str) -> Option<Template> {
    let whole = format!("{}/{}", host.trim_end_matches('/'), path.trim_start_matches('/'));
    match Template::parse(&whole) {
        Ok(template) => check_roots(auth, &template).map(|()| template),
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
