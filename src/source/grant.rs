//! Access tokens: made and renewed where the source makes them. OAuth 2 (RFC 6749, sections 4.1, 4.4 and 6) stands here,
//! [`login`] is a request of the source's own, and [`assertion`] signs (RFC 7523). Only the exchange; who may renew when, and
//! where tokens are kept, is the caller's business.

mod assertion;
mod login;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use crate::clock;
use crate::definition::Account;
use crate::definition::integration::{ClientAuth, Grant, GrantKind};
use crate::engine::seam::{FetchError, FetchErrorKind};
use crate::source::secrets::{Secrets, printable};
use crate::source::{Http, MESSAGE_BYTES_MAX, address, scope};

/// How long the exchange may take. Shorter than the time for which one worker alone may renew.
pub const TIMEOUT: Duration = Duration::from_secs(20);
/// The error of an account that must be connected again: its refresh token is no good any more.
pub const NEEDS_REAUTH: &str = "needs_reauth";
/// By which words sources say so.
const REFUSED: [&str; 3] = ["invalid_grant", "bad_refresh_token", "invalid_refresh_token"];
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What the token endpoint gave.
pub struct Granted {
    /// The token that requests carry.
    pub access_token: SecretString,
    /// The token for the next renewal, where it is a new one.
    pub refresh_token: Option<SecretString>,
    /// How long the access token works, where that was said.
    pub expires_in: Option<Duration>,
}

