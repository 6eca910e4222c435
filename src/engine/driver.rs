//! Performs what the machine asks for, one effect at a time, and fetches one page ahead while a page is
//! being delivered.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, info};

use super::budget::{Budget, Room};
use super::machine::{Effect, Gate, Machine, Note, Park, Remembered};
use super::seam::{
    Courier, Delivery, Entry, FetchError, FetchErrorKind, FetchRequest, Journal, JournalError, LogLine,
    Notice, Page, SendGuard, Source, Verdict,
};
use crate::aside::aside;
use crate::json::Json;
use crate::run::Outcome;

/// Why the driver let go of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It ended.
    Finished(Outcome),
    /// It waits.
    Parked(Park),
    /// It was given back, because this worker leaves, or another run must have it alone.
    Released,
    /// Somebody else has it, or the store was out of reach for a whole lease.
    Lost(JournalError),
}

/// A page, or why there is none, with the gate after it and the room it takes.
struct Fetched {
    result: Result<Page, FetchError>,
    gate: Gate,
    room: Room,
}

impl Fetched {
    fn wants_room(&self) -> bool {
        matches!(&self.result, Err(FetchError { kind: FetchErrorKind::NoRoom, .. }))
    }
}

/// A fetch that was begun while a page was being delivered; dropped with the run.
struct Ahead {
    request: FetchRequest,
    task: AbortOnDropHandle<Fetched>,
}

/// Everything a run needs while a worker has it.
pub struct Driver<S, C, J> {
    /// Where pages come from.
    pub source: Arc<S>,
    /// Where events go.
    pub courier: Arc<C>,
    /// Where the position is kept.
    pub journal: Arc<J>,
    /// Whether the run is still ours, and whether this worker leaves.
    pub guard: Arc<dyn SendGuard>,
    /// Fires when this run must leave its worker: no new work, but what is in flight is finished.
    pub leaving: CancellationToken,
    /// The worker's byte budget.
    pub budget: Budget,
    /// How many machines may evaluate expressions at once.
    pub evaluations: Arc<Semaphore>,
    /// Whether the next page may be fetched while one is being delivered.
    pub fetch_ahead: bool,
}

impl<S, C, J> std::fmt::Debug for Driver<S, C, J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl<S: Source + 'static, C: Courier, J: Journal + 'static> Driver<S, C, J> {
    /// Drives the run until it ends, parks, or must be let go. `notice` is what the claim brought.
    pub async fn run(&self, machine: &mut Machine, notice: Notice) -> Ending {
        let mut gate = notice.gate;
        self.heed(machine, &notice);
        let mut ahead: Vec<Ahead> = Vec::new();
        let mut log: Vec<LogLine> = Vec::new();
        // What the page in flight takes of the budget.
        let mut _room: Option<Room> = None;
        // A list's pages are of much the same size.
        let mut page_bytes = 0;
        loop {
            if let Some(reason) = self.guard.stop_requested() {
                machine.stop(&reason, self.journal.now());
            }
            let effect = self.thinking(machine, |machine| machine.next(self.journal.now())).await;
            let notes = machine.take_notes().into_iter().map(noted);
            log.extend(notes.inspect(|line| self.journal.noted(line)));
            match effect {
                Effect::Save => match self.save(machine, &mut gate, std::mem::take(&mut log)).await {
                    Ok(()) => {}
                    Err(error) => return Ending::Lost(error),
                },
                Effect::Fetch(_) | Effect::Deliver(_) | Effect::Recall(_) | Effect::Remember(_)
                    if self.must_go() =>
                {
                    return self.release(machine).await;
                }
                Effect::Fetch(request) => {
                    let is_own = request.account.is_none();
                    // Given back before more is asked for: runs that hold and wait could wait for each other.
                    _room = None;
                    let begun = ahead.iter().position(|ahead| ahead.request == request);
                    let begun = begun.map(|at| ahead.swap_remove(at));
                    if self.fetch_ahead {
                        self.look_ahead(machine, &mut ahead, Some(&request), gate, page_bytes).await;
                    }
                    let Some(fetched) = self.fetched(request, begun, gate, page_bytes).await else {
                        continue;
                    };
                    let told = fetched.gate;
                    // A page that was fetched ahead may have been asked for under an older one.
                    if is_own && told.generation >= gate.generation {
                        gate = told;
                    }
                    page_bytes = fetched.result.as_ref().map_or(page_bytes, |page| page.body.len());
                    _room = Some(fetched.room);
                    self.thinking(machine, |machine| {
                        machine.fetched(fetched.result, told, self.journal.now())
                    })
                    .await;
                }
                Effect::Deliver(delivery) => {
                    if self.fetch_ahead {
                        self.look_ahead(machine, &mut ahead, None, gate, page_bytes).await;
                    }
                    let verdict = tokio::select! {
                        verdict = self.courier.deliver(&delivery, self.guard.as_ref()) => verdict,
                        // The receiver may have it; the next worker sends it again, under the same id.
                        () = self.guard.let_go() => return self.release(machine).await,
                    };
                    if matches!(verdict, Verdict::Failed(_)) {
                        // Cut short, which says nothing about the webhook.
                        if self.must_go() {
                            return self.release(machine).await;
                        }
                        let undecided = machine.checkpoint().outcome.is_none();
                        if undecided && self.guard.stop_requested().is_some() {
                            continue;
                        }
                    }
                    log.push(log_line(&delivery, &verdict));
                    self.thinking(machine, |machine| machine.delivered(verdict, self.journal.now())).await;
                }
                Effect::Recall(what) => match self.journal.recall(&what).await {
                    Ok(answer) => {
                        self.thinking(machine, |machine| machine.recalled(answer, self.journal.now())).await
                    }
                    Err(error) => return Ending::Lost(error),
                },
                Effect::Remember(what) => match self.journal.remember(&what).await {
                    // A later change of this run stands: somebody else has gone on with it.
                    Ok(Remembered::Older) => return Ending::Lost(JournalError::Lost),
                    Ok(remembered) => {
                        self.thinking(machine, |machine| machine.remembered(remembered, self.journal.now()))
                            .await;
                    }
                    Err(error) => return Ending::Lost(error),
                },
                Effect::Park(park) => return self.park(machine, park, log).await,
                Effect::Finish(outcome) => return self.finish(machine, outcome).await,
            }
        }
    }

