//! Two runs of one job and account never overlap, unless the trigger allows it; neither do two with the same mutex,
//! whatever their account.

use std::collections::BTreeMap;

use super::{Chains, Findings, story};
use crate::evidence::{At, Evidence};

/// When a run began, when it ended, and which it is.
type Life<'e> = (At, At, &'e str);

pub(super) fn check(evidence: &Evidence, chains: &Chains<'_>, findings: &mut Findings) {
    let mut series: BTreeMap<String, Vec<Life<'_>>> = BTreeMap::new();
    for run in evidence.runs.values() {
        let trigger = evidence.triggers.iter().find(|trigger| Some(&trigger.id) == run.trigger.as_ref());
        let may = trigger.is_some_and(|trigger| trigger.overlap == "allow");
        let own = (!may).then(|| format!("of job {} and account {}", run.job, run.account));
        let shared = run.mutex.as_ref().map(|mutex| format!("with {mutex:?}"));
        let Some(chain) = chains.get(&(run.id.as_str(), run.webhook.as_str())) else { continue };
        let first = chain.iter().find(|delivery| delivery.is_acknowledged()).map(|delivery| delivery.at);
        let ended = chain.iter().find(|delivery| delivery.is_terminal() && delivery.is_acknowledged());
        if let (Some(first), Some(ended)) = (first, ended) {
            for kind in own.into_iter().chain(shared) {
                series.entry(kind).or_default().push((first, ended.at, &run.id));
            }
        }
    }
    for (kind, mut runs) in series {
        runs.sort();
        for pair in runs.windows(2) {
            let [(_, ended, one), (began, _, other)] = pair else { continue };
            if began < ended && !evidence.power_was_lost(*began, *ended) {
                let what = format!(
                    "runs {one} and {other} {kind} overlap: the second began at {:.3} s, \
                     the first ended at {:.3} s",
                    began.as_secs_f64(),
                    ended.as_secs_f64()
                );
                findings.violate("23: runs don't overlap", Some(other), story(evidence, &what, &[], *began));
            }
        }
    }
}
