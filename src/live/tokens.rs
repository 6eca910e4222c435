//! Access tokens that are renewed: before they expire, and when the source refuses one. All workers share what one of them
//! got, and only one renews at a time.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::info;

use super::definitions::Live;
use super::source::unreadable;
use crate::clock::{self, Millis};
use crate::definition::Account;
use crate::definition::integration::{Grant, GrantKind};
use crate::definition::webhook::EventType;
use crate::engine::seam::{FetchError, FetchErrorKind};
use crate::json::Json;
use crate::seal::Sealer;
use crate::source::Http;
use crate::source::grant::{self, Granted};
use crate::store::announcements::Announcement;
use crate::store::tokens::{KeptToken, RENEWAL_MAX, Refusal, Renewal, Renewed};
use crate::store::{Store, StoreError};

/// A token is renewed so long before it expires.
const AHEAD: Duration = Duration::from_secs(60);
/// How long a refusal is believed that is no refused consent.
const REFUSED_FOR: Duration = Duration::from_secs(900);
/// How often it is looked whether another worker has renewed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The tokens of all accounts.
#[derive(Clone)]
pub(super) struct Tokens {
    store: Store,
    sealer: Arc<Sealer>,
}

/// An account with the access token of the moment, and which generation that is.
pub(super) struct Authorised {
    pub(super) account: Arc<Account>,
    pub(super) generation: u64,
}

/// What is sealed.
#[derive(Clone, Serialize, Deserialize)]
struct Sealed {
    /// Which credentials of the account these were made from; others mean that it was connected again.
    of: String,
    access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renew_at: Option<Millis>,
}

impl Tokens {
    pub(super) fn new(store: Store, sealer: Arc<Sealer>) -> Self {
        Self { store, sealer }
    }

    /// `account` with an access token that should work. `refused` is the generation of one that the source just refused.
    /// `live` has the account as it is now: nothing is renewed for one that was connected again since it was read, as its
    /// tokens are not to be used any more.
    pub(super) async fn authorise(
        &self,
        live: &Live,
        http: &Http,
        grant: &Grant,
        account: &Arc<Account>,
        refused: Option<u64>,
    ) -> Result<Authorised, FetchError> {
        let mut account = Arc::clone(account);
        let mut is_current = false;
        let deadline = clock::monotonic() + RENEWAL_MAX + RENEWAL_MAX;
        while clock::monotonic() < deadline {
            let kept = self.store.token(&account.id).await.map_err(passing)?;
            let own = self.open(&account, &kept)?;
            let generation = kept.generation;
            if refused != Some(generation) {
                match &own {
                    Some(own) if own.renew_at.is_none_or(|at| clock::now() < at) => {
                        let generation = self.sealed_anew(&account, &kept, own).await?;
                        return Ok(Authorised { account: with(&account, own), generation });
                    }
                    // The token that the account was connected with serves as long as the source takes it.
                    None if matches!(grant.kind, GrantKind::RefreshToken(_))
                        && account.credentials.contains_key("access_token") =>
                    {
                        return Ok(Authorised { account, generation });
                    }
                    Some(_) | None => {}
                }
            }
            if !is_current {
                account = live.account_now(&account.id).await.map_err(unreadable)?;
                is_current = true;
                continue;
            }
            if let Some(reason) = self.refusal(&account, &kept, grant) {
                return Err(FetchError::new(FetchErrorKind::Unauthorized, grant::NEEDS_REAUTH, reason));
            }
            match self.store.begin_renewal(&account.id, generation).await.map_err(passing)? {
                Renewal::Done => {}
                Renewal::Wait(most) => tokio::time::sleep(most.min(LOOK_EVERY)).await,
                Renewal::Yours => {
                    // A task of its own: what the source gives must be kept, whatever becomes of the run that asked.
                    let (tokens, http, grant) = (self.clone(), http.clone(), grant.clone());
                    let account = Arc::clone(&account);
                    let task =
                        tokio::spawn(
                            async move { tokens.renew(&http, &grant, &account, own, generation).await },
                        );
                    task.await.map_err(|error| broken(error.to_string()))??;
                }
            }
        }
        let what = "another worker renews the account's access and does not come to an end".to_owned();
        Err(FetchError::new(FetchErrorKind::Transient, "token_request", what))
    }

