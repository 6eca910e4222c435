//! From a job's nodes to the plan's.

use std::time::Duration;

use super::keeps::Keeps;
use super::order::{Home, Order, Place};
use super::{Collects, Plan, PlanError, PlanKind, PlanNode, Target};
use crate::definition::Integration;
use crate::definition::integration::OnUnauthorized;
use crate::definition::job::{Batching, Generation, Moment, Node, NodeKind, Request, SyncJob};
use crate::expression::Reads;

/// How many records a merged delivery holds when the job doesn't say.
const MERGED_RECORDS_DEFAULT: u64 = 1000;
/// How many bytes of records a merged delivery holds when the job doesn't say.
const MERGED_BYTES_DEFAULT: u64 = 1 << 20;

pub(super) fn plan(job: &SyncJob, integration: Option<&Integration>) -> Result<Plan, PlanError> {
    let mut nodes: Vec<PlanNode> = job.nodes.iter().map(|node| plan_node(node, integration)).collect();
    name_records(job, &mut nodes);
    let mut places: Vec<Option<Place>> =
        (0..nodes.len()).map(|index| place(job, &nodes, index)).collect::<Result<_, _>>()?;
    let mut owners: Vec<usize> = (0..nodes.len()).map(|index| owner(job, index)).collect();
    direct(job, &mut nodes);
    for (index, node) in job.nodes.iter().enumerate() {
        if is_flow(job, node) || matches!(node.kind, NodeKind::Spool { .. }) {
            node.parents.iter().for_each(|parent| nodes[*parent].flows.push(index));
        }
    }
    for merged in merge(&mut nodes) {
        places.push(Some(Place::Last(merged)));
        owners.push(owners.len());
    }
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let sequences = Order { places: &places, owners: &owners, names: &names }.sequences()?;
    let of = |home: Home| sequences.get(&home).cloned().unwrap_or_default();
    for (index, node) in nodes.iter_mut().enumerate() {
        node.each_record = of(Home::EachRecord(index));
        node.each_batch = of(Home::EachBatch(index));
    }
    for index in 0..nodes.len() {
        nodes[index].keeps = Keeps::needed(&nodes, index);
    }
    for index in 0..nodes.len() {
        nodes[index].defers = defers(&nodes, index);
        nodes[index].arguments = arguments(&nodes[index].reads);
    }
    keep_for_joins(job, &mut nodes, sequences.values());
    let mut roots = of(Home::Root);
    // What hangs on the start comes first, and cells that are known everywhere, however the nodes were written.
    for step in &roots {
        let is_first = job.nodes.get(*step).is_some_and(|node| node.parents.is_empty());
        nodes[*step].is_everywhere = is_first && matches!(nodes[*step].kind, PlanKind::GetState { .. });
    }
    roots.sort_by_key(|step| {
        let begins = matches!(nodes[*step].kind, PlanKind::Event(Moment::Start));
        (!begins, !nodes[*step].is_everywhere)
    });
    check_once(&nodes, &roots)?;
    Ok(Plan {
        roots,
        on_complete: of(Home::Complete),
        on_error: of(Home::Error),
        nodes,
        computes: job.nodes.iter().any(Node::computes),
        state_key: job.state_key.clone(),
        consecutive_errors_max: job.consecutive_errors_max,
        outage_budget: integration.map_or(Duration::ZERO, |integration| integration.retry.outage_budget),
        on_unauthorized: integration.map_or(OnUnauthorized::Fail, |integration| integration.on_unauthorized),
    })
}

