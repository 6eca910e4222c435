//! What a node of a job asks its method with. What is only known in a run is left to that.

use super::{Spot, hint, steps};
use crate::clock::Millis;
use crate::definition::integration::Method;
use crate::definition::job::{Input, Request};
use crate::definition::schema::{self, Violation};
use crate::definition::unified::{self, Mapping};
use crate::json::Json;
use crate::template::{MERGE, Roots, Tree};

/// Reports what the node at `index` asks with and its method doesn't take.
pub(super) fn check(
    root: &Spot<'_>,
    index: usize,
    node: &Request,
    method: &Method,
    mapping: Option<&Mapping>,
) {
    let place = |field: &str| ["resources".to_owned(), index.to_string(), field.to_owned()];
    let param = node.incremental.as_ref().map(|incremental| incremental.param.clone()).unwrap_or_default();
    if let Some(mapping) = mapping {
        check_filters(root, &place("query"), mapping, &node.query);
        check_param(root, &place("incremental"), mapping, param);
        return;
    }
    if let Some(schema) = &method.query_schema {
        let check_query = |place: &[String], query: &Tree| {
            check_tree(root, place, schema, query, schema::violations_of_query);
        };
        if let Input::Tree(query) = &node.query {
            check_query(&place("query"), query);
        }
        if let Some(recurse) = &node.recurse {
            let below = ["config".to_owned(), "query".to_owned()];
            check_query(&[&place("recurse")[..], &below].concat(), &recurse.query);
        }
        check_names(root, &[&place("incremental")[..], &["param".to_owned()]].concat(), schema, &param);
    }
    if let Some(schema) = &method.body_schema {
        if let Some(Input::Tree(body)) = &node.body {
            check_tree(root, &place("body"), schema, body, schema::violations);
        }
        if let (Input::Tree(query), true) = (&node.query, method.query_in_body) {
            check_tree(root, &place("query"), schema, query, schema::violations);
        }
    }
}

/// What a value doesn't keep to by its schema.
type Violations = fn(&Json, &Json) -> Vec<Violation>;

/// Reports members that the schema of an object doesn't know, and values that are written out and not allowed. Which members
/// there are in the end is only known in a run.
fn check_tree(root: &Spot<'_>, place: &[String], schema: &Json, asked: &Tree, violations: Violations) {
    let Tree::Object(members) = asked else { return };
    for (name, tree) in members.iter().filter(|(name, _)| name != MERGE) {
        let place = [place, std::slice::from_ref(name)].concat();
        match (schema::of_member(schema, name), constant(tree)) {
            (Err((_, message, hint)), _) => root.problem_at(&place, &message, hint.as_deref()),
            (Ok(None), _) => {}
            (Ok(Some(schema)), None) => check_tree(root, &place, &schema, tree, violations),
            (Ok(Some(schema)), Some(value)) => {
                for (within, message, hint) in violations(&schema, &value) {
                    let place: Vec<String> = place.iter().cloned().chain(steps(&within).skip(1)).collect();
                    root.problem_at(&place, &message, hint.as_deref());
                }
            }
        }
    }
}

/// The value, where it is written out, or stands on nothing but the time of the run before, whose form is known.
fn constant(tree: &Tree) -> Option<Json> {
    const KNOWN: &str = "previous_run_date";
    let is_known = tree.paths().iter().all(|path| *path == [KNOWN]);
    let scope = Roots::new().with(KNOWN, Json::string(&Millis(0).rfc3339()));
    if is_known { tree.render(&scope).ok().flatten() } else { None }
}

/// Reports a path of members that the schema doesn't know.
fn check_names(root: &Spot<'_>, place: &[String], schema: &Json, path: &[String]) {
    let Some((name, below)) = path.split_first() else { return };
    match schema::of_member(schema, name) {
        Ok(Some(schema)) => check_names(root, place, &schema, below),
        Ok(None) => {}
        Err((_, message, hint)) => root.problem_at(place, &message, hint.as_deref()),
    }
}

/// Reports what of a node's query its mapping passes over.
fn check_filters(root: &Spot<'_>, place: &[String], mapping: &Mapping, query: &Input) {
    let Input::Tree(tree @ Tree::Object(_)) = query else { return };
    let Some(path) = mapping.passed_over(&tree.outline()) else { return };
    let known: Vec<String> = mapping.takes().into_iter().flatten().map(|path| path.join(".")).collect();
    let name = path.join(".");
    let hint = hint(&name, known.iter().map(String::as_str));
    let hint = format!("{hint}; the source's own parameters go under {}", unified::REMOTE_QUERY);
    let place: Vec<String> = place.iter().cloned().chain(path).collect();
    root.problem_at(&place, &format!("the mapping takes no {name:?}"), Some(&hint));
}

/// Reports an `incremental.param` that the mapping passes over.
fn check_param(root: &Spot<'_>, place: &[String], mapping: &Mapping, param: Vec<String>) {
    let one = |inner, name: &String| serde_json::json!({ name.as_str(): inner });
    let query = param.iter().rev().fold(serde_json::json!(""), one);
    if !param.is_empty() && mapping.passed_over(&query).is_some() {
        let message = format!("the mapping takes no {:?}", param.join("."));
        let known: Vec<String> = mapping.takes().into_iter().flatten().map(|path| path.join(".")).collect();
        let hint = hint(&param.join("."), known.iter().map(String::as_str));
        let place: Vec<String> = place.iter().cloned().chain(["param".to_owned()]).collect();
        root.problem_at(&place, &message, Some(&hint));
    }
}