/// What is looked at of an answer, whatever else is wrong with it: a token that was given must not be lost.
struct Answer {
    access_token: Option<SecretString>,
    refresh_token: Option<SecretString>,
    expires_in: Option<Duration>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Answer {
    fn read(body: &[u8]) -> Option<Self> {
        let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
        let mut text = |name: &str| match members.remove(name) {
            Some(serde_json::Value::String(text)) if !text.is_empty() => Some(text),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        // Sources write the number of seconds as text, too; none and less is no time.
        let seconds = text("expires_in").and_then(|seconds| seconds.trim().parse::<f64>().ok());
        let seconds = seconds.filter(|seconds| *seconds >= 1.0);
        Some(Self {
            access_token: text("access_token").map(SecretString::from),
            refresh_token: text("refresh_token").map(SecretString::from),
            expires_in: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            error: text("error"),
            error_description: text("error_description"),
        })
    }
}

/// Makes a new access token for `account`, with what it has among its credentials.
///
/// # Errors
/// [`FetchErrorKind::Unauthorized`] when the source refuses what the account has ([`NEEDS_REAUTH`]: it must be connected again),
/// or can't be asked as the integration is written.
/// [`FetchErrorKind::Transient`] when the source is out of reach or in trouble.
pub async fn renew(http: &Http, grant: &Grant, account: &Account) -> Result<Granted, FetchError> {
    let mut secrets = Secrets::of(account);
    let granted = match &grant.kind {
        GrantKind::RefreshToken(_) => {
            let Some(token) = credential(account, "refresh_token") else {
                let id = account.id.as_str();
                let what = format!(
                    "nobody let account {id:?} in yet, or its access is not renewed: it has no refresh token; run \
                     `rapidbridge connect {id}`"
                );
                return Err(FetchError::new(FetchErrorKind::Unauthorized, NEEDS_REAUTH, what));
            };
            let form = vec![("refresh_token".to_owned(), token)];
            exchange(http, grant, account, form, &mut secrets).await
        }
        GrantKind::ClientCredentials => exchange(http, grant, account, Vec::new(), &mut secrets).await,
        GrantKind::Login(login) => login::ask(http, grant, login, account, &mut secrets).await,
        GrantKind::Assertion(assertion) => match assertion::signed(grant, assertion, account, clock::now()) {
            Ok(token) if assertion.is_token => Ok(Granted {
                access_token: token.into(),
                refresh_token: None,
                expires_in: Some(assertion.lasts),
            }),
            Ok(token) => {
                secrets.add(&token);
                let form = vec![("assertion".to_owned(), token)];
                exchange(http, grant, account, form, &mut secrets).await
            }
            Err(error) => Err(error),
        },
    };
    granted.map_err(|error| scrubbed(error, &secrets))
}

/// A person's consent, as it comes back from the authorization endpoint (RFC 6749, section 4.1.3).
pub struct Consent {
    /// What the source gave.
    pub code: String,
    /// Where it sent the person to.
    pub redirect_uri: String,
    /// What the code challenge was made of (RFC 7636), where there was one.
    pub verifier: Option<String>,
}

/// Makes the first tokens of `account` from a person's consent.
///
/// # Errors
/// As [`renew`].
pub async fn redeem(
    http: &Http,
    grant: &Grant,
    account: &Account,
    consent: &Consent,
) -> Result<Granted, FetchError> {
    let mut secrets = Secrets::of(account);
    [Some(&consent.code), consent.verifier.as_ref()].into_iter().flatten().for_each(|it| secrets.add(it));
    let mut form = vec![
        ("grant_type".to_owned(), "authorization_code".to_owned()),
        ("code".to_owned(), consent.code.clone()),
        ("redirect_uri".to_owned(), consent.redirect_uri.clone()),
    ];
    form.extend(consent.verifier.clone().map(|verifier| ("code_verifier".to_owned(), verifier)));
    let granted = exchange(http, grant, account, form, &mut secrets).await;
    granted.map_err(|error| scrubbed(error, &secrets))
}

/// Where a person lets `account` in: the authorization endpoint with what it wants (section 4.1.1).
///
/// # Errors
/// When the integration has none, or a value that it needs is missing.
pub fn consent_url(
    grant: &Grant,
    account: &Account,
    redirect_uri: &str,
    state: &str,
    verifier: Option<&str>,
) -> Result<String, FetchError> {
    let Some(authorize) = grant.authorize() else {
        let what =
            "the integration declares no authorize_url under credentials: nobody can be asked to let it in";
        return Err(broken(what.to_owned()));
    };
    let scope = scope::AccountScope(account);
    let mut url = address::base(&authorize.url, &scope).map_err(|failure| broken(failure.message))?;
    let mut pairs = vec![("response_type".to_owned(), "code".to_owned())];
    pairs.extend(credential(account, "client_id").map(|id| ("client_id".to_owned(), id)));
    pairs.push(("redirect_uri".to_owned(), redirect_uri.to_owned()));
    pairs.extend(grant.scope.clone().map(|scope| ("scope".to_owned(), scope)));
    pairs.push(("state".to_owned(), state.to_owned()));
    if let Some(verifier) = verifier {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        pairs.push(("code_challenge".to_owned(), challenge));
        pairs.push(("code_challenge_method".to_owned(), "S256".to_owned()));
    }
    for (name, template) in &authorize.params {
        pairs.push((name.clone(), template.text(&scope).map_err(|error| broken(error.to_string()))?));
    }
    url.query_pairs_mut().extend_pairs(pairs);
    Ok(url.into())
}

/// Without access nothing is skipped, whatever the job says of errors.
fn broken(what: String) -> FetchError {
    FetchError::new(FetchErrorKind::Unauthorized, "token_request", what)
}

fn scrubbed(mut error: FetchError, secrets: &Secrets) -> FetchError {
    error.message = printable(&secrets.scrub(&error.message), MESSAGE_BYTES_MAX);
    error
}

fn credential(account: &Account, name: &str) -> Option<String> {
    account.credentials.get(name).map(|secret| secret.expose_secret().to_owned())
}

/// Asks the token endpoint with `form`, and what the integration says of every request.
async fn exchange(
    http: &Http,
    grant: &Grant,
    account: &Account,
    mut form: Vec<(String, String)>,
    secrets: &mut Secrets,
) -> Result<Granted, FetchError> {
    let scope = scope::AccountScope(account);
    let url = address::base(&grant.token_url, &scope).map_err(|failure| broken(failure.message))?;
    let mut add =
        |name: &str, value: Option<String>| form.extend(value.map(|value| (name.to_owned(), value)));
    add("scope", grant.scope.clone());
    for (name, template) in &grant.params {
        add(name, Some(template.text(&scope).map_err(|error| broken(error.to_string()))?));
    }
    let mut request = http.client.post(url.clone());
    let (client_id, client_secret) = (credential(account, "client_id"), credential(account, "client_secret"));
    match grant.client_auth {
        ClientAuth::Body => {
            add("client_id", client_id);
            add("client_secret", client_secret);
        }
        ClientAuth::Basic => {
            // Both are written as in a form first (section 2.3.1).
            let encoded = |text: Option<String>| {
                let text = text.unwrap_or_default();
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
            };
            let pair = STANDARD.encode(format!("{}:{}", encoded(client_id), encoded(client_secret)));
            secrets.add(&pair);
            request = request.header("authorization", format!("Basic {pair}"));
        }
    }
    if !form.iter().any(|(name, _)| name == "grant_type")
        && let Some(name) = grant.kind.as_str()
    {
        form.insert(0, ("grant_type".to_owned(), name.to_owned()));
    }
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    let Answered { status, body, .. } = send(http, &url, request).await?;
    judged(status, Answer::read(&body))
}

/// What was answered where tokens are made.
struct Answered {
    status: reqwest::StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

async fn send(http: &Http, url: &Url, request: reqwest::RequestBuilder) -> Result<Answered, FetchError> {
    http.egress.check(url).map_err(|refused| broken(refused.to_string()))?;
    let out_of_reach = |error: reqwest::Error| {
        let what = format!("the token endpoint can't be reached: {}", error.without_url());
        FetchError::new(FetchErrorKind::Transient, "token_request", what)
    };
    let mut request = request.timeout(TIMEOUT).build().map_err(out_of_reach)?;
    let accepted = HeaderValue::from_static("application/json");
    request.headers_mut().entry(ACCEPT).or_insert(accepted);
    let mut response = http.client.execute(request).await.map_err(out_of_reach)?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(out_of_reach)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            let what = "the token endpoint's answer is too long for one".to_owned();
            return Err(FetchError::new(FetchErrorKind::Transient, "token_request", what));
        }
    }
    Ok(Answered { status, headers, body })
}

/// What the answer means: RFC 6749, sections 5.1 and 5.2, and what sources make of them.
fn judged(status: reqwest::StatusCode, answer: Option<Answer>) -> Result<Granted, FetchError> {
    let error = |kind, error: &str, what: String| {
        Err(FetchError { status: Some(status.as_u16()), ..FetchError::new(kind, error, what) })
    };
    let said = answer.as_ref().and_then(|answer| {
        let more = answer.error_description.as_deref().map(|more| format!(": {more}")).unwrap_or_default();
        answer.error.as_ref().map(|error| format!("{error}{more}"))
    });
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        let what = format!("the token endpoint answered {status}; it may recover by itself");
        return error(FetchErrorKind::Transient, "token_request", what);
    }
    match answer {
        Some(Answer { access_token: Some(access_token), refresh_token, expires_in, error: None, .. })
            if status.is_success() =>
        {
            Ok(Granted { access_token, refresh_token, expires_in })
        }
        // A success in another form than a token's, or a page: not the account's fault.
        Some(Answer { error: None, .. }) | None if !matches!(status.as_u16(), 400 | 401) => {
            let what = format!("the token endpoint answered {status} and no access_token; check token_url");
            error(FetchErrorKind::Transient, "token_request", what)
        }
        Some(_) | None => {
            let said = said.unwrap_or_else(|| format!("status {status}"));
            // What else may be refused (the client, a scope) is mended in the definitions, and is asked again.
            let is_final = REFUSED.iter().any(|refused| said.starts_with(refused));
            let advice = if is_final {
                "connect the account again"
            } else {
                "see the client, its secret and the scope"
            };
            let what =
                format!("the source refuses the account access ({said}); {advice}, then resume the run");
            error(FetchErrorKind::Unauthorized, if is_final { NEEDS_REAUTH } else { "token_refused" }, what)
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn judge(status: u16, body: &str) -> Result<(String, Option<u64>), (FetchErrorKind, String)> {
        match judged(StatusCode::from_u16(status).unwrap(), Answer::read(body.as_bytes())) {
            Ok(granted) => Ok((
                granted.access_token.expose_secret().to_owned(),
                granted.expires_in.map(|lasts| lasts.as_secs()),
            )),
            Err(error) => Err((error.kind, error.message)),
        }
    }

    #[test]
    fn a_token_is_taken_in_all_its_forms() {
        assert_eq!(judge(200, r#"{"access_token":"a","expires_in":60}"#), Ok(("a".to_owned(), Some(60))));
        assert_eq!(judge(201, r#"{"access_token":"a","expires_in":"60"}"#), Ok(("a".to_owned(), Some(60))));
        for strange in [
            r#","expires_in":true,"error":"""#,
            r#","expires_in":0"#,
            r#","expires_in":"soon""#,
            r#","expires_in":-1"#,
            r#","expires_in":null"#,
            "",
        ] {
            let body = format!(r#"{{"access_token":"a"{strange}}}"#);
            assert_eq!(judge(200, &body), Ok(("a".to_owned(), None)), "{strange}");
        }
    }

    #[test]
    fn only_what_the_source_refuses_asks_for_a_new_connection() {
        let kind = |status, body: &str| judge(status, body).unwrap_err().0;
        let refused = r#"{"error":"invalid_grant","error_description":"Token has been revoked"}"#;
        assert_eq!(kind(400, refused), FetchErrorKind::Unauthorized);
        assert_eq!(kind(401, "no"), FetchErrorKind::Unauthorized);
        // GitHub tells errors in a 200.
        assert_eq!(kind(200, r#"{"error":"bad_refresh_token"}"#), FetchErrorKind::Unauthorized);
        for status in [429, 500, 503] {
            assert_eq!(kind(status, refused), FetchErrorKind::Transient, "{status}");
        }
        for (status, nothing) in [(200, "{}"), (200, "<html>"), (302, ""), (403, "<html>"), (404, "")] {
            assert_eq!(kind(status, nothing), FetchErrorKind::Transient, "{status} {nothing}");
        }
        let (_, message) = judge(400, refused).unwrap_err();
        assert!(
            message.contains("(invalid_grant: Token has been revoked); connect the account again"),
            "{message}"
        );
        let (_, message) = judge(401, r#"{"error":"invalid_client"}"#).unwrap_err();
        assert!(message.contains("(invalid_client); see the client"), "{message}");
    }
}
