//! The REST API, served by schedulers: definitions, runs and triggers over the store. RapidBridge's shapes where it
//! has them (`/sync-job-run` and so on), `{result, next_cursor, limit}` for lists, `{statusCode, error, message,
//! details}` for errors.
//!
//! This room decides nothing about runs: it reads, checks and asks the store, whose scripts decide. It executes none: only
//! live requests ([`live`]) ask sources, of which nothing is kept. It knows no delivery, and never shows a secret: what it returns of a definition is `Record::public`.
//!
//! [`server`] takes connections, [`token`] says who may come in, [`request`] reads what they ask, [`error`] is how we
//! say no. Then one file a subject: [`apply`], [`definitions`], [`deletion`], [`triggers`], [`new_run`], [`runs`], [`live`], [`unified`].

mod apply;
mod commit;
mod connect;
mod definitions;
mod deletion;
mod dry_run;
mod error;
mod live;
mod new_run;
mod request;
mod route;
mod run_view;
mod runs;
mod server;
mod state;
mod token;
mod triggers;
mod unified;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::engine::budget::Budget;
use crate::live::Connections;
use crate::seal::Sealer;
use crate::settings::Settings;
use crate::source::Http;
use crate::store::Store;
use crate::store::definitions::Definitions;

use token::Tokens;

pub use route::router;
pub use server::serve;

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

struct Shared {
    settings: Settings,
    store: Store,
    definitions: Definitions,
    tokens: Tokens,
    changed: Arc<Notify>,
    connections: Connections,
    sealer: Arc<Sealer>,
    /// Memory for the pages of live requests.
    pages: Budget,
}

impl Api {
    /// An API over `store`. It rings `changed` whenever definitions were applied through it.
    /// Its live requests go out by `http`.
    pub fn new(
        settings: Settings,
        store: Store,
        sealer: Arc<Sealer>,
        http: Http,
        changed: Arc<Notify>,
    ) -> Self {
        let tokens = Tokens::new(&settings.api.tokens);
        let definitions = Definitions::new(store.clone(), Arc::clone(&sealer));
        let connections = Connections::new(store.clone(), Arc::clone(&sealer), http);
        let page = settings.limits.page_bytes_max;
        // A page is held twice: as it came, and as the answer.
        let pages = Budget::new(page.saturating_mul(2 * live::PAGES_IN_MEMORY), page);
        let shared = Shared { settings, store, definitions, tokens, changed, connections, sealer, pages };
        Self(Arc::new(shared))
    }

    /// Waits for tokens that are being exchanged.
    pub(crate) async fn settled(&self) {
        self.0.connections.settled().await;
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn definitions(&self) -> &Definitions {
        &self.0.definitions
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("store", &self.0.store).finish_non_exhaustive()
    }
}
