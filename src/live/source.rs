//! Where an account's records come from: its integration, with the credentials of the moment, within what the source
//! allows.

use std::sync::Arc;
use std::time::Duration;

use super::Connections;
use super::definitions::LiveError;
use super::tokens::moved;
use crate::clock;
use crate::definition::integration::RequestBudget;
use crate::definition::{Account, Integration};
use crate::engine::budget::Room;
use crate::engine::seam::{FetchError, FetchErrorKind, FetchRequest, Page, SendGuard, Source};
use crate::id::AccountId;
use crate::source::HttpSource;
use crate::store::budget::{Counted, Spent};

/// The error of a request that was not sent, as what the source allows is used up.
pub(crate) const BUDGET_USED_UP: &str = "budget_used_up";

/// How long a slot is held for a budget to fill.
const WAITED_MAX: Duration = Duration::from_secs(1);

/// The shortest wait of who is held back; up to as much again is added, so that not all come back at once.
const HELD_MIN: Duration = Duration::from_millis(500);

/// A request and whom it is sent for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    integration: &'a Arc<Integration>,
    account: &'a Arc<Account>,
    request: &'a FetchRequest,
    room: &'a Room,
    guard: &'a dyn SendGuard,
}

/// The gate that a request passed.
#[derive(Clone, Copy, Default)]
struct Passed {
    /// Its generation then; 0 where there is none.
    generation: u64,
    /// Whether it opened a moment ago, so that others wait to be told that the source answers again.
    first: bool,
}

/// The source of one run, or of one live request.
pub(crate) struct LiveSource {
    pub(super) connections: Connections,
    /// What a run pinned; without it the account's own, as it is now.
    pub(super) integration: Option<Arc<Integration>>,
    pub(super) account: AccountId,
}

