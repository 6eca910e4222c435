//! Invariants 1 to 6 under SIGKILL: the worker that holds the run dies at a drawn place, again and again, and the
//! receiver can't tell, but for a page that comes twice.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rapidbridge::playground::helpdesk::{self, Resource};

use crate::support::{Cluster, Expected, PATIENCE, Setup, definitions, hold_at, judge};

/// Kills a test does; four tests make twenty.
const KILLS: u64 = 5;

/// Where the holder is killed, counted from the time it was found.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// When so many more requests have reached the source.
    Fetches(u64),
    /// When so many more deliveries have reached the receiver: the last one may not be answered yet.
    Deliveries(u64),
    /// When so many more deliveries have been acknowledged: the last one may not be saved yet.
    Acknowledged(u64),
    /// When so many more deliveries have come, and the last one waits for its answer.
    InFlight(u64),
}

impl Place {
    fn draw(dice: &mut StdRng) -> Self {
        let count = dice.random_range(1..=6);
        match dice.random_range(0..4) {
            0 => Self::Fetches(count),
            1 => Self::Deliveries(count),
            2 => Self::Acknowledged(count),
            _ => Self::InFlight(count),
        }
    }

    async fn wait(self, cluster: &Cluster) {
        let (source, receiver) = (&cluster.helpdesk, &cluster.receiver);
        let reached = match self {
            Self::Fetches(count) => {
                let goal = source.read(|ledger| ledger.requests) + count;
                source.wait_for_requests(goal, PATIENCE).await
            }
            Self::Deliveries(count) => {
                let goal = receiver.read(|ledger| ledger.requests.len() as u64) + count;
                receiver.wait_for("deliveries", PATIENCE, |ledger| ledger.requests.len() as u64 >= goal).await
            }
            Self::Acknowledged(count) => {
                let goal = receiver.read(|ledger| ledger.acknowledged) + count;
                receiver.wait_for("acknowledgements", PATIENCE, |ledger| ledger.acknowledged >= goal).await
            }
            Self::InFlight(count) => {
                let goal = receiver.read(|ledger| ledger.requests.len() as u64) + count;
                let before = |ledger: &_| arrived(ledger) >= goal - 1;
                receiver.wait_for("the delivery before", PATIENCE, before).await.unwrap();
                receiver.hold();
                receiver.wait_for("a held delivery", PATIENCE, |ledger| arrived(ledger) >= goal).await
            }
        };
        reached.unwrap();
    }
}

fn arrived(ledger: &rapidbridge::playground::receiver::Ledger) -> u64 {
    ledger.requests.len() as u64
}

/// The seed of a test's draws: any, shown by a failing test. The ledgers make the rest repeatable enough.
fn seed() -> u64 {
    let seed = rand::random();
    eprintln!("kill places are drawn from seed {seed}");
    seed
}

async fn killed_five_times() {
    let mut dice = StdRng::seed_from_u64(seed());
    let helpdesk = helpdesk::Settings {
        tickets: 240,
        comments_every: 2,
        comments_max: 3,
        error_every: 97,
        ..helpdesk::Settings::default()
    };
    let mut cluster = Setup { workers: 2, helpdesk, ..Setup::default() }.start().await;
    cluster.apply(vec![definitions::job("nested", definitions::nested())]).await;
    let run = cluster.api.push("nested", "acme", "backend").await;
    for kill in 0..KILLS {
        // Found before the place is reached: asking would let the run go on.
        let holder = cluster.take_holder(&run).await;
        if kill % 2 == 1 {
            // Two checkpoints, so that crashes without progress never make the run poison (rule 16).
            let goal = cluster.receiver.read(|ledger| ledger.run(&run).last_acked_seq) + 2;
            let moved = |ledger: &rapidbridge::playground::receiver::Ledger| {
                ledger.runs.get(&run).is_some_and(|run| run.last_acked_seq >= goal)
            };
            cluster.receiver.wait_for("two pages", PATIENCE, moved).await.unwrap();
        }
        let place = Place::draw(&mut dice);
        eprintln!("kill {kill} of {} at {place:?}", holder.name());
        place.wait(&cluster).await;
        holder.kill().await;
        cluster.receiver.release();
        cluster.start_worker();
    }
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    let resources = [Resource::Tickets, Resource::Comments];
    let expected = Expected { duplicates: KILLS, ..Expected::default() };
    judge(&cluster.helpdesk, &cluster.receiver, &run, &resources, expected);
    // It went on where it was: a killed worker costs the page in flight, the one fetched ahead, and their tries.
    let again = cluster.helpdesk.read(|ledger| ledger.requests - ledger.asked.len() as u64);
    let stumbles = cluster.helpdesk.read(|ledger| ledger.status(500));
    assert!(again <= KILLS * 2 + stumbles, "{again} requests were repeated, {stumbles} of them for a 500");
    let epochs = cluster.receiver.read(|ledger| ledger.run(&run).epochs.len());
    assert!(epochs > 1 && epochs as u64 <= KILLS + 1, "{epochs} epochs");
    cluster.assert_quiet().await;
    cluster.check_alive();
}

#[tokio::test]
async fn a_run_survives_five_kills_of_its_worker() {
    killed_five_times().await;
}

#[tokio::test]
async fn a_run_survives_five_kills_more() {
    killed_five_times().await;
}

#[tokio::test]
async fn a_run_survives_five_kills_at_other_places() {
    killed_five_times().await;
}

#[tokio::test]
async fn a_run_survives_five_kills_once_more() {
    killed_five_times().await;
}

/// Rule 16: three crashes in a row without a checkpoint between end the run, with its story; it can be resumed.
#[tokio::test]
async fn a_run_that_ends_three_workers_in_a_row_is_poison_and_can_be_resumed() {
    let mut cluster = Setup::default().start().await;
    cluster.apply(vec![definitions::job("nested", definitions::nested())]).await;
    hold_at(&cluster.receiver, 3);
    let run = cluster.api.push("nested", "acme", "backend").await;
    for crash in 1..=3 {
        let waits = |ledger: &rapidbridge::playground::receiver::Ledger| {
            let tries = ledger.requests.iter().filter(|request| request.seq == Some(3));
            tries.count() == crash
        };
        cluster.receiver.wait_for("page 3 to wait", PATIENCE, waits).await.unwrap();
        let holder = cluster.take_holder(&run).await;
        holder.kill().await;
        cluster.start_worker();
    }
    cluster
        .receiver
        .wait_for("the last word", PATIENCE, |ledger| ledger.count("sync_job_run:failed") == 1)
        .await
        .unwrap();
    cluster.receiver.release();
    let failed = cluster.api.ended(&run).await;
    assert_eq!((failed.status.as_str(), failed.code()), ("failed", "poison"), "{failed:?}");
    assert!(failed.message().contains("3 workers in a row"), "{failed:?}");
    cluster.api.post(&format!("/sync-job-run/{run}/resume"), &serde_json::json!({})).await;
    let ended = cluster.api.ended(&run).await;
    assert_eq!(ended.status, "completed", "{ended:?}");
    let resources = [Resource::Tickets, Resource::Comments];
    // Page 3 came before `failed` and comes after it.
    let expected = Expected { duplicates: 3, renamed: 1, ..Expected::default() };
    judge(&cluster.helpdesk, &cluster.receiver, &run, &resources, expected);
}
