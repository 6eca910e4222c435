//! Executes one claimed run: reads what it needs, opens its machine, and drives it until it is let go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::{debug, error, info, warn};

use super::Worker;
use super::dry_run;
use super::journal::{StoreJournal, gate};
use super::leases::Lease;
use crate::clock::Millis;
use crate::definition::webhook::{DeliveryRetry, EventType};
use crate::definition::{Integration, Webhook};
use crate::engine::checkpoint::{Checkpoint, Unreadable};
use crate::engine::driver::{Driver, Ending};
use crate::engine::machine::{Changes, OpenError};
use crate::engine::seam::{Entry, Journal, JournalError, Notice};
use crate::engine::{Machine, RunFacts, WebhookFacts};
use crate::id::WebhookId;
use crate::json::Json;
use crate::live::LiveError;
use crate::plan::Plan;
use crate::run::{Outcome, RunRequest, Status};
use crate::store::StoreError;
use crate::store::ready::Claim;

/// How far `{{previous_run_date}}` lies before the start of the run it names: records that a source wrote
/// slowly, or under a clock that is behind ours, are read twice rather than never.
const PREVIOUS_RUN_OVERLAP: Duration = Duration::from_secs(120);

/// The pause before definitions that could not be read are tried again.
const DEFINITIONS_PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn execute(worker: &Worker, claim: Claim, lease: Arc<Lease>) {
    let length = worker.settings.worker.lease;
    let journal = Arc::new(StoreJournal::new(worker.store.clone(), Arc::clone(&lease), length, &claim));
    info!(resumed = claim.checkpoint.is_some(), "run claimed");
    let ending = drive(worker, claim, &lease, &journal).await;
    worker.leases.remove(&lease);
    lease.open();
    match ending {
        // Left to its lease: the run would come back at once, again and again.
        Some(Ending::Lost(error @ JournalError::Failed(_))) => warn!(%error, "run let go"),
        Some(Ending::Lost(error)) => {
            warn!(%error, "run let go");
            give_up(worker, &lease).await;
        }
        None => give_up(worker, &lease).await,
        Some(Ending::Released) => info!("run given back"),
        Some(Ending::Finished(_) | Ending::Parked(_)) => {}
    }
}

/// Tells Redis that the run was let go, as soon as that is possible: it goes on elsewhere without waiting for its
/// lease, and an outage of Redis does not look like a crash. Nothing happens when somebody else has the run. Its slot
/// waits as well: nothing could be claimed for it meanwhile.
async fn give_up(worker: &Worker, lease: &Lease) {
    loop {
        match worker.store.give_up(lease.run, lease.epoch, &lease.owner).await {
            Ok(given_up) => return debug!(given_up, "told that the run was let go"),
            Err(error) if !error.is_passing() => return warn!(%error, "the run could not be given up"),
            Err(error) => debug!(%error, "the run is not given up yet"),
        }
        if worker.leaving.is_cancelled() {
            return;
        }
    }
}

