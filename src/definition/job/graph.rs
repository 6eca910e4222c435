//! Names of nodes, and who depends on whom.

use super::read::{Named, Written};
use super::{Destination, Node, NodeKind};
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

/// The nodes with the indexes of those they refer to; `None` when one is unknown or nodes depend on each other.
pub(super) fn linked(written: Vec<Written<'_>>) -> Option<Vec<Node>> {
    let all = |names: &[Named<'_>]| -> Option<Vec<usize>> {
        let found: Vec<Option<usize>> = names.iter().map(|named| find(named, &written)).collect();
        found.into_iter().collect()
    };
    let both = |node: &Written<'_>| {
        let (parents, takes) = (all(&node.parents), all(&node.takes));
        parents.zip(takes)
    };
    let links: Vec<Option<(Vec<usize>, Vec<usize>)>> = written.iter().map(both).collect();
    let links: Vec<(Vec<usize>, Vec<usize>)> = links.into_iter().collect::<Option<_>>()?;
    let parents: Vec<Vec<usize>> = links.iter().map(|(parents, _)| parents.clone()).collect();
    let can_be_named = links.iter().zip(&written).map(|((parents, takes), node)| {
        give_something(node, parents, &written) & give_records(node, takes, &written)
    });
    let can_be_named = can_be_named.fold(true, |all, one| all & one);
    if !check_cycles(&written, &parents) || !can_be_named || !check_destinations(&written, &links) {
        return None;
    }
    let link = |(written, (parents, takes)): (Written<'_>, (Vec<usize>, Vec<usize>))| match written.node.kind
    {
        // What it takes is all that a destination depends on.
        NodeKind::Destination(destination) => {
            let kind = NodeKind::Destination(Destination { takes, ..destination });
            Node { parents: Vec::new(), kind, ..written.node }
        }
        kind @ (NodeKind::Request(_)
        | NodeKind::Transform { .. }
        | NodeKind::AddContext { .. }
        | NodeKind::Spool { .. }
        | NodeKind::Event(_)
        | NodeKind::GetState { .. }
        | NodeKind::UpdateState { .. }
        | NodeKind::DeleteState { .. }) => Node { parents, kind, ..written.node },
    };
    Some(written.into_iter().zip(links).map(link).collect())
}

/// Reports names that neither the nodes at hand have nor `others`, which could not be read.
pub(super) fn check_known(written: &[Written<'_>], others: &[&str]) {
    for named in written.iter().flat_map(|node| node.parents.iter().chain(&node.takes)) {
        if !others.contains(&named.name) {
            let _ = find(named, written);
        }
    }
}

/// A node is named by its own name, or by its resource when only one node reads that.
fn find(named: &Named<'_>, all: &[Written<'_>]) -> Option<usize> {
    let wanted = named.name;
    if let Some(index) = all.iter().position(|other| other.node.name == wanted) {
        return Some(index);
    }
    let reads = |(index, other): (usize, &Written<'_>)| {
        (other.node.request().is_some_and(|request| request.resource == wanted)).then_some(index)
    };
    match all.iter().enumerate().filter_map(reads).collect::<Vec<_>>().as_slice() {
        [one] => Some(*one),
        [] => {
            unknown(named, all);
            None
        }
        several => {
            let names: Vec<&str> = several.iter().map(|index| all[*index].node.name.as_str()).collect();
            let hint = format!("name one of them: {}", names.join(", "));
            named.spot.problem(&format!("several nodes read {wanted:?}"), Some(&hint));
            None
        }
    }
}

fn unknown(named: &Named<'_>, all: &[Written<'_>]) {
    let mut known: Vec<&str> = all
        .iter()
        .flat_map(|node| [Some(&*node.node.name), node.node.request().map(|request| &*request.resource)])
        .flatten()
        .collect();
    known.dedup();
    let hint = match nearest(named.name, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the nodes are {}", known.join(", ")),
    };
    named.spot.problem(&format!("no node of this job is called {:?}", named.name), Some(&hint));
}

/// Whether something comes out of every node that this one depends on.
fn give_something(node: &Written<'_>, parents: &[usize], all: &[Written<'_>]) -> bool {
    let mut good = true;
    for (parent, named) in parents.iter().zip(&node.parents) {
        if matches!(all[*parent].node.kind, NodeKind::Destination(_)) {
            let message = format!("{:?} is a destination, and nothing comes out of one", named.name);
            named.spot.problem(&message, Some("depend on the node whose records it takes"));
            good = false;
        }
    }
    good
}

