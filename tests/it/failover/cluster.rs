//! A cluster promotes a replica, and moves a slot.

use rapidbridge::clock;
use rapidbridge::playground::helpdesk::Resource;
use rapidbridge::playground::receiver::Ledger;
use rapidbridge::settings::Settings;
use rapidbridge::store::runs::RunFilter;
use rapidbridge::store::{Store, StoreError};

use super::{account, acknowledged, assert_all_completed, measure, more_pages, prefix, under_way};
use crate::support::redis_group::RedisGroup;
use crate::support::{Expected, PATIENCE, SEAL_KEY, definitions, eventually, judge};

#[tokio::test]
async fn a_primary_of_a_cluster_that_is_killed_is_replaced_and_no_run_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut group = RedisGroup::cluster(folder.path()).await;
    let (mut cluster, runs) = under_way(&group).await;
    more_pages(&cluster, 30).await;
    let victim = group.primary_of(0, &prefix(0)).await;
    let killed = clock::monotonic();
    group.nodes[victim].kill().await.unwrap();
    group.wait_for_role(victim + 3, "master").await;
    assert_all_completed(&mut cluster, &runs, killed).await;
    measure::report_stall("cluster", &cluster, killed);
    // What is new goes everywhere, also what must be said across the nodes: these take turns.
    let mut again = Vec::new();
    for number in 0..4 {
        let wanted = serde_json::json!({ "sync_job_id": "nested", "integrated_account_id": account(number),
            "webhook_id": "backend", "mutex_key": "shared" });
        again.push(cluster.api.push_with(wanted).await);
    }
    assert_all_completed(&mut cluster, &again, killed).await;
    let mut turns = cluster.receiver.read(|ledger| {
        let of = |run: &Option<String>| run.clone().filter(|run| again.contains(run));
        ledger.requests.iter().filter_map(|request| of(&request.run)).collect::<Vec<_>>()
    });
    turns.dedup();
    assert_eq!(turns, again, "each has its turn, and one after the other");
}

#[tokio::test]
async fn what_a_clusters_new_primary_lacks_comes_again_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut group = RedisGroup::cluster(folder.path()).await;
    let (mut cluster, runs) = under_way(&group).await;
    more_pages(&cluster, 24).await;
    let victim = group.primary_of(0, &prefix(0)).await;
    let mut ours = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        if group.primary_of(0, &prefix(number)).await == victim {
            ours.push(run.clone());
        }
    }
    group.cut_off(victim + 3).await;
    let before: Vec<u64> =
        cluster.receiver.read(|ledger| ours.iter().map(|run| acknowledged(ledger, run)).collect());
    let all_went_on =
        |ledger: &_| ours.iter().zip(&before).all(|(run, before)| acknowledged(ledger, run) > *before + 1);
    cluster.receiver.wait_for("all its runs to go on", PATIENCE, all_went_on).await.unwrap();
    let killed = clock::monotonic();
    group.nodes[victim].kill().await.unwrap();
    group.wait_for_role(victim + 3, "master").await;
    let rewinds = assert_all_completed(&mut cluster, &runs, killed).await;
    let mut back: Vec<&String> = rewinds.iter().map(|rewind| &rewind.run).collect();
    back.sort_unstable();
    ours.sort_unstable();
    assert_eq!(back, ours.iter().collect::<Vec<_>>(), "the runs of the lost primary, and no others");
}

/// A primary and its replica stand still: their connections stay open and nothing answers.
#[tokio::test]
async fn a_part_of_a_cluster_that_stands_still_does_not_keep_the_others_from_their_work() {
    let folder = tempfile::tempdir().unwrap();
    let group = RedisGroup::cluster(folder.path()).await;
    let (mut cluster, runs) = under_way(&group).await;
    more_pages(&cluster, 24).await;
    let definitions = group.primary_of(0, "rb:{default.definitions}:").await;
    let mut homes = Vec::new();
    for number in 0..runs.len() {
        homes.push(group.primary_of(0, &prefix(number)).await);
    }
    let victim = homes.iter().copied().find(|home| *home != definitions).unwrap();
    let frozen = clock::monotonic();
    for node in [victim, victim + 3] {
        group.nodes[node].freeze().unwrap();
    }
    for (run, _) in runs.iter().zip(&homes).filter(|(_, home)| **home != victim) {
        let ended = |ledger: &Ledger| ledger.run(run).ended.is_some();
        cluster.receiver.wait_for("a run elsewhere to end", PATIENCE, ended).await.unwrap();
    }
    // New ones as well: somebody reads the ready streams that are left.
    let number = homes.iter().position(|home| *home != victim).unwrap();
    let again = cluster.api.push("nested", &account(number), "backend").await;
    let ended = |ledger: &Ledger| ledger.run(&again).ended.is_some();
    cluster.receiver.wait_for("a new run to end", PATIENCE, ended).await.unwrap();
    for node in [victim, victim + 3] {
        group.nodes[node].thaw().unwrap();
    }
    assert_all_completed(&mut cluster, &runs, frozen).await;
}

