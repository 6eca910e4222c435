//! A run as the API shows it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::clock::Millis;
use crate::definition::job::ErrorHandling;
use crate::definition::webhook::EventType;
use crate::id::{AccountId, EnvironmentId, JobId, RunId, TriggerId, WebhookId};
use crate::json::Json;
use crate::run::{Counts, Status};
use crate::settings::RetentionSettings;
use crate::store::runs::{RunRecord, WaitsFor};

/// The JSON of a run. RapidBridge's fields first, then what it does not have. Times are RFC 3339 in UTC; what is not
/// known yet is null.
#[derive(Serialize)]
pub(super) struct RunView<'r> {
    id: RunId,
    sync_job_id: &'r JobId,
    integrated_account_id: &'r AccountId,
    environment_id: &'r EnvironmentId,
    webhook_id: Option<&'r WebhookId>,
    status: Status,
    args: &'r Json,
    error_handling: ErrorHandling,
    ignore_previous_run: bool,
    mutex_key: Option<&'r str>,
    state_key: Option<&'r str>,
    force: bool,
    events_to_send: Option<&'r BTreeSet<EventType>>,
    /// Of a dry run: how many records of each list it reads.
    dry_run: Option<u64>,
    resource_stats: &'r BTreeMap<String, BTreeMap<String, Counts>>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    updated_at: String,
    sync_job_cron_trigger_id: Option<&'r TriggerId>,
    /// The trigger's slot; null for a run made on demand.
    slot: Option<String>,
    replay_of: Option<RunId>,
    attempt: u32,
    /// The newest claim's fencing token, as text: it has more digits than JavaScript's numbers.
    epoch: String,
    place: &'r str,
    worker: Option<&'r str>,
    /// When it goes on by itself.
    wake_at: Option<String>,
    /// Why it waits, or why it ended as it did.
    reason: Option<Cow<'r, str>>,
    stop_requested: bool,
    pages: u64,
    seq: u64,
    incomplete: &'r BTreeMap<String, String>,
    node: Option<&'r str>,
    error: Option<RunError<'r>>,
    terminal_undelivered: bool,
    previous_run_date: Option<String>,
    resumable_until: Option<String>,
}

/// Why a run failed.
#[derive(Serialize)]
struct RunError<'r> {
    code: Option<&'r str>,
    message: Option<&'r str>,
}

impl<'r> RunView<'r> {
    pub(super) fn of(record: &'r RunRecord, retention: &RetentionSettings) -> Self {
        let (request, progress) = (&record.request, &record.progress);
        let outcome = record.outcome.as_ref().filter(|_| record.status.is_terminal());
        let error = outcome.filter(|_| record.status == Status::Failed);
        let time = |at: Option<Millis>| at.map(Millis::rfc3339);
        Self {
            id: request.id,
            sync_job_id: &request.job,
            integrated_account_id: &request.account,
            environment_id: &request.environment,
            webhook_id: request.webhooks.first(),
            status: record.status,
            args: &request.args,
            error_handling: request.error_handling,
            ignore_previous_run: request.ignore_previous_run,
            mutex_key: request.mutex_key.as_deref(),
            state_key: request.state_key.as_deref(),
            force: request.force,
            events_to_send: request.events_to_send.as_ref(),
            dry_run: request.dry_run,
            resource_stats: &progress.resource_stats,
            created_at: request.created_at.rfc3339(),
            started_at: time(progress.started_at),
            finished_at: time(record.finished_at),
            updated_at: record.updated_at.rfc3339(),
            sync_job_cron_trigger_id: request.slot.as_ref().map(|slot| &slot.trigger),
            slot: time(request.slot.as_ref().and_then(|slot| slot.at)),
            replay_of: request.replay_of.as_ref().map(|replay| replay.run),
            attempt: record.attempt,
            epoch: record.epoch.to_string(),
            place: &record.place,
            worker: record.worker.as_deref(),
            wake_at: time(record.wake),
            reason: reason(record),
            stop_requested: record.stop.is_some() && !record.status.is_terminal(),
            pages: progress.pages,
            seq: record.seq,
            incomplete: &progress.incomplete,
            node: progress.node.as_deref(),
            error: error.map(|outcome| RunError {
                code: outcome.code.as_deref(),
                message: outcome.reason.as_deref(),
            }),
            terminal_undelivered: record.terminal_undelivered,
            previous_run_date: time(progress.previous_run_date),
            resumable_until: time(resumable_until(record, retention)),
        }
    }
}

/// Until when a failed or stopped run can be resumed; `None` when it can't be, or needs not.
/// Why a run waits, why it ended as it did, or what it did not read though it completed.
fn reason(record: &RunRecord) -> Option<Cow<'_, str>> {
    let outcome = record.outcome.as_ref();
    if let Some(reason) = outcome.and_then(|outcome| outcome.reason.as_deref()) {
        return Some(reason.into());
    }
    let holes = &record.progress.incomplete;
    if record.status == Status::Completed && !holes.is_empty() {
        let nodes: Vec<&str> = holes.keys().map(String::as_str).collect();
        return Some(format!("not everything was read: {}", nodes.join(", ")).into());
    }
    if let Some(WaitsFor { key, holder }) = &record.waits_for {
        let who = match holder {
            Some(holder) if *holder != record.request.id => format!("held by run {holder}"),
            _ => "which is being handed over".to_owned(),
        };
        return Some(format!("waits for mutex {key:?}, {who}").into());
    }
    if record.place == "waiting" {
        return Some("waits until another run of this job and account has ended".into());
    }
    record.reason.as_deref().map(Cow::Borrowed)
}

fn resumable_until(record: &RunRecord, retention: &RetentionSettings) -> Option<Millis> {
    let fits = matches!(record.status, Status::Failed | Status::Stopped) && record.is_resumable;
    record.finished_at.filter(|_| fits).map(|finished| finished.plus(retention.resumable))
}
