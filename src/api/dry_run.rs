//! `POST /sync-job/{id}/dry-run`: what a job would do, seen before it does it.
//!
//! A worker makes it like any run, so that it asks the source from where runs ask it; this handler waits for its end.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;

use super::Api;
use super::error::{Answer, ApiError, reply};
use super::new_run::{self, Wanted};
use super::request::Body;
use super::run_view::RunView;
use crate::clock;
use crate::definition::job::RunKeys;
use crate::id::{AccountId, JobId, WebhookId};
use crate::store::runs::LogEntry;

/// How many records of each list are read when nobody says.
const LIMIT_DEFAULT: u64 = 10;
/// The most records of a list.
const LIMIT_MAX: u64 = 1000;
/// How long this handler waits for the run's end. It goes on after that.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Shown<'a> {
    run: RunView<'a>,
    /// What happened, in order: the plan, requests, what nodes computed, deliveries that were not made.
    steps: Vec<LogEntry>,
}

pub(super) async fn dry_run(State(api): State<Api>, Path(job): Path<String>, body: Body) -> Answer {
    let mut fields = body.fields()?;
    let job: JobId = job
        .parse()
        .map_err(|_| ApiError::missing(&format!("sync_job {job:?}; GET /sync-job lists those there are")))?;
    let account = fields.required::<AccountId>("integrated_account_id", "the id of the account to read from");
    let webhook = fields.maybe::<WebhookId>("webhook_id");
    let limit = fields.maybe::<u64>("limit").unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        fields.problem("limit", &format!("must be from 1 to {LIMIT_MAX}: records of each list"), None);
    }
    let args = fields.object("args");
    let resources = fields.maybe("resources");
    let state = fields.maybe("state_key");
    fields.finish()?;
    let Some(account) = account else { return Err(ApiError::bad_request("a field is missing")) };
    let wanted = Wanted {
        job,
        account,
        webhooks: webhook.into_iter().collect(),
        args,
        version: None,
        resources,
        error_handling: None,
        ignore_previous_run: false,
        slot: None,
        replay_of: None,
        keys: RunKeys { mutex: None, state },
        force: true,
        dry_run: Some(limit),
        events_to_send: None,
    };
    let run = new_run::enqueue_dry(&api, wanted).await?;
    let began = clock::monotonic();
    loop {
        let record = new_run::existing(&api, run).await?;
        let ended = record.status.is_terminal();
        if !ended && began.elapsed() < PATIENCE {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let steps = api.store().run_log(run).await?;
        let status = if ended { StatusCode::OK } else { StatusCode::ACCEPTED };
        return Ok(reply(status, &Shown { run: RunView::of(&record, &api.settings().retention), steps }));
    }
}
