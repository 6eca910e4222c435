//! A local helpdesk API with thousands of tickets, users, organizations and comments: bearer token, cursor
//! pages, rate limits with `Retry-After`, errors now and then. Its data follows from a seed, so the same
//! settings give the same records, byte for byte.
//!
//! `GET /api/v1/{tickets|users|organizations}?cursor=&limit=`, `GET /api/v1/tickets/{id}` and
//! `GET /api/v1/tickets/{id}/comments`; a list answers
//! `{"tickets":[…],"meta":{"has_more":true,"next_cursor":"…"}}`.

mod data;
mod ledger;
mod limit;
mod route;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use tokio::time::sleep;

use super::answer::Answer;
use super::server::{HangUp, Server};
use super::switch::{Switch, lock};
use super::watched::{TimedOut, Watched};
use crate::clock;
use data::Data;
pub use ledger::Ledger;
use limit::Limiter;
use route::{Served, Target};

/// What the helpdesk has and how it behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port it listens on; 0 for a free one.
    pub port: u16,
    /// All data follows from it.
    pub seed: u64,
    /// How many tickets there are, with ids from 1.
    pub tickets: u64,
    /// How many users there are, with ids from 1.
    pub users: u64,
    /// How many organizations there are, with ids from 1.
    pub organizations: u64,
    /// Every so manieth ticket has comments; 0 for none at all.
    pub comments_every: u64,
    /// A ticket that has comments has 1 to this many.
    pub comments_max: u64,
    /// The largest page; a larger `limit` is cut to it.
    pub page_size_max: u64,
    /// The bearer token it wants.
    pub token: String,
    /// How often it limits the rate.
    pub rate_limit: RateLimit,
    /// Every so manieth request is answered with 500; 0 for none.
    pub error_every: u64,
    /// How long each answer takes.
    pub latency: Duration,
}

/// How often the helpdesk limits the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// Never by itself; see [`Helpdesk::limit_now`].
    Off,
    /// After so many requests in a window of this length.
    Window {
        /// Requests that a window allows.
        requests: u64,
        /// The window's length.
        per: Duration,
        /// What 429 says, and how long it lasts.
        retry_after_seconds: u64,
    },
    /// After every so many requests.
    Every {
        /// Requests between two limits.
        requests: u64,
        /// What 429 says, and how long it lasts.
        retry_after_seconds: u64,
    },
}

impl Default for Settings {
    /// A small, quick and friendly helpdesk: 250 tickets, 30 users, 5 organizations, comments on every 25th ticket.
    fn default() -> Self {
        Self {
            port: 0,
            seed: 1,
            tickets: 250,
            users: 30,
            organizations: 5,
            comments_every: 25,
            comments_max: 3,
            page_size_max: 100,
            token: "helpdesk-token".to_owned(),
            rate_limit: RateLimit::Off,
            error_every: 0,
            latency: Duration::ZERO,
        }
    }
}

/// What the helpdesk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Tickets, by pages or one by one.
    Tickets,
    /// Users.
    Users,
    /// Organizations.
    Organizations,
    /// Comments of tickets.
    Comments,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tickets, Self::Users, Self::Organizations, Self::Comments];

    /// Its name in paths and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tickets => "tickets",
            Self::Users => "users",
            Self::Organizations => "organizations",
            Self::Comments => "comments",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request, as a script sees it.
#[derive(Debug, Clone)]
pub struct RequestInfo {
    /// Its number, from 1, in order of arrival.
    pub number: u64,
    /// Its path (`/api/v1/tickets`).
    pub path: String,
    /// What it asks for; `None` for a path the helpdesk does not have.
    pub resource: Option<Resource>,
    /// Its cursor; `None` for a first page.
    pub cursor: Option<String>,
    /// Its query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Its headers.
    pub headers: HeaderMap,
}

type Script = Arc<dyn Fn(&RequestInfo) -> Option<Answer> + Send + Sync>;

/// A running helpdesk. Dropping it closes it.
#[derive(Debug)]
pub struct Helpdesk {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    data: Mutex<Data>,
    ledger: Watched<Ledger>,
    switch: Switch,
    limiter: Mutex<Limiter>,
    script: Mutex<Option<Script>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Helpdesk {
    /// Starts it on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let port = settings.port;
        let shared = Arc::new(Shared {
            data: Mutex::new(Data::new(&settings)),
            ledger: Watched::new(Ledger::default()),
            switch: Switch::new(),
            limiter: Mutex::new(Limiter::new(settings.rate_limit)),
            script: Mutex::new(None),
            settings,
        });
        let serving = shared.clone();
        let server = Server::start(
            port,
            Arc::new(move |request| {
                let shared = serving.clone();
                Box::pin(async move { shared.serve(request).await })
            }),
        )
        .await?;
        Ok(Self { server, shared })
    }

