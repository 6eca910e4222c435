//! What the ledgers say: the numbers, the verdict, a table for people and `demo.json` for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use rapidbridge::playground::helpdesk::Resource;
use rapidbridge::playground::{Helpdesk, Receiver, receiver};
use serde::Serialize;

use super::kills::Kill;

/// The report's name.
const FILE: &str = "demo.json";
/// The helpdesk's largest page, which the example asks for.
const PAGE_SIZE: u64 = 100;

/// The measurements; as JSON they are `demo.json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    ok: bool,
    resources: BTreeMap<&'static str, Counts>,
    pages: u64,
    lost: u64,
    duplicates: u64,
    out_of_order: u64,
    bad_signatures: u64,
    rate_limited: u64,
    kills: usize,
    resume_seconds: Vec<f64>,
    wall_seconds: f64,
    #[serde(skip)]
    requests: u64,
    #[serde(skip)]
    too_early: u64,
    #[serde(skip)]
    faults: Vec<String>,
}

/// One resource.
#[derive(Debug, Clone, Copy, Serialize)]
struct Counts {
    /// Records the source holds, all of them given away with a 200.
    source: u64,
    /// Different records the receiver acknowledged.
    received_unique: u64,
}

impl Report {
    /// Reads both ledgers.
    pub(super) fn of(
        helpdesk: &Helpdesk,
        receiver: &Receiver,
        kills: &[Kill],
        kills_wanted: usize,
        wall: Duration,
    ) -> Self {
        let mut report = Self {
            ok: false,
            resources: BTreeMap::new(),
            pages: receiver.read(receiver::Ledger::pages),
            lost: 0,
            duplicates: receiver.read(|ledger| ledger.duplicates.pages),
            out_of_order: receiver.read(|ledger| ledger.out_of_order),
            bad_signatures: receiver.read(|ledger| ledger.bad_signatures),
            rate_limited: helpdesk.read(|ledger| ledger.status(429)),
            kills: kills.len(),
            resume_seconds: kills.iter().map(|kill| seconds(kill.resumed_after)).collect(),
            wall_seconds: seconds(wall),
            requests: receiver.read(|ledger| ledger.requests.len() as u64),
            too_early: helpdesk.read(|ledger| ledger.limit_violations),
            faults: Vec::new(),
        };
        for resource in Resource::ALL {
            report.compare(helpdesk, receiver, resource);
        }
        report.judge(kills_wanted);
        report.faults.extend(receiver.read(judge_contract));
        report.ok = report.faults.is_empty();
        report
    }

    /// Adds a fault that the ledgers can't know.
    pub(super) fn with_fault(mut self, fault: Option<String>) -> Self {
        self.faults.extend(fault);
        self.ok = self.faults.is_empty();
        self
    }

