//! Which of the two generations a job is written in.

use serde_json::Value;

use super::super::Generation;
use crate::definition::check::Spot;

/// The types of nodes that both generations have.
pub(super) const FLAT_TYPES: [&str; 3] = ["request", "transform", "spool"];
/// The types of nodes that only the graph has.
pub(super) const GRAPH_TYPES: [&str; 6] =
    ["add_context", "destination", "event", "get_state", "update_state", "delete_state"];

/// The version decides when it is written (4 is the graph, 1 to 3 are the flat list); else a job with a node that only
/// the graph has is a graph, and any other a flat list.
pub(super) fn of(nodes: &[Spot<'_>], version: Option<u8>) -> Generation {
    let only_in_graphs = |spot: &Spot<'_>| {
        spot.value().get("type").and_then(Value::as_str).is_some_and(|word| GRAPH_TYPES.contains(&word))
    };
    match version {
        Some(4..) => Generation::Graph,
        Some(_) => Generation::Flat,
        None if nodes.iter().any(only_in_graphs) => Generation::Graph,
        None => Generation::Flat,
    }
}
