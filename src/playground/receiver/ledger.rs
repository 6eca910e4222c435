//! What the receiver got, and what it makes of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Instant;

use super::message::{CHAIN, Message};
use super::signature::Signatures;
use super::{Given, Received};

/// How many requests are kept one by one; the counts go on beyond.
const REQUESTS_MAX: usize = 1_000_000;
/// How many problems are told in words; the counts go on beyond.
const PROBLEMS_MAX: usize = 100;

/// What the receiver got, and what it makes of it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Requests with a good signature, in order of arrival.
    pub requests: Vec<Received>,
    /// How many of them were acknowledged.
    pub acknowledged: u64,
    /// Requests whose signature was missing, wrong or too old. They count nowhere else.
    pub bad_signatures: u64,
    /// Requests that carried a good `X-Truto-Signature` too.
    pub truto_signatures: u64,
    /// Requests whose body or headers are not what the contract says.
    pub malformed: u64,
    /// Requests whose `webhook-id` was seen with other bytes, or is not the body's `id`.
    pub id_conflicts: u64,
    /// Requests with a lower epoch than one seen for the run before.
    pub stale_epochs: u64,
    /// Pages that are neither the next one nor the last one again; anything but itself after `completed`; a
    /// `started` after pages. Rewinds are not among them.
    pub out_of_order: u64,
    /// Where runs began again before the last page acknowledged, under a newer epoch: what a run does whose last
    /// checkpoints Redis lost. From there on order is judged as before, so nothing can be skipped.
    pub rewinds: Vec<Rewind>,
    /// Events of a run after `failed` or `stopped`: right after a resume, wrong without one.
    pub after_failure: u64,
    /// What was acknowledged more than once.
    pub duplicates: Duplicates,
    /// Each run by its id.
    pub runs: BTreeMap<String, RunLedger>,
    /// The first problems, in words.
    pub problems: Vec<String>,
    ids: HashMap<String, Seen>,
    bytes_left: usize,
}

/// What was acknowledged more than once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// Acknowledgements of a `webhook-id` beyond its first.
    pub requests: u64,
    /// Acknowledgements of a (run, seq) beyond its first, whatever the id.
    pub pages: u64,
    /// The records in those pages.
    pub records: u64,
}

/// A run that began again at an earlier page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewind {
    /// The run.
    pub run: String,
    /// The last page that was acknowledged before.
    pub from: u64,
    /// The page it began with; 0 when it began with its `started`.
    pub to: u64,
    /// When that came.
    pub at: Instant,
}

impl Rewind {
    /// How many acknowledged pages come again by it.
    pub fn pages(&self) -> u64 {
        self.from + 1 - self.to.max(1).min(self.from + 1)
    }
}

/// One run.
#[derive(Debug, Clone, Default)]
pub struct RunLedger {
    /// Its events by type.
    pub events: BTreeMap<String, EventLedger>,
    /// The highest page acknowledged; 0 before the first.
    pub last_acked_seq: u64,
    /// The highest page acknowledged, since the last rewind if there was one.
    position: u64,
    /// The highest epoch that has sent a page.
    page_epoch: u64,
    /// Every page acknowledged.
    pub acked_seqs: BTreeSet<u64>,
    /// When each epoch's first request came.
    pub epochs: BTreeMap<u64, Instant>,
    /// The last terminal event acknowledged (`sync_job_run:completed`).
    pub ended: Option<String>,
    /// Acknowledged records by resource.
    pub resources: BTreeMap<String, ResourceLedger>,
}

/// One type of event of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventLedger {
    /// Requests, tries included.
    pub requests: u64,
    /// Acknowledgements, repeats included.
    pub acked: u64,
    /// Different events acknowledged, by their `webhook-id`.
    pub distinct: u64,
}

/// One resource of one run.
#[derive(Debug, Clone, Default)]
pub struct ResourceLedger {
    /// The `id` of every acknowledged record, as it was written.
    pub unique: HashSet<Box<str>>,
    /// Acknowledged records, repeats included.
    pub total: u64,
}

#[derive(Debug)]
struct Seen {
    digest: [u8; 32],
    is_acked: bool,
}

impl RunLedger {
    /// The count of one type of event.
    pub fn event(&self, event: &str) -> EventLedger {
        self.events.get(event).copied().unwrap_or_default()
    }

    /// Pages between 1 and the last one that were never acknowledged.
    pub fn missing_seqs(&self) -> Vec<u64> {
        (1..=self.last_acked_seq).filter(|seq| !self.acked_seqs.contains(seq)).collect()
    }
}

