//! An object whose keys are known, and who asked for which.

use std::cell::RefCell;

use serde_json::Value;

use super::{Part, Spot};
use crate::nearest::nearest;

/// An object whose keys are known. A field that nobody asked for is a problem.
pub(crate) struct Fields<'c> {
    objects: Vec<Spot<'c>>,
    asked: RefCell<Vec<&'static str>>,
    tolerated: RefCell<Vec<&'static str>>,
}

impl<'c> Fields<'c> {
    pub(super) fn new(object: Spot<'c>) -> Self {
        Self { objects: vec![object], asked: RefCell::default(), tolerated: RefCell::default() }
    }

    /// These fields and those of the object in `wrapper`, which may stand around them or not.
    pub(in crate::definition) fn unwrapped(mut self, wrapper: &'static str) -> Option<Self> {
        if let Some(inner) = self.get(wrapper) {
            inner.fields()?;
            self.objects.push(inner);
        }
        self.asked.borrow_mut().retain(|name| *name != wrapper);
        self.tolerated.borrow_mut().push(wrapper);
        Some(self)
    }

    /// The field when it is written; `null` counts.
    pub(in crate::definition) fn written(&self, name: &'static str) -> Option<Spot<'c>> {
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
    pub(in crate::definition) fn get(&self, name: &'static str) -> Option<Spot<'c>> {
        self.written(name).filter(|spot| !spot.value.is_null())
    }

    /// The first of several names of one field; more than one is a problem.
    pub(in crate::definition) fn any_of(&self, names: &[&'static str]) -> Option<Spot<'c>> {
        let mut found = names.iter().filter_map(|name| self.get(name)).collect::<Vec<_>>().into_iter();
        let first = found.next();
        for other in found {
            other.problem_of_key(&format!("only one of {} can be written", names.join(", ")), None);
        }
        first
    }

    /// The field, which must be there.
    pub(in crate::definition) fn required(&self, name: &'static str) -> Option<Spot<'c>> {
        let found = self.get(name);
        if found.is_none() {
            self.missing(name, None);
        }
        found
    }

    /// Reports that `name` is missing.
    pub(in crate::definition) fn missing(&self, name: &str, hint: Option<&str>) {
        if let Some(object) = self.objects.first() {
            object.checker.add(&object.path, Part::Value, &format!("{name} is missing"), hint);
        }
    }

    /// What `read` makes of the field; `default` when it is not written.
    pub(in crate::definition) fn or<T>(
        &self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Spot<'c>) -> Option<T>,
    ) -> Option<T> {
        self.get(name).map_or(Some(default), |spot| read(&spot))
    }

    /// What `read` makes of the field; `Some(None)` when it is not written.
    pub(in crate::definition) fn maybe<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Spot<'c>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.get(name).map_or(Some(None), |spot| read(&spot).map(Some))
    }

    /// Fields of the model that may be there and mean nothing here.
    pub(in crate::definition) fn ignore(&self, names: &[&'static str]) {
        self.tolerated.borrow_mut().extend(names);
    }

    /// Fields of the model that would change what happens, and can't yet. `false`, `null` and empty values
    /// ask for nothing.
    pub(in crate::definition) fn not_yet(&self, names: &[&'static str], hint: &str) {
        self.tolerated.borrow_mut().extend(names);
        for object in &self.objects {
            for name in names {
                if let Some(value) = object.value.get(name).filter(|value| asks_for_something(value)) {
                    object.member(name, value).not_yet(hint);
                }
            }
        }
    }

    /// A field that people write here and that means nothing here: why, and what to do instead.
    pub(in crate::definition) fn refuse(&self, name: &'static str, message: &str, hint: &str) {
        self.tolerated.borrow_mut().push(name);
        for object in &self.objects {
            if let Some(value) = object.value.get(name).filter(|value| !value.is_null()) {
                object.member(name, value).problem_of_key(message, Some(hint));
            }
        }
    }

    /// Reports the fields that nobody asked for.
    pub(in crate::definition) fn finish(self) {
        let (mut asked, tolerated) = (Vec::new(), self.tolerated.take());
        for name in self.asked.take() {
            if !asked.contains(&name) {
                asked.push(name);
            }
        }
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
