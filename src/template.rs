//! Placeholders: `{{ path[:type][|path2…][?:default] }}` in the plain fields of a definition.
//!
//! A template is parsed once, when its definition is read, and rendered for each request. Rendering works
//! on JSON text ([`crate::json`]), so an id with thirty digits reaches the source's URL digit by digit.
//!
//! The grammar is the one of Truto's placeholders, with one deliberate difference: a placeholder that finds
//! nothing and has neither a default nor a marker is an error ([`RenderError::Unresolved`]). The original
//! leaves the placeholder's text standing, and so sends `{{args.start}}` to the source.
//!
//! - Steps of a path are parted by dots; an array's element is a step (`items.0.id`).
//! - A path may be followed by types: `str` (the default), `int`, `num`, `bool`, `json`, `null`, `any`. A
//!   value that can't become the type stays what it was. Only a placeholder that is the *whole* string gives
//!   something other than a string.
//! - Markers stand where types do: `undefined` (nothing found: the member is left out, or `""` within text),
//!   `null` (nothing found: `null`), `ignore-empty-str` (`""` counts as not found).
//! - The first alternative that finds something wins.
//!
//! This room knows neither definitions nor what the paths mean: it asks a [`Scope`].

use std::fmt;

use crate::json::Json;

mod cast;
mod parse;
mod scope;
mod tree;

pub use parse::TemplateError;
pub use scope::Roots;
pub use tree::{MERGE, Tree, TreeError};

use cast::Type;

/// What a placeholder's path is looked up in.
pub trait Scope {
    /// The value at `path` (`["args", "start_date"]`); `None` when there is none.
    fn lookup(&self, path: &[String]) -> Option<Json>;
}

/// A text with placeholders, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

/// Text, or a placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// One `{{…}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placeholder {
    /// As it was written, braces included.
    source: String,
    alternatives: Vec<Alternative>,
    /// The value after `?:`, already cast.
    default: Option<Json>,
}

/// One path of a placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    path: Vec<String>,
    cast: Type,
    when_missing: WhenMissing,
    ignore_empty: bool,
}

/// What a path that finds nothing gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhenMissing {
    /// The next alternative, the default, or an error.
    Next,
    /// As `Next`, but "undefined" rather than an error.
    Undefined,
    /// `null`, at once.
    Null,
}

/// Why a template can't be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No alternative of the placeholder finds a value.
    #[error(
        "{placeholder} finds no value; give it a default ({{{{…?:default}}}}) or mark it as optional \
         ({{{{…:undefined}}}})"
    )]
    Unresolved {
        /// The placeholder as it was written.
        placeholder: String,
    },
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first thing in `source` that is no placeholder although it begins like one, with its place.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { source: source.to_owned(), parts: parse::parts(source)? })
    }

    /// A template that gives `text` as it stands, whatever is in it.
    pub fn literal(text: &str) -> Self {
        Self { source: text.to_owned(), parts: vec![Part::Text(text.to_owned())] }
    }

    /// A template that is always "undefined".
    pub fn undefined() -> Self {
        let nothing = Placeholder { source: String::new(), alternatives: Vec::new(), default: None };
        Self { source: String::new(), parts: vec![Part::Placeholder(nothing)] }
    }

    /// The template as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether there is no placeholder in it.
    pub fn is_literal(&self) -> bool {
        self.placeholders().next().is_none()
    }

    /// The text between the placeholders; what stands where a placeholder is, is not known.
    pub fn literal_parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Placeholder(_) => None,
        })
    }

    /// Every path that may be looked up, alternatives included, in the order they were written.
    pub fn paths(&self) -> Vec<Vec<String>> {
        self.placeholders()
            .flat_map(|placeholder| &placeholder.alternatives)
            .map(|alternative| alternative.path.clone())
            .collect()
    }

    /// The path, when the whole text is one placeholder with one path and without a default; its types don't matter.
    pub fn whole_path(&self) -> Option<&[String]> {
        match self.parts.as_slice() {
            [Part::Placeholder(Placeholder { alternatives, default: None, .. })] => {
                match alternatives.as_slice() {
                    [only] => Some(&only.path),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The paths without which the template can't be rendered: those of placeholders with neither another
    /// alternative nor a default nor a marker.
    pub fn required_paths(&self) -> Vec<Vec<String>> {
        self.placeholders()
            .filter(|placeholder| placeholder.default.is_none())
            .filter_map(|placeholder| match placeholder.alternatives.as_slice() {
                [only] if only.when_missing == WhenMissing::Next => Some(only.path.clone()),
                _ => None,
            })
            .collect()
    }

    /// The value: of whatever type the placeholder gives when it is the whole text, else a string.
    /// `None` is "undefined".
    ///
    /// # Errors
    /// A placeholder that finds nothing and doesn't say what to do then.
    pub fn render(&self, scope: &dyn Scope) -> Result<Option<Json>, RenderError> {
        match self.parts.as_slice() {
            [Part::Placeholder(whole)] => whole.value(scope),
            _ => self.text(scope).map(|text| Some(Json::string(&text))),
        }
    }

    /// The value as text; "undefined" gives the empty string.
    ///
    /// # Errors
    /// A placeholder that finds nothing and doesn't say what to do then.
    pub fn text(&self, scope: &dyn Scope) -> Result<String, RenderError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Placeholder(placeholder) => {
                    if let Some(value) = placeholder.value(scope)? {
                        text.push_str(&value.to_text());
                    }
                }
            }
        }
        Ok(text)
    }

    fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Placeholder(placeholder) => Some(placeholder),
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Placeholder {
    fn value(&self, scope: &dyn Scope) -> Result<Option<Json>, RenderError> {
        let mut may_be_undefined = self.alternatives.is_empty();
        for alternative in &self.alternatives {
            let found = scope.lookup(&alternative.path);
            match found.filter(|value| !(alternative.ignore_empty && value.as_str() == "\"\"")) {
                Some(value) => return Ok(Some(alternative.cast.apply(value))),
                None => match alternative.when_missing {
                    WhenMissing::Next => {}
                    WhenMissing::Undefined => may_be_undefined = true,
                    WhenMissing::Null => return Ok(Some(Json::null())),
                },
            }
        }
        match &self.default {
            Some(default) => Ok(Some(default.clone())),
            None if may_be_undefined => Ok(None),
            None => Err(RenderError::Unresolved { placeholder: self.source.clone() }),
        }
    }
}

#[cfg(test)]
mod tests;