    /// Where it listens: `http://127.0.0.1:…`, without a slash at the end. The API is below `/api/v1`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The ids of all records it holds now: what a complete sync must deliver.
    pub fn ids(&self, resource: Resource) -> BTreeSet<u64> {
        lock(&self.shared.data).ids(resource)
    }

    /// The text of a ticket as it is served now.
    pub fn ticket(&self, id: u64) -> Option<String> {
        lock(&self.shared.data).ticket(id)
    }

    /// Reads the ledger. Keep it brief: the server waits meanwhile.
    pub fn read<R>(&self, read: impl FnOnce(&Ledger) -> R) -> R {
        self.shared.ledger.read(read)
    }

    /// Returns when the ledger satisfies `predicate`; `what` names that in the error.
    ///
    /// # Errors
    /// When it does not come true `within` this time.
    pub async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        predicate: impl FnMut(&Ledger) -> bool,
    ) -> Result<(), TimedOut> {
        self.shared.ledger.wait_for(what, within, predicate).await
    }

    /// Returns when `count` requests have arrived since the start.
    ///
    /// # Errors
    /// When they do not come `within` this time.
    pub async fn wait_for_requests(&self, count: u64, within: Duration) -> Result<(), TimedOut> {
        self.wait_for(&format!("{count} requests"), within, |ledger| ledger.requests >= count).await
    }

    /// Answers nothing until [`Helpdesk::release`]; requests arrive and wait.
    pub fn hold(&self) {
        self.shared.switch.hold();
    }

    /// Lets held requests go on.
    pub fn release(&self) {
        self.shared.switch.release();
    }

    /// Closes every connection without an answer, until [`Helpdesk::up`].
    pub fn down(&self) {
        self.shared.switch.down();
    }

    /// Ends [`Helpdesk::down`].
    pub fn up(&self) {
        self.shared.switch.up();
    }

    /// Answers the next `count` requests with `status`.
    pub fn fail_next(&self, count: u64, status: u16) {
        self.shared.switch.fail_next(count, status);
    }

    /// Limits the rate from now on for this long.
    pub fn limit_now(&self, retry_after_seconds: u64) {
        lock(&self.shared.limiter).limit_now(clock::monotonic(), retry_after_seconds);
    }

    /// Answers by `script`, before anything else but the gate; where it says `None`, the helpdesk answers.
    pub fn script(&self, script: impl Fn(&RequestInfo) -> Option<Answer> + Send + Sync + 'static) {
        *lock(&self.shared.script) = Some(Arc::new(script));
    }

    /// Ends the script.
    pub fn unscript(&self) {
        *lock(&self.shared.script) = None;
    }

    /// Changes a ticket's text and its `updated_at`.
    pub fn mutate_ticket(&self, id: u64) {
        lock(&self.shared.data).mutate_ticket(id);
    }

    /// Removes a ticket, with its comments.
    pub fn remove_ticket(&self, id: u64) {
        lock(&self.shared.data).remove_ticket(id);
    }

    /// Adds tickets at the end of the list.
    pub fn add_tickets(&self, count: u64) {
        lock(&self.shared.data).add_tickets(count);
    }
}

impl Shared {
    async fn serve(&self, request: Request) -> Result<Response, HangUp> {
        let mut info = route::read(&request);
        self.ledger.change(|ledger| info.number = ledger.arrived(&info));
        self.switch.pass().await;
        if !self.settings.latency.is_zero() {
            sleep(self.settings.latency).await;
        }
        let (answer, served) = self.answer(&info);
        if answer.held {
            self.switch.pass().await;
        }
        if answer.then_down {
            self.switch.down();
        }
        self.ledger.change(|ledger| ledger.answered(answer.code(), &served));
        answer.finish()
    }

    fn answer(&self, info: &RequestInfo) -> (Answer, Served) {
        let script = lock(&self.script).clone();
        if let Some(answer) = script.and_then(|script| script(info)).or_else(|| self.switch.verdict()) {
            return (answer, Served::Nothing);
        }
        let authorized = info
            .headers
            .get(header::AUTHORIZATION)
            .is_some_and(|value| value.as_bytes() == format!("Bearer {}", self.settings.token).as_bytes());
        if !authorized {
            return (
                route::error(401, "unauthorized", "the bearer token is missing or wrong"),
                Served::Nothing,
            );
        }
        if let Some(limited) = lock(&self.limiter).check(clock::monotonic()) {
            return (route::limited(limited.retry_after_seconds), Served::Limited(limited));
        }
        let every = self.settings.error_every;
        if every > 0 && info.number.is_multiple_of(every) {
            return (
                route::error(500, "internal_error", "the helpdesk stumbled; try again"),
                Served::Nothing,
            );
        }
        route::answer(&Target::of(&info.path), info, &lock(&self.data), self.settings.page_size_max)
    }
}
