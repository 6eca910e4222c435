//! How requests are authenticated.

use super::Authorization;
use super::read::check_roots;
use crate::definition::check::{Fields, Spot};
use crate::definition::headers;
use crate::template::Template;

/// Where the token of `bearer` is looked for when nothing is written: an account has it as a credential.
const TOKEN_DEFAULT: &str = "{{credentials.access_token|credentials.token|credentials.api_key}}";

pub(super) fn read(spot: &Spot<'_>) -> Option<Authorization> {
    let fields = spot.fields()?.unwrapped("config")?;
    let format = fields.required("format")?;
    let read = match format.text()? {
        "none" => Some(Authorization::None),
        "bearer" => bearer(&fields),
        "header" => header(&fields),
        "query" => query(&fields),
        "basic" => basic(&fields),
        "oauth" | "oauth2" | "oauth2_client_credentials" | "keka_oauth" => {
            format.problem(
                "this authorization is not supported yet",
                Some("bearer, header, query and basic are; what is renewed by OAuth 2 is declared under credentials"),
            );
            return None;
        }
        other => {
            format.not_one_of(other, &["bearer", "header", "query", "basic", "none"]);
            return None;
        }
    };
    fields.finish();
    read
}

fn bearer(fields: &Fields<'_>) -> Option<Authorization> {
    let token = match fields.get("token") {
        Some(spot) => template(&spot),
        None => Template::parse(TOKEN_DEFAULT).ok(),
    };
    Some(Authorization::Bearer { token: token? })
}

fn basic(fields: &Fields<'_>) -> Option<Authorization> {
    let username = fields.required("username").and_then(|spot| template(&spot));
    let password = fields.or("password", Template::literal(""), template);
    Some(Authorization::Basic { username: username?, password: password? })
}

/// `header_name` with `header_value`, or several under `headers`.
fn header(fields: &Fields<'_>) -> Option<Authorization> {
    if let Some(spot) = fields.get("expression") {
        for name in ["header_name", "header_value", "headers"] {
            fields.refuse(name, "the expression gives the headers", "leave it out");
        }
        return spot.expression().map(|expression| Authorization::Expression { expression });
    }
    let pairs = pairs(fields, "header_name", "header_value", "headers")?;
    let mut read = Vec::new();
    for (name, name_spot, value) in pairs {
        let name = name.to_ascii_lowercase();
        if let Some(reason) = headers::refusal(&name) {
            name_spot.problem(reason, None);
            return None;
        }
        read.push((name, template(&value)?));
    }
    Some(Authorization::Header { headers: read })
}

/// `param_name` with `param_value`, or several under `params`.
fn query(fields: &Fields<'_>) -> Option<Authorization> {
    let pairs = pairs(fields, "param_name", "param_value", "params")?;
    let read: Vec<Option<_>> =
        pairs.into_iter().map(|(name, _, value)| Some((name.to_owned(), template(&value)?))).collect();
    Some(Authorization::Query { params: read.into_iter().collect::<Option<_>>()? })
}

fn pairs<'c>(
    fields: &Fields<'c>,
    name: &'static str,
    value: &'static str,
    several: &'static str,
) -> Option<Vec<(&'c str, Spot<'c>, Spot<'c>)>> {
    let (one, many) = (fields.get(name), fields.get(several));
    let one_value = fields.get(value);
    match (one, one_value, many) {
        (Some(name), Some(value), None) => Some(vec![(name.filled()?, name, value)]),
        (None, None, Some(many)) => {
            let entries = many.entries()?;
            if entries.is_empty() {
                many.problem("this must not be empty", None);
                return None;
            }
            Some(entries.into_iter().map(|(name, spot)| (name, spot.clone(), spot)).collect())
        }
        _ => {
            let hint = format!("write {name} and {value}, or several under {several}");
            fields.missing(&format!("{name} with {value}"), Some(&hint));
            None
        }
    }
}

fn template(spot: &Spot<'_>) -> Option<Template> {
    let template = spot.template()?;
    check_roots(spot, &template)?;
    if !template.literal_parts().all(headers::is_value) {
        spot.problem("this is sent in a header or a URL: visible ASCII only, no line breaks", None);
        return None;
    }
    if template.source().is_empty() {
        spot.problem("this must not be empty", Some("write a placeholder such as {{credentials.token}}"));
        return None;
    }
    Some(template)
}
