//! What a Redis holds, as JSON that any Redis can be filled from: no `DUMP` payloads, which depend on the server's
//! version. Bytes that are no text are kept as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamInfoGroupsReply, StreamPendingCountReply, StreamRangeReply};
use serde::{Deserialize, Serialize};

/// Keys and entries that a dump looks at: far more than a test makes.
const MANY: usize = 10_000;

/// One key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) name: String,
    /// How long it has to live when it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<i64>,
    #[serde(flatten)]
    pub(super) content: Content,
}

/// What a key holds, by Redis' name of its type.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub(super) enum Content {
    String(Text),
    Hash(Vec<(Text, Text)>),
    List(Vec<Text>),
    Set(Vec<Text>),
    /// Members and scores.
    Zset(Vec<(Text, String)>),
    Stream {
        /// Ids and fields.
        entries: Vec<(String, Vec<(Text, Text)>)>,
        groups: Vec<Group>,
    },
}

/// A consumer group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    name: String,
    last_delivered: String,
    /// What was read and not acknowledged: entry and consumer.
    pending: Vec<(String, String)>,
}

/// Bytes, as text where they are text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Text {
    Plain(String),
    Bytes { base64: String },
}

impl Text {
    fn of(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes)
            .map(Self::Plain)
            .unwrap_or_else(|error| Self::Bytes { base64: STANDARD.encode(error.into_bytes()) })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Plain(text) => text.clone().into_bytes(),
            Self::Bytes { base64 } => STANDARD.decode(base64).unwrap(),
        }
    }
}

fn texts(found: Vec<Vec<u8>>) -> Vec<Text> {
    found.into_iter().map(Text::of).collect()
}

fn pairs(found: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(Text, Text)> {
    found.into_iter().map(|(name, value)| (Text::of(name), Text::of(value))).collect()
}

/// A connection to the Redis at `url`.
pub(super) async fn connect(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// A command's answer.
pub(super) async fn ask<T: redis::FromRedisValue>(to: &mut MultiplexedConnection, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(to).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// Everything in the Redis at `url`, by name.
pub(super) async fn dump(url: &str) -> Vec<Key> {
    let mut redis = connect(url).await;
    let mut names: Vec<String> = ask(&mut redis, &["KEYS", "*"]).await;
    assert!(names.len() < MANY);
    names.sort();
    let mut keys = Vec::new();
    for name in names {
        let ttl: i64 = ask(&mut redis, &["PTTL", &name]).await;
        let content = content(&mut redis, &name).await;
        keys.push(Key { name, expires_in_ms: (ttl >= 0).then_some(ttl), content });
    }
    keys
}

async fn content(redis: &mut MultiplexedConnection, name: &str) -> Content {
    let kind: String = ask(redis, &["TYPE", name]).await;
    match kind.as_str() {
        "string" => Content::String(Text::of(ask(redis, &["GET", name]).await)),
        "hash" => Content::Hash(pairs(ask(redis, &["HGETALL", name]).await)),
        "list" => Content::List(texts(ask(redis, &["LRANGE", name, "0", "-1"]).await)),
        "set" => Content::Set(texts(ask(redis, &["SMEMBERS", name]).await)),
        "zset" => {
            let found: Vec<(Vec<u8>, String)> = ask(redis, &["ZRANGE", name, "0", "-1", "WITHSCORES"]).await;
            Content::Zset(found.into_iter().map(|(member, score)| (Text::of(member), score)).collect())
        }
        "stream" => stream(redis, name).await,
        other => panic!("{name} is a {other}"),
    }
}

async fn stream(redis: &mut MultiplexedConnection, name: &str) -> Content {
    let found: StreamRangeReply = ask(redis, &["XRANGE", name, "-", "+"]).await;
    let fields = |map: std::collections::HashMap<String, redis::Value>| {
        map.into_iter()
            .map(|(name, value)| (Text::Plain(name), Text::of(redis::from_redis_value(value).unwrap())))
            .collect()
    };
    let entries = found.ids.into_iter().map(|entry| (entry.id, fields(entry.map))).collect();
    let found: StreamInfoGroupsReply = ask(redis, &["XINFO", "GROUPS", name]).await;
    let mut groups = Vec::new();
    for group in found.groups {
        let pending: StreamPendingCountReply =
            ask(redis, &["XPENDING", name, &group.name, "-", "+", &MANY.to_string()]).await;
        let pending = pending.ids.into_iter().map(|entry| (entry.id, entry.consumer)).collect();
        groups.push(Group { name: group.name, last_delivered: group.last_delivered_id, pending });
    }
    Content::Stream { entries, groups }
}

/// Fills the Redis at `url`.
pub(super) async fn load(url: &str, keys: &[Key]) {
    let mut redis = connect(url).await;
    for key in keys {
        fill(&mut redis, &key.name, &key.content).await;
        if let Some(ms) = key.expires_in_ms {
            let _: u64 = ask(&mut redis, &["PEXPIRE", &key.name, &ms.to_string()]).await;
        }
    }
}

async fn fill(redis: &mut MultiplexedConnection, name: &str, content: &Content) {
    let command = match content {
        Content::String(text) => redis::cmd("SET").arg(name).arg(text.bytes()).take(),
        Content::Hash(fields) => {
            let mut command = redis::cmd("HSET").arg(name).take();
            for (field, value) in fields {
                command.arg(field.bytes()).arg(value.bytes());
            }
            command
        }
        Content::List(lines) => {
            redis::cmd("RPUSH").arg(name).arg(lines.iter().map(Text::bytes).collect::<Vec<_>>()).take()
        }
        Content::Set(members) => {
            redis::cmd("SADD").arg(name).arg(members.iter().map(Text::bytes).collect::<Vec<_>>()).take()
        }
        Content::Zset(members) => {
            let mut command = redis::cmd("ZADD").arg(name).take();
            for (member, score) in members {
                command.arg(score).arg(member.bytes());
            }
            command
        }
        Content::Stream { entries, groups } => return fill_stream(redis, name, entries, groups).await,
    };
    let _: redis::Value = command.query_async(redis).await.unwrap();
}

async fn fill_stream(
    redis: &mut MultiplexedConnection,
    name: &str,
    entries: &[(String, Vec<(Text, Text)>)],
    groups: &[Group],
) {
    for group in groups {
        let _: redis::Value = ask(redis, &["XGROUP", "CREATE", name, &group.name, "0", "MKSTREAM"]).await;
    }
    for (id, fields) in entries {
        let mut command = redis::cmd("XADD").arg(name).arg(id).take();
        for (field, value) in fields {
            command.arg(field.bytes()).arg(value.bytes());
        }
        let _: String = command.query_async(redis).await.unwrap();
        // Whoever had read it reads it again before the next one is there.
        for group in groups {
            if let Some((_, consumer)) = group.pending.iter().find(|(pending, _)| pending == id) {
                let read = ["XREADGROUP", "GROUP", &group.name, consumer, "COUNT", "1", "STREAMS", name, ">"];
                let _: redis::Value = ask(redis, &read).await;
            }
        }
    }
    for group in groups {
        let _: redis::Value =
            ask(redis, &["XGROUP", "SETID", name, &group.name, &group.last_delivered]).await;
    }
}