fn plan_node(node: &Node, integration: Option<&Integration>) -> PlanNode {
    let (mut resource, mut method, mut batch) = (node.name.clone(), String::new(), None);
    let kind = match &node.kind {
        NodeKind::Request(request) => {
            resource.clone_from(&request.resource);
            method.clone_from(&request.method);
            batch = request.batch;
            PlanKind::Request(Box::new(plan_request(request, integration)))
        }
        NodeKind::Transform { expression, .. } => PlanKind::Transform(expression.clone()),
        NodeKind::AddContext { expression } => PlanKind::AddContext(expression.clone()),
        NodeKind::Spool { records_max, bytes_max, .. } => {
            PlanKind::Spool(Collects { records_max: *records_max, bytes_max: *bytes_max, overflows: false })
        }
        NodeKind::Destination(destination) => PlanKind::Destination(Box::new(destination.clone())),
        NodeKind::Event(moment) => PlanKind::Event(*moment),
        NodeKind::GetState { key, default } => {
            PlanKind::GetState { key: key.clone(), default: default.clone() }
        }
        NodeKind::UpdateState { key, value } => {
            PlanKind::UpdateState { key: key.clone(), value: value.clone() }
        }
        NodeKind::DeleteState { key } => PlanKind::DeleteState { key: key.clone() },
    };
    PlanNode {
        run_if: node.run_if.clone(),
        debug: node.debug,
        batch,
        reads: node.reads(),
        ..PlanNode::new(&node.name, resource, method, kind)
    }
}

fn plan_request(request: &Request, integration: Option<&Integration>) -> Request {
    let declared = integration
        .filter(|_| request.account.is_none())
        .and_then(|integration| integration.method(&request.resource, &request.method));
    Request { pages_max: request.pages_max.or(declared.map(|method| method.pages_max)), ..request.clone() }
}

/// Records keep the addresses of what they were made by, and what comes of requests for one resource keeps its name.
fn name_records(job: &SyncJob, nodes: &mut [PlanNode]) {
    for (index, node) in nodes.iter_mut().enumerate() {
        node.addresses = job.record_addresses(index);
        let origins = job.origins(index);
        let mut sources = origins.iter().filter_map(|origin| job.nodes[*origin].request());
        let Some(first) = sources.next().filter(|_| node.request().is_none()) else { continue };
        if sources.all(|other| other.resource == first.resource) {
            (node.resource, node.method) = (first.resource.clone(), first.method.clone());
        }
    }
}

/// The arguments that are read, by name; `None` for all of them.
fn arguments(reads: &Reads) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for path in &reads.paths {
        match path.as_slice() {
            [root] if root == "args" => return None,
            [root, name, ..] if root == "args" => names.push(name.clone()),
            // A bare name that a request loops on may be an argument.
            [name] => names.push(name.clone()),
            _ => {}
        }
    }
    names.sort();
    names.dedup();
    (!reads.everything).then_some(names)
}

/// Whether something follows from the records of `index` beyond deliveries that are made with their page.
fn defers(nodes: &[PlanNode], index: usize) -> bool {
    let node = &nodes[index];
    let steps = !node.each_record.is_empty() || !node.each_batch.is_empty();
    let collects = |flow: &usize| matches!(nodes[*flow].kind, PlanKind::Spool(_)) || defers(nodes, *flow);
    let recurses = node.request().is_some_and(|request| request.recurse.is_some());
    steps || recurses || node.flows.iter().any(collects)
}

fn is_flow(job: &SyncJob, node: &Node) -> bool {
    let computes = matches!(node.kind, NodeKind::Transform { .. } | NodeKind::AddContext { .. });
    computes && !node.parents.is_empty() && !is_join(job, node)
}

/// Whether a node joins spools: it depends on several nodes that pass on something once, and is done when all of them
/// are through.
fn is_join(job: &SyncJob, node: &Node) -> bool {
    let once = |parent: &usize| match job.nodes[*parent].kind {
        NodeKind::Spool { .. } | NodeKind::GetState { .. } | NodeKind::Event(_) => true,
        NodeKind::Request(_)
        | NodeKind::Transform { .. }
        | NodeKind::AddContext { .. }
        | NodeKind::Destination(_)
        | NodeKind::UpdateState { .. }
        | NodeKind::DeleteState { .. } => false,
    };
    node.parents.len() > 1 && node.parents.iter().all(once) && !matches!(node.kind, NodeKind::Spool { .. })
}

/// A spool that is joined keeps what it collected until the last step that joins it is through.
fn keep_for_joins<'s>(
    job: &SyncJob,
    nodes: &mut [PlanNode],
    sequences: impl Iterator<Item = &'s Vec<usize>>,
) {
    for sequence in sequences {
        for &step in sequence {
            let Some(node) = job.nodes.get(step).filter(|node| is_join(job, node)) else { continue };
            let spools = node.parents.iter().copied().filter(|parent| sequence.contains(parent));
            nodes[step].joins =
                spools.filter(|parent| matches!(nodes[*parent].kind, PlanKind::Spool(_))).collect();
        }
        for &spool in sequence {
            let last = sequence.iter().rev().find(|step| nodes[**step].joins.contains(&spool)).copied();
            if let Some(last) = last {
                nodes[spool].is_kept = true;
                nodes[last].empties.push(spool);
            }
        }
    }
}

