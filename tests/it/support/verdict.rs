//! The promises, by the ledgers of source and receiver.

use std::collections::BTreeSet;

use rapidbridge::playground::helpdesk::Resource;
use rapidbridge::playground::receiver::Ledger;
use rapidbridge::playground::{Helpdesk, Receiver};

/// What may differ from a perfect run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expected {
    /// Pages that may come twice at most.
    pub(crate) duplicates: u64,
    /// Pages that may come under another id at most: another event came in between (rule 1).
    pub(crate) renamed: u64,
    /// Times that runs may begin again at an earlier page, because Redis lost their last checkpoints.
    pub(crate) rewinds: usize,
    /// `record_error` events that must have come, each counted once.
    pub(crate) record_errors: u64,
}

/// Pages that came under more than one id. The sources here don't change under way, so a page that is fetched again
/// is the same event again.
fn with_two_ids(ledger: &Ledger, run: &str) -> u64 {
    let pages = ledger.requests.iter().filter(|request| request.run.as_deref() == Some(run));
    let pages: BTreeSet<(u64, &str)> =
        pages.filter_map(|request| Some((request.seq?, request.id.as_str()))).collect();
    let seqs: BTreeSet<u64> = pages.iter().map(|(seq, _)| *seq).collect();
    (pages.len() - seqs.len()) as u64
}

/// Panics unless `run` completed and brought every record of `resources` in order, signed and unmixed.
#[track_caller]
pub(crate) fn judge(
    helpdesk: &Helpdesk,
    receiver: &Receiver,
    run: &str,
    resources: &[Resource],
    expected: Expected,
) {
    let mut faults = Vec::new();
    for resource in resources {
        let there = helpdesk.ids(*resource);
        let came = receiver.read(|ledger| ledger.run(run).resources.get(resource.as_str()).cloned());
        let came = came.unwrap_or_default().unique;
        let lost = there.iter().filter(|id| !came.contains(id.to_string().as_str())).count();
        if lost > 0 || came.len() != there.len() {
            faults.push(format!("{resource}: {lost} of {} lost, {} came", there.len(), came.len()));
        }
    }
    receiver.read(|ledger| {
        let mut must = |what: &str, found: u64, wanted: std::ops::RangeInclusive<u64>| {
            if !wanted.contains(&found) {
                faults.push(format!("{what}: {found}, not {wanted:?}"));
            }
        };
        let ours = ledger.run(run);
        must("bad signatures", ledger.bad_signatures, 0..=0);
        must("malformed", ledger.malformed, 0..=0);
        must("id conflicts", ledger.id_conflicts, 0..=0);
        must("out of order", ledger.out_of_order, 0..=0);
        must("stale epochs", ledger.stale_epochs, 0..=0);
        must("rewinds", ledger.rewinds.len() as u64, 0..=expected.rewinds as u64);
        must("pages twice", ledger.duplicates.pages, 0..=expected.duplicates);
        must("pages with two ids", with_two_ids(ledger, run), 0..=expected.renamed);
        must("missing pages", ours.missing_seqs().len() as u64, 0..=0);
        must("started", ours.event("sync_job_run:started").distinct, 1..=1);
        must("completed", ours.event("sync_job_run:completed").distinct, 1..=1);
        let errors = ours.event("sync_job_run:record_error").distinct;
        must("record errors", errors, expected.record_errors..=expected.record_errors);
        if ours.ended.as_deref() != Some("sync_job_run:completed") {
            faults.push(format!("the run's last word was {:?}", ours.ended));
        }
    });
    assert!(faults.is_empty(), "run {run}:\n  {}", faults.join("\n  "));
}