    /// What is wrong, in sentences; empty when all is well.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Removes an older `demo.json`: a demo that can't even start must not leave a good report behind.
    pub(super) fn forget(folder: &Path) -> anyhow::Result<()> {
        let file = folder.join(FILE);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("can't replace {}", file.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes `demo.json`.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let file = folder.join(FILE);
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, text))
            .with_context(|| format!("can't write {}", file.display()))?;
        Ok(file)
    }

    /// Prints the summary for people.
    pub(super) fn print(&self) {
        println!("\n{}\n\n{}", self.records_table(), self.promises_table());
        let verdict = if self.ok { "All promises kept" } else { "NOT all promises kept" };
        println!("\n{verdict}, in {:.1} s, {} workers killed.", self.wall_seconds, self.kills);
        for fault in &self.faults {
            println!("  ✗ {fault}");
        }
    }

    fn compare(&mut self, helpdesk: &Helpdesk, receiver: &Receiver, resource: Resource) {
        let name = resource.as_str();
        let there: BTreeSet<String> = helpdesk.ids(resource).iter().map(u64::to_string).collect();
        let received = receiver.read(|ledger| ledger.unique(name));
        let lost = there.iter().filter(|id| !received.contains(id.as_str())).count() as u64;
        let strange = received.iter().filter(|id| !there.contains(&***id)).count();
        let served = helpdesk.read(|ledger| ledger.served(resource));
        if strange > 0 {
            self.faults.push(format!("{strange} {name} were received that the source does not have"));
        }
        if served != there.len() {
            self.faults.push(format!("the source gave away {served} of its {} {name}", there.len()));
        }
        self.lost += lost;
        let counts = Counts { source: there.len() as u64, received_unique: received.len() as u64 };
        self.resources.insert(name, counts);
    }

    /// The promises, by the numbers.
    fn judge(&mut self, kills_wanted: usize) {
        let (lost, duplicates, kills) = (self.lost, self.duplicates, self.kills);
        let checks = [
            (lost > 0, format!("{lost} records were lost")),
            (self.out_of_order > 0, format!("{} requests came out of order", self.out_of_order)),
            (self.bad_signatures > 0, format!("{} signatures were bad", self.bad_signatures)),
            (duplicates > kills as u64, format!("{duplicates} pages came twice with {kills} kills")),
            (kills != kills_wanted, format!("{kills} workers were killed, not {kills_wanted}")),
            (self.rate_limited == 0, "the source never limited the rate, so nothing was shown".to_owned()),
        ];
        self.faults.extend(checks.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, fault)| fault));
    }

    fn records_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["records", "at the source", "at the receiver", "missing"]);
        for (name, counts) in &self.resources {
            let missing = counts.source.saturating_sub(counts.received_unique);
            table.add_row([
                (*name).to_owned(),
                counts.source.to_string(),
                counts.received_unique.to_string(),
                missing.to_string(),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn promises_table(&self) -> Table {
        let total: u64 = self.resources.values().map(|counts| counts.source).sum();
        let resumed: Vec<String> =
            self.resume_seconds.iter().map(|seconds| format!("{seconds:.1} s")).collect();
        let resumed = match resumed.as_slice() {
            [] => "no worker was killed".to_owned(),
            some => format!("it went on after {}", some.join(", ")),
        };
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["promise", "measured, by the source's and the receiver's own ledgers"]);
        table.add_row(["nothing is lost".to_owned(), format!("{} of {total} records lost", self.lost)]);
        table.add_row([
            "a kill repeats one page at most".to_owned(),
            format!("{} of {} pages came twice, {} workers killed", self.duplicates, self.pages, self.kills),
        ]);
        table.add_row(["a run survives its worker".to_owned(), resumed]);
        table.add_row(["pages come in order".to_owned(), format!("{} out of order", self.out_of_order)]);
        table.add_row([
            "every request is signed".to_owned(),
            format!("{} of {} signatures bad", self.bad_signatures, self.requests + self.bad_signatures),
        ]);
        table.add_row([
            "rate limits are respected".to_owned(),
            format!(
                "{} answers 429, {} requests before the wait was over",
                self.rate_limited, self.too_early
            ),
        ]);
        table
    }
}

/// How many pages a complete run delivers; lists without records are not delivered.
pub(super) fn pages_expected(helpdesk: &Helpdesk) -> u64 {
    let lists = [Resource::Tickets, Resource::Users, Resource::Organizations];
    let pages: u64 =
        lists.iter().map(|resource| (helpdesk.ids(*resource).len() as u64).div_ceil(PAGE_SIZE)).sum();
    let settings = helpdesk.settings();
    pages + settings.tickets.checked_div(settings.comments_every).unwrap_or(0)
}

/// What else the contract asks of a run.
fn judge_contract(ledger: &receiver::Ledger) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |is_wrong: bool, fault: String| {
        if is_wrong {
            faults.push(fault);
        }
    };
    check(ledger.runs.len() != 1, format!("{} runs came instead of one", ledger.runs.len()));
    check(ledger.malformed > 0, format!("{} requests broke the contract's form", ledger.malformed));
    check(ledger.id_conflicts > 0, format!("{} requests shared an id with other bytes", ledger.id_conflicts));
    check(
        ledger.stale_epochs > 0,
        format!("{} requests came from a worker that had lost the run", ledger.stale_epochs),
    );
    for run in ledger.runs.values() {
        let missing = run.missing_seqs();
        check(!missing.is_empty(), format!("pages {missing:?} never came"));
        for event in ["sync_job_run:started", "sync_job_run:completed"] {
            let distinct = run.event(event).distinct;
            check(distinct != 1, format!("{distinct} different {event} events came instead of one"));
        }
        let errors = run.event("sync_job_run:record_error").requests;
        check(errors > 0, format!("{errors} record_error events came"));
    }
    faults.extend(ledger.problems.iter().take(5).cloned());
    faults
}

/// To the millisecond: more is noise.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use rapidbridge::playground::helpdesk;

    use super::*;

    #[tokio::test]
    async fn a_run_that_never_came_is_no_success_and_the_report_has_the_agreed_keys() {
        let helpdesk = Helpdesk::start(helpdesk::Settings::default()).await.unwrap();
        let receiver = Receiver::start(receiver::Settings::default()).await.unwrap();
        let kills = [Kill { resumed_after: Duration::from_micros(3_068_400) }];
        let report = Report::of(&helpdesk, &receiver, &kills, 2, Duration::from_secs(9));
        let faults = report.faults().join("; ");
        for fault in ["285 records were lost", "1 workers were killed, not 2", "0 runs came", "never limited"]
        {
            let total = Resource::ALL.iter().map(|resource| helpdesk.ids(*resource).len()).sum::<usize>();
            let fault = fault.replace("285", &total.to_string());
            assert!(faults.contains(&fault), "{fault}: {faults}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = report.write(folder.path()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let mut keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        keys.sort();
        let agreed = [
            "bad_signatures",
            "duplicates",
            "kills",
            "lost",
            "ok",
            "out_of_order",
            "pages",
            "rate_limited",
            "resources",
            "resume_seconds",
            "wall_seconds",
        ];
        assert_eq!(keys, agreed);
        assert_eq!(json["ok"], false);
        assert_eq!(json["resources"]["tickets"], serde_json::json!({ "source": 250, "received_unique": 0 }));
        assert_eq!(json["resume_seconds"], serde_json::json!([3.068]));
        Report::forget(folder.path()).unwrap();
        assert!(!file.exists());
    }
}
