//! A run as a state machine without I/O: it is told what happened and answers what to do next.
//!
//! Its whole state is the [`Checkpoint`] with its stages, and a page in flight that can be fetched again.
//! So a crash between any two effects is nothing special: open the machine from what was saved last and go
//! on. Time is an argument; chance is a hash of (run, position).
//!
//! The order of things, for every event: decide, stage (all events but `record`), deliver, save.

mod closing;
mod events;
mod expand;
mod failure;
mod pages;
mod position;
mod scope;
mod steps;
mod tracking;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::checkpoint::{
    Checkpoint, Closing, Destination, End, Frame, Staged, Trouble, TroubleAbout, VERSION,
};
use super::seam::{Delivery, FetchError, FetchErrorKind, FetchRequest, Page, Verdict};
pub use super::transition::{Changes, Gate, Mark, Park, Recall, Remember, Remembered};
use crate::clock::Millis;
use crate::definition::webhook::{DeliveryRetry, EventType};
use crate::id::WebhookId;
use crate::json::{Json, Unknown};
use crate::plan::Plan;
use crate::run::{Outcome, Progress, RunRequest, Status};
use pages::{Arrival, Held};
use scope::Branch;
use steps::Asked;

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
    /// Look this up in what jobs remember, then call [`Machine::recalled`].
    Recall(Recall),
    /// Change this state cell, then call [`Machine::remembered`].
    Remember(Remember),
    /// Make the changes durable and let the run wait until then without a worker.
    Park(Park),
    /// Make the changes durable and end the run.
    Finish(Outcome),
}