impl Ledger {
    pub(super) fn new(keep_bytes_max: usize) -> Self {
        Self { bytes_left: keep_bytes_max, ..Self::default() }
    }

    /// One run; an empty one when nothing of it came.
    pub fn run(&self, run: &str) -> RunLedger {
        self.runs.get(run).cloned().unwrap_or_default()
    }

    /// The ids of all acknowledged records of a resource, over all runs.
    pub fn unique(&self, resource: &str) -> HashSet<Box<str>> {
        let ledgers = self.runs.values().filter_map(|run| run.resources.get(resource));
        ledgers.flat_map(|ledger| ledger.unique.iter().cloned()).collect()
    }

    /// Pages acknowledged, over all runs, each counted once.
    pub fn pages(&self) -> u64 {
        self.runs.values().map(|run| run.acked_seqs.len() as u64).sum()
    }

    /// Requests of one type of event, over all runs.
    pub fn count(&self, event: &str) -> u64 {
        self.runs.values().map(|run| run.event(event).requests).sum()
    }

    /// Whether at least one run ended, and every run that started did.
    pub fn all_ended(&self) -> bool {
        !self.runs.is_empty() && self.runs.values().all(|run| run.ended.is_some())
    }

    pub(super) fn refused(&mut self, why: &str) {
        self.bad_signatures += 1;
        self.problem(format!("a request was not signed well: {why}"));
    }

    /// Books an arrival, gives it its index, and judges what can be judged without the answer.
    pub(super) fn arrived(&mut self, message: &mut Message, signatures: Signatures) {
        message.received.index = self.requests.len();
        self.truto_signatures += u64::from(signatures == Signatures::StandardAndTruto);
        if !message.faults.is_empty() {
            self.malformed += 1;
            self.problem(format!("{}: {}", name(&message.received), message.faults.join("; ")));
        }
        self.check_id(message);
        self.check_run(&message.received);
        if self.requests.len() < REQUESTS_MAX {
            let mut kept = message.received.clone();
            let bytes = kept.body.as_ref().map_or(0, bytes::Bytes::len);
            match self.bytes_left.checked_sub(bytes) {
                Some(left) => self.bytes_left = left,
                None => kept.body = None,
            }
            self.requests.push(kept);
        }
    }

    /// Books the answer; `is_ack` says whether it acknowledges.
    pub(super) fn answered(&mut self, message: &Message, status: Option<u16>, is_ack: bool) {
        if let Some(kept) = self.requests.get_mut(message.received.index) {
            kept.given = Some(status.map_or(Given::HungUp, Given::Status));
        }
        if is_ack {
            self.acknowledge(message);
        }
    }

    fn check_id(&mut self, message: &Message) {
        let received = &message.received;
        if message.body_id.as_ref().is_some_and(|id| *id != received.id) {
            self.id_conflicts += 1;
            self.problem(format!("{}: its body has the id {:?}", name(received), message.body_id));
        }
        let digest = received.digest;
        let seen = self.ids.entry(received.id.clone()).or_insert(Seen { digest, is_acked: false });
        if seen.digest != digest {
            self.id_conflicts += 1;
            self.problem(format!("{}: the same webhook-id came with other bytes", name(received)));
        }
    }

    fn check_run(&mut self, received: &Received) {
        let Some(run_id) = &received.run else { return };
        let run = self.runs.entry(run_id.clone()).or_default();
        run.events.entry(received.event.clone()).or_default().requests += 1;
        let highest = run.epochs.last_key_value().map_or(0, |(epoch, _)| *epoch);
        let is_stale = received.epoch.is_some_and(|epoch| epoch < highest);
        if let Some(epoch) = received.epoch {
            run.epochs.entry(epoch).or_insert(received.at);
        }
        let last = run.position;
        let order = judge_order(run, received);
        if received.event == RECORD {
            run.page_epoch = run.page_epoch.max(received.epoch.unwrap_or_default());
        }
        if let Order::Rewound(to) = order {
            // What comes next is judged from here.
            run.position = to.saturating_sub(1);
            run.ended = None;
            self.rewinds.push(Rewind { run: run_id.clone(), from: last, to, at: received.at });
        }
        if is_stale {
            self.stale_epochs += 1;
            self.problem(format!("{}: its epoch is lower than {highest}, seen before", name(received)));
        }
        match order {
            Order::Right | Order::Rewound(_) => {}
            Order::Wrong => {
                self.out_of_order += 1;
                self.problem(format!(
                    "{}: out of order, the last page acknowledged is {last}",
                    name(received)
                ));
            }
            Order::AfterFailure => self.after_failure += 1,
        }
    }

