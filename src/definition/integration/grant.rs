//! How accounts get their access token, when it is one that is made and renewed.

use std::time::Duration;

use super::BodyFormat;
use crate::definition::Account;
use crate::template::{Template, Tree};

/// How accounts get their access token (OAuth 2, RFC 6749; signed assertions, RFC 7523; or a login of the source's own). The
/// token becomes the account's credential `access_token`.
#[derive(Debug, Clone)]
pub struct Grant {
    /// With what.
    pub kind: GrantKind,
    /// Where tokens are made.
    pub token_url: Template,
    /// What is asked for.
    pub scope: Option<String>,
    /// How the client says who it is.
    pub client_auth: ClientAuth,
    /// Further parameters.
    pub params: Vec<(String, Template)>,
}

/// With what a token is made.
#[derive(Debug, Clone)]
pub enum GrantKind {
    /// With a refresh token, which may be replaced each time (section 6). The first one comes with the account, or of a person
    /// who let it in.
    RefreshToken(Option<Authorize>),
    /// With the client's own credentials (section 4.4).
    ClientCredentials,
    /// By a request of the source's own.
    Login(Box<Login>),
    /// With a signed JSON Web Token.
    Assertion(Box<Assertion>),
}

/// Where a person lets an account in (section 4.1).
#[derive(Debug, Clone)]
pub struct Authorize {
    /// The authorization endpoint.
    pub url: Template,
    /// Whether a code challenge goes with it (RFC 7636).
    pub pkce: bool,
    /// Further parameters.
    pub params: Vec<(String, Template)>,
}

/// A request that gives a token.
#[derive(Debug, Clone)]
pub struct Login {
    /// `GET` or `POST`.
    pub http_method: &'static str,
    /// Name (lower case) and value.
    pub headers: Vec<(String, Template)>,
    /// What is sent.
    pub body: Option<Tree>,
    /// How it is written.
    pub body_format: BodyFormat,
    /// Where the token is in the answer.
    pub token: TokenPlace,
    /// How long it works, when the answer doesn't say.
    pub lasts: Option<Duration>,
    /// Where the answer says for how many seconds it works.
    pub lasts_path: Vec<String>,
}

/// Where an answer holds a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// In its body, at this path.
    Body(Vec<String>),
    /// In this header, lower case.
    Header(String),
}

/// A signed JSON Web Token (RFC 7519).
#[derive(Debug, Clone)]
pub struct Assertion {
    /// `RS256`, `ES256`, `HS256` and so on (RFC 7518, section 3.1).
    pub algorithm: &'static str,
    /// What it is signed with: a private key in PEM, or the text that both sides know.
    pub key: Template,
    /// Members of its header beside `alg` and `typ`.
    pub header: Tree,
    /// Its claims beside `iat`, `exp` and, unless they are written, `aud`.
    pub claims: Tree,
    /// How long it is good.
    pub lasts: Duration,
    /// Whether it is the access token itself; else it is exchanged for one.
    pub is_token: bool,
}

/// How a client says who it is (section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// In the form.
    Body,
    /// By HTTP basic authentication.
    Basic,
}

impl GrantKind {
    /// Its name on the wire; `None` when it has none.
    pub fn as_str(&self) -> Option<&'static str> {
        match self {
            Self::RefreshToken(_) => Some("refresh_token"),
            Self::ClientCredentials => Some("client_credentials"),
            Self::Assertion(_) => Some("urn:ietf:params:oauth:grant-type:jwt-bearer"),
            Self::Login(_) => None,
        }
    }
}

impl Grant {
    /// Whether an account has what it takes. One that doesn't is used as it is.
    pub fn fits(&self, account: &Account) -> bool {
        let has = |name: &str| account.credentials.contains_key(name);
        match &self.kind {
            GrantKind::RefreshToken(authorize) => {
                has("client_id") && (has("refresh_token") || authorize.is_some())
            }
            GrantKind::ClientCredentials => has("client_id") && has("client_secret"),
            // What it needs its own placeholders say.
            GrantKind::Login(_) | GrantKind::Assertion(_) => !has("access_token"),
        }
    }

    /// Whether its first token comes of a person's consent.
    pub fn authorize(&self) -> Option<&Authorize> {
        match &self.kind {
            GrantKind::RefreshToken(authorize) => authorize.as_ref(),
            GrantKind::ClientCredentials | GrantKind::Login(_) | GrantKind::Assertion(_) => None,
        }
    }
}
