//! What runs and live requests have in common: the definitions as they are now, and an account's way to its source, with
//! access that is renewed and within what the source allows.
//!
//! [`definitions`] reads, [`tokens`] keeps access alive for all processes together, [`source`] asks. Nothing here knows
//! runs, queue or webhooks.

mod definitions;
mod source;
mod tokens;

use std::sync::Arc;

use crate::definition::Integration;
use crate::id::AccountId;
use crate::seal::Sealer;
use crate::source::Http;
use crate::store::Store;
use crate::store::definitions::Definitions;

pub(crate) use definitions::{Live, LiveError};
pub(crate) use source::LiveSource;
use tokens::Tokens;

/// A process' way to the sources of all accounts. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    live: Live,
    http: Http,
    tokens: Tokens,
    store: Store,
}

impl Connections {
    /// Connections of the accounts in `store`, over `http`.
    pub fn new(store: Store, sealer: Arc<Sealer>, http: Http) -> Self {
        let live = Live::new(Definitions::new(store.clone(), Arc::clone(&sealer)));
        Self { live, http, tokens: Tokens::new(store.clone(), sealer), store }
    }

    /// The definitions as they are now.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// The source of `account`: by `integration`, or by its own as it is now.
    pub(crate) fn source(&self, integration: Option<Arc<Integration>>, account: AccountId) -> LiveSource {
        let Self { live, http, tokens, store } = self.clone();
        LiveSource::new(live, integration, account, http, tokens, store)
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("store", &self.store).finish_non_exhaustive()
    }
}
