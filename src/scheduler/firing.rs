//! Makes the runs of slots whose time has come.

use std::time::Duration;

use tracing::{debug, error, info};

use super::Scheduler;
use super::timetable::rule;
use crate::clock::Millis;
use crate::definition::job::{ErrorHandling, Prepared, RunKeys};
use crate::definition::{Account, Kind, SyncJob, Trigger};
use crate::id::{RunId, WebhookId};
use crate::run::{Revisions, RunRequest, Slot};
use crate::schedule::{Firing, Overlap};
use crate::store::StoreError;
use crate::store::triggers::{Due, Fired, SlotOverlap, SlotRun};

/// The pause while Redis is away.
const OUTAGE_PAUSE: Duration = Duration::from_secs(1);
/// The shortest pause between two looks.
const PAUSE_MIN: Duration = Duration::from_millis(10);

pub(super) async fn run(scheduler: &Scheduler) {
    loop {
        let pause = match turn(scheduler).await {
            Ok(pause) => pause,
            Err(error) => {
                error.report("triggers not looked at");
                OUTAGE_PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = scheduler.timetable.moved.notified() => {}
        }
    }
}

/// Fires what is due in all partitions. Returns how long to wait for the next look.
async fn turn(scheduler: &Scheduler) -> Result<Duration, StoreError> {
    let now = scheduler.store.now().await?;
    let (mut pause, mut error) = (scheduler.settings.scheduler.tick, None);
    for partition in 0..scheduler.store.partitions() {
        match fire_due(scheduler, partition, now).await {
            Ok(next) => pause = next.map_or(pause, |next| pause.min(next.since(now).max(PAUSE_MIN))),
            // A part of a cluster may be away: the triggers of the others fire all the same.
            Err(wrong) => error = Some(wrong),
        }
    }
    error.map_or(Ok(pause), Err)
}

/// Fires what is due in one partition. Returns when the next one will be.
async fn fire_due(scheduler: &Scheduler, partition: u16, now: Millis) -> Result<Option<Millis>, StoreError> {
    let (due, next) = scheduler.store.due_triggers(partition, now).await?;
    for due in due {
        fire(scheduler, partition, &due, now).await?;
    }
    Ok(next)
}

async fn fire(scheduler: &Scheduler, partition: u16, due: &Due, now: Millis) -> Result<(), StoreError> {
    let Some(trigger) = scheduler.timetable.trigger(&due.trigger) else {
        // Applied or deleted through another process a moment ago; the timetable will know.
        debug!(trigger = %due.trigger, "a due trigger that is not known yet");
        return Ok(());
    };
    let state = scheduler.store.trigger_state(partition, &due.trigger).await?;
    let rule = rule(&trigger, scheduler.settings.scheduler.grace);
    let firing = rule.firing(state.last_slot.unwrap_or(now), now);
    let runs = match pinned(scheduler, &trigger, now).await? {
        Ok(pinned) => slot_runs(scheduler, partition, &trigger, &firing, &pinned, now),
        Err(reason) => {
            error!(trigger = %due.trigger, %reason, "the trigger's slot makes no run");
            Vec::new()
        }
    };
    let fired =
        scheduler.store.fire(partition, due, firing.next_at, firing.last_slot, firing.missed, &runs).await?;
    match fired {
        Fired::Behind => debug!(trigger = %due.trigger, "another scheduler was faster"),
        Fired::Made { runs, skipped } => {
            info!(trigger = %due.trigger, slot = %firing.last_slot.rfc3339(), runs, skipped, missed = firing.missed, "trigger fired");
        }
    }
    Ok(())
}

fn slot_runs(
    scheduler: &Scheduler,
    partition: u16,
    trigger: &Trigger,
    firing: &Firing,
    pinned: &Pinned,
    now: Millis,
) -> Vec<SlotRun> {
    let environment = scheduler.store.environment();
    let newest = firing.slots.last().copied();
    let request = |slot: Millis| RunRequest {
        id: RunId::of_slot(environment, &trigger.id, slot.0, partition),
        environment: environment.clone(),
        job: trigger.job.clone(),
        account: trigger.account.clone(),
        webhooks: pinned.prepared.webhooks.clone(),
        args: pinned.prepared.args.clone(),
        error_handling: trigger.error_handling.unwrap_or(pinned.error_handling),
        ignore_previous_run: false,
        slot: Some(Slot { trigger: trigger.id.clone(), at: Some(slot) }),
        replay_of: None,
        revisions: pinned.revisions.clone(),
        version: RunRequest::version_for(pinned.keys.mutex.as_deref(), false, false),
        mutex_key: pinned.keys.mutex.clone(),
        state_key: pinned.keys.state.clone(),
        force: false,
        events_to_send: trigger.events_to_send.clone(),
        dry_run: None,
        created_at: now,
    };
    let overlap = |slot: Millis| match trigger.overlap {
        Overlap::Allow => SlotOverlap::Allow,
        _ if Some(slot) != newest => SlotOverlap::CatchUp,
        Overlap::Skip => SlotOverlap::Skip,
        Overlap::Queue => SlotOverlap::Queue,
    };
    let slots = firing.slots.iter();
    slots.map(|&slot| SlotRun { request: request(slot), slot, wake: None, overlap: overlap(slot) }).collect()
}

/// What a run of a trigger executes, as it stands now.
struct Pinned {
    revisions: Revisions,
    error_handling: ErrorHandling,
    prepared: Prepared,
    keys: RunKeys,
}

/// What the trigger's runs are made with, or why they can't be made.
async fn pinned(
    scheduler: &Scheduler,
    trigger: &Trigger,
    now: Millis,
) -> Result<Result<Pinned, String>, StoreError> {
    let definitions = &scheduler.definitions;
    let gone = |kind: Kind, id: &str| Ok(Err(format!("{kind} {id:?} is missing or can't be read")));
    let no_job = || gone(Kind::SyncJob, trigger.job.as_str());
    let Some(record) = definitions.record(Kind::SyncJob, trigger.job.as_str()).await? else {
        return no_job();
    };
    let document = definitions.document(Kind::SyncJob, trigger.job.as_str()).await?;
    let Some(Ok(job)) = document.map(|document| SyncJob::from_document(&document)) else { return no_job() };
    let account = definitions.document(Kind::Account, trigger.account.as_str()).await?;
    let Some(Ok(account)) = account.map(|account| Account::from_document(&account)) else {
        return gone(Kind::Account, trigger.account.as_str());
    };
    if !job.reads_from(&account.integration) {
        return Ok(Err("the job reads from another integration than the account's".to_owned()));
    }
    let Some(integration) = definitions.integration_of(&account).await? else {
        return gone(Kind::Integration, account.integration.as_str());
    };
    match integration.laid() {
        Ok(laid) => {
            if let Some(lacks) = laid.and_then(|laid| job.lacks_in(&laid)) {
                return Ok(Err(lacks));
            }
        }
        Err(problems) => return Ok(Err(problems.to_string())),
    }
    let webhooks: Vec<WebhookId> = trigger.webhook.iter().cloned().collect();
    let prepared = match job.prepare(&trigger.args, &trigger.account, &webhooks, now) {
        Ok(prepared) => prepared,
        Err(problems) => return Ok(Err(problems.to_string())),
    };
    let keys = match job.keys(&prepared.args, &account, RunKeys::default()) {
        Ok(keys) => keys,
        Err(wrong) => {
            let wrong: Vec<String> =
                wrong.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.message)).collect();
            return Ok(Err(wrong.join("; ")));
        }
    };
    let integration = definitions.revision_of(&integration).await?;
    let revisions = Revisions { job: record.revision, integration };
    definitions.pin(&[&revisions.job, &revisions.integration]).await?;
    Ok(Ok(Pinned { revisions, error_handling: job.error_handling, prepared, keys }))
}
