//! Keys whose holder is gone, and runs whose wait the key's slot knows nothing of: what reconciliation mends and the
//! audit names. A run and its key live in different slots, so each finding is looked at again before it counts.

use std::time::Duration;

use super::{Store, StoreError, Turn};
use crate::id::RunId;

/// Keys looked at by one command.
const BATCH: usize = 200;

impl Store {
    /// Passes keys of this partition's slot on whose holder has ended, in case nobody was told. Returns how many.
    pub(in crate::store) async fn reconcile_locks(&self, partition: u16) -> Result<u64, StoreError> {
        let locks = format!("{}locks", self.partition(partition));
        let (mut cursor, mut mended) = ("0".to_owned(), 0);
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&locks).arg(&cursor).arg("COUNT").arg(BATCH);
            let (next, found): (String, Vec<(String, String)>) = self.look(&scan, super::PATIENCE).await?;
            for (key, lock) in found {
                let turn = lock.split(' ').next().unwrap_or_default();
                // An attempt that is over stays so: nothing can have happened since that makes this wrong.
                if self.is_over(turn, &key).await? == Over::Forgotten {
                    let holder = self.free(&key, turn).await?;
                    self.settle(&key, holder).await?;
                    mended += 1;
                }
            }
            if next == "0" {
                return Ok(mended);
            }
            cursor = next;
        }
    }

    /// Why a turn that holds a key, or stands in its line, should not; `None` when it may.
    pub(in crate::store) async fn wrong_lock(
        &self,
        turn: &str,
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        if self.is_over(turn, key).await? != Over::Forgotten || !self.is_known(turn, key).await? {
            return Ok(None);
        }
        Ok(Some(format!("{turn} has the mutex {key:?} or waits for it, and has ended")))
    }

    /// Why a turn that waits for a key would never get it; `None` when it will.
    pub(in crate::store) async fn wrong_wait(
        &self,
        turn: &str,
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        let Some((run, _)) = Turn::parse_name(turn) else { return Ok(None) };
        let knows = async || {
            Ok::<_, StoreError>(self.has_errand("ask", turn, key).await? || self.is_known(turn, key).await?)
        };
        // Between two looks its errand may have been run, which makes it known: so they are looked for in this order, and twice.
        if knows().await? || !self.still_waits(run).await? || knows().await? {
            return Ok(None);
        }
        Ok(Some(format!("it waits for the mutex {key:?}, whose line does not know it")))
    }

    /// Removes a turn that `wrong_lock` named.
    pub(in crate::store) async fn drop_turn(&self, turn: &str, key: &str) -> Result<(), StoreError> {
        let holder = self.free(key, turn).await?;
        self.settle(key, holder).await
    }

    async fn still_waits(&self, run: RunId) -> Result<bool, StoreError> {
        let mut score = redis::cmd("ZSCORE");
        score.arg(format!("{}keyed", self.of_run(run))).arg(run.to_string());
        let score: Option<f64> = self.look(&score, Duration::ZERO).await?;
        Ok(score.is_some())
    }

    /// Whether the key's slot has the turn, as its holder or in its line.
    async fn is_known(&self, turn: &str, key: &str) -> Result<bool, StoreError> {
        let mut holder = redis::cmd("HGET");
        holder.arg(self.locks(key)).arg(key);
        let holder: Option<String> = self.look(&holder, Duration::ZERO).await?;
        if holder.is_some_and(|holder| holder.split(' ').next() == Some(turn)) {
            return Ok(true);
        }
        let mut score = redis::cmd("ZSCORE");
        score.arg(format!("{}line:{key}", self.of_name(key))).arg(turn);
        let score: Option<f64> = self.look(&score, Duration::ZERO).await?;
        Ok(score.is_some())
    }

    async fn has_errand(&self, what: &str, turn: &str, key: &str) -> Result<bool, StoreError> {
        let Some((run, attempt)) = Turn::parse_name(turn) else { return Ok(false) };
        let mut all = redis::cmd("ZRANGE");
        all.arg(format!("{}errands", self.of_run(run))).arg(0).arg(-1);
        let all: Vec<String> = self.look(&all, Duration::ZERO).await?;
        let (head, tail) = (format!("{what} {run} {attempt} "), format!(" {key}"));
        Ok(all.iter().any(|errand| errand.starts_with(&head) && errand.ends_with(&tail)))
    }

    async fn is_over(&self, turn: &str, key: &str) -> Result<Over, StoreError> {
        let Some((run, attempt)) = Turn::parse_name(turn) else { return Ok(Over::Forgotten) };
        let mut get = redis::cmd("HMGET");
        get.arg(format!("{}run:{run}", self.of_run(run))).arg("place").arg("attempt");
        let (place, now): (Option<String>, Option<u32>) = self.look(&get, Duration::ZERO).await?;
        if place.is_some_and(|place| place != "ended") && now == Some(attempt) {
            return Ok(Over::No);
        }
        Ok(if self.has_errand("free", turn, key).await? { Over::Known } else { Over::Forgotten })
    }
}

/// Whether a run's attempt is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// It is not.
    No,
    /// It is, and somebody is about to say so in the key's slot.
    Known,
    /// It is, and nobody will.
    Forgotten,
}
