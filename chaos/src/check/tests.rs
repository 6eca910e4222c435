//! Each rule is shown a history that keeps its promise, and one that breaks it.

use std::time::Duration;

use super::{Findings, check};
use crate::evidence::{Accepted, At, Delivery, Evidence, Fetch, Forgeries, Happened, Run, Trigger};
use crate::plan::{Fault, Link, Slot};
use rapidbridge::playground::proxy::Weather;

const EPOCH: u64 = 7;

fn ms(count: u64) -> At {
    Duration::from_millis(count)
}

fn delivery(at: u64, event: &str, seq: Option<u64>) -> Delivery {
    Delivery {
        at: ms(at),
        webhook: "hook-0".into(),
        run: "r".into(),
        event: event.into(),
        seq,
        epoch: EPOCH,
        id: format!("{event}-{}", seq.unwrap_or_default()),
        status: Some(200),
        page: None,
    }
}

fn page(at: u64, seq: u64) -> Delivery {
    delivery(at, "record", Some(seq))
}

fn run() -> Run {
    Run {
        id: "r".into(),
        job: "flat".into(),
        account: "account-0".into(),
        webhook: "hook-0".into(),
        mutex: None,
        status: "completed".into(),
        reason: None,
        trigger: None,
        slot: None,
        attempt: 1,
        incomplete: Vec::new(),
    }
}

/// A run of three pages with three tickets, as it should be.
fn good() -> Evidence {
    let mut evidence = Evidence {
        deliveries: vec![
            delivery(1000, "started", None),
            page(2000, 1),
            page(3000, 2),
            page(4000, 3),
            delivery(5000, "completed", None),
        ],
        ..Evidence::default()
    };
    evidence.runs.insert("r".into(), run());
    evidence.accepted.push(Accepted {
        run: "r".into(),
        job: "flat".into(),
        account: "account-0".into(),
        at: ms(500),
        replaced_by: None,
    });
    let tickets = || ["1", "2", "3"].map(Into::into).into();
    evidence.there.insert(("account-0".into(), "tickets".into()), tickets());
    evidence.received.insert(("r".into(), "tickets".into()), tickets());
    evidence
}

fn happened(from: u64, until: u64, fault: Fault) -> Happened {
    Happened { from: ms(from), until: ms(until), fault, pid: Some(1) }
}

fn rules(evidence: &Evidence) -> Vec<&'static str> {
    check(evidence).violations.iter().map(|violation| violation.rule).collect()
}

#[track_caller]
fn finds(rule: &str, spoil: impl FnOnce(&mut Evidence)) -> Findings {
    assert_eq!(rules(&good()), Vec::<&str>::new(), "the good history is good");
    let mut evidence = good();
    spoil(&mut evidence);
    let findings = check(&evidence);
    assert!(
        findings.violations.iter().any(|found| found.rule.starts_with(rule)),
        "{rule}: {:?}",
        findings.violations
    );
    assert!(findings.violations.iter().all(|found| !found.story.is_empty()));
    findings
}

#[track_caller]
fn excuses(spoil: impl FnOnce(&mut Evidence)) -> Findings {
    let mut evidence = good();
    spoil(&mut evidence);
    let findings = check(&evidence);
    assert!(findings.violations.is_empty(), "{:?}", findings.violations);
    findings
}

#[test]
fn a_skipped_page_is_found() {
    let findings = finds("4: in order", |evidence| {
        evidence.deliveries.remove(2);
    });
    assert_eq!(findings.out_of_order, 1);
    // Not even a power loss may skip one.
    finds("4: in order", |evidence| {
        evidence.deliveries.remove(2);
        evidence.happened.push(happened(2500, 3500, Fault::PowerLoss));
    });
}

#[test]
fn going_back_wants_a_power_loss() {
    let again = |epoch| {
        move |evidence: &mut Evidence| {
            evidence.deliveries.insert(4, Delivery { epoch, ..page(4500, 1) });
            evidence.deliveries[5].epoch = epoch;
        }
    };
    finds("4: in order", again(EPOCH + 1));
    // The same claim never goes back.
    finds("4: in order", |evidence| {
        again(EPOCH)(evidence);
        evidence.happened.push(happened(3000, 4200, Fault::PowerLoss));
    });
    let findings = excuses(|evidence| {
        again(EPOCH + 1)(evidence);
        evidence.happened.push(happened(3000, 4200, Fault::PowerLoss));
    });
    assert_eq!(findings.duplicates.get("power_loss"), Some(&1));
    // Nor may it skip anything on its way forth again.
    finds("4: in order", |evidence| {
        again(EPOCH + 1)(evidence);
        evidence.deliveries.insert(5, Delivery { epoch: EPOCH + 1, ..page(4600, 3) });
        evidence.happened.push(happened(3000, 4200, Fault::PowerLoss));
    });
}

