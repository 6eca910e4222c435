//! Accepting runs: on demand, of a trigger, and as a replay.

use std::collections::BTreeSet;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header::LOCATION};
use serde_json::Value;
use tracing::info;

use super::Api;
use super::error::{Answer, ApiError, reply};
use super::request::{Body, problem};
use super::run_view::RunView;
use super::runs::{missing, record};
use crate::clock::Millis;
use crate::definition::job::{ErrorHandling, Prepared, RunKeys};
use crate::definition::webhook::EventType;
use crate::definition::{Checked, Document, Integration, Kind, Problem, SyncJob, check_nodes};
use crate::id::{AccountId, JobId, RunId, WebhookId};
use crate::json::Json;
use crate::nearest::nearest;
use crate::plan::Plan;
use crate::run::{Replay, Revisions, RunRequest, Slot};
use crate::store::runs::{Enqueued, Exclusive, RunRecord};

/// The longest `Idempotency-Key`.
const KEY_CHARS_MAX: usize = 255;

/// The `Idempotency-Key` header: the same key makes one run of an account, however often it is sent.
pub(super) struct IdempotencyKey(Option<String>);

impl FromRequestParts<Api> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        let Some(header) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let text = header.to_str().unwrap_or_default();
        if text.is_empty() || text.len() > KEY_CHARS_MAX {
            let message = format!("Idempotency-Key must have 1 to {KEY_CHARS_MAX} visible ASCII characters");
            return Err(ApiError::bad_request(message));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

/// A run somebody wants.
pub(super) struct Wanted {
    pub(super) job: JobId,
    pub(super) account: AccountId,
    /// Those that were asked for; the job's destinations may add others.
    pub(super) webhooks: Vec<WebhookId>,
    pub(super) args: Json,
    /// Nodes in place of the job's, for this run alone.
    pub(super) resources: Option<Value>,
    /// The runtime version that was asked for.
    pub(super) version: Option<u8>,
    pub(super) error_handling: Option<ErrorHandling>,
    pub(super) ignore_previous_run: bool,
    pub(super) slot: Option<Slot>,
    pub(super) replay_of: Option<Replay>,
    /// The run's own keys, which win over the job's.
    pub(super) keys: RunKeys,
    pub(super) force: bool,
    /// Nothing is delivered; so many records of each list are read.
    pub(super) dry_run: Option<u64>,
    /// The events it sends.
    pub(super) events_to_send: Option<BTreeSet<EventType>>,
}

/// Stands for the webhook of a dry run that names none.
const NO_WEBHOOK: &str = "dry-run";

pub(super) async fn create(State(api): State<Api>, key: IdempotencyKey, body: Body) -> Answer {
    let mut fields = body.fields()?;
    let job = fields.required::<JobId>("sync_job_id", "the id of the sync job to execute");
    let account = fields.required::<AccountId>("integrated_account_id", "the id of the account to read from");
    let webhook = fields.maybe::<WebhookId>("webhook_id");
    let args = fields.object("args");
    let error_handling = fields.maybe::<ErrorHandling>("error_handling");
    let ignore_previous_run = fields.maybe::<bool>("ignore_previous_run").unwrap_or_default();
    if fields.maybe::<String>("status").is_some_and(|status| status != "created") {
        fields.problem("status", "can only be \"created\"", Some("leave it out"));
    }
    let keys = RunKeys { mutex: fields.maybe("mutex_key"), state: fields.maybe("state_key") };
    let force = fields.maybe::<bool>("force").unwrap_or_default();
    let version = fields.maybe::<u8>("version");
    let events = fields.maybe::<BTreeSet<EventType>>("events_to_send");
    let resources = fields.maybe::<Value>("resources");
    fields.not_yet(&["daemon_group_key", "super_query", "datastore_id"]);
    fields.finish()?;
    let (Some(job), Some(account)) = (job, account) else {
        return Err(ApiError::bad_request("a field is missing"));
    };
    let wanted = Wanted {
        job,
        account,
        webhooks: webhook.into_iter().collect(),
        args,
        resources,
        version,
        error_handling,
        ignore_previous_run,
        slot: None,
        replay_of: None,
        keys,
        force,
        dry_run: None,
        events_to_send: events,
    };
    accept(&api, wanted, &key).await
}

/// A new run with the arguments and the `previous_run_date` of an ended one.
pub(super) async fn replay(
    State(api): State<Api>,
    Path(id): Path<String>,
    key: IdempotencyKey,
    body: Body,
) -> Answer {
    body.fields()?.finish()?;
    let old = record(&api, &id).await?;
    if !old.status.is_terminal() {
        let message = format!("run {id} is {} and has not ended; stop it before it is replayed", old.status);
        return Err(ApiError::conflict(message));
    }
    if old.request.dry_run.is_some() {
        return Err(ApiError::conflict(format!("run {id} was a dry run; start the job instead")));
    }
    let request = old.request;
    let wanted = Wanted {
        job: request.job,
        account: request.account,
        webhooks: request.webhooks,
        args: request.args,
        resources: None,
        version: None,
        error_handling: Some(request.error_handling),
        ignore_previous_run: request.ignore_previous_run,
        slot: None,
        replay_of: Some(Replay { run: request.id, previous_run_date: old.progress.previous_run_date }),
        keys: RunKeys { mutex: request.mutex_key, state: request.state_key },
        force: request.force,
        dry_run: None,
        events_to_send: request.events_to_send,
    };
    accept(&api, wanted, &key).await
}

/// Checks a run against the definitions as they are, pins them, and puts it into its account's backlog.
pub(super) async fn accept(api: &Api, wanted: Wanted, key: &IdempotencyKey) -> Answer {
    let request = request(api, wanted).await?;
    match api.store().enqueue(&request, Exclusive::Yes, key.0.as_deref()).await? {
        Enqueued::Created(run) => {
            info!(%run, job = %request.job, account = %request.account, "run accepted");
            answer(api, StatusCode::CREATED, &existing(api, run).await?)
        }
        Enqueued::Exists(run) => {
            let found = existing(api, run).await?;
            if !is_same(&request, &found.request) {
                let message = format!("this Idempotency-Key made another run before ({run}); use a new key");
                return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message));
            }
            answer(api, StatusCode::OK, &found)
        }
        Enqueued::Full { waiting } => Err(too_many(&request.account, waiting)),
    }
}

