//! What runs and live requests have in common: the definitions as they are now, and an account's way to its source, with
//! access that is renewed and within what the source allows.
//!
//! [`definitions`] reads, [`tokens`] keeps access alive for all processes together, [`consent`] brings the
//! first of it, [`source`] asks. Nothing here knows
//! runs, queue or webhooks.

mod consent;
mod definitions;
mod source;
mod tokens;

use std::sync::Arc;

use crate::definition::{Account, Integration};
use crate::id::AccountId;
use crate::seal::Sealer;
use crate::source::Http;
use crate::store::definitions::Definitions;
use crate::store::{Store, StoreError};

pub(crate) use definitions::{Live, LiveError};
pub(crate) use source::{BUDGET_USED_UP, LiveSource};
use tokens::Tokens;

/// A process' way to the sources of all accounts. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    live: Live,
    http: Http,
    tokens: Tokens,
    store: Store,
    sealer: Arc<Sealer>,
}

impl Connections {
    /// Connections of the accounts in `store`, over `http`.
    pub fn new(store: Store, sealer: Arc<Sealer>, http: Http) -> Self {
        let live = Live::new(Definitions::new(store.clone(), Arc::clone(&sealer)));
        let tokens = Tokens::new(store.clone(), Arc::clone(&sealer));
        Self { live, http, tokens, store, sealer }
    }

    /// The definitions as they are now.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// Waits for exchanges of tokens that are under way, which a source may not repeat.
    pub async fn settled(&self) {
        self.tokens.settled().await;
    }

    /// Why the source does not let `account` in any more; `None` as far as that is not known.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn refusal(&self, account: &Account) -> Result<Option<String>, StoreError> {
        self.tokens.refused(account).await
    }

    /// The source of `account`: by `integration`, or by its own as it is now.
    pub(crate) fn source(&self, integration: Option<Arc<Integration>>, account: AccountId) -> LiveSource {
        LiveSource { connections: self.clone(), integration, account }
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("store", &self.store).finish_non_exhaustive()
    }
}
