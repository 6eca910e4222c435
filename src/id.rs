//! Identifiers. A definition's id is a short name its author chose; a run's id is a UUID that
//! says which partition the run lives in, so that any process finds the run's keys without a look-up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The longest id a definition may have: it becomes part of Redis keys and log lines.
pub const ID_CHARS_MAX: usize = 128;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no valid id: use 1 to {ID_CHARS_MAX} letters, digits, '-', '_' or '.'")]
pub struct InvalidId {
    text: String,
}

fn check(text: &str) -> Result<(), InvalidId> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > ID_CHARS_MAX || !text.chars().all(plain) {
        return Err(InvalidId { text: text.chars().take(ID_CHARS_MAX).collect() });
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// An environment: a closed set of definitions and runs. Every Redis key carries it.
    EnvironmentId
);
id!(
    /// An integration's name (`helpdesk`).
    IntegrationName
);
id!(
    /// An integrated account: one end customer's connection to an integration.
    AccountId
);
id!(
    /// A webhook of the customer.
    WebhookId
);
id!(
    /// A sync job: the plan that runs execute.
    JobId
);
id!(
    /// A trigger: a schedule that creates runs.
    TriggerId
);

impl AccountId {
    /// The partition this account, its triggers and all its runs live in.
    ///
    /// `partitions` is fixed when the store is created (see `store::layout`).
    pub fn partition(&self, partitions: u16) -> u16 {
        partition_of(&self.0, partitions)
    }
}

/// The partition of what is kept under a name: an account's, or one of a user's choice.
pub fn partition_of(name: &str, partitions: u16) -> u16 {
    let digest = Sha256::digest(name.as_bytes());
    u16::from_be_bytes([digest[0], digest[1]]) % partitions.max(1)
}

/// One execution of a sync job. A UUID whose last two bytes are its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// A new id in `partition`; ids of later calls sort after earlier ones (UUID version 7).
    pub fn new(partition: u16) -> Self {
        Self::in_partition(Uuid::now_v7(), partition)
    }

    /// The id of the run that `trigger` makes for the slot at `slot_ms` (UTC, epoch milliseconds).
    /// The same slot gives the same id on every scheduler (UUID version 8, from a SHA-256).
    pub fn of_slot(environment: &EnvironmentId, trigger: &TriggerId, slot_ms: i64, partition: u16) -> Self {
        let mut hash = Sha256::new();
        hash.update(format!("slot\n{environment}\n{trigger}\n{slot_ms}"));
        let digest = hash.finalize();
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self::in_partition(uuid::Builder::from_custom_bytes(bytes).into_uuid(), partition)
    }

    fn in_partition(uuid: Uuid, partition: u16) -> Self {
        let mut bytes = *uuid.as_bytes();
        bytes[14..].copy_from_slice(&partition.to_be_bytes());
        Self(Uuid::from_bytes(bytes))
    }

    /// The partition the run lives in.
    pub fn partition(&self) -> u16 {
        let bytes = self.0.as_bytes();
        u16::from_be_bytes([bytes[14], bytes[15]])
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_says_its_partition_and_sorts_by_time() {
        let first = RunId::new(11);
        let second = RunId::new(3);
        assert_eq!((first.partition(), second.partition()), (11, 3));
        assert!(first < second);
        assert_eq!(first.to_string().parse::<RunId>(), Ok(first));
    }

    #[test]
    fn a_slot_has_one_run_id() {
        let environment: EnvironmentId = "default".parse().unwrap();
        let trigger: TriggerId = "nightly".parse().unwrap();
        let id = RunId::of_slot(&environment, &trigger, 1_700_000_000_000, 5);
        assert_eq!(id, RunId::of_slot(&environment, &trigger, 1_700_000_000_000, 5));
        assert_ne!(id, RunId::of_slot(&environment, &trigger, 1_700_000_060_000, 5));
        assert_eq!(id.partition(), 5);
    }

    #[test]
    fn ids_that_could_break_a_key_are_refused() {
        for text in ["", "a b", "a:b", "a{b", "ä", "a*", &"x".repeat(129)] {
            assert!(text.parse::<JobId>().is_err(), "{text:?}");
        }
        assert_eq!("acme_co-1.x".parse::<JobId>().unwrap().as_str(), "acme_co-1.x");
    }
}
