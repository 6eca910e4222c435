//! The rules about graphs, each shown a history that keeps its promise and one that breaks it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check;
use crate::evidence::{Delivery, Evidence, Fetch, Page, Run};
use crate::graph::oracle::Expected;
use crate::graph::{Asks, CELL, CELL_EMPTY, CELL_OF_RUN, Graph, Kind, Node, Request};

const ACCOUNT: &str = "graph-0";
const HOOK: &str = "hook-0";

/// A list with another one below each of its records, or a list whose changes are told.
fn graph(changes: bool) -> Graph {
    let request = |resource: &str, parents: &[usize], asks| Node {
        name: resource.to_owned(),
        parents: parents.to_vec(),
        kind: Kind::Request(Request {
            resource: resource.to_owned(),
            asks,
            recurses: false,
            concurrency: 1,
            batch: None,
            changes,
            end_of_resource: false,
        }),
        only_full: false,
        persist: true,
    };
    let nodes = if changes {
        vec![request("v0", &[], Asks::Once)]
    } else {
        vec![request("r0", &[], Asks::Once), request("r1", &[0], Asks::EachRecord)]
    };
    Graph { name: "graph-0".to_owned(), number: 0, nodes, sinks: Vec::new(), has_state: true }
}

struct History {
    evidence: Evidence,
    graph: Graph,
    now: u64,
    before: String,
}

impl History {
    fn of(graph: Graph) -> Self {
        let mut evidence = Evidence::default();
        evidence.graphs.insert(graph.name.clone(), graph.clone());
        Self { evidence, graph, now: 1000, before: CELL_EMPTY.to_owned() }
    }

    fn send(&mut self, run: &str, event: &str, seq: Option<u64>, page: Option<Page>) {
        self.now += 100;
        self.evidence.deliveries.push(Delivery {
            at: Duration::from_millis(self.now),
            webhook: HOOK.to_owned(),
            run: run.to_owned(),
            event: event.to_owned(),
            seq,
            epoch: 7,
            id: format!("{run} {event} {seq:?}"),
            status: Some(200),
            page: page.map(Box::new),
        });
    }

    /// A run that tells these pages, asks for all there is, and leaves its id in the cell.
    fn run(&mut self, run: &str, pages: Vec<Page>) {
        self.send(run, "started", None, None);
        for (resource, parent) in Expected::of(&self.graph, ACCOUNT, run).lists {
            self.evidence.fetches.push(Fetch {
                at: Duration::from_millis(self.now),
                run: run.to_owned(),
                account: ACCOUNT.to_owned(),
                path: resource.clone(),
                found: Some(self.before.clone()),
                list: Some((resource, parent)),
                limited_until: None,
                restarts: false,
                is_foreign_cursor: false,
            });
        }
        for (index, page) in pages.into_iter().enumerate() {
            self.send(run, "record", Some(index as u64 + 1), Some(page));
        }
        self.send(run, "completed", None, None);
        self.before = run.to_owned();
        let cells = BTreeMap::from([(CELL.to_owned(), run.to_owned())]);
        self.evidence.cells.insert((self.graph.name.clone(), ACCOUNT.to_owned()), cells);
        self.evidence.runs.insert(
            run.to_owned(),
            Run {
                id: run.to_owned(),
                job: self.graph.name.clone(),
                account: ACCOUNT.to_owned(),
                webhook: HOOK.to_owned(),
                mutex: None,
                status: "completed".to_owned(),
                reason: None,
                trigger: None,
                slot: None,
                attempt: 1,
                incomplete: Vec::new(),
            },
        );
    }
}

fn page(node: &str, ids: &[String]) -> Page {
    let records = ids.iter().map(|id| (id.clone(), Some(1))).collect();
    Page { node: node.to_owned(), records, changes: None }
}

/// A good run of the plain graph, one page a node.
fn good() -> History {
    let mut history = History::of(graph(false));
    let expected = Expected::of(&history.graph, ACCOUNT, "r").records;
    let pages = expected.iter().map(|((_, node), ids)| page(node, ids)).collect();
    history.run("r", pages);
    history
}

