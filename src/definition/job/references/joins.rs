//! Two nodes' records in one place: which of one belong to which of the other?

use std::collections::BTreeSet;

use super::super::readings::{Reading, readings};
use super::super::{Node, NodeKind, SyncJob};
use super::{Refusal, ancestors, steps_naming};

/// Why a node may not use what it uses: records of two nodes of which neither is above the other. A transform may, when
/// both are spools.
pub(super) fn refusal(job: &SyncJob, index: usize) -> Option<Refusal> {
    let node = &job.nodes[index];
    if node.parents.len() < 2 {
        return None;
    }
    let used = used(job, index);
    let apart =
        |a: usize, b: usize| !ancestors(&job.nodes, a).contains(&b) && !ancestors(&job.nodes, b).contains(&a);
    let is_spool = |index: usize| matches!(job.nodes[index].kind, NodeKind::Spool { .. });
    let joins = matches!(node.kind, NodeKind::Transform { .. } | NodeKind::AddContext { .. });
    for &a in &used {
        for &b in used.iter().filter(|b| **b > a) {
            if !apart(a, b) || (joins && is_spool(a) && is_spool(b)) {
                continue;
            }
            let (first, second) = (&job.nodes[a].name, &job.nodes[b].name);
            let message = format!(
                "{:?} uses records of {first:?} and of {second:?}, and neither depends on the other",
                node.name
            );
            let hint =
                "spool them and join in a transform: depends_on both spools, config: { expression: … }";
            return Some(Refusal { message, hint: hint.to_owned() });
        }
    }
    None
}

/// The nodes whose records the one at `index` uses.
fn used(job: &SyncJob, index: usize) -> BTreeSet<usize> {
    let above = ancestors(&job.nodes, index);
    let mut used = BTreeSet::new();
    for (_, reading) in readings(&job.nodes[index]) {
        let paths = match reading {
            Reading::OwnRecord(_) | Reading::Webhook(_) => Vec::new(),
            Reading::Template(_) | Reading::Loop(_) | Reading::Expression(_) => reading.reads().paths,
        };
        for path in paths.iter().filter(|path| path[0] == "resources") {
            let named = |above: &&usize| steps_naming(&job.nodes, **above, &path[1..]).is_some();
            used.extend(above.iter().find(named).filter(|above| gives_records(&job.nodes[**above])));
        }
    }
    used
}

fn gives_records(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Request(_) | NodeKind::Transform { .. } | NodeKind::Spool { .. })
}
