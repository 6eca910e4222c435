//! The connections to one primary: the one that all share, one whose writes are confirmed, a pool, and what somebody
//! opens for themselves.

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    Value,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::confirm::Confirmer;
use super::topology::{Node, Topology};

/// How connections are made.
#[derive(Debug, Clone)]
pub(super) struct Connect {
    pub(super) response_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) pool_size: usize,
    pub(super) wait_timeout: Duration,
}

/// The connections to one primary, for as long as it is one.
pub(in super::super) struct Link {
    pub(super) node: Node,
    client: Client,
    wants_role: bool,
    settings: Connect,
    shared: OnceCell<MultiplexedConnection>,
    confirmer: OnceCell<Arc<Confirmer>>,
    pub(super) pool: Pool,
    /// Fires when another node has become the primary: what is under way here is not waited for.
    pub(super) superseded: CancellationToken,
}

impl Link {
    pub(super) fn new(node: &Node, topology: &Topology, settings: &Connect) -> RedisResult<Self> {
        let info = info(&topology.url(node))?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(settings.response_timeout))
            .set_connection_timeout(Some(settings.connect_timeout));
        let pool = Pool::builder(Manager::new_with_config(info.clone(), config)?)
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
            client: Client::open(info)?,
            wants_role: topology.wants_role(),
            settings: settings.clone(),
            shared: OnceCell::new(),
            confirmer: OnceCell::new(),
            pool,
            superseded: CancellationToken::new(),
        })
    }

    /// Where it leads, for people.
    pub(in super::super) fn name(&self) -> &str {
        &self.node
    }

    /// The connection that all share.
    pub(in super::super) async fn shared(&self) -> RedisResult<MultiplexedConnection> {
        let connect = self.shared.get_or_try_init(|| self.dedicated(Duration::ZERO));
        // Those who wait for another one's attempt wait no longer than for one of their own.
        let connected = tokio::time::timeout(self.settings.connect_timeout, connect).await;
        connected.unwrap_or_else(|_| Err(timed_out("connecting took too long"))).cloned()
    }

    /// The connection whose writes are confirmed by replicas.
    pub(in super::super) async fn confirmer(&self) -> RedisResult<Arc<Confirmer>> {
        let connect = self.confirmer.get_or_try_init(|| async {
            let connection = self.dedicated(self.settings.wait_timeout).await?;
            Ok(Arc::new(Confirmer::new(connection)))
        });
        let connected = tokio::time::timeout(self.settings.connect_timeout, connect).await;
        connected.unwrap_or_else(|_| Err(timed_out("connecting took too long"))).cloned()
    }

    /// A connection of its own, whose commands may take `longer` than others'.
    pub(in super::super) async fn dedicated(&self, longer: Duration) -> RedisResult<MultiplexedConnection> {
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
    pub(in super::super) async fn unless_superseded<T>(
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

/// How to connect to `url`. Small packets are sent at once: a command that waited for the acknowledgement of the one
/// before would take as long as the network's patience.
pub(super) fn info(url: &SecretString) -> RedisResult<ConnectionInfo> {
    let info = url.expose_secret().into_connection_info()?;
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

pub(super) fn timed_out(what: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, what).into()
}
