//! Order within a run, at one webhook: pages by `seq` without gaps, one start, nothing after the end, no zombies
//! without an excuse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Findings, story};
use crate::evidence::{At, Delivery, Evidence};
use crate::plan::Fault;

/// How long a request may be under way when its sender was frozen or the network held it: longer than the longest
/// freeze and the longest storm together.
const UNDER_WAY_MAX: Duration = Duration::from_secs(12);

pub(super) fn check(evidence: &Evidence, chain: &[&Delivery], findings: &mut Findings) {
    let mut last = Last::default();
    for delivery in chain {
        if delivery.epoch < last.epoch {
            zombie(evidence, chain, delivery, last.epoch, findings);
            last.acknowledge(delivery);
            continue;
        }
        last.epoch = delivery.epoch;
        order(evidence, chain, delivery, &last, findings);
        last.acknowledge(delivery);
    }
    once(evidence, chain, &last, findings);
}

/// What the receiver knows of the run so far.
#[derive(Debug, Default)]
struct Last {
    epoch: u64,
    /// The highest page acknowledged, and when.
    seq: u64,
    /// When, and under which epoch.
    seq_by: (At, u64),
    /// The last terminal event acknowledged, when, and under which epoch.
    ended: Option<(String, (At, u64))>,
    /// Acknowledged events that come once: their ids, with the time of the first acknowledgement of each.
    once: BTreeMap<&'static str, BTreeMap<String, At>>,
}

impl Last {
    fn acknowledge(&mut self, delivery: &Delivery) {
        if !delivery.is_acknowledged() {
            return;
        }
        if let Some(seq) = delivery.seq
            && delivery.event == "record"
            // After a run went back its order is judged from there.
            && (seq > self.seq || delivery.epoch > self.seq_by.1)
        {
            (self.seq, self.seq_by) = (seq, (delivery.at, delivery.epoch));
        }
        let kind = match delivery.event.as_str() {
            "started" => "started",
            event if delivery.is_terminal() => {
                self.ended = Some((event.to_owned(), (delivery.at, delivery.epoch)));
                "terminal"
            }
            _ => return,
        };
        self.once.entry(kind).or_default().entry(delivery.id.clone()).or_insert(delivery.at);
    }
}

fn order(
    evidence: &Evidence,
    chain: &[&Delivery],
    delivery: &Delivery,
    last: &Last,
    findings: &mut Findings,
) {
    let what = match (delivery.event.as_str(), delivery.seq) {
        ("record", None) => Some("a page without seq".to_owned()),
        ("record", Some(seq)) if seq > last.seq + 1 => Some(format!(
            "page {seq} was sent though {} is the last one acknowledged: a page was skipped",
            last.seq
        )),
        // A page before the last one again: only when Redis lost what it knew.
        ("record", Some(seq)) if seq < last.seq && !went_back(evidence, last.seq_by, delivery) => {
            Some(format!("page {seq} came again after {} was acknowledged", last.seq))
        }
        ("started", _) if last.seq > 0 && !went_back(evidence, last.seq_by, delivery) => {
            Some("started came after pages".to_owned())
        }
        _ => None,
    };
    if let Some(what) = what {
        findings.out_of_order += 1;
        return findings.violate(
            "4: in order, without gaps",
            Some(&delivery.run),
            story(evidence, &what, chain, delivery.at),
        );
    }
    let Some((ended, by)) = &last.ended else { return };
    let goes_on = ended == "failed" && evidence.resumed_by_hand.contains(&delivery.run);
    let is_same = delivery.event == *ended;
    if !goes_on && !is_same && !went_back(evidence, *by, delivery) {
        let what = format!("{} came after {ended} was acknowledged", delivery.event);
        findings.violate(
            "6: nothing after the end",
            Some(&delivery.run),
            story(evidence, &what, chain, delivery.at),
        );
    }
}

/// Whether the run may have gone back behind what was acknowledged at that time under that epoch: Redis lost what it
/// knew, then or before, while an owner that had not noticed yet went on; and it is another claim that goes back.
fn went_back(evidence: &Evidence, (at, epoch): (At, u64), delivery: &Delivery) -> bool {
    delivery.epoch > epoch && evidence.power_was_lost(at.saturating_sub(UNDER_WAY_MAX), delivery.at)
}

/// A request of a former owner may still arrive when it was under way: its sender was frozen while sending, or the
/// network held it back. A worker that knows it lost the run sends nothing.
fn zombie(
    evidence: &Evidence,
    chain: &[&Delivery],
    delivery: &Delivery,
    newest: u64,
    findings: &mut Findings,
) {
    let from = delivery.at.saturating_sub(UNDER_WAY_MAX);
    let is_excused = evidence
        .was(from, delivery.at, |happened| matches!(happened.fault, Fault::Freeze(_) | Fault::Network(..)));
    if !is_excused {
        let what = format!("epoch {} sent {} after epoch {newest} had", delivery.epoch, delivery.event);
        findings.violate("3: one owner", Some(&delivery.run), story(evidence, &what, chain, delivery.at));
    }
}

/// One logical `started`, and one terminal event an attempt; one more of each for a power loss after the first, which
/// may bring them again under other ids.
fn once(evidence: &Evidence, chain: &[&Delivery], last: &Last, findings: &mut Findings) {
    let Some(first) = chain.first() else { return };
    let attempts = evidence.runs.get(&first.run).map_or(1, |run| run.attempt);
    for (kind, ids) in &last.once {
        let allowed = if *kind == "terminal" { attempts } else { 1 };
        let times: BTreeSet<At> = ids.values().copied().collect();
        let (Some(began), Some(again)) = (times.first(), times.last()) else { continue };
        let losses = evidence.happened.iter().filter(|happened| {
            happened.fault == Fault::PowerLoss && happened.until >= *began && happened.from <= *again
        });
        if ids.len() as u64 > allowed + losses.count() as u64 {
            let what =
                format!("{} different {kind} events were acknowledged in {attempts} attempts", ids.len());
            findings.violate(
                "6: one start, one end",
                Some(&first.run),
                story(evidence, &what, chain, *again),
            );
        }
    }
}