    /// Keeps the first tokens of an account, in place of those that there may be.
    pub(super) async fn keep(&self, account: &Account, granted: &Granted) -> Result<(), FetchError> {
        let sealed = self.seal(account, &self.sealed(account, granted, None))?;
        let let_in = announcement(account, EventType::AccountReactivated, None);
        let deadline = clock::monotonic() + RENEWAL_MAX + RENEWAL_MAX;
        while clock::monotonic() < deadline {
            let generation = self.store.token(&account.id).await.map_err(passing)?.generation;
            match self.store.begin_renewal(&account.id, generation).await.map_err(passing)? {
                Renewal::Done => {}
                Renewal::Wait(most) => tokio::time::sleep(most.min(LOOK_EVERY)).await,
                Renewal::Yours => {
                    let tokens = Renewed::Tokens(&sealed);
                    // A code works once: what was made of it must be kept.
                    let counts = loop {
                        match self.store.end_renewal(&account.id, generation, tokens, &let_in).await {
                            Ok(counts) => break counts,
                            Err(error) if error.is_passing() && clock::monotonic() < deadline => {}
                            Err(error) => return Err(passing(error)),
                        }
                    };
                    if counts {
                        info!(account = account.id.as_str(), "account connected");
                        return Ok(());
                    }
                }
            }
        }
        let what = "the account's access is being renewed and that does not come to an end".to_owned();
        Err(FetchError::new(FetchErrorKind::Transient, "token_request", what))
    }

    /// What is kept of `granted`; `before` is the refresh token that it was made with, which may go on.
    fn sealed(&self, account: &Account, granted: &Granted, before: Option<String>) -> Sealed {
        let now = clock::now();
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        Sealed {
            of: self.fingerprint(account),
            access_token: text(&granted.access_token),
            refresh_token: granted.refresh_token.as_ref().map(text).or(before),
            renew_at: granted.expires_in.map(|lasts| now.plus(lasts - AHEAD.min(lasts / 10))),
        }
    }

    async fn renew(
        &self,
        http: &Http,
        grant: &Grant,
        account: &Arc<Account>,
        own: Option<Sealed>,
        generation: u64,
    ) -> Result<(), FetchError> {
        let with_newest = own.as_ref().map_or_else(|| Arc::clone(account), |own| with(account, own));
        let granted = match grant::renew(http, grant, &with_newest).await {
            Ok(granted) => granted,
            Err(error) => {
                let of = self.sealer.fingerprint(&self.purpose(account), &credentials(account, all));
                let refusal = Refusal { of, at: clock::now(), message: error.message.clone() };
                let is_final = error.error == grant::NEEDS_REAUTH;
                let renewed = if is_final { Renewed::Refused(&refusal) } else { Renewed::Failed };
                let told = announcement(account, EventType::AccountRefused, Some(&error.message));
                let ended = self.store.end_renewal(&account.id, generation, renewed, &told).await;
                ended.map_err(passing)?;
                return Err(error);
            }
        };
        let before = own.and_then(|own| own.refresh_token);
        let sealed = self.seal(account, &self.sealed(account, &granted, before))?;
        let deadline = clock::monotonic() + RENEWAL_MAX;
        let tokens = Renewed::Tokens(&sealed);
        let let_in = announcement(account, EventType::AccountReactivated, None);
        while let Err(error) = self.store.end_renewal(&account.id, generation, tokens, &let_in).await {
            // The source may not give them twice.
            if !error.is_passing() || clock::monotonic() > deadline {
                return Err(passing(error));
            }
        }
        info!(account = account.id.as_str(), "access renewed");
        Ok(())
    }

    /// Seals tokens with the key of the moment, if they were sealed with an earlier one: it will be taken away some day. Returns
    /// their generation.
    async fn sealed_anew(
        &self,
        account: &Account,
        kept: &KeptToken,
        own: &Sealed,
    ) -> Result<u64, FetchError> {
        let generation = kept.generation;
        if !self.sealer.is_outdated(&kept.sealed)
            || self.store.begin_renewal(&account.id, generation).await.map_err(passing)? != Renewal::Yours
        {
            return Ok(generation);
        }
        // So is the fingerprint of what they were made from.
        let anew = Sealed { of: self.fingerprint(account), ..own.clone() };
        let sealed = self.seal(account, &anew)?;
        let let_in = announcement(account, EventType::AccountReactivated, None);
        let tokens = Renewed::Tokens(&sealed);
        let counts = self.store.end_renewal(&account.id, generation, tokens, &let_in).await;
        Ok(generation + u64::from(counts.map_err(passing)?))
    }

    /// The tokens that are kept, if they were made from what the account has now.
    fn open(&self, account: &Account, kept: &KeptToken) -> Result<Option<Sealed>, FetchError> {
        if kept.sealed.is_empty() {
            return Ok(None);
        }
        // Another worker may know the key; the account's first token is no help, as it was used.
        let unreadable =
            |what: String| FetchError::new(FetchErrorKind::Transient, "token_not_readable", what);
        let plain = self.sealer.open(&self.purpose(account), &kept.sealed);
        let plain = plain.map_err(|error| unreadable(format!("the account's kept access: {error}")))?;
        let sealed: Sealed = serde_json::from_slice(&plain).map_err(|error| unreadable(error.to_string()))?;
        Ok(self.is_of(account, &sealed.of).then_some(sealed))
    }

