//! Watches this machine's clock. Waits go by Redis' clock, which is the machine's; when somebody sets it (a time server, a
//! host that wakes a guest), what waits wakes sooner or later, and that is no fault of the product.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rapidbridge::clock;
use tokio::task::AbortHandle;

use crate::evidence::ClockStep;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What is no step: looking takes time, and clocks are slewed by a little.
const TOLERANCE: Duration = Duration::from_millis(20);

/// Notes when the clock is set.
#[derive(Debug)]
pub(crate) struct Steps {
    seen: Arc<Mutex<Vec<ClockStep>>>,
    task: AbortHandle,
}

impl Steps {
    /// Watches from now on; times are counted from `began`.
    pub(crate) fn watch(began: Instant) -> Self {
        let seen: Arc<Mutex<Vec<ClockStep>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            let mut before = (clock::monotonic(), clock::now());
            loop {
                ticks.tick().await;
                let now = (clock::monotonic(), clock::now());
                let passed = now.0.duration_since(before.0);
                let expected = before.1.plus(passed);
                let (forward, by) = (now.1 > expected, now.1.since(expected).max(expected.since(now.1)));
                if by > TOLERANCE {
                    let step = ClockStep { at: now.0.saturating_duration_since(began), forward, by };
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push(step);
                }
                before = now;
            }
        });
        Self { seen, task: task.abort_handle() }
    }

    /// Every step so far.
    pub(crate) fn seen(&self) -> Vec<ClockStep> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.task.abort();
    }
}
