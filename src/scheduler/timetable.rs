//! Brings triggers to the clock: after a definition changed, each trigger's next time in Redis agrees with it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{debug, error};

use super::Scheduler;
use crate::clock::Millis;
use crate::definition::{Kind, Trigger};
use crate::id::TriggerId;
use crate::schedule::FireRule;
use crate::store::StoreError;

/// How often the definitions' generation is looked at, for changes made through other processes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The triggers as this scheduler knows them.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    triggers: RwLock<Arc<HashMap<TriggerId, Arc<Trigger>>>>,
    /// Rings when triggers were brought to the clock.
    pub(super) moved: Notify,
}

impl Timetable {
    pub(super) fn trigger(&self, id: &TriggerId) -> Option<Arc<Trigger>> {
        self.triggers.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn replace(&self, triggers: HashMap<TriggerId, Arc<Trigger>>) {
        *self.triggers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(triggers);
        self.moved.notify_one();
    }
}

/// The rule by which `trigger` fires.
pub(super) fn rule(trigger: &Trigger, grace: Duration) -> FireRule<'_> {
    FireRule {
        schedule: &trigger.schedule,
        trigger: &trigger.id,
        jitter: trigger.jitter,
        grace,
        catch_up: trigger.catch_up,
        catch_up_limit: trigger.catch_up_limit,
    }
}

pub(super) async fn run(scheduler: &Scheduler) {
    let mut known = None;
    loop {
        match turn(scheduler, known.as_deref()).await {
            Ok(generation) => known = Some(generation),
            Err(error) => error.report("triggers not brought to the clock"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = scheduler.changed.notified() => {}
        }
    }
}

/// One look; returns the generation that the clock now agrees with.
async fn turn(scheduler: &Scheduler, known: Option<&str>) -> Result<String, StoreError> {
    if let Some(known) = known {
        let generation = scheduler.definitions.generation().await?;
        if generation == known {
            return Ok(generation);
        }
    }
    let snapshot = scheduler.definitions.snapshot().await?;
    let now = scheduler.store.now().await?;
    let mut triggers = HashMap::new();
    let mut homes = HashMap::new();
    let mut unread = HashSet::new();
    for (id, record) in snapshot.of_kind(Kind::Trigger) {
        let document = scheduler.definitions.open(Kind::Trigger, id, record)?;
        let trigger = match Trigger::from_document(&document) {
            Ok(trigger) => Arc::new(trigger),
            Err(problems) => {
                // A later version's, most likely: its schedulers fire it, and what it has on the clock stays.
                error!(trigger = id, %problems, "a trigger can't be read; this scheduler does not fire it");
                unread.insert(id);
                continue;
            }
        };
        let partition = trigger.account.partition(scheduler.store.partitions());
        let next = next(scheduler, partition, &trigger, now).await?;
        scheduler.store.schedule_trigger(partition, &trigger.id, &record.revision, next).await?;
        homes.insert(trigger.id.clone(), partition);
        triggers.insert(trigger.id.clone(), trigger);
    }
    for (partition, trigger) in scheduler.store.scheduled_triggers().await? {
        if homes.get(&trigger) != Some(&partition) && !unread.contains(trigger.as_str()) {
            debug!(%trigger, partition, "trigger taken off the clock");
            scheduler.store.unschedule_trigger(partition, &trigger).await?;
        }
    }
    scheduler.timetable.replace(triggers);
    Ok(snapshot.generation)
}

/// When a trigger is due first under its present definition: a new one, or one that was disabled, from now on; any
/// other from the slot that was dealt with last, so that a change of its other fields forgets none.
async fn next(
    scheduler: &Scheduler,
    partition: u16,
    trigger: &Trigger,
    now: Millis,
) -> Result<Option<Millis>, StoreError> {
    if !trigger.enabled {
        return Ok(None);
    }
    let state = scheduler.store.trigger_state(partition, &trigger.id).await?;
    let from = state.last_slot.filter(|_| state.next.is_some()).unwrap_or(now);
    let slot = trigger.schedule.next_after(from);
    Ok(slot.map(|slot| crate::schedule::jittered(slot, trigger.jitter, &trigger.id)))
}
