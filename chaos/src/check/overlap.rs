//! Two runs of one job and account never overlap, unless the trigger allows it.

use std::collections::BTreeMap;

use super::{Chains, Findings, story};
use crate::evidence::{At, Evidence};

/// When a run began, when it ended, and which it is.
type Life<'e> = (At, At, &'e str);

pub(super) fn check(evidence: &Evidence, chains: &Chains<'_>, findings: &mut Findings) {
    let mut series: BTreeMap<(&str, &str), Vec<Life<'_>>> = BTreeMap::new();
    for run in evidence.runs.values() {
        let trigger = evidence.triggers.iter().find(|trigger| Some(&trigger.id) == run.trigger.as_ref());
        if trigger.is_some_and(|trigger| trigger.overlap == "allow") {
            continue;
        }
        let Some(chain) = chains.get(&(run.id.as_str(), run.webhook.as_str())) else { continue };
        let first = chain.iter().find(|delivery| delivery.is_acknowledged()).map(|delivery| delivery.at);
        let ended = chain.iter().find(|delivery| delivery.is_terminal() && delivery.is_acknowledged());
        if let (Some(first), Some(ended)) = (first, ended) {
            series.entry((&run.job, &run.account)).or_default().push((first, ended.at, &run.id));
        }
    }
    for ((job, account), mut runs) in series {
        runs.sort();
        for pair in runs.windows(2) {
            let [(_, ended, one), (began, _, other)] = pair else { continue };
            if began < ended && !evidence.power_was_lost(*began, *ended) {
                let what = format!(
                    "runs {one} and {other} of job {job} and account {account} overlap: the second began at {:.3} s, \
                     the first ended at {:.3} s",
                    began.as_secs_f64(),
                    ended.as_secs_f64()
                );
                findings.violate("23: runs don't overlap", Some(other), story(evidence, &what, &[], *began));
            }
        }
    }
}
