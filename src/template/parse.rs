//! From text to parts.

use std::fmt;

use super::{Alternative, Part, Placeholder, Type, WhenMissing};
use crate::json::Json;
use crate::nearest::nearest;

const TYPES: [&str; 9] =
    ["str", "int", "num", "bool", "json", "null", "any", "undefined", "ignore-empty-str"];

/// What is wrong in a template, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The character at which it goes wrong, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (character {})", self.message, self.column)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TemplateError {}

/// The parts of `source`; text that has no placeholder is one part, the empty text none.
pub(super) fn parts(source: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = Slice { text: source, column: 1 };
    while let Some((before, from_braces)) = rest.split_at_find("{{") {
        if !before.text.is_empty() {
            parts.push(Part::Text(before.text.to_owned()));
        }
        let Some((inner, after)) = from_braces.skip(2).split_at_find("}}") else {
            return Err(from_braces.error("this placeholder is not closed", Some("end it with }}")));
        };
        parts.push(Part::Placeholder(placeholder(inner)?));
        rest = after.skip(2);
    }
    if !rest.text.is_empty() {
        parts.push(Part::Text(rest.text.to_owned()));
    }
    Ok(parts)
}

/// What stands between the braces.
fn placeholder(inner: Slice<'_>) -> Result<Placeholder, TemplateError> {
    let (paths, default) = match inner.split_at_find("?:") {
        Some((paths, default)) => (paths, Some(parse_default(default.skip(2))?)),
        None => (inner, None),
    };
    check_characters(paths)?;
    let alternatives = paths.split('|').map(alternative).collect::<Result<Vec<_>, _>>()?;
    Ok(Placeholder { source: format!("{{{{{}}}}}", inner.text), alternatives, default })
}

fn check_characters(paths: Slice<'_>) -> Result<(), TemplateError> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '|' | ':' | ' ');
    let Some((index, bad)) = paths.text.char_indices().find(|(_, c)| !allowed(*c)) else {
        return Ok(());
    };
    let hint = match bad {
        '[' | ']' => Some("an array's element is a step of the path: {{items.0.id}}"),
        '?' => Some("a default begins with ?: as in {{args.limit?:100}}"),
        '(' | ')' | '$' | '&' | '=' => {
            Some("expressions can't be used here, only a path such as {{args.start}}")
        }
        _ => Some("a path is made of letters, digits, '_', '-', '/' and dots"),
    };
    Err(paths.skip(index).error(&format!("{bad:?} can't stand in a placeholder"), hint))
}

/// `path[:type]…`.
fn alternative(slice: Slice<'_>) -> Result<Alternative, TemplateError> {
    let mut pieces = slice.split(':');
    let path = pieces.next().unwrap_or(slice).trim();
    let mut found = Alternative {
        path: path.text.split('.').map(str::to_owned).collect(),
        cast: Type::Str,
        when_missing: WhenMissing::Next,
        ignore_empty: false,
    };
    if found.path.iter().any(String::is_empty) {
        let message = if path.text.is_empty() { "a path is missing" } else { "a step of this path is empty" };
        return Err(path.error(message, Some("write a path such as {{args.start}}")));
    }
    let mut cast = None;
    for piece in pieces {
        let piece = piece.trim();
        match piece.text {
            "undefined" => found.when_missing = WhenMissing::Undefined,
            "ignore-empty-str" => found.ignore_empty = true,
            name => {
                let kind = name.parse().map_err(|()| unknown_type(piece))?;
                if kind == Type::Null {
                    found.when_missing = WhenMissing::Null;
                }
                cast = cast.or(Some(kind));
            }
        }
    }
    found.cast = cast.unwrap_or(Type::Str);
    Ok(found)
}

/// `default[:type]`. Dates hold colons, so what follows the last one is a type only when it looks like one.
fn parse_default(slice: Slice<'_>) -> Result<Json, TemplateError> {
    let looks_like_type = |text: &str| {
        let text = text.trim();
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    };
    let Some((value, name)) = slice.split_last(':').filter(|(_, name)| looks_like_type(name.text)) else {
        return Ok(Json::string(slice.trim().text));
    };
    let name = name.trim();
    let cast: Type = name.text.parse().map_err(|()| unknown_type(name))?;
    Ok(cast.apply(Json::string(value.trim().text)))
}

fn unknown_type(slice: Slice<'_>) -> TemplateError {
    let hint = match nearest(slice.text, TYPES) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the types are {}", TYPES.join(", ")),
    };
    slice.error(&format!("{:?} is no type", slice.text), Some(&hint))
}

/// A piece of the source that knows where it stands.
#[derive(Clone, Copy)]
struct Slice<'s> {
    text: &'s str,
    column: usize,
}

impl<'s> Slice<'s> {
    fn error(self, message: &str, hint: Option<&str>) -> TemplateError {
        TemplateError { column: self.column, message: message.to_owned(), hint: hint.map(str::to_owned) }
    }

    fn skip(self, bytes: usize) -> Self {
        let (skipped, text) = self.text.split_at(bytes);
        Self { text, column: self.column + skipped.chars().count() }
    }

    /// What stands before the first `needle`, and what begins with it.
    fn split_at_find(self, needle: &str) -> Option<(Self, Self)> {
        let index = self.text.find(needle)?;
        Some((Self { text: &self.text[..index], ..self }, self.skip(index)))
    }

    fn split_last(self, separator: char) -> Option<(Self, Self)> {
        let index = self.text.rfind(separator)?;
        Some((Self { text: &self.text[..index], ..self }, self.skip(index + separator.len_utf8())))
    }

    fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut next = 0;
        self.text.split(separator).map(move |piece| {
            let here = Self { text: piece, column: self.skip(next).column };
            next += piece.len() + separator.len_utf8();
            here
        })
    }

    fn trim(self) -> Self {
        let leading = self.text.len() - self.text.trim_start().len();
        let trimmed = self.skip(leading);
        Self { text: trimmed.text.trim_end(), ..trimmed }
    }
}
