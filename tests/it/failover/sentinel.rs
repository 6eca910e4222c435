//! Sentinels promote a replica.

use rapidbridge::clock;

use super::{acknowledged, assert_all_completed, measure, more_pages, under_way};
use crate::support::PATIENCE;
use crate::support::redis_group::RedisGroup;

#[tokio::test]
async fn a_primary_that_is_killed_is_replaced_and_no_run_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut group = RedisGroup::with_sentinels(folder.path()).await;
    let (mut cluster, runs) = under_way(&group).await;
    more_pages(&cluster, 30).await;
    let killed = clock::monotonic();
    group.nodes[0].kill().await.unwrap();
    let primary = group.promoted().await;
    more_pages(&cluster, 10).await;
    // The old primary comes back and takes itself for one until the sentinels see it.
    group.nodes[0].restart().await.unwrap();
    assert_all_completed(&mut cluster, &runs, killed).await;
    measure::report_stall("sentinel", &cluster, killed);
    group.wait_for_role(0, "slave").await;
    group.wait_for_replicas(primary, 2).await;
    // What a replica repeats counts as well, but for scripts: their effects are replicated, not their calls.
    let calls: String = group.ask(0, &["INFO", "commandstats"]).await;
    assert!(!calls.contains("cmdstat_eval"), "the old primary was written to: {calls}");
}

/// The replicas miss what came last, so runs go back to an older checkpoint.
#[tokio::test]
async fn what_the_new_primary_lacks_comes_again_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut group = RedisGroup::with_sentinels(folder.path()).await;
    let (mut cluster, runs) = under_way(&group).await;
    more_pages(&cluster, 24).await;
    group.cut_off(1).await;
    group.cut_off(2).await;
    let before: Vec<u64> =
        cluster.receiver.read(|ledger| runs.iter().map(|run| acknowledged(ledger, run)).collect());
    let all_went_on =
        |ledger: &_| runs.iter().zip(&before).all(|(run, before)| acknowledged(ledger, run) > *before + 1);
    cluster.receiver.wait_for("all runs to go on", PATIENCE, all_went_on).await.unwrap();
    let killed = clock::monotonic();
    group.nodes[0].kill().await.unwrap();
    group.promoted().await;
    group.rejoin(1).await;
    group.rejoin(2).await;
    let rewinds = assert_all_completed(&mut cluster, &runs, killed).await;
    assert_eq!(rewinds.len(), runs.len(), "each run lost saves, and went back once: {rewinds:?}");
}

/// A primary that stands still keeps its connections open, and when it wakes up takes itself for the primary for a
/// while. Nobody waits for it, and nobody speaks to it then.
#[tokio::test]
async fn a_primary_that_stands_still_is_replaced_and_has_no_say_when_it_wakes_up() {
    let folder = tempfile::tempdir().unwrap();
    let group = RedisGroup::with_sentinels(folder.path()).await;
    let (mut cluster, runs) = under_way(&group).await;
    more_pages(&cluster, 30).await;
    let frozen = clock::monotonic();
    group.nodes[0].freeze().unwrap();
    group.promoted().await;
    more_pages(&cluster, 10).await;
    group.nodes[0].thaw().unwrap();
    assert_all_completed(&mut cluster, &runs, frozen).await;
    group.wait_for_role(0, "slave").await;
}
