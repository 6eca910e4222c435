//! One effective owner, whatever a worker that lost its run still believes, and whatever Redis forgot.

use std::path::Path;

use rapidbridge::clock::Millis;
use rapidbridge::run::{Outcome, Status};
use rapidbridge::store::lease::{Renewal, Terminal};
use rapidbridge::store::ready::{Claim, ReadyReader};
use rapidbridge::store::runs::{Enqueued, Exclusive, Stopped};

use super::LEASE;
use super::bench::{Bench, fence, write};
use crate::support::{PATIENCE, eventually};

#[tokio::test]
async fn a_stale_entry_is_dropped() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    let mut reader = ReadyReader::new(bench.store.clone(), "w".into());
    let entry = reader.read(1).await.unwrap().pop().unwrap();
    assert_eq!(bench.store.stop(run, "no").await.unwrap(), Stopped::Now);
    assert!(bench.store.claim(&entry, "w", LEASE).await.unwrap().is_none());
    // The same run twice on the stream: whoever comes second gets nothing.
    let run = bench.push("acme", "job", 2).await;
    let ready = bench.key("ready");
    let _: String = bench.raw(&["XADD", &ready, "*", "run", &run.to_string()]).await;
    let mut entries = Vec::new();
    while entries.len() < 2 {
        entries.extend(reader.read(2).await.unwrap());
    }
    let claims = [
        bench.store.claim(&entries[1], "w", LEASE).await.unwrap(),
        bench.store.claim(&entries[0], "w", LEASE).await.unwrap(),
        bench.store.claim(&entries[0], "w", LEASE).await.unwrap(),
    ];
    assert_eq!(claims.map(|claim| claim.is_some()), [false, true, false]);
    assert_eq!(bench.raw::<u64>(&["XLEN", &ready]).await, 0, "nothing is left on the stream");
    let pending: redis::streams::StreamPendingReply = bench.raw(&["XPENDING", &ready, "workers"]).await;
    assert_eq!(pending.count(), 0);
}

async fn reaped(bench: &Bench) {
    let look = async || (bench.tend().await.reaped > 0).then_some(());
    eventually("the run to be reaped", look).await;
}

/// All that a worker can still try with a claim that is no longer good.
async fn assert_powerless(bench: &Bench, zombie: &Claim) {
    let before = bench.hash(zombie.request.id).await;
    let outcome = Outcome { status: Status::Completed, reason: None, code: None };
    let last = write(Status::Completed, b"zombie");
    for step in 1..=3 {
        assert!(!bench.save(zombie, step, b"zombie").await);
        assert!(!bench.park(zombie, step, Millis(0)).await);
        assert!(!bench.release(zombie, step).await);
        let fence = fence(zombie, step);
        assert!(
            !bench
                .store
                .finish(fence, &last, &outcome, Some(Millis(1)), Terminal::Delivered, PATIENCE)
                .await
                .unwrap()
        );
    }
    let lease = (zombie.request.id, zombie.epoch, zombie.owner.clone());
    assert_eq!(bench.store.renew(&[lease], LEASE).await.unwrap(), [Renewal::Lost]);
    assert_eq!(bench.hash(zombie.request.id).await, before, "a refused write changed something");
}

#[tokio::test]
async fn a_zombie_is_refused_everything_and_epochs_only_grow() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    let zombie = bench.claim("first").await;
    assert!(bench.save(&zombie, 1, b"{\"page\":1}").await);
    reaped(&bench).await;
    assert_powerless(&bench, &zombie).await;
    let next = bench.claim("second").await;
    assert_eq!((next.request.id, next.checkpoint.as_deref()), (run, Some(&b"{\"page\":1}"[..])));
    assert!(next.epoch > zombie.epoch);
    assert_powerless(&bench, &zombie).await;
    assert!(bench.save(&next, 1, b"{\"page\":2}").await, "the owner is not disturbed");
    // Given back and claimed again by the very same worker: the older claim is dead all the same.
    assert!(bench.release(&next, 2).await);
    assert_powerless(&bench, &zombie).await;
    let third = bench.claim("second").await;
    assert!(third.epoch > next.epoch);
    assert_powerless(&bench, &next).await;
    bench.finish(&third).await;
    assert_powerless(&bench, &next).await;
}

#[tokio::test]
async fn a_reply_that_was_lost_is_repeated_with_the_same_answer() {
    let bench = Bench::start().await;
    let request = bench.request("acme", "job", 1);
    for expected in [Enqueued::Created(request.id), Enqueued::Exists(request.id)] {
        assert_eq!(bench.store.enqueue(&request, Exclusive::Yes, None).await.unwrap(), expected);
    }
    let claim = bench.claim("w").await;
    let lines = async || bench.store.run_log(request.id).await.unwrap().len();
    for step in [1, 2] {
        assert!(bench.save(&claim, step, b"{}").await);
        let before = (bench.hash(request.id).await, lines().await);
        assert!(bench.save(&claim, step, b"{\"other\":1}").await);
        assert_eq!((bench.hash(request.id).await, lines().await), before, "a repetition wrote something");
    }
    let wake = Millis(bench.store.now().await.unwrap().0 + 1);
    assert!(bench.park(&claim, 3, wake).await);
    assert!(bench.park(&claim, 3, wake).await);
    assert!(!bench.save(&claim, 4, b"{}").await, "who parked a run has no more to say about it");
    let claim = bench.claim("w").await;
    assert!(bench.release(&claim, 1).await && bench.release(&claim, 1).await);
    assert!(!bench.save(&claim, 2, b"{}").await && !bench.release(&claim, 2).await);
    let claim = bench.claim("w").await;
    bench.finish(&claim).await;
    bench.finish(&claim).await;
    assert_eq!(bench.raw::<u64>(&["ZCARD", &bench.key("ended")]).await, 1);
    // Also long after: parked, woken and held by somebody else, the old reply is still no news.
    assert_eq!(bench.record(request.id).await.status, Status::Completed);
}

