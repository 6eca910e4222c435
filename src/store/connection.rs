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
mod slot;
mod topology;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use deadpool_redis::{Manager, Pool, Runtime};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
};
use secrecy::ExposeSecret;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::clock;
use crate::settings::{RedisAddress, RedisSettings};

pub(super) use confirm::Confirmer;
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

/// How connections are made.
#[derive(Debug, Clone)]
struct Connect {
    response_timeout: Duration,
    connect_timeout: Duration,
    pool_size: usize,
    wait_timeout: Duration,
}

/// The connections to one primary, for as long as it is one.
pub(super) struct Link {
    node: Node,
    client: Client,
    wants_role: bool,
    settings: Connect,
    shared: OnceCell<MultiplexedConnection>,
    confirmer: OnceCell<Arc<Confirmer>>,
    pool: Pool,
    /// Fires when another node has become the primary: what is under way here is not waited for.
    superseded: CancellationToken,
}

/// Where a command goes.
#[derive(Clone)]
pub(super) struct Route {
    map: Arc<Map>,
    pub(super) link: Arc<Link>,
}

/// What an answer says about the node it came from.
enum Trouble {
    None,
    /// Somebody else is the primary.
    Moved,
    /// The connection is of no use any more.
    Broken,
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

    /// A connection that all share: for the hot path.
    pub(super) fn shared(&self) -> Connection {
        Connection { hub: self.clone(), slot: 0, pooled: None }
    }

    /// A connection of one's own for a while: for everything else.
    pub(super) fn pooled(&self) -> Connection {
        Connection { hub: self.clone(), slot: 0, pooled: Some(Vec::new()) }
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

fn timed_out(what: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, what).into()
}

impl Link {
    fn new(node: &Node, topology: &Topology, settings: &Connect) -> RedisResult<Self> {
        let url = topology.url(node);
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(settings.response_timeout))
            .set_connection_timeout(Some(settings.connect_timeout));
        let pool = Pool::builder(Manager::new_with_config(url.expose_secret(), config)?)
            .max_size(settings.pool_size)
            .wait_timeout(Some(settings.response_timeout))
            .create_timeout(Some(settings.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| {
                RedisError::from((ErrorKind::InvalidClientConfig, "no pool", error.to_string()))
            })?;
        Ok(Self {
            node: Arc::clone(node),
            client: Client::open(url.expose_secret())?,
            wants_role: topology.wants_role(),
            settings: settings.clone(),
            shared: OnceCell::new(),
            confirmer: OnceCell::new(),
            pool,
            superseded: CancellationToken::new(),
        })
    }

    /// Where it leads, for people.
    pub(super) fn name(&self) -> &str {
        &self.node
    }

    /// The connection that all share.
    pub(super) async fn shared(&self) -> RedisResult<MultiplexedConnection> {
        let connect = self.shared.get_or_try_init(|| self.dedicated(Duration::ZERO));
        // Those who wait for another one's attempt wait no longer than for one of their own.
        let connected = tokio::time::timeout(self.settings.connect_timeout, connect).await;
        connected.unwrap_or_else(|_| Err(timed_out("connecting took too long"))).cloned()
    }

    /// The connection whose writes are confirmed by replicas.
    pub(super) async fn confirmer(&self) -> RedisResult<Arc<Confirmer>> {
        let connect = self.confirmer.get_or_try_init(|| async {
            let connection = self.dedicated(self.settings.wait_timeout).await?;
            Ok(Arc::new(Confirmer::new(connection)))
        });
        let connected = tokio::time::timeout(self.settings.connect_timeout, connect).await;
        connected.unwrap_or_else(|_| Err(timed_out("connecting took too long"))).cloned()
    }

    /// A connection of its own, whose commands may take `longer` than others'.
    pub(super) async fn dedicated(&self, longer: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.settings.response_timeout + longer))
            .set_connection_timeout(Some(self.settings.connect_timeout));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        if self.wants_role {
            let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
            let role: String =
                role.into_iter().next().map(redis::from_redis_value).transpose()?.unwrap_or_default();
            if role != "master" {
                let detail = format!("{} is a {role}", self.node);
                let error = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, detail);
                return Err(error.into());
            }
        }
        Ok(connection)
    }

    /// Waits for `work`, unless another node becomes the primary meanwhile.
    pub(super) async fn unless_superseded<T>(
        &self,
        work: impl Future<Output = RedisResult<T>>,
    ) -> RedisResult<T> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.superseded.cancelled() => {
                let text = format!("{} is no primary any more", self.node);
                Err(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, text).into())
            }
        }
    }
}

