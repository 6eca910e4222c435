//! Changing definitions: reads all of them, lets the caller decide, checks the result as a whole, and writes it if
//! nobody else changed any in the meantime.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use tracing::{info, warn};

use super::Api;
use super::deletion;
use super::error::ApiError;
use crate::definition::{Document, Kind, Problem, Problems, SyncJob, Webhook, check_set};
use crate::egress::Egress;
use crate::plan::Plan;
use crate::store::definitions::{Action, Change, Snapshot};

/// How often a change that others were faster than is decided anew.
const ATTEMPTS: usize = 5;

/// Definitions to put and to remove.
#[derive(Debug, Default)]
pub(super) struct Edit {
    pub(super) documents: Vec<Document>,
    pub(super) deleted: Vec<(Kind, String)>,
}

/// All definitions as they are, secrets opened.
pub(super) struct Present {
    documents: BTreeMap<(Kind, String), Document>,
}

impl Present {
    pub(super) fn get(&self, kind: Kind, id: &str) -> Option<&Document> {
        self.documents.get(&(kind, id.to_owned()))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &(Kind, String)> {
        self.documents.keys()
    }
}

/// Does what `decide` says; `dry` only says what it would do.
pub(super) async fn commit(
    api: &Api,
    dry: bool,
    decide: impl Fn(&Present) -> Result<Edit, ApiError>,
) -> Result<Vec<Change>, ApiError> {
    for _ in 0..ATTEMPTS {
        let snapshot = api.definitions().snapshot().await?;
        let documents = api.definitions().documents(&snapshot)?;
        let documents =
            documents.into_iter().map(|document| ((document.kind, document.id.clone()), document));
        let present = Present { documents: documents.collect() };
        let edit = decide(&present)?;
        check(api, &present, &edit)?;
        let changes = changes(api, &snapshot, &edit)?;
        let nothing = changes.iter().all(|change| change.action == Action::Unchanged);
        if nothing && !dry {
            api.definitions().confirm().await?;
        }
        if dry || nothing || write(api, &snapshot, edit, &changes).await? {
            return Ok(changes);
        }
    }
    let message =
        "others keep changing definitions at the same time; nothing was applied, try again in a moment";
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message))
}

async fn write(api: &Api, snapshot: &Snapshot, edit: Edit, changes: &[Change]) -> Result<bool, ApiError> {
    // What is the same stays untouched, with its time of change and its sealed text.
    let changed: Vec<Document> = edit
        .documents
        .into_iter()
        .zip(changes)
        .filter(|(_, change)| change.action != Action::Unchanged)
        .map(|(document, _)| document)
        .collect();
    let written = api.definitions().apply(snapshot, &changed, &edit.deleted).await?;
    if written {
        api.0.changed.notify_one();
        for change in changes.iter().filter(|change| change.action != Action::Unchanged) {
            info!(kind = change.kind, id = change.id, action = ?change.action, "definition changed");
        }
        forget(api, &edit.deleted).await;
    }
    Ok(written)
}

/// What is kept of deleted accounts goes now; what can't be reached now, the janitor finds.
async fn forget(api: &Api, deleted: &[(Kind, String)]) {
    for account in
        deleted.iter().filter(|(kind, _)| *kind == Kind::Account).filter_map(|(_, id)| id.parse().ok())
    {
        if let Err(error) = api.store().forget_account(&account).await {
            warn!(%account, %error, "a deleted account is forgotten later");
        }
    }
}

fn changes(api: &Api, snapshot: &Snapshot, edit: &Edit) -> Result<Vec<Change>, ApiError> {
    let mut changes = api.definitions().changes(snapshot, &edit.documents)?;
    changes.extend(edit.deleted.iter().map(|(kind, id)| Change {
        kind: kind.as_str(),
        id: id.clone(),
        action: Action::Deleted,
        diff: Vec::new(),
    }));
    Ok(changes)
}

/// A webhook at an address that no delivery may go to is refused now rather than retried for a day. Names are judged
/// when something is sent: what they mean may change.
fn refused_targets(api: &Api, edit: &Edit) -> Vec<Problem> {
    let egress = Egress::new(api.settings().egress.allow.clone());
    let webhooks = edit.documents.iter().filter(|document| document.kind == Kind::Webhook);
    let refused = webhooks.filter_map(|document| {
        // What is wrong with the rest of it is told by the check of all.
        let webhook = Webhook::from_document(document).ok()?;
        let refused = egress.check(&webhook.target_url).err()?;
        let hint = "allow its network in the setting egress.allow, of schedulers and workers";
        Some(document.problem("target_url", &refused.to_string(), Some(hint)))
    });
    refused.collect()
}

/// Checks all definitions as they would be, references included.
fn check(api: &Api, present: &Present, edit: &Edit) -> Result<(), ApiError> {
    let mut after = present.documents.clone();
    for key in &edit.deleted {
        after.remove(key);
    }
    for document in &edit.documents {
        after.insert((document.kind, document.id.clone()), document.clone());
    }
    let after: Vec<Document> = after.into_values().collect();
    deletion::check_references(&after, &edit.deleted)?;
    let mut new = refused_targets(api, edit);
    check_plans(&edit.documents)?;
    if let Err(problems) = check_set(&after) {
        new.extend(new_problems(present, edit, &problems));
    }
    if new.is_empty() { Ok(()) } else { Err(ApiError::invalid(&new)) }
}

/// What was wrong before (a definition that an earlier version let pass) must not keep others from being changed; it
/// counts where it is part of this edit.
fn new_problems(present: &Present, edit: &Edit, problems: &Problems) -> Vec<Problem> {
    let before: Vec<Document> = present.documents.values().cloned().collect();
    let before = check_set(&before).err();
    let titles: Vec<String> = edit.documents.iter().map(Document::title).collect();
    let is_old = |problem: &Problem| {
        let is_edited = problem.document.as_ref().is_some_and(|title| titles.contains(title));
        !is_edited && before.as_ref().is_some_and(|before| before.iter().any(|known| known == problem))
    };
    problems.iter().filter(|problem| !is_old(problem)).cloned().collect()
}

/// Whether the nodes of each job can be put in order.
fn check_plans(documents: &[Document]) -> Result<(), ApiError> {
    let mut found = Vec::new();
    for document in documents.iter().filter(|document| document.kind == Kind::SyncJob) {
        // What can't be read is told by the check of the whole.
        let Ok(job) = SyncJob::from_document(document) else { continue };
        if let Err(error) = Plan::outline(&job) {
            found.push(document.problem(&format!("resources[{}]", error.node), &error.message, None));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(ApiError::invalid(&found)) }
}
