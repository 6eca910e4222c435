//! Definitions as a worker reads them: jobs and integrations by the address a run pinned, which never change;
//! accounts and webhooks live, a few seconds old at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::definition::{Account, Checked, Document, Integration, Kind, SyncJob, Webhook};
use crate::delivery::{BookError, WebhookBook};
use crate::engine::seam::{FetchError, FetchErrorKind, FetchRequest, Page, Source};
use crate::id::{AccountId, WebhookId};
use crate::source::{Http, HttpSource};
use crate::store::StoreError;
use crate::store::definitions::Definitions;

/// How old an account or webhook may be: a rotated secret is used this much later at most.
const FRESH: Duration = Duration::from_secs(2);

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
    Missing {
        kind: Kind,
        id: String,
    },
    /// It is there and can't be read.
    #[error("{0}")]
    Unreadable(String),
}

#[derive(Clone)]
struct Cached {
    value: Arc<Checked>,
    read: Instant,
}

/// A worker's view of the definitions. Cheap to clone.
#[derive(Clone)]
pub(super) struct Live {
    definitions: Definitions,
    cache: Arc<Mutex<HashMap<(Kind, String), Cached>>>,
}

impl Live {
    pub(super) fn new(definitions: Definitions) -> Self {
        Self { definitions, cache: Arc::default() }
    }

    pub(super) async fn job(&self, address: &str) -> Result<Arc<Checked>, LiveError> {
        self.pinned(Kind::SyncJob, address).await
    }

    pub(super) async fn integration(&self, address: &str) -> Result<Arc<Checked>, LiveError> {
        self.pinned(Kind::Integration, address).await
    }

    async fn pinned(&self, kind: Kind, address: &str) -> Result<Arc<Checked>, LiveError> {
        let key = (kind, format!("@{address}"));
        if let Some(cached) = self.cached(&key) {
            return Ok(cached.value);
        }
        let document = self.definitions.content(kind, address).await?;
        self.keep(key, check(&document)?)
    }

    pub(super) async fn account(&self, id: &AccountId) -> Result<Arc<Account>, LiveError> {
        match &*self.current(Kind::Account, id.as_str()).await? {
            Checked::Account(account) => Ok(Arc::clone(account)),
            other => Err(unexpected(other)),
        }
    }

    pub(super) async fn webhook(&self, id: &WebhookId) -> Result<Arc<Webhook>, LiveError> {
        match &*self.current(Kind::Webhook, id.as_str()).await? {
            Checked::Webhook(webhook) => Ok(Arc::clone(webhook)),
            other => Err(unexpected(other)),
        }
    }

    async fn current(&self, kind: Kind, id: &str) -> Result<Arc<Checked>, LiveError> {
        let key = (kind, id.to_owned());
        let cached = self.cached(&key);
        if let Some(cached) = &cached
            && cached.read.elapsed() < FRESH
        {
            return Ok(Arc::clone(&cached.value));
        }
        match (self.definitions.document(kind, id).await, cached) {
            (Ok(Some(document)), _) => self.keep(key, check(&document)?),
            (Ok(None), _) => Err(LiveError::Missing { kind, id: id.to_owned() }),
            // What was true a moment ago serves until Redis is back.
            (Err(error), Some(cached)) if error.is_passing() => Ok(cached.value),
            (Err(error), _) => Err(error.into()),
        }
    }

    fn cached(&self, key: &(Kind, String)) -> Option<Cached> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: (Kind, String), value: Checked) -> Result<Arc<Checked>, LiveError> {
        let value = Arc::new(value);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(key, Cached { value: Arc::clone(&value), read: clock::monotonic() });
        Ok(value)
    }
}

fn check(document: &Document) -> Result<Checked, LiveError> {
    Checked::of(document).map_err(|problems| LiveError::Unreadable(problems.to_string()))
}

fn unexpected(other: &Checked) -> LiveError {
    LiveError::Unreadable(format!("expected another kind of definition than {}", other.kind()))
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
    /// `None` for a run that can only be failed, which asks for nothing.
    integration: Option<Arc<Integration>>,
    account: AccountId,
    http: Http,
}

impl LiveSource {
    pub(super) fn new(
        live: Live,
        integration: Option<Arc<Integration>>,
        account: AccountId,
        http: Http,
    ) -> Self {
        Self { live, integration, account, http }
    }
}

impl Source for LiveSource {
    async fn fetch(&self, request: &FetchRequest) -> Result<Page, FetchError> {
        let refuse = |kind, error: &str, message: String| FetchError {
            kind,
            status: None,
            error: error.into(),
            message,
            raw_response: None,
            skip_to: None,
        };
        let account = self.live.account(&self.account).await.map_err(|error| {
            let passing = matches!(error, LiveError::Store(_));
            let kind = if passing { FetchErrorKind::Transient } else { FetchErrorKind::Unauthorized };
            refuse(kind, "account_unusable", error.to_string())
        })?;
        let Some(integration) = &self.integration else {
            let message = "the run's integration can't be read".to_owned();
            return Err(refuse(FetchErrorKind::Permanent, "integration_unusable", message));
        };
        HttpSource::new(Arc::clone(integration), account, self.http.clone()).fetch(request).await
    }
}

/// The job of a checked definition.
pub(super) fn as_job(checked: &Checked) -> Result<Arc<SyncJob>, LiveError> {
    match checked {
        Checked::SyncJob(job) => Ok(Arc::clone(job)),
        other => Err(unexpected(other)),
    }
}

/// The integration of a checked definition.
pub(super) fn as_integration(checked: &Checked) -> Result<Arc<Integration>, LiveError> {
    match checked {
        Checked::Integration(integration) => Ok(Arc::clone(integration)),
        other => Err(unexpected(other)),
    }
}
