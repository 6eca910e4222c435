//! A mapping: how a request for a model's resource becomes one of the integration's, and its records those of the model.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::definition::check::{Fields, Spot};
use crate::definition::integration::Method;
use crate::definition::is_plain_name;
use crate::expression::Expression;
use crate::json::Json;

/// The member of a unified query that is sent as it stands.
pub const REMOTE_QUERY: &str = "remote_query";
/// The member of a unified query that says how many records a page should have, where the mapping doesn't read it.
pub const LIMIT: &str = "limit";

/// How deep an object of expressions may nest.
const DEPTH_MAX: usize = 8;

/// What the methods of one resource can have in common; each may say otherwise.
const SHARED: [&str; 6] = [
    "resource",
    "query_mapping",
    "request_body_mapping",
    "response_mapping",
    "response_mapping_method",
    "response_filter",
];

/// Fields of Truto's mappings that change what happens and can't yet.
const NOT_YET: [&str; 12] = [
    "request_header_mapping",
    "response_header_mapping",
    "path_mapping",
    "error_mapping",
    "is_partial_expression",
    "query",
    "body",
    "file_upload",
    "before",
    "after",
    "side_load",
    "run_if",
];

/// How one method of a model's resource is answered by an integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The integration's resource.
    pub resource: String,
    /// Its method.
    pub method: String,
    /// Makes the query; sees `query`, `body`, `id` and `context`. Without it there is nothing to ask with.
    pub query: Option<Mapped>,
    /// Makes the body; sees the same.
    pub body: Option<Mapped>,
    /// Makes a record; sees `response`, `query` (as it was sent), `rawQuery` (as it was asked), `body`, `id` and
    /// `context`. Without it a record stays as it is.
    pub response: Option<Mapped>,
    /// Which records are passed on: those for which it is true. Sees what `response` sees.
    pub filter: Option<Expression>,
    /// Whether `response` is all records of the page at once, and the result a list of them.
    pub whole_page: bool,
}

/// An expression, or an object of expressions, which is one expression as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// What is evaluated.
    pub expression: Expression,
    /// The members of what it gives, where its text tells: it was written as an object.
    pub members: Option<Vec<String>>,
}

impl Mapping {
    /// What of a unified query means something here: the paths below it that an expression reads; `None` when all may.
    pub fn takes(&self) -> Option<Vec<Vec<String>>> {
        self.reads_of("query")
    }

    fn reads_of(&self, root: &str) -> Option<Vec<Vec<String>>> {
        let mut paths = Vec::new();
        for mapped in [&self.query, &self.body].into_iter().flatten() {
            let reads = mapped.expression.reads();
            if reads.everything {
                return None;
            }
            for path in &reads.paths {
                match path.split_first() {
                    Some((first, [])) if first == root => return None,
                    Some((first, rest)) if first == root => paths.push(rest.to_vec()),
                    Some(_) | None => {}
                }
            }
        }
        paths.sort();
        paths.dedup();
        Some(paths)
    }

    /// The members of a unified query that mean something here; `None` when all may.
    pub fn filters(&self) -> Option<Vec<String>> {
        let mut names: Vec<String> =
            self.takes()?.into_iter().filter_map(|path| path.first().cloned()).collect();
        names.dedup();
        Some(names)
    }

    /// What of `query` would be passed over: the first path that no expression reads.
    pub fn passed_over(&self, query: &Value) -> Option<Vec<String>> {
        let takes = self.takes()?;
        if query.get(REMOTE_QUERY).is_some_and(|more| !more.is_object() && !more.is_null()) {
            return Some(vec![REMOTE_QUERY.to_owned()]);
        }
        passed_over(query, &mut Vec::new(), &takes)
    }

    /// What of a written `body` would be passed over. A body that the mapping doesn't make is sent as it is.
    pub fn passed_over_of_body(&self, body: &Value) -> Option<Vec<String>> {
        self.body.as_ref()?;
        passed_over(body, &mut Vec::new(), &self.reads_of("body")?)
    }
}

fn passed_over(value: &Value, path: &mut Vec<String>, takes: &[Vec<String>]) -> Option<Vec<String>> {
    let is_read = |path: &[String]| takes.iter().any(|read| path.starts_with(read));
    let leads_on = |path: &[String]| takes.iter().any(|read| read.starts_with(path));
    if path.len() == 1 && [REMOTE_QUERY, LIMIT].contains(&path[0].as_str()) || is_read(path) {
        return None;
    }
    match value {
        Value::Null => None,
        Value::Object(members) if path.is_empty() || leads_on(path) => {
            members.iter().find_map(|(name, value)| {
                path.push(name.clone());
                let found = passed_over(value, path, takes);
                path.pop();
                found
            })
        }
        Value::Array(elements) if elements.is_empty() => None,
        Value::Object(_) | Value::Array(_) | Value::String(_) | Value::Bool(_) | Value::Number(_) => {
            Some(path.clone())
        }
    }
}

