//! What jobs remember of records, from run to run: which were seen and with what content, and up to where a list was
//! read. Written by the same script as the position that passes the records, in the partition of their account.

use std::time::Duration;

use redis::{FromRedisValue, ScriptInvocation};

use super::{PATIENCE, Store, StoreError};
use crate::id::AccountId;
use crate::json::Json;

/// The most marks that one save may carry, and the most records that one question may be about: a page's records, with
/// room for what stands beside them.
pub const MARKS_MAX: usize = 12_000;
/// Sets that one call forgets of an account that was deleted.
const SETS_FORGOTTEN: usize = 100;

/// One thing to remember. A set belongs to the account of the run that writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark<'a> {
    /// A record was seen, with this content.
    Seen {
        /// The set.
        set: &'a str,
        /// The record's id.
        id: &'a str,
        /// Digest of its content.
        digest: &'a str,
        /// Its place in the set's order; exact up to 2^53.
        order: i64,
    },
    /// A record is forgotten.
    Gone {
        /// The set.
        set: &'a str,
        /// The record's id.
        id: &'a str,
    },
    /// All records before this place are forgotten.
    Trim {
        /// The set.
        set: &'a str,
        /// What stays has at least this order.
        from: i64,
    },
    /// Up to where a list was read.
    Watermark {
        /// The set.
        set: &'a str,
        /// Any JSON value.
        value: &'a Json,
    },
}

impl Mark<'_> {
    /// Its letter in the script, and its set. What has the same may be written together.
    fn head(&self) -> (&'static str, &str) {
        match self {
            Self::Seen { set, .. } => ("s", set),
            Self::Gone { set, .. } => ("g", set),
            Self::Trim { set, .. } => ("t", set),
            Self::Watermark { set, .. } => ("w", set),
        }
    }

    fn is_listed(&self) -> bool {
        matches!(self, Self::Seen { .. } | Self::Gone { .. })
    }
}

/// Adds marks to the arguments of a script that writes.
pub(super) fn add(call: &mut ScriptInvocation<'_>, marks: &[Mark<'_>]) -> Result<(), StoreError> {
    if marks.len() > MARKS_MAX {
        let count = marks.len();
        return Err(StoreError::Unfit(format!("a save with {count} marks; {MARKS_MAX} are the most")));
    }
    let groups: Vec<&[Mark<'_>]> =
        marks.chunk_by(|one, other| one.is_listed() && one.head() == other.head()).collect();
    call.arg(groups.len());
    for group in groups {
        let Some(first) = group.first() else { continue };
        let (letter, set) = first.head();
        call.arg(letter).arg(set);
        if first.is_listed() {
            call.arg(group.len());
        }
        for mark in group {
            match mark {
                Mark::Seen { id, digest, order, .. } => call.arg(*id).arg(*digest).arg(*order),
                Mark::Gone { id, .. } => call.arg(*id),
                Mark::Trim { from, .. } => call.arg(*from),
                Mark::Watermark { value, .. } => call.arg(value.as_str()),
            };
        }
    }
    Ok(())
}

impl Store {
    /// The digests of these records, for each that is in the set.
    ///
    /// # Errors
    /// When Redis can't be reached for as long as `patience`.
    pub async fn known(
        &self,
        account: &AccountId,
        set: &str,
        ids: &[String],
        patience: Duration,
    ) -> Result<Vec<Option<String>>, StoreError> {
        if ids.len() > MARKS_MAX {
            let count = ids.len();
            return Err(StoreError::Unfit(format!(
                "a question about {count} records; {MARKS_MAX} are the most"
            )));
        }
        let add = |call: &mut ScriptInvocation<'_>| {
            call.arg("known").arg(ids);
        };
        self.recall(account, set, patience, add).await
    }

    /// The ids of the first records that come before `order`: at most `most`, and never more than [`MARKS_MAX`].
    ///
    /// # Errors
    /// When Redis can't be reached for as long as `patience`.
    pub async fn seen_before(
        &self,
        account: &AccountId,
        set: &str,
        order: i64,
        most: usize,
        patience: Duration,
    ) -> Result<Vec<String>, StoreError> {
        let add = |call: &mut ScriptInvocation<'_>| {
            call.arg("before").arg(order).arg(most.min(MARKS_MAX));
        };
        self.recall(account, set, patience, add).await
    }

    /// How many records a set has.
    ///
    /// # Errors
    /// When Redis can't be reached for as long as `patience`.
    pub async fn set_size(
        &self,
        account: &AccountId,
        set: &str,
        patience: Duration,
    ) -> Result<u64, StoreError> {
        let add = |call: &mut ScriptInvocation<'_>| {
            call.arg("size");
        };
        self.recall(account, set, patience, add).await
    }

    /// Up to where a list was read.
    ///
    /// # Errors
    /// When Redis can't be reached for as long as `patience`, or what it holds can't be read.
    pub async fn read_to(
        &self,
        account: &AccountId,
        set: &str,
        patience: Duration,
    ) -> Result<Option<Json>, StoreError> {
        let add = |call: &mut ScriptInvocation<'_>| {
            call.arg("read_to");
        };
        let found: Option<String> = self.recall(account, set, patience, add).await?;
        let damaged = |error| StoreError::Damaged(format!("the watermark of set {set:?}: {error}"));
        found.map(|text| Json::parse(&text).map_err(damaged)).transpose()
    }

    async fn recall<T: FromRedisValue>(
        &self,
        account: &AccountId,
        set: &str,
        patience: Duration,
        add: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T, StoreError> {
        let mut call = self.scripts.recall.key(self.partition(account.partition(self.partitions)));
        call.arg(account.as_str()).arg(set);
        add(&mut call);
        self.call(&call, patience).await
    }

    /// Forgets what is kept of an account that was deleted: how far its jobs had read, and what they remember of its
    /// records.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn forget_account(&self, account: &AccountId) -> Result<(), StoreError> {
        loop {
            let prefix = self.partition(account.partition(self.partitions));
            let mut call = self.scripts.forget_account.key(prefix);
            call.arg(account.as_str()).arg(SETS_FORGOTTEN);
            if self.call::<u8>(&call, PATIENCE).await? == 0 {
                return Ok(());
            }
        }
    }
}
