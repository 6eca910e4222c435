//! What the placeholders of a job may speak of.

use super::{Input, Node};
use crate::definition::check::Spot;
use crate::nearest::nearest;
use crate::template::Template;

/// The roots that a job's placeholders know; anything else is a key of the account's context.
const ROOTS: [&str; 6] = ["args", "resources", "sync_job_run", "previous_run_date", "tenant_id", "context"];

/// Whether every placeholder of the node at `index` can be resolved; reports those that can't.
pub(super) fn check(spot: &Spot<'_>, nodes: &[Node], index: usize) -> bool {
    let Some(node) = nodes.get(index) else { return true };
    let mut good = true;
    for (place, template) in templates(node) {
        for path in template.paths() {
            if let Some((message, hint)) = refusal(&path, nodes, index) {
                spot.problem_at(&place, &message, Some(&hint));
                good = false;
            }
        }
    }
    good
}

/// Every template of a node and where it stands.
fn templates(node: &Node) -> Vec<(Vec<String>, &Template)> {
    let mut found: Vec<(Vec<String>, &Template)> = Vec::new();
    let Some(request) = node.request() else { return found };
    let inputs = [("query", Some(&request.query)), ("body", request.body.as_ref())];
    found.extend(request.id.iter().map(|template| (vec!["id".to_owned()], template)));
    for (field, input) in inputs {
        let Some(Input::Tree(tree)) = input else { continue };
        for (path, template) in tree.templates() {
            found.push(([vec![field.to_owned()], path].concat(), template));
        }
    }
    found
}

/// Why a path means nothing in this node, and what to write instead.
fn refusal(path: &[String], nodes: &[Node], index: usize) -> Option<(String, String)> {
    let root = path.first()?.as_str();
    let shown = path.join(".");
    match root {
        "credentials" => Some((
            format!("{{{{{shown}}}}} is a secret, and jobs never see secrets"),
            "put it into the integration's authorization, headers or query".to_owned(),
        )),
        "resources" => record_refusal(path, nodes, index),
        _ if ROOTS.contains(&root) => None,
        // A context key may have any name, but one that looks like a root with a slip is a slip.
        _ if path.len() > 1 || root.contains('_') => nearest(root, ROOTS).map(|near| {
            (format!("{{{{{shown}}}}} means nothing in a job"), format!("did you mean {near:?}?"))
        }),
        _ => None,
    }
}

fn record_refusal(path: &[String], nodes: &[Node], index: usize) -> Option<(String, String)> {
    let rest = &path[1..];
    let ancestors = ancestors(nodes, index);
    let named = |index: &usize| nodes.get(*index).is_some_and(|node| steps_naming(node, rest).is_some());
    if ancestors.iter().any(named) {
        return None;
    }
    let shown = path.join(".");
    let node = &nodes[index].name;
    let message = format!("{{{{{shown}}}}} is no record that {node:?} depends on");
    if let Some(other) = nodes.iter().find(|other| steps_naming(other, rest).is_some()) {
        return Some((message, format!("write depends_on: {} in this node", other.name)));
    }
    let known: Vec<&str> = ancestors.iter().map(|index| nodes[*index].name.as_str()).collect();
    let written = rest.first().map(String::as_str).unwrap_or_default();
    let hint = match nearest(written, known.iter().copied()) {
        _ if known.is_empty() => "this node depends on no other; write depends_on: …".to_owned(),
        Some(near) => format!("did you mean {{{{resources.{near}.…}}}}?"),
        None => {
            format!("what can be used here is {{{{resources.{}.…}}}}", known.join(".…}} or {{resources."))
        }
    };
    Some((message, hint))
}

/// How many of `steps` name `node`: its resource, a step for each part between slashes
/// (`ticketing.tickets`), or else its name as one step.
pub(super) fn steps_naming(node: &Node, steps: &[String]) -> Option<usize> {
    let resource: Vec<&str> =
        node.request().map(|request| request.resource.split('/').collect()).unwrap_or_default();
    let name = [node.name.as_str()];
    let begins = |prefix: &[&str]| steps.iter().zip(prefix).filter(|(a, b)| a == b).count() == prefix.len();
    [resource.as_slice(), &name]
        .into_iter()
        .find(|prefix| !prefix.is_empty() && begins(prefix))
        .map(<[&str]>::len)
}

/// The nodes above the one at `index`, its parent first.
pub(super) fn ancestors(nodes: &[Node], index: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut here = index;
    while let Some(parent) = nodes.get(here).and_then(|node| node.parents.first().copied())
        && found.len() < nodes.len()
    {
        found.push(parent);
        here = parent;
    }
    found
}
