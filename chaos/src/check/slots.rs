//! A slot makes one run, whoever fires it, and none is forgotten: each is a run, or was skipped or missed and counted.

use std::collections::BTreeMap;

use super::Findings;
use crate::evidence::{Evidence, Trigger};

pub(super) fn check(evidence: &Evidence, findings: &mut Findings) {
    for trigger in &evidence.triggers {
        let mut slots: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
        for run in evidence.runs.values().filter(|run| run.trigger.as_deref() == Some(&trigger.id)) {
            if let Some(slot) = run.slot {
                slots.entry(slot).or_default().push(&run.id);
            }
        }
        for (slot, runs) in slots.iter().filter(|(_, runs)| runs.len() > 1) {
            let what = format!(
                "slot {slot} of trigger {} made {} runs: {}",
                trigger.id,
                runs.len(),
                runs.join(", ")
            );
            findings.violate("7: one run a slot", Some(runs[0]), what);
        }
        count(trigger, &slots, findings);
    }
}

fn count(trigger: &Trigger, slots: &BTreeMap<i64, Vec<&str>>, findings: &mut Findings) {
    let (Some((first, _)), Some(last)) = (slots.first_key_value(), trigger.last_slot) else {
        return findings.violate("7: triggers fire", None, format!("trigger {} made no run", trigger.id));
    };
    let due = (last - first) / trigger.every_ms + 1;
    let made = i64::try_from(slots.len()).unwrap_or(i64::MAX);
    let passed = i64::try_from(trigger.skipped + trigger.missed).unwrap_or(i64::MAX);
    let what = format!(
        "trigger {} ({}): {due} slots from {first} to {last}, {made} runs, {} skipped, {} missed",
        trigger.id, trigger.overlap, trigger.skipped, trigger.missed
    );
    if made + passed != due {
        findings.violate("7: no slot is forgotten", None, what);
    } else if trigger.catches_up_all && trigger.overlap == "allow" && made != due {
        findings.violate("7: catch_up all makes up for each", None, what);
    }
}
