//! Members of a stored object that this version does not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a later version wrote into a stored object beside the members known here. It is written back as it was, so
/// that a run passes through workers of both versions during an upgrade, and back, without losing anything.
///
/// Stands as the last member of a durable type, with `#[serde(flatten)]`. Whole numbers keep their value up to 64
/// bits and others that of an `f64`: whoever adds a member that needs more writes it as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unknown(BTreeMap<String, Value>);

impl Unknown {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
