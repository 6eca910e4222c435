//! Pages acknowledged more than once, each with its cause. One without a cause breaks a promise: without a fault nothing
//! comes twice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Findings, story};
use crate::evidence::{Delivery, Evidence};
use crate::plan::{Fault, Link};

/// A fault so long before an acknowledgement may have kept it from being heard or saved.
const BEFORE: Duration = Duration::from_millis(2_500);

pub(super) fn check(evidence: &Evidence, chain: &[&Delivery], findings: &mut Findings) {
    let mut acknowledged: BTreeMap<u64, &Delivery> = BTreeMap::new();
    for delivery in chain.iter().filter(|delivery| delivery.event == "record" && delivery.is_acknowledged()) {
        let Some(seq) = delivery.seq else { continue };
        let Some(first) = acknowledged.insert(seq, delivery) else { continue };
        match cause(evidence, first, delivery) {
            Some(cause) => *findings.duplicates.entry(cause).or_default() += 1,
            None => {
                *findings.duplicates.entry("unexplained").or_default() += 1;
                let what = format!("page {seq} was acknowledged twice, and nothing had happened between");
                findings.violate(
                    "4: duplicates have a cause",
                    Some(&delivery.run),
                    story(evidence, &what, chain, delivery.at),
                );
            }
        }
    }
}

/// Why a page that was acknowledged came again.
fn cause(evidence: &Evidence, first: &Delivery, again: &Delivery) -> Option<&'static str> {
    let (from, until) = (first.at.saturating_sub(BEFORE), again.at);
    let was = |wanted: &dyn Fn(Fault, Option<u32>) -> bool| {
        evidence.was(from, until, |happened| wanted(happened.fault, happened.pid))
    };
    if evidence.power_was_lost(from, until) {
        return Some("power_loss");
    }
    let owner = evidence.owners.get(&(first.run.clone(), first.epoch)).copied();
    let hit = |pid: Option<u32>| owner.is_none() || pid == owner;
    if first.epoch != again.epoch {
        // Somebody else sends it again: the owner that had its 200 could not save that.
        if was(&|fault, pid| matches!(fault, Fault::Kill(_)) && hit(pid)) {
            return Some("worker_kill");
        }
        if was(&|fault, pid| matches!(fault, Fault::Freeze(_)) && hit(pid)) {
            return Some("worker_frozen");
        }
        if was(&|fault, _| matches!(fault, Fault::KillRedis | Fault::Forget | Fault::Network(Link::Redis, _)))
        {
            return Some("redis_out_of_reach");
        }
    }
    // It never heard of the 200.
    let receiver = receiver_of(&first.webhook);
    if was(&|fault, _| matches!(fault, Fault::Network(Link::Receiver(number), _) if Some(number) == receiver))
    {
        return Some("acknowledgement_lost");
    }
    if was(&|fault, _| matches!(fault, Fault::Receiver(number, _) if Some(number) == receiver)) {
        return Some("receiver_broke_off");
    }
    let frozen = was(&|fault, pid| matches!(fault, Fault::Freeze(_)) && hit(pid));
    frozen.then_some("worker_frozen")
}

fn receiver_of(webhook: &str) -> Option<usize> {
    webhook.strip_prefix("hook-")?.parse().ok()
}
