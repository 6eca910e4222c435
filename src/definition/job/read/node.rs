//! One node: what all have in common, and who reads the rest.

use serde_json::Value;

use super::super::{Generation, Node, NodeKind};
use super::generation::{FLAT_TYPES, GRAPH_TYPES};
use super::{flow, request};
use crate::definition::check::{Fields, Spot};
use crate::definition::is_plain_name;

/// The most nodes that one may depend on, or take from.
const NAMES_MAX: usize = 50;

/// The name of a node where another one refers to it.
pub(in super::super) struct Named<'c> {
    pub(in super::super) spot: Spot<'c>,
    pub(in super::super) name: &'c str,
}

/// A node as it was written: others are still names.
pub(in super::super) struct Written<'c> {
    pub(in super::super) spot: Spot<'c>,
    pub(in super::super) node: Node,
    /// What it depends on.
    pub(in super::super) parents: Vec<Named<'c>>,
    /// What a destination takes.
    pub(in super::super) takes: Vec<Named<'c>>,
}

pub(super) fn read<'c>(spot: &Spot<'c>, generation: Generation) -> Option<Written<'c>> {
    let fields = spot.fields()?;
    fields.ignore(&["description"]);
    let kind = node_type(&fields, generation);
    let name = fields.maybe("name", plain);
    let parents = fields.or("depends_on", Vec::new(), names);
    let run_if = fields.maybe("run_if", Spot::expression);
    let debug = fields.or("debug", false, Spot::boolean);
    // What else is wrong with a node can't be told without its type.
    let kind = kind?;
    let (kind, takes) = match kind {
        "request" => (request::read(&fields).map(NodeKind::Request), Some(Vec::new())),
        "destination" => {
            let takes = flow::takes(&fields);
            (flow::destination(&fields), takes)
        }
        other => (flow::read(&fields, other), Some(Vec::new())),
    };
    let name = name.and_then(|name| name_of(&fields, name, kind.as_ref()));
    if let (Some(NodeKind::Event(_)), Some(depends_on)) = (&kind, fields.get("depends_on")) {
        let hint = "leave it out; let other nodes depend on this one";
        depends_on.problem_of_key("an event depends on nothing: the run itself brings it about", Some(hint));
    }
    fields.finish();
    let node = Node { name: name?, parents: Vec::new(), run_if: run_if?, debug: debug?, kind: kind? };
    Some(Written { spot: spot.clone(), node, parents: parents?, takes: takes? })
}

/// The node's type; a node that doesn't say is a request.
fn node_type(fields: &Fields<'_>, generation: Generation) -> Option<&'static str> {
    let Some(spot) = fields.get("type") else {
        let alike = [
            ("resources_to_persist", "destination"),
            ("destination_type", "destination"),
            ("config", "transform, spool or another type"),
        ];
        let without_resource = fields.get("resource").is_none();
        let alike = alike.iter().find(|(field, _)| without_resource && fields.get(field).is_some());
        if let Some((_, kind)) = alike {
            let hint = format!("write type: {kind}; without one a node is a request");
            fields.missing("type", Some(&hint));
            return None;
        }
        return Some("request");
    };
    let word = spot.text()?;
    if let Some(known) = FLAT_TYPES.iter().find(|known| **known == word) {
        return Some(known);
    }
    let Some(known) = GRAPH_TYPES.iter().find(|known| **known == word) else {
        spot.not_one_of(word, &[&FLAT_TYPES[..], &GRAPH_TYPES[..]].concat());
        return None;
    };
    if generation == Generation::Flat {
        let hint = "write default_runtime_version: 4, or leave it out";
        spot.problem(&format!("versions 1 to 3 have no nodes of type {word}"), Some(hint));
        return None;
    }
    Some(known)
}

fn name_of(fields: &Fields<'_>, written: Option<String>, kind: Option<&NodeKind>) -> Option<String> {
    match (written, kind) {
        (Some(name), _) => Some(name),
        (None, Some(NodeKind::Request(request))) => Some(request.resource.clone()),
        (None, Some(_)) => {
            fields.missing(
                "name",
                Some("it is what other nodes write in depends_on, and in {{resources.NAME}}"),
            );
            None
        }
        (None, None) => None,
    }
}

/// A name that can stand in a path.
pub(super) fn plain(spot: &Spot<'_>) -> Option<String> {
    let text = spot.filled()?;
    if !is_plain_name(text) {
        spot.problem(&format!("{text:?} is no name"), Some("use letters, digits, '_', '-' and '/'"));
        return None;
    }
    Some(text.to_owned())
}

/// One name or a list of names, each once.
pub(super) fn names<'c>(spot: &Spot<'c>) -> Option<Vec<Named<'c>>> {
    let spots = match spot.value() {
        Value::Array(_) => spot.list()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            vec![spot.clone()]
        }
    };
    if spots.len() > NAMES_MAX {
        spot.problem(&format!("at most {NAMES_MAX} nodes can be named here"), None);
        return None;
    }
    let mut found: Vec<Named<'c>> = Vec::new();
    let mut good = true;
    for spot in spots {
        let Some(name) = spot.filled() else {
            good = false;
            continue;
        };
        if found.iter().any(|other| other.name == name) {
            spot.problem(&format!("{name:?} stands here twice"), Some("once is enough"));
            good = false;
        }
        found.push(Named { spot, name });
    }
    good.then_some(found)
}
