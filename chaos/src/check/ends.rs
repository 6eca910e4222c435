//! Every accepted run ends, brings everything, and says the same to the API and to its webhook.

use std::time::Duration;

use super::{Chains, Findings, story};
use crate::documents;
use crate::evidence::{Accepted, Evidence, Run};

pub(super) fn check(evidence: &Evidence, chains: &Chains<'_>, findings: &mut Findings) {
    for accepted in &evidence.accepted {
        accepted_run(evidence, accepted, findings);
    }
    for run in evidence.runs.values() {
        ended(evidence, chains, run, findings);
    }
}

fn accepted_run(evidence: &Evidence, accepted: &Accepted, findings: &mut Findings) {
    if evidence.runs.contains_key(&accepted.run) {
        return;
    }
    if accepted.replaced_by.is_some() {
        findings.taken_by_power_loss += 1;
        return;
    }
    findings.lost += 1;
    let what = format!(
        "run {} ({} of {}) was accepted at {:.3} s, and there is no such run",
        accepted.run,
        accepted.job,
        accepted.account,
        accepted.at.as_secs_f64()
    );
    findings.violate(
        "1: no accepted run is lost",
        Some(&accepted.run),
        story(evidence, &what, &[], accepted.at),
    );
}

fn ended(evidence: &Evidence, chains: &Chains<'_>, run: &Run, findings: &mut Findings) {
    let empty = Vec::new();
    let chain = chains.get(&(run.id.as_str(), run.webhook.as_str())).unwrap_or(&empty);
    let last_at = chain.last().map_or(Duration::ZERO, |delivery| delivery.at);
    if run.status != "completed" {
        let reason = run.reason.as_deref().unwrap_or("without a reason");
        let rule = if matches!(run.status.as_str(), "failed" | "stopped") {
            "1: a run ends well"
        } else {
            "1: a run ends"
        };
        let what = format!("run {} of job {} is {:?}: {reason}", run.id, run.job, run.status);
        return findings.violate(rule, Some(&run.id), story(evidence, &what, chain, last_at));
    }
    if !run.incomplete.is_empty() {
        let what = format!("run {} completed with holes: {}", run.id, run.incomplete.join(", "));
        findings.violate("1: nothing is skipped", Some(&run.id), story(evidence, &what, chain, last_at));
    }
    let said = chain.iter().rev().find(|delivery| delivery.is_terminal() && delivery.is_acknowledged());
    if said.is_none_or(|said| said.event != run.status) {
        let said = said.map_or("nothing", |said| said.event.as_str());
        let what = format!("run {} is completed, and its webhook was told {said}", run.id);
        findings.violate("6: status and event agree", Some(&run.id), story(evidence, &what, chain, last_at));
    }
    for resource in documents::resources_of(&run.job) {
        let there = evidence.there.get(&(run.account.clone(), resource.to_string()));
        let came = evidence.received.get(&(run.id.clone(), resource.to_string()));
        let missing: Vec<&str> = there
            .into_iter()
            .flatten()
            .filter(|id| came.is_none_or(|came| !came.contains(*id)))
            .map(AsRef::as_ref)
            .collect();
        if !missing.is_empty() {
            findings.lost += missing.len() as u64;
            let shown = missing.iter().take(10).copied().collect::<Vec<_>>().join(", ");
            let what = format!("run {} completed without {} {resource}: {shown}", run.id, missing.len());
            findings.violate("2: no record is lost", Some(&run.id), story(evidence, &what, chain, last_at));
        }
    }
}
