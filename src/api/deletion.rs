//! Deleting a definition: refused while other definitions refer to it or runs that have not ended need it; `force`
//! stops those runs.

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use serde_json::json;

use super::Api;
use super::commit::{Edit, commit};
use super::definitions::missing;
use super::error::{Answer, ApiError, reply};
use super::request::Query;
use crate::definition::{Checked, Document, Kind, UnifiedModel};
use crate::id::RunId;
use crate::run::RunRequest;

/// The most ids of what stands in the way that an error names.
const NAMED_MAX: usize = 20;

pub(super) async fn delete(
    State(api): State<Api>,
    Extension(kind): Extension<Kind>,
    Path(id): Path<String>,
    mut query: Query,
) -> Answer {
    let force = query.parsed::<bool>("force")?.unwrap_or_default();
    query.finish(&["force"])?;
    let decide = |present: &super::commit::Present| {
        present.get(kind, &id).ok_or_else(|| missing(kind, &id))?;
        Ok(Edit { documents: Vec::new(), deleted: vec![(kind, id.clone())] })
    };
    // References first: no run is stopped for a deletion that can't be.
    commit(&api, true, decide).await?;
    let mut stopped = Vec::new();
    if force {
        let reason = format!("{kind} {id:?} was deleted");
        for run in needing(&api, kind, &id).await? {
            api.store().stop(run, &reason).await?;
            stopped.push(run);
        }
    } else {
        refuse_while_running(&api, kind, &id).await?;
    }
    commit(&api, false, decide).await?;
    Ok(reply(StatusCode::OK, &json!({ "id": id, "stopped_runs": stopped })))
}

/// Refuses when a run that has not ended needs the definition.
pub(super) async fn refuse_while_running(api: &Api, kind: Kind, id: &str) -> Result<(), ApiError> {
    let runs = needing(api, kind, id).await?;
    if runs.is_empty() {
        return Ok(());
    }
    let named = &runs[..runs.len().min(NAMED_MAX)];
    let who = match runs.len() {
        1 => "1 run that has not ended needs".to_owned(),
        count => format!("{count} runs that have not ended need"),
    };
    let message = format!("{who} {kind} {id:?}; wait, or delete it with ?force=true, which stops what runs");
    Err(ApiError::conflict(message).with_details(json!({ "sync_job_runs": named, "count": runs.len() })))
}

/// Refuses when a definition that stays refers to one that goes.
pub(super) fn check_references(after: &[Document], deleted: &[(Kind, String)]) -> Result<(), ApiError> {
    if deleted.is_empty() {
        return Ok(());
    }
    let mut referring = Vec::new();
    for document in after {
        let Ok(checked) = Checked::of(document) else { continue };
        for (kind, id) in references(&checked) {
            if deleted.iter().any(|(gone, name)| *gone == kind && name == id) {
                referring.push(json!({ "kind": document.kind.as_str(), "id": document.id, "needs": id }));
            }
        }
    }
    match referring.len() {
        0 => Ok(()),
        count => {
            referring.truncate(NAMED_MAX);
            let who = if count == 1 {
                "1 definition refers".to_owned()
            } else {
                format!("{count} definitions refer")
            };
            let message = format!("{who} to what would be deleted; delete or change that first");
            Err(ApiError::conflict(message).with_details(referring))
        }
    }
}

/// What a definition refers to.
fn references(checked: &Checked) -> Vec<(Kind, &str)> {
    match checked {
        Checked::UnifiedModel(_) | Checked::Webhook(_) => vec![],
        // Those that are there already stay there.
        Checked::Integration(integration) => {
            let models = integration.unified.keys().filter_map(|name| Some(name.split_once('/')?.0));
            let built_in = UnifiedModel::built_in();
            let own = models.filter(|name| built_in.iter().all(|model| model.name != *name));
            own.map(|name| (Kind::UnifiedModel, name)).collect()
        }
        Checked::Account(account) => vec![(Kind::Integration, account.integration.as_str())],
        Checked::SyncJob(job) => {
            let integration = job.integration.iter().map(|name| (Kind::Integration, name.as_str()));
            integration.chain(job.fixed_webhooks().map(|id| (Kind::Webhook, id))).collect()
        }
        Checked::Trigger(trigger) => {
            let needed = [(Kind::SyncJob, trigger.job.as_str()), (Kind::Account, trigger.account.as_str())];
            let webhook = trigger.webhook.iter().map(|id| (Kind::Webhook, id.as_str()));
            needed.into_iter().chain(webhook).collect()
        }
    }
}

/// Runs that have not ended and need the definition. Those of an integration are found by its jobs and accounts,
/// which must go before it; a trigger is not needed by the runs it made.
async fn needing(api: &Api, kind: Kind, id: &str) -> Result<Vec<RunId>, ApiError> {
    let needs = |request: &RunRequest| match kind {
        Kind::Account => request.account.as_str() == id,
        Kind::Webhook => request.webhooks.iter().any(|webhook| webhook.as_str() == id),
        Kind::SyncJob => request.job.as_str() == id,
        Kind::UnifiedModel | Kind::Integration | Kind::Trigger => false,
    };
    if matches!(kind, Kind::UnifiedModel | Kind::Integration | Kind::Trigger) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for partition in 0..api.store().partitions() {
        let live = api.store().live_runs(partition).await?;
        found.extend(live.iter().filter(|request| needs(request)).map(|request| request.id));
    }
    Ok(found)
}
