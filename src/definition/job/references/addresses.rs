//! Under which paths the records of a node are found below it.

use super::super::{Node, NodeKind};

/// The nodes above the one at `index`, the nearest first; for a destination those whose records it takes, and above.
pub(in super::super) fn ancestors(nodes: &[Node], index: usize) -> Vec<usize> {
    let mut seen = vec![false; nodes.len()];
    let mut found = unseen(parents(nodes, index), &mut seen);
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        found.extend(unseen(parents(nodes, parent), &mut seen));
    }
    found
}

/// Those that were not seen before; now they are.
fn unseen(indexes: &[usize], seen: &mut [bool]) -> Vec<usize> {
    let mut take = |index: &usize| seen.get_mut(*index).is_some_and(|seen| !std::mem::replace(seen, true));
    indexes.iter().copied().filter(|index| take(index)).collect()
}

fn parents(nodes: &[Node], index: usize) -> &[usize] {
    match nodes.get(index) {
        Some(Node { kind: NodeKind::Destination(destination), .. }) => &destination.takes,
        Some(node) => &node.parents,
        None => &[],
    }
}

/// How many of `steps` name the node at `index`. A request is named by its resource, a step for each part between
/// slashes (`ticketing.tickets`), or by its name as one step; a transform or spool by its own name, and by every
/// address of the records it was given: they keep it.
pub(in super::super) fn steps_naming(nodes: &[Node], index: usize, steps: &[String]) -> Option<usize> {
    let begins = |address: &[&str]| {
        !address.is_empty() && steps.len() >= address.len() && address.iter().zip(steps).all(|(a, b)| a == b)
    };
    addresses(nodes, index).into_iter().find(|address| begins(address)).map(|address| address.len())
}

/// The path under which a node's records are best spoken of.
pub(super) fn shown(nodes: &[Node], index: usize) -> String {
    let node = &nodes[index];
    match node.request().filter(|request| request.resource == node.name) {
        Some(request) => request.resource.replace('/', "."),
        None => node.name.clone(),
    }
}

/// The paths that name the node at `index` for those below: for added context its own name.
fn addresses(nodes: &[Node], index: usize) -> Vec<Vec<&str>> {
    match nodes.get(index) {
        Some(node) if matches!(node.kind, NodeKind::AddContext { .. }) => vec![vec![node.name.as_str()]],
        Some(_) | None => record_addresses(nodes, index),
    }
}

/// The paths (after `resources`) under which the records of the node at `index` are found.
pub(in super::super) fn record_addresses(nodes: &[Node], index: usize) -> Vec<Vec<&str>> {
    let mut found: Vec<Vec<&str>> = Vec::new();
    for origin in origins(nodes, index) {
        let node = &nodes[origin];
        found.extend(node.request().map(|request| request.resource.split('/').collect()));
        found.push(vec![node.name.as_str()]);
    }
    found
}

/// The nodes that records of the one at `index` were made by, the last first: records keep what they were called by, up
/// to the requests that they came from.
pub(in super::super) fn origins(nodes: &[Node], index: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut seen = vec![false; nodes.len()];
    let mut queue = unseen(&[index], &mut seen);
    let mut next = 0;
    while let Some(&here) = queue.get(next) {
        next += 1;
        let node = &nodes[here];
        let passes = match &node.kind {
            NodeKind::Transform { .. } | NodeKind::Spool { .. } => {
                found.push(here);
                true
            }
            NodeKind::Request(_) => {
                found.push(here);
                false
            }
            // Records pass it untouched.
            NodeKind::AddContext { .. } => true,
            NodeKind::GetState { .. } | NodeKind::UpdateState { .. } | NodeKind::DeleteState { .. } => {
                found.extend((here == index).then_some(here));
                false
            }
            NodeKind::Destination(_) | NodeKind::Event(_) => false,
        };
        if passes {
            queue.extend(unseen(&node.parents, &mut seen));
        }
    }
    found
}
