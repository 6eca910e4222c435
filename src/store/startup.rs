//! What is checked before anything else: Redis' version, its durability, and the layout of what it holds.

use std::collections::HashMap;

use tracing::warn;

use super::{Store, StoreError, keys};

/// What to do about settings of Redis that could lose what was acknowledged.
pub use crate::settings::Durability;

/// The layout of keys and hashes this version reads and writes.
const LAYOUT: u32 = 1;

/// The oldest Redis that has what the scripts need (XAUTOCLAIM that drops deleted entries).
const REDIS_MAJOR_MIN: u32 = 7;
/// The oldest Valkey that was tested.
const VALKEY_MAJOR_MIN: u32 = 8;

impl Store {
    pub(super) async fn check(&self, durability: Durability) -> Result<(), StoreError> {
        let mut connection = self.shared.clone();
        let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
        let info = parse_info(&info);
        check_version(&info)?;
        let doubts = doubts(&info);
        if !doubts.is_empty() {
            let doubts = doubts.join("; ");
            match durability {
                Durability::Refuse => {
                    return Err(StoreError::Unfit(format!(
                        "Redis could lose acknowledged runs: {doubts}. Mend that, or set redis.require_durable = \"warn\""
                    )));
                }
                Durability::Warn => warn!(doubts, "Redis could lose acknowledged runs"),
            }
        }
        self.check_layout().await
    }

    /// The first process writes down how runs are divided; all others must agree.
    async fn check_layout(&self) -> Result<(), StoreError> {
        let key = format!("{}layout", keys::definitions(&self.environment));
        let ours = format!("{LAYOUT}/{}", self.partitions);
        let mut connection = self.shared.clone();
        let mut found: Option<String> = redis::cmd("GET").arg(&key).query_async(&mut connection).await?;
        if found.is_none() {
            // Not done when it is there: a process must be able to start while Redis' memory is full.
            let _: bool = redis::cmd("SETNX").arg(&key).arg(&ours).query_async(&mut connection).await?;
            found = redis::cmd("GET").arg(&key).query_async(&mut connection).await?;
        }
        let found = found.unwrap_or_default();
        if found == ours {
            return Ok(());
        }
        let (layout, partitions) = found.split_once('/').unwrap_or((&found, "?"));
        Err(StoreError::Unfit(format!(
            "environment {:?} in this Redis has layout {layout} with {partitions} partitions; this process wants layout \
             {LAYOUT} with {} (setting redis.partitions): use the same number everywhere",
            self.environment.as_str(),
            self.partitions
        )))
    }
}

fn parse_info(info: &str) -> HashMap<&str, &str> {
    info.lines().filter_map(|line| line.trim().split_once(':')).collect()
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

fn doubts(info: &HashMap<&str, &str>) -> Vec<String> {
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
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_or_forgetful_redis_is_named() {
        let info = "redis_version:6.2.14\r\naof_enabled:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        let info = parse_info(info);
        assert_eq!(
            check_version(&info).unwrap_err().to_string(),
            "Redis 6.2.14 is too old: 7.0 or newer is needed"
        );
        assert_eq!(doubts(&info).len(), 2);
        let valkey = parse_info(
            "redis_version:7.2.4\nvalkey_version:9.1.2\naof_enabled:1\nmaxmemory_policy:noeviction",
        );
        assert!(check_version(&valkey).is_ok());
        assert!(doubts(&valkey).is_empty());
    }
}
