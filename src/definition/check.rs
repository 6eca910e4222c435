//! The tools every kind is read with: a value that knows its place, and an object that notices what nobody
//! asked for. Reading goes on after a problem, so that all of them are reported together.
//!
//! A reader returns `None` when it has reported why. No message repeats a value that may be secret.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::document::Document;
use super::origin::{Origin, Part, Path, Position};
use super::problem::{Problem, Problems};
use crate::json::Json;
use crate::nearest::nearest;

mod fields;
mod language;

pub(crate) use fields::Fields;

/// Collects the problems of one document.
pub(crate) struct Checker {
    document: Option<String>,
    origin: Option<Arc<Origin>>,
    problems: RefCell<Vec<Problem>>,
}

impl Checker {
    pub(super) fn new(document: Option<String>, origin: Option<Arc<Origin>>) -> Self {
        Self { document, origin, problems: RefCell::default() }
    }

    /// Reads a document with `read`.
    pub(super) fn run<T>(
        document: &Document,
        read: impl FnOnce(&Spot<'_>) -> Option<T>,
    ) -> Result<T, Problems> {
        let checker = Self::new(Some(document.title()), document.origin.clone());
        let value = read(&Spot { checker: &checker, path: Path::default(), value: &document.body });
        checker.finish(value)
    }

    pub(super) fn add(&self, path: &Path, part: Part, message: &str, hint: Option<&str>) {
        self.problems.borrow_mut().push(self.problem(path, part, message, hint));
    }

    pub(super) fn problem(&self, path: &Path, part: Part, message: &str, hint: Option<&str>) -> Problem {
        let position = self.origin.as_deref().and_then(|origin| origin.locate(&path.pointer, part));
        self.problem_at(path, part, position, message, hint)
    }

    fn problem_at(
        &self,
        path: &Path,
        part: Part,
        position: Option<Position>,
        message: &str,
        hint: Option<&str>,
    ) -> Problem {
        let origin = self.origin.as_deref();
        let source_line = origin.zip(position).and_then(|(origin, position)| origin.line(position, part));
        Problem {
            file: origin.map(|origin| origin.file.clone()),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            document: self.document.clone(),
            path: path.shown.clone(),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
            source_line,
        }
    }

    /// Adds a problem with the byte `at` of the text at `path`; where the file doesn't tell which that is, the message
    /// does.
    fn add_within(&self, path: &Path, text: &str, at: usize, message: &str, hint: Option<&str>) {
        let origin = self.origin.as_deref();
        let problem = match origin.and_then(|origin| origin.locate_within(&path.pointer, text, at)) {
            Some(position) => self.problem_at(path, Part::Value, Some(position), message, hint),
            None => {
                let message = format!("{message} ({} of this text)", place_within(text, at));
                self.problem(path, Part::Value, &message, hint)
            }
        };
        self.problems.borrow_mut().push(problem);
    }

    /// What was read, or everything that was wrong.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Problems> {
        Problems::none_of(self.problems.take())?;
        // A reader that gave up without a word is a mistake of ours, and still no reason to go on.
        read.ok_or_else(|| {
            let (message, hint) = ("this definition could not be read", "please report this as a bug");
            Problems::one(self.problem(&Path::default(), Part::Value, message, Some(hint)))
        })
    }
}