/// A primary that was a replica a moment ago may lack the last saves. Their owner can't go on from there: it lets go,
/// and the run does not wait for the end of a lease that nobody renews.
#[tokio::test]
async fn an_owner_that_is_ahead_of_redis_lets_go_and_the_run_goes_on_at_once() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    let owner = bench.claim("w").await;
    assert!(bench.save(&owner, 1, b"{\"page\":1}").await);
    // Saves 2 and 3 were made, answered, and lost.
    assert!(!bench.save(&owner, 4, b"{\"page\":4}").await);
    assert_eq!(bench.place(run).await, "backlog");
    assert_powerless(&bench, &owner).await;
    let next = bench.claim("w").await;
    assert_eq!(next.checkpoint.as_deref(), Some(&b"{\"page\":1}"[..]));
    assert!(next.epoch > owner.epoch);
    assert_eq!(bench.record(run).await.crashes, 0, "nobody crashed");
    bench.finish(&next).await;
}

/// A claim whose answer was lost is sent again with the same nonce.
#[tokio::test]
async fn a_claim_is_repeated_with_the_same_epoch() {
    let bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await.to_string();
    let mut reader = ReadyReader::new(bench.store.clone(), "w".into());
    let entry = reader.read(1).await.unwrap().pop().unwrap();
    let script = concat!(
        include_str!("../../../src/store/lua/prelude.lua"),
        include_str!("../../../src/store/lua/claim.lua")
    );
    let prefix = bench.key("");
    let claim = async |owner: &str| -> Vec<redis::Value> {
        bench.raw(&["EVAL", script, "1", &prefix, &run, &entry.entry, "w", owner, "60000", "2"]).await
    };
    let first = claim("nonce").await;
    assert!(!first.is_empty());
    assert_eq!(claim("nonce").await[..7], first[..7]);
    assert!(claim("another").await.is_empty(), "somebody else gets nothing");
}

/// A resume or a stop whose answer was lost is sent again with the same nonce; another call is another matter.
#[tokio::test]
async fn a_resume_and_a_stop_are_repeated_with_the_same_answer() {
    let bench = Bench::start().await;
    let prefix = bench.key("");
    let stop = concat!(
        include_str!("../../../src/store/lua/prelude.lua"),
        include_str!("../../../src/store/lua/stop.lua")
    );
    let resume = concat!(
        include_str!("../../../src/store/lua/prelude.lua"),
        include_str!("../../../src/store/lua/resume.lua")
    );
    let run = bench.push("acme", "job", 1).await.to_string();
    let stopped = async |nonce: &str| -> Vec<String> {
        bench.raw(&["EVAL", stop, "1", &prefix, &run, "enough", "{}", nonce]).await
    };
    assert_eq!([stopped("a").await, stopped("a").await], [["stopped"], ["stopped"]]);
    assert_eq!(stopped("b").await, ["ended", "stopped"]);
    let resumed = async |nonce: &str| -> (String, String) {
        bench.raw(&["EVAL", resume, "1", &prefix, &run, "60000", "1", nonce]).await
    };
    let second = ("resumed".to_owned(), "2".to_owned());
    assert_eq!([resumed("c").await, resumed("c").await], [second.clone(), second]);
    assert_eq!(resumed("d").await, ("unfit".to_owned(), "created".to_owned()));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn restart(bench: &mut Bench) {
    bench.redis.restart().await.unwrap();
    eventually("Redis to be back", async || bench.store.now().await.ok()).await;
}

/// Rule 25: Redis comes back without its last second, in which the run had another owner.
#[tokio::test]
async fn epochs_grow_even_when_redis_was_put_back_to_an_older_state() {
    let mut bench = Bench::start().await;
    let run = bench.push("acme", "job", 1).await;
    let before = bench.claim("first").await;
    assert!(bench.release(&before, 1).await);
    bench.redis.stop().await.unwrap();
    let (now, older) = (bench.redis.data_dir().to_owned(), bench.folder.path().join("older"));
    copy(&now.join("appendonlydir"), &older);
    restart(&mut bench).await;
    let forgotten = bench.claim("second").await;
    assert!(bench.save(&forgotten, 1, b"forgotten").await);
    bench.redis.kill().await.unwrap();
    std::fs::remove_dir_all(now.join("appendonlydir")).unwrap();
    copy(&older, &now.join("appendonlydir"));
    restart(&mut bench).await;
    assert_eq!(bench.record(run).await.epoch, before.epoch, "the older state is there");
    assert_powerless(&bench, &forgotten).await;
    let after = bench.claim("third").await;
    assert_eq!(after.request.id, run);
    assert!(after.epoch > forgotten.epoch, "{} is not above {}", after.epoch, forgotten.epoch);
    assert_powerless(&bench, &forgotten).await;
}

#[tokio::test]
async fn an_idempotency_key_makes_one_run() {
    let bench = Bench::start().await;
    let (first, second) = (bench.request("acme", "job", 1), bench.request("acme", "job", 2));
    let key = Some("a-key");
    assert_eq!(bench.store.enqueue(&first, Exclusive::Yes, key).await.unwrap(), Enqueued::Created(first.id));
    assert_eq!(bench.store.enqueue(&second, Exclusive::Yes, key).await.unwrap(), Enqueued::Exists(first.id));
    assert!(bench.store.run(second.id).await.unwrap().is_none());
    let other = Some("another-key");
    assert_eq!(
        bench.store.enqueue(&second, Exclusive::Yes, other).await.unwrap(),
        Enqueued::Created(second.id)
    );
}
