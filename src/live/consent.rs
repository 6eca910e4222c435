//! A person lets an account in: where they are sent to, and what is made of what comes back (RFC 6749, section 4.1, with
//! RFC 7636). Nothing is kept between the two: all that is needed then is sealed into the `state` that comes back as well.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::Connections;
use super::source::unreadable;
use super::tokens::moved;
use crate::clock::{self, Millis};
use crate::definition::Account;
use crate::definition::integration::Grant;
use crate::engine::seam::{FetchError, FetchErrorKind};
use crate::id::AccountId;
use crate::source::grant::{self, Consent};

/// How long a person may take.
const PERSON_MAX: Duration = Duration::from_secs(900);

/// Where a person is to be sent to.
pub struct Invitation {
    /// The source's page.
    pub authorize_url: String,
    /// What comes back from there, and has to be given back.
    pub state: String,
    /// Until when.
    pub expires_at: Millis,
}

/// What a `state` holds.
#[derive(Serialize, Deserialize)]
struct Begun {
    #[serde(rename = "r")]
    redirect_uri: String,
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    verifier: Option<String>,
    #[serde(rename = "t")]
    expires_at: Millis,
}

impl Connections {
    /// Where a person lets `account` in, who comes back to `redirect_uri`.
    ///
    /// # Errors
    /// When the account or its integration can't be read, or the integration doesn't say where.
    pub async fn invite(&self, account: &AccountId, redirect_uri: &str) -> Result<Invitation, FetchError> {
        let (account, grant) = self.account_and_grant(account).await?;
        let wants = grant.authorize().is_some_and(|authorize| authorize.pkce);
        let verifier = wants.then(|| URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        let expires_at = clock::now().plus(PERSON_MAX);
        let begun = Begun { redirect_uri: redirect_uri.to_owned(), verifier, expires_at };
        let plain = serde_json::to_vec(&begun).map_err(|error| refused(&error.to_string()))?;
        let state = self.sealer.seal(&self.purpose(&account.id), &plain);
        let state = state.map_err(|error| refused(&error.to_string()))?;
        let url = grant::consent_url(&grant, &account, redirect_uri, &state, begun.verifier.as_deref())?;
        Ok(Invitation { authorize_url: url, state, expires_at })
    }

    /// Makes and keeps the tokens of `account` of what the person came back with.
    ///
    /// # Errors
    /// When `state` is not of this account or too old, and what the source says to the code.
    pub async fn admit(&self, account: &AccountId, code: &str, state: &str) -> Result<(), FetchError> {
        let (account, grant) = self.account_and_grant(account).await?;
        let plain = self.sealer.open(&self.purpose(&account.id), state).ok();
        let begun: Option<Begun> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        let begun = begun.ok_or_else(|| refused("the state was not made for this account; begin again"))?;
        if begun.expires_at < clock::now() {
            return Err(refused("the person took too long; begin again"));
        }
        let consent =
            Consent { code: code.to_owned(), redirect_uri: begun.redirect_uri, verifier: begun.verifier };
        self.tokens.redeem(&self.http, &self.live, &grant, &account, consent).await
    }

    async fn account_and_grant(&self, account: &AccountId) -> Result<(Arc<Account>, Grant), FetchError> {
        let account = self.live.account_now(account).await.map_err(unreadable)?;
        let integration = self.live.integration_of(&account).await.map_err(unreadable)?;
        if integration.name != account.integration {
            return Err(moved(&account));
        }
        let Some(grant) = integration.grant.clone() else {
            let what =
                "the integration declares no oauth2 under credentials: its accounts are used as they are";
            return Err(refused(what));
        };
        if !account.credentials.contains_key("client_id") {
            return Err(refused(
                "the account has no client_id among its credentials: add the one that the source gave you",
            ));
        }
        Ok((account, grant))
    }

    fn purpose(&self, account: &AccountId) -> String {
        format!("{}/{account}/consent", self.store.environment())
    }
}

/// The request itself can't be served.
fn refused(what: &str) -> FetchError {
    FetchError::new(FetchErrorKind::Permanent, "invalid_request", what.to_owned())
}
