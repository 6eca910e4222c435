//! A scope made of named values, as every caller needs one.

use super::Scope;
use crate::json::Json;

/// Values by the first step of a path (`args`, `resources`), and objects whose members are found without
/// any prefix (an account's context). A name wins over a bare member.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    named: Vec<(String, Json)>,
    bare: Vec<Json>,
}

impl Roots {
    /// A scope in which nothing is found.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `{{name…}}` find `value` and what is in it; a later value of the same name wins.
    #[must_use]
    pub fn with(mut self, name: &str, value: Json) -> Self {
        self.named.push((name.to_owned(), value));
        self
    }

    /// Lets `{{member…}}` find the members of `object`; an earlier object wins.
    #[must_use]
    pub fn bare(mut self, object: Json) -> Self {
        self.bare.push(object);
        self
    }
}

impl Scope for Roots {
    fn lookup(&self, path: &[String]) -> Option<Json> {
        let (root, rest) = path.split_first()?;
        match self.named.iter().rev().find(|(name, _)| name == root) {
            Some((_, value)) => value.get(rest),
            None => self.bare.iter().find_map(|object| object.get(path)),
        }
    }
}
