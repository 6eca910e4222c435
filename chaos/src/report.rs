//! What a trial showed, for machines (`target/reports/chaos.json`) and for people.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::check::{Findings, Graphs, Violation};
use crate::evidence::{Evidence, Happened};
use crate::graph::Graph;
use crate::plan::{Fault, Link};
use crate::trial::Trial;

/// A trial in numbers. All of them are counted, none is assumed.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) ok: bool,
    seed: u64,
    /// How long faults happened; the time to come to rest is not in it.
    seconds: u64,
    /// Faults by kind.
    faults: BTreeMap<&'static str, u64>,
    /// Runs that ended.
    runs: u64,
    /// Different pages that were acknowledged.
    pages: u64,
    /// Different records that were acknowledged, by run.
    records: u64,
    /// Records that completed runs did not bring, and accepted runs that are gone.
    lost: u64,
    out_of_order: u64,
    pub(crate) invariant_violations: Vec<Violation>,
    /// Pages acknowledged more than once, by cause.
    duplicates: BTreeMap<&'static str, u64>,
    /// Random graphs: what was compared with what they must deliver.
    graphs: Graphs,
    /// How many of the trial's graphs have what.
    graph_features: BTreeMap<&'static str, usize>,
    /// Writes of former owners that Redis refused.
    zombie_writes_refused: u64,
    /// From SIGKILL of a worker to the next claim of each of its runs, where Redis was there all the time.
    resume_seconds: Percentiles,
    /// The same where Redis was away meanwhile: nothing is taken over before it is back.
    resume_seconds_redis_away: Percentiles,
    /// The same from SIGTERM: the delivery in flight is finished first.
    handover_seconds: Percentiles,
    /// Runs in no place, or in two.
    orphans: u64,
    /// Keys without an owner.
    leftover_keys: u64,
    /// Runs accepted in the second that a power loss took, and pushed again by their client with the same key.
    taken_by_power_loss: u64,
    /// Runs that were resumed by hand, since the plan killed three of their owners in a row.
    resumed_by_hand: u64,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    samples: usize,
    p50: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

impl Percentiles {
    fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort();
        // The smallest sample that so many hundredths of all don't exceed.
        let at = |hundredths: usize| {
            let rank = (samples.len() * hundredths).div_ceil(100).max(1);
            samples.get(rank - 1).map(|sample| (sample.as_secs_f64() * 1000.0).round() / 1000.0)
        };
        Self { samples: samples.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2} s"));
        let (p50, p99, max) = (shown(self.p50), shown(self.p99), shown(self.max));
        write!(f, "p50 {p50}, p99 {p99}, max {max} ({} runs)", self.samples)
    }
}

impl Report {
    pub(crate) fn of(trial: &Trial, evidence: &Evidence, findings: Findings) -> Self {
        let mut faults: BTreeMap<&'static str, u64> = BTreeMap::new();
        for happened in &evidence.happened {
            *faults.entry(happened.fault.kind()).or_default() += 1;
        }
        let mut pages: Vec<(&str, u64)> = evidence
            .deliveries
            .iter()
            .filter(|delivery| delivery.event == "record" && delivery.is_acknowledged())
            .filter_map(|delivery| Some((delivery.run.as_str(), delivery.seq?)))
            .collect();
        pages.sort_unstable();
        pages.dedup();
        let ended = evidence
            .runs
            .values()
            .filter(|run| matches!(run.status.as_str(), "completed" | "failed" | "stopped"));
        let mut features: BTreeMap<&'static str, usize> = BTreeMap::new();
        for feature in evidence.graphs.values().flat_map(Graph::features) {
            *features.entry(feature).or_default() += 1;
        }
        let mut report = Self {
            ok: false,
            seed: trial.seed,
            seconds: trial.length.as_secs(),
            faults,
            runs: ended.count() as u64,
            pages: pages.len() as u64,
            records: evidence.received.values().map(|ids| ids.len() as u64).sum(),
            lost: findings.lost,
            out_of_order: findings.out_of_order,
            invariant_violations: findings.violations,
            duplicates: findings.duplicates,
            graphs: findings.graphs,
            graph_features: features,
            zombie_writes_refused: evidence.refused,
            resume_seconds: Percentiles::of(waits(evidence, true, true)),
            resume_seconds_redis_away: Percentiles::of(waits(evidence, true, false)),
            handover_seconds: Percentiles::of(waits(evidence, false, true)),
            orphans: evidence.orphans.len() as u64,
            leftover_keys: evidence.leftovers.len() as u64,
            taken_by_power_loss: findings.taken_by_power_loss,
            resumed_by_hand: evidence.resumed_by_hand.len() as u64,
        };
        report.ok = report.invariant_violations.is_empty()
            && report.lost == 0
            && report.out_of_order == 0
            && report.orphans == 0
            && report.leftover_keys == 0
            // Workers that wake up must have been met, where any slept.
            && (report.zombie_writes_refused > 0 || !report.faults.contains_key("worker_freeze"));
        report
    }

