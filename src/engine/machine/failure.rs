//! What a run does when something fails: wait, skip the smallest step that makes sense, or end.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Gate, Machine, OUTAGE_WAIT_BASE, OUTAGE_WAIT_MAX};
use crate::backoff;
use crate::clock::Millis;
use crate::definition::integration::OnUnauthorized;
use crate::definition::job::ErrorHandling;
use crate::definition::webhook::{DeliveryRetry, EventType};
use crate::engine::checkpoint::{Closing, End, Limit, Trouble, TroubleAbout};
use crate::engine::seam::{Cursor, DeliveryError, FetchError};
use crate::json::Json;
use crate::run::{Outcome, Status};

/// How long a source may tell a run nothing but limits: beyond any quota of a day or a week that is used up.
const LIMITED_MAX: Duration = Duration::from_secs(8 * 24 * 3600);
/// After so long without being asked it tells a new one: twice the longest wait.
const LIMITED_GAP_MAX: Duration = Duration::from_secs(2 * 24 * 3600);
/// How often a list may start over because the source refuses the cursor it gave.
const RESTARTS_MAX: u32 = 3;
/// How many errors `error_handling: batch` collects before it sends them; bounds the checkpoint.
pub(super) const BATCH_ERRORS_MAX: usize = 100;
/// How many nodes' reasons for being incomplete are kept, and how long each may be.
const INCOMPLETE_REASON_CHARS_MAX: usize = 300;

impl Machine {
    /// The source limits the rate: report it once for each time the gate closed, then wait for it.
    pub(super) fn limited(&mut self, gate: Gate, now: Millis) {
        let is_new = self.wait_for_gate(gate);
        if is_new && gate.opens_at > now && gate.generation > self.checkpoint.reported_generation {
            self.checkpoint.reported_generation = gate.generation;
            self.stage_rate_limited(gate, now);
        }
    }

    /// Whether it is something to wait for that was not known.
    fn wait_for_gate(&mut self, gate: Gate) -> bool {
        let known = self.checkpoint.limit.as_ref();
        if known.is_some_and(|limit| limit.generation == gate.generation && limit.until >= gate.opens_at) {
            // Every save brings the gate again. What is known is no change, or one save would cause the next; and
            // this run may have been told to wait longer than the gate is closed.
            return false;
        }
        self.unsaved = true;
        let before = self.checkpoint.limit.take();
        let told = before.as_ref().and_then(|limit| limit.told);
        let unknown = before.map(|limit| limit.unknown).unwrap_or_default();
        self.checkpoint.limit =
            Some(Limit { generation: gate.generation, until: gate.opens_at, told, unknown });
        true
    }

    /// Others met a limit, and this run is held back for it: it waits, and has nothing to report.
    pub(super) fn held(&mut self, gate: Gate) {
        self.wait_for_gate(gate);
    }

    /// The rate is limited. A run that asks and is told nothing else for [`LIMITED_MAX`] fails: what it holds, such as a
    /// mutex, is kept from others.
    pub(super) fn rate_limited(&mut self, error: &FetchError, gate: Gate, now: Millis) {
        // What was not sent was not told.
        if error.status.is_none() {
            return self.limited(gate, now);
        }
        let told = self.checkpoint.limit.as_ref().and_then(|limit| limit.told);
        let told = told.filter(|(_, last)| now.since(*last) < LIMITED_GAP_MAX);
        let since = told.map_or(now, |(since, _)| since);
        if now.since(since) >= LIMITED_MAX {
            return self.limited_for_good(error, now);
        }
        self.limited(gate, now);
        if let Some(limit) = &mut self.checkpoint.limit {
            limit.told = Some((since, now));
            self.unsaved = true;
        }
    }

    fn limited_for_good(&mut self, error: &FetchError, now: Millis) {
        let days = LIMITED_MAX.as_secs() / (24 * 3600);
        let reason = format!(
            "the source has said nothing for {days} days but that its rate is limited: {error}. See what it allows this \
             account, then resume the run"
        );
        let code = Some("rate_limited".to_owned());
        self.fail_run(Outcome { status: Status::Failed, reason: Some(reason), code }, now);
    }

    /// The source is out of reach: wait for it as long as the budget allows, then it is an error.
    pub(super) fn source_trouble(&mut self, about: TroubleAbout, error: FetchError, now: Millis) {
        let before = self.checkpoint.trouble.take().filter(|trouble| trouble.about == about);
        let since = before.as_ref().map_or(now, |trouble| trouble.since);
        let parks = before.as_ref().map_or(0, |trouble| trouble.parks) + 1;
        self.unsaved = true;
        if before.is_some() && now.since(since) >= self.plan.outage_budget {
            return match about {
                TroubleAbout::Source | TroubleAbout::Delivery => self.failed_for_good(error, now),
                TroubleAbout::Credentials => self.credentials_refused(&error, now),
            };
        }
        let wait = backoff::delay(OUTAGE_WAIT_BASE, OUTAGE_WAIT_MAX, parks, self.seed(u64::from(parks)));
        let last_look = since.plus(self.plan.outage_budget).max(now.plus(Duration::from_secs(1)));
        self.checkpoint.trouble = Some(Trouble {
            about,
            since,
            attempts: parks,
            parks,
            until: now.plus(wait).min(last_look),
            reason: format!("the source can't be read: {error}"),
            unknown: before.map(|trouble| trouble.unknown).unwrap_or_default(),
        });
    }

