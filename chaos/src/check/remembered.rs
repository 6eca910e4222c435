//! What runs of graphs leave to the runs after them: a state cell holds what the run that completed last wrote, and by all
//! that was told of a list's changes a receiver knows what is in it.

use std::collections::{BTreeMap, BTreeSet};

use super::graphs::timeline;
use super::{Chains, Findings, story};
use crate::evidence::{At, Delivery, Evidence, Run};
use crate::graph::oracle::Expected;
use crate::graph::{CELL, CELL_EMPTY, CELL_OF_RUN, Graph};

pub(super) fn check(evidence: &Evidence, chains: &Chains<'_>, findings: &mut Findings) {
    for ((job, account), runs) in series(evidence, chains) {
        let Some(graph) = evidence.graphs.get(job) else { continue };
        if graph.has_state {
            state(evidence, graph, account, &runs, findings);
        }
        if let Some(last) = runs.last() {
            for (hook, node) in Expected::of(graph, account, &last.id).tracked_at {
                changes(evidence, chains, (graph, account), (&hook, &node), &runs, findings);
            }
        }
    }
}

/// The runs of each (job, account) of a graph in the order in which they completed.
fn series<'e>(evidence: &'e Evidence, chains: &Chains<'e>) -> BTreeMap<(&'e str, &'e str), Vec<&'e Run>> {
    let mut series: BTreeMap<(&str, &str), Vec<(At, &Run)>> = BTreeMap::new();
    for run in evidence.runs.values() {
        let chain = chains.get(&(run.id.as_str(), run.webhook.as_str()));
        let completed = chain.into_iter().flatten().rev();
        // The last time counts: after a power loss runs may end again, in another order.
        let completed = completed
            .filter(|delivery| delivery.event == "completed" && delivery.is_acknowledged())
            .map(|end| end.at);
        if let Some(at) = completed.clone().next() {
            series.entry((&run.job, &run.account)).or_default().push((at, run));
        }
    }
    let mut sorted = BTreeMap::new();
    for (of, mut runs) in series {
        runs.sort_by_key(|(at, _)| *at);
        sorted.insert(of, runs.into_iter().map(|(_, run)| run).collect());
    }
    sorted
}

fn state(evidence: &Evidence, graph: &Graph, account: &str, runs: &[&Run], findings: &mut Findings) {
    let mut before = CELL_EMPTY;
    for run in runs {
        let found: Vec<(At, &str)> = evidence
            .fetches
            .iter()
            .filter(|fetch| fetch.run == run.id)
            .filter_map(|fetch| Some((fetch.at, fetch.found.as_deref()?)))
            .collect();
        let last = found.last().copied();
        let wrong = found.iter().copied().find(|(at, found)| {
            // What was found before Redis lost its last second may be forgotten.
            *found != before
                && last.is_none_or(|(until, _)| !evidence.power_was_lost(*at, until) || *at == until)
        });
        if let Some((at, found)) = wrong {
            let what = format!(
                "run {} of {} for {account} found {found:?} in its cell, and the run before it had left {before:?}",
                run.id, graph.name
            );
            findings.violate(
                "state: a run finds what the last one left",
                Some(&run.id),
                story(evidence, &what, &[], at),
            );
        }
        findings.graphs.cells += 1;
        before = &run.id;
    }
    let cells = evidence.cells.get(&(graph.name.clone(), account.to_owned()));
    let holds = cells.and_then(|cells| cells.get(CELL)).map(String::as_str);
    if let Some(run) = cells.and_then(|cells| cells.get(CELL_OF_RUN)) {
        let what =
            format!("the cell that run {run} of {} for {account} held while it ran is there", graph.name);
        findings.violate(
            "state: what a run deletes when it ends is gone",
            Some(run),
            story(evidence, &what, &[], At::ZERO),
        );
    }
    if holds.unwrap_or(CELL_EMPTY) != before {
        let what = format!(
            "the cell of {} for {account} holds {holds:?}, and the last run to complete left {before:?}",
            graph.name
        );
        let run = runs.last().map(|run| run.id.as_str());
        findings.violate(
            "state: a cell holds what the last run left",
            run,
            story(evidence, &what, &[], At::ZERO),
        );
    }
}

