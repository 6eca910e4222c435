//! Names of nodes, and who depends on whom.

use super::Node;
use super::read::Written;
use crate::definition::check::Spot;
use crate::nearest::nearest;

/// Whether every node has its own name.
pub(super) fn check_names(nodes: &[Written<'_>]) -> bool {
    let mut unique = true;
    for (index, written) in nodes.iter().enumerate() {
        let name = &written.node.name;
        if nodes[..index].iter().any(|earlier| earlier.node.name == *name) {
            unique = false;
            let hint = "give one of them a name of its own: name: …";
            written.spot.problem(&format!("two nodes are called {name:?}"), Some(hint));
        }
    }
    unique
}

/// The nodes with their parents' indexes; `None` when a parent is unknown or a node depends on itself.
pub(super) fn linked(written: Vec<Written<'_>>) -> Option<Vec<Node>> {
    let parents: Vec<Option<Option<usize>>> = written.iter().map(|node| parent(node, &written)).collect();
    let parents: Vec<Option<usize>> = parents.into_iter().collect::<Option<_>>()?;
    if !check_cycles(&written, &parents) {
        return None;
    }
    let link = |(written, parent): (Written<'_>, Option<usize>)| Node {
        parents: parent.into_iter().collect(),
        ..written.node
    };
    Some(written.into_iter().zip(parents).map(link).collect())
}

/// A parent is named by its own name, or by its resource when only one node reads that.
fn parent(node: &Written<'_>, all: &[Written<'_>]) -> Option<Option<usize>> {
    let Some((spot, wanted)) = &node.parent else { return Some(None) };
    if let Some(index) = all.iter().position(|other| other.node.name == *wanted) {
        return Some(Some(index));
    }
    let reads = |(index, other): (usize, &Written<'_>)| {
        (other.node.request().is_some_and(|request| request.resource == *wanted)).then_some(index)
    };
    match all.iter().enumerate().filter_map(reads).collect::<Vec<_>>().as_slice() {
        [one] => Some(Some(*one)),
        [] => {
            unknown_parent(spot, wanted, all);
            None
        }
        several => {
            let names: Vec<&str> = several.iter().map(|index| all[*index].node.name.as_str()).collect();
            let hint = format!("name one of them: {}", names.join(", "));
            spot.problem(&format!("several nodes read {wanted:?}"), Some(&hint));
            None
        }
    }
}

fn unknown_parent(spot: &Spot<'_>, wanted: &str, all: &[Written<'_>]) {
    let mut known: Vec<&str> = all
        .iter()
        .flat_map(|node| [Some(&*node.node.name), node.node.request().map(|request| &*request.resource)])
        .flatten()
        .collect();
    known.dedup();
    let hint = match nearest(wanted, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the nodes are {}", known.join(", ")),
    };
    spot.problem(&format!("no node of this job is called {wanted:?}"), Some(&hint));
}

/// Whether following the parents always ends. Each cycle is reported once, at its first node.
fn check_cycles(written: &[Written<'_>], parents: &[Option<usize>]) -> bool {
    let mut reported = vec![false; written.len()];
    for start in 0..written.len() {
        let mut trail = vec![start];
        while let Some(next) = trail.last().and_then(|last| parents[*last]) {
            let Some(seen) = trail.iter().position(|index| *index == next) else {
                trail.push(next);
                continue;
            };
            let cycle = &trail[seen..];
            if !cycle.iter().any(|index| reported[*index]) {
                report_cycle(written, cycle);
                cycle.iter().for_each(|index| reported[*index] = true);
            }
            break;
        }
    }
    !reported.contains(&true)
}

fn report_cycle(written: &[Written<'_>], cycle: &[usize]) {
    let Some(first) = cycle.first() else { return };
    let names: Vec<&str> =
        cycle.iter().chain(Some(first)).map(|index| written[*index].node.name.as_str()).collect();
    let message = format!("nodes depend on each other in a circle: {}", names.join(" → "));
    if let Some((spot, _)) = &written[*first].parent {
        spot.problem(&message, Some("one of them must not depend on another"));
    }
}