    /// 401 never skips anything: the run waits for the account to be mended, or ends.
    pub(super) fn unauthorized(&mut self, error: FetchError, now: Millis) {
        match self.plan.on_unauthorized {
            OnUnauthorized::Park => self.source_trouble(TroubleAbout::Credentials, error, now),
            OnUnauthorized::Fail => self.credentials_refused(&error, now),
        }
    }

    fn credentials_refused(&mut self, error: &FetchError, now: Millis) {
        let account = &self.run.request.account;
        let reason = format!(
            "{error}. Mend the credentials of account {account:?}, then resume the run",
            account = account.as_str()
        );
        self.fail_run(
            Outcome { status: Status::Failed, reason: Some(reason), code: Some("unauthorized".into()) },
            now,
        );
    }

    /// A stored cursor was refused: the list starts over, a few times.
    pub(super) fn restart_list(&mut self, error: FetchError, now: Millis) {
        match self.checkpoint.frames.last_mut() {
            Some(frame) if frame.restarts < RESTARTS_MAX && !frame.cursor.is_start() => {
                frame.restarts += 1;
                frame.cursor = Cursor::Start;
                frame.page = 1;
                frame.guard = Default::default();
                frame.reading.records = frame.reading.earlier;
                self.unsaved = true;
            }
            _ => self.failed_for_good(error, now),
        }
    }

    /// A step failed for good: report it and skip the smallest part that makes sense, or end the run.
    pub(super) fn failed_for_good(&mut self, error: FetchError, now: Millis) {
        self.unsaved = true;
        self.checkpoint.trouble = None;
        self.arrived = None;
        let Some(node) = self.top().map(|frame| frame.node) else { return };
        if !self.report(node, &error, now) {
            return;
        }
        let root = self.checkpoint.root;
        self.skip(error.skip_to);
        self.flush_errors_of(root, now);
    }

    /// Reports an error of a node. False when it ends the run: always in the steps before it is completed, whose failure
    /// fails it.
    pub(super) fn report(&mut self, node: usize, error: &FetchError, now: Millis) -> bool {
        self.unsaved = true;
        self.counts(node).errors += 1;
        let name = self.plan.nodes[node].name.clone();
        let closing = self.checkpoint.moment == Some(Closing::Complete);
        match self.run.request.error_handling {
            ErrorHandling::Ignore | ErrorHandling::Batch if closing => {
                let reason = format!("node {name:?}, before the run was completed: {error}");
                let code = Some("complete_failed".to_owned());
                self.fail_run(Outcome { status: Status::Failed, reason: Some(reason), code }, now);
                return false;
            }
            ErrorHandling::FailFast => {
                let reason = format!("node {name:?}: {error}");
                let code = Some("record_error".to_owned());
                self.fail_run(Outcome { status: Status::Failed, reason: Some(reason), code }, now);
                return false;
            }
            ErrorHandling::Ignore => self.stage_record_error(&[self.record_error(node, error)], false, now),
            ErrorHandling::Batch => {
                let entry = self.record_error(node, error);
                self.checkpoint.errors.push(entry);
            }
        }
        let reason: String = error.to_string().chars().take(INCOMPLETE_REASON_CHARS_MAX).collect();
        self.checkpoint.progress.incomplete.entry(name).or_insert(reason);
        true
    }

    /// Sends collected errors once there are many, or when the resource of this root was left.
    pub(super) fn flush_errors_of(&mut self, root: usize, now: Millis) {
        if self.checkpoint.errors.len() >= BATCH_ERRORS_MAX || self.checkpoint.root != root {
            self.flush_errors(now);
        }
    }

    /// One page where pages are numbered, else the rest of the list.
    fn skip(&mut self, skip_to: Option<Cursor>) {
        let skips_max = self.plan.consecutive_errors_max;
        let Some(frame) = self.checkpoint.frames.last_mut() else { return };
        frame.skipped += 1;
        match skip_to {
            Some(cursor) if frame.skipped < skips_max => {
                frame.cursor = cursor;
                frame.page += 1;
            }
            _ => frame.done = true,
        }
        if frame.reading.end.is_some() {
            frame.reading.end = Some(End::Done);
        }
        self.settle();
    }

