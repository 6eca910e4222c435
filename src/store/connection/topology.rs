//! Who is the primary: of everything, or in a cluster of each slot.
//!
//! Sentinels and nodes are all asked at once, and the answer with the highest configuration epoch wins, as it does
//! among themselves: one that was cut off, or stood still, may still name a primary that is none any more.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult};
use secrecy::SecretString;

use crate::settings::RedisAddress;

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;
/// The longest time one sentinel or node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How many nodes of a cluster are asked; more know no better.
const ASKED_MAX: usize = 32;

/// A node's address, as `host:port`; of a single server whatever its URL says.
pub(super) type Node = Arc<str>;

/// Which node serves which slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Map {
    /// First slot, last slot, primary; in order, without overlaps.
    ranges: Vec<(u16, u16, Node)>,
}

impl Map {
    fn one(node: Node) -> Self {
        Self { ranges: vec![(0, SLOTS - 1, node)] }
    }

    /// The primary of `slot`, if there is one now.
    pub(super) fn node(&self, slot: u16) -> Option<&Node> {
        let at = self.ranges.partition_point(|(_, last, _)| *last < slot);
        self.ranges.get(at).filter(|(first, ..)| *first <= slot).map(|(.., node)| node)
    }

    /// Every primary, once.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        for (.., node) in &self.ranges {
            if !nodes.contains(node) {
                nodes.push(Arc::clone(node));
            }
        }
        nodes
    }

    /// Whether every slot has a primary.
    pub(super) fn is_whole(&self) -> bool {
        self.ranges.iter().map(|(first, last, _)| u32::from(last - first) + 1).sum::<u32>()
            == u32::from(SLOTS)
    }
}

impl std::fmt::Display for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.nodes().join(", "))
    }
}

/// Asks who is the primary.
#[derive(Debug)]
pub(super) struct Topology {
    address: RedisAddress,
    config: AsyncConnectionConfig,
    /// Open connections to those who are asked, by their addresses.
    open: Mutex<HashMap<String, MultiplexedConnection>>,
    /// The nodes of a cluster that were seen last.
    seen: Mutex<Vec<String>>,
}

