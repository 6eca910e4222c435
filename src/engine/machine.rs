//! A run as a state machine without I/O: it is told what happened and answers what to do next.
//!
//! Its whole state is the [`Checkpoint`] with its stages, and a page in flight that can be fetched again.
//! So a crash between any two effects is nothing special: open the machine from what was saved last and go
//! on. Time is an argument; chance is a hash of (run, position).
//!
//! The order of things, for every event: decide, stage (all events but `record`), deliver, save.

mod events;
mod failure;
mod position;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::checkpoint::{Checkpoint, Destination, Frame, Staged, Trouble, TroubleAbout, VERSION};
use super::plan::Plan;
use super::seam::{Delivery, FetchError, FetchErrorKind, FetchRequest, Page, Verdict};
pub use super::transition::{Changes, Gate, Mark, Park, Recall, Remember, Remembered};
use crate::clock::Millis;
use crate::definition::webhook::{DeliveryRetry, EventType};
use crate::id::WebhookId;
use crate::json::{Json, Unknown};
use crate::run::{Outcome, Progress, RunRequest, Status};

/// A run with what it reads live each time a worker claims it.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// What was asked for.
    pub request: RunRequest,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Its webhooks, in the request's order.
    pub webhooks: Vec<WebhookFacts>,
    /// The account's context at the time of the claim; frozen by the first one.
    pub context: Json,
    /// The customer the account belongs to.
    pub tenant_id: Option<String>,
    /// What `{{previous_run_date}}` will stand for if this claim starts the run.
    pub previous_run_date: Millis,
    /// The most bytes of pages and events this run may keep staged.
    pub stage_bytes_max: usize,
}

/// What the engine needs to know of a webhook.
#[derive(Debug, Clone)]
pub struct WebhookFacts {
    /// The webhook.
    pub id: WebhookId,
    /// The events it takes.
    pub takes: Vec<EventType>,
    /// How long failed deliveries are tried again.
    pub retry: DeliveryRetry,
}

/// What the machine wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make [`Machine::changes`] durable, then call [`Machine::saved`].
    Save,
    /// Fetch this, then call [`Machine::fetched`].
    Fetch(FetchRequest),
    /// Deliver this, then call [`Machine::delivered`].
    Deliver(Delivery),
    /// Make the changes durable and let the run wait until then without a worker.
    Park(Park),
    /// Make the changes durable and end the run.
    Finish(Outcome),
}

/// A page that was fetched and is being delivered; fetched again after a crash.
#[derive(Debug, Clone)]
struct Held {
    page: Arc<Page>,
    /// Destinations that already acknowledged it.
    acknowledged: usize,
}

/// The machine. Cheap to clone: the driver clones it to look ahead.
#[derive(Debug, Clone)]
pub struct Machine {
    plan: Arc<Plan>,
    run: Arc<RunFacts>,
    checkpoint: Checkpoint,
    frozen: Arc<Frozen>,
    /// The bytes of every stage the checkpoint names.
    stages: BTreeMap<String, Bytes>,
    /// Projections of the parents whose children are being read, by stage.
    parents: BTreeMap<String, Arc<Vec<Json>>>,
    held: Option<Held>,
    changes: Changes,
    unsaved: bool,
}

/// What a run fixes when it starts, so that no later change of the account alters its requests.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Frozen {
    context: Json,
    tenant_id: Option<String>,
}

/// The stage that holds what a run froze when it started.
const FROZEN: &str = "frozen";

/// Why a saved run can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The checkpoint was written by a later version.
    #[error("the checkpoint has version {found}, this worker knows up to {VERSION}: update the workers")]
    Version {
        /// The version found.
        found: u32,
    },
    /// A stage that the checkpoint names is missing or unreadable.
    #[error("stage {0:?} of the checkpoint is missing or damaged; replay the run")]
    Stage(String),
}

impl Machine {
    /// A run that was never started: freezes what it depends on and stages `started`.
    pub fn start(plan: Arc<Plan>, run: Arc<RunFacts>, now: Millis) -> Self {
        let destination = |id: &WebhookId| Destination {
            webhook: id.clone(),
            step: 0,
            seq: 0,
            unknown: Unknown::default(),
        };
        let checkpoint = Checkpoint {
            version: VERSION,
            attempt: run.attempt,
            at: now,
            root: 0,
            frames: plan.roots.first().map(|&root| Frame::start(root)).into_iter().collect(),
            destinations: run.request.webhooks.iter().map(destination).collect(),
            outbox: Vec::new(),
            errors: Vec::new(),
            trouble: None,
            limit: None,
            reported_generation: 0,
            outcome: None,
            terminal: Vec::new(),
            terminal_undelivered: false,
            stages: 0,
            progress: Progress {
                started_at: Some(now),
                previous_run_date: Some(run.previous_run_date),
                ..Progress::default()
            },
            unknown: Unknown::default(),
        };
        let frozen = Frozen { context: run.context.clone(), tenant_id: run.tenant_id.clone() };
        let bytes = Bytes::from(Json::of(&frozen).as_str().to_owned());
        let mut machine = Self {
            plan,
            run,
            checkpoint,
            frozen: Arc::new(frozen),
            stages: BTreeMap::new(),
            parents: BTreeMap::new(),
            held: None,
            changes: Changes::default(),
            unsaved: true,
        };
        machine.put_stage(FROZEN.to_owned(), bytes);
        machine.note_node();
        machine.stage_lifecycle(EventType::RunStarted, Status::Running, now);
        machine
    }

