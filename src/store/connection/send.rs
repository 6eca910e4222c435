//! Sends commands, each to the primary of its key.

use std::sync::Arc;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};

use super::link::Link;
use super::{Hub, Route, slot};

/// What an answer says about the node it came from.
pub(super) enum Trouble {
    None,
    /// Somebody else is the primary.
    Moved,
    /// The connection is of no use any more.
    Broken,
}

/// Sends each command to the primary of its key. A command without a key goes where the last one went.
#[derive(Clone)]
pub(in super::super) struct Connection {
    pub(super) hub: Hub,
    pub(super) slot: u16,
    /// Connections taken out of their pools; `None` for those that all share.
    pub(super) pooled: Option<Vec<(Arc<Link>, Arc<deadpool_redis::Connection>)>>,
}

impl Connection {
    async fn line(&mut self, link: &Arc<Link>) -> RedisResult<MultiplexedConnection> {
        let Some(taken) = &mut self.pooled else { return link.shared().await };
        if let Some((_, connection)) = taken.iter().find(|(of, _)| Arc::ptr_eq(of, link)) {
            return Ok(connection.as_ref().as_ref().clone());
        }
        let connection = link.pool.get().await.map_err(|error| {
            let text = error.to_string();
            if let deadpool_redis::PoolError::Backend(error) = error {
                return error;
            }
            std::io::Error::new(std::io::ErrorKind::TimedOut, text).into()
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

/// What Redis itself said: of a pipeline's errors the first, which the client wraps so that its code is not seen.
pub(in super::super) fn said(error: &RedisError) -> RedisError {
    let errors = error.clone().into_server_errors();
    let first = errors.and_then(|errors| errors.first().map(|(_, error)| error.clone().into()));
    first.unwrap_or_else(|| error.clone())
}

/// What an error says about the node it came from.
pub(super) fn trouble_of(error: &RedisError) -> Trouble {
    let error = said(error);
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
    if let Value::ServerError(error) = value { trouble_of(&error.clone().into()) } else { Trouble::None }
}
