//! Holds the product's invariants against what was seen. Each rule reads the evidence and tells a story for each
//! violation; none knows how the product works inside.

mod chain;
mod duplicates;
mod ends;
#[cfg(test)]
mod graph_tests;
mod graphs;
mod overlap;
mod patience;
mod remembered;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::evidence::{At, Delivery, Evidence};

/// How much of a run's history a story tells.
const STORY_LINES_MAX: usize = 30;
/// Faults so long before or after belong to a story.
const STORY_MARGIN: Duration = Duration::from_secs(4);

/// A broken promise. In the report it is one text.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    /// Which promise.
    pub(crate) rule: &'static str,
    /// The run, if it is about one.
    pub(crate) run: Option<String>,
    /// What happened, line by line.
    pub(crate) story: String,
}

impl Serialize for Violation {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let run = self.run.as_deref().map(|run| format!(" (run {run})")).unwrap_or_default();
        to.collect_str(&format_args!("{}{run}: {}", self.rule, self.story))
    }
}

/// What the checker found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) violations: Vec<Violation>,
    /// Records and accepted runs that are gone.
    pub(crate) lost: u64,
    pub(crate) out_of_order: u64,
    /// Pages acknowledged more than once, by cause.
    pub(crate) duplicates: BTreeMap<&'static str, u64>,
    /// Runs accepted in the second that a power loss took; their clients pushed them again.
    pub(crate) taken_by_power_loss: u64,
    /// How much was compared with what graphs must deliver.
    pub(crate) graphs: Graphs,
}

/// What was seen of random graphs.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Graphs {
    /// Runs that completed, each compared record by record.
    pub(crate) runs: u64,
    /// Those of them with a list that began again, whose records may come again.
    pub(crate) restarted: u64,
    pub(crate) pages: u64,
    pub(crate) records: u64,
    /// State cells found by a run.
    pub(crate) cells: u64,
    /// Lists whose changes were told to a webhook.
    pub(crate) compared: u64,
}

impl Findings {
    fn violate(&mut self, rule: &'static str, run: Option<&str>, story: String) {
        self.violations.push(Violation { rule, run: run.map(ToOwned::to_owned), story });
    }
}

/// All rules.
pub(crate) fn check(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let chains = chains(evidence);
    for chain in chains.values() {
        chain::check(evidence, chain, &mut findings);
        duplicates::check(evidence, chain, &mut findings);
    }
    ends::check(evidence, &chains, &mut findings);
    graphs::check(evidence, &chains, &mut findings);
    remembered::check(evidence, &chains, &mut findings);
    overlap::check(evidence, &chains, &mut findings);
    patience::check(evidence, &mut findings);
    slots::check(evidence, &mut findings);
    rest(evidence, &mut findings);
    findings
}

/// The deliveries of each (run, webhook), in order of arrival.
type Chains<'e> = BTreeMap<(&'e str, &'e str), Vec<&'e Delivery>>;

fn chains(evidence: &Evidence) -> Chains<'_> {
    let mut chains = Chains::new();
    for delivery in &evidence.deliveries {
        chains.entry((&delivery.run, &delivery.webhook)).or_default().push(delivery);
    }
    chains
}

/// What is said in one number or found ready made.
fn rest(evidence: &Evidence, findings: &mut Findings) {
    let forged = evidence.forgeries;
    for (rule, count, what) in [
        (
            "5: one webhook-id, one body",
            forged.id_conflicts,
            "requests whose webhook-id came with other bytes",
        ),
        ("signatures", forged.bad_signatures, "requests with a bad signature"),
        ("form", forged.malformed, "requests that are no event"),
    ] {
        if count > 0 {
            findings.violate(rule, None, format!("{count} {what}"));
        }
    }
    for orphan in &evidence.orphans {
        findings.violate("9: every run is in one place", None, orphan.clone());
    }
    for leftover in &evidence.leftovers {
        findings.violate("9: no key without an owner", None, leftover.clone());
    }
    for mishap in &evidence.mishaps {
        findings.violate("mishap", None, mishap.clone());
    }
}

/// A run's history around a time: deliveries, its own log, and the faults that touch it.
fn story(evidence: &Evidence, what: &str, chain: &[&Delivery], around: At) -> String {
    let mut lines: Vec<(At, String)> = Vec::new();
    let (from, until) = (around.saturating_sub(STORY_MARGIN), around + STORY_MARGIN);
    for delivery in chain.iter().filter(|delivery| (from..=until).contains(&delivery.at)) {
        let seq = delivery.seq.map(|seq| format!(" {seq}")).unwrap_or_default();
        let answer = delivery.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let owner = evidence.owners.get(&(delivery.run.clone(), delivery.epoch));
        let owner = owner.map(|pid| format!(" of process {pid}")).unwrap_or_default();
        let Delivery { event, epoch, id, webhook, .. } = delivery;
        lines.push((
            delivery.at,
            format!("{event}{seq} to {webhook}, epoch {epoch}{owner}, id {}: {answer}", short(id)),
        ));
    }
    let logs = chain.first().and_then(|delivery| evidence.logs.get(&delivery.run));
    for (at, line) in logs.into_iter().flatten().filter(|(at, _)| (from..=until).contains(at)) {
        lines.push((*at, format!("in the run's log: {line}")));
    }
    let touching = evidence.happened.iter().filter(|fault| fault.from <= until && from <= fault.until);
    for fault in touching {
        let pid = fault.pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
        let lasted = (fault.until.saturating_sub(fault.from)).as_millis();
        lines.push((fault.from, format!("-- {:?}{pid} for {lasted} ms", fault.fault)));
    }
    lines.sort_by_key(|(at, _)| *at);
    let nearest = lines.iter().position(|(at, _)| *at >= around).unwrap_or(lines.len());
    let first = nearest.saturating_sub(STORY_LINES_MAX / 2);
    let told: Vec<String> = lines
        .iter()
        .skip(first)
        .take(STORY_LINES_MAX)
        .map(|(at, line)| format!("{:>9.3} s  {line}", at.as_secs_f64()))
        .collect();
    format!("{what}\n{}", told.join("\n"))
}

fn short(id: &str) -> &str {
    &id[id.len().saturating_sub(8)..]
}
