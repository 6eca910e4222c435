//! An integrated account: one end customer's connection to an integration.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use super::check::{Checker, Spot};
use super::document::Document;
use super::problem::Problems;
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
    /// What it changes of its integration's mappings to unified models: model → resource → method.
    pub unified_override: Option<Json>,
}

impl Account {
    /// The account that `document` describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_document(document: &Document) -> Result<Self, Problems> {
        Checker::run(document, read)
    }
}

fn read(root: &Spot<'_>) -> Option<Account> {
    let fields = root.fields()?;
    fields.ignore(super::BOOKKEEPING);
    fields.ignore(&["label", "description", "status", "authentication_method", "is_sandbox", "scopes"]);
    fields.ignore(&["environment_integration_id", "last_error", "last_action_result", "region"]);
    fields.not_yet(
        &["integration_override", "object_store_context_fields"],
        "leave it out; change the integration instead",
    );
    let id = fields.required("id").and_then(|spot| spot.parsed());
    let integration = fields.any_of(&["integration", "integration_name"]);
    if integration.is_none() {
        fields.missing("integration", Some("the name of the integration this account connects to"));
    }
    let integration = integration.and_then(|spot| spot.parsed());
    let tenant_id = fields.maybe("tenant_id", |spot| spot.loose_text());
    let context = fields.or("context", Json::empty_object(), Spot::json_object);
    let credentials = fields.or("credentials", BTreeMap::new(), credentials);
    let unified_override = fields.maybe("unified_model_override", Spot::json_object);
    fields.finish();
    Some(Account {
        id: id?,
        integration: integration?,
        tenant_id: tenant_id?,
        context: context?,
        credentials: credentials?,
        unified_override: unified_override?,
    })
}

/// Flat, and text only: YAML would turn `1.10` into `1.1` and nobody would find out why the source says no.
fn credentials(spot: &Spot<'_>) -> Option<BTreeMap<String, SecretString>> {
    let read = |(name, spot): (&str, Spot<'_>)| match spot.value() {
        Value::Object(_) | Value::Array(_) => {
            spot.problem(
                "credentials are flat",
                Some("write name: value, and refer to it as {{credentials.name}}"),
            );
            None
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Some((name.to_owned(), SecretString::from(spot.text()?)))
        }
    };
    let read: Vec<Option<_>> = spot.entries()?.into_iter().map(read).collect();
    read.into_iter().collect()
}
