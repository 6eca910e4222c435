//! Puts an account's credentials into a request.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::aside::aside;
use crate::clock;
use crate::definition::Account;
use crate::definition::integration::Authorization;
use crate::expression::{Expression, World};
use crate::json::{self, Json};
use crate::source::address;
use crate::source::failure::Failure;
use crate::source::request::RESERVED_HEADERS;
use crate::source::scope::RequestScope;
use crate::source::secrets::Secrets;
use crate::template::Template;

/// Authorises a request. `secrets` learns every value that is sent, also what was composed of several.
pub(super) fn apply(
    authorization: &Authorization,
    scope: &RequestScope<'_>,
    (http_method, body): (&str, Option<&str>),
    url: &mut Url,
    headers: &mut HeaderMap,
    secrets: &mut Secrets,
) -> Result<(), Failure> {
    match authorization {
        Authorization::None => {}
        Authorization::Bearer { token } => {
            let token = credential(token, scope)?;
            secrets.add(&token);
            headers.insert(AUTHORIZATION, header_value("authorization", &format!("Bearer {token}"))?);
        }
        Authorization::Header { headers: declared } => {
            for (name, template) in declared {
                let value = credential(template, scope)?;
                secrets.add(&value);
                headers.insert(header_name(name)?, header_value(name, &value)?);
            }
        }
        Authorization::Query { params } => {
            address::remove_params(url, |name, _| params.iter().any(|(param, _)| param == name));
            for (name, template) in params {
                let value = credential(template, scope)?;
                secrets.add(&value);
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        Authorization::Expression { expression } => {
            let input = seen(scope.account, http_method, body, url, headers);
            for (name, value) in given(expression, &input)? {
                secrets.add(&value);
                let header = header_name(&name)?;
                if RESERVED_HEADERS.contains(&header) {
                    let what = format!(
                        "header {name:?} is written by the HTTP client; the expression must not give it"
                    );
                    return Err(Failure::permanent("invalid_header", what));
                }
                headers.insert(header, header_value(&name, &value)?);
            }
        }
        Authorization::Basic { username, password } => {
            let password = credential(password, scope)?;
            let pair = STANDARD.encode(format!("{}:{password}", credential(username, scope)?));
            secrets.add(&password);
            secrets.add(&pair);
            headers.insert(AUTHORIZATION, header_value("authorization", &format!("Basic {pair}"))?);
        }
    }
    Ok(())
}

/// The names of the query parameters that carry credentials.
pub(super) fn query_params(authorization: &Authorization) -> Vec<String> {
    match authorization {
        Authorization::Query { params } => params.iter().map(|(name, _)| name.clone()).collect(),
        Authorization::None
        | Authorization::Bearer { .. }
        | Authorization::Header { .. }
        | Authorization::Expression { .. }
        | Authorization::Basic { .. } => Vec::new(),
    }
}

/// What an expression sees: the request as it is sent but for what it gives, and all that the account has. Nothing of it is
/// shown anywhere.
fn seen(account: &Account, http_method: &str, body: Option<&str>, url: &Url, headers: &HeaderMap) -> Json {
    let headers = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let headers: BTreeMap<&str, &str> = headers.collect();
    let credentials: BTreeMap<&str, &str> =
        account.credentials.iter().map(|(name, secret)| (name.as_str(), secret.expose_secret())).collect();
    let credentials = Json::of(&credentials);
    let options = Json::of(&serde_json::json!({ "method": http_method, "headers": headers, "body": body }));
    let context = json::merged(account.context.as_str(), credentials.as_str());
    let url = Json::string(url.as_str());
    let text = format!(
        "{{\"url\":{url},\"requestOptions\":{options},\"context\":{context},\"credentials\":{credentials}}}"
    );
    Json::parse(&text).unwrap_or_else(|_| Json::empty_object())
}

/// The headers that an expression gives.
fn given(expression: &Expression, input: &Json) -> Result<Vec<(String, String)>, Failure> {
    let failed = |what: &str| {
        let what = format!(
            "the authorization's expression {what}; mend the integration, or the account's credentials"
        );
        // Without access nothing is skipped.
        Failure::unauthorized("expression_failed", what)
    };
    let world = World { now: clock::now(), seed: rand::random() };
    // What it says about its failure may hold what it was given.
    let value = aside(|| expression.evaluate(input, &world)).map_err(|_| failed("can't be evaluated"))?;
    let no_object = || failed("gave something else than an object of headers");
    let value = value.ok_or_else(no_object)?;
    let members = json::members(value.as_str()).map_err(|_| no_object())?;
    let headers = members.into_iter().filter(|(_, value)| *value != "null");
    Ok(headers.map(|(name, value)| (name.to_ascii_lowercase(), json::text_of(value).into_owned())).collect())
}

fn credential(template: &Template, scope: &RequestScope<'_>) -> Result<String, Failure> {
    template.text(scope).map_err(|error| {
        let what = format!("authorization can't be filled in: {error}; add it to the account's credentials");
        Failure::unauthorized("template_error", what)
    })
}

/// A header's name.
pub(super) fn header_name(name: &str) -> Result<HeaderName, Failure> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        Failure::permanent(
            "invalid_header",
            format!("{name:?} is no header name; mend the integration's headers"),
        )
    })
}

