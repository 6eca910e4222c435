//! Runs of random graphs: each webhook gets from each node what [`Expected`] says, in its order, and the source is asked
//! for that and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::{Chains, Findings, story};
use crate::evidence::{At, Delivery, Evidence, Run};
use crate::graph::oracle::Expected;
use crate::graph::{Graph, Kind, Transform};

/// How many records a story names.
const SHOWN_MAX: usize = 8;

pub(super) fn check(evidence: &Evidence, chains: &Chains<'_>, findings: &mut Findings) {
    for run in evidence.runs.values().filter(|run| run.status == "completed") {
        let Some(graph) = evidence.graphs.get(&run.job) else { continue };
        let expected = Expected::of(graph, &run.account, &run.id);
        let restarted = is_restarted(evidence, &run.id);
        findings.graphs.runs += 1;
        findings.graphs.restarted += u64::from(restarted);
        let judge = Judge { evidence, run, graph, expected: &expected, restarted };
        judge.lists(findings);
        for (_, hook) in chains.keys().filter(|(of, _)| *of == run.id) {
            judge.ended(hook, &chains[&(run.id.as_str(), *hook)], findings);
        }
        let hooks: BTreeSet<&str> = expected.records.keys().map(|(hook, _)| hook.as_str()).collect();
        for hook in hooks {
            let empty = Vec::new();
            let chain = chains.get(&(run.id.as_str(), hook)).unwrap_or(&empty);
            judge.records(hook, chain, findings);
        }
    }
}

/// Whether a list of the run began again, since the source refused a cursor: then its records may come again.
pub(super) fn is_restarted(evidence: &Evidence, run: &str) -> bool {
    evidence.fetches.iter().any(|fetch| fetch.run == run && fetch.restarts)
}

/// The pages of a run at a webhook as they count at the end: each number once, the last one that came. Where a run went
/// back behind pages, what came after that replaces them. Owners that were left behind don't count.
pub(super) fn timeline<'e>(chain: &[&'e Delivery]) -> Vec<&'e Delivery> {
    let (mut pages, mut newest) = (Vec::new(), 0);
    for delivery in chain {
        if delivery.epoch < newest {
            continue;
        }
        newest = delivery.epoch;
        let Some(seq) = delivery.seq.filter(|_| delivery.event == "record" && delivery.is_acknowledged())
        else {
            continue;
        };
        pages.truncate(usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX));
        pages.push(*delivery);
    }
    pages
}

struct Judge<'e> {
    evidence: &'e Evidence,
    run: &'e Run,
    graph: &'e Graph,
    expected: &'e Expected,
    restarted: bool,
}

impl Judge<'_> {
    fn violate(&self, rule: &'static str, what: &str, chain: &[&Delivery], at: At, findings: &mut Findings) {
        let what = format!("run {} of {} for {}: {what}", self.run.id, self.graph.name, self.run.account);
        findings.violate(rule, Some(&self.run.id), story(self.evidence, &what, chain, at));
    }

    /// The source was asked for every list there is, and for no other.
    fn lists(&self, findings: &mut Findings) {
        let own = || self.evidence.fetches.iter().filter(|fetch| fetch.run == self.run.id);
        let asked: BTreeSet<&(String, String)> = own().filter_map(|fetch| fetch.list.as_ref()).collect();
        let at = |list: &(String, String)| {
            own().find(|fetch| fetch.list.as_ref() == Some(list)).map(|fetch| fetch.at)
        };
        if let Some(list @ (resource, parent)) =
            asked.iter().find(|list| !self.expected.lists.contains(**list))
        {
            let what = format!("it asked for {resource} below {parent:?}, which nothing tells it to");
            self.violate(
                "graph: asks for what it should",
                &what,
                &[],
                at(list).unwrap_or_default(),
                findings,
            );
        }
        if let Some((resource, parent)) = self.expected.lists.iter().find(|list| !asked.contains(list)) {
            let what = format!("it never asked for {resource} below {parent:?}");
            self.violate("graph: asks for what it should", &what, &[], At::ZERO, findings);
        }
        if let Some(fetch) = own().find(|fetch| fetch.is_foreign_cursor) {
            let what = format!("it asked {} with the cursor of another list", fetch.path);
            self.violate("graph: a cursor belongs to its list", &what, &[], fetch.at, findings);
        }
    }

    /// Every webhook of the run is told its end.
    fn ended(&self, hook: &str, chain: &[&Delivery], findings: &mut Findings) {
        let said = chain.iter().rev().find(|delivery| delivery.is_terminal() && delivery.is_acknowledged());
        if said.is_none_or(|said| said.event != "completed") {
            let said = said.map_or("nothing", |said| said.event.as_str());
            let what = format!("it is completed, and {hook} was told {said}");
            let at = chain.last().map_or(At::ZERO, |delivery| delivery.at);
            self.violate("6: status and event agree", &what, chain, at, findings);
        }
    }

    fn records(&self, hook: &str, chain: &[&Delivery], findings: &mut Findings) {
        let mut came: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let pages = timeline(chain);
        let mut shown = At::ZERO;
        for delivery in &pages {
            let Some(page) = &delivery.page else {
                let what = format!("the page {:?} at {hook} was not kept or can't be read", delivery.seq);
                return self.violate("mishap", &what, chain, delivery.at, findings);
            };
            findings.graphs.pages += 1;
            findings.graphs.records += page.records.len() as u64;
            let at = (hook.to_owned(), page.node.clone());
            let is_tracked = self.expected.tracked_at.contains(&at);
            if !is_tracked && !page.records.is_empty() && !self.expected.records.contains_key(&at) {
                let what = format!("{hook} got records of node {:?}, which don't go there", page.node);
                return self.violate(
                    "graph: records go where they should",
                    &what,
                    chain,
                    delivery.at,
                    findings,
                );
            }
            if let Some(most) = self.expected.records_max.get(&at).filter(|most| page.records.len() > **most)
            {
                let changes = page.changes.iter().flatten();
                let deleted = changes.filter(|(_, change)| change == "deleted").count();
                let (count, node) = (page.records.len(), &page.node);
                let what =
                    format!("{count} records of {node} came at once ({deleted} deleted), more than {most}");
                self.violate("graph: deliveries are divided", &what, chain, delivery.at, findings);
            }
            came.entry(&page.node).or_default().extend(page.records.iter().map(|(id, _)| id.as_str()));
            shown = delivery.at;
        }
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let at = (hook.to_owned(), node.name.clone());
            let Some(expected) = self.expected.records.get(&at) else { continue };
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            let empty = Vec::new();
            let came = came.get(node.name.as_str()).unwrap_or(&empty);
            let wrong = if self.restarted {
                // How often a list was read shows in what was counted.
                let counts = node.kind == Kind::Transform(Transform::Count);
                if counts { None } else { compared_loosely(&expected, came, self.graph.is_ordered(index)) }
            } else {
                compared(&expected, came, self.graph.is_ordered(index))
            };
            let Some(Wrong { rule, what, lost }) = wrong else { continue };
            findings.lost += lost;
            findings.out_of_order += u64::from(rule == ORDER);
            self.violate(rule, &format!("{hook}, node {}: {what}", node.name), chain, shown, findings);
        }
    }
}