impl LiveSource {
    /// Takes a request out of what the source allows. A short wait is waited here; for a longer one the run gives its slot
    /// back, as it does when the source itself limits it.
    async fn spend(&self, integration: &Integration, account: &AccountId) -> Result<Passed, FetchError> {
        let rule = &integration.rate_limit;
        let budget = rule.budget.map(|RequestBudget { requests, per }| (requests, per));
        let (whose, name) = counted(integration, account);
        let gated = self.is_gated(integration, account);
        if budget.is_none() && !gated {
            return Ok(Passed::default());
        }
        let deadline = clock::monotonic() + WAITED_MAX;
        loop {
            let spent = self.connections.store.spend(whose, budget, gated).await;
            let wait = match spent.map_err(|error| unreadable(error.into()))? {
                Spent::Sent { generation, passes } => return Ok(Passed { generation, first: passes }),
                Spent::Limited(wait) => wait,
                Spent::Held(wait) => {
                    let wait = wait.max(HELD_MIN).mul_f64(rand::random_range(1.0..2.0));
                    let message = format!(
                        "the limit of {name} was over a moment ago; only a few are let through at first"
                    );
                    return Err(FetchError::new(FetchErrorKind::Held { wait }, "held_back", message));
                }
            };
            if clock::monotonic() + wait > deadline {
                let wait = Duration::from_secs(wait.as_secs() + 1);
                let most =
                    budget.map(|(requests, per)| format!(" ({requests} requests in {} s)", per.as_secs()));
                let message = format!(
                    "the limit of {name}{} is reached; it can be asked again in {} s",
                    most.unwrap_or_default(),
                    wait.as_secs()
                );
                return Err(FetchError::new(FetchErrorKind::RateLimited { wait }, BUDGET_USED_UP, message));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether what it asks must pass a gate here: that of all accounts of the application, or that of another account than
    /// the run's. The run's own is the engine's business.
    fn is_gated(&self, integration: &Integration, account: &AccountId) -> bool {
        integration.rate_limit.of_application || *account != self.account
    }

    /// What the answer to a request that was sent says of the gate which it passed: a limit closes it, a page lets others
    /// follow.
    async fn answered(
        &self,
        integration: &Integration,
        account: &AccountId,
        passed: Passed,
        result: &Result<Page, FetchError>,
    ) {
        let (whose, name) = counted(integration, account);
        let store = &self.connections.store;
        let told = match result {
            Err(FetchError { kind: FetchErrorKind::RateLimited { wait }, .. })
                if self.is_gated(integration, account) =>
            {
                store.close_gate(whose, passed.generation, *wait).await.map(drop)
            }
            Ok(_) if passed.first => store.pass_gate(whose, passed.generation).await.map(drop),
            Ok(_) | Err(_) => Ok(()),
        };
        if let Err(error) = told {
            tracing::debug!(%error, "the gate of {name} could not be told");
        }
    }

    /// Asks as `account`, within what the source allows.
    async fn ask(&self, asked: Asked<'_>) -> Result<Page, FetchError> {
        if asked.guard.permit().is_none() {
            let what = "not asked: the run is no longer this worker's".to_owned();
            return Err(FetchError::new(FetchErrorKind::Transient, "lease_lost", what));
        }
        let passed = self.spend(asked.integration, &asked.account.id).await?;
        let result = self.send(asked).await;
        self.answered(asked.integration, &asked.account.id, passed, &result).await;
        result
    }

    /// Access is renewed where the integration says how: before it expires, and once when the source refuses it.
    async fn send(&self, asked: Asked<'_>) -> Result<Page, FetchError> {
        let Asked { integration, account, request, room, guard } = asked;
        let Connections { live, http, tokens, .. } = &self.connections;
        let source = |account| HttpSource::new(Arc::clone(integration), account, http.clone());
        let Some(grant) = integration.grant.as_ref().filter(|grant| grant.fits(account)) else {
            return source(Arc::clone(account)).fetch(request, room, guard).await;
        };
        let first = tokens.authorise(live, http, grant, account, None).await.map_err(no_access)?;
        let result = source(first.account).fetch(request, room, guard).await;
        match result {
            // Only what the source itself refused is a reason to renew.
            Err(FetchError { kind: FetchErrorKind::Unauthorized, status: Some(_), .. }) => {
                let refused = Some(first.generation);
                let anew = tokens.authorise(live, http, grant, account, refused).await;
                source(anew.map_err(no_access)?.account).fetch(request, room, guard).await
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
        let live = &self.connections.live;
        let account = live.account(request.account.as_ref().unwrap_or(&self.account)).await;
        let account = account.map_err(unreadable)?;
        let integration = match &request.account {
            // Only what the run reads from is pinned; another account's integration is as it is now.
            Some(_) => live.integration_of(&account).await.map_err(unreadable)?,
            None => match &self.integration {
                Some(integration) => Arc::clone(integration),
                None => live.integration_of(&account).await.map_err(unreadable)?,
            },
        };
        if integration.name != account.integration {
            return Err(moved(&account));
        }
        let asked = Asked { integration: &integration, account: &account, request, room, guard };
        let result = self.ask(asked).await;
        // What was read a moment ago must not fail a run whose account was mended since.
        if let Err(FetchError { kind: FetchErrorKind::Unauthorized, .. }) = &result
            && let Some(mended) = live.mended(&account).await
            && mended.integration == account.integration
        {
            return self.ask(Asked { account: &mended, ..asked }).await;
        }
        result
    }
}

/// Whom the source counts requests for, and how that is called.
fn counted<'c>(integration: &'c Integration, account: &'c AccountId) -> (Counted<'c>, &'static str) {
    if integration.rate_limit.of_application {
        (Counted::Application(&integration.name), "the application")
    } else {
        (Counted::Account(account), "the account")
    }
}

/// Trouble on the way to access is waited for like an outage, but no page is ever skipped for it.
fn no_access(error: FetchError) -> FetchError {
    match error.kind {
        FetchErrorKind::Transient => FetchError { kind: FetchErrorKind::NoAccess, ..error },
        FetchErrorKind::RateLimited { .. }
        | FetchErrorKind::Held { .. }
        | FetchErrorKind::NoAccess
        | FetchErrorKind::Unauthorized
        | FetchErrorKind::CursorRefused
        | FetchErrorKind::Permanent
        | FetchErrorKind::NoRoom => error,
    }
}

pub(crate) fn unreadable(error: LiveError) -> FetchError {
    match error {
        LiveError::Store(_) => FetchError { kind: FetchErrorKind::NoAccess, ..unusable(error.to_string()) },
        LiveError::Missing { .. } | LiveError::Unreadable(_) => unusable(error.to_string()),
    }
}

/// An account that is gone or can't be read is never a reason to skip anything.
fn unusable(message: String) -> FetchError {
    FetchError::new(FetchErrorKind::Unauthorized, "account_unusable", message)
}
