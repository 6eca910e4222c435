//! JSON whose strings are templates: the query or the body of a request.
//!
//! The member [`MERGE`] of an object is no member: what it gives (one value, or an array of them) is merged into the
//! object, the later over the earlier, and over the object's own members. Values that are no objects are passed over.

use serde_json::{Map, Value};

use super::{RenderError, Scope, Template, TemplateError};
use crate::json::{self, Json};

/// The name under which an object takes in others.
pub const MERGE: &str = "$truto_merge";

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

/// A string of a tree that is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeError {
    /// Where it stands, member by member.
    pub path: Vec<String>,
    /// What is wrong with it.
    pub error: TemplateError,
}

impl Tree {
    /// `{}`.
    pub fn empty() -> Self {
        Self::Object(Vec::new())
    }

    /// The tree that is always "undefined".
    pub fn undefined() -> Self {
        Self::Text(Template::undefined())
    }

    /// Reads every string of `json` as a template. Keys are no templates.
    ///
    /// # Errors
    /// Every string that is none.
    pub fn from_json(json: &Json) -> Result<Self, Vec<TreeError>> {
        let mut errors = Vec::new();
        let tree = build(json.as_str(), &mut Vec::new(), &mut errors);
        if errors.is_empty() { Ok(tree) } else { Err(errors) }
    }

    /// The value; "undefined" members of objects and elements of arrays are left out.
    ///
    /// # Errors
    /// A placeholder that finds nothing and doesn't say what to do then.
    pub fn render(&self, scope: &dyn Scope) -> Result<Option<Json>, RenderError> {
        let mut text = String::new();
        let defined = self.write(scope, &mut text)?;
        Ok(defined.then(|| Json::parse(&text).unwrap_or_else(|_| Json::null())))
    }

    /// Its objects and literals; what is rendered is an empty object here.
    pub fn outline(&self) -> Value {
        match self {
            Self::Text(_) => Value::Object(Map::new()),
            Self::Literal(json) => serde_json::from_str(json.as_str()).unwrap_or_default(),
            Self::Object(members) => {
                let own = members.iter().filter(|(name, _)| name != MERGE);
                Value::Object(own.map(|(name, tree)| (name.clone(), tree.outline())).collect())
            }
            Self::Array(elements) => Value::Array(elements.iter().map(Self::outline).collect()),
        }
    }

    /// Every path that may be looked up, in the order they were written.
    pub fn paths(&self) -> Vec<Vec<String>> {
        self.templates().into_iter().flat_map(|(_, template)| template.paths()).collect()
    }

    /// Every template in the tree and where it stands, member by member.
    pub fn templates(&self) -> Vec<(Vec<String>, &Template)> {
        let mut found = Vec::new();
        self.collect(&mut Vec::new(), &mut found);
        found
    }

    fn collect<'t>(&'t self, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, &'t Template)>) {
        let mut below = |step: String, tree: &'t Self| {
            path.push(step);
            tree.collect(path, found);
            path.pop();
        };
        match self {
            Self::Literal(_) => {}
            Self::Object(members) => members.iter().for_each(|(key, tree)| below(key.clone(), tree)),
            Self::Array(elements) => {
                elements.iter().enumerate().for_each(|(index, tree)| below(index.to_string(), tree));
            }
            Self::Text(template) => found.push((path.clone(), template)),
        }
    }

    /// This tree with the members of `over` laid over its own; anything but two objects is replaced.
    #[must_use]
    pub fn merged(self, over: Self) -> Self {
        match (self, over) {
            (Self::Object(mut members), Self::Object(others)) => {
                for (key, tree) in others {
                    match members.iter_mut().find(|(name, _)| *name == key) {
                        Some((name, old)) if name == MERGE => {
                            let earlier = std::mem::replace(old, Self::Array(Vec::new()));
                            *old = Self::Array(vec![earlier, tree]);
                        }
                        Some((_, old)) => *old = tree,
                        None => members.push((key, tree)),
                    }
                }
                Self::Object(members)
            }
            (_, over) => over,
        }
    }

    /// Appends the value to `text`; `false`, with nothing appended, when it is undefined.
    fn write(&self, scope: &dyn Scope, text: &mut String) -> Result<bool, RenderError> {
        match self {
            Self::Literal(json) => text.push_str(json.as_str()),
            Self::Text(template) => match template.render(scope)? {
                Some(json) => text.push_str(json.as_str()),
                None => return Ok(false),
            },
            Self::Object(members) => {
                let start = text.len();
                let mut separator = '{';
                for (key, tree) in members.iter().filter(|(key, _)| key != MERGE) {
                    let before = text.len();
                    text.push(separator);
                    text.push_str(Json::string(key).as_str());
                    text.push(':');
                    if tree.write(scope, text)? { separator = ',' } else { text.truncate(before) }
                }
                text.push_str(if separator == '{' { "{}" } else { "}" });
                for (_, tree) in members.iter().filter(|(key, _)| key == MERGE) {
                    if let Some(merged) = tree.render(scope)? {
                        let own = text.split_off(start);
                        text.push_str(&taken_in(own, merged.as_str()));
                    }
                }
            }
            Self::Array(elements) => {
                let mut separator = '[';
                for tree in elements {
                    let before = text.len();
                    text.push(separator);
                    if tree.write(scope, text)? { separator = ',' } else { text.truncate(before) }
                }
                text.push_str(if separator == '[' { "[]" } else { "]" });
            }
        }
        Ok(true)
    }
}

/// The object `own` with `others` merged into it: an object, or an array of objects.
fn taken_in(own: String, others: &str) -> String {
    match others.trim_start().as_bytes().first() {
        Some(b'{') => json::merged(&own, others).as_str().to_owned(),
        Some(b'[') => {
            let ranges = json::elements(others).unwrap_or_default().into_iter();
            ranges.fold(own, |own, range| taken_in(own, &others[range]))
        }
        _ => own,
    }
}

fn build(text: &str, path: &mut Vec<String>, errors: &mut Vec<TreeError>) -> Tree {
    match text.trim_start().as_bytes().first() {
        Some(b'"') => match Template::parse(&json::text_of(text.trim())) {
            Ok(template) => Tree::Text(template),
            Err(error) => {
                errors.push(TreeError { path: path.clone(), error });
                Tree::Literal(Json::null())
            }
        },
        Some(b'{') => {
            let members = json::members(text).unwrap_or_default().into_iter().map(|(key, value)| {
                path.push(key.clone());
                let tree = build(value, path, errors);
                path.pop();
                (key, tree)
            });
            Tree::Object(members.collect())
        }
        Some(b'[') => {
            let elements = json::elements(text).unwrap_or_default().into_iter().enumerate();
            let elements = elements.map(|(index, range)| {
                path.push(index.to_string());
                let tree = build(&text[range], path, errors);
                path.pop();
                tree
            });
            Tree::Array(elements.collect())
        }
        _ => Tree::Literal(Json::parse(text).unwrap_or_else(|_| Json::null())),
    }
}