/// The mappings of an integration: `ticketing/tickets` → method → mapping.
pub(in crate::definition) fn mappings(
    fields: &Fields<'_>,
    resources: Option<&BTreeMap<String, BTreeMap<String, Method>>>,
) -> Option<BTreeMap<String, BTreeMap<String, Mapping>>> {
    let Some(spot) = fields.get("unified") else { return Some(BTreeMap::new()) };
    let mut mappings = BTreeMap::new();
    let mut good = true;
    for (model, spot) in spot.entries()? {
        good &= named(model, &spot);
        for (resource, spot) in spot.entries().unwrap_or_default() {
            good &= named(resource, &spot);
            let name = format!("{model}/{resource}");
            if resources.is_some_and(|resources| resources.contains_key(&name)) {
                let hint = "rename the integration's own resource";
                spot.problem_of_key(&format!("the integration has a resource {name:?} itself"), Some(hint));
                good = false;
            }
            match methods(resource, &spot, resources) {
                Some(methods) => drop(mappings.insert(name, methods)),
                None => good = false,
            }
        }
    }
    good.then_some(mappings)
}

fn named(name: &str, spot: &Spot<'_>) -> bool {
    let plain = is_plain_name(name) && !name.contains('/');
    if !plain {
        spot.problem_of_key(&format!("{name:?} is no name"), Some("use letters, digits, '_' and '-'"));
    }
    plain
}

fn methods(
    resource: &str,
    spot: &Spot<'_>,
    resources: Option<&BTreeMap<String, BTreeMap<String, Method>>>,
) -> Option<BTreeMap<String, Mapping>> {
    let entries = spot.entries()?;
    let shared = Written::read(&spot.fields()?)?;
    let mut methods = BTreeMap::new();
    let mut good = true;
    for (name, spot) in entries.into_iter().filter(|(name, _)| !SHARED.contains(name)) {
        good &= named(name, &spot);
        match method(resource, name, &spot, &shared, resources) {
            Some(mapping) => drop(methods.insert(name.to_owned(), mapping)),
            None => good = false,
        }
    }
    if methods.is_empty() && good {
        spot.problem(
            "a mapping needs a method",
            Some("list: { response_mapping: { id: \"$string(response.id)\" } }"),
        );
        return None;
    }
    good.then_some(methods)
}

fn method(
    resource: &str,
    name: &str,
    spot: &Spot<'_>,
    shared: &Written,
    resources: Option<&BTreeMap<String, BTreeMap<String, Method>>>,
) -> Option<Mapping> {
    let fields = spot.fields()?;
    fields.ignore(&["description", "query_schema", "request_body_schema"]);
    fields.not_yet(&NOT_YET, "leave it out");
    let method = fields.maybe("method", Spot::text);
    let own = Written::read(&fields);
    fields.finish();
    let written = own?.over(shared.clone());
    let mapping = Mapping {
        resource: written.resource.unwrap_or_else(|| resource.to_owned()),
        method: method?.unwrap_or(name).to_owned(),
        query: mapped(spot, written.query)?,
        body: mapped(spot, written.body)?,
        response: mapped(spot, written.response)?,
        filter: written.filter,
        whole_page: written.whole_page.unwrap_or_default(),
    };
    let Some(resources) = resources else { return Some(mapping) };
    let Some(methods) = resources.get(&mapping.resource) else {
        let known: Vec<&str> = resources.keys().map(String::as_str).collect();
        let hint = format!("write resource: one of {}", known.join(", "));
        spot.problem(&format!("the integration has no resource {:?}", mapping.resource), Some(&hint));
        return None;
    };
    if !methods.contains_key(&mapping.method) {
        let known: Vec<&str> = methods.keys().map(String::as_str).collect();
        let hint = format!("write method: one of {}", known.join(", "));
        let message = format!("resource {:?} has no method {:?}", mapping.resource, mapping.method);
        spot.problem(&message, Some(&hint));
        return None;
    }
    Some(mapping)
}

/// What is written of a mapping, for all methods or for one.
#[derive(Clone, Default)]
struct Written {
    resource: Option<String>,
    query: Option<Piece>,
    body: Option<Piece>,
    response: Option<Piece>,
    whole_page: Option<bool>,
    filter: Option<Expression>,
}