/// Puts a dry run into its account's backlog. It waits for nobody: it changes nothing.
pub(super) async fn enqueue_dry(api: &Api, wanted: Wanted) -> Result<RunId, ApiError> {
    let request = request(api, wanted).await?;
    match api.store().enqueue(&request, Exclusive::No, None).await? {
        Enqueued::Created(run) | Enqueued::Exists(run) => Ok(run),
        Enqueued::Full { waiting } => Err(too_many(&request.account, waiting)),
    }
}

fn too_many(account: &AccountId, waiting: u64) -> ApiError {
    let message = format!("{waiting} runs of account {account} wait already; let some end, or stop some");
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, message)
}

/// What is put into the queue, checked and pinned.
async fn request(api: &Api, wanted: Wanted) -> Result<RunRequest, ApiError> {
    let now = api.store().now().await?;
    let Checks { revisions, error_handling, prepared, keys } = check(api, &wanted, now).await?;
    api.definitions().pin(&[&revisions.job, &revisions.integration]).await?;
    let store = api.store();
    Ok(RunRequest {
        id: RunId::new(wanted.account.partition(store.partitions())),
        environment: store.environment().clone(),
        job: wanted.job,
        account: wanted.account,
        webhooks: prepared.webhooks,
        args: prepared.args,
        error_handling: wanted.error_handling.unwrap_or(error_handling),
        ignore_previous_run: wanted.ignore_previous_run,
        slot: wanted.slot,
        replay_of: wanted.replay_of,
        revisions,
        version: RunRequest::version_for(keys.mutex.as_deref(), wanted.force, wanted.dry_run.is_some()),
        dry_run: wanted.dry_run,
        events_to_send: wanted.events_to_send,
        mutex_key: keys.mutex,
        state_key: keys.state,
        force: wanted.force,
        created_at: now,
    })
}

