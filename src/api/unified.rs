//! What there is of unified models: their resources and schemas, and what an integration's mappings make of them.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Api;
use super::error::{Answer, ApiError, reply};
use super::request::Query;
use crate::definition::unified::{findings, layered};
use crate::definition::{Integration, Kind, UnifiedModel};
use crate::json::Json;
use crate::nearest::nearest;

/// A model with its resources.
pub(super) async fn model(State(api): State<Api>, Path(name): Path<String>, query: Query) -> Answer {
    query.finish(&[])?;
    let model = find(&api, &name).await?;
    let resources: Map<String, Value> = model
        .resources
        .iter()
        .map(|(name, resource)| {
            let body = json!({
                "description": resource.description,
                "schema": value(&resource.schema),
                "query_schema": value(&resource.query_schema),
            });
            (name.clone(), body)
        })
        .collect();
    let body = json!({ "name": model.name, "description": model.description, "resources": resources });
    Ok(reply(StatusCode::OK, &body))
}

/// What an integration's mappings, as the environment changes them, have of a model.
pub(super) async fn integration(
    State(api): State<Api>,
    Path((model, name)): Path<(String, String)>,
    query: Query,
) -> Answer {
    query.finish(&[])?;
    let model = find(&api, &model).await?;
    let document = api.definitions().document(Kind::Integration, &name).await?;
    let document = document.ok_or_else(|| ApiError::missing(&format!("integration {name:?}")))?;
    let laid = layered(&document, &api.definitions().models().await?, None);
    let integration = Integration::from_document(laid.as_ref().unwrap_or(&document))?;
    let models = [(model.name.clone(), model.clone())].into();
    let found = findings(&integration, &models);
    let mut resources = Map::new();
    for (name, methods) in &integration.unified {
        let Some((_, resource)) = name.split_once('/').filter(|(of, _)| *of == model.name) else { continue };
        let one = |(method, mapping): (&String, &crate::definition::unified::Mapping)| {
            let findings: Vec<String> = found
                .iter()
                .filter(|it| it.resource == *name && it.method == *method)
                .map(|it| it.what.to_string())
                .collect();
            let body = json!({
                "resource": mapping.resource,
                "method": mapping.method,
                "fields": mapping.response.as_ref().and_then(|mapped| mapped.members.clone()),
                "filters": mapping.filters(),
                "findings": findings,
            });
            (method.clone(), body)
        };
        resources.insert(resource.to_owned(), Value::Object(methods.iter().map(one).collect()));
    }
    let body = json!({ "model": model.name, "integration": name, "resources": resources });
    Ok(reply(StatusCode::OK, &body))
}

async fn find(api: &Api, name: &str) -> Result<UnifiedModel, ApiError> {
    let own = api.definitions().models().await?;
    let mut models = UnifiedModel::all(own.iter());
    models.remove(name).ok_or_else(|| {
        let hint = match nearest(name, models.keys().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are {}", models.keys().cloned().collect::<Vec<_>>().join(", ")),
        };
        ApiError::missing(&format!("unified model {name:?}: {hint}"))
    })
}

fn value(json: &Json) -> Value {
    serde_json::from_str(json.as_str()).unwrap_or_default()
}