impl Written {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        let resource = fields.maybe("resource", |spot| {
            let text = spot.value().as_str();
            if text.is_none() {
                spot.problem("expected the name of one of the integration's resources", None);
            }
            text.map(str::to_owned)
        });
        let piece = |name| fields.maybe(name, |spot| Piece::read(spot, 0));
        let (query, body, response) =
            (piece("query_mapping"), piece("request_body_mapping"), piece("response_mapping"));
        let whole_page =
            fields.maybe("response_mapping_method", |spot| spot.choice(&[("item", false), ("array", true)]));
        let filter = fields.maybe("response_filter", Spot::expression);
        Some(Self {
            filter: filter?,
            resource: resource?,
            query: query?,
            body: body?,
            response: response?,
            whole_page: whole_page?,
        })
    }

    fn over(self, under: Self) -> Self {
        let piece = |over: Option<Piece>, under: Option<Piece>| match (over, under) {
            (Some(over), Some(under)) => Some(over.over(under)),
            (over, under) => over.or(under),
        };
        Self {
            resource: self.resource.or(under.resource),
            query: piece(self.query, under.query),
            body: piece(self.body, under.body),
            response: piece(self.response, under.response),
            whole_page: self.whole_page.or(under.whole_page),
            filter: self.filter.or(under.filter),
        }
    }
}

/// An expression as it is written: text, a value that stands for itself, or an object of such.
#[derive(Clone)]
enum Piece {
    Expression(Expression),
    Constant(Json),
    Members(Vec<(String, Piece)>),
}

impl Piece {
    fn read(spot: &Spot<'_>, depth: usize) -> Option<Self> {
        match spot.value() {
            Value::String(_) => spot.expression().map(Self::Expression),
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(Self::Constant(Json::of(spot.value()))),
            Value::Array(_) => {
                spot.problem(
                    "a list here is an expression",
                    Some("write it as text: \"[response.a, response.b]\""),
                );
                None
            }
            Value::Object(_) if depth == DEPTH_MAX => {
                spot.problem(&format!("objects are nested at most {DEPTH_MAX} levels deep"), None);
                None
            }
            Value::Object(_) => {
                let read =
                    |(name, spot): (&str, Spot<'_>)| Some((name.to_owned(), Self::read(&spot, depth + 1)?));
                let read: Vec<Option<_>> = spot.entries()?.into_iter().map(read).collect();
                read.into_iter().collect::<Option<Vec<_>>>().map(Self::Members)
            }
        }
    }

    /// Objects are laid over each other member by member; anything else takes the place of what is there.
    fn over(self, under: Self) -> Self {
        match (self, under) {
            (Self::Members(over), Self::Members(mut members)) => {
                for (name, piece) in over {
                    match members.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, old)) => *old = piece.over(old.clone()),
                        None => members.push((name, piece)),
                    }
                }
                Self::Members(members)
            }
            (over, _) => over,
        }
    }

    /// As one expression.
    fn source(&self) -> String {
        match self {
            // On lines of its own: it may end with a comment.
            Self::Expression(expression) => format!("(\n{}\n)", expression.source()),
            Self::Constant(json) => json.as_str().to_owned(),
            Self::Members(members) => {
                let one =
                    |(name, piece): &(String, Self)| format!("{}: {}", Json::string(name), piece.source());
                format!("{{{}}}", members.iter().map(one).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn mapped(spot: &Spot<'_>, piece: Option<Piece>) -> Option<Option<Mapped>> {
    let Some(piece) = piece else { return Some(None) };
    let members = match &piece {
        Piece::Members(members) => Some(members.iter().map(|(name, _)| name.clone()).collect()),
        Piece::Expression(_) | Piece::Constant(_) => None,
    };
    match Expression::parse(&piece.source()) {
        Ok(expression) => Some(Some(Mapped { expression, members })),
        Err(error) => {
            spot.problem(&format!("the mapping is no expression: {error}"), None);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_expression_reads_is_found() {
        let expression = Expression::parse("{'since': query.updated_at.gt, 'who': query.owner}").unwrap();
        let mapping = Mapping {
            resource: "r".to_owned(),
            method: "list".to_owned(),
            query: Some(Mapped { expression, members: None }),
            body: None,
            response: None,
            filter: None,
            whole_page: false,
        };
        assert_eq!(mapping.filters().unwrap(), ["owner", "updated_at"]);
        for (query, passed) in [
            (
                json!({"updated_at": {"gt": "x"}, "owner": {"id": 1}, "limit": 5, "remote_query": {"a": 1}}),
                None,
            ),
            (json!({"updated_at": {"gt": "x", "lt": "y"}}), Some("updated_at.lt")),
            (json!({"updated_at": "x"}), Some("updated_at")),
            (json!({"priority": "x", "status": null}), Some("priority")),
            (json!({"status": null, "tags": []}), None),
            (json!({"remote_query": "x"}), Some("remote_query")),
        ] {
            let found = mapping.passed_over(&query).map(|path| path.join("."));
            assert_eq!(found.as_deref(), passed, "{query}");
        }
    }
}
