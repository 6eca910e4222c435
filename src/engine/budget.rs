//! A worker's byte budget for pages: what is fetched, held while it is delivered, and fetched ahead.
//!
//! A fetch begins with little room and asks for more as its page grows, so that sources that are silent or slow hold
//! next to nothing. Who finds no room gives back what it has and waits for the room of the largest page, with empty
//! hands: those who hold and wait could wait for each other. Small pages have a part of the budget to themselves, so
//! that large ones never keep them waiting.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One unit of the budget, in bytes: permits are 32-bit, budgets are not.
const UNIT_BYTES: usize = 1024;
/// The page that a fetch makes room for before anything is known of it.
const FIRST_BYTES: usize = 32 * 1024;
/// The largest page that counts as small.
const SMALL_BYTES_MAX: usize = 256 * 1024;
/// The part of the budget that is for small pages alone, as a divisor.
const SMALL_PART: usize = 4;

/// The budget of one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// The most that small pages take together.
    small_units: u32,
    /// What the largest page takes.
    page_units: u32,
}

/// What a page takes of the budget; given back when it is dropped.
#[derive(Debug)]
pub struct Room {
    budget: Budget,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    small: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl Held {
    fn units(&self) -> usize {
        let units = |permit: &Option<OwnedSemaphorePermit>| permit.as_ref().map_or(0, |p| p.num_permits());
        units(&self.small) + units(&self.large)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

impl Budget {
    /// A budget of `bytes` for a worker whose pages have at most `page_bytes_max` each.
    pub fn new(bytes: usize, page_bytes_max: usize) -> Self {
        let total = units(bytes).max(1);
        let page_units = units(page_bytes_max.saturating_mul(2)).clamp(1, total);
        // The largest page must fit beside them.
        let small_units = (total / SMALL_PART as u32).min(total - page_units);
        Self {
            small: Arc::new(Semaphore::new(small_units as usize)),
            large: Arc::new(Semaphore::new((total - small_units) as usize)),
            small_units,
            page_units,
        }
    }

    /// What a page of so many bytes takes: it is held twice at most, as it came and as the event it became.
    fn needed(&self, page_bytes: usize) -> u32 {
        units(page_bytes.saturating_mul(2)).min(self.page_units)
    }

    fn is_small(&self, needed: u32) -> bool {
        needed <= units(2 * SMALL_BYTES_MAX) && needed <= self.small_units
    }

    fn room(&self, held: Held) -> Room {
        Room { budget: self.clone(), held: Mutex::new(held) }
    }

    /// Waits for room to begin a fetch with: for the page expected, or little when nothing is known.
    pub async fn begin(&self, expected_bytes: usize) -> Room {
        let needed = self.needed(expected_bytes.max(FIRST_BYTES));
        let small = self.is_small(needed);
        let from = Arc::clone(if small { &self.small } else { &self.large });
        let permit = from.acquire_many_owned(needed).await.ok();
        self.room(if small {
            Held { small: permit, large: None }
        } else {
            Held { small: None, large: permit }
        })
    }

    /// The same, when there is room now.
    pub fn try_begin(&self, expected_bytes: usize) -> Option<Room> {
        let room = self.room(Held::default());
        room.grow(expected_bytes.max(FIRST_BYTES)).then_some(room)
    }

    /// Waits for room for the largest page there may be.
    pub async fn whole(&self) -> Room {
        let large = Arc::clone(&self.large).acquire_many_owned(self.page_units).await.ok();
        self.room(Held { small: None, large })
    }
}

impl Room {
    /// Makes room for a page of so many bytes, if there is; false when there is none now.
    pub fn grow(&self, page_bytes: usize) -> bool {
        let needed = self.budget.needed(page_bytes);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let has = u32::try_from(held.units()).unwrap_or(u32::MAX);
        if needed <= has {
            return true;
        }
        // By doubling, so that a page asks a few times, not for each chunk.
        let wanted = needed.checked_next_power_of_two().unwrap_or(needed).min(self.budget.page_units) - has;
        let Budget { small, large, .. } = &self.budget;
        let take = |from: &Arc<Semaphore>| Arc::clone(from).try_acquire_many_owned(wanted).ok();
        let add = |to: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit| match to {
            Some(permit) => permit.merge(more),
            None => *to = Some(more),
        };
        if self.budget.is_small(needed)
            && let Some(more) = take(small)
        {
            add(&mut held.small, more);
            return true;
        }
        match take(large) {
            Some(more) => add(&mut held.large, more),
            None => return false,
        }
        true
    }

    /// Gives back what a page of so many bytes does not need: most are smaller than what was made room for.
    #[must_use]
    pub fn shrink(self, page_bytes: usize) -> Self {
        let needed = self.budget.needed(page_bytes) as usize;
        let mut guard = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut *guard;
        let mut surplus = held.units().saturating_sub(needed);
        // Room for large pages first: it is the scarcer.
        for part in [&mut held.large, &mut held.small].into_iter().flatten() {
            let back = surplus.min(part.num_permits());
            drop(part.split(back));
            surplus -= back;
        }
        drop(guard);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn slow_fetches_hold_little_and_large_pages_leave_room_for_small_ones() {
        let budget = Budget::new(64 * MIB, 8 * MIB);
        let silent: Vec<Room> = (0..200).map(|_| budget.try_begin(0).unwrap()).collect();
        let mut large = Vec::new();
        while let Some(room) = budget.try_begin(8 * MIB) {
            large.push(room);
        }
        assert_eq!(large.len(), 3, "48 MiB, 16 a page");
        // Somebody waits for a large page; a small one passes.
        let waiting = budget.whole();
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        let small = budget.begin(20 * 1024).await;
        assert!(small.grow(40 * 1024) && !small.grow(8 * MIB));
        drop(large.pop());
        let whole = waiting.await;
        assert!(whole.grow(8 * MIB));
        drop((silent, whole));
    }

    #[tokio::test]
    async fn all_that_was_taken_comes_back() {
        let budget = Budget::new(64 * MIB, 8 * MIB);
        let free = || (budget.small.available_permits(), budget.large.available_permits());
        let before = free();
        let room = budget.begin(0).await;
        for bytes in (0..8 * MIB).step_by(100_000) {
            assert!(room.grow(bytes));
        }
        let room = room.shrink(10 * 1024);
        assert_eq!(free().0 + free().1, before.0 + before.1 - 20);
        drop(room);
        assert_eq!(free(), before);
    }

    #[tokio::test]
    async fn one_page_fits_into_a_budget_of_one_page() {
        let budget = Budget::new(16 * MIB, 8 * MIB);
        let room = budget.begin(0).await;
        assert!(room.grow(8 * MIB));
        assert!(budget.try_begin(0).is_none());
    }
}
