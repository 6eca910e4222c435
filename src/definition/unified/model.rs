//! A model: its resources, and what a record of each looks like.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::layers::lay_over;
use crate::definition::check::{Checker, Spot};
use crate::definition::{BOOKKEEPING, Document, Kind, Problems, is_plain_name, read_files, schema};
use crate::json::Json;

/// The models that are there without being applied, as files.
const BUILT_IN: [(&str, &str); 2] =
    [("ticketing.yaml", include_str!("ticketing.yaml")), ("crm.yaml", include_str!("crm.yaml"))];

static BUILT_IN_DOCUMENTS: LazyLock<Vec<Document>> =
    LazyLock::new(|| read_files(BUILT_IN, &|_| None).unwrap_or_default());

/// A checked model.
#[derive(Debug, Clone)]
pub struct UnifiedModel {
    /// The name that stands before the `/` of its resources (`ticketing/tickets`).
    pub name: String,
    /// For people.
    pub description: String,
    /// Resource name → what it is.
    pub resources: BTreeMap<String, ModelResource>,
}

/// One kind of record.
#[derive(Debug, Clone)]
pub struct ModelResource {
    /// For people.
    pub description: String,
    /// What a record looks like: a JSON Schema of an object.
    pub schema: Json,
    /// What a list can be asked with: a JSON Schema of an object.
    pub query_schema: Json,
}

impl UnifiedModel {
    /// The model that `document` describes. One that is called as one of those that are there already changes it:
    /// objects within objects are laid over its own, and `null` takes away.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_document(document: &Document) -> Result<Self, Problems> {
        let Some(base) = BUILT_IN_DOCUMENTS.iter().find(|base| base.id == document.id) else {
            return Checker::run(document, read);
        };
        let mut body = base.body.clone();
        lay_over(&mut body, &document.body);
        // Its places are those of what was written, as far as it was.
        Checker::run(&Document { body, ..document.clone() }, read)
    }

    /// Those that are there without being applied.
    pub fn built_in() -> Vec<Self> {
        BUILT_IN_DOCUMENTS.iter().filter_map(|document| Self::from_document(document).ok()).collect()
    }

    /// All models of an environment with these documents, by name.
    pub fn all<'d>(documents: impl Iterator<Item = &'d Document>) -> BTreeMap<String, Self> {
        let own = documents.filter(|document| document.kind == Kind::UnifiedModel);
        let own = own.filter_map(|document| Self::from_document(document).ok());
        Self::built_in().into_iter().chain(own).map(|model| (model.name.clone(), model)).collect()
    }
}

impl ModelResource {
    /// The names of a record's members.
    pub fn members(&self) -> Vec<String> {
        names(&self.schema)
    }

    /// The names of what a list can be asked with.
    pub fn filters(&self) -> Vec<String> {
        names(&self.query_schema)
    }
}

fn names(schema: &Json) -> Vec<String> {
    let value: Value = serde_json::from_str(schema.as_str()).unwrap_or_default();
    let properties = value.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|members| members.keys().cloned()).collect()
}

fn read(root: &Spot<'_>) -> Option<UnifiedModel> {
    let fields = root.fields()?;
    fields.ignore(BOOKKEEPING);
    fields.ignore(&["id", "category", "team_id", "sharing", "version", "label"]);
    // What it changes of an integration's mappings is read with that integration.
    let _ = fields.maybe("mappings", |spot| spot.entries());
    let name = fields.required("name").and_then(|spot| {
        let name = spot.text()?;
        // `/unified/meta/…` tells of models.
        let plain = is_plain_name(name) && !name.contains('/') && name != "meta";
        if !plain {
            spot.problem("this is no name for a model", Some("use letters, digits, '_' and '-'"));
        }
        plain.then(|| name.to_owned())
    });
    let description = fields.maybe("description", Spot::text);
    let resources = fields.required("resources").and_then(|spot| {
        let read = |(name, spot): (&str, Spot<'_>)| {
            if !is_plain_name(name) || name.contains('/') {
                spot.problem_of_key(
                    "this is no name for a resource",
                    Some("use letters, digits, '_' and '-'"),
                );
                return None;
            }
            Some((name.to_owned(), resource(&spot)?))
        };
        let read: Vec<Option<_>> = spot.entries()?.into_iter().map(read).collect();
        read.into_iter().collect::<Option<BTreeMap<_, _>>>()
    });
    fields.finish();
    Some(UnifiedModel {
        name: name?,
        description: description?.unwrap_or_default().to_owned(),
        resources: resources?,
    })
}

fn resource(spot: &Spot<'_>) -> Option<ModelResource> {
    let fields = spot.fields()?;
    fields.ignore(&["methods", "label"]);
    let description = fields.maybe("description", Spot::text);
    let schema = fields.required("schema").and_then(|spot| schema::of_object(&spot));
    let query_schema = fields.or("query_schema", Json::empty_object(), schema::of_object);
    fields.finish();
    Some(ModelResource {
        description: description?.unwrap_or_default().to_owned(),
        schema: schema?,
        query_schema: query_schema?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn those_that_are_there_already_are_sound() {
        for (file, _) in BUILT_IN {
            let found = BUILT_IN_DOCUMENTS.iter().find(|document| format!("{}.yaml", document.id) == file);
            let model = Checker::run(found.unwrap(), read).unwrap();
            for (name, resource) in &model.resources {
                assert!(!resource.description.is_empty() && !resource.filters().is_empty(), "{file}: {name}");
                let properties: Value = serde_json::from_str(resource.schema.as_str()).unwrap();
                for (member, schema) in properties["properties"].as_object().unwrap() {
                    assert!(schema["description"].is_string(), "{file}: {name}.{member}");
                }
            }
        }
    }

    #[test]
    fn a_document_changes_a_model_that_is_there() {
        let changes = json!({"name": "crm", "resources": {
            "deals": {"schema": {"properties": {"margin": {"type": "number"}, "pipeline": null}}},
            "leads": {"schema": {"type": "object", "properties": {"id": {"type": "string"}}}},
        }});
        let model =
            UnifiedModel::from_document(&Document::new(Kind::UnifiedModel, &changes).unwrap()).unwrap();
        let members = model.resources["deals"].members();
        assert!(members.contains(&"margin".to_owned()) && members.contains(&"amount".to_owned()));
        assert!(!members.contains(&"pipeline".to_owned()));
        assert!(model.resources.contains_key("contacts") && model.resources.contains_key("leads"));
        let wrong = json!({"name": "own", "resources": {"a": {"schema": {"type": "object"}}, "b/c": {}}});
        let problems = UnifiedModel::from_document(&Document::new(Kind::UnifiedModel, &wrong).unwrap());
        let problems = problems.unwrap_err().to_string();
        assert!(problems.contains("names no properties") && problems.contains("no name for a resource"));
    }
}
