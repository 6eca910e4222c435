//! A login of the source's own: one request, whose answer holds the token.

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::{Answered, Granted, NEEDS_REAUTH, broken, send};
use crate::definition::Account;
use crate::definition::integration::{BodyFormat, Grant, Login, TokenPlace};
use crate::engine::seam::{FetchError, FetchErrorKind};
use crate::json::Json;
use crate::source::failure::Failure;
use crate::source::params::Params;
use crate::source::secrets::Secrets;
use crate::source::{Http, address, authorization, scope, xml};

pub(super) async fn ask(
    http: &Http,
    grant: &Grant,
    login: &Login,
    account: &Account,
    secrets: &mut Secrets,
) -> Result<Granted, FetchError> {
    let scope = scope::AccountScope(account);
    let url = address::base(&grant.token_url, &scope).map_err(|failure| broken(failure.message))?;
    let unfilled =
        |error: crate::template::RenderError| broken(format!("the login can't be filled in: {error}"));
    let mut request = match login.http_method {
        "GET" => http.client.get(url.clone()),
        _ => http.client.post(url.clone()),
    };
    let body = login.body.as_ref().map(|body| body.render(&scope)).transpose().map_err(unfilled)?.flatten();
    if let Some(body) = body {
        request = match login.body_format {
            BodyFormat::Json => request.header("content-type", "application/json").body(body.to_string()),
            BodyFormat::Xml => {
                let text = xml::from_json(&body).map_err(|failure| broken(failure.message))?;
                request.header("content-type", "application/xml").body(text)
            }
            BodyFormat::Form => {
                let params = Params::parse(&body).map_err(|error| broken(error.to_string()))?;
                let pairs = params.pairs(crate::definition::integration::QueryArray::default());
                let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                request.header("content-type", "application/x-www-form-urlencoded").body(text)
            }
        };
    }
    let mut headers = HeaderMap::new();
    for (name, template) in &login.headers {
        let value = template.text(&scope).map_err(unfilled)?;
        secrets.add(&value);
        let refused = |failure: Failure| broken(failure.message);
        let header = authorization::header_name(name).map_err(refused)?;
        headers.insert(header, authorization::header_value(name, &value).map_err(refused)?);
    }
    // They take the place of those of the same name.
    request = request.headers(headers);
    judged(login, &send(http, &url, request).await?)
}

fn judged(login: &Login, answered: &Answered) -> Result<Granted, FetchError> {
    let Answered { status, headers, body } = answered;
    let error = |kind, error: &str, what: String| {
        Err(FetchError { status: Some(status.as_u16()), ..FetchError::new(kind, error, what) })
    };
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        let what = format!("the login was answered with {status}; it may recover by itself");
        return error(FetchErrorKind::Transient, "token_request", what);
    }
    if matches!(status.as_u16(), 400 | 401 | 403 | 422) {
        let what = format!(
            "the source refuses the login ({status}); mend the account's credentials, then resume the run"
        );
        return error(FetchErrorKind::Unauthorized, NEEDS_REAUTH, what);
    }
    let json = std::str::from_utf8(body).ok().and_then(|text| Json::parse(text).ok());
    let member = |path: &[String]| {
        let found = json.as_ref()?.get(path)?;
        Some(found.to_text().into_owned()).filter(|text| !text.is_empty() && text != "null")
    };
    let token = match &login.token {
        TokenPlace::Body(path) => member(path),
        TokenPlace::Header(name) => {
            headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        }
    };
    let Some(token) = token.filter(|_| status.is_success()) else {
        let place = match &login.token {
            TokenPlace::Body(path) => format!("at {} of its body", path.join(".")),
            TokenPlace::Header(name) => format!("in its header {name}"),
        };
        let what = format!(
            "the login was answered with {status} and no token {place}; check token_url and token_path"
        );
        return error(FetchErrorKind::Transient, "token_request", what);
    };
    let told = member(&login.lasts_path).and_then(|seconds| seconds.trim().parse::<f64>().ok());
    let told = told.filter(|seconds| *seconds >= 1.0).and_then(|it| Duration::try_from_secs_f64(it).ok());
    Ok(Granted { access_token: token.into(), refresh_token: None, expires_in: told.or(login.lasts) })
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn judge(
        token: TokenPlace,
        status: u16,
        body: &str,
    ) -> Result<(String, Option<u64>), (FetchErrorKind, String)> {
        let login = Login {
            http_method: "POST",
            headers: Vec::new(),
            body: None,
            body_format: BodyFormat::Json,
            token,
            lasts: Some(Duration::from_secs(600)),
            lasts_path: vec!["ttl".to_owned()],
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-session", "h".parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        let granted = judged(&login, &Answered { status, headers, body: body.as_bytes().to_vec() });
        granted
            .map(|it| (it.access_token.expose_secret().to_owned(), it.expires_in.map(|it| it.as_secs())))
            .map_err(|error| (error.kind, error.error))
    }

    #[test]
    fn a_token_is_found_where_it_is_declared() {
        let path = || TokenPlace::Body(vec!["data".to_owned(), "token".to_owned()]);
        assert_eq!(
            judge(path(), 200, r#"{"data":{"token":"t"},"ttl":"60"}"#),
            Ok(("t".to_owned(), Some(60)))
        );
        assert_eq!(judge(path(), 201, r#"{"data":{"token":7},"ttl":0}"#), Ok(("7".to_owned(), Some(600))));
        let header = || TokenPlace::Header("x-session".to_owned());
        assert_eq!(judge(header(), 204, ""), Ok(("h".to_owned(), Some(600))));
        let none = judge(path(), 200, r#"{"data":{"token":null}}"#).unwrap_err();
        assert_eq!(none, (FetchErrorKind::Transient, "token_request".to_owned()));
        assert_eq!(judge(header(), 404, "").unwrap_err().0, FetchErrorKind::Transient);
        assert_eq!(
            judge(path(), 401, "").unwrap_err(),
            (FetchErrorKind::Unauthorized, NEEDS_REAUTH.to_owned())
        );
        assert_eq!(judge(path(), 503, "").unwrap_err().0, FetchErrorKind::Transient);
    }
}
