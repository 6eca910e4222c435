//! Several Redis servers that belong together: a primary with replicas, watched by sentinels, or a cluster.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rapidbridge::redis_server::{Options, Port, RedisServer, free_port};
use redis::FromRedisValue;
use tokio::process::{Child, Command};

use super::{eventually, redis_options};

/// How long a server may be silent before the others call it dead.
const DEAD_AFTER_MS: u32 = 1000;
/// The same while nobody should be replaced: longer than any test.
const NEVER_DEAD_MS: u32 = 600_000;
/// How often a server is asked before it counts as gone: at one promotion a connection breaks once.
const ASK_ATTEMPTS: u32 = 5;
/// What the sentinels call the primary.
const NAME: &str = "main";

pub(crate) struct RedisGroup {
    /// The servers; the first ones began as primaries.
    pub(crate) nodes: Vec<RedisServer>,
    /// What `redis.url` says to find them.
    pub(crate) url: String,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    url: String,
    log: PathBuf,
    /// Kept while it should live.
    _child: Child,
}

async fn node(folder: &Path, number: usize, arguments: &[&str]) -> RedisServer {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let options = redis_options(&folder.join(format!("node-{number}")));
    RedisServer::start(&Options { port: Port::Loopback, arguments, ..options }).await.unwrap()
}

impl RedisGroup {
    /// A primary with replicas and nobody to watch over them.
    pub(crate) async fn replicated(folder: &Path, replicas: usize) -> Self {
        let mut nodes = vec![node(folder, 0, &[]).await];
        let port = nodes[0].port().unwrap().to_string();
        for number in 1..=replicas {
            nodes.push(
                node(folder, number, &["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"])
                    .await,
            );
        }
        let group = Self { url: nodes[0].url().to_owned(), nodes, sentinels: Vec::new() };
        group.wait_for_replicas(0, replicas).await;
        group
    }

    /// A primary with two replicas, and three sentinels of which two decide. They replace a primary only while
    /// somebody waits for it ([`RedisGroup::promoted`]).
    pub(crate) async fn with_sentinels(folder: &Path) -> Self {
        let mut group = Self::replicated(folder, 2).await;
        let port = group.nodes[0].port().unwrap();
        let mut places = Vec::new();
        for number in 0..3 {
            let own = free_port().unwrap();
            let home = folder.join(format!("sentinel-{number}"));
            std::fs::create_dir_all(&home).unwrap();
            let settings = format!(
                "port {own}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {NAME} {NEVER_DEAD_MS}\nsentinel failover-timeout {NAME} 5000\n\
                 sentinel parallel-syncs {NAME} 2\n",
                home.display()
            );
            let file = home.join("sentinel.conf");
            std::fs::write(&file, settings).unwrap();
            let log = home.join("log");
            let child = Command::new(&group.nodes[0].program().program)
                .arg(&file)
                .arg("--sentinel")
                .stdin(Stdio::null())
                .stdout(std::fs::File::create(&log).unwrap())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            group.sentinels.push(Sentinel { url: format!("redis://127.0.0.1:{own}"), log, _child: child });
            places.push(format!("127.0.0.1:{own}"));
        }
        for sentinel in &group.sentinels {
            eventually("a sentinel to know all others", async || {
                let known: std::collections::HashMap<String, String> =
                    ask_at(&sentinel.url, &["SENTINEL", "MASTER", NAME]).await.ok()?;
                let count = |name: &str| known.get(name).map(String::as_str) == Some("2");
                (count("num-slaves") && count("num-other-sentinels")).then_some(())
            })
            .await;
        }
        group.url = format!("redis+sentinel://{}/{NAME}", places.join(","));
        group
    }