    /// Writes it down for machines.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("can't write {}", path.display()))
    }

    /// Tells it to people: so many stories first, the sum last.
    pub(crate) fn print(&self, stories: usize) {
        for violation in self.invariant_violations.iter().take(stories) {
            println!("\nVIOLATION of \"{}\"", violation.rule);
            println!("{}", violation.story);
        }
        let faults: u64 = self.faults.values().sum();
        println!("\nseed {}, {} s, {faults} faults:", self.seed, self.seconds);
        for (kind, count) in &self.faults {
            println!("  {count:>5}  {kind}");
        }
        println!("{} runs, {} pages, {} records", self.runs, self.pages, self.records);
        println!(
            "lost {}, out of order {}, violations {}, orphans {}, leftover keys {}",
            self.lost,
            self.out_of_order,
            self.invariant_violations.len(),
            self.orphans,
            self.leftover_keys
        );
        println!("pages that came twice, by cause: {:?}", self.duplicates);
        let Graphs { runs, restarted, pages, records, cells, compared } = self.graphs;
        println!(
            "graphs: {runs} runs compared ({restarted} with lists that began again), {pages} pages, {records} records, \
             {cells} state cells, {compared} lists of changes"
        );
        println!("of {:?}", self.graph_features);
        println!("writes of former owners refused: {}", self.zombie_writes_refused);
        println!("SIGKILL to the next claim: {}", self.resume_seconds);
        println!("the same with Redis away meanwhile: {}", self.resume_seconds_redis_away);
        println!("SIGTERM to the next claim: {}", self.handover_seconds);
        println!(
            "taken by power loss and pushed again {}, resumed by hand {}",
            self.taken_by_power_loss, self.resumed_by_hand
        );
        println!("{}", if self.ok { "ok" } else { "NOT OK" });
    }
}

/// How long the runs of workers that went waited for their next claim, where Redis could be reached all that time
/// (`with_redis`), or could not.
fn waits(evidence: &Evidence, is_kill: bool, with_redis: bool) -> Vec<Duration> {
    let is_away = |happened: &Happened| {
        matches!(happened.fault, Fault::KillRedis | Fault::PowerLoss | Fault::Network(Link::Redis, _))
    };
    let resumed = evidence.resumed.iter().filter(|resumed| resumed.is_kill == is_kill);
    let resumed = resumed.filter_map(|resumed| Some((resumed.from, resumed.claimed?)));
    resumed
        .filter(|(from, claimed)| evidence.was(*from, *claimed, is_away) != with_redis)
        .map(|(from, claimed)| claimed.saturating_sub(from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let seconds = Percentiles::of((1..=200).map(Duration::from_secs).collect());
        assert_eq!((seconds.p50, seconds.p99, seconds.max), (Some(100.0), Some(198.0), Some(200.0)));
        let none = Percentiles::of(Vec::new());
        assert_eq!((none.samples, none.p50, none.max), (0, None, None));
    }
}
