//! The layers of mappings: the integration's own, what the environment changes, what the account changes.

use serde_json::{Map, Value};

use crate::definition::{Document, Kind, Problem, Problems};

/// `integration` with what the environment's models and the account change of its mappings; `None` when they change
/// nothing. `changes` is the account's `unified_model_override`.
pub fn layered<'d>(
    integration: &Document,
    models: impl IntoIterator<Item = &'d Document>,
    changes: Option<&Value>,
) -> Option<Document> {
    let mut body = integration.body.clone();
    // It may stand around `config` or within.
    let within = body.get("config").is_some_and(|config| config.get("unified").is_some());
    let place = if within { body.get_mut("config")? } else { &mut body };
    let unified = place.as_object_mut()?.entry("unified").or_insert_with(|| Value::Object(Map::new()));
    for model in models.into_iter().filter(|model| model.kind == Kind::UnifiedModel) {
        if let Some(mappings) = model.body.get("mappings").and_then(|all| all.get(&integration.id)) {
            lay_over(unified, &serde_json::json!({ model.id.as_str(): mappings }));
        }
    }
    if let Some(changes) = changes {
        lay_over(unified, changes);
    }
    if unified.as_object().is_some_and(Map::is_empty) {
        place.as_object_mut()?.shift_remove("unified");
    }
    (body != integration.body).then(|| Document { body, origin: None, ..integration.clone() })
}

/// `laid` without the mappings of models and resources that `changes` doesn't name.
pub(in crate::definition) fn only(mut laid: Document, changes: &Value) -> Document {
    let within = laid.body.get("config").is_some_and(|config| config.get("unified").is_some());
    let place = if within { laid.body.get_mut("config") } else { Some(&mut laid.body) };
    let unified = place.and_then(|place| place.get_mut("unified")).and_then(Value::as_object_mut);
    if let Some(unified) = unified {
        unified.retain(|model, resources| {
            let named = changes.get(model);
            if let (Some(resources), Some(named)) = (resources.as_object_mut(), named) {
                resources.retain(|resource, _| named.get(resource).is_some());
            }
            named.is_some()
        });
    }
    laid
}

/// Lays `over` over `base`: objects within objects are merged, `null` takes away, anything else takes the place of what
/// is there.
pub(super) fn lay_over(base: &mut Value, over: &Value) {
    let (Value::Object(members), Value::Object(over)) = (&mut *base, over) else {
        *base = over.clone();
        return;
    };
    for (name, value) in over {
        match (value, members.get_mut(name)) {
            (Value::Null, _) => drop(members.shift_remove(name)),
            (value, Some(old)) => lay_over(old, value),
            (Value::Object(_), None) => {
                // What it takes away is not there.
                let mut own = Value::Object(Map::new());
                lay_over(&mut own, value);
                members.insert(name.clone(), own);
            }
            (value, None) => drop(members.insert(name.clone(), value.clone())),
        }
    }
}

/// A problem that a layer causes.
#[derive(Debug)]
pub(in crate::definition) struct PlacedProblem {
    /// Where in the layer's document.
    pub(in crate::definition) path: String,
    /// What is wrong, and what to do.
    pub(in crate::definition) problem: Problem,
}

/// What is wrong with the mappings that come of laying a layer over a sound integration; `prefix` is where in the layer's
/// document the mappings of the model `model` (of any, when it is `None`) stand.
pub(in crate::definition) fn placed(
    problems: Problems,
    prefix: &str,
    model: Option<&str>,
) -> Vec<PlacedProblem> {
    let below = |path: &str| {
        let path = path.strip_prefix("config.").unwrap_or(path).strip_prefix("unified")?;
        match model {
            Some(model) => path.strip_prefix('.')?.strip_prefix(model).map(str::to_owned),
            None => Some(path.to_owned()),
        }
    };
    let placed = |problem: Problem| {
        let path = format!("{prefix}{}", below(&problem.path).unwrap_or_default());
        PlacedProblem { path, problem }
    };
    problems.into_vec().into_iter().map(placed).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn layers_merge_objects_replace_the_rest_and_take_away() {
        let integration =
            json!({"name": "x", "unified": {"m": {"r": {"list": {"a": "1", "b": {"c": "2", "d": "3"}}}}}});
        let integration = Document::new(Kind::Integration, &integration).unwrap();
        let model = |changes: Value| {
            let body = json!({"name": "m", "resources": {}, "mappings": {"x": changes, "y": {"r": {}}}});
            Document::new(Kind::UnifiedModel, &body).unwrap()
        };
        let models = [model(json!({"r": {"list": {"b": {"c": "own", "d": null}}}}))];
        let account = json!({"m": {"r": {"list": {"b": {"e": "new"}}, "get": {"a": "5"}}}});
        let laid = layered(&integration, &models, Some(&account)).unwrap();
        assert_eq!(
            laid.body["unified"],
            json!({"m": {"r": {"list": {"a": "1", "b": {"c": "own", "e": "new"}}, "get": {"a": "5"}}}})
        );
        // An account brings something of its own in place of what the environment took away, and nothing else comes back.
        let models = [model(json!({"r": {"list": {"b": null}}}))];
        let own = json!({"m": {"r": {"list": {"b": {"d": "4"}}}}});
        let laid = layered(&integration, &models, Some(&own)).unwrap();
        assert_eq!(laid.body["unified"]["m"]["r"]["list"]["b"], json!({"d": "4"}));
        assert!(layered(&integration, &[], None).is_none());
        assert!(layered(&integration, &[model(json!({}))], None).is_none());
    }
}