/// What an error says about the node it came from.
fn trouble_of(error: &RedisError) -> Trouble {
    match error.code() {
        Some("MOVED" | "CLUSTERDOWN" | "MASTERDOWN") => Trouble::Moved,
        Some("READONLY" | "LOADING" | "UNBLOCKED") => Trouble::Broken,
        Some(_) => Trouble::None,
        None if error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() => {
            Trouble::Broken
        }
        None => Trouble::None,
    }
}

fn trouble_of_value(value: &Value) -> Trouble {
    match value {
        Value::ServerError(error) => trouble_of(&error.clone().into()),
        _ => Trouble::None,
    }
}

/// Sends each command to the primary of its key. A command without a key goes where the last one went.
#[derive(Clone)]
pub(super) struct Connection {
    hub: Hub,
    slot: u16,
    /// Connections taken out of their pools; `None` for those that all share.
    pooled: Option<Vec<(Arc<Link>, Arc<deadpool_redis::Connection>)>>,
}

impl Connection {
    async fn line(&mut self, link: &Arc<Link>) -> RedisResult<MultiplexedConnection> {
        let Some(taken) = &mut self.pooled else { return link.shared().await };
        if let Some((_, connection)) = taken.iter().find(|(of, _)| Arc::ptr_eq(of, link)) {
            return Ok(connection.as_ref().as_ref().clone());
        }
        let connection = link.pool.get().await.map_err(|error| match error {
            deadpool_redis::PoolError::Backend(error) => error,
            error => std::io::Error::new(std::io::ErrorKind::TimedOut, error.to_string()).into(),
        })?;
        let line = connection.as_ref().clone();
        taken.push((Arc::clone(link), Arc::new(connection)));
        Ok(line)
    }

    async fn one(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.slot = slot::of_command(command).unwrap_or(self.slot);
        let route = self.hub.route(self.slot).await?;
        let link = Arc::clone(&route.link);
        let answer = link
            .unless_superseded(async { self.line(&route.link).await?.req_packed_command(command).await })
            .await;
        let trouble = answer.as_ref().map_or_else(trouble_of, trouble_of_value);
        self.hub.trouble(&route, &trouble);
        answer
    }

    async fn together(
        &mut self,
        route: &Route,
        commands: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let link = Arc::clone(&route.link);
        let answer = link
            .unless_superseded(async {
                self.line(&route.link).await?.req_packed_commands(commands, offset, count).await
            })
            .await;
        match &answer {
            Ok(values) => {
                for value in values {
                    self.hub.trouble(route, &trouble_of_value(value));
                }
            }
            Err(error) => self.hub.note(route, error),
        }
        answer
    }

    /// Sends a pipeline whose keys may live on several nodes, to each its part, and puts the answers together.
    async fn many(&mut self, commands: &Pipeline, offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let mut routes: Vec<(Route, Vec<usize>)> = Vec::new();
        for (index, command) in commands.cmd_iter().enumerate() {
            self.slot = slot::of_command(command).unwrap_or(self.slot);
            let route = self.hub.route(self.slot).await?;
            match routes.iter_mut().find(|(known, _)| Arc::ptr_eq(&known.link, &route.link)) {
                Some((_, part)) => part.push(index),
                None => routes.push((route, vec![index])),
            }
        }
        let mut routes = routes.into_iter();
        let (Some(first), second) = (routes.next(), routes.next()) else { return Ok(Vec::new()) };
        let Some(second) = second else { return self.together(&first.0, commands, offset, count).await };
        if commands.is_transaction() {
            return Err((ErrorKind::Client, "a transaction over several nodes").into());
        }
        let mut answers = vec![Value::Nil; commands.len()];
        for (route, part) in [first, second].into_iter().chain(routes) {
            let mut pipeline = Pipeline::with_capacity(part.len());
            let ours = commands.cmd_iter().enumerate().filter(|(index, _)| part.contains(index));
            ours.for_each(|(_, command)| {
                pipeline.add_command(command.clone());
            });
            let values = self.together(&route, &pipeline, 0, part.len()).await?;
            part.into_iter().zip(values).for_each(|(index, value)| answers[index] = value);
        }
        Ok(answers)
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.one(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.many(commands, offset, count))
    }

    fn get_db(&self) -> i64 {
        0
    }
}
