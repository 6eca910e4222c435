//! What a source allows, as its integration declares it: so many requests in a while, for all workers together; and the gates
//! that are closed while a source limits the rate.

use std::time::Duration;

use super::{PATIENCE, Store, StoreError};
use crate::clock::Millis;
use crate::id::{AccountId, IntegrationName, partition_of};

/// How long a gate is remembered after it opened: longer than any request that was sent before it closed.
const GATE_REMEMBERED: Duration = Duration::from_secs(3600);

/// Whom a source counts requests for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted<'a> {
    /// One account.
    Account(&'a AccountId),
    /// All accounts of an integration: the source counts for the application that asks.
    Application(&'a IntegrationName),
}

impl Counted<'_> {
    /// The name under which it is kept. An account's has no colon.
    fn name(self) -> String {
        match self {
            Self::Account(account) => account.to_string(),
            Self::Application(integration) => format!("application:{integration}"),
        }
    }
}

impl Store {
    fn of_counted(&self, whose: Counted<'_>) -> String {
        match whose {
            Counted::Account(account) => self.of_account(account),
            Counted::Application(integration) => {
                self.partition(partition_of(integration.as_str(), self.partitions))
            }
        }
    }

    /// Takes one request out of the budget of so many requests in a time, if there is one. `None` when it may be sent; else
    /// in how long it may be. An application's closed gate is a reason, too; an account's is its runs' business.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn spend(
        &self,
        whose: Counted<'_>,
        budget: Option<(u32, Duration)>,
    ) -> Result<Option<Duration>, StoreError> {
        let (most, per) = budget.unwrap_or((0, Duration::from_secs(1)));
        let per = u64::try_from(per.as_millis()).unwrap_or(u64::MAX);
        let gated = matches!(whose, Counted::Application(_));
        let mut call = self.scripts.spend.key(self.of_counted(whose));
        call.arg(whose.name()).arg(most).arg(per).arg(u8::from(gated));
        let wait: u64 = self.call(&call, PATIENCE).await?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }

    /// Generation of a gate, and when it opens.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn gate(&self, whose: Counted<'_>) -> Result<(u64, Millis), StoreError> {
        let key = format!("{}gate:{}", self.of_counted(whose), whose.name());
        let mut command = redis::cmd("HMGET");
        command.arg(key).arg("generation").arg("opens");
        let (generation, opens): (Option<u64>, Option<i64>) =
            command.query_async(&mut self.shared.clone()).await?;
        Ok((generation.unwrap_or_default(), Millis(opens.unwrap_or_default())))
    }

    /// Closes a gate for `wait`, unless the request was sent under an older generation than the gate's. Returns its
    /// generation and when it opens.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn close_gate(
        &self,
        whose: Counted<'_>,
        seen: u64,
        wait: Duration,
    ) -> Result<(u64, Millis), StoreError> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut call = self.scripts.close_gate.key(self.of_counted(whose));
        call.arg(whose.name()).arg(seen).arg(millis(wait)).arg(millis(GATE_REMEMBERED));
        let (generation, opens): (u64, i64) = self.call(&call, PATIENCE).await?;
        Ok((generation, Millis(opens)))
    }
}