/// Whether every node that a destination takes from gives records.
fn give_records(node: &Written<'_>, takes: &[usize], all: &[Written<'_>]) -> bool {
    let mut good = true;
    for (taken, named) in takes.iter().zip(&node.takes) {
        let (what, hint) = match &all[*taken].node.kind {
            NodeKind::Request(_) | NodeKind::Transform { .. } | NodeKind::Spool { .. } => continue,
            NodeKind::AddContext { .. } => {
                ("only adds to the context", "name the node whose records it adds to")
            }
            NodeKind::Destination(_) => ("is a destination", "name the nodes it takes its records from"),
            NodeKind::Event(_) => ("is an event", "name a request, a transform or a spool"),
            NodeKind::GetState { .. } | NodeKind::UpdateState { .. } | NodeKind::DeleteState { .. } => {
                ("is about a state cell", "name a request, a transform or a spool")
            }
        };
        named.spot.problem(&format!("{:?} {what} and gives no records", named.name), Some(hint));
        good = false;
    }
    good
}

/// Whether destinations depend on nothing but what they take, and take nothing that says it is not to be delivered.
fn check_destinations(written: &[Written<'_>], links: &[(Vec<usize>, Vec<usize>)]) -> bool {
    let mut good = true;
    for (node, (parents, takes)) in written.iter().zip(links) {
        let mut above = takes.clone();
        let mut next = 0;
        while let Some(&here) = above.get(next) {
            next += 1;
            let more: Vec<usize> = links[here].0.iter().copied().filter(|one| !above.contains(one)).collect();
            above.extend(more);
        }
        let is_destination = matches!(node.node.kind, NodeKind::Destination(_));
        for (parent, named) in parents.iter().zip(&node.parents) {
            if is_destination && !above.contains(parent) {
                let message = format!("a destination can't wait for {:?}", named.name);
                let hint = "leave it out: resources_to_persist says what it takes, and each page goes out as it comes";
                named.spot.problem(&message, Some(hint));
                good = false;
            }
        }
        for (taken, named) in takes.iter().zip(&node.takes) {
            if written[*taken].node.persist() == Some(false) {
                let message = format!("{:?} says persist: false, so nothing of it is delivered", named.name);
                named.spot.problem(&message, Some("take one of the two out"));
                good = false;
            }
        }
    }
    good
}

/// Whether following the parents always ends. Each cycle is reported once, at its first node.
fn check_cycles(written: &[Written<'_>], parents: &[Vec<usize>]) -> bool {
    let mut walk =
        Walk { parents, state: vec![State::New; written.len()], trail: Vec::new(), cycles: Vec::new() };
    (0..written.len()).for_each(|start| walk.visit(start));
    walk.cycles.iter().for_each(|cycle| report_cycle(written, parents, cycle));
    walk.cycles.is_empty()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    OnTrail,
    Done,
}

/// A walk up the parents. Its depth is that of the graph, which has at most `NODES_MAX` nodes.
struct Walk<'p> {
    parents: &'p [Vec<usize>],
    state: Vec<State>,
    trail: Vec<usize>,
    cycles: Vec<Vec<usize>>,
}

impl Walk<'_> {
    fn visit(&mut self, node: usize) {
        match self.state[node] {
            State::Done => {}
            State::OnTrail => {
                let from = self.trail.iter().position(|index| *index == node).unwrap_or_default();
                self.cycles.push(self.trail[from..].to_vec());
            }
            State::New => {
                self.state[node] = State::OnTrail;
                self.trail.push(node);
                self.parents[node].iter().for_each(|parent| self.visit(*parent));
                self.trail.pop();
                self.state[node] = State::Done;
            }
        }
    }
}

fn report_cycle(written: &[Written<'_>], parents: &[Vec<usize>], cycle: &[usize]) {
    let Some(first) = cycle.first() else { return };
    let names: Vec<&str> =
        cycle.iter().chain(Some(first)).map(|index| written[*index].node.name.as_str()).collect();
    let message = format!("nodes depend on each other in a circle: {}", names.join(" → "));
    let next = cycle.get(1).unwrap_or(first);
    let through = parents[*first].iter().position(|parent| parent == next).unwrap_or_default();
    if let Some(named) = written[*first].parents.get(through) {
        named.spot.problem(&message, Some("one of them must not depend on another"));
    }
}
