//! Where Redis is: one server, a primary that sentinels name, or a cluster. One setting says which, by its scheme.

use secrecy::{ExposeSecret, SecretString};
use url::Url;
use url::form_urlencoded;

/// The schemes of one server.
const SINGLE: [&str; 6] = ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix"];
/// Where a sentinel listens unless its address says otherwise.
const SENTINEL_PORT: u16 = 26379;
/// Where a node of a cluster listens unless its address says otherwise.
const NODE_PORT: u16 = 6379;
/// The most addresses in one setting; more are not needed to find all others.
const ADDRESSES_MAX: usize = 32;

/// Where Redis is.
#[derive(Debug, Clone)]
pub enum RedisAddress {
    /// One server at this URL.
    Single(SecretString),
    /// A primary that sentinels name.
    Sentinel {
        /// The sentinels, as `host:port`.
        sentinels: Vec<String>,
        /// How to log in at them.
        sentinel: NodeAccess,
        /// What they call the primary.
        primary: String,
        /// How to log in at the primary.
        node: NodeAccess,
    },
    /// A cluster.
    Cluster {
        /// Nodes to begin with, as `host:port`.
        seeds: Vec<String>,
        /// How to log in at its nodes.
        node: NodeAccess,
    },
}

/// How to connect to nodes whose addresses are found out while running.
#[derive(Debug, Clone)]
pub struct NodeAccess {
    scheme: &'static str,
    /// `user:password@`, or empty.
    login: SecretString,
    /// The database as a path, or empty.
    database: String,
}

impl NodeAccess {
    /// The URL of the node at `host:port`.
    pub fn url(&self, host_and_port: &str) -> SecretString {
        format!("{}://{}{host_and_port}{}", self.scheme, self.login.expose_secret(), self.database).into()
    }

    /// Whether connections are encrypted, so that names matter more than addresses.
    pub fn is_encrypted(&self) -> bool {
        self.scheme == "rediss"
    }
}

impl RedisAddress {
    /// Reads the setting; `None` when it is none of the forms that are allowed.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (security, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let security = match security {
            "redis" | "valkey" => "redis",
            "rediss" | "valkeys" => "rediss",
            _ => "",
        };
        match kind {
            "sentinel" if !security.is_empty() => sentinel(security, rest),
            "cluster" if !security.is_empty() => cluster(security, rest),
            _ => {
                let url = Url::parse(text).ok()?;
                let place = url.has_host() || url.path().len() > 1;
                (SINGLE.contains(&scheme) && place).then(|| Self::Single(text.to_owned().into()))
            }
        }
    }
}

/// What follows the scheme: login, addresses, path without its slash, query.
struct Parts<'t> {
    login: &'t str,
    addresses: Vec<String>,
    path: &'t str,
    query: &'t str,
}

fn parts(rest: &str, port: u16) -> Option<Parts<'_>> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    let addresses: Option<Vec<String>> = hosts.split(',').map(|host| address(host.trim(), port)).collect();
    let addresses = addresses.filter(|addresses| addresses.len() <= ADDRESSES_MAX)?;
    // The login stands in every URL made from it: it must be readable there.
    Url::parse(&format!("redis://{login}host")).ok()?;
    Some(Parts { login, addresses, path, query })
}

/// `host:port`, with the port that is meant when none is given.
fn address(text: &str, port: u16) -> Option<String> {
    let url = Url::parse(&format!("redis://{text}")).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.path().is_empty();
    let host = url.host_str().filter(|host| plain && !host.is_empty())?;
    Some(format!("{host}:{}", url.port().unwrap_or(port)))
}

fn sentinel(scheme: &'static str, rest: &str) -> Option<RedisAddress> {
    let parts = parts(rest, SENTINEL_PORT)?;
    let (primary, database) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    let known = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let is_name = !primary.is_empty() && primary.chars().all(known);
    let is_number = database.is_empty() || database.parse::<u16>().is_ok();
    if !is_name || !is_number {
        return None;
    }
    let (mut user, mut password) = (String::new(), String::new());
    for (name, value) in form_urlencoded::parse(parts.query.as_bytes()) {
        match &*name {
            "sentinel_user" => user = form_urlencoded::byte_serialize(value.as_bytes()).collect(),
            "sentinel_password" => password = form_urlencoded::byte_serialize(value.as_bytes()).collect(),
            _ => return None,
        }
    }
    let sentinel_login =
        if password.is_empty() { String::new() } else { format!("{user}:{password}@").replace('+', "%20") };
    Some(RedisAddress::Sentinel {
        sentinels: parts.addresses,
        sentinel: NodeAccess { scheme, login: sentinel_login.into(), database: String::new() },
        primary: primary.to_owned(),
        node: NodeAccess {
            scheme,
            login: parts.login.to_owned().into(),
            database: if database.is_empty() { String::new() } else { format!("/{database}") },
        },
    })
}

fn cluster(scheme: &'static str, rest: &str) -> Option<RedisAddress> {
    let parts = parts(rest, NODE_PORT)?;
    // A cluster has one database, and all of it is found from the seeds.
    if !parts.path.is_empty() || !parts.query.is_empty() {
        return None;
    }
    let node = NodeAccess { scheme, login: parts.login.to_owned().into(), database: String::new() };
    Some(RedisAddress::Cluster { seeds: parts.addresses, node })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_have_a_name_for_the_primary_and_a_login_of_their_own() {
        let text =
            "rediss+sentinel://app:p%40ss@a:1,b,[::1]:3/main/2?sentinel_user=s&sentinel_password=x%20%2Fy";
        let Some(RedisAddress::Sentinel { sentinels, sentinel, primary, node }) = RedisAddress::parse(text)
        else {
            panic!("{text}")
        };
        assert_eq!(sentinels, ["a:1", "b:26379", "[::1]:3"]);
        assert_eq!(primary, "main");
        assert_eq!(sentinel.url("a:1").expose_secret(), "rediss://s:x%20%2Fy@a:1");
        assert_eq!(node.url("h:7").expose_secret(), "rediss://app:p%40ss@h:7/2");
        assert!(node.is_encrypted());
    }

    #[test]
    fn a_cluster_is_its_seeds() {
        let text = "redis+cluster://:secret@a:7000,b";
        let Some(RedisAddress::Cluster { seeds, node }) = RedisAddress::parse(text) else { panic!("{text}") };
        assert_eq!(seeds, ["a:7000", "b:6379"]);
        assert_eq!(node.url("c:1").expose_secret(), "redis://:secret@c:1");
        assert!(!format!("{node:?}").contains("secret@"), "{node:?}");
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        for text in [
            "redis+sentinel://a:1,b:2",
            "redis+sentinel://a:1/",
            "redis+sentinel:///main",
            "redis+sentinel://a:1/main/x",
            "redis+sentinel://a:1/main?password=x",
            "redis+sentinel://a:1,/main",
            "redis+cluster://a:1/0",
            "redis+cluster://a:x",
            "redis+cluster://",
            "unix+cluster://a:1",
            "http://a",
            "redis:",
        ] {
            assert!(RedisAddress::parse(text).is_none(), "{text}");
        }
        for text in ["redis://a", "rediss://u:p@a:1/2", "valkey://a", "unix:///s", "redis+unix:///s"] {
            assert!(matches!(RedisAddress::parse(text), Some(RedisAddress::Single(_))), "{text}");
        }
    }
}
