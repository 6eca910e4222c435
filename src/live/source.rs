//! Where an account's records come from: its integration, with the credentials of the moment, within what the source
//! allows.

use std::sync::Arc;
use std::time::Duration;

use super::definitions::{Live, LiveError};
use super::tokens::Tokens;
use crate::clock;
use crate::definition::integration::RequestBudget;
use crate::definition::{Account, Integration};
use crate::engine::budget::Room;
use crate::engine::seam::{FetchError, FetchErrorKind, FetchRequest, Page, SendGuard, Source};
use crate::id::AccountId;
use crate::source::{Http, HttpSource};
use crate::store::Store;

/// How long a slot is held for a budget to fill.
const WAITED_MAX: Duration = Duration::from_secs(1);

/// The source of one run, or of one live request.
pub(crate) struct LiveSource {
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
            None => match &self.integration {
                Some(integration) => Arc::clone(integration),
                None => self.live.integration_of(&account).await.map_err(unreadable)?,
            },
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

pub(crate) fn unreadable(error: LiveError) -> FetchError {
    match error {
        LiveError::Store(_) => FetchError { kind: FetchErrorKind::Transient, ..unusable(error.to_string()) },
        LiveError::Missing { .. } | LiveError::Unreadable(_) => unusable(error.to_string()),
    }
}

/// An account that is gone or can't be read is never a reason to skip anything.
fn unusable(message: String) -> FetchError {
    FetchError::new(FetchErrorKind::Unauthorized, "account_unusable", message)
}
