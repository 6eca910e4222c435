//! A dry run: real requests to the source, and nothing else. No webhook gets anything, no state cell is written and
//! nothing is remembered of records; what would have been is told in the run's log, a line each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::clock::Millis;
use crate::engine::budget::Room;
use crate::engine::machine::{Changes, Gate, Park, Recall, Remember, Remembered};
use crate::engine::seam::{
    Courier, Delivery, Entry, FetchError, FetchErrorKind, FetchRequest, Journal, JournalError, LogLine,
    Notice, Page, SendGuard, Source, Verdict,
};
use crate::json::{self, Json};
use crate::run::Outcome;

/// The most requests that a dry run makes, however its nodes multiply.
const REQUESTS_MAX: usize = 100;
/// How much of a text is shown.
const SHOWN_BYTES_MAX: usize = 2048;
/// How many of a page's records are shown.
const SHOWN_RECORDS: usize = 2;

/// What a dry run tells, until it is saved.
#[derive(Debug, Default)]
struct Report {
    lines: Mutex<Vec<LogLine>>,
    requests: AtomicUsize,
}

impl Report {
    fn tell(&self, what: &str, detail: &Value) {
        let line = LogLine { what: what.to_owned(), seq: None, note: None, detail: Some(Json::of(detail)) };
        self.push(line);
    }

    fn push(&self, line: LogLine) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A source, a courier or a journal in a dry run.
#[derive(Debug)]
pub(super) struct Dry<T> {
    real: Arc<T>,
    report: Arc<Report>,
}

/// The doors of a dry run, which share its report.
#[derive(Debug, Clone, Default)]
pub(super) struct Doors(Arc<Report>);

impl Doors {
    /// `real` as it is in a dry run.
    pub(super) fn dry<T>(&self, real: Arc<T>) -> Arc<Dry<T>> {
        Arc::new(Dry { real, report: Arc::clone(&self.0) })
    }

    /// Tells the plan, first of all.
    pub(super) fn tell_plan(&self, plan: &str) {
        self.0.tell("plan", &serde_json::json!({ "plan": plan }));
    }
}

impl<S: Source> Source for Dry<S> {
    async fn fetch(
        &self,
        request: &FetchRequest,
        room: &Room,
        guard: &dyn SendGuard,
    ) -> Result<Page, FetchError> {
        if self.report.requests.fetch_add(1, Ordering::Relaxed) >= REQUESTS_MAX {
            let message =
                format!("a dry run makes {REQUESTS_MAX} requests at most; lower its limit to see more nodes");
            return Err(FetchError::new(FetchErrorKind::Permanent, "dry_run_limit", message));
        }
        let result = self.real.fetch(request, room, guard).await;
        let answer = match &result {
            Ok(page) => serde_json::json!({
                "records": page.records.len(),
                "next": page.next,
                "first": (0..page.records.len().min(SHOWN_RECORDS)).map(|at| shown(page.record(at))).collect::<Vec<_>>(),
            }),
            Err(error) => {
                serde_json::json!({ "error": error.error, "status": error.status, "message": error.message })
            }
        };
        self.report.tell(
            "request",
            &serde_json::json!({
                "resource": request.resource,
                "method": request.method,
                "id": request.id,
                "query": request.query,
                "body": request.body,
                "cursor": request.cursor,
                "integrated_account_id": request.account,
                "answer": answer,
            }),
        );
        result
    }
}

impl<C: Send + Sync> Courier for Dry<C> {
    async fn deliver(&self, delivery: &Delivery, _: &dyn SendGuard) -> Verdict {
        let body = String::from_utf8_lossy(&delivery.body);
        self.report.tell(
            "delivery",
            &serde_json::json!({
                "webhook_id": delivery.webhook,
                "event": delivery.event,
                "seq": delivery.seq,
                "bytes": delivery.body.len(),
                "body": shown(&body),
            }),
        );
        Verdict::Acknowledged
    }
}

impl<J> Dry<J> {
    fn lines(&self, entry: &Entry<'_>) -> Vec<LogLine> {
        let mut lines = self.report.take();
        // What was delivered and what was noted is told already.
        let told = |line: &&LogLine| line.what.starts_with("sync_job_run:") || line.what == "node";
        lines.extend(entry.log.iter().filter(|line| !told(line)).cloned());
        lines
    }
}

/// The same position, without what would be remembered of records.
fn forgetful(changes: &Changes) -> Changes {
    Changes { marks: Vec::new(), ..changes.clone() }
}

impl<J: Journal> Journal for Dry<J> {
    async fn save(&self, entry: Entry<'_>) -> Result<Notice, JournalError> {
        let (log, changes) = (self.lines(&entry), forgetful(entry.changes));
        self.real.save(Entry { changes: &changes, log, ..entry }).await
    }

    async fn park(&self, entry: Entry<'_>, park: &Park) -> Result<(), JournalError> {
        let (log, changes) = (self.lines(&entry), forgetful(entry.changes));
        self.real.park(Entry { changes: &changes, log, ..entry }, park).await
    }

    async fn release(&self, entry: Entry<'_>) -> Result<(), JournalError> {
        let (log, changes) = (self.lines(&entry), forgetful(entry.changes));
        self.real.release(Entry { changes: &changes, log, ..entry }).await
    }

    async fn finish(&self, entry: Entry<'_>, outcome: &Outcome) -> Result<(), JournalError> {
        let (log, changes) = (self.lines(&entry), forgetful(entry.changes));
        self.real.finish(Entry { changes: &changes, log, ..entry }, outcome).await
    }

    async fn recall(&self, what: &Recall) -> Result<Option<Json>, JournalError> {
        let answer = self.real.recall(what).await?;
        if let Recall::State { state_key, key } = what {
            self.report
                .tell("state", &serde_json::json!({ "reads": key, "state_key": state_key, "value": answer }));
        }
        Ok(answer)
    }

    async fn remember(&self, what: &Remember) -> Result<Remembered, JournalError> {
        let value = what.value.as_ref().map(|value| shown(value.as_str()));
        self.report.tell(
            "state",
            &serde_json::json!({ "would_write": what.key, "state_key": what.state_key, "value": value }),
        );
        Ok(Remembered::Written)
    }

    fn noted(&self, line: &LogLine) {
        self.report.push(line.clone());
    }

    async fn close_gate(&self, seen: u64, wait: Duration) -> Result<Gate, JournalError> {
        self.real.close_gate(seen, wait).await
    }

    async fn pass_gate(&self, generation: u64) {
        self.real.pass_gate(generation).await;
    }

    fn now(&self) -> Millis {
        self.real.now()
    }
}

/// A JSON text as itself, or the beginning of it as text where it is long.
fn shown(text: &str) -> Value {
    if text.len() <= SHOWN_BYTES_MAX {
        return serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    }
    Value::from(format!("{}… ({} bytes)", json::beginning(text, SHOWN_BYTES_MAX), text.len()))
}
