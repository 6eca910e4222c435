//! Access tokens that are renewed: before they expire, and when the source refuses one. All workers share what one of them
//! got, and only one renews at a time.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::definitions::{Live, LiveError};
use super::source::unreadable;
use crate::clock::{self, Millis};
use crate::definition::Account;
use crate::definition::integration::{Grant, GrantKind};
use crate::definition::webhook::EventType;
use crate::engine::seam::{FetchError, FetchErrorKind};
use crate::json::Json;
use crate::seal::Sealer;
use crate::source::Http;
use crate::source::grant::{self, Consent, Granted};
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
    /// What must come to its end before this process leaves: a source may not give its tokens twice.
    exchanges: TaskTracker,
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
        Self { store, sealer, exchanges: TaskTracker::new() }
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
            let own = self.open(&account, &kept, grant)?;
            let generation = kept.generation;
            if refused != Some(generation) {
                match &own {
                    Some(own) if own.renew_at.is_none_or(|at| clock::now() < at) => {
                        self.seal_anew(&account, &kept, own, grant).await?;
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
                let now = live.account_now(&account.id).await.map_err(unreadable)?;
                if now.integration != account.integration {
                    return Err(moved(&now));
                }
                account = now;
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
                    let task = self
                        .exchanges
                        .spawn(async move { tokens.renew(&http, &grant, &account, own, generation).await });
                    task.await.map_err(|error| broken(error.to_string()))??;
                }
            }
        }
        let what = "another worker renews the account's access and does not come to an end".to_owned();
        Err(FetchError::new(FetchErrorKind::Transient, "token_request", what))
    }

    /// Waits for the exchanges that are under way.
    pub(super) async fn settled(&self) {
        self.exchanges.close();
        self.exchanges.wait().await;
    }

    /// Makes and keeps the first tokens of an account of a person's consent, whatever becomes of the request that asked.
    pub(super) async fn redeem(
        &self,
        http: &Http,
        live: &Live,
        grant: &Grant,
        account: &Arc<Account>,
        consent: Consent,
    ) -> Result<(), FetchError> {
        let (tokens, http, live, grant) = (self.clone(), http.clone(), live.clone(), grant.clone());
        let account = Arc::clone(account);
        let task = self.exchanges.spawn(async move {
            let granted = grant::redeem(&http, &grant, &account, &consent).await?;
            tokens.keep(&account, &grant, &granted).await?;
            // Whoever has this id next must not have its access.
            if let Err(LiveError::Missing { .. }) = live.account_now(&account.id).await {
                tokens.store.forget_account(&account.id).await.map_err(passing)?;
            }
            Ok(())
        });
        task.await.map_err(|error| broken(error.to_string()))?
    }

    async fn keep(&self, account: &Account, grant: &Grant, granted: &Granted) -> Result<(), FetchError> {
        let sealed = self.seal(account, &self.sealed(account, grant, granted, None))?;
        let let_in = announcement(account, EventType::AccountReactivated, None);
        let deadline = clock::monotonic() + RENEWAL_MAX;
        // A code works once: what was made of it must be kept.
        while let Err(error) = self.store.replace_tokens(&account.id, &sealed, &let_in).await {
            if !error.is_passing() || clock::monotonic() > deadline {
                return Err(passing(error));
            }
        }
        info!(account = account.id.as_str(), "account connected");
        Ok(())
    }

    /// What is kept of `granted`; `before` is the refresh token that it was made with, which may go on.
    fn sealed(&self, account: &Account, grant: &Grant, granted: &Granted, before: Option<String>) -> Sealed {
        let now = clock::now();
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        Sealed {
            of: self.fingerprint(account, grant),
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
                let of = self.sealer.fingerprint(&self.purpose(account), &credentials(account, None));
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
        let sealed = self.seal(account, &self.sealed(account, grant, &granted, before))?;
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

    /// Seals tokens with the key of the moment, if they were sealed with an earlier one: it will be taken away some day.
    async fn seal_anew(
        &self,
        account: &Account,
        kept: &KeptToken,
        own: &Sealed,
        grant: &Grant,
    ) -> Result<(), FetchError> {
        if !self.sealer.is_outdated(&kept.sealed) {
            return Ok(());
        }
        // So is the fingerprint of what they were made from.
        let anew = Sealed { of: self.fingerprint(account, grant), ..own.clone() };
        let sealed = self.seal(account, &anew)?;
        self.store.seal_tokens_anew(&account.id, &kept.sealed, &sealed).await.map_err(passing)
    }

    /// The tokens that are kept, if they were made from what the account has now.
    fn open(&self, account: &Account, kept: &KeptToken, grant: &Grant) -> Result<Option<Sealed>, FetchError> {
        if kept.sealed.is_empty() {
            return Ok(None);
        }
        // Another worker may know the key; the account's first token is no help, as it was used.
        let unreadable =
            |what: String| FetchError::new(FetchErrorKind::Transient, "token_not_readable", what);
        let plain = match self.sealer.open(&self.purpose(account), &kept.sealed) {
            Ok(plain) => plain,
            // What makes others needs no earlier ones.
            Err(_) if !matches!(grant.kind, GrantKind::RefreshToken(_)) => return Ok(None),
            Err(error) => return Err(unreadable(format!("the account's kept access: {error}"))),
        };
        let sealed: Sealed = serde_json::from_slice(&plain).map_err(|error| unreadable(error.to_string()))?;
        let makers = credentials(account, makers(account, grant));
        Ok(self.sealer.matches(&self.purpose(account), &makers, &sealed.of).then_some(sealed))
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
            self.sealer.matches(&self.purpose(account), &credentials(account, None), &refusal.of)
        };
        kept.refused.as_ref().filter(is_of)
    }

    fn purpose(&self, account: &Account) -> String {
        format!("{}/{}/token", self.store.environment(), account.id)
    }

    fn fingerprint(&self, account: &Account, grant: &Grant) -> String {
        self.sealer.fingerprint(&self.purpose(account), &credentials(account, makers(account, grant)))
    }
}

/// An account that was moved to another integration: its credentials must not go where they were not meant to.
pub(super) fn moved(account: &Account) -> FetchError {
    let what = format!(
        "the account connects to {:?} now; what began with another integration can't go on: start a new run",
        account.integration.as_str()
    );
    FetchError::new(FetchErrorKind::Unauthorized, "account_unusable", what)
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

/// Which credentials of an account tokens are made of, and without which they are another's. What a person agreed to hangs on
/// its refresh token, or on the client that they let in: a client's secret may change while that goes on. Elsewhere all count.
fn makers(account: &Account, grant: &Grant) -> Option<&'static str> {
    let GrantKind::RefreshToken(_) = &grant.kind else { return None };
    ["refresh_token", "client_id"].into_iter().find(|name| account.credentials.contains_key(*name))
}

/// The credential that counts, or all but a first access token, which is no part of what makes others. Each with its length,
/// so that no two accounts look the same.
fn credentials(account: &Account, one: Option<&str>) -> zeroize::Zeroizing<Vec<u8>> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let counts = |name: &str| one.map_or(name != "access_token", |one| one == name);
    for (name, secret) in account.credentials.iter().filter(|(name, _)| counts(name)) {
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