#[test]
fn a_duplicate_wants_a_cause() {
    let again = |epoch| {
        move |evidence: &mut Evidence| evidence.deliveries.insert(4, Delivery { epoch, ..page(4500, 3) })
    };
    finds("4: duplicates", again(EPOCH));
    finds("4: duplicates", again(EPOCH + 1));
    let cause = |epoch, fault| {
        let findings = excuses(|evidence| {
            again(epoch)(evidence);
            evidence.deliveries[5].epoch = epoch;
            evidence.owners.insert(("r".into(), EPOCH), 1);
            evidence.happened.push(happened(3900, 4400, fault));
        });
        findings.duplicates.into_iter().next().unwrap()
    };
    assert_eq!(cause(EPOCH + 1, Fault::Kill(Slot::Worker(0))), ("worker_kill", 1));
    assert_eq!(cause(EPOCH + 1, Fault::Freeze(Slot::Worker(0))), ("worker_frozen", 1));
    assert_eq!(cause(EPOCH + 1, Fault::KillRedis), ("redis_out_of_reach", 1));
    assert_eq!(
        cause(EPOCH, Fault::Network(Link::Receiver(0), Weather::SwallowReplies)),
        ("acknowledgement_lost", 1)
    );
    // Somebody else's fault excuses nothing.
    finds("4: duplicates", |evidence| {
        again(EPOCH + 1)(evidence);
        evidence.owners.insert(("r".into(), EPOCH), 2);
        evidence.happened.push(happened(3900, 4400, Fault::Kill(Slot::Worker(0))));
    });
}

#[test]
fn a_zombie_wants_an_excuse() {
    let wakes = |evidence: &mut Evidence| {
        evidence.deliveries[3].epoch = EPOCH + 1;
        evidence.deliveries[4].epoch = EPOCH + 1;
        evidence.deliveries.insert(4, Delivery { seq: Some(3), status: Some(409), ..page(4500, 3) });
    };
    finds("3: one owner", wakes);
    excuses(|evidence| {
        wakes(evidence);
        evidence.happened.push(happened(1000, 4400, Fault::Freeze(Slot::Worker(0))));
    });
}

#[test]
fn one_start_one_end_and_nothing_after_it() {
    finds("6: one start", |evidence| {
        evidence.deliveries.insert(1, Delivery { id: "another".into(), ..delivery(1500, "started", None) });
    });
    finds("6: one start", |evidence| {
        evidence.deliveries.push(Delivery { id: "another".into(), ..delivery(5500, "completed", None) });
    });
    finds("6: nothing after", |evidence| evidence.deliveries.push(page(6000, 4)));
    finds("6: status and event", |evidence| drop(evidence.deliveries.pop()));
    finds("6: status and event", |evidence| evidence.deliveries[4].event = "failed".into());
    // The same event again is the same event.
    excuses(|evidence| evidence.deliveries.push(delivery(5500, "completed", None)));
    // A failed run that was resumed has two ends.
    excuses(|evidence| {
        evidence.deliveries.insert(4, delivery(4500, "failed", None));
        evidence.resumed_by_hand.insert("r".into());
        evidence.runs.get_mut("r").unwrap().attempt = 2;
    });
}

#[test]
fn what_is_lost_is_found() {
    let findings = finds("2: no record", |evidence| {
        evidence.received.get_mut(&("r".into(), "tickets".into())).unwrap().remove("2");
    });
    assert_eq!(findings.lost, 1);
    let findings = finds("1: no accepted run", |evidence| {
        evidence.runs.clear();
        evidence.deliveries.clear();
    });
    assert_eq!(findings.lost, 1);
    finds("1: nothing is skipped", |evidence| {
        evidence.runs.get_mut("r").unwrap().incomplete.push("tickets".into());
    });
    finds("1: a run ends", |evidence| evidence.runs.get_mut("r").unwrap().status = "running".into());
    finds("1: a run ends well", |evidence| evidence.runs.get_mut("r").unwrap().status = "failed".into());
    let findings = excuses(|evidence| {
        let lost =
            Accepted { run: "gone".into(), replaced_by: Some("r".into()), ..evidence.accepted[0].clone() };
        evidence.accepted.push(lost);
    });
    assert_eq!(findings.taken_by_power_loss, 1);
}

