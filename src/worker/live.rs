//! Definitions as a worker reads them: jobs and integrations by the address a run pinned, which never change;
//! accounts and webhooks live, a few seconds old at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use crate::clock;
use crate::definition::integration::RequestBudget;
use crate::definition::{Account, Document, Integration, Kind, Problems, SyncJob, Webhook};
use crate::delivery::{BookError, WebhookBook};
use crate::engine::budget::Room;
use crate::engine::seam::{FetchError, FetchErrorKind, FetchRequest, Page, SendGuard, Source};
use crate::id::{AccountId, WebhookId};
use crate::source::{Http, HttpSource};
use crate::store::definitions::Definitions;
use crate::store::{Store, StoreError};
use crate::worker::tokens::Tokens;

/// How old an account or webhook may be: a rotated secret is used this much later at most.
const FRESH: Duration = Duration::from_secs(2);

/// How long a slot is held for a budget to fill.
const WAITED_MAX: Duration = Duration::from_secs(1);

/// Definitions kept in memory; beyond that the cache starts over.
const CACHED_MAX: usize = 10_000;

/// Why a definition can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum LiveError {
    /// It may work later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not there.
    #[error("{kind} {id:?} does not exist any more")]
    Missing { kind: Kind, id: String },
    /// It is there and can't be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Definitions of one kind, as they were read last.
struct Shelf<T> {
    kind: Kind,
    read: fn(&Document) -> Result<T, Problems>,
    kept: Mutex<HashMap<String, (Arc<T>, Instant)>>,
}

impl<T> Shelf<T> {
    fn new(kind: Kind, read: fn(&Document) -> Result<T, Problems>) -> Self {
        Self { kind, read, kept: Mutex::default() }
    }