/// The step that brings the batches of `index`: itself, or that of the first node it depends on.
fn owner(job: &SyncJob, index: usize) -> usize {
    let mut here = index;
    for _ in 0..job.nodes.len() {
        match job.nodes[here].parents.first() {
            Some(parent) if is_flow(job, &job.nodes[here]) => here = *parent,
            Some(_) | None => break,
        }
    }
    here
}

/// How the node at `index` comes to be done; `None` when it is no step.
fn place(job: &SyncJob, nodes: &[PlanNode], index: usize) -> Result<Option<Place>, PlanError> {
    let node = &job.nodes[index];
    let parents = &node.parents;
    Ok(match &node.kind {
        NodeKind::Destination(_) => None,
        _ if is_flow(job, node) => None,
        NodeKind::Event(Moment::Complete) => Some(Place::Top(Home::Complete)),
        NodeKind::Event(Moment::Error) => Some(Place::Top(Home::Error)),
        NodeKind::Spool { .. } if parents.is_empty() => {
            let message = format!("node {:?} depends on nothing, so there is nothing to collect", node.name);
            return Err(PlanError { message, node: index });
        }
        _ if parents.is_empty() => Some(Place::Top(Home::Root)),
        NodeKind::Request(_) => Some(request_place(job, nodes, index)?),
        NodeKind::Spool { .. } => Some(Place::After(parents.clone())),
        NodeKind::Event(_)
        | NodeKind::GetState { .. }
        | NodeKind::UpdateState { .. }
        | NodeKind::DeleteState { .. }
        | NodeKind::Transform { .. }
        | NodeKind::AddContext { .. } => Some(match parents.as_slice() {
            [one] if has_records(job, *one) => within(Home::EachBatch(*one)),
            [one] => within(Home::EachRecord(*one)),
            _ => Place::After(parents.clone()),
        }),
    })
}

fn within(home: Home) -> Place {
    Place::Within { homes: vec![home], after: Vec::new() }
}

/// Whether the batches of `index` are records, rather than a moment or a value.
fn has_records(job: &SyncJob, index: usize) -> bool {
    source(job, index).is_some()
}

/// The node whose records a batch of `index` holds: added context passes on what it got.
fn source(job: &SyncJob, index: usize) -> Option<usize> {
    let mut here = index;
    for _ in 0..job.nodes.len() {
        match &job.nodes[here].kind {
            NodeKind::Request(_) | NodeKind::Spool { .. } | NodeKind::Transform { .. } => return Some(here),
            NodeKind::AddContext { .. } => here = *job.nodes[here].parents.first()?,
            NodeKind::Destination(_)
            | NodeKind::Event(_)
            | NodeKind::GetState { .. }
            | NodeKind::UpdateState { .. }
            | NodeKind::DeleteState { .. } => return None,
        }
    }
    None
}

