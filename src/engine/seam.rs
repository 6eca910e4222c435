//! The engine's three doors: where pages come from, where events go, where the checkpoint is kept.
//! The engine knows neither HTTP nor Redis; `source`, `delivery` and `worker` stand behind these traits.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::budget::Room;
use super::checkpoint::Checkpoint;
pub use super::cursor::Cursor;
use super::transition::{Changes, Gate, Park, Recall, Remember, Remembered};
use crate::clock::Millis;
use crate::definition::job::ResponseFormat;
use crate::definition::webhook::EventType;
use crate::id::{AccountId, RunId, WebhookId};
use crate::json::Json;

/// One request to the source: all that decides the answer, with the job's placeholders filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// The integration's resource.
    pub resource: String,
    /// The resource's method.
    pub method: String,
    /// Which record, for single-record methods.
    pub id: Option<String>,
    /// Query parameters, a JSON object; nested values become `a[b]=…`.
    pub query: Json,
    /// Request body, a JSON object, when there is one.
    pub body: Option<Json>,
    /// Which page.
    pub cursor: Cursor,
    /// The account to ask with, when it is not the run's.
    pub account: Option<AccountId>,
    /// Tries at once, in place of the integration's.
    pub attempts: Option<u32>,
    /// How long one try may take, in place of the method's.
    pub timeout: Option<Duration>,
    /// How many records a page should have, where the source can be asked for a number of them.
    pub page_size: Option<u64>,
    /// In which shape records of a unified model are wanted.
    pub format: ResponseFormat,
    /// The time that the expressions of a mapping see. It is the same for the same page, however often it is fetched.
    pub now: Millis,
    /// What chance in a mapping is drawn from, beside the request itself. The same, too.
    pub seed: u64,
    /// The account's context as the run froze it; without it, as it is now.
    pub context: Option<Json>,
}

impl FetchRequest {
    /// The first page of `method` of `resource`, as the integration declares it.
    pub fn first(resource: &str, method: &str, now: Millis) -> Self {
        Self {
            resource: resource.to_owned(),
            method: method.to_owned(),
            id: None,
            query: Json::empty_object(),
            body: None,
            cursor: Cursor::Start,
            account: None,
            attempts: None,
            timeout: None,
            page_size: None,
            format: ResponseFormat::Unified,
            now,
            seed: 0,
            context: None,
        }
    }
}

/// One page as the source sent it. The records are slices of `body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The body, decompressed; valid UTF-8 JSON.
    pub body: Bytes,
    /// Where in `body` each record lies.
    pub records: Vec<Range<usize>>,
    /// The next page; `None` after the last one.
    pub next: Option<Cursor>,
    /// Whether this page can be fetched again. One whose cursor works only once is staged before its first delivery.
    pub replayable: bool,
}

impl Page {
    /// The record at `index`, as it was written.
    pub fn record(&self, index: usize) -> &str {
        self.records
            .get(index)
            .and_then(|range| self.body.get(range.clone()))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or("null")
    }
}

/// Why a page could not be fetched, in words for `record_error` and with what the engine needs to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchError {
    /// What the failure asks of the run.
    pub kind: FetchErrorKind,
    /// The source's status, when it answered.
    pub status: Option<u16>,
    /// What happened, in a few words (`Not Found`, `invalid_json`, `page_too_large`, …).
    pub error: String,
    /// What happened, where, and what to do next. Never a secret, never a URL's query.
    pub message: String,
    /// The source's answer, cut to 4 KiB, as text.
    pub raw_response: Option<String>,
    /// The page after this one, where the pagination can tell without this one's answer (page, offset).
    pub skip_to: Option<Cursor>,
}

impl FetchError {
    /// A failure without an answer of the source's.
    pub fn new(kind: FetchErrorKind, error: &str, message: String) -> Self {
        Self { kind, status: None, error: error.to_owned(), message, raw_response: None, skip_to: None }
    }
}

/// What a failed fetch asks of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchErrorKind {
    /// Wait: the source limits the rate. Counted from the response.
    RateLimited {
        /// How long, already capped, at least one second.
        wait: Duration,
    },
    /// Wait: the source limited the rate a moment ago, and only a few are let through at first. It was not asked.
    Held {
        /// How long.
        wait: Duration,
    },
    /// Try again later: the source is out of reach or answers 5xx; its own tries at once are used up.
    Transient,
    /// Try again later: what it takes to be let in can't be had at present. Waited for as an outage, never skipped.
    NoAccess,
    /// The source refuses the credentials.
    Unauthorized,
    /// The source refuses a stored cursor: the list starts over.
    CursorRefused,
    /// Trying again will not help.
    Permanent,
    /// This worker has no memory for the page now: it is fetched again once there is.
    NoRoom,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} ({status}): {}", self.error, self.message),
            None => write!(f, "{}: {}", self.error, self.message),
        }
    }
}

/// Where pages come from. An implementation tries again at once as its integration allows and returns the
/// last error; it never waits out a rate limit.
pub trait Source: Send + Sync {
    /// Fetches one page or one record (a page of one).
    /// `room` is asked before more than it has is kept in memory; when there is no more, the fetch ends with
    /// [`FetchErrorKind::NoRoom`].
    /// `guard` is asked before each try: a worker that slept while its run went to another must not ask the source
    /// for it, and so spend a cursor that works once, or the other's patience with a rate limit.
    fn fetch(
        &self,
        request: &FetchRequest,
        room: &Room,
        guard: &dyn SendGuard,
    ) -> impl Future<Output = Result<Page, FetchError>> + Send;
}

