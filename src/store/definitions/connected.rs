//! The integration of an account as it is executed: the one that was applied, or with its mappings as the environment and the
//! account change them, kept under the address of its content like any other.

use serde_json::Value;

use super::Definitions;
use crate::clock::Millis;
use crate::definition::unified::layered;
use crate::definition::{Account, Document, Integration, Kind, Problems};
use crate::store::StoreError;

/// The integration of an account, as it is executed.
#[derive(Debug, Clone)]
pub struct Connected {
    /// The integration.
    pub document: Document,
    /// Its address, when it is the one that was applied.
    revision: Option<String>,
}

impl Connected {
    /// The integration, if the environment or the account changes it: nobody has checked that yet as a whole.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn laid(&self) -> Result<Option<Integration>, Problems> {
        match self.revision {
            Some(_) => Ok(None),
            None => Integration::from_document(&self.document).map(Some),
        }
    }
}

impl Definitions {
    /// The integration of `account`, with its mappings as the environment and the account change them.
    ///
    /// # Errors
    /// When Redis can't be reached, or what it holds can't be read.
    pub async fn integration_of(&self, account: &Account) -> Result<Option<Connected>, StoreError> {
        let name = account.integration.as_str();
        let Some(record) = self.record(Kind::Integration, name).await? else { return Ok(None) };
        let document = self.open(Kind::Integration, name, &record)?;
        let changes = account.unified_override.as_ref();
        let changes: Option<Value> = changes.and_then(|changes| serde_json::from_str(changes.as_str()).ok());
        let models = self.models().await?;
        Ok(Some(match layered(&document, &models, changes.as_ref()) {
            None => Connected { document, revision: Some(record.revision) },
            Some(laid) => Connected { document: laid, revision: None },
        }))
    }

    /// The address of what [`integration_of`](Self::integration_of) gave, under which it is kept for a run.
    ///
    /// # Errors
    /// When Redis can't be written.
    pub async fn revision_of(&self, connected: &Connected) -> Result<String, StoreError> {
        match &connected.revision {
            Some(revision) => Ok(revision.clone()),
            None => self.keep(&connected.document).await,
        }
    }

    /// The address of what [`integration_of`](Self::integration_of) gave, kept or not.
    ///
    /// # Errors
    /// When it can't be told.
    pub fn address_of(&self, connected: &Connected) -> Result<String, StoreError> {
        match &connected.revision {
            Some(revision) => Ok(revision.clone()),
            None => Ok(self.seal(&connected.document, Millis(0), Millis(0))?.revision),
        }
    }

    /// The environment's own unified models.
    ///
    /// # Errors
    /// When Redis can't be reached, or what it holds can't be read.
    pub async fn models(&self) -> Result<Vec<Document>, StoreError> {
        self.all(Kind::UnifiedModel).await
    }
}
