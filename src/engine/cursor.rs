//! Where in a list a run is, as its pagination says it.

use serde::{Deserialize, Serialize};

/// Which page of a list. Meaningful only to the pagination that made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Cursor {
    /// The first page.
    #[default]
    Start,
    /// The page this token stands for.
    Token(String),
    /// The page at this address.
    Link(String),
    /// The page of this number.
    Page(u64),
    /// The page from this offset on.
    Offset(u64),
}

impl Cursor {
    /// Whether this is the first page.
    pub fn is_start(&self) -> bool {
        *self == Cursor::Start
    }
}