/// One event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Where to.
    pub webhook: WebhookId,
    /// What it is.
    pub event: EventType,
    /// The `webhook-id`: the same id always means these very bytes.
    pub id: String,
    /// The body as it is signed and sent.
    pub body: Bytes,
    /// The run it belongs to; none when it happened outside any.
    pub run: Option<RunId>,
    /// The page's number for this webhook, from 1; `None` for any event but `record`.
    pub seq: Option<u64>,
    /// How many times this event was tried before, in earlier turns of the run.
    pub attempts_before: u32,
}

/// What a webhook said to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has it.
    Acknowledged,
    /// 400 to `started`: it does not want this run. Carries the receiver's reason.
    Refused {
        /// The receiver's words, cut to 512 characters.
        reason: String,
    },
    /// It may not have it; its tries at once are used up.
    Failed(DeliveryError),
}

/// Why a delivery was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryError {
    /// The receiver's status, when it answered.
    pub status: Option<u16>,
    /// What happened, in one sentence, without the URL's query.
    pub message: String,
    /// Not before this long from now, when the receiver asked for it; already capped.
    pub retry_after: Option<Duration>,
    /// Tries made in this turn.
    pub attempts: u32,
}

/// Where events go.
pub trait Courier: Send + Sync {
    /// Delivers one event and waits for the answer; tries again at once as the webhook allows, as long as
    /// `may_send` says that the run is still ours.
    fn deliver(&self, delivery: &Delivery, guard: &dyn SendGuard) -> impl Future<Output = Verdict> + Send;
}

/// Asked before every single send, to a webhook or to a source: a worker that lost its lease, or must leave, sends
/// nothing more.
pub trait SendGuard: Send + Sync {
    /// The run's epoch if it may send now; `None` when it must not.
    fn permit(&self) -> Option<u64>;

    /// Returns when the run should stop waiting, between tries or for the source: shutdown, lost lease, a stop.
    fn interrupted(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Returns when what is in flight must be let go as well: this worker's time to leave is over.
    fn let_go(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    /// The reason of a stop request that came between two saves.
    fn stop_requested(&self) -> Option<String> {
        None
    }
}

/// What a save brings back besides its success.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// Somebody asked for the run to stop, with their reason.
    pub stop: Option<String>,
    /// The account's rate-limit gate.
    pub gate: Gate,
}

/// Why a save, a park or a finish did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A newer owner has the run, or it ended: this one must stop at once and write nothing.
    #[error("the run has another owner")]
    Lost,
    /// The store can't be reached, or refuses writes, for longer than the lease allows.
    #[error("the store can't be written: {0}")]
    Unavailable(String),
    /// The store failed in a way that waiting does not mend.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// What a transition makes durable, all or nothing.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The position.
    pub checkpoint: &'a Checkpoint,
    /// Stages to write and to drop.
    pub changes: &'a Changes,
    /// How many bytes the run keeps staged after it.
    pub staged: usize,
    /// What the run's log says about it; empty for nothing.
    pub log: Vec<LogLine>,
}

/// One line of a run's log, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// What happened: an event's name, `parked`, `finished`, ….
    pub what: String,
    /// The page's number, for a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Details, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Details for programs and for people who debug a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Json>,
}

/// Where a run's position is kept. An implementation repeats a write whose answer was lost, with the same
/// arguments, until it is certain or the lease is over.
pub trait Journal: Send + Sync {
    /// Makes a position durable, and renews the lease.
    fn save(&self, entry: Entry<'_>) -> impl Future<Output = Result<Notice, JournalError>> + Send;

    /// Makes it durable and lets the run wait, off any worker.
    fn park(&self, entry: Entry<'_>, park: &Park) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Makes it durable and gives the run back at once, for another worker.
    fn release(&self, entry: Entry<'_>) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Makes it durable and ends the run.
    fn finish(
        &self,
        entry: Entry<'_>,
        outcome: &crate::run::Outcome,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// What jobs remembered: a state cell, or what is known of records. `None` where there is nothing.
    fn recall(&self, what: &Recall) -> impl Future<Output = Result<Option<Json>, JournalError>> + Send;

    /// Writes or deletes a state cell. Repeating it with the same step changes nothing.
    fn remember(&self, what: &Remember) -> impl Future<Output = Result<Remembered, JournalError>> + Send;

    /// Is told a line of the run's log as soon as there is one; the next entry has it as well.
    fn noted(&self, _: &LogLine) {}

    /// Closes the account's gate: the source limited a request that was sent while the gate's generation was
    /// `seen`. An answer to a request of an older generation changes nothing. Returns the gate as it is now.
    fn close_gate(
        &self,
        seen: u64,
        wait: Duration,
    ) -> impl Future<Output = Result<Gate, JournalError>> + Send;

    /// Says that the source answered a request of this generation: if this run was the first to pass the gate since it
    /// opened, the account's others may follow. Nothing depends on it but their time.
    fn pass_gate(&self, generation: u64) -> impl Future<Output = ()> + Send;

    /// The time by the store's clock: the one clock of all processes.
    fn now(&self) -> crate::clock::Millis;
}
