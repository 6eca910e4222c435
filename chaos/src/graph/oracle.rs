//! What a run of a graph must deliver and ask for, as the job's definition says: a walk down the graph over the source's
//! data. Knows nothing of checkpoints, frames or batches; that is the point.

use std::collections::{BTreeMap, BTreeSet};

use super::data::{List, PAGE, Record};
use super::{Asks, Graph, Kind, Request, Transform, hooks, ids, is_full};

/// What filters let pass is above this.
const FILTERED: u64 = 40;

/// What a run must do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// By webhook and node: the records' ids in the order in which they come. Not of nodes that track changes.
    pub(crate) records: BTreeMap<(String, String), Vec<String>>,
    /// By node that tracks changes: what its list holds in this run, with each record's content.
    pub(crate) tracked: BTreeMap<String, BTreeMap<String, u64>>,
    /// By webhook: the nodes that track changes whose records go there.
    pub(crate) tracked_at: BTreeSet<(String, String)>,
    /// The lists that are asked for: resource and parent.
    pub(crate) lists: BTreeSet<(String, String)>,
    /// By webhook and node: how many records a delivery holds at most.
    pub(crate) records_max: BTreeMap<(String, String), usize>,
}

impl Expected {
    /// What a run of `graph` for an account must do.
    pub(crate) fn of(graph: &Graph, account: &str, run: &str) -> Self {
        let mut walk = Walk {
            graph,
            account,
            run,
            is_full: is_full(account),
            out: vec![Vec::new(); graph.nodes.len()],
            spooled: vec![Vec::new(); graph.nodes.len()],
            expected: Self::default(),
        };
        for root in (0..graph.nodes.len()).filter(|index| graph.nodes[*index].parents.is_empty()) {
            walk.step(root, "");
        }
        let Walk { out, mut expected, .. } = walk;
        let hooks = hooks(graph, account);
        for (index, (node, records)) in graph.nodes.iter().zip(&out).enumerate() {
            let own = node.request().and_then(|request| request.batch);
            let mut go = |hook: usize, batch: Option<super::Batch>, mark: &str| {
                let at = (hooks[hook].clone(), node.name.clone());
                if let Some(batch) = batch {
                    expected.records_max.insert(at.clone(), batch.records_max);
                }
                if node.request().is_some_and(|request| request.changes) {
                    expected.tracked_at.insert(at);
                } else {
                    let marked = records.iter().map(|id| format!("{id}{mark}"));
                    expected.records.insert(at, marked.collect());
                }
            };
            if graph.sinks.is_empty() && node.persist && node.is_records() {
                go(0, own, "");
            }
            for sink in graph.sinks.iter().filter(|sink| !sink.only_full || is_full(account)) {
                if sink.takes.contains(&index) {
                    go(sink.hook, sink.batch.or(own), if sink.marks { "@" } else { "" });
                }
            }
        }
        expected
    }

    /// How many pages it is, about.
    pub(crate) fn pages(&self) -> usize {
        let lists = self.records.values().map(|ids| ids.len().div_ceil(PAGE)).sum::<usize>();
        let per_list = self.lists.len().saturating_sub(1);
        lists.max(per_list)
    }
}

struct Walk<'g> {
    graph: &'g Graph,
    account: &'g str,
    run: &'g str,
    is_full: bool,
    /// Each node's records.
    out: Vec<Vec<String>>,
    /// What spools have collected.
    spooled: Vec<Vec<Record>>,
    expected: Expected,
}

impl Walk<'_> {
    fn is_left_out(&self, index: usize) -> bool {
        self.graph.nodes[index].only_full && !self.is_full
    }

    /// A request, once: for the record `parent`, or for the run.
    fn step(&mut self, index: usize, parent: &str) {
        let Some(request) = self.graph.nodes[index].request().filter(|_| !self.is_left_out(index)) else {
            return;
        };
        if request.asks == Asks::EachArgument {
            ids(self.account).iter().for_each(|id| self.list(index, request, id));
        } else {
            self.list(index, request, parent);
        }
        self.end(index);
    }

    /// A request for each of a batch's ids that an `add_context` found.
    fn loop_on_context(&mut self, index: usize, batch: &[Record]) {
        let Some(request) = self.graph.nodes[index].request().filter(|_| !self.is_left_out(index)) else {
            return;
        };
        batch.iter().for_each(|record| self.list(index, request, &record.id));
        self.end(index);
    }

    /// All pages of a list, each with what is below it before the next one.
    fn list(&mut self, index: usize, request: &Request, parent: &str) {
        let list = List { account: self.account, resource: &request.resource, parent, run: self.run };
        self.expected.lists.insert((request.resource.clone(), parent.to_owned()));
        let records = list.records();
        if request.changes {
            let name = self.graph.nodes[index].name.clone();
            let content = records.into_iter().map(|record| (record.id, record.n)).collect();
            self.expected.tracked.insert(name, content);
            return;
        }
        for page in records.chunks(PAGE) {
            self.batch(index, page);
            for record in page.iter().filter(|record| request.recurses && record.more) {
                self.list(index, request, &record.id);
            }
        }
    }

    /// Records of a node go to the nodes below it.
    fn batch(&mut self, index: usize, batch: &[Record]) {
        if batch.is_empty() {
            return;
        }
        self.out[index].extend(batch.iter().map(|record| record.id.clone()));
        let mut for_each = Vec::new();
        for child in self.graph.children(index) {
            match &self.graph.nodes[child].kind {
                _ if self.is_left_out(child) => {}
                Kind::Transform(transform) => self.batch(child, &transformed(*transform, batch)),
                Kind::Spool => self.spooled[child].extend_from_slice(batch),
                Kind::AddContext => {
                    for loops in self.graph.children(child) {
                        self.loop_on_context(loops, batch);
                    }
                }
                Kind::Request(_) => for_each.push(child),
            }
        }
        for record in batch {
            for_each.iter().for_each(|child| self.step(*child, &record.id));
        }
    }

    /// A step is through: what was spooled of it is passed on.
    fn end(&mut self, index: usize) {
        for spool in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[spool];
            let waits_for = node.parents.iter().map(|parent| self.bringer(*parent)).max();
            if node.kind == Kind::Spool && waits_for == Some(index) {
                let collected = std::mem::take(&mut self.spooled[spool]);
                self.batch(spool, &collected);
                self.end(spool);
            }
        }
    }

    /// The request or the spool whose records reach a node through transforms.
    fn bringer(&self, index: usize) -> usize {
        let node = &self.graph.nodes[index];
        match (&node.kind, node.parents.first()) {
            (Kind::Transform(_) | Kind::AddContext, Some(parent)) => self.bringer(*parent),
            _ => index,
        }
    }
}

fn transformed(transform: Transform, batch: &[Record]) -> Vec<Record> {
    match transform {
        Transform::Rename => {
            let renamed =
                |record: &Record| Record { id: format!("{}t", record.id), n: record.n, more: false };
            batch.iter().map(renamed).collect()
        }
        Transform::Filter => batch.iter().filter(|record| record.n > FILTERED).cloned().collect(),
        Transform::Count => vec![Record { id: format!("count {}", batch.len()), n: 0, more: false }],
    }
}