const LOST: &str = "2: no record of a graph is lost";
const ONCE: &str = "4: a graph's records come once";
const ORDER: &str = "4: a graph's records come in order";
const ALIEN: &str = "graph: only what there is comes";

/// How a node's records differ from what they must be.
#[derive(Debug)]
struct Wrong {
    rule: &'static str,
    what: String,
    lost: u64,
}

impl Wrong {
    fn of(rule: &'static str, what: &str, ids: &[&str]) -> Option<Self> {
        let shown: Vec<&str> = ids.iter().take(SHOWN_MAX).copied().collect();
        let what = format!("{} {what}: {}", ids.len(), shown.join(", "));
        let lost = if rule == LOST { ids.len() as u64 } else { 0 };
        (!ids.is_empty()).then_some(Self { rule, what, lost })
    }
}

/// The very records, as often and in the order in which they should come.
fn compared(expected: &[&str], came: &[&str], is_ordered: bool) -> Option<Wrong> {
    let mut left: BTreeMap<&str, i64> = BTreeMap::new();
    expected.iter().for_each(|id| *left.entry(id).or_default() += 1);
    came.iter().for_each(|id| *left.entry(id).or_default() -= 1);
    let of = |wanted: &dyn Fn(i64) -> bool| -> Vec<&str> {
        left.iter().filter(|(_, count)| wanted(**count)).map(|(id, _)| *id).collect()
    };
    let (known, more) = (expected.iter().copied().collect::<BTreeSet<&str>>(), of(&|count| count < 0));
    let (doubled, alien): (Vec<&str>, Vec<&str>) = more.into_iter().partition(|id| known.contains(id));
    Wrong::of(LOST, "records are missing", &of(&|count| count > 0))
        .or_else(|| Wrong::of(ALIEN, "records came that should not", &alien))
        .or_else(|| Wrong::of(ONCE, "records came more than once", &doubled))
        .or_else(|| if is_ordered { disordered(expected, came) } else { None })
}

/// All records, the first times in the order in which they should come.
fn compared_loosely(expected: &[&str], came: &[&str], is_ordered: bool) -> Option<Wrong> {
    let mut seen = BTreeSet::new();
    let first: Vec<&str> = came.iter().copied().filter(|id| seen.insert(*id)).collect();
    let mut seen = BTreeSet::new();
    let wanted: Vec<&str> = expected.iter().copied().filter(|id| seen.insert(*id)).collect();
    compared(&wanted, &first, is_ordered)
}

fn disordered(expected: &[&str], came: &[&str]) -> Option<Wrong> {
    let at = expected.iter().zip(came).position(|(expected, came)| expected != came)?;
    let what = format!("record {} is {}, and should be {}", at + 1, came[at], expected[at]);
    Some(Wrong { rule: ORDER, what, lost: 0 })
}
