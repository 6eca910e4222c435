//! Draws graphs. Each of a trial's graphs has a theme, a feature that it must have, so that no trial goes without any.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::oracle::Expected;
use super::{ACCOUNTS, Asks, Batch, Graph, Kind, Node, Request, Sink, Transform, account};

/// What the graphs of each trial have in turn.
pub(crate) const THEMES: [&[&str]; 9] = [
    &["each_record", "concurrency"],
    &["transform", "each_record"],
    &["loop_on_context"],
    &["spool", "each_record"],
    &["spool_of_two", "loop_on_args"],
    &["recurse"],
    &["split", "merge"],
    &["state", "several_destinations"],
    &["changes"],
];

/// How often a graph is drawn until it has its theme; the rarest theme is met once in a few dozen.
const DRAWS_MAX: usize = 20_000;
/// Pages that a run of a graph may bring at most, and at least.
const PAGES: std::ops::RangeInclusive<usize> = 3..=28;
/// How deep requests may hang below requests.
const DEPTH_MAX: usize = 2;

/// The graphs of a trial.
pub(crate) fn of_seed(seed: u64) -> Vec<Graph> {
    let mut dice = StdRng::seed_from_u64(seed ^ 0x6772_6170_6873);
    THEMES
        .iter()
        .enumerate()
        .map(|(number, theme)| {
            let mut drawn = (0..DRAWS_MAX).map(|_| graph(&mut dice, number));
            #[expect(clippy::expect_used, reason = "a test draws the graphs of many seeds")]
            drawn.find(|graph| is_wanted(graph, theme)).expect("no graph of a theme was drawn")
        })
        .collect()
}

fn is_wanted(graph: &Graph, theme: &[&str]) -> bool {
    let features = graph.features();
    theme.iter().all(|wanted| features.contains(wanted))
        && (0..ACCOUNTS).all(|number| PAGES.contains(&Expected::of(graph, &account(number), "").pages()))
}

fn graph(dice: &mut StdRng, number: usize) -> Graph {
    let has_state = dice.random_range(0..3) == 0;
    let mut graph =
        Graph { name: format!("graph-{number}"), number, nodes: Vec::new(), sinks: Vec::new(), has_state };
    let count = dice.random_range(2..=6);
    while graph.nodes.len() < count {
        let parent = (dice.random_range(0..10) < 7)
            .then(|| dice.random_range(0..graph.nodes.len().max(1)))
            .filter(|parent| is_parent(&graph, *parent));
        match parent {
            Some(parent) => below(dice, &mut graph, parent),
            None => root(dice, &mut graph),
        }
    }
    sinks(dice, &mut graph);
    graph
}

/// Whether nodes may stand below this one.
fn is_parent(graph: &Graph, index: usize) -> bool {
    match graph.nodes.get(index).map(|node| &node.kind) {
        Some(Kind::Request(request)) => !request.changes,
        Some(Kind::Transform(transform)) => *transform != Transform::Count,
        Some(Kind::Spool) => true,
        Some(Kind::AddContext) | None => false,
    }
}

/// How many requests stand above a node, itself included.
fn depth(graph: &Graph, index: usize) -> usize {
    let node = &graph.nodes[index];
    let above = node.parents.iter().map(|parent| depth(graph, *parent)).max().unwrap_or_default();
    above + usize::from(node.request().is_some())
}