    /// A run whose checkpoint is damaged, from its start: it may repeat, never skip. What it had staged goes.
    pub fn start_over<'s>(
        plan: Arc<Plan>,
        run: Arc<RunFacts>,
        staged: impl Iterator<Item = &'s str>,
        now: Millis,
    ) -> Self {
        let mut machine = Self::start(plan, run, now);
        let gone = staged.filter(|name| !machine.stages.contains_key(*name)).map(str::to_owned);
        machine.changes.drop = gone.collect();
        machine
    }

    /// A run as it was saved last. A later attempt than the checkpoint's reopens an ended run.
    ///
    /// # Errors
    /// When the checkpoint is from a later version or a stage it names is missing.
    pub fn open(
        plan: Arc<Plan>,
        run: Arc<RunFacts>,
        checkpoint: Checkpoint,
        stages: BTreeMap<String, Bytes>,
    ) -> Result<Self, OpenError> {
        if checkpoint.version > VERSION {
            return Err(OpenError::Version { found: checkpoint.version });
        }
        let damaged = |name: &str| OpenError::Stage(name.to_owned());
        let frozen = stages.get(FROZEN).ok_or_else(|| damaged(FROZEN))?;
        let frozen: Frozen = serde_json::from_slice(frozen).map_err(|_| damaged(FROZEN))?;
        let mut parents = BTreeMap::new();
        for descent in checkpoint.frames.iter().filter_map(|frame| frame.descent.as_ref()) {
            let bytes = stages.get(&descent.stage).ok_or_else(|| damaged(&descent.stage))?;
            let records: Vec<Json> = serde_json::from_slice(bytes).map_err(|_| damaged(&descent.stage))?;
            parents.insert(descent.stage.clone(), Arc::new(records));
        }
        for staged in checkpoint.outbox.iter().chain(&checkpoint.terminal) {
            if !stages.contains_key(&staged.stage) {
                return Err(damaged(&staged.stage));
            }
        }
        let attempt = run.attempt;
        let mut machine = Self {
            plan,
            run,
            checkpoint,
            frozen: Arc::new(frozen),
            stages,
            parents,
            held: None,
            changes: Changes::default(),
            unsaved: false,
        };
        if attempt > machine.checkpoint.attempt {
            machine.reopen(attempt);
        }
        Ok(machine)
    }

    /// The next attempt of an ended run: the outcome is open again, the position stays. A completed run has
    /// nothing left to do but to send its terminal event again.
    fn reopen(&mut self, attempt: u32) {
        self.unsaved = true;
        let checkpoint = &mut self.checkpoint;
        checkpoint.attempt = attempt;
        checkpoint.trouble = None;
        checkpoint.terminal_undelivered = false;
        if checkpoint.outcome.as_ref().is_some_and(|outcome| outcome.status == Status::Completed) {
            return;
        }
        checkpoint.outcome = None;
        checkpoint.limit = None;
        for staged in std::mem::take(&mut checkpoint.terminal) {
            self.drop_stage(&staged.stage);
        }
    }

    /// What to do now. Asking twice without telling anything in between gives the same answer.
    pub fn next(&mut self, now: Millis) -> Effect {
        if let Some(outcome) = &self.checkpoint.outcome {
            let outcome = outcome.clone();
            return match self.checkpoint.terminal.first() {
                None => Effect::Finish(outcome),
                Some(_) if self.checkpoint.terminal_undelivered => Effect::Finish(outcome),
                Some(staged) => self
                    .parked_for_trouble(now)
                    .unwrap_or_else(|| if self.unsaved { Effect::Save } else { self.deliver_staged(staged) }),
            };
        }
        if let Some(park) = self.parked_for_trouble(now) {
            return park;
        }
        if let Some(staged) = self.checkpoint.outbox.first() {
            return if self.unsaved { Effect::Save } else { self.deliver_staged(staged) };
        }
        if let Some(park) = self.parked_for_limit(now) {
            return park;
        }
        if let Some(held) = &self.held {
            return self.deliver_held(held);
        }
        if self.unsaved {
            return Effect::Save;
        }
        self.fetch_or_complete(now)
    }

    fn fetch_or_complete(&mut self, now: Millis) -> Effect {
        match self.request() {
            Some(Ok(request)) => Effect::Fetch(request),
            Some(Err(error)) => {
                self.failed_for_good(error, now);
                self.next(now)
            }
            None if !self.checkpoint.errors.is_empty() => {
                self.flush_errors(now);
                self.next(now)
            }
            None => {
                self.decide(Outcome { status: Status::Completed, reason: None, code: None }, now);
                self.next(now)
            }
        }
    }

    /// What [`Effect::Save`], [`Effect::Park`] and [`Effect::Finish`] make durable with the checkpoint.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// How many bytes the run keeps staged.
    pub fn staged(&self) -> usize {
        self.stages.values().map(Bytes::len).sum()
    }

    /// The state to save.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The changes are durable.
    pub fn saved(&mut self) {
        self.changes = Changes::default();
        self.unsaved = false;
    }

    /// What a fetch brought, and what the account's gate says after it.
    pub fn fetched(&mut self, result: Result<Page, FetchError>, gate: Gate, now: Millis) {
        match result {
            Ok(page) => self.page(page, now),
            Err(error) => match error.kind {
                FetchErrorKind::RateLimited { .. } => self.limited(gate, now),
                FetchErrorKind::Transient | FetchErrorKind::NoRoom => {
                    self.source_trouble(TroubleAbout::Source, error, now)
                }
                FetchErrorKind::Unauthorized => self.unauthorized(error, now),
                FetchErrorKind::CursorRefused => self.restart_list(error, now),
                FetchErrorKind::Permanent => self.failed_for_good(error, now),
            },
        }
    }

    /// The account's gate was found closed by somebody else; a run about to fetch waits for it.
    pub fn gate_closed(&mut self, gate: Gate, now: Millis) {
        if gate.opens_at > now && self.checkpoint.outcome.is_none() && self.top().is_some() {
            self.limited(gate, now);
        }
    }

    fn page(&mut self, page: Page, now: Millis) {
        // Trouble with a delivery goes on: a page that was let go for want of room is fetched again for it.
        self.checkpoint.trouble =
            self.checkpoint.trouble.take().filter(|trouble| trouble.about == TroubleAbout::Delivery);
        self.checkpoint.limit = None;
        let Some(node) = self.top().map(|frame| frame.node) else { return };
        let counts = self.counts(node);
        counts.pages += 1;
        counts.fetched += page.records.len() as u64;
        let deliver = self.plan.nodes[node].persist
            && !page.records.is_empty()
            && (0..self.checkpoint.destinations.len()).any(|index| self.takes(index, EventType::Record));
        if !deliver {
            self.advance(&page, now);
            return;
        }
        let held = Held { page: Arc::new(page), acknowledged: 0 };
        if held.page.replayable {
            self.held = Some(self.skip_non_takers(held));
        } else {
            // Its cursor works once: a crash could not fetch it again.
            self.stage_page(&held, now);
        }
    }

    /// What a webhook said to the delivery that was asked for last.
    pub fn delivered(&mut self, verdict: Verdict, now: Millis) {
        match verdict {
            Verdict::Acknowledged => self.acknowledged(now),
            Verdict::Refused { reason } if self.is_starting() => self.refused(&reason, now),
            Verdict::Refused { reason } => self.delivery_trouble(
                super::seam::DeliveryError {
                    status: Some(400),
                    message: reason,
                    retry_after: None,
                    attempts: 1,
                },
                now,
            ),
            Verdict::Failed(error) => self.delivery_trouble(error, now),
        }
    }

    fn is_starting(&self) -> bool {
        self.checkpoint.outcome.is_none()
            && self.checkpoint.outbox.first().is_some_and(|staged| staged.event == EventType::RunStarted)
    }

    fn refused(&mut self, reason: &str, now: Millis) {
        for staged in std::mem::take(&mut self.checkpoint.outbox) {
            self.drop_stage(&staged.stage);
        }
        let reason = format!("the webhook refused the run: {reason}");
        self.decide(
            Outcome { status: Status::Stopped, reason: Some(reason), code: Some("refused".into()) },
            now,
        );
    }

    fn acknowledged(&mut self, now: Millis) {
        self.checkpoint.trouble = None;
        self.unsaved = true;
        if self.checkpoint.outcome.is_some() {
            let staged = self.checkpoint.terminal.remove(0);
            self.settle_staged(staged);
        } else if !self.checkpoint.outbox.is_empty() {
            let staged = self.checkpoint.outbox.remove(0);
            if staged.page.is_some() || staged.event == EventType::RunStarted {
                self.checkpoint.at = now;
            }
            self.settle_staged(staged);
        } else if let Some(held) = self.held.take() {
            let destination = &mut self.checkpoint.destinations[held.acknowledged];
            destination.step += 1;
            destination.seq += 1;
            let held = self.skip_non_takers(Held { acknowledged: held.acknowledged + 1, ..held });
            if held.acknowledged < self.checkpoint.destinations.len() {
                // Saved when all have it: until then a crash sends it again to those that did.
                self.held = Some(held);
                self.unsaved = false;
                return;
            }
            self.count_persisted(held.page.records.len() as u64);
            self.checkpoint.at = now;
            self.advance(&held.page, now);
        }
    }

    fn count_persisted(&mut self, records: u64) {
        if let Some(node) = self.top().map(|frame| frame.node) {
            self.counts(node).persisted += records;
            self.checkpoint.progress.pages += 1;
        }
    }

    fn settle_staged(&mut self, staged: Staged) {
        let destination = &mut self.checkpoint.destinations[staged.destination];
        destination.step += 1;
        if let Some(page) = &staged.page {
            destination.seq = page.seq;
            let last = !self.checkpoint.outbox.iter().any(|other| other.page.is_some());
            if last {
                self.counts(page.node).persisted += page.records;
                self.checkpoint.progress.pages += 1;
            }
        }
        self.drop_stage(&staged.stage);
    }

    /// Someone asked for the run to stop. Refused once the outcome is decided.
    pub fn stop(&mut self, reason: &str, now: Millis) {
        if self.checkpoint.outcome.is_none() {
            self.held = None;
            let outcome = Outcome {
                status: Status::Stopped,
                reason: Some(reason.to_owned()),
                code: Some("stopped".into()),
            };
            self.decide(outcome, now);
        }
    }

    /// Ends the run as failed for a reason outside the plan (an account without its integration, …).
    pub fn fail(&mut self, code: &str, reason: String, now: Millis) {
        if self.checkpoint.outcome.is_none() {
            self.held = None;
            self.decide(
                Outcome { status: Status::Failed, reason: Some(reason), code: Some(code.into()) },
                now,
            );
        }
    }

    /// Decides how the run ends, once, and stages its terminal events.
    fn decide(&mut self, outcome: Outcome, now: Millis) {
        let event = match outcome.status {
            Status::Completed => EventType::RunCompleted,
            Status::Stopped => EventType::RunStopped,
            Status::Failed | Status::Created | Status::Running | Status::RateLimited | Status::Retrying => {
                EventType::RunFailed
            }
        };
        let status = outcome.status;
        self.checkpoint.outcome = Some(outcome);
        self.checkpoint.limit = None;
        self.checkpoint.trouble = None;
        self.checkpoint.progress.node = None;
        self.unsaved = true;
        self.stage_lifecycle(event, status, now);
    }

    /// The fetch that will follow if the page in flight is acknowledged: what the driver may fetch ahead.
    pub fn ahead(&self, now: Millis) -> Option<FetchRequest> {
        self.held.as_ref()?;
        let mut next = self.clone();
        while next.held.is_some() {
            next.acknowledged(now);
        }
        next.saved();
        match next.next(now) {
            Effect::Fetch(request) => Some(request),
            Effect::Save | Effect::Deliver(_) | Effect::Park(_) | Effect::Finish(_) => None,
        }
    }

    fn parked_for_trouble(&self, now: Millis) -> Option<Effect> {
        let Trouble { about, until, reason, .. } = self.checkpoint.trouble.as_ref()?;
        let blocks = match about {
            TroubleAbout::Delivery => true,
            TroubleAbout::Source | TroubleAbout::Credentials => self.checkpoint.outbox.is_empty(),
        };
        (blocks && *until > now)
            .then(|| Effect::Park(Park { until: *until, status: Status::Retrying, reason: reason.clone() }))
    }

    fn parked_for_limit(&self, now: Millis) -> Option<Effect> {
        let limit = self.checkpoint.limit.as_ref().filter(|limit| limit.until > now)?;
        let reason = "the source limits the rate".to_owned();
        Some(Effect::Park(Park { until: limit.until, status: Status::RateLimited, reason }))
    }
}

/// The first wait of a run whose source is out of reach; doubles up to [`OUTAGE_WAIT_MAX`].
pub const OUTAGE_WAIT_BASE: Duration = Duration::from_secs(15);
/// The longest wait between two looks at a source that is out of reach: it should be noticed soon that it
/// is back, and a run costs one request a look.
pub const OUTAGE_WAIT_MAX: Duration = Duration::from_secs(300);