/// A request is made for each record of the parent whose records it speaks of; once for each batch, when it speaks of
/// the batch or something was added to the context on the way; and once, after its parents, when it uses nothing of theirs. In a
/// flat list it is always made for each record.
fn request_place(job: &SyncJob, nodes: &[PlanNode], index: usize) -> Result<Place, PlanError> {
    let parents = &job.nodes[index].parents;
    let reads = &nodes[index].reads;
    let mut homes: Vec<(usize, Home)> = Vec::new();
    for &parent in parents {
        let home = match source(job, parent) {
            None => Some(Home::EachRecord(parent)),
            Some(_) if job.generation == Generation::Flat && parents.len() == 1 => {
                Some(Home::EachRecord(parent))
            }
            Some(source) => {
                let own = [parent, source];
                match used(nodes, &own, reads, job.nodes[index].request()) {
                    Use::Record => Some(Home::EachRecord(parent)),
                    Use::Batch => Some(Home::EachBatch(parent)),
                    Use::Nothing if adds_context(job, parent) => Some(Home::EachBatch(parent)),
                    Use::Nothing => None,
                }
            }
        };
        homes.extend(home.map(|home| (parent, home)));
    }
    let of_records = homes.iter().any(|(_, home)| matches!(home, Home::EachRecord(_)));
    if is_join(job, &job.nodes[index]) && !of_records {
        return Ok(Place::After(parents.clone()));
    }
    if let Some((parent, home)) = innermost(job, &homes) {
        let after = parents
            .iter()
            .copied()
            .filter(|other| *other != parent && !homes.iter().any(|(used, _)| used == other));
        return Ok(Place::Within { homes: vec![home], after: after.collect() });
    }
    if homes.is_empty() {
        return Ok(Place::After(parents.clone()));
    }
    // Parents that know nothing of each other: it is done for the records of each of them, so each must have all that
    // it uses.
    let speaks_of = |parent: usize, path: &[String]| {
        let own = [Some(parent), source(job, parent)];
        let rest = path.split_first().filter(|(root, _)| *root == "resources").map(|(_, rest)| rest);
        rest.is_some_and(|rest| own.into_iter().flatten().any(|node| nodes[node].strip(rest).is_some()))
    };
    let of_any = reads.paths.iter().filter(|path| homes.iter().any(|(parent, _)| speaks_of(*parent, path)));
    let all_same = of_any.clone().all(|path| homes.iter().all(|(parent, _)| speaks_of(*parent, path)));
    if !all_same {
        let names: Vec<String> =
            homes.iter().map(|(parent, _)| format!("{:?}", nodes[*parent].name)).collect();
        let message = format!(
            "node {:?} uses the records of {}, and none of these depends on the others; collect them in a spool and \
             join them in a transform",
            nodes[index].name,
            names.join(" and ")
        );
        return Err(PlanError { message, node: index });
    }
    let after = parents.iter().copied().filter(|other| !homes.iter().any(|(used, _)| used == other));
    Ok(Place::Within { after: after.collect(), homes: homes.iter().map(|(_, home)| *home).collect() })
}

/// Whether something is added to the context on the way of a batch of `index`: it is known there only.
fn adds_context(job: &SyncJob, index: usize) -> bool {
    let node = &job.nodes[index];
    let adds = matches!(node.kind, NodeKind::AddContext { .. });
    adds || (is_flow(job, node) && node.parents.iter().any(|parent| adds_context(job, *parent)))
}

/// Of several parents the one that depends on all others.
fn innermost(job: &SyncJob, homes: &[(usize, Home)]) -> Option<(usize, Home)> {
    homes.iter().copied().find(|(parent, _)| {
        let above = job.ancestors(*parent);
        homes.iter().all(|(other, _)| other == parent || above.contains(other))
    })
}

enum Use {
    Record,
    Batch,
    Nothing,
}

/// What a request uses of a parent's batch, which is found under the names of `own`. A number after the name is a place
/// in the batch, so it speaks of the whole.
fn used(nodes: &[PlanNode], own: &[usize], reads: &Reads, request: Option<&Request>) -> Use {
    let rest = |path: &[String]| {
        let (root, rest) = path.split_first()?;
        let rest = (root == "resources").then_some(rest)?;
        let rest = own.iter().find_map(|node| nodes[*node].strip(rest))?;
        Some(rest.first().is_some_and(|step| step.parse::<usize>().is_err()))
    };
    if request.and_then(|request| request.loop_on.as_ref()).is_some_and(|path| rest(path).is_some()) {
        return Use::Record;
    }
    let used: Vec<bool> = reads.paths.iter().filter_map(|path| rest(path)).collect();
    if reads.everything || used.contains(&true) {
        Use::Record
    } else if used.is_empty() {
        Use::Nothing
    } else {
        Use::Batch
    }
}

/// Where each node's batches go: to the destinations that name it, or to all webhooks where there are none.
fn direct(job: &SyncJob, nodes: &mut [PlanNode]) {
    let mut has_destinations = false;
    for (index, node) in job.nodes.iter().enumerate() {
        if let NodeKind::Destination(destination) = &node.kind {
            has_destinations = true;
            for taken in &destination.takes {
                nodes[*taken].targets.push(Target::Destination(index));
            }
        }
    }
    if has_destinations {
        return;
    }
    for (index, node) in job.nodes.iter().enumerate() {
        if node.persist() == Some(true) {
            nodes[index].targets.push(Target::All);
        }
    }
}