    /// Three primaries with a replica each: node 3 of node 0 and so on.
    pub(crate) async fn cluster(folder: &Path) -> Self {
        const PRIMARIES: usize = 3;
        let (mut nodes, mut buses) = (Vec::new(), Vec::new());
        for number in 0..2 * PRIMARIES {
            let (bus, silence) = (free_port().unwrap().to_string(), DEAD_AFTER_MS.to_string());
            let arguments = [
                "--cluster-enabled",
                "yes",
                "--cluster-config-file",
                "nodes.conf",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                &silence,
                "--cluster-replica-validity-factor",
                "0",
                "--cluster-require-full-coverage",
                "no",
                "--repl-diskless-sync-delay",
                "0",
            ];
            nodes.push(node(folder, number, &arguments).await);
            buses.push(bus);
        }
        let places: Vec<String> =
            nodes.iter().take(2).map(|node| format!("127.0.0.1:{}", node.port().unwrap())).collect();
        let group =
            Self { url: format!("redis+cluster://{}", places.join(",")), nodes, sentinels: Vec::new() };
        let bounds = [0, 5461, 10923, 16384];
        for number in 0..2 * PRIMARIES {
            let epoch = (number + 1).to_string();
            let _: String = group.ask(number, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            if number < PRIMARIES {
                let (first, last) = (bounds[number].to_string(), (bounds[number + 1] - 1).to_string());
                let _: String = group.ask(number, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
            }
            let port = group.nodes[number].port().unwrap().to_string();
            let _: String = group.ask(0, &["CLUSTER", "MEET", "127.0.0.1", &port, &buses[number]]).await;
        }
        for number in PRIMARIES..2 * PRIMARIES {
            let id: String = group.ask(number - PRIMARIES, &["CLUSTER", "MYID"]).await;
            eventually("a replica to know its primary", async || {
                group.try_ask::<String>(number, &["CLUSTER", "REPLICATE", &id]).await.ok()
            })
            .await;
        }
        for number in 0..2 * PRIMARIES {
            eventually("the cluster to be whole", async || {
                let info: String = group.try_ask(number, &["CLUSTER", "INFO"]).await.ok()?;
                let nodes: String = group.try_ask(number, &["CLUSTER", "NODES"]).await.ok()?;
                let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
                (info.contains("cluster_state:ok") && replicas == PRIMARIES).then_some(())
            })
            .await;
        }
        for number in 0..PRIMARIES {
            group.wait_for_replicas(number, 1).await;
        }
        group
    }

    /// Which replica has become the primary, once one has.
    ///
    /// Sentinels replace a primary while this waits, and not before or after. They would replace the new one as well:
    /// they connect once a second, so to them a server that was just promoted may be silent for longer than that.
    pub(crate) async fn promoted(&self) -> usize {
        self.sentinels_wait(DEAD_AFTER_MS).await;
        let promoted = eventually("a replica to be promoted", async || {
            for number in 1..self.nodes.len() {
                let info: String = self.ask(number, &["INFO", "replication"]).await;
                if info.contains("role:master") {
                    return Some(number);
                }
            }
            None
        })
        .await;
        self.sentinels_wait(NEVER_DEAD_MS).await;
        promoted
    }

    /// How long a server may be silent before the sentinels call it dead.
    async fn sentinels_wait(&self, milliseconds: u32) {
        let milliseconds = milliseconds.to_string();
        let words = ["SENTINEL", "SET", NAME, "down-after-milliseconds", &milliseconds];
        for sentinel in &self.sentinels {
            eventually("a sentinel to take a setting", async || {
                ask_at::<String>(&sentinel.url, &words).await.ok()
            })
            .await;
        }
    }

    /// Which of the nodes has the slot of `key` as its primary, by what node `asked` says.
    pub(crate) async fn primary_of(&self, asked: usize, key: &str) -> usize {
        let slot: u64 = self.ask(asked, &["CLUSTER", "KEYSLOT", key]).await;
        let text: String = self.ask(asked, &["CLUSTER", "NODES"]).await;
        let owner = text.lines().find(|line| {
            line.contains("master")
                && line.split(' ').skip(8).any(|range| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    let bound = |text: &str| text.parse::<u64>().ok();
                    bound(first).is_some_and(|first| first <= slot)
                        && bound(last).is_some_and(|last| slot <= last)
                })
        });
        let owner = owner.unwrap_or_else(|| panic!("nobody has slot {slot}: {text}"));
        let of = |node: &RedisServer| owner.contains(&format!("127.0.0.1:{}@", node.port().unwrap()));
        self.nodes.iter().position(of).unwrap()
    }

    /// Ends the replication to node `replica`, so that it misses what comes from now on; it may still be promoted.
    pub(crate) async fn cut_off(&self, replica: usize) {
        for (name, value) in [("masteruser", "nobody"), ("masterauth", "wrong")] {
            let _: String = self.ask(replica, &["CONFIG", "SET", name, value]).await;
        }
        let _: u64 = self.ask(replica, &["CLIENT", "KILL", "TYPE", "master"]).await;
        eventually("the replica to be cut off", async || {
            let info: String = self.ask(replica, &["INFO", "replication"]).await;
            info.contains("master_link_status:down").then_some(())
        })
        .await;
    }

    /// Lets a replica that was cut off replicate again.
    pub(crate) async fn rejoin(&self, replica: usize) {
        for name in ["masteruser", "masterauth"] {
            let _: String = self.ask(replica, &["CONFIG", "SET", name, ""]).await;
        }
    }

    pub(crate) async fn wait_for_replicas(&self, primary: usize, count: usize) {
        eventually("replicas to be online", async || {
            let info: String = self.ask(primary, &["INFO", "replication"]).await;
            (info.matches("state=online").count() >= count).then_some(())
        })
        .await;
    }

    /// Waits until node `number` says that it is a primary, or a replica.
    pub(crate) async fn wait_for_role(&self, number: usize, role: &str) {
        eventually(&format!("node {number} to be a {role}"), async || {
            let info: String = self.try_ask(number, &["INFO", "replication"]).await.ok()?;
            info.contains(&format!("role:{role}")).then_some(())
        })
        .await;
    }

    /// What a node answers. Sentinels cut off all clients of a server when they promote or demote it, so a connection
    /// that breaks says nothing, and the question is asked again.
    pub(crate) async fn ask<T: FromRedisValue>(&self, number: usize, words: &[&str]) -> T {
        let mut attempt = 1;
        loop {
            match self.try_ask(number, words).await {
                Ok(answer) => return answer,
                Err(error) if error.is_io_error() && attempt < ASK_ATTEMPTS => attempt += 1,
                Err(error) => panic!("node {number}, {words:?}: {error}"),
            }
        }
    }

    pub(crate) async fn try_ask<T: FromRedisValue>(
        &self,
        number: usize,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        ask_at(self.nodes[number].url(), words).await
    }
}

impl Drop for RedisGroup {
    /// Whoever fails shows what the sentinels saw.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (number, node) in self.nodes.iter().enumerate() {
            eprintln!("--- node {number}: port {:?}", node.port());
        }
        for Sentinel { url, log, .. } in &self.sentinels {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            eprintln!("--- sentinel {url}:\n{text}");
        }
    }
}

async fn ask_at<T: FromRedisValue>(url: &str, words: &[&str]) -> redis::RedisResult<T> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
}