/// Two runs that tell a list's changes as they are.
fn tracked() -> History {
    let mut history = History::of(graph(true));
    let there = |history: &History, run: &str| {
        Expected::of(&history.graph, ACCOUNT, run).tracked.remove("v0").expect("a tracked list")
    };
    let (first, second) = (there(&history, "r"), there(&history, "s"));
    let mut told = Page { node: "v0".to_owned(), ..Page::default() };
    let mut changes = Vec::new();
    for (id, n) in &first {
        told.records.push((id.clone(), Some(*n)));
        changes.push((id.clone(), "added".to_owned()));
    }
    told.changes = Some(changes);
    history.run("r", vec![told]);
    let mut told = Page { node: "v0".to_owned(), ..Page::default() };
    let mut changes = Vec::new();
    for id in first.keys().chain(second.keys().filter(|id| !first.contains_key(*id))) {
        let change = match (first.get(id), second.get(id)) {
            (Some(before), Some(now)) if before == now => continue,
            (Some(_), Some(_)) => "updated",
            (None, _) => "added",
            (_, None) => "deleted",
        };
        told.records.push((id.clone(), second.get(id).copied()));
        changes.push((id.clone(), change.to_owned()));
    }
    assert!(changes.len() > 3, "the list changes");
    told.changes = Some(changes);
    history.run("s", vec![told]);
    history
}

#[track_caller]
fn finds(rule: &str, mut history: History, spoil: impl FnOnce(&mut Evidence)) {
    let rules = |evidence: &Evidence| -> Vec<&'static str> {
        check(evidence).violations.iter().map(|violation| violation.rule).collect()
    };
    assert_eq!(rules(&history.evidence), Vec::<&str>::new(), "the good history is good");
    spoil(&mut history.evidence);
    let found = rules(&history.evidence);
    assert!(found.iter().any(|found| found.starts_with(rule)), "{rule}: {found:?}");
}

/// The n-th page.
fn records(evidence: &mut Evidence, number: usize) -> &mut Page {
    let pages = evidence.deliveries.iter_mut().filter_map(|delivery| delivery.page.as_mut());
    pages.map(AsMut::as_mut).nth(number).expect("a page")
}

#[test]
fn a_record_that_is_missing_comes_twice_or_is_none_is_found() {
    finds("2: no record of a graph", good(), |evidence| drop(records(evidence, 1).records.pop()));
    finds("4: a graph's records come once", good(), |evidence| {
        let again = records(evidence, 0).records[0].clone();
        records(evidence, 0).records.push(again);
    });
    finds("graph: only what there is", good(), |evidence| {
        records(evidence, 0).records.push(("r0.99".to_owned(), None));
    });
    finds("4: a graph's records come in order", good(), |evidence| records(evidence, 0).records.swap(0, 1));
    finds("graph: records go where", good(), |evidence| "r7".clone_into(&mut records(evidence, 0).node));
}

#[test]
fn a_list_that_began_again_excuses_repeats_and_nothing_else() {
    let again = |evidence: &mut Evidence| {
        evidence.fetches[0].restarts = true;
        let first = records(evidence, 0).records[0].clone();
        records(evidence, 0).records.push(first);
    };
    let mut history = good();
    again(&mut history.evidence);
    assert!(check(&history.evidence).violations.is_empty());
    finds("2: no record of a graph", good(), |evidence| {
        again(evidence);
        records(evidence, 1).records.pop();
    });
}

#[test]
fn a_list_that_is_not_asked_for_or_should_not_be_is_found() {
    finds("graph: asks for what", good(), |evidence| drop(evidence.fetches.pop()));
    finds("graph: asks for what", good(), |evidence| {
        evidence.fetches[0].list = Some(("r1".to_owned(), "r0.99".to_owned()));
    });
    finds("graph: a cursor", good(), |evidence| evidence.fetches[0].is_foreign_cursor = true);
}

#[test]
fn a_cell_of_somebody_else_is_found() {
    finds("state: a cell holds", tracked(), |evidence| {
        let cells = evidence.cells.values_mut();
        cells.for_each(|cells| *cells = BTreeMap::from([(CELL.to_owned(), "r".to_owned())]));
    });
    finds("state: what a run deletes", tracked(), |evidence| {
        for cells in evidence.cells.values_mut() {
            cells.insert(CELL_OF_RUN.to_owned(), "r".to_owned());
        }
    });
    finds("state: a run finds", tracked(), |evidence| {
        let last = evidence.fetches.last_mut().expect("a fetch");
        last.found = Some(CELL_EMPTY.to_owned());
    });
}

#[test]
fn a_change_that_is_not_told_or_not_true_is_found() {
    finds("changes: all of them", tracked(), |evidence| {
        let page = records(evidence, 1);
        page.records.pop();
        page.changes.as_mut().expect("changes").pop();
    });
    finds("changes: what is told", tracked(), |evidence| {
        let changes = records(evidence, 0).changes.as_mut().expect("changes");
        "updated".clone_into(&mut changes[0].1);
    });
}