impl Topology {
    pub(super) fn new(address: RedisAddress, connect_timeout: Duration) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout.min(ANSWER_TIMEOUT)))
            .set_response_timeout(Some(ANSWER_TIMEOUT));
        Self { address, config, open: Mutex::default(), seen: Mutex::default() }
    }

    /// Whether the primary is always the same server.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.address, RedisAddress::Single(_))
    }

    /// Whether keys are spread over several primaries.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.address, RedisAddress::Cluster { .. })
    }

    /// Whether a node must be asked for its role: one that sentinels name may have been demoted a moment ago. A node
    /// of a cluster refuses by itself what it does not serve.
    pub(super) fn wants_role(&self) -> bool {
        matches!(self.address, RedisAddress::Sentinel { .. })
    }

    /// The URL of a node.
    pub(super) fn url(&self, node: &Node) -> SecretString {
        match &self.address {
            RedisAddress::Single(url) => url.clone(),
            RedisAddress::Sentinel { node: access, .. } | RedisAddress::Cluster { node: access, .. } => {
                access.url(node)
            }
        }
    }

    /// Finds out who is the primary now.
    pub(super) async fn resolve(&self) -> RedisResult<Map> {
        match &self.address {
            RedisAddress::Single(_) => Ok(Map::one("the server in redis.url".into())),
            RedisAddress::Sentinel { sentinels, sentinel, primary, .. } => {
                let answers =
                    self.ask(sentinels, |at| sentinel.url(at), |to| named_by_sentinel(to, primary)).await?;
                let newest =
                    answers.into_iter().filter_map(|(_, answer)| answer).max_by_key(|(epoch, _)| *epoch);
                newest.map(|(_, node)| Map::one(node.into())).ok_or_else(|| {
                    let detail = format!("no sentinel of redis.url knows a primary called {primary:?}");
                    (ErrorKind::MasterNameNotFoundBySentinel, "unknown primary", detail).into()
                })
            }
            RedisAddress::Cluster { seeds, node } => {
                let mut asked = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
                asked.extend(seeds.iter().filter(|seed| !asked.contains(seed)).cloned().collect::<Vec<_>>());
                asked.truncate(ASKED_MAX);
                let answers = self.ask(&asked, |at| node.url(at), nodes_of_cluster).await?;
                let (map, seen) = merge(&answers, node.is_encrypted());
                let nodes = |at: &String| seen.contains(at) || seeds.contains(at);
                self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|at, _| nodes(at));
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
                Ok(map)
            }
        }
    }

    /// Asks all of `places` at once, and waits for more than half of them: or for all, when that many don't answer.
    async fn ask<T, F: Future<Output = RedisResult<T>>>(
        &self,
        places: &[String],
        url: impl Fn(&str) -> SecretString,
        question: impl Fn(MultiplexedConnection) -> F,
    ) -> RedisResult<Vec<(String, T)>> {
        let asked = places.iter().map(|place| {
            let (url, question) = (url(place), &question);
            async move { (place.clone(), self.answer(place, &url, question).await) }
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let (mut answers, mut error) = (Vec::new(), None);
        while let Some((place, answer)) = asked.next().await {
            match answer {
                Ok(answer) => answers.push((place, answer)),
                Err(wrong) => error = Some(wrong),
            }
            if answers.len() * 2 > places.len() {
                break;
            }
        }
        match error {
            Some(error) if answers.is_empty() => Err(error),
            _ => Ok(answers),
        }
    }

    async fn answer<T, F: Future<Output = RedisResult<T>>>(
        &self,
        place: &str,
        url: &SecretString,
        question: impl Fn(MultiplexedConnection) -> F,
    ) -> RedisResult<T> {
        let opened = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = opened().get(place).cloned();
        let connection = match known {
            Some(connection) => connection,
            None => {
                let client = Client::open(super::link::info(url)?)?;
                let connection = client.get_multiplexed_async_connection_with_config(&self.config).await?;
                opened().insert(place.to_owned(), connection.clone());
                connection
            }
        };
        let answer = question(connection).await;
        // Made anew by the next question. One that others were quicker than is kept.
        answer.inspect_err(|_| drop(opened().remove(place)))
    }
}

async fn ask<T: FromRedisValue>(to: &mut MultiplexedConnection, words: &[&str]) -> RedisResult<T> {
    let mut command = Cmd::new();
    command.arg(words);
    command.query_async(to).await
}

/// The primary that a sentinel names, with its configuration epoch; `None` when it knows none of that name.
async fn named_by_sentinel(mut to: MultiplexedConnection, name: &str) -> RedisResult<Option<(u64, String)>> {
    let named: Option<(String, u16)> = ask(&mut to, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name]).await?;
    let Some((host, port)) = named else { return Ok(None) };
    // While it promotes one, only the first answer has the new address; both have the new epoch.
    let known: BTreeMap<String, String> = ask(&mut to, &["SENTINEL", "MASTER", name]).await?;
    let epoch = known.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
    Ok(Some((epoch, host_and_port(&host, port))))
}

fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn nodes_of_cluster(mut to: MultiplexedConnection) -> RedisResult<String> {
    ask(&mut to, &["CLUSTER", "NODES"]).await
}

/// What one node says of another.
struct Claim {
    node: String,
    is_primary: bool,
    epoch: u64,
    ranges: Vec<(u16, u16)>,
}

/// One line of `CLUSTER NODES`: `id ip:port@bus[,name] flags primary ping pong epoch link slots…`.
fn claim(line: &str, asked: &str, by_name: bool) -> Option<Claim> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (address, flags) = (words.get(1)?, words.get(2)?);
    let flags: Vec<&str> = flags.split(',').collect();
    if ["fail", "noaddr", "handshake"].iter().any(|bad| flags.contains(bad)) {
        return None;
    }
    let (address, rest) = address.split_once('@')?;
    let (ip, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let name = rest.split(',').nth(1).filter(|name| by_name && !name.is_empty());
    // A node that nobody told its own address leaves it out: it is where we asked.
    let own = asked.rsplit_once(':').map_or(asked, |(host, _)| host.trim_matches(['[', ']']));
    let host = name.unwrap_or(if ip.is_empty() { own } else { ip });
    let range = |word: &&str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some((first.parse().ok()?, last.parse().ok().filter(|last| *last < SLOTS)?))
    };
    Some(Claim {
        node: host_and_port(host, port),
        is_primary: flags.contains(&"master"),
        epoch: words.get(6)?.parse().ok()?,
        // What is being moved stands in brackets: its old node has it until it is there.
        ranges: words.iter().skip(8).filter(|word| !word.starts_with('[')).filter_map(range).collect(),
    })
}

