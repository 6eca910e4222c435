//! How fast a worker takes in large bodies. What comes without a pause, or unpacks to a thousand times its size, would
//! take the processor from every other run; so all large bodies of a worker share a rate. Each pays for what has arrived
//! before it reads on: one that is slow holds up nobody, and small pages pay nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// What a body may bring before it counts as large: more than most pages.
const FREE_BYTES: usize = 256 * 1024;
/// Bytes a second, after decompression, that the large bodies of a worker bring together. A page of 8 MiB takes an
/// eighth of a second; a processor unpacks several times as much.
const BYTES_A_SECOND: u32 = 64 << 20;

/// A debt that is not waited for: sleeping takes whole milliseconds.
const DEBT_MAX: Duration = Duration::from_millis(10);

/// The pace of one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// When all that has arrived is paid for.
    paid: Arc<Mutex<Instant>>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { paid: Arc::new(Mutex::new(clock::monotonic())) }
    }

    /// Waits until `bytes` more of a body that has brought `before` bytes are paid for.
    pub(super) async fn pay(&self, before: usize, bytes: usize) {
        if before + bytes <= FREE_BYTES {
            return;
        }
        let now = clock::monotonic();
        let due = self.charge(bytes, now);
        if due > now + DEBT_MAX {
            tokio::time::sleep_until(due.into()).await;
        } else {
            // A body that comes without a pause never has to wait: others have their turn here.
            tokio::task::yield_now().await;
        }
    }

    /// When these bytes are paid for, after those of all who came before.
    fn charge(&self, bytes: usize, now: Instant) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / f64::from(BYTES_A_SECOND));
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = (*paid).max(now) + cost;
        *paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_share_a_rate_and_an_idle_time_is_no_credit() {
        let (pace, start) = (Pace::new(), clock::monotonic() + Duration::from_secs(10));
        let second = BYTES_A_SECOND as usize;
        assert_eq!(pace.charge(second, start), start + Duration::from_secs(1));
        assert_eq!(pace.charge(second / 2, start), start + Duration::from_millis(1500), "after the other");
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.charge(second, later), later + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn small_bodies_pay_nothing() {
        let pace = Pace::new();
        pace.charge(60 * BYTES_A_SECOND as usize, clock::monotonic());
        let small = pace.pay(0, FREE_BYTES);
        tokio::time::timeout(Duration::from_millis(1), small).await.unwrap();
        let large = tokio::time::timeout(Duration::from_millis(1), pace.pay(FREE_BYTES, 1)).await;
        assert!(large.is_err(), "a large one waits for those before it");
    }
}
