//! How runs are divided. The first process over an empty Redis writes it down, and all others must agree: with another
//! number of partitions they would look for runs where there are none. Redis may be emptied, or put back to what it was,
//! under processes that live, so they go on looking.

use std::time::Duration;

use tracing::warn;

use super::{Store, StoreError, keys};

/// The layout of keys and hashes this version reads and writes.
const LAYOUT: u32 = 1;

/// How often a process that lives looks whether what is written down is still its own.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a look found.
enum Found {
    /// What this process works with.
    Ours,
    /// Nothing, so it wrote its own down.
    Nothing,
    /// What it can't work with.
    Another(StoreError),
}

impl Store {
    pub(super) async fn check_layout(&self) -> Result<(), StoreError> {
        match self.look_at_layout().await? {
            Found::Ours | Found::Nothing => Ok(()),
            Found::Another(error) => Err(error),
        }
    }

    /// Looks from time to time, and writes the layout down again when it is gone. Ends when there is another one: this
    /// process must stop then, and the error says why.
    pub async fn layout_changes(&self) -> StoreError {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let look = async {
                self.outage.turn(Duration::ZERO).await?;
                self.look_at_layout().await
            };
            match look.await {
                Ok(Found::Ours) => {}
                Ok(Found::Nothing) => {
                    warn!(
                        "Redis was emptied while this process lived: how runs are divided is written down again"
                    );
                }
                Ok(Found::Another(error)) => return error,
                Err(error) => error.report("the layout was not looked at"),
            }
        }
    }

    async fn look_at_layout(&self) -> Result<Found, StoreError> {
        let key = format!("{}layout", keys::definitions(&self.environment));
        let ours = format!("{LAYOUT}/{}", self.partitions);
        let mut connection = self.shared.clone();
        let mut found: Option<String> = redis::cmd("GET").arg(&key).query_async(&mut connection).await?;
        let was_there = found.is_some();
        if !was_there {
            // Not done when it is there: a process must be able to start while Redis' memory is full.
            let _: bool = redis::cmd("SETNX").arg(&key).arg(&ours).query_async(&mut connection).await?;
            found = redis::cmd("GET").arg(&key).query_async(&mut connection).await?;
        }
        let found = found.unwrap_or_default();
        if found == ours {
            return Ok(if was_there { Found::Ours } else { Found::Nothing });
        }
        let (layout, partitions) = found.split_once('/').unwrap_or((&found, "?"));
        Ok(Found::Another(StoreError::Unfit(format!(
            "environment {:?} in this Redis has layout {layout} with {partitions} partitions; this process wants layout \
             {LAYOUT} with {} (setting redis.partitions): use the same number everywhere",
            self.environment.as_str(),
            self.partitions
        ))))
    }
}
