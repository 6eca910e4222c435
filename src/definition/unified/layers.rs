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
    let mut over = Map::new();
    for model in models.into_iter().filter(|model| model.kind == Kind::UnifiedModel) {
        if let Some(mappings) = model.body.get("mappings").and_then(|all| all.get(&integration.id)) {
            over.insert(model.id.clone(), mappings.clone());
        }
    }
    let mut over = Value::Object(over);
    if let Some(changes) = changes {
        lay_over_keeping_null(&mut over, changes);
    }
    if over.as_object().is_none_or(Map::is_empty) {
        return None;
    }
    let mut body = integration.body.clone();
    // It may stand around `config` or within.
    let within = body.get("config").is_some_and(|config| config.get("unified").is_some());
    let place = if within { body.get_mut("config")? } else { &mut body };
    let unified = place.as_object_mut()?.entry("unified").or_insert_with(|| Value::Object(Map::new()));
    lay_over(unified, &over);
    (body != integration.body).then(|| Document { body, origin: None, ..integration.clone() })
}

/// Lays `over` over `base`: objects within objects are merged, `null` takes away, anything else takes the place of what
/// is there.
pub(super) fn lay_over(base: &mut Value, over: &Value) {
    merge(base, over, false);
}

/// The same for two layers that are laid over a third one: what takes away must still do so then.
fn lay_over_keeping_null(base: &mut Value, over: &Value) {
    merge(base, over, true);
}

fn merge(base: &mut Value, over: &Value, keeps_null: bool) {
    let (Value::Object(members), Value::Object(over)) = (&mut *base, over) else {
        *base = over.clone();
        return;
    };
    for (name, value) in over {
        match (value, members.get_mut(name)) {
            (Value::Null, _) if !keeps_null => drop(members.shift_remove(name)),
            (value, Some(old)) => merge(old, value, keeps_null),
            (Value::Object(_), None) => {
                let mut own = Value::Object(Map::new());
                merge(&mut own, value, keeps_null);
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
        // An account brings back what the environment took away.
        let back = json!({"m": {"r": {"list": {"b": {"d": "4"}}}}});
        let laid = layered(&integration, &models, Some(&back)).unwrap();
        assert_eq!(laid.body["unified"]["m"]["r"]["list"]["b"], json!({"c": "own", "d": "4"}));
        assert!(layered(&integration, &[], None).is_none());
        assert!(layered(&integration, &[model(json!({}))], None).is_none());
    }
}