/// What a node's expression got and gave, for people who debug a job; cut to a few kilobytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The node.
    pub node: String,
    /// What the expression was evaluated with.
    pub input: String,
    /// What came out, or why nothing did.
    pub output: String,
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
    /// The batches for which steps are being done, by stage.
    branches: BTreeMap<String, Branch>,
    /// The elements that the frames' requests loop on, by the frame's level.
    loops: BTreeMap<usize, Arc<Vec<Json>>>,
    /// State cells that are known everywhere, by node: `{"value": …}`.
    cells: BTreeMap<usize, Json>,
    /// A batch that is being delivered; made again after a crash.
    held: Option<Held>,
    /// A page whose records are being compared with what is known.
    arrived: Option<Arrival>,
    /// How many records the batch has that is being looked at.
    arriving: u64,
    /// What the last [`Effect::Recall`] was for.
    asked: Option<Asked>,
    /// Whether every node is noted, not only those that say `debug`.
    traced: bool,
    notes: Vec<Note>,
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
            moment: None,
            aside: None,
            spools: Vec::new(),
            pending: Vec::new(),
            cells: Vec::new(),
            numbered: true,
            remembered: 0,
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
            branches: BTreeMap::new(),
            loops: BTreeMap::new(),
            cells: BTreeMap::new(),
            held: None,
            arrived: None,
            arriving: 0,
            asked: None,
            traced: false,
            notes: Vec::new(),
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
        let mut branches = BTreeMap::new();
        let aside = checkpoint.aside.iter().flat_map(|aside| &aside.frames);
        for descent in
            checkpoint.frames.iter().chain(aside).flat_map(|frame| frame.descent.iter().chain(&frame.further))
        {
            let bytes = stages.get(&descent.stage).ok_or_else(|| damaged(&descent.stage))?;
            let branch = Branch::read(bytes).ok_or_else(|| damaged(&descent.stage))?;
            branches.insert(descent.stage.clone(), branch);
        }
        let mut cells = BTreeMap::new();
        for cell in &checkpoint.cells {
            let bytes = stages.get(&cell.stage).ok_or_else(|| damaged(&cell.stage))?;
            cells.insert(cell.node, serde_json::from_slice(bytes).map_err(|_| damaged(&cell.stage))?);
        }
        let staged = checkpoint.outbox.iter().chain(&checkpoint.terminal);
        let staged = staged.flat_map(|staged| std::iter::once(&staged.stage).chain(&staged.marks));
        let spooled = checkpoint.spools.iter().flat_map(|spool| &spool.stages);
        let pending = checkpoint.pending.iter().map(|pending| &pending.stage);
        for name in staged.chain(spooled).chain(pending) {
            if !stages.contains_key(name) {
                return Err(damaged(name));
            }
        }
        let attempt = run.attempt;
        let mut machine = Self {
            plan,
            run,
            checkpoint,
            frozen: Arc::new(frozen),
            stages,
            branches,
            loops: BTreeMap::new(),
            cells,
            held: None,
            arrived: None,
            arriving: 0,
            asked: None,
            traced: false,
            notes: Vec::new(),
            changes: Changes::default(),
            unsaved: false,
        };
        machine.find_loops();
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
        loop {
            if let Some(effect) = self.think(now) {
                return effect;
            }
        }
    }

    /// What to do now, or one step of thought towards it.
    fn think(&mut self, now: Millis) -> Option<Effect> {
        if let Some(outcome) = &self.checkpoint.outcome {
            let outcome = outcome.clone();
            return Some(match self.checkpoint.terminal.first() {
                None => Effect::Finish(outcome),
                Some(_) if self.checkpoint.terminal_undelivered => Effect::Finish(outcome),
                Some(staged) => self
                    .parked_for_trouble(now)
                    .unwrap_or_else(|| if self.unsaved { Effect::Save } else { self.deliver_staged(staged) }),
            });
        }
        if let Some(park) = self.parked_for_trouble(now) {
            return Some(park);
        }
        if let Some(staged) = self.checkpoint.outbox.first() {
            return Some(if self.unsaved { Effect::Save } else { self.deliver_staged(staged) });
        }
        if let Some(park) = self.parked_for_limit(now) {
            return Some(park);
        }
        if let Some(held) = &self.held {
            return Some(if self.unsaved { Effect::Save } else { self.deliver_held(held) });
        }
        // What needs nothing of the world is done before the save, and saved with what came before it.
        if self.unsaved && !self.is_next_local() {
            return Some(Effect::Save);
        }
        self.work(now)
    }

    /// Whether expressions are evaluated in it.
    pub fn computes(&self) -> bool {
        self.plan.computes
    }

    /// Notes what every node's expression gets and gives, not only of those that say `debug`.
    pub fn trace(&mut self) {
        self.traced = true;
    }

    /// What was noted since this was asked last.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
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
        if let (Err(error), Some(limit)) = (&result, &mut self.checkpoint.limit)
            && !matches!(error.kind, FetchErrorKind::RateLimited { .. } | FetchErrorKind::Held { .. })
        {
            limit.told = None;
        }
        match result {
            Ok(page) => self.page(&page, now),
            Err(error) => match error.kind {
                FetchErrorKind::RateLimited { .. } => self.rate_limited(&error, gate, now),
                FetchErrorKind::Held { .. } => self.held(gate),
                FetchErrorKind::Transient | FetchErrorKind::NoRoom => {
                    self.source_trouble(TroubleAbout::Source, error, now)
                }
                FetchErrorKind::NoAccess => self.source_trouble(TroubleAbout::Credentials, error, now),
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
        if self.checkpoint.outcome.is_some() {
            let staged = self.checkpoint.terminal.remove(0);
            self.settle_staged(staged);
        } else if !self.checkpoint.outbox.is_empty() {
            let staged = self.checkpoint.outbox.remove(0);
            if staged.page.is_some() || staged.event == EventType::RunStarted {
                self.checkpoint.at = now;
            }
            self.settle_staged(staged);
        } else {
            self.held_acknowledged(now);
        }
    }

    fn settle_staged(&mut self, staged: Staged) {
        self.unsaved = true;
        let destination = &mut self.checkpoint.destinations[staged.destination];
        destination.step += 1;
        if let Some(page) = &staged.page {
            destination.seq = page.seq;
            let mut waiting = self.checkpoint.outbox.iter().filter_map(|other| other.page.as_ref());
            let last = waiting.clone().next().is_none();
            if !waiting.any(|other| other.node == page.node) {
                self.counts(page.node).persisted += page.records;
            }
            if last {
                self.checkpoint.progress.pages += 1;
            }
        }
        if let Some(marks) = &staged.marks {
            let marks_of = |bytes: &Bytes| serde_json::from_slice::<Vec<Mark>>(bytes).ok();
            self.changes.marks.extend(self.stages.get(marks).and_then(marks_of).unwrap_or_default());
            self.drop_stage(marks);
        }
        self.drop_stage(&staged.stage);
    }

    /// Someone asked for the run to stop. Refused once the outcome is decided.
    ///
    /// It is too late as well when all was read and acknowledged, and the steps before the end are being done: what they
    /// write says that the run has completed. Unless they can't go on.
    pub fn stop(&mut self, reason: &str, now: Millis) {
        let waits = self.checkpoint.trouble.is_some() || self.checkpoint.limit.is_some();
        let closes = self.checkpoint.moment == Some(Closing::Complete) && !waits;
        if self.checkpoint.outcome.is_none() && !closes {
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

    /// The fetches that will follow if what is being delivered is acknowledged, the next one first: what the driver may
    /// do ahead. More than one only where a node's requests may be under way together.
    pub fn ahead(&self, now: Millis) -> Vec<FetchRequest> {
        if self.checkpoint.outcome.is_some() {
            return Vec::new();
        }
        let mut next = self.clone();
        let only_pages =
            |machine: &Self| machine.checkpoint.outbox.iter().all(|staged| staged.page.is_some());
        while next.held.is_some() || (!next.checkpoint.outbox.is_empty() && only_pages(&next)) {
            next.acknowledged(now);
        }
        let mut found = Vec::new();
        loop {
            next.saved();
            let Effect::Fetch(request) = next.next(now) else { break };
            found.push(request);
            let Some(frame) = next.checkpoint.frames.last_mut() else { break };
            let together = next.plan.nodes[frame.node].request().map_or(1, |request| request.concurrency);
            if found.len() >= usize::from(together) {
                break;
            }
            // As if this list were through: on to the next parent's record, or the next element.
            frame.done = true;
            frame.reading.end = Some(End::Done);
            let level = next.checkpoint.frames.len();
            next.settle();
            if next.checkpoint.frames.len() != level {
                break;
            }
        }
        found
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
