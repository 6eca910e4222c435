//! Whether Redis takes new writes. It may answer every question and refuse them: its memory is full, its disk fails, it
//! has too few replicas, or is one itself.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::{Store, StoreError, keys};
use crate::clock;

/// How long an answer stands, however many ask.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// How long what was written is kept: nobody reads it.
const KEPT_MS: u64 = 60_000;

/// What the last look found, and when.
#[derive(Debug, Default)]
pub(super) struct Writable(Mutex<Option<(Instant, Result<(), StoreError>)>>);

impl Store {
    /// Tries a write under a key of its own; in a cluster at the primary that has the definitions.
    ///
    /// # Errors
    /// Why it was refused, or that Redis can't be reached.
    pub async fn takes_writes(&self) -> Result<(), StoreError> {
        let mut known = self.writable.0.lock().await;
        if let Some((at, answer)) = &*known
            && at.elapsed() < KNOWN_FOR
        {
            return answer.clone();
        }
        let answer = self.write_something().await;
        *known = Some((clock::monotonic(), answer.clone()));
        answer
    }

    async fn write_something(&self) -> Result<(), StoreError> {
        let mut write = redis::cmd("SET");
        write.arg(format!("{}writable", keys::definitions(&self.environment)));
        write.arg(1).arg("PX").arg(KEPT_MS);
        Ok(write.query_async(&mut self.shared.clone()).await?)
    }
}