    fn acknowledge(&mut self, message: &Message) {
        let received = &message.received;
        self.acknowledged += 1;
        let is_repeat = match self.ids.get_mut(&received.id) {
            Some(seen) => std::mem::replace(&mut seen.is_acked, true),
            None => false,
        };
        self.duplicates.requests += u64::from(is_repeat);
        let Some(run) = received.run.as_ref().and_then(|id| self.runs.get_mut(id)) else { return };
        let event = run.events.entry(received.event.clone()).or_default();
        event.acked += 1;
        event.distinct += u64::from(!is_repeat);
        if is_terminal(&received.event) {
            run.ended = Some(received.event.clone());
        }
        let (true, Some(seq)) = (received.event == RECORD, received.seq) else { return };
        if !run.acked_seqs.insert(seq) {
            self.duplicates.pages += 1;
            self.duplicates.records += message.record_ids.len() as u64;
        }
        run.last_acked_seq = run.last_acked_seq.max(seq);
        // A page that waited here while a newer claim went back is no step forward of that one.
        if received.epoch.unwrap_or_default() >= run.page_epoch {
            run.position = run.position.max(seq);
        }
        let resource = run.resources.entry(received.resource.clone().unwrap_or_default()).or_default();
        resource.total += message.record_ids.len() as u64;
        resource.unique.extend(message.record_ids.iter().cloned());
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(text);
        }
    }
}

const RECORD: &str = "sync_job_run:record";
const STARTED: &str = "sync_job_run:started";
const COMPLETED: &str = "sync_job_run:completed";

enum Order {
    Right,
    Wrong,
    AfterFailure,
    Rewound(u64),
}

fn judge_order(run: &RunLedger, received: &Received) -> Order {
    // No run waits for `created`, `updated`, `deleted`: they may come at any time.
    if !CHAIN.contains(&received.event.as_str()) {
        return Order::Right;
    }
    let last = run.position;
    // Only a claim that has sent no page yet may go back, and only a newer one than those that have.
    if received.epoch.is_some_and(|epoch| epoch > run.page_epoch) {
        let back = match (received.event.as_str(), received.seq) {
            (RECORD, Some(seq)) => (seq > 0 && seq < last).then_some(seq),
            (STARTED, _) => (last > 0).then_some(0),
            _ => None,
        };
        // The last page again is no rewind, unless the run had completed.
        let is_over = run.ended.as_deref() == Some(COMPLETED);
        let again = is_over && received.event == RECORD && received.seq == Some(last);
        if let Some(to) = back.or(again.then_some(last)) {
            return Order::Rewound(to);
        }
    }
    match run.ended.as_deref() {
        Some(COMPLETED) if received.event != COMPLETED => return Order::Wrong,
        Some(ended) if ended != COMPLETED && received.event != ended => return Order::AfterFailure,
        Some(_) | None => {}
    }
    let is_right = match received.event.as_str() {
        RECORD => received.seq.is_some_and(|seq| seq == last + 1 || (seq == last && seq > 0)),
        STARTED => last == 0,
        _ => true,
    };
    if is_right { Order::Right } else { Order::Wrong }
}

fn is_terminal(event: &str) -> bool {
    matches!(event, COMPLETED | "sync_job_run:failed" | "sync_job_run:stopped")
}

fn name(received: &Received) -> String {
    let seq = received.seq.map(|seq| format!(" seq {seq}")).unwrap_or_default();
    let run = received.run.as_deref().unwrap_or("none");
    format!(
        "request {} ({}{seq}, run {run}, epoch {:?}, id {})",
        received.index, received.event, received.epoch, received.id
    )
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} acknowledged, {} pages, {} bad signatures, {} malformed, {} id conflicts, {} stale epochs, \
             {} out of order, {} rewinds, duplicates {:?}",
            self.requests.len(),
            self.acknowledged,
            self.pages(),
            self.bad_signatures,
            self.malformed,
            self.id_conflicts,
            self.stale_epochs,
            self.out_of_order,
            self.rewinds.len(),
            self.duplicates,
        )?;
        for (id, run) in self.runs.iter().take(5) {
            let events: Vec<String> =
                run.events.iter().map(|(event, n)| format!("{event} {}", n.acked)).collect();
            write!(f, "; run {id}: acknowledged {}, ended {:?}", events.join(", "), run.ended)?;
        }
        if let Some(problem) = self.problems.last() {
            write!(f, "; last problem: {problem}")?;
        }
        Ok(())
    }
}