/// Who serves which slot by the highest epoch, and all nodes that were named.
fn merge(answers: &[(String, String)], by_name: bool) -> (Map, Vec<String>) {
    let mut served: Vec<Option<(u64, Node)>> = vec![None; usize::from(SLOTS)];
    let mut seen: Vec<String> = Vec::new();
    for (asked, text) in answers {
        for claim in text.lines().filter_map(|line| claim(line, asked, by_name)) {
            let node: Node = claim.node.as_str().into();
            for (first, last) in claim.ranges.iter().filter(|_| claim.is_primary) {
                for slot in served.iter_mut().take(usize::from(*last) + 1).skip(usize::from(*first)) {
                    if slot.as_ref().is_none_or(|(epoch, _)| *epoch < claim.epoch) {
                        *slot = Some((claim.epoch, Arc::clone(&node)));
                    }
                }
            }
            if !seen.contains(&claim.node) {
                seen.push(claim.node);
            }
        }
    }
    let mut ranges: Vec<(u16, u16, Node)> = Vec::new();
    for (slot, served) in (0..SLOTS).zip(served) {
        let Some((_, node)) = served else { continue };
        match ranges.last_mut() {
            Some((_, last, before)) if *last + 1 == slot && *before == node => *last = slot,
            _ => ranges.push((slot, slot, node)),
        }
    }
    (Map { ranges }, seen)
}

/// That no node serves `slot`, as an error that passes.
pub(super) fn unserved(slot: u16) -> RedisError {
    let detail = format!("no primary serves slot {slot} now");
    (ErrorKind::ClusterConnectionNotFound, "the cluster is incomplete", detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_epoch_wins_and_what_failed_claims_nothing() {
        let stale = "a 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-99 [7->-b]\n\
                     b 10.0.0.2:7000@17000,two master - 0 0 2 connected 100-16383\n";
        let fresh = "a 10.0.0.1:7000@17000 master,fail - 0 0 1 connected\n\
                     c 10.0.0.3:7000@17000 master - 0 0 3 connected 0-98 99\n\
                     b 10.0.0.2:7000@17000,two master - 0 0 2 connected 100-16383\n\
                     d :7001@17001 myself,slave b 0 0 2 connected\n";
        let answers = [("x:1".to_owned(), stale.to_owned()), ("10.0.0.9:7001".to_owned(), fresh.to_owned())];
        let (map, seen) = merge(&answers, false);
        assert_eq!(
            map.nodes().iter().map(|node| &**node).collect::<Vec<_>>(),
            ["10.0.0.3:7000", "10.0.0.2:7000"]
        );
        assert_eq!(map.node(99).map(|node| &**node), Some("10.0.0.3:7000"));
        assert_eq!(map.node(100).map(|node| &**node), Some("10.0.0.2:7000"));
        assert!(map.is_whole());
        assert!(seen.contains(&"10.0.0.9:7001".to_owned()), "{seen:?}");
        let (by_name, _) = merge(&answers[1..], true);
        assert_eq!(by_name.node(16383).map(|node| &**node), Some("two:7000"));
    }

    #[test]
    fn a_slot_without_a_primary_is_known_as_such() {
        let text = "a [::1]:7000@17000 master - 0 0 1 connected 0-9 20-16383\n";
        let text = text.replace("[::1]", "::1");
        let (map, _) = merge(&[("x:1".to_owned(), text)], false);
        assert_eq!(map.node(9).map(|node| &**node), Some("[::1]:7000"));
        assert_eq!((map.node(10), map.node(19), map.is_whole()), (None, None, false));
    }
}
