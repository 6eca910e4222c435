//! Receivers that take requests and don't answer. Each try holds a slot of the worker for the webhook's whole time-out;
//! so when several runs in a row met that, with no answer between, one run tries at a time and the others are told at
//! once: they wait parked, and the slots go to runs of other webhooks. Any answer ends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::id::{RunId, WebhookId};

/// Runs in a row that must meet the silence before others are held back: one alone may be its own page's fault.
const RUNS_MIN: usize = 3;

/// Webhooks that are remembered; beyond that the memory starts over.
const WEBHOOKS_MAX: usize = 10_000;

/// What is known of silent webhooks. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Silence(Arc<Mutex<HashMap<WebhookId, Silent>>>);

#[derive(Debug)]
struct Silent {
    /// The first runs that met it.
    met_by: Vec<RunId>,
    /// Who tries, and until when nobody else does.
    prober: RunId,
    until: Instant,
}

impl Silence {
    /// Whether `run` may send to `webhook` now. The one that does while it is silent speaks for `patience`, the longest
    /// that its try takes.
    pub(super) fn permits(&self, webhook: &WebhookId, run: RunId, patience: Duration) -> bool {
        let mut all = self.lock();
        let Some(silent) = all.get_mut(webhook).filter(|silent| silent.met_by.len() >= RUNS_MIN) else {
            return true;
        };
        let now = clock::monotonic();
        if silent.prober != run && now < silent.until {
            return false;
        }
        silent.prober = run;
        silent.until = now + patience;
        true
    }

    /// `webhook` did not answer `run` in time.
    pub(super) fn met(&self, webhook: &WebhookId, run: RunId, patience: Duration) {
        let mut all = self.lock();
        if all.len() >= WEBHOOKS_MAX && !all.contains_key(webhook) {
            all.clear();
        }
        let until = clock::monotonic() + patience;
        let silent =
            all.entry(webhook.clone()).or_insert_with(|| Silent { met_by: Vec::new(), prober: run, until });
        if silent.met_by.len() < RUNS_MIN && !silent.met_by.contains(&run) {
            silent.met_by.push(run);
        }
        if silent.prober == run {
            silent.until = until;
        }
    }

    /// `webhook` answered, whatever it said.
    pub(super) fn broken(&self, webhook: &WebhookId) {
        self.lock().remove(webhook);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WebhookId, Silent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_run_tries_at_a_time_after_several_met_the_silence_and_an_answer_ends_it() {
        let (silence, hook): (Silence, WebhookId) = (Silence::default(), "hook".parse().unwrap());
        let runs: Vec<RunId> = (0..4).map(|_| RunId::new(0)).collect();
        // One run alone, however often, is its own matter.
        for _ in 0..5 {
            silence.met(&hook, runs[0], LONG);
        }
        assert!(silence.permits(&hook, runs[3], LONG));
        silence.met(&hook, runs[1], LONG);
        silence.met(&hook, runs[2], LONG);
        assert!(silence.permits(&hook, runs[0], LONG), "who tries goes on");
        for other in &runs[1..] {
            assert!(!silence.permits(&hook, *other, LONG));
        }
        assert!(silence.permits(&"other".parse().unwrap(), runs[3], LONG));
        silence.broken(&hook);
        assert!(runs.iter().all(|run| silence.permits(&hook, *run, LONG)));
    }

    #[test]
    fn the_next_one_tries_when_the_time_is_over() {
        let (silence, hook): (Silence, WebhookId) = (Silence::default(), "hook".parse().unwrap());
        let runs: Vec<RunId> = (0..4).map(|_| RunId::new(0)).collect();
        for run in &runs[..3] {
            silence.met(&hook, *run, Duration::ZERO);
        }
        assert!(silence.permits(&hook, runs[3], LONG));
        assert!(!silence.permits(&hook, runs[0], LONG));
    }
}
