//! Access tokens of accounts, shared by all workers. One of them renews at a time; what it got counts if nobody else renewed
//! meanwhile, so a token is never replaced by an older one, and none is used before it is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::announcements::Announcement;
use super::{PATIENCE, Store, StoreError};
use crate::clock::Millis;
use crate::id::AccountId;
use crate::json::Json;

/// How long one worker alone may renew: longer than the exchange may take.
pub const RENEWAL_MAX: Duration = Duration::from_secs(60);

/// What is kept of an account's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptToken {
    /// Grows with each renewal; 0 when there was none.
    pub generation: u64,
    /// The tokens, sealed; empty when there are none.
    pub sealed: String,
    /// That the source refused to renew them; none when it didn't.
    pub refused: Option<Refusal>,
}

/// That a source refused to renew an account's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which credentials of the account it was: a fingerprint of them.
    pub of: String,
    /// When.
    pub at: Millis,
    /// In which words.
    pub message: String,
}

/// What came of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed<'a> {
    /// New tokens, sealed.
    Tokens(&'a str),
    /// The source refused.
    Refused(&'a Refusal),
    /// Neither: it may be tried again.
    Failed,
}

/// What became of asking to renew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// Somebody did already.
    Done,
    /// Somebody does, for this long at most.
    Wait(Duration),
    /// The caller may, for [`RENEWAL_MAX`].
    Yours,
}

impl Store {
    /// What is kept of an account's tokens.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn token(&self, account: &AccountId) -> Result<KeptToken, StoreError> {
        let mut get = redis::cmd("HMGET");
        get.arg(format!("{}token:{account}", self.of_account(account)));
        get.arg("generation").arg("sealed").arg("refused");
        let (generation, sealed, refused): (Option<u64>, Option<String>, Option<String>) =
            self.look(&get, PATIENCE).await?;
        Ok(KeptToken {
            generation: generation.unwrap_or_default(),
            sealed: sealed.unwrap_or_default(),
            refused: refused.and_then(|refused| serde_json::from_str(&refused).ok()),
        })
    }

    /// Asks to renew the tokens of `generation`.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn begin_renewal(&self, account: &AccountId, generation: u64) -> Result<Renewal, StoreError> {
        let lease = u64::try_from(RENEWAL_MAX.as_millis()).unwrap_or(u64::MAX);
        let mut call = self.scripts.token_begin.key(self.of_account(account));
        call.arg(account.as_str()).arg(generation).arg(lease);
        let wait: i64 = self.call(&call, PATIENCE).await?;
        Ok(match u64::try_from(wait) {
            Ok(0) => Renewal::Yours,
            Ok(wait) => Renewal::Wait(Duration::from_millis(wait)),
            Err(_) => Renewal::Done,
        })
    }

    /// Keeps what came of renewing those of `generation`. Whether it counts: not when somebody else renewed them meanwhile.
    /// `announcement` is made when an account is refused, or let in again after it was.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn end_renewal(
        &self,
        account: &AccountId,
        generation: u64,
        renewed: Renewed<'_>,
        announcement: &Announcement,
    ) -> Result<bool, StoreError> {
        self.end(account, i64::try_from(generation).unwrap_or(i64::MAX), renewed, announcement).await
    }

    /// Keeps the first tokens that come of a person's consent, whatever there is and whoever renews it.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn replace_tokens(
        &self,
        account: &AccountId,
        sealed: &str,
        announcement: &Announcement,
    ) -> Result<(), StoreError> {
        self.end(account, -1, Renewed::Tokens(sealed), announcement).await.map(drop)
    }

    /// Keeps the same tokens sealed anew, if they are still those that were sealed as `before`.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn seal_tokens_anew(
        &self,
        account: &AccountId,
        before: &str,
        sealed: &str,
    ) -> Result<(), StoreError> {
        let mut call = self.scripts.token_seal.key(self.of_account(account));
        call.arg(account.as_str()).arg(before).arg(sealed);
        self.call::<i64>(&call, PATIENCE).await.map(drop)
    }

    async fn end(
        &self,
        account: &AccountId,
        generation: i64,
        renewed: Renewed<'_>,
        announcement: &Announcement,
    ) -> Result<bool, StoreError> {
        let (sealed, refused) = match renewed {
            Renewed::Tokens(sealed) => (sealed, String::new()),
            Renewed::Refused(refusal) => ("", Json::of(refusal).to_string()),
            Renewed::Failed => ("", String::new()),
        };
        let mut call = self.scripts.token_end.key(self.of_account(account));
        call.arg(account.as_str())
            .arg(generation)
            .arg(sealed)
            .arg(refused)
            .arg(Json::of(announcement).as_str());
        self.call(&call, PATIENCE).await
    }
}
