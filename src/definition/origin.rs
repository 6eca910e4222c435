//! Where a document stands in a file: the place of each of its values, and which lines may be shown.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

mod within;

/// A file's document: where each value is, by JSON pointer.
pub(crate) struct Origin {
    /// The file's name as the caller gave it.
    pub(super) file: String,
    /// The lines of the file.
    pub(super) lines: Vec<String>,
    /// Where each value is.
    pub(super) places: HashMap<String, Place>,
    /// Lines that hold secrets and are never shown.
    pub(super) withheld: Vec<RangeInclusive<u64>>,
}

/// A line and a character in it, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// Where a member is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Its key; elements of arrays have none.
    pub(super) key: Option<Position>,
    /// Its value.
    pub(super) value: Position,
}

/// Which part of a member a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Value,
}

impl Origin {
    /// Where the member at `pointer` is; where the nearest thing around it is, when it isn't written.
    pub(super) fn locate(&self, pointer: &str, part: Part) -> Option<Position> {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return Some(match part {
                    Part::Key => place.key.unwrap_or(place.value),
                    Part::Value => place.value,
                });
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }

    /// Where the byte `at` of the text at `pointer` is; `None` when the file doesn't spell the text in a way that tells.
    pub(super) fn locate_within(&self, pointer: &str, text: &str, at: usize) -> Option<Position> {
        within::position(&self.lines, self.places.get(pointer)?.value, text, at)
    }

    /// The line at `position`, unless it holds a secret. Of a line with a problematic key nothing behind the
    /// key is shown: nobody knows what an unknown field holds.
    pub(super) fn line(&self, position: Position, part: Part) -> Option<String> {
        if self.withheld.iter().any(|lines| lines.contains(&position.line)) {
            return None;
        }
        let line = self.lines.get(usize::try_from(position.line).ok()?.checked_sub(1)?)?;
        match part {
            Part::Value => Some(line.clone()),
            Part::Key => {
                let column = usize::try_from(position.column).ok()?;
                let (start, _) = line.char_indices().nth(column.saturating_sub(1))?;
                let end = line[start..].find(':').map_or(line.len(), |colon| start + colon + 1);
                Some(line[..end].to_owned())
            }
        }
    }
}

impl fmt::Debug for Origin {
    /// The file's name alone: its text may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("file", &self.file).finish_non_exhaustive()
    }
}

/// A member's path, as a JSON pointer for machines and as people write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Path {
    pub(super) pointer: String,
    pub(super) shown: String,
}

impl Path {
    /// The path that is shown as `text`. A key that holds a dot itself is taken for two, and the place of what is
    /// around it is found instead.
    pub(super) fn shown_as(text: &str) -> Self {
        let steps =
            text.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty());
        let path = steps.fold(Self::default(), |path, step| path.key(step));
        Self { shown: text.to_owned(), ..path }
    }

    /// The path of the member `key`.
    pub(super) fn key(&self, key: &str) -> Self {
        let escaped = key.replace('~', "~0").replace('/', "~1");
        let dot = if self.shown.is_empty() { "" } else { "." };
        Self { pointer: format!("{}/{escaped}", self.pointer), shown: format!("{}{dot}{key}", self.shown) }
    }

    /// The path of the element at `index`.
    pub(super) fn index(&self, index: usize) -> Self {
        Self { pointer: format!("{}/{index}", self.pointer), shown: format!("{}[{index}]", self.shown) }
    }
}
