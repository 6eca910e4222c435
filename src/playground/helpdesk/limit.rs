//! When the helpdesk limits the rate. Pure: the time is an argument.

use std::time::{Duration, Instant};

use super::RateLimit;

/// How much too early a request may come without being counted as a violation: clocks tick in milliseconds and
/// the answer's way takes time.
const TOLERANCE: Duration = Duration::from_millis(20);

/// One refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limited {
    /// What the answer says.
    pub(super) retry_after_seconds: u64,
    /// Whether this request opened the limit; the others came though they had been told, or were on their way.
    pub(super) is_first: bool,
}

#[derive(Debug)]
pub(super) struct Limiter {
    rule: RateLimit,
    until: Option<Instant>,
    /// Whether the limit was set by hand and has not refused anybody yet.
    announced: bool,
    window_start: Option<Instant>,
    requests: u64,
}

impl Limiter {
    pub(super) fn new(rule: RateLimit) -> Self {
        Self { rule, until: None, announced: true, window_start: None, requests: 0 }
    }

    /// Limits from `now` on.
    pub(super) fn limit_now(&mut self, now: Instant, seconds: u64) {
        self.until = Some(now + Duration::from_secs(seconds));
        self.announced = false;
    }

    /// Counts a request; says how it is refused, if it is.
    pub(super) fn check(&mut self, now: Instant) -> Option<Limited> {
        if let Some(until) = self.until.filter(|until| now + TOLERANCE < *until) {
            let left = until.duration_since(now);
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            let is_first = !self.announced;
            self.announced = true;
            return Some(Limited { retry_after_seconds: seconds, is_first });
        }
        self.until = None;
        let (allowed, seconds) = match self.rule {
            RateLimit::Off => return None,
            RateLimit::Every { requests, retry_after_seconds } => (requests, retry_after_seconds),
            RateLimit::Window { requests, per, retry_after_seconds } => {
                if self.window_start.is_none_or(|start| now.duration_since(start) >= per) {
                    self.window_start = Some(now);
                    self.requests = 0;
                }
                (requests, retry_after_seconds)
            }
        };
        if self.requests < allowed {
            self.requests += 1;
            return None;
        }
        self.requests = 0;
        self.window_start = None;
        self.until = Some(now + Duration::from_secs(seconds));
        self.announced = true;
        Some(Limited { retry_after_seconds: seconds, is_first: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn every_so_many_requests_a_limit_opens_and_ends() {
        let start = crate::clock::monotonic();
        let mut limiter = Limiter::new(RateLimit::Every { requests: 2, retry_after_seconds: 1 });
        assert_eq!(limiter.check(start), None);
        assert_eq!(limiter.check(start), None);
        assert_eq!(limiter.check(start), Some(Limited { retry_after_seconds: 1, is_first: true }));
        assert_eq!(limiter.check(start + ms(900)), Some(Limited { retry_after_seconds: 1, is_first: false }));
        assert_eq!(limiter.check(start + ms(981)), None, "within the tolerance");
        assert_eq!(limiter.check(start + ms(1000)), None);
        assert!(limiter.check(start + ms(1000)).is_some());
    }

    #[test]
    fn a_window_forgets() {
        let start = crate::clock::monotonic();
        let rule = RateLimit::Window { requests: 1, per: ms(100), retry_after_seconds: 2 };
        let mut limiter = Limiter::new(rule);
        assert_eq!(limiter.check(start), None);
        assert_eq!(limiter.check(start + ms(100)), None);
        assert_eq!(limiter.check(start + ms(150)), Some(Limited { retry_after_seconds: 2, is_first: true }));
    }

    #[test]
    fn a_limit_by_hand_is_news_to_the_first_request_only() {
        let start = crate::clock::monotonic();
        let mut limiter = Limiter::new(RateLimit::Off);
        limiter.limit_now(start, 5);
        let first = limiter.check(start + ms(1500));
        assert_eq!(first, Some(Limited { retry_after_seconds: 4, is_first: true }));
        assert!(limiter.check(start + ms(1600)).is_some_and(|limited| !limited.is_first));
        assert_eq!(limiter.check(start + ms(5000)), None);
    }
}
