//! Redis is emptied, or holds something else, under processes that live.

use crate::support::{Cluster, PATIENCE, Setup, definitions, eventually};

async fn command<T: redis::FromRedisValue>(cluster: &Cluster, words: &[&str]) -> T {
    let client = redis::Client::open(cluster.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async(&mut connection).await.unwrap()
}

const LAYOUT: &str = "rb:{default.definitions}:layout";

#[tokio::test]
async fn how_runs_are_divided_is_written_down_again_and_whoever_differs_stops() {
    let mut cluster = Setup { workers: 1, ..Setup::default() }.start().await;
    let ours: String = command(&cluster, &["GET", LAYOUT]).await;
    assert_eq!(ours, "1/4");
    command::<()>(&cluster, &["FLUSHALL"]).await;
    let again = async || (command::<Option<String>>(&cluster, &["GET", LAYOUT]).await? == ours).then_some(());
    eventually("the layout to be written down again", again).await;
    // Everything can be made anew.
    cluster.apply(vec![definitions::job("tickets", definitions::tickets())]).await;
    let run = cluster.api.push("tickets", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    cluster.check_alive();

    command::<()>(&cluster, &["SET", LAYOUT, "1/8"]).await;
    for mut process in cluster.workers.drain(..).chain(cluster.schedulers.drain(..)).collect::<Vec<_>>() {
        let left = tokio::time::timeout(PATIENCE, process.left()).await.unwrap();
        assert!(!left.success(), "{left:?}");
        let log = process.tail();
        assert!(log.contains("has layout 1 with 8 partitions; this process wants layout 1 with 4"), "{log}");
    }
}