/// While a slot is on its way, a script would find some of its keys at one node and some at the other: it has to wait.
#[tokio::test]
async fn a_slot_that_moves_to_another_node_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let group = RedisGroup::cluster(folder.path()).await;
    let (mut cluster, runs) = under_way(&group).await;
    more_pages(&cluster, 24).await;
    let from = group.primary_of(0, &prefix(0)).await;
    let to = (from + 1) % 3;
    let slot: u64 = group.ask(0, &["CLUSTER", "KEYSLOT", &prefix(0)]).await;
    let slot = slot.to_string();
    let (from_id, to_id): (String, String) =
        (group.ask(from, &["CLUSTER", "MYID"]).await, group.ask(to, &["CLUSTER", "MYID"]).await);
    let started = clock::monotonic();
    let _: String = group.ask(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
    let _: String = group.ask(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    let port = group.nodes[to].port().unwrap().to_string();
    let keys: Vec<String> = group.ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "10000"]).await;
    assert!(keys.len() > 10, "{keys:?}");
    // One by one, with the product at work meanwhile.
    for key in &keys {
        let _: String = group.ask(from, &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
    }
    let left: Vec<String> = group.ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "10"]).await;
    assert!(left.is_empty(), "written while the slot was on its way: {left:?}");
    for node in [to, from] {
        let _: String = group.ask(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
    }
    let rewinds = assert_all_completed(&mut cluster, &runs, started).await;
    assert!(rewinds.is_empty(), "nothing was lost: {rewinds:?}");
    eventually("all to know the slot's new node", async || {
        (group.primary_of(from, &prefix(0)).await == to).then_some(())
    })
    .await;
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    let run = cluster.api.push("tickets", "acme", "backend").await;
    cluster.api.ended(&run).await;
    let expected = Expected { duplicates: 2 * runs.len() as u64, ..Expected::default() };
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], expected);
}

#[tokio::test]
async fn every_node_of_a_cluster_is_logged_in_at_and_looked_at() {
    const PASSWORD: &str = "p%40ss%2Fword";
    let folder = tempfile::tempdir().unwrap();
    let group = RedisGroup::cluster(folder.path()).await;
    for number in 0..group.nodes.len() {
        let _: String =
            group.ask(number, &["ACL", "SETUSER", "app", "on", ">p@ss/word", "~rb:*", "+@all"]).await;
    }
    let open = async |password: &str, more: &[(&str, &str)]| {
        let url = group.url.replace("://", &format!("://app:{password}@"));
        let given = [("RAPIDBRIDGE_REDIS__URL", url.as_str()), ("RAPIDBRIDGE_SEAL__KEY", SEAL_KEY)];
        let given = given.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::load(None, given.collect::<Vec<_>>().into_iter()).unwrap();
        Store::open(&settings.redis, &settings.environment).await
    };
    let store = open(PASSWORD, &[]).await.unwrap();
    // A pipeline over all partitions, and so over all nodes.
    assert!(store.runs(&RunFilter::default(), None, 10).await.unwrap().runs.is_empty());
    assert!(store.scheduled_triggers().await.unwrap().is_empty());
    let error = open("wrong-word", &[]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unfit(_)), "{error}");
    assert!(!error.to_string().contains("wrong-word"), "{error}");
    // One primary that is less durable than the others is found.
    let _: String = group.ask(1, &["CONFIG", "SET", "appendonly", "no"]).await;
    let error = open(PASSWORD, &[]).await.unwrap_err().to_string();
    let name = format!("127.0.0.1:{}: appendonly is off", group.nodes[1].port().unwrap());
    assert!(error.contains(&name), "{error}");
}