    /// The page for `request`: the one fetched ahead if it is that, else fetched now. `None` when this worker leaves or
    /// the run is no longer its own: what was not delivered yet is fetched again by the next one.
    async fn fetched(
        &self,
        request: FetchRequest,
        ahead: Option<Ahead>,
        gate: Gate,
        page_bytes: usize,
    ) -> Option<Fetched> {
        let begun = ahead.map(|ahead| ahead.task);
        let fetch = async {
            let first = match begun {
                Some(task) => task.await.ok()?,
                None => {
                    let room = self.budget.begin(page_bytes).await;
                    fetch(&*self.source, &*self.journal, &*self.guard, request.clone(), gate, room).await
                }
            };
            if !first.wants_room() {
                return Some(first);
            }
            // With empty hands: runs that hold and wait could wait for each other.
            drop(first);
            let room = self.budget.whole().await;
            Some(fetch(&*self.source, &*self.journal, &*self.guard, request, gate, room).await)
        };
        tokio::select! {
            // What a lost run's fetch brought, and be it an error, is nobody's.
            fetched = fetch => fetched.filter(|_| self.guard.permit().is_some()),
            () = self.guard.interrupted() => None,
        }
    }

    /// Lets the machine think. Where expressions are evaluated, that takes its time and its memory: only so many do so
    /// at once, and the runtime is told.
    async fn thinking<T>(&self, machine: &mut Machine, think: impl FnOnce(&mut Machine) -> T) -> T {
        if !machine.computes() {
            return think(machine);
        }
        let _permit = self.evaluations.acquire().await;
        aside(|| think(machine))
    }

    /// Begins what will be asked for next, beside `now`, which is being asked for; what was begun before and will not be
    /// asked for is let go.
    async fn look_ahead(
        &self,
        machine: &mut Machine,
        ahead: &mut Vec<Ahead>,
        now: Option<&FetchRequest>,
        gate: Gate,
        page_bytes: usize,
    ) {
        let expected = self.thinking(machine, |machine| machine.ahead(self.journal.now())).await;
        ahead.retain(|begun| expected.contains(&begun.request));
        for request in expected {
            if now == Some(&request) || ahead.iter().any(|begun| begun.request == request) {
                continue;
            }
            let Some(begun) = self.begin(request, gate, page_bytes) else { break };
            ahead.push(begun);
        }
    }

    /// Begins to fetch ahead, if there is room for it.
    fn begin(&self, request: FetchRequest, gate: Gate, page_bytes: usize) -> Option<Ahead> {
        let room = self.budget.try_begin(page_bytes)?;
        let (source, journal, guard) =
            (Arc::clone(&self.source), Arc::clone(&self.journal), Arc::clone(&self.guard));
        let wanted = request.clone();
        let task = async move { fetch(&*source, &*journal, &*guard, wanted, gate, room).await };
        Some(Ahead { request, task: AbortOnDropHandle::new(tokio::spawn(task.in_current_span())) })
    }

    /// Whether this worker leaves or the run is no longer its own.
    fn must_go(&self) -> bool {
        self.leaving.is_cancelled() || self.guard.permit().is_none()
    }

    async fn save(
        &self,
        machine: &mut Machine,
        gate: &mut Gate,
        log: Vec<LogLine>,
    ) -> Result<(), JournalError> {
        let entry = entry(machine, log);
        let notice = self.journal.save(entry).await?;
        machine.saved();
        if notice.gate.generation > gate.generation {
            *gate = notice.gate;
        }
        self.heed(machine, &notice);
        Ok(())
    }

    fn heed(&self, machine: &mut Machine, notice: &Notice) {
        let now = self.journal.now();
        if let Some(reason) = &notice.stop {
            machine.stop(reason, now);
        }
        machine.gate_closed(notice.gate, now);
    }

