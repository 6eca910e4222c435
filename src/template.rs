//! Placeholders: `{{ path[:type][|path2…][?:default] }}` in the plain fields of a definition.
//!
//! A template is parsed once, when its definition is read, and rendered for each request. Rendering works
//! on JSON text ([`crate::json`]), so an id with thirty digits reaches the source's URL digit by digit.

use crate::json::Json;

/// What a placeholder's path is looked up in.
pub trait Scope {
    /// The value at `path` (`["args", "start_date"]`); `None` when there is none.
    fn lookup(&self, path: &[String]) -> Option<Json>;
}

/// A text with placeholders, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
}

/// A JSON value whose strings are templates: the query or the body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// A string.
    Text(Template),
    /// A value without placeholders.
    Literal(Json),
    /// An object, in the order it was written.
    Object(Vec<(String, Tree)>),
    /// An array.
    Array(Vec<Tree>),
}

/// Why a template could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// x
    #[error("placeholder {placeholder:?} has no value")]
    Unresolved {
        /// x
        placeholder: String
    },
}
impl Template {
    /// x
    pub fn text(&self, _scope: &dyn Scope) -> Result<String, RenderError> { Ok(self.source.clone()) }
    /// x
    pub fn paths(&self) -> Vec<Vec<String>> { vec![] }
}
impl Tree {
    /// x
    pub fn render(&self, _scope: &dyn Scope) -> Result<Option<Json>, RenderError> { Ok(None) }
    /// x
    pub fn paths(&self) -> Vec<Vec<String>> { vec![] }
}
