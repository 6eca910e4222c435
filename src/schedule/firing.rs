//! What is due now, and what becomes of slots that nobody fired in time.

use std::collections::VecDeque;
use std::time::Duration;

use super::{CatchUp, Kind, Schedule, jittered};
use crate::clock::Millis;
use crate::id::TriggerId;

/// A slot that is let go this late still counts as on time: schedulers restart, and clocks differ a little.
pub const GRACE: Duration = Duration::from_secs(60);

/// Slots of a cron schedule that are counted one by one when many were missed: a week of minutes. With more, `missed`
/// is a lower bound. (Those of an interval are computed, so any number is exact.)
pub const COUNTED_MAX: u64 = 10_080;

/// The most missed slots that one catch-up makes runs for, whatever the trigger asks.
pub const CATCH_UP_MAX: u32 = 1_000;

/// A trigger, as far as its firing goes.
#[derive(Debug, Clone, Copy)]
pub struct FireRule<'a> {
    /// When it is due.
    pub schedule: &'a Schedule,
    /// Whose jitter it is.
    pub trigger: &'a TriggerId,
    /// The most a slot is delayed.
    pub jitter: Duration,
    /// How late a slot may be let go and still count as on time; see [`GRACE`].
    pub grace: Duration,
    /// What becomes of missed slots.
    pub catch_up: CatchUp,
    /// The most missed slots that [`CatchUp::All`] makes up for, up to [`CATCH_UP_MAX`].
    pub catch_up_limit: u32,
}

/// What a trigger does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The slots that make runs, oldest first.
    pub slots: Vec<Millis>,
    /// How many further slots were passed over for good.
    pub missed: u64,
    /// `missed` is a lower bound: there were more than [`COUNTED_MAX`].
    pub missed_capped: bool,
    /// The newest slot that is settled by this, to be handed in again the next time.
    pub last_slot: Millis,
    /// The slot after `last_slot`.
    pub next: Option<Millis>,
    /// When to look again: `next` with its jitter. Always later than the `now` this was asked for.
    pub next_at: Option<Millis>,
}

impl FireRule<'_> {
    /// What is due at `now`, when all slots up to and including `last_slot` are settled.
    ///
    /// A slot is due when its jittered time has come; the newest that is due settles all before it, so slots never
    /// change their order. The newest makes a run when it is on time; any other slot that is due was missed, and
    /// `catch_up` decides. A new trigger starts with `last_slot` = the time of its creation.
    ///
    /// The work is bounded however long ago `last_slot` is, and `last_slot` never goes back.
    pub fn firing(&self, last_slot: Millis, now: Millis) -> Firing {
        let Some(newest) = self.newest_due(last_slot, now) else {
            return self.settle(last_slot, Due::default());
        };
        let on_time = now.since(jittered(newest, self.jitter, self.trigger)) <= self.grace;
        let wanted = match self.catch_up {
            CatchUp::Latest => 1,
            CatchUp::None => usize::from(on_time),
            CatchUp::All => self.catch_up_limit.min(CATCH_UP_MAX) as usize + usize::from(on_time),
        };
        let due = self.schedule.due(last_slot, newest, wanted);
        self.settle(newest, due)
    }

    fn settle(&self, last_slot: Millis, due: Due) -> Firing {
        let next = self.schedule.next_after(last_slot);
        Firing {
            missed: due.count.saturating_sub(due.newest.len() as u64),
            missed_capped: due.capped,
            slots: due.newest.into(),
            last_slot,
            next,
            next_at: next.map(|slot| jittered(slot, self.jitter, self.trigger)),
        }
    }

    /// The newest slot in `(last_slot, now]` whose jittered time has come.
    fn newest_due(&self, last_slot: Millis, now: Millis) -> Option<Millis> {
        let mut before = now;
        loop {
            let slot = self.schedule.newest_until(last_slot, before)?;
            if jittered(slot, self.jitter, self.trigger) <= now {
                return Some(slot);
            }
            // Not yet let go. Ends at the latest a whole jitter (at most a day) back, where every slot has been.
            before = Millis(slot.0 - 1);
        }
    }
}

/// The slots of a stretch of time.
#[derive(Debug, Default)]
struct Due {
    /// The newest of them, as many as were wanted, oldest first.
    newest: VecDeque<Millis>,
    /// How many there are.
    count: u64,
    /// `count` is a lower bound.
    capped: bool,
}

impl Schedule {
    /// The slots in `(after, newest]`, where `newest` is a slot.
    fn due(&self, after: Millis, newest: Millis, wanted: usize) -> Due {
        match &self.0 {
            Kind::Every(ms) => {
                let count = (newest.0.div_euclid(*ms) - after.0.div_euclid(*ms)).unsigned_abs();
                let kept = i64::try_from(count.min(wanted as u64)).unwrap_or(i64::MAX);
                let newest = (0..kept).rev().map(|back| Millis(newest.0 - back * ms)).collect();
                Due { newest, count, capped: false }
            }
            Kind::Cron(_) => self.walk(after, newest, wanted),
        }
    }

    /// [`Self::due`], slot by slot: forwards and exact up to [`COUNTED_MAX`], past that only the newest, backwards.
    fn walk(&self, after: Millis, newest: Millis, wanted: usize) -> Due {
        let mut due = Due::default();
        let mut slot = after;
        while let Some(next) = self.next_after(slot).filter(|next| *next <= newest) {
            if due.count == COUNTED_MAX {
                due.capped = true;
                break;
            }
            due.count += 1;
            due.newest.push_back(next);
            if due.newest.len() > wanted {
                due.newest.pop_front();
            }
            slot = next;
        }
        if due.capped {
            due.newest.clear();
            let mut until = Some(newest);
            while let Some(slot) = until.filter(|_| due.newest.len() < wanted) {
                due.newest.push_front(slot);
                until = self.newest_until(after, Millis(slot.0 - 1));
            }
        }
        due
    }

    /// The newest slot in `(after, until]`.
    ///
    /// Found by looking forwards alone, so that both directions can't disagree about daylight saving: goes back in
    /// doubling steps until a slot follows that is not past `until`, then halves that stretch, some seventy looks in all.
    fn newest_until(&self, after: Millis, until: Millis) -> Option<Millis> {
        if until <= after {
            return None;
        }
        if let Kind::Every(ms) = &self.0 {
            return Some(Millis(until.0.div_euclid(*ms) * ms)).filter(|slot| *slot > after);
        }
        let slot_after = |start: i64| self.next_after(Millis(start)).filter(|slot| *slot <= until);
        let mut step = 1_000i64;
        // No slot follows `nothing_after`, up to `until`.
        let mut nothing_after = until.0;
        let mut found = loop {
            let start = until.0.saturating_sub(step).max(after.0);
            if let Some(slot) = slot_after(start) {
                break slot;
            }
            if start == after.0 {
                return None;
            }
            nothing_after = start;
            step = step.saturating_mul(2);
        };
        while found.0 < nothing_after {
            let middle = found.0 + (nothing_after - found.0) / 2;
            match slot_after(middle) {
                Some(slot) => found = slot,
                None => nothing_after = middle,
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests;
