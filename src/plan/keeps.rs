//! What a record keeps for the steps below it, so that a resume goes on with the same parents.

use super::{PlanNode, Target};
use crate::expression::Reads;
use crate::json::{self, Json};

/// What a record keeps for the steps below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeps {
    /// These members.
    Members(Vec<String>),
    /// All of it.
    Whole,
}

impl Keeps {
    /// The projection of `record`: what is kept of it, as JSON text.
    pub fn of(&self, record: &str) -> String {
        match self {
            Self::Whole => record.to_owned(),
            Self::Members(members) => {
                let kept = members.iter().filter_map(|member| {
                    let value = json::get(record, &[member])?;
                    Some(format!("{}:{value}", Json::string(member)))
                });
                format!("{{{}}}", kept.collect::<Vec<_>>().join(","))
            }
        }
    }

    /// What the records of the batches of `nodes[index]` keep: every member that a step below may ask for.
    pub(super) fn needed(nodes: &[PlanNode], index: usize) -> Self {
        let reads = below(nodes, index);
        if reads.everything {
            return Self::Whole;
        }
        let mut members: Vec<String> = Vec::new();
        for path in &reads.paths {
            let Some((root, rest)) = path.split_first() else { continue };
            if root != "resources" {
                continue;
            }
            match nodes[index].strip(rest) {
                None => {}
                Some([]) => return Self::Whole,
                Some([member, ..]) if members.contains(member) => {}
                Some([member, ..]) => members.push(member.clone()),
            }
        }
        members.sort();
        Self::Members(members)
    }
}

/// Everything that is read below the batches of `nodes[index]`.
fn below(nodes: &[PlanNode], index: usize) -> Reads {
    let mut reads = Reads::default();
    let mut seen = vec![false; nodes.len()];
    let mut open: Vec<usize> = steps_below(&nodes[index]);
    if nodes[index].request().is_some_and(|request| request.recurse.is_some()) {
        // The same request again: its own fields, and all below it.
        open.push(index);
    }
    while let Some(here) = open.pop() {
        if std::mem::replace(&mut seen[here], true) {
            continue;
        }
        let node = &nodes[here];
        reads.add(&node.reads);
        open.extend(steps_below(node));
        open.extend(&node.flows);
        open.extend(node.targets.iter().filter_map(|target| match target {
            Target::Destination(destination) => Some(*destination),
            Target::All => None,
        }));
    }
    reads
}

fn steps_below(node: &PlanNode) -> Vec<usize> {
    node.each_record.iter().chain(&node.each_batch).copied().collect()
}