    async fn park(&self, machine: &mut Machine, park: Park, mut log: Vec<LogLine>) -> Ending {
        if log.iter().all(|line| line.note.is_none()) {
            let note = Some(format!("{}; until {}", park.reason, park.until.rfc3339()));
            log = vec![LogLine { what: park.status.to_string(), seq: None, note, detail: None }];
        }
        let entry = entry(machine, log);
        match self.journal.park(entry, &park).await {
            Ok(()) => {
                info!(status = %park.status, until = %park.until.rfc3339(), reason = park.reason, "run parked");
                Ending::Parked(park)
            }
            Err(error) => Ending::Lost(error),
        }
    }

    async fn release(&self, machine: &mut Machine) -> Ending {
        if self.guard.permit().is_none() {
            return Ending::Lost(JournalError::Lost);
        }
        let note = Some("given back for another worker".to_owned());
        let log = vec![LogLine { what: "released".into(), seq: None, note, detail: None }];
        let entry = entry(machine, log);
        match self.journal.release(entry).await {
            Ok(()) => Ending::Released,
            Err(error) => Ending::Lost(error),
        }
    }

    async fn finish(&self, machine: &mut Machine, outcome: Outcome) -> Ending {
        let log = vec![LogLine {
            what: outcome.status.to_string(),
            seq: None,
            note: outcome.reason.clone(),
            detail: None,
        }];
        let entry = entry(machine, log);
        match self.journal.finish(entry, &outcome).await {
            Ok(()) => {
                info!(status = %outcome.status, reason = outcome.reason, "run finished");
                Ending::Finished(outcome)
            }
            Err(error) => Ending::Lost(error),
        }
    }
}

/// Fetches a page. A rate limit closes the account's gate at once, whatever the machine is doing; what another account is
/// told, the source heeds itself, and it says nothing about this gate.
async fn fetch<S: Source, J: Journal>(
    source: &S,
    journal: &J,
    guard: &dyn SendGuard,
    request: FetchRequest,
    gate: Gate,
    room: Room,
) -> Fetched {
    let result = source.fetch(&request, &room, guard).await;
    let mut gate = gate;
    let is_own = request.account.is_none();
    match result.as_ref().map_err(|error| error.kind) {
        Err(FetchErrorKind::RateLimited { wait }) if !is_own => {
            // Generations are times: one of its own, under which the run reports it.
            let now = journal.now();
            let generation = u64::try_from(now.0).unwrap_or_default();
            gate = Gate { generation, opens_at: now.plus(wait), passed: false };
        }
        Err(FetchErrorKind::RateLimited { wait }) => {
            let until = journal.now().plus(wait);
            gate = match journal.close_gate(gate.generation, wait).await {
                // The gate may open sooner, closed by another answer; this run was told to wait, and does.
                Ok(closed) => Gate { opens_at: closed.opens_at.max(until), ..closed },
                Err(error) => {
                    // The run waits by itself; the next save will tell whether the store is back.
                    debug!(%error, "gate not closed");
                    Gate { generation: gate.generation + 1, opens_at: until, passed: false }
                }
            };
        }
        Err(FetchErrorKind::Held { wait }) => {
            // The account's others need not wait for its answer: whoever held it back limits them as well.
            pass(journal, &mut gate, is_own).await;
            gate.opens_at = journal.now().plus(wait);
        }
        Ok(_) => pass(journal, &mut gate, is_own).await,
        Err(
            FetchErrorKind::Transient
            | FetchErrorKind::NoAccess
            | FetchErrorKind::Unauthorized
            | FetchErrorKind::CursorRefused
            | FetchErrorKind::Permanent
            | FetchErrorKind::NoRoom,
        ) => {}
    }
    let bytes = result.as_ref().map_or(0, |page| page.body.len());
    Fetched { result, gate, room: room.shrink(bytes) }
}

/// Tells once for each time the account's gate was closed that others need not wait for this run to come through. What another
/// account is answered says nothing about it.
async fn pass<J: Journal>(journal: &J, gate: &mut Gate, is_own: bool) {
    if is_own && gate.generation > 0 && !gate.passed {
        journal.pass_gate(gate.generation).await;
        gate.passed = true;
    }
}

fn noted(note: Note) -> LogLine {
    let read = |text: &str| Json::parse(text).unwrap_or_else(|_| Json::string(text));
    let (input, output) = (read(&note.input), read(&note.output));
    let detail = serde_json::json!({ "node": note.node, "input": input, "output": output });
    LogLine { what: "node".into(), seq: None, note: None, detail: Some(Json::of(&detail)) }
}

fn entry(machine: &Machine, log: Vec<LogLine>) -> Entry<'_> {
    Entry { checkpoint: machine.checkpoint(), changes: machine.changes(), staged: machine.staged(), log }
}

fn log_line(delivery: &Delivery, verdict: &Verdict) -> LogLine {
    let note = match verdict {
        Verdict::Acknowledged => None,
        Verdict::Refused { reason } => Some(format!("refused: {reason}")),
        Verdict::Failed(error) => Some(format!("not acknowledged: {}", error.message)),
    };
    LogLine { what: delivery.event.to_string(), seq: delivery.seq, note, detail: None }
}
