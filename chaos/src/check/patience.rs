//! A run that told its webhook of a rate limit asks its source nothing until the limit is over.

use std::time::Duration;

use super::{Findings, story};
use crate::evidence::{Delivery, Evidence, Fetch};

/// Clocks tick in milliseconds, and an answer takes its way.
const TOLERANCE: Duration = Duration::from_millis(50);

pub(super) fn check(evidence: &Evidence, findings: &mut Findings) {
    let limits = evidence.fetches.iter().filter(|fetch| fetch.limited_until.is_some());
    let told: Vec<&Delivery> = evidence
        .deliveries
        .iter()
        .filter(|delivery| delivery.event == "rate_limited" && delivery.is_acknowledged())
        .collect();
    for limit in limits {
        let Some(until) = limit.limited_until else { continue };
        let Some(told) =
            told.iter().find(|told| told.run == limit.run && (limit.at..until).contains(&told.at))
        else {
            continue;
        };
        let is_early = |fetch: &&Fetch| {
            fetch.run == limit.run && fetch.at > told.at + TOLERANCE && fetch.at + TOLERANCE < until
        };
        let Some(early) = evidence.fetches.iter().find(is_early) else { continue };
        // Redis may have lost that the run was parked.
        if evidence.power_was_lost(limit.at, early.at) {
            continue;
        }
        let what = format!(
            "run {} of account {} asked {} at {:.3} s, though it was told at {:.3} s to wait until {:.3} s",
            early.run,
            early.account,
            early.path,
            early.at.as_secs_f64(),
            limit.at.as_secs_f64(),
            until.as_secs_f64()
        );
        findings.violate(
            "8: a parked run waits",
            Some(&limit.run),
            story(evidence, &what, &[told], early.at),
        );
    }
}
