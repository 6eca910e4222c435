//! What is checked before anything else: Redis' version, its durability, and then the [layout](super::layout) of what
//! it holds.

use std::collections::HashMap;

use redis::RedisResult;
use tracing::{info, warn};

use super::connection::Link;
use super::{Store, StoreError};
use crate::settings::{Level, RedisSettings};

/// What to do about settings of Redis that could lose what was acknowledged.
pub use crate::settings::Durability;

/// The oldest Redis that has what the scripts need (XAUTOCLAIM that drops deleted entries).
const REDIS_MAJOR_MIN: u32 = 7;
/// The oldest Valkey that was tested.
const VALKEY_MAJOR_MIN: u32 = 8;

impl Store {
    pub(super) async fn check(&self, settings: &RedisSettings) -> Result<(), StoreError> {
        let primaries = self.hub.primaries().await?;
        let mut doubts = Vec::new();
        for primary in &primaries {
            let name = primary.link.name();
            let checked = primary.link.unless_superseded(look_at(&primary.link)).await;
            let (info, fsync) = checked.inspect_err(|error| self.hub.note(primary, error))?;
            let info = parse_info(&info);
            check_loaded(&info)?;
            check_version(&info)?;
            let found = doubts_about(&info, fsync.as_deref(), settings);
            doubts.extend(found.into_iter().map(|doubt| format!("{name}: {doubt}")));
        }
        if !doubts.is_empty() {
            let doubts = doubts.join("; ");
            match settings.require_durable {
                Durability::Refuse => {
                    return Err(StoreError::Unfit(format!(
                        "Redis could lose acknowledged runs: {doubts}. Mend that, or set redis.require_durable = \"warn\""
                    )));
                }
                Durability::Warn => warn!(doubts, "Redis could lose acknowledged runs"),
            }
        }
        let names: Vec<&str> = primaries.iter().map(|primary| primary.link.name()).collect();
        info!(durability = ?settings.durability, primaries = names.join(", "), "Redis is there");
        self.check_layout().await
    }
}

/// What a primary says of itself, and how it writes its log; `None` where it may not be asked (as with some who host it).
async fn look_at(link: &Link) -> RedisResult<(String, Option<String>)> {
    let mut connection = link.shared().await?;
    let info = redis::cmd("INFO").query_async(&mut connection).await?;
    let fsync = redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(&mut connection).await;
    let fsync: Option<(String, String)> = match fsync {
        Ok(found) => Some(found),
        Err(error) if error.code().is_some() => None,
        Err(error) => return Err(error),
    };
    Ok((info, fsync.map(|(_, value)| value)))
}

fn parse_info(info: &str) -> HashMap<&str, &str> {
    info.lines().filter_map(|line| line.trim().split_once(':')).collect()
}

/// While it reads its data, Redis answers `INFO`, and says that its append-only file is off: it is not looked at yet.
fn check_loaded(info: &HashMap<&str, &str>) -> Result<(), StoreError> {
    match info.get("loading").copied() {
        Some("1") => Err(StoreError::Unreachable("it reads its data after a start".to_owned())),
        Some(_) | None => Ok(()),
    }
}

fn check_version(info: &HashMap<&str, &str>) -> Result<(), StoreError> {
    let major =
        |version: &str| version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0);
    let (name, version, least) = match info.get("valkey_version") {
        Some(version) => ("Valkey", *version, VALKEY_MAJOR_MIN),
        None => ("Redis", info.get("redis_version").copied().unwrap_or("?"), REDIS_MAJOR_MIN),
    };
    if major(version) < least {
        return Err(StoreError::Unfit(format!("{name} {version} is too old: {least}.0 or newer is needed")));
    }
    Ok(())
}

/// What is less safe at a primary than `settings` ask for.
fn doubts_about(info: &HashMap<&str, &str>, fsync: Option<&str>, settings: &RedisSettings) -> Vec<String> {
    let mut doubts = Vec::new();
    if info.get("aof_enabled").copied() != Some("1") {
        doubts.push(
            "appendonly is off, a restart of Redis forgets everything since its last snapshot".to_owned(),
        );
    }
    match info.get("maxmemory_policy").copied() {
        None | Some("noeviction") => {}
        Some(policy) => doubts.push(format!("maxmemory-policy is {policy} (noeviction is needed)")),
    }
    match (settings.durability, fsync) {
        (_, Some("no")) => doubts.push("appendfsync is no (everysec is needed at least)".to_owned()),
        (Level::Always, Some("always")) | (Level::EverySecond | Level::Replicated, _) => {}
        (Level::Always, Some(other)) => {
            doubts.push(format!("appendfsync is {other}, and redis.durability asks for always"));
        }
        (Level::Always, None) => doubts.push("it does not say whether appendfsync is always".to_owned()),
    }
    let online = (0..).map_while(|number| info.get(format!("slave{number}").as_str()));
    let online = online.filter(|replica| replica.contains("state=online")).count();
    let wanted = usize::try_from(settings.wait_replicas).unwrap_or(usize::MAX);
    if settings.durability == Level::Replicated && online < wanted {
        doubts.push(format!(
            "{online} replicas are connected, and redis.wait_replicas asks for {wanted}: nothing could be confirmed"
        ));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_still_reads_its_data_is_waited_for() {
        let info = parse_info("redis_version:7.0.15\r\nloading:1\r\naof_enabled:0\r\n");
        assert!(check_loaded(&info).unwrap_err().is_passing());
        assert!(check_loaded(&parse_info("loading:0\r\naof_enabled:1\r\n")).is_ok());
    }

    #[test]
    fn an_old_or_forgetful_redis_is_named() {
        let info = "redis_version:6.2.14\r\naof_enabled:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        let info = parse_info(info);
        assert_eq!(
            check_version(&info).unwrap_err().to_string(),
            "Redis 6.2.14 is too old: 7.0 or newer is needed"
        );
        assert_eq!(doubts_about(&info, None, &settings("everysec")).len(), 2);
        let valkey = parse_info(
            "redis_version:7.2.4\nvalkey_version:9.1.2\naof_enabled:1\nmaxmemory_policy:noeviction",
        );
        assert!(check_version(&valkey).is_ok());
        assert!(doubts_about(&valkey, Some("everysec"), &settings("everysec")).is_empty());
    }

    fn settings(durability: &str) -> RedisSettings {
        let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        let given = [("RAPIDBRIDGE_SEAL__KEY", key), ("RAPIDBRIDGE_REDIS__DURABILITY", durability)];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        crate::settings::Settings::load(None, given.into_iter()).unwrap().redis
    }

    #[test]
    fn a_redis_that_is_less_safe_than_the_level_is_named() {
        let alone = parse_info("redis_version:7.0.15\naof_enabled:1\nmaxmemory_policy:noeviction");
        let doubts = |fsync, level| doubts_about(&alone, fsync, &settings(level)).join("; ");
        assert_eq!(doubts(Some("always"), "always"), "");
        assert!(doubts(Some("everysec"), "always").contains("appendfsync is everysec"));
        assert!(doubts(None, "always").contains("does not say"));
        assert!(doubts(Some("no"), "everysec").contains("appendfsync is no"));
        assert!(doubts(Some("everysec"), "replicated").contains("0 replicas are connected"));
        let replica = "ip=127.0.0.1,port=1,state=online,offset=1,lag=0";
        let text = format!("aof_enabled:1\nslave0:ip=h,port=2,state=wait_bgsave\nslave1:{replica}");
        assert!(doubts_about(&parse_info(&text), None, &settings("replicated")).is_empty());
    }
}
