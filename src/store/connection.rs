//! Connections to whoever is the primary now: of one server, of sentinels, of a cluster. The rest of the store sends
//! commands and does not care.
//!
//! Every command goes to the primary of its key's slot. When that breaks, or says that it is none, the connection is
//! let go and the next command finds out anew who is; besides, where a primary can change, it is looked for once a
//! second, so that nobody stays with a server that was demoted and does not know it yet. Nothing is repeated here:
//! an answer may have been lost, and only the caller knows whether its command can be sent twice.
//!
//! A slot that is being moved to another node (`ASK`) is waited for. Following the redirection would run a script on
//! a node that has only some of the partition's keys.

mod confirm;
mod link;
mod send;
mod slot;
mod topology;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use redis::{ErrorKind, RedisError, RedisResult};
use secrecy::ExposeSecret;
use tracing::{debug, info};

use crate::clock;
use crate::settings::{RedisAddress, RedisSettings};

pub(super) use link::Link;
use link::{Connect, timed_out};
pub(super) use send::{Connection, said};
use send::{Trouble, trouble_of};
pub(super) use slot::of_key as slot_of_key;
use topology::{Map, Node, Topology};

/// How often it is looked who is the primary, where that can change.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For how long a failed look stands for those who wait for it: an outage must not make a storm.
const FAILED_LOOK_LIFE: Duration = Duration::from_millis(50);
/// The longest time finding out may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// All connections of a process. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hub(Arc<Inner>);

struct Inner {
    topology: Topology,
    settings: Connect,
    /// Who is the primary, as far as is known.
    map: RwLock<Option<Arc<Map>>>,
    /// Held by the one who finds out; what the last one who did not was told.
    look: tokio::sync::Mutex<Option<(Instant, RedisError)>>,
    links: Mutex<HashMap<Node, Arc<Link>>>,
}

/// Where a command goes.
#[derive(Clone)]
pub(super) struct Route {
    map: Arc<Map>,
    pub(super) link: Arc<Link>,
}

impl Hub {
    pub(super) fn new(settings: &RedisSettings) -> RedisResult<Self> {
        let address = RedisAddress::parse(settings.url.expose_secret())
            .ok_or((ErrorKind::InvalidClientConfig, "redis.url is no address of Redis"))?;
        let inner = Arc::new(Inner {
            topology: Topology::new(address, settings.connect_timeout),
            settings: Connect {
                response_timeout: settings.response_timeout,
                connect_timeout: settings.connect_timeout,
                pool_size: settings.pool_size,
                wait_timeout: settings.wait_timeout,
            },
            map: RwLock::default(),
            look: tokio::sync::Mutex::default(),
            links: Mutex::default(),
        });
        if !inner.topology.is_fixed() {
            tokio::spawn(watch(Arc::downgrade(&inner)));
        }
        Ok(Self(inner))
    }

    /// Whether keys are spread over several primaries.
    pub(super) fn is_cluster(&self) -> bool {
        self.0.topology.is_cluster()
    }

    /// A connection that all share: for the hot path. What names no key goes to the primary of `home`.
    pub(super) fn shared(&self, home: u16) -> Connection {
        Connection { hub: self.clone(), slot: home, pooled: None }
    }

    /// A connection of one's own for a while: for everything else. It begins at the primary of `home`.
    pub(super) fn pooled(&self, home: u16) -> Connection {
        Connection { hub: self.clone(), slot: home, pooled: Some(Vec::new()) }
    }

    /// Every primary there is now.
    ///
    /// # Errors
    /// When it can't be found out, or a part of a cluster has none.
    pub(super) async fn primaries(&self) -> RedisResult<Vec<Route>> {
        let map = self.map().await?;
        if !map.is_whole() {
            let gap = (0..topology::SLOTS).find(|slot| map.node(*slot).is_none()).unwrap_or_default();
            return Err(topology::unserved(gap));
        }
        map.nodes().iter().map(|node| Ok(Route { link: self.link(node)?, map: Arc::clone(&map) })).collect()
    }

    /// Where what has a key of `slot` goes.
    pub(super) async fn route(&self, slot: u16) -> RedisResult<Route> {
        let map = self.map().await?;
        let Some(node) = map.node(slot) else {
            self.forget(&map);
            return Err(topology::unserved(slot));
        };
        Ok(Route { link: self.link(node)?, map })
    }

    async fn map(&self) -> RedisResult<Arc<Map>> {
        let known = || self.0.map.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(map) = known() {
            return Ok(map);
        }
        let mut failed = self.0.look.lock().await;
        if let Some(map) = known() {
            return Ok(map);
        }
        if let Some((at, error)) = &*failed
            && at.elapsed() < FAILED_LOOK_LIFE
        {
            return Err(error.clone());
        }
        match self.0.find_out().await {
            Ok(map) => Ok(self.0.learn(map)),
            Err(error) => {
                *failed = Some((clock::monotonic(), error.clone()));
                Err(error)
            }
        }
    }

    fn link(&self, node: &Node) -> RedisResult<Arc<Link>> {
        let mut links = self.0.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(node) {
            return Ok(Arc::clone(link));
        }
        let link = Arc::new(Link::new(node, &self.0.topology, &self.0.settings)?);
        links.insert(Arc::clone(node), Arc::clone(&link));
        Ok(link)
    }

    fn forget(&self, map: &Arc<Map>) {
        if self.0.topology.is_fixed() {
            return;
        }
        let mut known = self.0.map.write().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, map)) {
            *known = None;
        }
    }

    /// Whether what `route` leads to is still in use.
    pub(super) fn is_current(&self, route: &Route) -> bool {
        let links = self.0.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.get(&route.link.node).is_some_and(|link| Arc::ptr_eq(link, &route.link))
    }

    /// Takes note of an error that came over `route`.
    pub(super) fn note(&self, route: &Route, error: &RedisError) {
        self.trouble(route, &trouble_of(error));
    }

    fn trouble(&self, route: &Route, trouble: &Trouble) {
        match trouble {
            Trouble::None => return,
            Trouble::Moved => {}
            Trouble::Broken => {
                let mut links = self.0.links.lock().unwrap_or_else(PoisonError::into_inner);
                if links.get(&route.link.node).is_some_and(|link| Arc::ptr_eq(link, &route.link)) {
                    links.remove(&route.link.node);
                }
            }
        }
        self.forget(&route.map);
    }
}

impl Inner {
    async fn find_out(&self) -> RedisResult<Map> {
        let asked = tokio::time::timeout(LOOK_TIMEOUT, self.topology.resolve()).await;
        asked.unwrap_or_else(|_| Err(timed_out("nobody said in time who is the primary")))
    }

    /// Takes over who is the primary now, and lets go of those who are none any more.
    fn learn(&self, found: Map) -> Arc<Map> {
        let mut known = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = known.as_ref().filter(|map| ***map == found) {
            return Arc::clone(map);
        }
        let map = Arc::new(found);
        *known = Some(Arc::clone(&map));
        let nodes = map.nodes();
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|node, link| {
            let is_primary = nodes.contains(node);
            if !is_primary {
                info!(was = &**node, now = %map, "another server is the primary");
                link.superseded.cancel();
            }
            is_primary
        });
        map
    }
}

/// Looks from time to time who is the primary, until nobody is interested.
async fn watch(hub: Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(hub) = hub.upgrade() else { return };
        let _turn = hub.look.lock().await;
        match hub.find_out().await {
            Ok(map) => drop(hub.learn(map)),
            Err(error) => debug!(%error, "it can't be found out who is the primary"),
        }
    }
}
