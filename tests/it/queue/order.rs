//! Who comes when: one run of a job and account at a time, first come first served, and no account delays another.

use std::time::Duration;

use rapidbridge::clock::Millis;
use rapidbridge::store::budget::Counted;

use super::bench::{Bench, DEPTH};
use super::budget::end_step;
use crate::support::eventually;

#[tokio::test]
async fn runs_of_one_job_and_account_never_overlap_and_keep_their_order() {
    let bench = Bench::start().await;
    let mut runs = Vec::new();
    for created in 1..=4 {
        runs.push(bench.push("acme", "job", created).await);
    }
    let other = bench.push("acme", "other-job", 5).await;
    let first = bench.claim("w").await;
    assert_eq!(first.request.id, runs[0]);
    let second = bench.claim("w").await;
    assert_eq!(second.request.id, other, "another job of the account is not held up");
    bench.tend().await;
    for run in &runs[1..] {
        assert_eq!(bench.place(*run).await, "waiting");
    }
    // Parked it holds its key, too.
    let soon = Millis(bench.store.now().await.unwrap().0 + 50);
    assert!(bench.park(&first, 1, soon).await);
    let again = bench.claim("w").await;
    assert_eq!(again.request.id, runs[0]);
    // And after a crash.
    eventually("the lease to end", async || (bench.tend().await.reaped > 0).then_some(())).await;
    for run in &runs {
        let claim = loop {
            // The other job's run was reaped as well; it may come at any time.
            let claim = bench.claim("w").await;
            if claim.request.id != other {
                break claim;
            }
            bench.finish(&claim).await;
        };
        assert_eq!(claim.request.id, *run);
        for later in runs.iter().filter(|later| *later > run) {
            assert_eq!(bench.place(*later).await, "waiting");
        }
        bench.finish(&claim).await;
    }
    assert_eq!(bench.raw::<u64>(&["HLEN", &bench.key("mutexes")]).await, 0);
}

#[tokio::test]
async fn a_stopped_or_failed_run_lets_the_next_one_in() {
    let bench = Bench::start().await;
    let runs = [
        bench.push("acme", "job", 1).await,
        bench.push("acme", "job", 2).await,
        bench.push("acme", "job", 3).await,
    ];
    let first = bench.claim("w").await;
    bench.tend().await;
    // The one in the middle of the line leaves it.
    bench.store.stop(runs[1], "not needed").await.unwrap();
    assert_eq!(bench.place(runs[1]).await, "ended");
    bench.fail(&first).await;
    let next = bench.claim("w").await;
    assert_eq!(next.request.id, runs[2]);
    // A resumed run joins the line again instead of overlapping.
    bench.store.resume(runs[0], Duration::from_secs(60)).await.unwrap();
    bench.tend().await;
    assert_eq!(bench.place(runs[0]).await, "waiting");
    bench.finish(&next).await;
    let resumed = bench.claim("w").await;
    assert_eq!((resumed.request.id, resumed.attempt), (runs[0], 2));
}

#[tokio::test]
async fn a_thousand_runs_of_one_account_delay_another_one_by_the_shallow_stream_alone() {
    let bench = Bench::start().await;
    for number in 0..1000 {
        bench.push("crowded", &format!("job-{number}"), number).await;
    }
    assert_eq!(
        bench.tend().await.admitted,
        DEPTH as u64 - 1,
        "the stream is shallow: one was admitted at once"
    );
    let lonely = bench.push("lonely", "job", 5_000).await;
    let mut before = 0;
    loop {
        let claim = bench.claim("w").await;
        if claim.request.id == lonely {
            break;
        }
        before += 1;
        bench.finish(&claim).await;
    }
    assert!(before <= DEPTH + 1, "{before} runs of the crowded account came first");
    assert_eq!(bench.raw::<u64>(&["XLEN", &bench.key("ready")]).await, DEPTH as u64 - 1);
}

/// A closed gate lets nothing of its account through, and nothing of others wait.
#[tokio::test]
async fn an_account_behind_a_closed_gate_sleeps_until_it_opens() {
    let bench = Bench::start().await;
    let running = bench.push("limited", "one", 1).await;
    let claim = bench.claim("w").await;
    assert_eq!(claim.request.id, running);
    let wait = Duration::from_millis(700);
    let account = claim.request.account.clone();
    let (generation, opens) =
        bench.store.close_gate(Counted::Account(&account), claim.gate.0, wait).await.unwrap();
    let late = bench.store.close_gate(Counted::Account(&account), claim.gate.0, wait * 100).await.unwrap();
    assert_eq!(late, (generation, opens), "an answer from before the gate closed does not extend it");
    let limited = bench.push("limited", "two", 2).await;
    let free = bench.push("free", "one", 3).await;
    assert_eq!(bench.claim("w").await.request.id, free);
    assert_eq!(bench.place(limited).await, "backlog");
    let woken = bench.claim("w").await;
    assert_eq!(woken.request.id, limited);
    assert!(bench.store.now().await.unwrap() >= opens, "it came before the gate opened");
}

/// When a gate opens one run passes, so that a limit that is not over is met by one alone. Once that has an answer, others
/// follow: twice as many in each step.
#[tokio::test]
async fn runs_pass_an_opened_gate_one_at_first() {
    let bench = Bench::start().await;
    let account = "limited".parse().unwrap();
    let whose = Counted::Account(&account);
    let (generation, _) = bench.store.close_gate(whose, 0, Duration::from_secs(60)).await.unwrap();
    for number in 0..9 {
        bench.push("limited", &format!("job-{number}"), number).await;
    }
    let admitted = async || {
        let mut count = 0;
        // The stream is shallow: who is admitted is claimed, so that there is room for the next.
        while bench.raw::<u64>(&["XLEN", &bench.key("ready")]).await > 0 || bench.tend().await.admitted > 0 {
            bench.claim("w").await;
            count += 1;
        }
        count
    };
    assert_eq!(admitted().await, 0, "the gate is closed");
    let (generation, _) = bench.store.close_gate(whose, generation, Duration::ZERO).await.unwrap();
    assert_eq!(admitted().await, 1);
    assert!(!bench.store.pass_gate(whose, generation - 1).await.unwrap());
    assert_eq!(admitted().await, 0, "the first has no answer yet");
    assert!(bench.store.pass_gate(whose, generation).await.unwrap());
    assert_eq!(admitted().await, 2);
    end_step(&bench, "limited").await;
    assert_eq!(admitted().await, 4);
    // A limit that is met again begins again.
    bench.store.close_gate(whose, generation, Duration::ZERO).await.unwrap();
    assert_eq!(admitted().await, 1);
    // One that is never answered keeps the others waiting for a while only.
    end_step(&bench, "limited").await;
    assert_eq!(admitted().await, 1, "all that are left");
}

/// However old those are that have not: what is under way holds pages, which only its end frees.
#[tokio::test]
async fn runs_that_have_begun_come_before_those_that_have_not() {
    let bench = Bench::start().await;
    let begun = bench.push("acme", "begun", 9).await;
    let claim = bench.claim("w").await;
    let mut others = Vec::new();
    for created in 1..=DEPTH as i64 {
        others.push(bench.push("acme", &format!("job-{created}"), created).await);
    }
    assert!(bench.release(&claim, 1).await);
    // The first of them is on the stream already.
    others.insert(1, begun);
    for run in others {
        assert_eq!(bench.claim("w").await.request.id, run);
    }
}