/// Where in a text the byte `at` is, in words.
fn place_within(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let character = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    if text.trim_end().contains('\n') {
        format!("line {}, character {character}", before.matches('\n').count() + 1)
    } else {
        format!("character {character}")
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Spot<'c> {
    checker: &'c Checker,
    path: Path,
    value: &'c Value,
}

impl<'c> Spot<'c> {
    pub(super) fn problem(&self, message: &str, hint: Option<&str>) {
        self.checker.add(&self.path, Part::Value, message, hint);
    }

    /// A problem with the field itself rather than with what it holds.
    pub(super) fn problem_of_key(&self, message: &str, hint: Option<&str>) {
        self.checker.add(&self.path, Part::Key, message, hint);
    }

    /// A problem with something below this value, written or not.
    pub(super) fn problem_at(&self, steps: &[String], message: &str, hint: Option<&str>) {
        let (path, _) = self.below(steps);
        self.checker.add(&path, Part::Value, message, hint);
    }

    /// As [`problem_at`](Self::problem_at), with the first place in the text there where `needle` stands.
    pub(super) fn problem_about(&self, steps: &[String], needle: &str, message: &str, hint: Option<&str>) {
        let (path, value) = self.below(steps);
        let origin = self.checker.origin.as_deref();
        let within = value
            .and_then(Value::as_str)
            .zip(origin)
            .and_then(|(text, origin)| origin.locate_within(&path.pointer, text, text.find(needle)?));
        match within {
            Some(position) => {
                let problem = self.checker.problem_at(&path, Part::Value, Some(position), message, hint);
                self.checker.problems.borrow_mut().push(problem);
            }
            None => self.checker.add(&path, Part::Value, message, hint),
        }
    }

    /// The path of what `steps` lead to, written or not, and its value.
    fn below(&self, steps: &[String]) -> (Path, Option<&'c Value>) {
        let mut path = self.path.clone();
        let mut value = Some(self.value);
        for step in steps {
            let index = value.and_then(Value::as_array).and_then(|_| step.parse::<usize>().ok());
            path = index.map_or_else(|| path.key(step), |index| path.index(index));
            value = value.and_then(|value| match index {
                Some(index) => value.get(index),
                None => value.get(step),
            });
        }
        (path, value)
    }

    /// Something of the model that this version can't do.
    pub(super) fn not_yet(&self, hint: &str) {
        self.problem_of_key("not supported yet", Some(hint));
    }

    pub(super) fn value(&self) -> &'c Value {
        self.value
    }

    fn wrong_type(&self, expected: &str) {
        let (found, quotes) = match self.value {
            Value::Null => ("nothing", false),
            Value::Bool(_) => ("true or false", true),
            Value::Number(_) => ("a number", true),
            Value::String(_) => ("text", false),
            Value::Array(_) => ("a list", false),
            Value::Object(_) => ("an object", false),
        };
        let hint = (quotes && expected == "text").then_some("put it in quotes");
        self.problem(&format!("expected {expected}, found {found}"), hint);
    }

    /// Text, possibly empty.
    pub(super) fn text(&self) -> Option<&'c str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("text");
        }
        text
    }

    /// Text that is not empty.
    pub(super) fn filled(&self) -> Option<&'c str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.problem("this must not be empty", None);
            return None;
        }
        Some(text)
    }

    /// Text, or a whole number or a boolean as people write them where text is meant. A decimal would lose
    /// its trailing zeros.
    pub(super) fn loose_text(&self) -> Option<String> {
        match self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                self.text().map(str::to_owned)
            }
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.wrong_type("true or false");
        }
        value
    }

    /// A whole number in `range`.
    pub(super) fn whole<N>(&self, range: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<u64> + PartialOrd + Display,
    {
        let Some(number) = self.value.as_u64() else {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.wrong_type(&expected);
            return None;
        };
        match N::try_from(number) {
            Ok(value) if range.contains(&value) => Some(value),
            Ok(_) | Err(_) => {
                self.problem(
                    &format!("{number} is out of range: {} to {} is allowed", range.start(), range.end()),
                    None,
                );
                None
            }
        }
    }

    /// A duration with its unit, in `range`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        const HINT: &str = "write a number with its unit: 500ms, 30s, 15m, 24h";
        let Some(text) = self.value.as_str() else {
            self.problem("expected a duration", Some(HINT));
            return None;
        };
        let Ok(duration) = humantime::parse_duration(text) else {
            self.problem(&format!("{text:?} is no duration"), Some(HINT));
            return None;
        };
        if !range.contains(&duration) {
            let (from, to) =
                (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
            self.problem(&format!("{text:?} is out of range: {from} to {to} is allowed"), None);
            return None;
        }
        Some(duration)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.not_one_of(text, &names);
        }
        found
    }

    /// Reports that `word` is none of `known`.
    pub(super) fn not_one_of(&self, word: &str, known: &[&str]) {
        let hint = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("one of {}", known.join(", ")),
        };
        self.problem(&format!("{word:?} is not allowed here"), Some(&hint));
    }

    /// Text that a type of ours understands.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self) -> Option<T> {
        match self.text()?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(&error.to_string(), None);
                None
            }
        }
    }

    /// An object as it is.
    pub(super) fn json_object(&self) -> Option<Json> {
        if !self.value.is_object() {
            self.wrong_type("an object");
            return None;
        }
        Some(Json::of(self.value))
    }

    /// A plain path in a response (`data.items`); `""` and `$` are the whole response.
    pub(super) fn response_path(&self) -> Option<Vec<String>> {
        let text = self.text()?;
        let plain = |step: &str| {
            !step.is_empty()
                && step.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | ':'))
        };
        if text.is_empty() || text == "$" {
            return Some(Vec::new());
        }
        let steps: Vec<String> =
            text.strip_prefix("$.").unwrap_or(text).split('.').map(str::to_owned).collect();
        if !steps.iter().all(|step| plain(step)) {
            self.problem(
                &format!("{text:?} is no plain path, and no expression can stand here"),
                Some("write names parted by dots, such as data.items"),
            );
            return None;
        }
        Some(steps)
    }

    pub(super) fn list(&self) -> Option<Vec<Spot<'c>>> {
        let Some(elements) = self.value.as_array() else {
            self.wrong_type("a list");
            return None;
        };
        let spot = |(index, value)| Spot { checker: self.checker, path: self.path.index(index), value };
        Some(elements.iter().enumerate().map(spot).collect())
    }

    /// The members of an object whose keys are free.
    pub(super) fn entries(&self) -> Option<Vec<(&'c str, Spot<'c>)>> {
        let Some(members) = self.value.as_object() else {
            self.wrong_type("an object");
            return None;
        };
        let spot = |(key, value): (&'c String, &'c Value)| (key.as_str(), self.member(key, value));
        Some(members.iter().map(spot).collect())
    }

    /// The members of an object whose keys are known.
    pub(super) fn fields(&self) -> Option<Fields<'c>> {
        if !self.value.is_object() {
            self.wrong_type("an object");
            return None;
        }
        Some(Fields::new(self.clone()))
    }

    fn member(&self, key: &str, value: &'c Value) -> Spot<'c> {
        Spot { checker: self.checker, path: self.path.key(key), value }
    }
}
