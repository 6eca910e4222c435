//! Definitions of any kind: list, read, create, update. One set of handlers; the route says which kind.

use std::borrow::Cow;

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use futures::future::try_join_all;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Api;
use super::commit::{Edit, commit};
use super::error::{Answer, ApiError, reply};
use super::request::{Body, Query};
use super::triggers;
use crate::definition::{Account, Document, Kind, Problems};
use crate::store::definitions::Record;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// Members that the API adds to what it returns. They may come back and mean nothing.
const ADDED: [&str; 7] =
    ["environment_id", "revision", "secret_fields", "created_at", "updated_at", "status", "last_error"];

/// Members whose members are merged one by one by an update; a null takes one away.
const MERGED: [&str; 2] = ["context", "credentials"];

/// By which members a list can be narrowed.
fn filters(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::UnifiedModel | Kind::Integration => &[],
        Kind::Account => &["integration", "tenant_id"],
        Kind::Webhook => &["is_active"],
        Kind::SyncJob => &["integration_name", "integration"],
        Kind::Trigger => &["sync_job_id", "integrated_account_id", "webhook_id"],
    }
}

/// A definition without what the API adds.
pub(super) fn bare(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members
            .retain(|name, _| !ADDED.contains(&name.as_str()) && !triggers::ADDED.contains(&name.as_str()));
    }
    body
}

pub(super) async fn list(
    State(api): State<Api>,
    Extension(kind): Extension<Kind>,
    mut query: Query,
) -> Answer {
    let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let after = query.text("next_cursor");
    let wanted: Vec<(&str, String)> =
        filters(kind).iter().filter_map(|name| Some((*name, query.text(name)?))).collect();
    query.finish(&[&["limit", "next_cursor"], filters(kind)].concat())?;
    let snapshot = api.definitions().snapshot().await?;
    let mut found: Vec<(&str, &Record)> = snapshot
        .of_kind(kind)
        .filter(|(id, _)| after.as_deref().is_none_or(|after| *id > after))
        .filter(|(_, record)| matches(&record.public(kind), &wanted))
        .take(limit + 1)
        .collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|(id, _)| *id);
    let shown = try_join_all(found.iter().map(|(id, record)| view(&api, kind, id, record))).await?;
    Ok(reply(StatusCode::OK, &json!({ "result": shown, "next_cursor": next, "limit": limit })))
}

fn matches(body: &Value, wanted: &[(&str, String)]) -> bool {
    wanted.iter().all(|(name, wanted)| body.get(name).is_some_and(|value| text(value) == *wanted))
}

/// A value as a query parameter would name it.
fn text(value: &Value) -> Cow<'_, str> {
    match value.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(value.to_string()),
    }
}

pub(super) async fn read(
    State(api): State<Api>,
    Extension(kind): Extension<Kind>,
    Path(id): Path<String>,
    query: Query,
) -> Answer {
    query.finish(&[])?;
    answer(&api, StatusCode::OK, kind, &id).await
}

pub(super) async fn create(State(api): State<Api>, Extension(kind): Extension<Kind>, body: Body) -> Answer {
    let mut body = bare(body.value()?);
    if let Some(members) = body.as_object_mut()
        && kind != Kind::Integration
        && members.get("id").is_none_or(Value::is_null)
    {
        members.insert("id".to_owned(), Uuid::now_v7().to_string().into());
    }
    let document = Document::new(kind, &body)?;
    commit(&api, false, |present| match present.get(kind, &document.id) {
        Some(_) => Err(ApiError::conflict(format!(
            "there is a {kind} {:?} already; change it with PATCH",
            document.id
        ))),
        None => Ok(Edit { documents: vec![document.clone()], deleted: Vec::new() }),
    })
    .await?;
    answer(&api, StatusCode::CREATED, kind, &document.id).await
}

pub(super) async fn update(
    State(api): State<Api>,
    Extension(kind): Extension<Kind>,
    Path(id): Path<String>,
    body: Body,
) -> Answer {
    let Value::Object(patch) = bare(body.value()?) else {
        return Err(ApiError::bad_request("write an object with the members that change"));
    };
    if let Some(other) = patch.get(kind.id_field()).filter(|other| other.as_str() != Some(&id)) {
        let message = format!("a {kind} keeps its {}; {other} would be another one", kind.id_field());
        return Err(ApiError::conflict(message));
    }
    commit(&api, false, |present| {
        let document = present.get(kind, &id).ok_or_else(|| missing(kind, &id))?;
        let document = merged(document, &patch)?;
        Ok(Edit { documents: vec![document], deleted: Vec::new() })
    })
    .await?;
    answer(&api, StatusCode::OK, kind, &id).await
}