/// Puts a spool that overflows between a node and each target for which small pages are merged. Returns the nodes
/// whose batches the new ones, at the end of `nodes`, collect.
fn merge(nodes: &mut Vec<PlanNode>) -> Vec<usize> {
    let mut merged = Vec::new();
    for index in 0..nodes.len() {
        let targets = std::mem::take(&mut nodes[index].targets);
        let (together, direct): (Vec<Target>, Vec<Target>) = targets
            .into_iter()
            .partition(|target| batching(nodes, index, *target).is_some_and(|batch| batch.merge));
        nodes[index].targets = direct;
        for target in together {
            let batch = batching(nodes, index, target);
            let collects = Collects {
                records_max: batch.and_then(|batch| batch.records_max).unwrap_or(MERGED_RECORDS_DEFAULT),
                bytes_max: batch.and_then(|batch| batch.bytes_max).unwrap_or(MERGED_BYTES_DEFAULT),
                overflows: true,
            };
            let node = &nodes[index];
            let (resource, method) = (node.resource.clone(), node.method.clone());
            let spool = PlanNode {
                targets: vec![target],
                batch,
                ..PlanNode::new(&node.name, resource, method, PlanKind::Spool(collects))
            };
            let at = nodes.len();
            nodes[index].flows.push(at);
            nodes.push(spool);
            merged.push(index);
        }
    }
    merged
}

/// How batches of `nodes[index]` are divided for `target`.
pub(super) fn batching(nodes: &[PlanNode], index: usize, target: Target) -> Option<Batching> {
    let of_target = match target {
        Target::All => None,
        Target::Destination(destination) => match &nodes[destination].kind {
            PlanKind::Destination(destination) => destination.batch,
            PlanKind::Request(_)
            | PlanKind::Spool(_)
            | PlanKind::GetState { .. }
            | PlanKind::UpdateState { .. }
            | PlanKind::DeleteState { .. }
            | PlanKind::Event(_)
            | PlanKind::Transform(_)
            | PlanKind::AddContext(_) => None,
        },
    };
    of_target.or(nodes[index].batch)
}

/// What is remembered of a node's records is of one whole list: one that is read once in a run.
fn check_once(nodes: &[PlanNode], roots: &[usize]) -> Result<(), PlanError> {
    let mut once: Vec<usize> = roots.to_vec();
    let mut at = 0;
    while let Some(&step) = once.get(at) {
        at += 1;
        if !nodes[step].has_records() {
            let mut flows = vec![step];
            while let Some(node) = flows.pop() {
                once.extend(
                    nodes[node]
                        .each_record
                        .iter()
                        .filter(|below| !once.contains(below))
                        .copied()
                        .collect::<Vec<_>>(),
                );
                flows.extend(
                    nodes[node]
                        .flows
                        .iter()
                        .filter(|flow| matches!(nodes[**flow].kind, PlanKind::AddContext(_))),
                );
            }
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        let Some(request) = node.request() else { continue };
        let merges =
            |flow: &usize| matches!(nodes[*flow].kind, PlanKind::Spool(collects) if collects.overflows);
        if request.changes.as_ref().is_some_and(|changes| changes.compare) && node.flows.iter().any(merges) {
            let message = format!(
                "node {:?}: changes are told page by page, and can't be merged; leave batch.merge out",
                node.name
            );
            return Err(PlanError { message, node: index });
        }
        if request.incremental.is_some() && request.loop_on.is_some() {
            let message = format!(
                "node {:?}: incremental keeps one cursor, which a new element of loop_on would begin at; leave one of them \
                 out",
                node.name
            );
            return Err(PlanError { message, node: index });
        }
        let remembers = request.changes.is_some() || request.incremental.is_some();
        if remembers && !once.contains(&index) {
            let message = format!(
                "node {:?}: changes, delete_tracking and incremental need a list that is read once in a run; this one is \
                 read for each record of another node, or when the run ends",
                node.name
            );
            return Err(PlanError { message, node: index });
        }
    }
    Ok(())
}
