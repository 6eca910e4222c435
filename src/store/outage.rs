//! What one process knows of an outage of Redis. However many callers wait, Redis is tried at a bounded pace, one line
//! says that it is away, one from time to time that it still is, and one that it is back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::{info, warn};

use super::StoreError;
use crate::clock;

/// The pause between two tries while Redis is away, all callers of a process together.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// The pause between two lines about one thing.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Shared by all clones of a store.
#[derive(Debug)]
pub(super) struct Outage {
    /// Whether an outage is everybody's. In a cluster it is of one node, and says nothing of the others: there each
    /// call keeps its own pace.
    is_whole: bool,
    state: Mutex<State>,
    over: Notify,
}

#[derive(Debug, Default)]
struct State {
    away: Option<Away>,
    /// When an outage was last spoken of: one that comes and goes is not told each time.
    said: Option<Instant>,
    /// Calls that were refused since Redis' memory was full.
    full: Refusals,
    /// Calls that were refused for another reason.
    refused: Refusals,
}

/// What one thing refuses, and when it was last spoken of.
#[derive(Debug, Default)]
struct Refusals {
    said: Option<Instant>,
    since: u64,
}

impl Refusals {
    /// Counts one more; how many there were since it was last spoken of, when it is time to speak of it.
    fn one_more(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if !is_due(self.said, now) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

fn is_due(said: Option<Instant>, now: Instant) -> bool {
    said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY)
}

#[derive(Debug)]
struct Away {
    since: Instant,
    next_try: Instant,
    last: StoreError,
    told: bool,
}

impl Outage {
    /// Nothing is known of an outage yet. `is_whole` says whether one call's failure speaks for all calls.
    pub(super) fn new(is_whole: bool) -> Self {
        Self { is_whole, state: Mutex::default(), over: Notify::new() }
    }

    /// Waits for this caller's turn to try: at once while Redis answers. An error when `patience` ends before, or
    /// there is none.
    pub(super) async fn turn(&self, patience: Duration) -> Result<(), StoreError> {
        let deadline = clock::monotonic() + patience;
        loop {
            let over = self.over.notified();
            let next = {
                let mut state = self.lock();
                let Some(away) = state.away.as_mut().filter(|_| self.is_whole) else { return Ok(()) };
                let now = clock::monotonic();
                if now >= away.next_try {
                    away.next_try = now + TRY_EVERY;
                    return Ok(());
                }
                if now >= deadline {
                    return Err(away.last.clone());
                }
                away.next_try.min(deadline)
            };
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = over => {}
            }
        }
    }

    /// Returns when Redis answers, or `patience` is over. Tries nothing itself.
    pub(super) async fn wait(&self, patience: Duration) {
        let over = self.over.notified();
        if self.lock().away.is_some() {
            let _ = tokio::time::timeout(patience, over).await;
        }
    }

    /// Redis answered.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        let Some(away) = state.away.take() else { return };
        if away.told {
            let seconds = away.since.elapsed().as_secs_f64();
            info!(seconds = format!("{seconds:.1}"), "Redis answers again");
            state.said = Some(clock::monotonic());
        }
        drop(state);
        self.over.notify_waiters();
    }

    /// A call failed.
    pub(super) fn failed(&self, error: &StoreError) {
        let now = clock::monotonic();
        let mut state = self.lock();
        match error {
            StoreError::Unreachable(_) => {
                let due = is_due(state.said, now);
                let away = state.away.get_or_insert_with(|| Away {
                    since: now,
                    next_try: now + TRY_EVERY,
                    last: error.clone(),
                    told: false,
                });
                away.last = error.clone();
                if due {
                    match away.told {
                        false => {
                            warn!(%error, "Redis is away: everything waits for it and goes on by itself")
                        }
                        true => {
                            warn!(%error, seconds = away.since.elapsed().as_secs(), "Redis is still away")
                        }
                    }
                    away.told = true;
                    state.said = Some(now);
                }
            }
            StoreError::Full(_) => {
                if let Some(refused) = state.full.one_more(now) {
                    warn!(%error, refused, "new work is refused");
                }
            }
            StoreError::Refused(..) => {
                if let Some(refused) = state.refused.one_more(now) {
                    warn!(%error, refused, "Redis takes no writes: everything waits for it and goes on by itself");
                }
            }
            StoreError::Unconfirmed { .. } | StoreError::Unfit(_) | StoreError::Damaged(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn away() -> StoreError {
        StoreError::Unreachable("refused".into())
    }

    #[test]
    fn refusals_are_told_at_once_and_then_with_their_number_from_time_to_time() {
        let (mut refusals, start) = (Refusals::default(), clock::monotonic());
        let told: Vec<_> =
            (0..=25).map(|second| refusals.one_more(start + Duration::from_secs(second))).collect();
        let told: Vec<_> =
            told.into_iter().enumerate().filter_map(|(at, number)| Some((at, number?))).collect();
        assert_eq!(told, [(0, 1), (10, 10), (20, 10)]);
    }

    #[tokio::test]
    async fn however_many_wait_one_tries_at_a_time_and_all_go_on_when_it_is_back() {
        let outage = Arc::new(Outage::new(true));
        outage.turn(Duration::ZERO).await.unwrap();
        outage.failed(&away());
        assert!(outage.turn(Duration::ZERO).await.is_err(), "no patience, no turn");
        let tries = Arc::new(AtomicU32::new(0));
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let (outage, tries) = (Arc::clone(&outage), Arc::clone(&tries));
                tokio::spawn(async move {
                    outage.turn(Duration::from_secs(60)).await.unwrap();
                    tries.fetch_add(1, Ordering::SeqCst)
                })
            })
            .collect();
        // The second try means that a whole pause lies behind the first.
        while tries.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(tries.load(Ordering::SeqCst) < 10, "{tries:?} tries by 100 callers");
        outage.answered();
        for caller in callers {
            caller.await.unwrap();
        }
        outage.turn(Duration::ZERO).await.unwrap();
    }
}