fn is_same(wanted: &RunRequest, found: &RunRequest) -> bool {
    let asked = |request: &RunRequest| {
        (request.job.clone(), request.account.clone(), request.webhooks.clone(), request.args.clone())
    };
    asked(wanted) == asked(found)
        && wanted.force == found.force
        && wanted.replay_of.as_ref().map(|replay| replay.run)
            == found.replay_of.as_ref().map(|replay| replay.run)
}

pub(super) async fn existing(api: &Api, run: RunId) -> Result<RunRecord, ApiError> {
    api.store().run(run).await?.ok_or_else(|| missing(&run.to_string()))
}

fn answer(api: &Api, status: StatusCode, record: &RunRecord) -> Answer {
    let mut response = reply(status, &RunView::of(record, &api.settings().retention));
    let path = format!("/sync-job-run/{}", record.request.id);
    if let Ok(location) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// What a run is made with besides what was asked for.
struct Checks {
    /// What it pins.
    revisions: Revisions,
    /// The job's.
    error_handling: ErrorHandling,
    prepared: Prepared,
    keys: RunKeys,
}

/// Whether the definitions that a run needs are there and fit, its arguments and its webhooks.
async fn check(api: &Api, wanted: &Wanted, now: Millis) -> Result<Checks, ApiError> {
    let mut problems = Vec::new();
    let job = find(api, Kind::SyncJob, wanted.job.as_str(), "sync_job_id", &mut problems).await?;
    let account =
        find(api, Kind::Account, wanted.account.as_str(), "integrated_account_id", &mut problems).await?;
    for webhook in wanted.webhooks.iter().filter(|_| wanted.dry_run.is_none()) {
        check_webhook(api, webhook, "webhook_id", &mut problems).await?;
    }
    let (Some((Checked::SyncJob(job), job_revision)), Some((Checked::Account(account), _))) = (job, account)
    else {
        return Err(ApiError::invalid(&problems));
    };
    // The nodes of a run's own were never looked at beside the integration.
    let (job, job_revision, own_nodes) = match &wanted.resources {
        None => (job, job_revision, None),
        Some(resources) => {
            let (changed, address, document) = with_resources(api, &job, resources).await?;
            (changed.into(), address, Some(document))
        }
    };
    let prepared = check_job(api, wanted, &job, now, &mut problems).await?;
    if let Some(reads) = job.integration.as_ref().filter(|reads| **reads != account.integration) {
        let (reads, connects) = (reads.as_str(), account.integration.as_str());
        let message = format!("the job reads from {reads:?}, but this account connects to {connects:?}");
        problems.push(problem(
            "integrated_account_id",
            &message,
            Some(&format!("choose an account of {reads:?}")),
        ));
    }
    let args = prepared.as_ref().map_or(&wanted.args, |prepared| &prepared.args);
    let keys = job.keys(args, &account, wanted.keys.clone()).unwrap_or_else(|wrong| {
        let hint = "give the run the argument, or a mutex_key and state_key of its own";
        problems.extend(wrong.iter().map(|wrong| problem(wrong.field, &wrong.message, Some(hint))));
        RunKeys::default()
    });
    let integration = api.definitions().integration_of(&account).await?;
    match (integration, prepared) {
        (Some(integration), Some(prepared)) if problems.is_empty() => {
            if let Some(document) = own_nodes {
                check_nodes(&document, &job, &Integration::from_document(&integration.document)?)?;
            }
            if let Some(laid) = integration.laid()?
                && let Some(lacks) = job.lacks_in(&laid)
            {
                let hint = "mend unified_model_override of the account";
                return Err(ApiError::invalid(&[problem("integrated_account_id", &lacks, Some(hint))]));
            }
            let integration = api.definitions().revision_of(&integration).await?;
            let revisions = Revisions { job: job_revision, integration };
            Ok(Checks { revisions, error_handling: job.error_handling, prepared, keys })
        }
        (Some(_), _) => Err(ApiError::invalid(&problems)),
        (None, _) => Err(super::definitions::missing(Kind::Integration, account.integration.as_str())),
    }
}

/// The job with other nodes, for one run, the address under which it is kept, and its document.
async fn with_resources(
    api: &Api,
    job: &SyncJob,
    resources: &Value,
) -> Result<(SyncJob, String, Document), ApiError> {
    let definitions = api.definitions();
    let document = definitions.document(Kind::SyncJob, job.id.as_str()).await?;
    let mut document = document.ok_or_else(|| super::definitions::missing(Kind::SyncJob, job.id.as_str()))?;
    document.body["resources"] = resources.clone();
    let changed = SyncJob::from_document(&document)?;
    if let Err(error) = Plan::outline(&changed) {
        let place = format!("resources[{}]", error.node);
        return Err(ApiError::invalid(&[problem(&place, &error.message, None)]));
    }
    let address = definitions.keep(&document).await?;
    Ok((changed, address, document))
}

/// Whether the job can be executed as it is asked for: its version, arguments, and the webhooks of its destinations.
async fn check_job(
    api: &Api,
    wanted: &Wanted,
    job: &SyncJob,
    now: Millis,
    problems: &mut Vec<Problem>,
) -> Result<Option<Prepared>, ApiError> {
    if let Some(version) = wanted.version.filter(|version| !job.runs_as(*version)) {
        let message = format!("the job can't run as version {version}");
        let hint = if job.runs_as(4) {
            "it is a graph: leave it out or write 4"
        } else {
            "leave it out, or write 3"
        };
        problems.push(problem("version", &message, Some(hint)));
    }
    // A dry run delivers nothing, so it need not say where to.
    let stand_in: Vec<WebhookId> = NO_WEBHOOK.parse().into_iter().collect();
    let needs_none = wanted.dry_run.is_some() && wanted.webhooks.is_empty() && !job.has_destinations();
    let webhooks = if needs_none { &stand_in } else { &wanted.webhooks };
    let prepared = match job.prepare(&wanted.args, &wanted.account, webhooks, now) {
        Ok(prepared) => prepared,
        Err(found) => {
            problems.extend(found.iter().cloned());
            return Ok(None);
        }
    };
    for delivers in prepared.destinations.iter().filter(|it| !webhooks.contains(&it.webhook)) {
        let mut found = Vec::new();
        check_webhook(api, &delivers.webhook, "args", &mut found).await?;
        problems.extend(found.into_iter().map(|problem| Problem {
            message: format!("destination {:?}: {}", delivers.destination, problem.message),
            ..problem
        }));
    }
    for (name, id) in job.named_accounts(&prepared.args) {
        find(api, Kind::Account, &id, &format!("args.{name}"), problems).await?;
    }
    Ok(Some(prepared))
}

async fn check_webhook(
    api: &Api,
    webhook: &WebhookId,
    field: &str,
    problems: &mut Vec<Problem>,
) -> Result<(), ApiError> {
    let found = find(api, Kind::Webhook, webhook.as_str(), field, problems).await?;
    if let Some((Checked::Webhook(webhook), _)) = found
        && !webhook.is_active
    {
        let message =
            format!("webhook {:?} is not active: the run would deliver nothing", webhook.id.as_str());
        problems.push(problem(field, &message, Some("set is_active: true, or choose another one")));
    }
    Ok(())
}

/// A definition and its revision; a problem of the request's `field` when there is none.
async fn find(
    api: &Api,
    kind: Kind,
    id: &str,
    field: &str,
    problems: &mut Vec<Problem>,
) -> Result<Option<(Checked, String)>, ApiError> {
    let definitions = api.definitions();
    let Some(record) = definitions.record(kind, id).await? else {
        let snapshot = definitions.snapshot().await?;
        let hint = match nearest(id, snapshot.of_kind(kind).map(|(id, _)| id)) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("GET {} lists those there are", super::route::path(kind)),
        };
        problems.push(problem(field, &format!("there is no {kind} {id:?}"), Some(&hint)));
        return Ok(None);
    };
    let document: Document = definitions.open(kind, id, &record)?;
    Ok(Some((Checked::of(&document)?, record.revision)))
}
