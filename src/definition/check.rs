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
use super::origin::{Origin, Part, Path};
use super::problem::{Problem, Problems};
use crate::json::Json;
use crate::nearest::nearest;
use crate::template::{Template, Tree};

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

    fn problem(&self, path: &Path, part: Part, message: &str, hint: Option<&str>) -> Problem {
        let origin = self.origin.as_deref();
        let position = origin.and_then(|origin| origin.locate(&path.pointer, part));
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
        self.checker.add(&path, Part::Value, message, hint);
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

    /// Text with placeholders.
    pub(super) fn template(&self) -> Option<Template> {
        self.template_of(&self.loose_text()?)
    }

    fn template_of(&self, text: &str) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => Some(template),
            Err(error) => {
                let message = format!("{} (character {} of this text)", error.message, error.column);
                self.problem(&message, error.hint.as_deref());
                None
            }
        }
    }

    /// An object whose strings have placeholders.
    pub(super) fn object_tree(&self) -> Option<Tree> {
        match self.value {
            Value::Object(_) => {}
            Value::String(_) => {
                self.problem(
                    "expressions are not supported yet",
                    Some("write an object; its values may have {{…}}"),
                );
                return None;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                self.wrong_type("an object");
                return None;
            }
        }
        let merges = self.refuse_merges(self.value, &mut Vec::new());
        match Tree::from_json(&Json::of(self.value)) {
            Ok(tree) => (!merges).then_some(tree),
            Err(errors) => {
                for found in errors {
                    let error = found.error;
                    let message = format!("{} (character {} of this text)", error.message, error.column);
                    self.problem_at(&found.path, &message, error.hint.as_deref());
                }
                None
            }
        }
    }

    fn refuse_merges(&self, value: &Value, path: &mut Vec<String>) -> bool {
        let mut found = false;
        let children: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Value::Array(elements) => {
                elements.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        for (key, child) in children {
            path.push(key);
            if path.last().is_some_and(|key| key == "$truto_merge") {
                self.problem_at(
                    path,
                    "$truto_merge is not supported yet",
                    Some("write the members themselves"),
                );
                found = true;
            }
            found |= self.refuse_merges(child, path);
            path.pop();
        }
        found
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
                &format!("{text:?} is no plain path; expressions are not supported yet"),
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
        Some(Fields { objects: vec![self.clone()], asked: RefCell::default(), tolerated: RefCell::default() })
    }

    fn member(&self, key: &str, value: &'c Value) -> Spot<'c> {
        Spot { checker: self.checker, path: self.path.key(key), value }
    }
}

/// An object whose keys are known. A field that nobody asked for is a problem.
pub(crate) struct Fields<'c> {
    objects: Vec<Spot<'c>>,
    asked: RefCell<Vec<&'static str>>,
    tolerated: RefCell<Vec<&'static str>>,
}

impl<'c> Fields<'c> {
    /// These fields and those of the object in `wrapper`, which may stand around them or not.
    pub(super) fn unwrapped(mut self, wrapper: &'static str) -> Option<Self> {
        if let Some(inner) = self.get(wrapper) {
            inner.fields()?;
            self.objects.push(inner);
        }
        self.asked.borrow_mut().retain(|name| *name != wrapper);
        self.tolerated.borrow_mut().push(wrapper);
        Some(self)
    }

    /// The field when it is written; `null` counts.
    pub(super) fn written(&self, name: &'static str) -> Option<Spot<'c>> {
        self.asked.borrow_mut().push(name);
        let find = |object: &Spot<'c>| object.value.get(name).map(|value| object.member(name, value));
        let mut found = self.objects.iter().filter_map(find);
        let first = found.next();
        if let Some(second) = found.next() {
            second.problem_of_key("this is written twice, here and around it", Some("keep one of them"));
        }
        first
    }

    /// The field when it is written and not `null`.
    pub(super) fn get(&self, name: &'static str) -> Option<Spot<'c>> {
        self.written(name).filter(|spot| !spot.value.is_null())
    }

    /// The first of several names of one field; more than one is a problem.
    pub(super) fn any_of(&self, names: &[&'static str]) -> Option<Spot<'c>> {
        let mut found = names.iter().filter_map(|name| self.get(name)).collect::<Vec<_>>().into_iter();
        let first = found.next();
        for other in found {
            other.problem_of_key(&format!("only one of {} can be written", names.join(", ")), None);
        }
        first
    }

    /// The field, which must be there.
    pub(super) fn required(&self, name: &'static str) -> Option<Spot<'c>> {
        let found = self.get(name);
        if found.is_none() {
            self.missing(name, None);
        }
        found
    }

    /// Reports that `name` is missing.
    pub(super) fn missing(&self, name: &str, hint: Option<&str>) {
        if let Some(object) = self.objects.first() {
            object.checker.add(&object.path, Part::Value, &format!("{name} is missing"), hint);
        }
    }

    /// What `read` makes of the field; `default` when it is not written.
    pub(super) fn or<T>(
        &self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Spot<'c>) -> Option<T>,
    ) -> Option<T> {
        self.get(name).map_or(Some(default), |spot| read(&spot))
    }

    /// What `read` makes of the field; `Some(None)` when it is not written.
    pub(super) fn maybe<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Spot<'c>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.get(name).map_or(Some(None), |spot| read(&spot).map(Some))
    }

    /// Fields of the model that may be there and mean nothing here.
    pub(super) fn ignore(&self, names: &[&'static str]) {
        self.tolerated.borrow_mut().extend(names);
    }

    /// Fields of the model that would change what happens, and can't yet. `false`, `null` and empty values
    /// ask for nothing.
    pub(super) fn not_yet(&self, names: &[&'static str], hint: &str) {
        self.tolerated.borrow_mut().extend(names);
        for object in &self.objects {
            for name in names {
                if let Some(value) = object.value.get(name).filter(|value| asks_for_something(value)) {
                    object.member(name, value).not_yet(hint);
                }
            }
        }
    }

    /// Reports the fields that nobody asked for.
    pub(super) fn finish(self) {
        let (asked, tolerated) = (self.asked.take(), self.tolerated.take());
        for object in &self.objects {
            for key in object.value.as_object().into_iter().flat_map(|members| members.keys()) {
                if asked.contains(&key.as_str()) || tolerated.contains(&key.as_str()) {
                    continue;
                }
                let hint = match nearest(key, asked.iter().copied()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("the fields here are {}", asked.join(", ")),
                };
                object
                    .member(key, object.value)
                    .problem_of_key(&format!("unknown field {key:?}"), Some(&hint));
            }
        }
    }
}

fn asks_for_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}