/// What a run is made of, or why it can only be failed.
struct Parts {
    plan: Plan,
    integration: Option<Arc<Integration>>,
    facts: RunFacts,
    unusable: Option<(&'static str, String)>,
}

async fn drive(
    worker: &Worker,
    mut claim: Claim,
    lease: &Arc<Lease>,
    journal: &Arc<StoreJournal>,
) -> Option<Ending> {
    let parts = match parts(worker, &claim, lease).await? {
        Ok(parts) => parts,
        Err(reason) => return set_aside(journal, &reason).await,
    };
    let notice = Notice { stop: claim.stop.clone(), gate: gate(claim.gate) };
    let now = journal.now();
    let (dry, begun) = (claim.request.dry_run.is_some(), claim.checkpoint.is_some());
    let outline = if dry { parts.plan.to_string() } else { String::new() };
    let (plan, facts) = (Arc::new(parts.plan), Arc::new(parts.facts));
    let staged = claim.stages.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut machine = match open(plan, facts, &mut claim, now) {
        Ok(machine) => machine,
        Err(reason) => return unopened(journal, staged, reason).await,
    };
    if let Some((code, reason)) = parts.unusable {
        machine.fail(code, reason, now);
    }
    let source = worker.connections.source(parts.integration, claim.request.account.clone());
    let (source, courier, journal) = (Arc::new(source), Arc::clone(&worker.courier), Arc::clone(journal));
    #[cfg(feature = "planted")]
    let (courier, journal) = (super::planted::Double::of(courier), super::planted::Double::of(journal));
    if dry {
        let doors = dry_run::Doors::default();
        if !begun {
            doors.tell_plan(&outline);
        }
        let (source, courier, journal) = (doors.dry(source), doors.dry(courier), doors.dry(journal));
        machine.trace();
        return Some(driver(worker, lease, source, courier, journal).run(&mut machine, notice).await);
    }
    Some(driver(worker, lease, source, courier, journal).run(&mut machine, notice).await)
}

fn driver<S, C, J>(
    worker: &Worker,
    lease: &Arc<Lease>,
    source: Arc<S>,
    courier: Arc<C>,
    journal: Arc<J>,
) -> Driver<S, C, J> {
    Driver {
        source,
        courier,
        journal,
        guard: Arc::clone(lease) as Arc<_>,
        leaving: lease.leaving.clone(),
        budget: worker.budget.clone(),
        evaluations: Arc::clone(&worker.evaluations),
        fetch_ahead: worker.settings.worker.fetch_ahead,
    }
}

/// Why a claimed run's machine can't be opened.
enum Unopened {
    /// This worker does not understand its state; one that does goes on with it.
    NotHere(String),
    /// A stage that its checkpoint names is gone, for every worker.
    Damaged(Box<Checkpoint>, OpenError),
}

fn open(plan: Arc<Plan>, facts: Arc<RunFacts>, claim: &mut Claim, now: Millis) -> Result<Machine, Unopened> {
    // Taken out of the claim, so that they are held once while the run goes on.
    let stages = std::mem::take(&mut claim.stages);
    let Some(bytes) = claim.checkpoint.take() else { return Ok(Machine::start(plan, facts, now)) };
    let checkpoint = match Checkpoint::read(&bytes) {
        Ok(checkpoint) => checkpoint,
        Err(error @ Unreadable::Later { .. }) => return Err(Unopened::NotHere(error.to_string())),
        Err(error @ Unreadable::Damaged(_)) => {
            // Nothing can be said about where the run was: from the start it may repeat, never skip.
            error!(%error, "the run starts over");
            let staged = stages.iter().map(|(name, _)| name.as_str());
            return Ok(Machine::start_over(plan, facts, staged, now));
        }
    };
    let stages: BTreeMap<String, Bytes> =
        stages.into_iter().map(|(name, bytes)| (name, Bytes::from(bytes))).collect();
    Machine::open(plan, facts, checkpoint.clone(), stages).map_err(|error| match error {
        OpenError::Version { .. } => Unopened::NotHere(error.to_string()),
        OpenError::Stage(_) => Unopened::Damaged(Box::new(checkpoint), error),
    })
}

async fn unopened(journal: &StoreJournal, staged: usize, unopened: Unopened) -> Option<Ending> {
    let (checkpoint, error) = match unopened {
        Unopened::NotHere(reason) => return set_aside(journal, &reason).await,
        Unopened::Damaged(checkpoint, error) => (checkpoint, error),
    };
    error!(%error, "the run can't be opened");
    let entry = Entry { checkpoint: &checkpoint, changes: &Changes::default(), staged, log: Vec::new() };
    let code = Some("checkpoint_damaged".to_owned());
    let outcome = Outcome { status: Status::Failed, reason: Some(error.to_string()), code };
    let ended = journal.finish(entry, &outcome).await;
    Some(ended.map_or_else(Ending::Lost, |()| Ending::Finished(outcome)))
}

/// The run waits, untouched, for a worker that can read it.
async fn set_aside(journal: &StoreJournal, reason: &str) -> Option<Ending> {
    error!(reason, "this worker can't go on with the run; it waits for another one");
    journal.set_aside(reason).await.err().map(Ending::Lost)
}

/// Reads the run's definitions, as long as the lease lasts: an outage of Redis is not the run's fault. Neither is it
/// when this worker can't understand them or lacks the key that opens them: then says why another one should try.
async fn parts(worker: &Worker, claim: &Claim, lease: &Lease) -> Option<Result<Parts, String>> {
    loop {
        match try_parts(worker, claim).await {
            Ok(parts) => return Some(Ok(parts)),
            Err(LiveError::Store(error)) if error.is_passing() && !lease.left().is_zero() => {
                error.report("definitions not read yet");
                tokio::time::sleep(DEFINITIONS_PAUSE).await;
                worker.store.answers(lease.left()).await;
            }
            Err(LiveError::Store(error)) if error.is_passing() => return None,
            // Somebody wants it to end: it need not be understood for that.
            Err(error @ (LiveError::Unreadable(_) | LiveError::Store(StoreError::Unfit(_))))
                if claim.stop.is_none() =>
            {
                return Some(Err(error.to_string()));
            }
            Err(error) => return Some(Ok(unusable(claim, "definition_unusable", error.to_string()))),
        }
    }
}

async fn try_parts(worker: &Worker, claim: &Claim) -> Result<Parts, LiveError> {
    let request = &claim.request;
    let job = worker.connections.live().job(&request.revisions.job).await?;
    let integration = worker.connections.live().integration(&request.revisions.integration).await?;
    let account = worker.connections.live().account(&request.account).await?;
    let mut webhooks = Vec::new();
    if request.dry_run.is_some() {
        webhooks.extend(request.webhooks.iter().map(hearing));
    }
    for id in request.webhooks.iter().filter(|_| request.dry_run.is_none()) {
        match worker.connections.live().webhook(id).await {
            Ok(webhook) => webhooks.push(webhook_facts(&webhook, request)),
            Err(error @ LiveError::Missing { .. }) => {
                let mut parts = unusable(claim, "webhook_missing", error.to_string());
                parts.facts.webhooks = request.webhooks.iter().map(silent).collect();
                return Ok(parts);
            }
            Err(error) => return Err(error),
        }
    }
    let mut facts = facts(claim, webhooks, stage_room(worker, claim));
    facts.context = account.context.clone();
    facts.tenant_id = account.tenant_id.clone();
    let poison =
        claim.poison.clone().map(|story| ("poison", format!("the run {story}; it is not tried again")));
    let (plan, impossible) = match Plan::compile(&job, &integration) {
        Ok(mut plan) => {
            request.dry_run.iter().for_each(|records| plan.limit(*records));
            (plan, None)
        }
        Err(error) => (Plan::empty(), Some(("plan_impossible", error.to_string()))),
    };
    Ok(Parts { plan, integration: Some(integration), facts, unusable: poison.or(impossible) })
}

/// A run that can only be failed: with the reason, and without touching its source.
fn unusable(claim: &Claim, code: &'static str, reason: String) -> Parts {
    let webhooks = claim.request.webhooks.iter().map(silent).collect();
    let facts = facts(claim, webhooks, usize::MAX);
    Parts { plan: Plan::empty(), integration: None, facts, unusable: Some((code, reason)) }
}

fn facts(claim: &Claim, webhooks: Vec<WebhookFacts>, stage_bytes_max: usize) -> RunFacts {
    RunFacts {
        request: claim.request.clone(),
        attempt: claim.attempt,
        webhooks,
        context: Json::empty_object(),
        tenant_id: None,
        previous_run_date: previous_run_date(&claim.request, claim.watermark),
        stage_bytes_max,
    }
}

/// How many bytes the run may keep staged: its own budget, or what the others of its partition leave of the
/// total. Read at the claim, so a little stale: a budget, not a promise.
fn stage_room(worker: &Worker, claim: &Claim) -> usize {
    let budget = &worker.settings.stage;
    let share = budget.total_bytes_max / usize::from(worker.store.partitions().max(1));
    let others = usize::try_from(claim.staged_by_others).unwrap_or(usize::MAX);
    share.saturating_sub(others).min(budget.run_bytes_max)
}

fn webhook_facts(webhook: &Webhook, request: &RunRequest) -> WebhookFacts {
    let sends =
        |event: &EventType| request.events_to_send.as_ref().is_none_or(|events| events.contains(event));
    let takes = EventType::ALL.iter().copied().filter(|event| webhook.takes(*event)).filter(sends).collect();
    WebhookFacts { id: webhook.id.clone(), takes, retry: webhook.retry }
}

/// A webhook that takes what webhooks take, for a dry run: it need not exist.
fn hearing(id: &WebhookId) -> WebhookFacts {
    let takes = EventType::ALL.iter().copied().filter(|event| event.is_by_default()).collect();
    WebhookFacts { takes, ..silent(id) }
}

fn silent(id: &WebhookId) -> WebhookFacts {
    WebhookFacts { id: id.clone(), takes: Vec::new(), retry: DeliveryRetry::default() }
}

fn previous_run_date(request: &RunRequest, watermark: Option<Millis>) -> Millis {
    let epoch = Millis(0);
    if request.ignore_previous_run {
        return epoch;
    }
    match (&request.replay_of, watermark) {
        (Some(replay), _) => replay.previous_run_date.unwrap_or(epoch),
        (None, Some(Millis(at))) => {
            Millis(at.saturating_sub(i64::try_from(PREVIOUS_RUN_OVERLAP.as_millis()).unwrap_or(0)).max(0))
        }
        (None, None) => epoch,
    }
}
