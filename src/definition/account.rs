//! An integrated account: one end customer's connection to an integration.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::id::{AccountId, IntegrationName};
use crate::json::Json;

/// A checked account.
#[derive(Debug, Clone)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// The integration it connects to.
    pub integration: IntegrationName,
    /// The customer it belongs to, in the words of the product that uses us.
    pub tenant_id: Option<String>,
    /// Values for placeholders of the integration and of jobs; a JSON object, not secret.
    pub context: Json,
    /// Secrets, seen by the integration's placeholders alone; never by a job, an event or the API.
    pub credentials: BTreeMap<String, SecretString>,
}
