//! Definitions as they are executed: jobs and integrations by the address a run pinned, which never change;
//! accounts and webhooks live, a few seconds old at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use crate::clock;
use crate::definition::{Account, Document, Integration, Kind, Problems, SyncJob, Webhook};
use crate::id::{AccountId, WebhookId};
use crate::store::StoreError;
use crate::store::definitions::Definitions;

/// How old an account or webhook may be: a rotated secret is used this much later at most.
const FRESH: Duration = Duration::from_secs(2);

/// Definitions kept in memory; beyond that the cache starts over.
const CACHED_MAX: usize = 10_000;

/// Why a definition can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LiveError {
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
        if let Some(value) = self.fresh(id) {
            return Ok(value);
        }
        self.anew(definitions, id, self.get(id)).await
    }

    /// What was read a moment ago.
    fn fresh(&self, key: &str) -> Option<Arc<T>> {
        self.get(key).filter(|(_, read)| read.elapsed() < FRESH).map(|(value, _)| value)
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

/// A process' view of the definitions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Live(Arc<Shelves>);

struct Shelves {
    definitions: Definitions,
    jobs: Shelf<SyncJob>,
    integrations: Shelf<Integration>,
    accounts: Shelf<Account>,
    webhooks: Shelf<Webhook>,
}

impl Live {
    /// The definitions in a store.
    pub(crate) fn new(definitions: Definitions) -> Self {
        Self(Arc::new(Shelves {
            definitions,
            jobs: Shelf::new(Kind::SyncJob, SyncJob::from_document),
            integrations: Shelf::new(Kind::Integration, Integration::from_document),
            accounts: Shelf::new(Kind::Account, Account::from_document),
            webhooks: Shelf::new(Kind::Webhook, Webhook::from_document),
        }))
    }

    /// The job that a run pinned.
    pub(crate) async fn job(&self, address: &str) -> Result<Arc<SyncJob>, LiveError> {
        self.0.jobs.pinned(&self.0.definitions, address).await
    }

    /// The integration that a run pinned.
    pub(crate) async fn integration(&self, address: &str) -> Result<Arc<Integration>, LiveError> {
        self.0.integrations.pinned(&self.0.definitions, address).await
    }

    /// The integration that an account connects to, as it is now, with its mappings as the environment and the account
    /// change them.
    pub(crate) async fn integration_of(&self, account: &Account) -> Result<Arc<Integration>, LiveError> {
        let Shelves { definitions, integrations, .. } = &*self.0;
        let Some(found) = definitions.integration_of(account).await? else {
            let id = account.integration.as_str().to_owned();
            return Err(LiveError::Missing { kind: Kind::Integration, id });
        };
        // Accounts that have the same share it.
        let address = definitions.address_of(&found)?;
        match integrations.get(&address) {
            Some((integration, _)) => Ok(integration),
            None => integrations.put(&address, &found.document),
        }
    }

    /// An account as it is now.
    pub(crate) async fn account(&self, id: &AccountId) -> Result<Arc<Account>, LiveError> {
        self.0.accounts.current(&self.0.definitions, id.as_str()).await
    }

    /// An account as it is now, whatever was read a moment ago.
    pub(crate) async fn account_now(&self, id: &AccountId) -> Result<Arc<Account>, LiveError> {
        self.0.accounts.anew(&self.0.definitions, id.as_str(), None).await
    }

    /// The account as it is now, if the source should be asked again with it: it was mended since `used` was read.
    pub(crate) async fn mended(&self, used: &Account) -> Option<Arc<Account>> {
        let now = self.account_now(&used.id).await.ok()?;
        let opened = |account: &Account| -> Vec<(String, String)> {
            let pairs = account.credentials.iter();
            pairs.map(|(name, secret)| (name.clone(), secret.expose_secret().to_owned())).collect()
        };
        (opened(&now) != opened(used) || now.context != used.context).then_some(now)
    }

    /// Every definition of a kind that can be read, as it is now.
    pub(crate) async fn documents(&self, kind: Kind) -> Result<Vec<Document>, StoreError> {
        self.0.definitions.readable(kind).await
    }

    /// A webhook as it is now.
    pub(crate) async fn webhook(&self, id: &WebhookId) -> Result<Arc<Webhook>, LiveError> {
        self.0.webhooks.current(&self.0.definitions, id.as_str()).await
    }
}