fn below(dice: &mut StdRng, graph: &mut Graph, parent: usize) {
    let may_ask = depth(graph, parent) < DEPTH_MAX;
    let is_spool = graph.nodes[parent].kind == Kind::Spool;
    match dice.random_range(0..10) {
        0..3 => {
            let transform = match dice.random_range(0..3) {
                0 => Transform::Rename,
                1 => Transform::Filter,
                _ => Transform::Count,
            };
            add(dice, graph, vec![parent], Kind::Transform(transform));
        }
        3..5 if !is_spool => {
            let is_root = |node: &Node| node.parents.is_empty() && !node.only_full;
            let others: Vec<usize> = (0..graph.nodes.len())
                .filter(|other| *other != parent && is_root(&graph.nodes[*other]) && is_parent(graph, *other))
                .collect();
            // Lists that depend on a state cell stand elsewhere than others.
            let joins = is_root(&graph.nodes[parent]) && !graph.has_state && !others.is_empty();
            let mut parents = vec![parent];
            if joins && dice.random_range(0..3) > 0 {
                parents.push(others[dice.random_range(0..others.len())]);
                parents.sort_unstable();
            }
            add(dice, graph, parents, Kind::Spool);
        }
        5 if may_ask => {
            let context = graph.nodes.len();
            add(dice, graph, vec![parent], Kind::AddContext);
            let request = request(dice, graph, Asks::EachInContext);
            add(dice, graph, vec![context], Kind::Request(request));
        }
        _ if may_ask => {
            let request = request(dice, graph, Asks::EachRecord);
            add(dice, graph, vec![parent], Kind::Request(request));
        }
        _ => add(dice, graph, vec![parent], Kind::Transform(Transform::Rename)),
    }
}

fn root(dice: &mut StdRng, graph: &mut Graph) {
    let asks = if dice.random_range(0..4) == 0 { Asks::EachArgument } else { Asks::Once };
    let mut request = request(dice, graph, asks);
    if asks == Asks::Once && dice.random_range(0..5) == 0 {
        request.changes = true;
        request.recurses = false;
        // Merged pages don't say what happened to their records.
        request.batch = request.batch.filter(|batch| !batch.merges);
        request.resource = format!("v{}", graph.nodes.len());
    }
    add(dice, graph, Vec::new(), Kind::Request(request));
}

fn request(dice: &mut StdRng, graph: &Graph, asks: Asks) -> Request {
    let is_below = matches!(asks, Asks::EachRecord | Asks::EachInContext);
    Request {
        resource: format!("r{}", graph.nodes.len()),
        asks,
        recurses: !is_below && dice.random_range(0..5) == 0,
        concurrency: if is_below { dice.random_range(1..=4) } else { 1 },
        batch: (dice.random_range(0..4) == 0).then(|| batch(dice)),
        changes: false,
        end_of_resource: dice.random_range(0..6) == 0,
    }
}

fn batch(dice: &mut StdRng) -> Batch {
    Batch { records_max: dice.random_range(2..=9), merges: dice.random_range(0..2) == 0 }
}

fn add(dice: &mut StdRng, graph: &mut Graph, parents: Vec<usize>, kind: Kind) {
    let name = format!("n{}", graph.nodes.len());
    let only_full = kind != Kind::Spool && dice.random_range(0..10) == 0;
    graph.nodes.push(Node { name, parents, kind, only_full, persist: dice.random_range(0..5) > 0 });
}

fn sinks(dice: &mut StdRng, graph: &mut Graph) {
    for hook in 0..dice.random_range(0..=2) {
        let takes = (0..graph.nodes.len())
            .filter(|index| graph.nodes[*index].is_records())
            .filter(|_| dice.random_range(0..4) > 0)
            .collect::<Vec<_>>();
        if takes.is_empty() {
            continue;
        }
        // What a destination makes of a record is not what happened to it.
        let tracks =
            takes.iter().any(|index| graph.nodes[*index].request().is_some_and(|request| request.changes));
        graph.sinks.push(Sink {
            hook,
            takes,
            batch: (dice.random_range(0..4) == 0)
                .then(|| batch(dice))
                .filter(|batch| !tracks || !batch.merges),
            marks: !tracks && dice.random_range(0..3) == 0,
            // A run must deliver somewhere.
            only_full: !graph.sinks.is_empty() && dice.random_range(0..4) == 0,
        });
    }
    // The first webhook is the run's own.
    if let [sink] = graph.sinks.as_mut_slice() {
        sink.hook = 0;
    }
}
