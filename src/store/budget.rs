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

/// What became of a request that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It may be sent.
    Sent {
        /// The gate's generation under which it is sent; 0 where the gate doesn't count.
        generation: u64,
        /// Whether it is one of the few that pass a gate which opened a moment ago.
        passes: bool,
    },
    /// The budget is used up, or the gate is closed, for so long.
    Limited(Duration),
    /// The gate is open, but no more may pass it yet: ask again in so long.
    Held(Duration),
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

    /// Takes one request out of the budget of so many requests in a time, if there is one, and passes the gate if it is
    /// `gated`: an account's own runs are not, as they have passed it when they were admitted.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn spend(
        &self,
        whose: Counted<'_>,
        budget: Option<(u32, Duration)>,
        gated: bool,
    ) -> Result<Spent, StoreError> {
        let (most, per) = budget.unwrap_or((0, Duration::from_secs(1)));
        let per = u64::try_from(per.as_millis()).unwrap_or(u64::MAX);
        let mut call = self.scripts.spend.key(self.of_counted(whose));
        call.arg(whose.name()).arg(most).arg(per).arg(u8::from(gated));
        let (what, number, passes): (String, u64, u8) = self.call(&call, PATIENCE).await?;
        let wait = Duration::from_millis(number);
        match what.as_str() {
            "sent" => Ok(Spent::Sent { generation: number, passes: passes == 1 }),
            "limited" => Ok(Spent::Limited(wait)),
            "held" => Ok(Spent::Held(wait)),
            _ => Err(StoreError::Damaged(format!("spend answered {what:?}"))),
        }
    }

    /// Says that the source answered somebody who passed the gate of this generation: if it was the first one, the others
    /// need not wait for it any longer. Whether it was.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn pass_gate(&self, whose: Counted<'_>, generation: u64) -> Result<bool, StoreError> {
        let mut call = self.scripts.pass_gate.key(self.of_counted(whose));
        call.arg(whose.name()).arg(generation).arg(1);
        self.call(&call, PATIENCE).await
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

    /// Closes a gate for `wait`, unless the request was sent under an older generation than the gate's, open or closed.
    /// Returns its generation and when it opens.
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
