//! What is told to webhooks outside any run: that an account must be connected again, and that it is. Each is kept until every
//! webhook that names it has it, or it is too old; no run waits for it, and it waits for no run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{PATIENCE, Store, StoreError};
use crate::clock::Millis;
use crate::id::WebhookId;
use crate::json::Json;

/// How long whoever took announcements has to deliver them before somebody else may.
const TAKEN_FOR: Duration = Duration::from_secs(300);
/// The most that are taken at once.
const TAKEN_MAX: usize = 10;

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The event's name.
    pub event: String,
    /// When it happened.
    pub at: Millis,
    /// What is told.
    pub payload: Json,
    /// Webhooks that have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<WebhookId>,
    /// How often it was tried.
    #[serde(default)]
    pub tries: u32,
}

impl Store {
    /// What is due in a partition, each with its id. Nobody else gets them for a while.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn take_announcements(
        &self,
        partition: u16,
    ) -> Result<Vec<(String, Announcement)>, StoreError> {
        let taken_for = u64::try_from(TAKEN_FOR.as_millis()).unwrap_or(u64::MAX);
        let mut call = self.scripts.announce_take.key(self.partition(partition));
        call.arg(taken_for).arg(TAKEN_MAX);
        let found: Vec<String> = self.call(&call, PATIENCE).await?;
        let mut announcements = Vec::new();
        for pair in found.chunks_exact(2) {
            match serde_json::from_str(&pair[1]) {
                Ok(announcement) => announcements.push((pair[0].clone(), announcement)),
                // Nobody could ever tell it.
                Err(_) => self.end_announcement(partition, &pair[0], None).await?,
            }
        }
        Ok(announcements)
    }

    /// Says what became of it: over, or what it is now and in how long it comes again.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn end_announcement(
        &self,
        partition: u16,
        id: &str,
        again: Option<(&Announcement, Duration)>,
    ) -> Result<(), StoreError> {
        let mut call = self.scripts.announce_end.key(self.partition(partition));
        call.arg(id);
        match again {
            None => call.arg("").arg(0),
            Some((announcement, wait)) => {
                call.arg(Json::of(announcement).as_str());
                call.arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
            }
        };
        self.call::<i64>(&call, PATIENCE).await.map(drop)
    }
}