/// `document` with the members of `patch`; a null takes a member away. What is not named stays, secrets included.
fn merged(document: &Document, patch: &Map<String, Value>) -> Result<Document, Problems> {
    let mut body = document.body.clone();
    if let Some(members) = body.as_object_mut() {
        // The two ways to write a webhook's secrets replace each other.
        for (given, other) in [("secret", "secrets"), ("secrets", "secret")] {
            if patch.contains_key(given) {
                members.remove(other);
            }
        }
        for (name, value) in patch {
            match (members.get_mut(name), value) {
                (Some(Value::Object(old)), Value::Object(new)) if MERGED.contains(&name.as_str()) => {
                    merge(old, new)
                }
                _ => merge(members, &Map::from_iter([(name.clone(), value.clone())])),
            }
        }
    }
    Document::new(document.kind, &body)
}

fn merge(members: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

pub(super) fn missing(kind: Kind, id: &str) -> ApiError {
    ApiError::missing(&format!("{kind} {id:?}"))
}

async fn answer(api: &Api, status: StatusCode, kind: Kind, id: &str) -> Answer {
    let record = api.definitions().record(kind, id).await?.ok_or_else(|| missing(kind, id))?;
    Ok(reply(status, &view(api, kind, id, &record).await?))
}

/// A definition as the API shows it.
async fn view(api: &Api, kind: Kind, id: &str, record: &Record) -> Result<Value, ApiError> {
    let mut body = record.public(kind);
    if let Some(members) = body.as_object_mut() {
        members.insert("environment_id".into(), api.store().environment().as_str().into());
        match kind {
            Kind::Trigger => triggers::add_state(api, id, members).await?,
            Kind::Account => add_access(api, id, record, members).await?,
            Kind::UnifiedModel | Kind::Integration | Kind::Webhook | Kind::SyncJob => {}
        }
    }
    Ok(body)
}

/// Whether the source lets the account in, as far as that is known: not when it refused to renew the account's access, and
/// the account has the same credentials still.
async fn add_access(
    api: &Api,
    id: &str,
    record: &Record,
    members: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let document = api.definitions().open(Kind::Account, id, record)?;
    let Ok(account) = Account::from_document(&document) else { return Ok(()) };
    let refused = api.0.connections.refusal(&account).await?;
    let status = if refused.is_some() { "needs_reauth" } else { "active" };
    members.insert("status".into(), status.into());
    members.insert("last_error".into(), refused.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(body: &Value) -> Document {
        Document::new(Kind::Account, body).unwrap()
    }

    #[test]
    fn an_update_keeps_what_it_does_not_name() {
        let old = document(&json!({
            "id": "acme", "integration": "helpdesk", "tenant_id": "t1",
            "context": {"a": 1, "b": {"c": 2}}, "credentials": {"token": "t", "refresh": "r"}
        }));
        let patch =
            json!({"context": {"b": {"d": 3}, "a": null}, "credentials": {"token": "t2"}, "tenant_id": null});
        let Value::Object(patch) = patch else { unreachable!() };
        let new = merged(&old, &patch).unwrap();
        assert_eq!(
            new.body,
            json!({
                "kind": "integrated_account", "id": "acme", "integration": "helpdesk",
                "context": {"b": {"d": 3}}, "credentials": {"token": "t2", "refresh": "r"}
            })
        );
    }

    #[test]
    fn what_the_api_added_may_come_back() {
        let body =
            json!({"id": "x", "revision": "1", "secret_fields": ["a"], "next_run_at": null, "label": "l"});
        assert_eq!(bare(body), json!({"id": "x", "label": "l"}));
    }

    #[test]
    fn filters_compare_text() {
        let body = json!({"tenant_id": "t1", "is_active": true});
        assert!(matches(&body, &[("tenant_id", "t1".into()), ("is_active", "true".into())]));
        assert!(!matches(&body, &[("tenant_id", "t2".into())]));
        assert!(!matches(&body, &[("absent", "t2".into())]));
    }
}