/// Plays a receiver that keeps what it is told of a list.
fn changes(
    evidence: &Evidence,
    chains: &Chains<'_>,
    (graph, account): (&Graph, &str),
    (hook, node): (&str, &str),
    runs: &[&Run],
    findings: &mut Findings,
) {
    let excused = told_by_lost_runs(evidence, chains, (&graph.name, account), (hook, node));
    let mut kept: BTreeMap<String, u64> = BTreeMap::new();
    for run in runs {
        let Some(there) = Expected::of(graph, account, &run.id).tracked.remove(node) else { continue };
        let empty = Vec::new();
        let chain = chains.get(&(run.id.as_str(), hook)).unwrap_or(&empty);
        let before = kept.clone();
        let mut odd: Vec<String> = Vec::new();
        for delivery in timeline(chain) {
            let Some(page) = delivery.page.as_ref().filter(|page| page.node == node) else { continue };
            let changes = page.changes.as_deref().unwrap_or_default();
            if changes.len() != page.records.len() {
                odd.push(format!(
                    "page {:?} says what happened to {} of {} records",
                    delivery.seq,
                    changes.len(),
                    page.records.len()
                ));
            }
            for ((id, content), (_, change)) in page.records.iter().zip(changes) {
                let was = before.get(id).copied();
                let is_true = match change.as_str() {
                    "added" => was.is_none(),
                    "updated" => was.is_some() && was != *content,
                    "deleted" => was.is_some() && !there.contains_key(id),
                    _ => false,
                };
                if !is_true && !excused.contains(id.as_str()) {
                    odd.push(format!("{id} is told as {change}; before {was:?}, now {:?}", there.get(id)));
                }
                match content.filter(|_| change != "deleted") {
                    Some(content) => kept.insert(id.clone(), content),
                    None => kept.remove(id),
                };
            }
        }
        let differs: Vec<String> = kept
            .keys()
            .chain(there.keys())
            .filter(|id| kept.get(*id) != there.get(*id) && !excused.contains(id.as_str()))
            .map(|id| format!("{id}: told {:?}, there {:?}", kept.get(id), there.get(id)))
            .collect();
        let at = chain.last().map_or(At::ZERO, |delivery| delivery.at);
        let mut violate = |rule, wrong: &[String]| {
            let shown = wrong.iter().take(10).cloned().collect::<Vec<_>>().join("; ");
            let what =
                format!("run {} of {} for {account}, node {node} at {hook}: {shown}", run.id, graph.name);
            findings.violate(rule, Some(&run.id), story(evidence, &what, chain, at));
        };
        if !odd.is_empty() {
            violate("changes: what is told is true", &odd);
        }
        if !differs.is_empty() {
            violate("changes: all of them are told", &differs);
        }
        findings.graphs.compared += 1;
        // Each run is judged by itself.
        kept = there;
    }
}

/// Records that were told by runs which a power loss took altogether, with what they had remembered.
fn told_by_lost_runs<'e>(
    evidence: &'e Evidence,
    chains: &Chains<'e>,
    (job, account): (&str, &str),
    (hook, node): (&str, &str),
) -> BTreeSet<&'e str> {
    let lost = evidence.accepted.iter().filter(|accepted| {
        accepted.job == job && accepted.account == account && !evidence.runs.contains_key(&accepted.run)
    });
    let pages = lost.filter_map(|lost| chains.get(&(lost.run.as_str(), hook))).flatten();
    let pages =
        pages.filter_map(|delivery: &&'e Delivery| delivery.page.as_ref()).filter(|page| page.node == node);
    pages.flat_map(|page| &page.records).map(|(id, _)| id.as_str()).collect()
}
