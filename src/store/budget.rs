//! What a source allows an account, as its integration declares it: so many requests in a while, for all workers together.

use std::time::Duration;

use super::{PATIENCE, Store, StoreError};
use crate::id::AccountId;

impl Store {
    /// Takes one request out of the budget of `most` requests in `per`. `None` when there was one; else in how long there
    /// will be.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn spend(
        &self,
        account: &AccountId,
        most: u32,
        per: Duration,
    ) -> Result<Option<Duration>, StoreError> {
        let per = u64::try_from(per.as_millis()).unwrap_or(u64::MAX);
        let mut call = self.scripts.spend.key(self.of_account(account));
        call.arg(account.as_str()).arg(most).arg(per);
        let wait: u64 = self.call(&call, PATIENCE).await?;
        Ok((wait > 0).then(|| Duration::from_millis(wait)))
    }
}