    fn get(&self, key: &str) -> Option<(Arc<T>, Instant)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: &str, document: &Document) -> Result<Arc<T>, LiveError> {
        let value = (self.read)(document).map_err(|problems| LiveError::Unreadable(problems.to_string()))?;
        let value = Arc::new(value);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= CACHED_MAX {
            kept.clear();
        }
        kept.insert(key.to_owned(), (Arc::clone(&value), clock::monotonic()));
        Ok(value)
    }

    /// A definition that never changes, by its content's address.
    async fn pinned(&self, definitions: &Definitions, address: &str) -> Result<Arc<T>, LiveError> {
        if let Some((value, _)) = self.get(address) {
            return Ok(value);
        }
        self.put(address, &definitions.content(self.kind, address).await?)
    }

    /// A definition as it is now.
    async fn current(&self, definitions: &Definitions, id: &str) -> Result<Arc<T>, LiveError> {
        let kept = self.get(id);
        if let Some((value, read)) = &kept
            && read.elapsed() < FRESH
        {
            return Ok(Arc::clone(value));
        }
        self.anew(definitions, id, kept).await
    }

    /// A definition as it is now, read again whatever is kept.
    async fn anew(
        &self,
        definitions: &Definitions,
        id: &str,
        kept: Option<(Arc<T>, Instant)>,
    ) -> Result<Arc<T>, LiveError> {
        match (definitions.document(self.kind, id).await, kept) {
            (Ok(Some(document)), _) => self.put(id, &document),
            (Ok(None), _) => Err(LiveError::Missing { kind: self.kind, id: id.to_owned() }),
            // What was true a moment ago serves until Redis is back.
            (Err(error), Some((value, _))) if error.is_passing() => Ok(value),
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// A worker's view of the definitions. Cheap to clone.
#[derive(Clone)]
pub(super) struct Live(Arc<Shelves>);

struct Shelves {
    definitions: Definitions,
    jobs: Shelf<SyncJob>,
    integrations: Shelf<Integration>,
    accounts: Shelf<Account>,
    webhooks: Shelf<Webhook>,
}

impl Live {
    pub(super) fn new(definitions: Definitions) -> Self {
        Self(Arc::new(Shelves {
            definitions,
            jobs: Shelf::new(Kind::SyncJob, SyncJob::from_document),
            integrations: Shelf::new(Kind::Integration, Integration::from_document),
            accounts: Shelf::new(Kind::Account, Account::from_document),
            webhooks: Shelf::new(Kind::Webhook, Webhook::from_document),
        }))
    }

    pub(super) async fn job(&self, address: &str) -> Result<Arc<SyncJob>, LiveError> {
        self.0.jobs.pinned(&self.0.definitions, address).await
    }

    pub(super) async fn integration(&self, address: &str) -> Result<Arc<Integration>, LiveError> {
        self.0.integrations.pinned(&self.0.definitions, address).await
    }

    /// The integration that an account connects to, as it is now.
    async fn integration_of(&self, account: &Account) -> Result<Arc<Integration>, LiveError> {
        self.0.integrations.current(&self.0.definitions, account.integration.as_str()).await
    }

    pub(super) async fn account(&self, id: &AccountId) -> Result<Arc<Account>, LiveError> {
        self.0.accounts.current(&self.0.definitions, id.as_str()).await
    }

    /// An account as it is now, whatever was read a moment ago.
    pub(super) async fn account_now(&self, id: &AccountId) -> Result<Arc<Account>, LiveError> {
        self.0.accounts.anew(&self.0.definitions, id.as_str(), None).await
    }

    /// The account as it is now, if the source should be asked again with it: it was mended since `used` was read.
    async fn mended(&self, used: &Account) -> Option<Arc<Account>> {
        let now = self.account_now(&used.id).await.ok()?;
        let opened = |account: &Account| -> Vec<(String, String)> {
            let pairs = account.credentials.iter();
            pairs.map(|(name, secret)| (name.clone(), secret.expose_secret().to_owned())).collect()
        };
        (opened(&now) != opened(used) || now.context != used.context).then_some(now)
    }

    pub(super) async fn webhook(&self, id: &WebhookId) -> Result<Arc<Webhook>, LiveError> {
        self.0.webhooks.current(&self.0.definitions, id.as_str()).await
    }
}

/// The webhooks as the courier looks them up, before each send.
pub(super) struct LiveWebhooks(pub(super) Live);

impl WebhookBook for LiveWebhooks {
    async fn webhook(&self, id: &WebhookId) -> Result<Option<Arc<Webhook>>, BookError> {
        match self.0.webhook(id).await {
            Ok(webhook) => Ok(Some(webhook)),
            Err(LiveError::Missing { .. }) => Ok(None),
            Err(error) => Err(BookError(error.to_string())),
        }
    }
}

/// The source of one run: its pinned integration with the account's credentials of the moment.
pub(super) struct LiveSource {
    live: Live,
    integration: Option<Arc<Integration>>,
    account: AccountId,
    http: Http,
    tokens: Tokens,
    store: Store,
}

impl LiveSource {
    pub(super) fn new(
        live: Live,
        integration: Option<Arc<Integration>>,
        account: AccountId,
        http: Http,
        tokens: Tokens,
        store: Store,
    ) -> Self {
        Self { live, integration, account, http, tokens, store }
    }

    /// Takes a request out of what the source allows the account. A short wait is waited here; for a longer one the run
    /// gives its slot back, as it does when the source itself limits it.
    async fn spend(&self, budget: RequestBudget, account: &AccountId) -> Result<(), FetchError> {
        let deadline = clock::monotonic() + WAITED_MAX;
        loop {
            let spent = self.store.spend(account, budget.requests, budget.per).await;
            let Some(wait) = spent.map_err(|error| unreadable(error.into()))? else { return Ok(()) };
            if clock::monotonic() + wait > deadline {
                let wait = Duration::from_secs(wait.as_secs() + 1);
                let RequestBudget { requests, per } = budget;
                let message = format!(
                    "the account's budget of {requests} requests in {} s is used up; asked again in {} s",
                    per.as_secs(),
                    wait.as_secs()
                );
                return Err(FetchError::new(FetchErrorKind::RateLimited { wait }, "budget_used_up", message));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks as `account`, whose access is renewed where the integration says how: before it expires, and once when the
    /// source refuses it.
    async fn ask(
        &self,
        integration: &Arc<Integration>,
        account: &Arc<Account>,
        request: &FetchRequest,
        room: &Room,
        guard: &dyn SendGuard,
    ) -> Result<Page, FetchError> {
        if let Some(budget) = integration.rate_limit.budget {
            self.spend(budget, &account.id).await?;
        }
        let source = |account| HttpSource::new(Arc::clone(integration), account, self.http.clone());
        let Some(grant) = integration.grant.as_ref().filter(|grant| grant.fits(account)) else {
            return source(Arc::clone(account)).fetch(request, room, guard).await;
        };
        let first = self.tokens.authorise(&self.live, &self.http, grant, account, None).await?;
        let result = source(first.account).fetch(request, room, guard).await;
        match result {
            Err(FetchError { kind: FetchErrorKind::Unauthorized, .. }) => {
                let anew = self
                    .tokens
                    .authorise(&self.live, &self.http, grant, account, Some(first.generation))
                    .await?;
                source(anew.account).fetch(request, room, guard).await
            }
            result => result,
        }
    }
}

impl Source for LiveSource {
    async fn fetch(
        &self,
        request: &FetchRequest,
        room: &Room,
        guard: &dyn SendGuard,
    ) -> Result<Page, FetchError> {
        let account = self.live.account(request.account.as_ref().unwrap_or(&self.account)).await;
        let account = account.map_err(unreadable)?;
        let integration = match &request.account {
            // Only what the run reads from is pinned; another account's integration is as it is now.
            Some(_) => self.live.integration_of(&account).await.map_err(unreadable)?,
            None => self.integration.clone().ok_or_else(|| unusable("the run has no integration".into()))?,
        };
        let result = self.ask(&integration, &account, request, room, guard).await;
        // What was read a moment ago must not fail a run whose account was mended since.
        if let Err(FetchError { kind: FetchErrorKind::Unauthorized, .. }) = &result
            && let Some(mended) = self.live.mended(&account).await
        {
            return self.ask(&integration, &mended, request, room, guard).await;
        }
        result
    }
}

pub(super) fn unreadable(error: LiveError) -> FetchError {
    match error {
        LiveError::Store(_) => FetchError { kind: FetchErrorKind::Transient, ..unusable(error.to_string()) },
        LiveError::Missing { .. } | LiveError::Unreadable(_) => unusable(error.to_string()),
    }
}

/// An account that is gone or can't be read is never a reason to skip anything.
fn unusable(message: String) -> FetchError {
    FetchError::new(FetchErrorKind::Unauthorized, "account_unusable", message)
}
