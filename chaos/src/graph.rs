//! Random jobs of typed nodes, each with what a run of it must deliver: told from the job and the source's data alone, by
//! [`oracle`], which shares nothing with the product's engine.
//!
//! [`draw`] makes a graph from a seed, [`definition`] writes it as a sync job, [`data`] is what the source answers.

pub(crate) mod data;
pub(crate) mod definition;
mod draw;
pub(crate) mod oracle;
#[cfg(test)]
mod tests;

use crate::plan::RECEIVERS;

pub(crate) use draw::of_seed;

/// Accounts that runs of graphs are pushed for: few, so that each job has several runs of an account.
pub(crate) const ACCOUNTS: usize = 3;
/// The name of the state cell of jobs that have one.
pub(crate) const CELL: &str = "last";
/// The name of the state cell that each of their runs writes when it starts and deletes when it ends, however it ends.
pub(crate) const CELL_OF_RUN: &str = "begun";
/// What a run finds in the cell when none was before it.
pub(crate) const CELL_EMPTY: &str = "none";
/// Levels that a recursion goes down to below a record; the source's records have fewer.
const RECURSION_MAX: usize = 6;

/// A job of typed nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Graph {
    /// The job's id.
    pub(crate) name: String,
    /// Its place among the trial's graphs.
    pub(crate) number: usize,
    pub(crate) nodes: Vec<Node>,
    /// Where records go; without any they go to the run's webhook.
    pub(crate) sinks: Vec<Sink>,
    /// It reads a state cell first, and writes it when it is complete; another one it holds while it runs.
    pub(crate) has_state: bool,
}

/// One node. It stands behind its parents in the job's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) parents: Vec<usize>,
    pub(crate) kind: Kind,
    /// Only runs in the mode `full` do it.
    pub(crate) only_full: bool,
    /// Of a graph without sinks: whether its records are delivered.
    pub(crate) persist: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Request(Request),
    Transform(Transform),
    /// Adds its batch's ids to the context, for a request below that loops on them.
    AddContext,
    Spool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The integration's resource.
    pub(crate) resource: String,
    pub(crate) asks: Asks,
    /// Again for each of its records that has more below it.
    pub(crate) recurses: bool,
    pub(crate) concurrency: u16,
    pub(crate) batch: Option<Batch>,
    /// Only what was added, updated or deleted.
    pub(crate) changes: bool,
    pub(crate) end_of_resource: bool,
}

/// How often a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Once,
    /// For each of the run's argument `ids`.
    EachArgument,
    /// For each record of its parent.
    EachRecord,
    /// For each id that its parent, an `add_context`, found.
    EachInContext,
}

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transform {
    /// Each record under another id.
    Rename,
    /// Some of the records.
    Filter,
    /// One record that says how many there were.
    Count,
}

/// How records are divided among deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) records_max: usize,
    pub(crate) merges: bool,
}

/// A destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sink {
    /// 0 for the run's argument `first`, 1 for `second`.
    pub(crate) hook: usize,
    pub(crate) takes: Vec<usize>,
    pub(crate) batch: Option<Batch>,
    /// It marks each record's id.
    pub(crate) marks: bool,
    /// Only runs in the mode `full` have it.
    pub(crate) only_full: bool,
}

impl Graph {
    /// The nodes right below `index`.
    fn children(&self, index: usize) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(move |child| self.nodes[*child].parents.contains(&index))
    }

    /// The names of the node types and features in it, for the report.
    pub(crate) fn features(&self) -> Vec<&'static str> {
        let mut features: Vec<&'static str> = self.nodes.iter().flat_map(Node::features).collect();
        features.extend(self.sinks.iter().flat_map(|sink| {
            [Some("destination"), sink.batch.map(Batch::feature), sink.marks.then_some("expression")]
                .into_iter()
                .flatten()
        }));
        features.extend((self.sinks.len() > 1).then_some("several_destinations"));
        let is_conditional =
            self.nodes.iter().any(|node| node.only_full) || self.sinks.iter().any(|sink| sink.only_full);
        features.extend(is_conditional.then_some("run_if"));
        features.extend(self.has_state.then_some("state"));
        features.sort_unstable();
        features.dedup();
        features
    }

    /// Below a recursion the order between levels is nobody's promise.
    pub(crate) fn is_ordered(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let passes_on = !matches!(node.kind, Kind::Request(_));
        node.parents.iter().all(|parent| {
            let recurses = matches!(&self.nodes[*parent].kind, Kind::Request(request) if request.recurses);
            self.is_ordered(*parent) && (passes_on && self.nodes[*parent].is_records() || !recurses)
        })
    }
}

impl Node {
    fn is_records(&self) -> bool {
        !matches!(self.kind, Kind::AddContext)
    }

    pub(crate) fn request(&self) -> Option<&Request> {
        match &self.kind {
            Kind::Request(request) => Some(request),
            Kind::Transform(_) | Kind::AddContext | Kind::Spool => None,
        }
    }

    fn features(&self) -> Vec<&'static str> {
        let Kind::Request(request) = &self.kind else {
            return match self.kind {
                Kind::Transform(_) => vec!["transform"],
                Kind::AddContext => vec!["add_context"],
                Kind::Spool if self.parents.len() > 1 => vec!["spool", "spool_of_two"],
                Kind::Spool | Kind::Request(_) => vec!["spool"],
            };
        };
        let mut features = vec![match request.asks {
            Asks::Once => "request",
            Asks::EachArgument => "loop_on_args",
            Asks::EachRecord => "each_record",
            Asks::EachInContext => "loop_on_context",
        }];
        features.extend(request.recurses.then_some("recurse"));
        features.extend((request.concurrency > 1).then_some("concurrency"));
        features.extend(request.batch.map(Batch::feature));
        features.extend(request.changes.then_some("changes"));
        features.extend(request.end_of_resource.then_some("end_of_resource"));
        features
    }
}

impl Batch {
    fn feature(self) -> &'static str {
        if self.merges { "merge" } else { "split" }
    }
}

/// The n-th account.
pub(crate) fn account(number: usize) -> String {
    format!("graph-{number}")
}

/// The number in an account's name.
fn number_of(account: &str) -> usize {
    account.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The webhooks that the runs of a graph for an account deliver to, `first` and `second`: always the same ones, as what
/// is remembered of records is that of the account.
pub(crate) fn hooks(graph: &Graph, account: &str) -> [String; 2] {
    let first = (graph.number + number_of(account)) % RECEIVERS;
    [first, (first + 1) % RECEIVERS].map(|number| format!("hook-{number}"))
}

/// The argument `ids` of an account's runs.
pub(crate) fn ids(account: &str) -> Vec<String> {
    (0..2 + number_of(account)).map(|number| format!("a{number}")).collect()
}

/// Whether an account's runs have the mode `full`.
pub(crate) fn is_full(account: &str) -> bool {
    number_of(account) != 1
}