    fn seal(&self, account: &Account, sealed: &Sealed) -> Result<String, FetchError> {
        let plain = serde_json::to_vec(sealed).map_err(|error| broken(error.to_string()))?;
        let plain = zeroize::Zeroizing::new(plain);
        self.sealer.seal(&self.purpose(account), &plain).map_err(|error| broken(error.to_string()))
    }

    /// Why the source refused to renew the access of `account` as it is now, if it did.
    pub(super) async fn refused(&self, account: &Account) -> Result<Option<String>, StoreError> {
        let kept = self.store.token(&account.id).await?;
        Ok(self.refused_as_it_is(account, &kept).map(|refusal| refusal.message.clone()))
    }

    /// Why the source is not asked to renew: it refused what the account has now. A consent is given anew; what else is
    /// refused may be mended at the source or in the integration, so that it is asked again after a while.
    fn refusal(&self, account: &Account, kept: &KeptToken, grant: &Grant) -> Option<String> {
        let refusal = self.refused_as_it_is(account, kept)?;
        let is_final = matches!(grant.kind, GrantKind::RefreshToken(_));
        let is_recent = clock::now().since(refusal.at) < REFUSED_FOR;
        (is_final || is_recent).then(|| refusal.message.clone())
    }

    fn refused_as_it_is<'k>(&self, account: &Account, kept: &'k KeptToken) -> Option<&'k Refusal> {
        let is_of = |refusal: &&Refusal| {
            self.sealer.matches(&self.purpose(account), &credentials(account, all), &refusal.of)
        };
        kept.refused.as_ref().filter(is_of)
    }

    fn purpose(&self, account: &Account) -> String {
        format!("{}/{}/token", self.store.environment(), account.id)
    }

    fn fingerprint(&self, account: &Account) -> String {
        self.sealer.fingerprint(&self.purpose(account), &credentials(account, makers))
    }

    fn is_of(&self, account: &Account, fingerprint: &str) -> bool {
        self.sealer.matches(&self.purpose(account), &credentials(account, makers), fingerprint)
    }
}

/// What webhooks are told of an account.
fn announcement(account: &Account, event: EventType, error: Option<&str>) -> Announcement {
    let status = if error.is_some() { "needs_reauth" } else { "active" };
    let payload = json!({
        "id": account.id.as_str(),
        "integration": { "name": account.integration.as_str() },
        "tenant_id": account.tenant_id,
        "status": status,
        "last_error": error,
    });
    Announcement {
        event: event.as_str().to_owned(),
        at: clock::now(),
        payload: Json::of(&payload),
        told: Vec::new(),
        tries: 0,
    }
}

/// Those credentials of an account of which tokens are made, and without which they are another's: its refresh token, or the
/// client that it was let in for, or all else where it has neither. A client's secret may be changed while what people agreed
/// to goes on.
fn makers(account: &Account, name: &str) -> bool {
    let by = ["refresh_token", "client_id"].into_iter().find(|by| account.credentials.contains_key(*by));
    by.map_or_else(|| all(account, name), |by| by == name)
}

/// All credentials but a first access token, which is no part of what makes others.
fn all(_: &Account, name: &str) -> bool {
    name != "access_token"
}

/// Those credentials that count. Each with its length, so that no two accounts look the same.
fn credentials(account: &Account, counts: fn(&Account, &str) -> bool) -> zeroize::Zeroizing<Vec<u8>> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    for (name, secret) in account.credentials.iter().filter(|(name, _)| counts(account, name)) {
        for text in [name.as_str(), secret.expose_secret()] {
            bytes.extend_from_slice(&text.len().to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// `account` with these tokens among its credentials.
fn with(account: &Account, sealed: &Sealed) -> Arc<Account> {
    let mut account = account.clone();
    account.credentials.insert("access_token".to_owned(), sealed.access_token.clone().into());
    if let Some(refresh_token) = &sealed.refresh_token {
        account.credentials.insert("refresh_token".to_owned(), refresh_token.clone().into());
    }
    Arc::new(account)
}

/// Without access nothing is skipped, whatever the job says of errors.
fn broken(what: String) -> FetchError {
    FetchError::new(FetchErrorKind::Unauthorized, "token_request", what)
}

/// Without Redis nothing is renewed: what the source gives could not be kept.
fn passing(error: StoreError) -> FetchError {
    FetchError::new(FetchErrorKind::Transient, "token_not_kept", error.to_string())
}