/// A header's value, marked so that no debug print shows it.
pub(super) fn header_value(name: &str, value: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
        let what =
            format!("the value of header {name:?} has a line break or another control character; remove it");
        Failure::permanent("invalid_header", what)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{account, request};

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    fn authorised(authorization: &Authorization) -> Result<(String, HeaderMap, Secrets), String> {
        let account = account("{}", &[("token", "t0k3n&1"), ("user", "me"), ("bad", "a\r\nb")]);
        let request = request("tickets", "list");
        let scope = RequestScope { request: &request, account: &account };
        let mut url = Url::parse("https://x.example/t?api_key=old&a=1").unwrap();
        let (mut headers, mut secrets) = (HeaderMap::new(), Secrets::of(&account));
        let sent = ("POST", Some("{\"a\":1}"));
        apply(authorization, &scope, sent, &mut url, &mut headers, &mut secrets)
            .map_err(|f| format!("{f:?}"))?;
        Ok((url.into(), headers, secrets))
    }

    #[test]
    fn each_kind_puts_credentials_in_its_place() {
        let (url, headers, _) = authorised(&Authorization::Bearer { token: template("{{token}}") }).unwrap();
        assert_eq!(headers["authorization"], "Bearer t0k3n&1");
        assert!(!url.contains("t0k3n") && !format!("{headers:?}").contains("t0k3n"));

        let declared = vec![("x-api-key".to_owned(), template("key={{credentials.token}}"))];
        let (_, headers, _) = authorised(&Authorization::Header { headers: declared }).unwrap();
        assert_eq!(headers["x-api-key"], "key=t0k3n&1");

        let params = vec![("api_key".to_owned(), template("{{token}}"))];
        let (url, _, _) = authorised(&Authorization::Query { params }).unwrap();
        assert_eq!(url, "https://x.example/t?a=1&api_key=t0k3n%261");

        let (username, password) = (template("{{user}}/token"), template("{{token}}"));
        let (_, headers, secrets) = authorised(&Authorization::Basic { username, password }).unwrap();
        assert_eq!(headers["authorization"], "Basic bWUvdG9rZW46dDBrM24mMQ==");
        assert_eq!(secrets.scrub("<bWUvdG9rZW46dDBrM24mMQ==>"), "<[redacted]>");
    }

    #[test]
    fn an_expression_signs_the_request() {
        let sign = r#"{"X-Sign": $sign(requestOptions.method & " " & url & " " & requestOptions.body, "SHA-256", context.token, "hex"),
            "x-user": credentials.user, "x-none": null}"#;
        let expression = Expression::parse(sign).unwrap();
        let (_, headers, secrets) = authorised(&Authorization::Expression { expression }).unwrap();
        assert_eq!(headers["x-sign"], "ff5286b0d5a3ce56cec3cdb5d91c164957b4a64faafd757802c8f5ba2e3fd826");
        assert_eq!((headers["x-user"].to_str().unwrap(), headers.contains_key("x-none")), ("me", false));
        assert_eq!(secrets.scrub(headers["x-sign"].to_str().unwrap()), "[redacted]");
        for (wrong, told) in
            [("$error(credentials.token)", "can't be evaluated"), ("credentials.user", "object of headers")]
        {
            let expression = Expression::parse(wrong).unwrap();
            let error = authorised(&Authorization::Expression { expression }).err().unwrap();
            assert!(error.contains(told) && !error.contains("t0k3n"), "{error}");
        }
    }

    #[test]
    fn a_missing_or_broken_credential_is_named_without_its_value() {
        let missing = authorised(&Authorization::Bearer { token: template("{{nothing}}") }).err().unwrap();
        assert!(missing.contains("template_error") && missing.contains("credentials"), "{missing}");
        let broken = authorised(&Authorization::Bearer { token: template("{{bad}}") }).err().unwrap();
        assert!(broken.contains("invalid_header") && !broken.contains("a\\r"), "{broken}");
    }
}
