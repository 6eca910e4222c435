//! The connector runtime: fetches one page of a third-party API as its integration declares it.
//!
//! A request goes this way: `request` composes it (`scope`, `params`, `address`, `authorization`,
//! `pagination`), `exchange` sends it, `body` reads the answer up to a limit, `page` and `decode` find the
//! records in it as slices (`select`; `lines` and `xml` make JSON of other formats), and `pagination` tells the next page. An
//! answer that is no page is judged by `status` and `rate_limit`, and any answer by what the API tells itself (`told`). This file tries again, and makes of the last `failure` what the
//! engine gets, cleaned by `secrets`.
//!
//! The room knows neither runs nor webhooks; it never waits out a rate limit, and keeps nothing between two
//! calls.

mod address;
mod authorization;
mod body;
mod decode;
mod exchange;
mod failure;
pub mod grant;
mod lines;
mod link_header;
mod pace;
mod page;
mod pagination;
mod params;
mod rate_limit;
mod request;
mod scope;
mod secrets;
mod select;
mod status;
mod told;
mod unified;
pub mod witness;
mod xml;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::backoff;
use crate::definition::integration::Authorization;
use crate::definition::{Account, Integration};
use crate::egress::Egress;
use crate::engine::budget::Room;
use crate::engine::seam::{FetchError, FetchErrorKind, FetchRequest, Page, SendGuard, Source};
use crate::source::failure::Failure;
use crate::source::pace::Pace;
use crate::source::request::Prepared;
use crate::source::secrets::{Secrets, printable};
use crate::source::unified::Unified;
use crate::source::witness::Witness;

/// How much of an answer an error carries.
const RAW_RESPONSE_BYTES_MAX: usize = 4096;

/// The longest message of an error.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The way out: one client for all sources of a process, and the guard it obeys.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    egress: Egress,
    page_bytes_max: usize,
    pace: Pace,
    /// As many pages are mapped at once as there are processors.
    mappings: Arc<Semaphore>,
    witness: Option<Arc<dyn Witness>>,
}

impl Http {
    /// A client that reaches what `egress` allows and reads pages of up to `page_bytes_max` bytes, whatever a
    /// method allows: no page may take more than there was made room for.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(egress: Egress, page_bytes_max: usize) -> Result<Self, reqwest::Error> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mappings = Arc::new(Semaphore::new(processors));
        Ok(Self {
            client: egress.client()?,
            egress,
            page_bytes_max,
            pace: Pace::new(),
            mappings,
            witness: None,
        })
    }

    /// The same client, which tells `witness` of each exchange.
    #[must_use]
    pub fn watched(self, witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }
}

/// One account's connection to its integration over HTTP. Cheap to make; it holds credentials, so it has no
/// `Debug`.
pub struct HttpSource {
    integration: Arc<Integration>,
    account: Arc<Account>,
    http: Http,
    secrets: Secrets,
}

impl HttpSource {
    /// The source of `account`, which must belong to `integration`.
    pub fn new(integration: Arc<Integration>, account: Arc<Account>, http: Http) -> Self {
        let secrets = Secrets::of(&account);
        Self { integration, account, http, secrets }
    }

    /// The wait after `failed` tries. Its jitter comes from the request, so that accounts spread out and a
    /// test repeats.
    fn delay(&self, request: &FetchRequest, failed: u32) -> Duration {
        let mut seed = DefaultHasher::new();
        (self.account.id.as_str(), &request.resource, &request.id, &request.cursor).hash(&mut seed);
        let retry = &self.integration.retry;
        backoff::delay(retry.base, retry.max, failed, seed.finish())
    }

    /// The error for the engine: the request is named, secrets are taken out, lengths are cut.
    fn reported(&self, failure: Failure, request: &FetchRequest, prepared: Option<&Prepared>) -> FetchError {
        let Failure { kind, error, message, status, answer, .. } = failure;
        let secrets = prepared.map_or(&self.secrets, |prepared| &prepared.secrets);
        let asked = format!("{}.{}", request.resource, request.method);
        let message = match prepared {
            Some(prepared) => format!("{} ({asked}): {message}", prepared.name()),
            None => format!("{asked}: {message}"),
        };
        let answer = String::from_utf8_lossy(&answer);
        FetchError {
            kind,
            status,
            error: error.to_owned(),
            message: printable(&secrets.scrub(&message), MESSAGE_BYTES_MAX),
            raw_response: (!answer.is_empty())
                .then(|| printable(&secrets.scrub_cut(&answer), RAW_RESPONSE_BYTES_MAX)),
            skip_to: prepared.and_then(|prepared| prepared.turn.skip_to.clone()),
        }
    }
}

impl Source for HttpSource {
    async fn fetch(
        &self,
        request: &FetchRequest,
        room: &Room,
        guard: &dyn SendGuard,
    ) -> Result<Page, FetchError> {
        let (integration, account) = (&self.integration, &self.account);
        let Some(method) = integration.method(&request.resource, &request.method) else {
            let what = "the integration declares no such method; add it, or mend the job";
            return Err(self.reported(Failure::permanent("unknown_method", what), request, None));
        };
        let unreachable = |failure| self.reported(failure, request, None);
        let mapping = integration.mapping(&request.resource, &request.method);
        let unified = mapping.map(|mapping| Unified::of(mapping, request, account)).transpose();
        let unified = unified.map_err(unreachable)?;
        let own = unified.as_ref().map_or(request, |unified| &unified.request);
        // Before the method's own parameters are there, which no schema needs to name.
        request::check(method, own).map_err(unreachable)?;
        let own = unified::with_page_size(method, own);
        let prepare = || request::prepare(account, method, &own, self.secrets.clone());
        let mut prepared = prepare().map_err(unreachable)?;
        // A cursor that works once must not be spent on a page that is then let go.
        if !method.replayable && !room.grow(method.page_bytes_max.min(self.http.page_bytes_max)) {
            return Err(self.reported(Failure::no_room(), request, Some(&prepared)));
        }
        let attempts = request.attempts.unwrap_or(integration.retry.attempts);
        let (mut tries, mut stumbled) = (1, false);
        loop {
            if guard.permit().is_none() {
                let what = "not asked: the run is no longer this worker's";
                let failure = Failure::transient("lease_lost", what);
                return Err(self.reported(failure, request, Some(&prepared)));
            }
            match exchange::send(&self.http, integration, method, &prepared, room).await {
                Ok(page) => {
                    let Some(unified) = &unified else { return Ok(page) };
                    let bytes_max = method.page_bytes_max.min(self.http.page_bytes_max);
                    // It is never closed.
                    let _turn = self.http.mappings.acquire().await;
                    return unified.page(page, bytes_max, room).map_err(|mistake| {
                        let error = self.reported(mistake.failure, request, Some(&prepared));
                        FetchError { skip_to: mistake.next, ..error }
                    });
                }
                Err(failure) if failure.again && tries < attempts => {
                    stumbled |= failure.kind == FetchErrorKind::Transient;
                    tokio::time::sleep(self.delay(request, tries)).await;
                    tries += 1;
                    // What it signs, such as a time, may be good for one try.
                    if matches!(method.authorization, Authorization::Expression { .. }) {
                        prepared = prepare().map_err(unreachable)?;
                    }
                }
                // A broken answer is the source's nature when it comes each time. After a stumble it is one more.
                Err(failure) if failure.again && stumbled => {
                    let failure = Failure { kind: FetchErrorKind::Transient, ..failure };
                    return Err(self.reported(failure, request, Some(&prepared)));
                }
                Err(failure) => return Err(self.reported(failure, request, Some(&prepared))),
            }
        }
    }
}