#[test]
fn runs_of_one_job_and_account_don_t_overlap() {
    let second = |evidence: &mut Evidence| {
        evidence.runs.insert("s".into(), Run { id: "s".into(), ..run() });
        let others: Vec<Delivery> = evidence.deliveries.clone();
        let moved = |delivery: Delivery| Delivery { run: "s".into(), at: delivery.at + ms(3500), ..delivery };
        evidence.deliveries.extend(others.into_iter().map(moved));
        evidence.deliveries.sort_by_key(|delivery| delivery.at);
        let received = evidence.received[&("r".to_owned(), "tickets".to_owned())].clone();
        evidence.received.insert(("s".into(), "tickets".into()), received);
    };
    finds("23: runs", second);
    let of_another_account = |evidence: &mut Evidence| {
        second(evidence);
        evidence.runs.get_mut("s").unwrap().account = "account-2".into();
        let tickets = evidence.there[&("account-0".to_owned(), "tickets".to_owned())].clone();
        evidence.there.insert(("account-2".into(), "tickets".into()), tickets);
    };
    excuses(of_another_account);
    finds("23: runs", |evidence| {
        of_another_account(evidence);
        evidence.runs.values_mut().for_each(|run| run.mutex = Some("m".into()));
    });
}

#[test]
fn a_run_that_was_told_to_wait_waits() {
    let fetch = |at, until: Option<u64>| Fetch {
        at: ms(at),
        run: "r".into(),
        account: "account-0".into(),
        path: "/tickets".into(),
        found: None,
        list: None,
        limited_until: until.map(ms),
        restarts: false,
        is_foreign_cursor: false,
    };
    let limited = |evidence: &mut Evidence| {
        evidence.fetches.push(fetch(2100, Some(3100)));
        evidence.deliveries.insert(2, delivery(2200, "rate_limited", None));
    };
    excuses(|evidence| {
        limited(evidence);
        evidence.fetches.push(fetch(3105, None));
    });
    finds("8: a parked run", |evidence| {
        limited(evidence);
        evidence.fetches.push(fetch(2600, None));
    });
}

#[test]
fn slots_are_neither_doubled_nor_forgotten() {
    let scheduled = |slots: &'static [i64], skipped| {
        move |evidence: &mut Evidence| {
            for (number, slot) in slots.iter().enumerate() {
                let id = format!("t{number}");
                let mut chain = good().deliveries;
                let later = ms(10_000 * (number as u64 + 1));
                chain.iter_mut().for_each(|delivery| {
                    delivery.run.clone_from(&id);
                    delivery.at += later;
                });
                evidence.deliveries.extend(chain);
                let received = evidence.received[&("r".to_owned(), "tickets".to_owned())].clone();
                evidence.received.insert((id.clone(), "tickets".into()), received);
                evidence
                    .runs
                    .insert(id.clone(), Run { id, trigger: Some("t".into()), slot: Some(*slot), ..run() });
            }
            evidence.triggers.push(Trigger {
                id: "t".into(),
                overlap: "skip".into(),
                catches_up_all: false,
                every_ms: 1000,
                last_slot: Some(4000),
                skipped,
                missed: 0,
            });
        }
    };
    excuses(scheduled(&[1000, 2000, 4000], 1));
    finds("7: one run", scheduled(&[1000, 2000, 2000, 4000], 1));
    finds("7: no slot", scheduled(&[1000, 4000], 1));
    finds("7: triggers fire", scheduled(&[], 0));
}

#[test]
fn what_others_found_is_told() {
    finds("9: every run", |evidence| evidence.orphans.push("run x is nowhere".into()));
    finds("9: no key", |evidence| evidence.leftovers.push("stage:x".into()));
    finds("mishap", |evidence| evidence.mishaps.push("worker 1 ended by itself".into()));
    finds("5: one webhook-id", |evidence| {
        evidence.forgeries = Forgeries { id_conflicts: 1, ..Forgeries::default() };
    });
}
