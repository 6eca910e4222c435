//! Who may come in: whoever sends one of the tokens in `api.tokens`.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::Api;
use super::error::ApiError;

/// The tokens that open the API, as SHA-256 digests: equally long, so that comparing them takes equally long.
pub(super) struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    pub(super) fn new(tokens: &[SecretString]) -> Self {
        Self(tokens.iter().map(|token| Sha256::digest(token.expose_secret()).into()).collect())
    }

    /// Whether `token` is one of ours. Looks at all of them, whichever it is.
    fn open(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let found = self.0.iter().fold(Choice::from(0), |found, ours| found | ours.ct_eq(&digest));
        found.into()
    }
}

/// Lets requests with a token through.
pub(super) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    let header = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    let message = match header.map(bearer) {
        Some(Some(token)) if api.0.tokens.open(token) => return next.run(request).await,
        Some(Some(_)) => "this token is not (or no longer) one of the scheduler's setting api.tokens",
        Some(None) => "the Authorization header must be `Bearer <token>`",
        None => {
            "send the header `Authorization: Bearer <token>` with a token of the scheduler's setting api.tokens"
        }
    };
    ApiError::new(StatusCode::UNAUTHORIZED, message).into_response()
}

/// The token of a header; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_opens_and_no_other_text_does() {
        let tokens = Tokens::new(&["first-token-of-many".into(), "second-token-of-many".into()]);
        assert!(tokens.open("first-token-of-many") && tokens.open("second-token-of-many"));
        for wrong in ["", "first-token-of-man", "first-token-of-many ", "FIRST-TOKEN-OF-MANY"] {
            assert!(!tokens.open(wrong), "{wrong:?}");
        }
        assert!(!Tokens::new(&[]).open(""));
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }
}