    pub(super) fn flush_errors(&mut self, now: Millis) {
        let errors = std::mem::take(&mut self.checkpoint.errors);
        if !errors.is_empty() {
            self.stage_record_error(&errors, true, now);
            self.unsaved = true;
        }
    }

    /// A delivery failed: wait and try again as long as the webhook's policy says, then the run fails with
    /// everything kept.
    pub(super) fn delivery_trouble(&mut self, error: DeliveryError, now: Millis) {
        self.unsaved = true;
        let destination = self.current_destination();
        let webhook = &self.run.webhooks[destination];
        let retry = webhook.retry;
        let before = self.checkpoint.trouble.take().filter(|trouble| trouble.about == TroubleAbout::Delivery);
        let since = before.as_ref().map_or(now, |trouble| trouble.since);
        let attempts = before.as_ref().map_or(0, |trouble| trouble.attempts).saturating_add(error.attempts);
        let parks = before.as_ref().map_or(0, |trouble| trouble.parks) + 1;
        let reason = format!("webhook {:?} does not acknowledge: {}", webhook.id.as_str(), error.message);
        if let Some(held) = self.held.take() {
            self.stage_held(held, now);
        }
        let exhausted = now.since(since) >= retry.give_up_after && before.is_some();
        if self.gave_up_before() || exhausted {
            return self.give_up_delivery(reason, now);
        }
        let wait = parked_wait(&retry, parks, self.seed(u64::from(parks)))
            .max(error.retry_after.unwrap_or_default());
        let last_try = since.plus(retry.give_up_after).max(now.plus(Duration::from_millis(100)));
        let until = now.plus(wait).min(last_try);
        let unknown = before.map(|trouble| trouble.unknown).unwrap_or_default();
        let about = TroubleAbout::Delivery;
        self.checkpoint.trouble = Some(Trouble { about, since, attempts, parks, until, reason, unknown });
    }

    /// The terminal event of a run whose webhook is dead gets one turn of tries.
    fn gave_up_before(&self) -> bool {
        self.checkpoint
            .outcome
            .as_ref()
            .is_some_and(|outcome| outcome.code.as_deref() == Some(DELIVERY_EXHAUSTED))
    }

    fn give_up_delivery(&mut self, reason: String, now: Millis) {
        if self.checkpoint.outcome.is_some() {
            // Kept as they are: `resume` sends them again.
            self.checkpoint.terminal_undelivered = true;
            return;
        }
        let reason = format!("{reason}. Resume the run once the webhook answers; nothing was dropped");
        let code = Some(DELIVERY_EXHAUSTED.to_owned());
        self.decide(Outcome { status: Status::Failed, reason: Some(reason), code }, now);
    }

    fn current_destination(&self) -> usize {
        let staged = if self.checkpoint.outcome.is_some() {
            self.checkpoint.terminal.first()
        } else {
            self.checkpoint.outbox.first()
        };
        staged.map(|staged| staged.destination).or_else(|| self.held_destination()).unwrap_or_default()
    }

    /// Chance that is the same after a crash: a hash of the run and its position.
    pub(super) fn seed(&self, salt: u64) -> u64 {
        let steps: u64 = self.checkpoint.destinations.iter().map(|destination| destination.step).sum();
        let digest = Sha256::digest(format!("{}\n{steps}\n{salt}", self.run.request.id));
        digest[..8].iter().fold(0, |acc, byte| (acc << 8) | u64::from(*byte))
    }

    fn record_error(&self, node: usize, error: &FetchError) -> Json {
        let node = Some(&self.plan.nodes[node]);
        Json::of(&serde_json::json!({
            "resource": node.map(|node| &node.resource),
            "method": node.map(|node| &node.method),
            "node": node.map(|node| &node.name),
            "page": self.top().map(|frame| frame.page),
            "args": self.run.request.args,
            "error": {
                "statusCode": error.status,
                "error": error.error,
                "message": error.message,
                "is_remote_error": error.status.is_some(),
                "truto_is_remote_error": error.status.is_some(),
                "raw_response": error.raw_response,
            },
        }))
    }

    fn stage_rate_limited(&mut self, gate: Gate, now: Millis) {
        let node = self.top().map(|frame| self.plan.nodes[frame.node].clone());
        let seconds = gate.opens_at.since(now).as_millis().div_ceil(1000);
        let payload = Json::of(&serde_json::json!({
            "resource": node.as_ref().map(|node| &node.resource),
            "retryAfter": u64::try_from(seconds).unwrap_or(u64::MAX),
            "resumes_at": gate.opens_at.rfc3339(),
            "meta": self.meta(node.as_ref()),
        }));
        self.stage_event(EventType::RateLimited, &payload, now);
    }
}

const DELIVERY_EXHAUSTED: &str = "delivery_exhausted";

fn parked_wait(retry: &DeliveryRetry, parks: u32, seed: u64) -> Duration {
    backoff::delay(retry.park_base, retry.park_max, parks, seed)
}
