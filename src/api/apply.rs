//! `POST /apply`: puts many definitions at once, all or none.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Api;
use super::commit::{Edit, commit};
use super::definitions::bare;
use super::deletion;
use super::error::{ApiError, reply};
use super::request::{Body, problem};
use crate::definition::{Document, Kind, Problem, read_json};
use crate::store::definitions::{APPLY_MAX, Action};

pub(super) async fn apply(State(api): State<Api>, body: Body) -> Result<Response, ApiError> {
    let mut fields = body.fields()?;
    let documents: Option<Vec<Value>> = fields.required("documents", "write [{\"kind\": …}, …]");
    let dry = fields.maybe::<bool>("dry_run").unwrap_or_default();
    let prune = fields.maybe::<bool>("prune").unwrap_or_default();
    let documents = documents.unwrap_or_default();
    if documents.len() > APPLY_MAX {
        let message = format!("holds {} documents; {APPLY_MAX} at a time are possible", documents.len());
        fields.problem("documents", &message, Some("apply them in parts"));
    }
    fields.finish()?;
    let documents = read(documents)?;
    let decide = |present: &super::commit::Present| {
        let given: BTreeSet<(Kind, &str)> =
            documents.iter().map(|document| (document.kind, document.id.as_str())).collect();
        let left_out = present.keys().filter(|(kind, id)| prune && !given.contains(&(*kind, id.as_str())));
        Ok(Edit { deleted: left_out.cloned().collect(), documents: documents.clone() })
    };
    if prune {
        let changes = commit(&api, true, decide).await?;
        for change in changes.iter().filter(|change| change.action == Action::Deleted) {
            if let Ok(kind) = change.kind.parse() {
                deletion::refuse_while_running(&api, kind, &change.id).await?;
            }
        }
    }
    let changes = commit(&api, dry, decide).await?;
    Ok(reply(StatusCode::OK, &json!({ "result": changes, "applied": !dry })))
}

/// The documents, or everything that keeps them from being told apart.
fn read(documents: Vec<Value>) -> Result<Vec<Document>, ApiError> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut read: Vec<Document> = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, value) in documents.into_iter().enumerate() {
        match read_json(&bare(value)) {
            Ok(document) if !seen.insert((document.kind, document.id.clone())) => {
                let message = format!("{} {:?} was there before in this list", document.kind, document.id);
                problems.push(problem(
                    &format!("documents[{index}]"),
                    &message,
                    Some("rename or remove one"),
                ));
            }
            Ok(document) => read.push(document),
            Err(found) => problems.extend(found.iter().cloned().map(|mut problem| {
                let dot = if problem.path.is_empty() { "" } else { "." };
                problem.path = format!("documents[{index}]{dot}{}", problem.path);
                problem
            })),
        }
    }
    if problems.is_empty() { Ok(read) } else { Err(ApiError::invalid(&problems)) }
}
