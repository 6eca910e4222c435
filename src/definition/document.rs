//! A document: one definition as it was written, of a known kind and with an id. It is what `apply` compares
//! and what Redis keeps; the checked types are made from it, again by each process that needs them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::check::Checker;
use super::origin::{Origin, Part, Path};
use super::problem::{Problem, Problems};
use crate::id::JobId;
use crate::nearest::nearest;

/// What a document defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A common shape of records.
    UnifiedModel,
    /// A third-party API.
    Integration,
    /// A customer's connection to one.
    Account,
    /// A customer's endpoint.
    Webhook,
    /// A plan.
    SyncJob,
    /// A schedule.
    Trigger,
}

impl Kind {
    /// Every kind, each after those it may refer to.
    pub const ALL: &'static [Kind] =
        &[Self::UnifiedModel, Self::Integration, Self::Account, Self::Webhook, Self::SyncJob, Self::Trigger];

    /// The name in a document's `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnifiedModel => "unified_model",
            Self::Integration => "integration",
            Self::Account => "integrated_account",
            Self::Webhook => "webhook",
            Self::SyncJob => "sync_job",
            Self::Trigger => "sync_job_cron_trigger",
        }
    }

    /// JSON pointers of the values that must be sealed at rest and never returned.
    pub fn secret_pointers(&self) -> &'static [&'static str] {
        match self {
            Self::Account => &["/credentials"],
            Self::Webhook => &["/secret", "/secrets", "/headers"],
            Self::UnifiedModel | Self::Integration | Self::SyncJob | Self::Trigger => &[],
        }
    }

    /// The field that names a document of this kind.
    pub fn id_field(self) -> &'static str {
        match self {
            Self::UnifiedModel | Self::Integration => "name",
            Self::Account | Self::Webhook | Self::SyncJob | Self::Trigger => "id",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of definition")]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.iter().find(|kind| kind.as_str() == text);
        found.copied().ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// One definition as it was written.
#[derive(Clone)]
pub struct Document {
    /// What it defines.
    pub kind: Kind,
    /// Its id (an integration's name); unique within its kind.
    pub id: String,
    /// The object as it was written, variables filled in; `kind` is always there. Holds secrets.
    pub body: Value,
    /// Where it came from, when that was a file.
    pub(crate) origin: Option<Arc<Origin>>,
}

impl Document {
    /// A document of the kind that the caller knows; `kind` may be left out of `body`.
    ///
    /// # Errors
    /// When `body` is no object, names another kind, or has no valid id.
    pub fn new(kind: Kind, body: &Value) -> Result<Self, Problems> {
        Self::read(body.clone(), Some(kind), None)
    }

    /// The body without the values of its [`Kind::secret_pointers`]: what an API may return.
    pub fn public_body(&self) -> Value {
        let mut body = self.body.clone();
        for pointer in self.kind.secret_pointers() {
            if let Some(members) = body.as_object_mut() {
                members.shift_remove(pointer.trim_start_matches('/'));
            }
        }
        body
    }

    /// Kind and id of `body`; its other fields are not looked at.
    pub(super) fn read(
        body: Value,
        expected: Option<Kind>,
        origin: Option<Arc<Origin>>,
    ) -> Result<Self, Problems> {
        let checker = Checker::new(None, origin.clone());
        let read = match body {
            Value::Object(members) => kind_and_id(&checker, &members, expected).map(|(kind, id)| {
                let mut members = members;
                members.insert("kind".to_owned(), kind.as_str().into());
                Self { kind, id, body: Value::Object(members), origin }
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                let hint = "write fields: kind: sync_job, id: …";
                checker.add(&Path::default(), Part::Value, "a definition is an object", Some(hint));
                None
            }
        };
        checker.finish(read)
    }

    /// A problem that somebody else found at `path` (as problems show paths: `resources[2].depends_on`), with the
    /// place in the file this document came from.
    pub fn problem(&self, path: &str, message: &str, hint: Option<&str>) -> Problem {
        let checker = Checker::new(Some(self.title()), self.origin.clone());
        checker.problem(&Path::shown_as(path), Part::Value, message, hint)
    }

    /// Kind and id, for messages.
    pub fn title(&self) -> String {
        format!("{} {:?}", self.kind, self.id)
    }

    /// Where the document stands (`jobs.yaml:12`), when it came from a file.
    pub(crate) fn place(&self) -> Option<String> {
        let origin = self.origin.as_deref()?;
        let line = origin.locate("", Part::Value)?.line;
        Some(format!("{}:{line}", origin.file))
    }
}

impl fmt::Debug for Document {
    /// Kind and id alone: the body holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

/// A document from JSON that names its kind.
///
/// # Errors
/// When it is no object, or its kind or id is missing or not valid.
pub fn read_json(value: &Value) -> Result<Document, Problems> {
    Document::read(value.clone(), None, None)
}

fn kind_and_id(
    checker: &Checker,
    members: &Map<String, Value>,
    expected: Option<Kind>,
) -> Option<(Kind, String)> {
    let kind = kind_of(checker, members, expected)?;
    let field = kind.id_field();
    let path = Path::default().key(field);
    let hint = "it is what others refer to: letters, digits, '-', '_' and '.'";
    match members.get(field) {
        None | Some(Value::Null) => {
            checker.add(&path, Part::Value, &format!("{kind} needs {field}"), Some(hint));
            None
        }
        Some(Value::String(id)) => match id.parse::<JobId>() {
            Ok(_) => Some((kind, id.clone())),
            Err(error) => {
                checker.add(&path, Part::Value, &error.to_string(), None);
                None
            }
        },
        Some(Value::Number(_)) => {
            checker.add(&path, Part::Value, "expected text, found a number", Some("put it in quotes"));
            None
        }
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            checker.add(&path, Part::Value, "expected text", Some(hint));
            None
        }
    }
}

fn kind_of(checker: &Checker, members: &Map<String, Value>, expected: Option<Kind>) -> Option<Kind> {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let path = Path::default().key("kind");
    let all = format!("the kinds are {}", names.join(", "));
    let written = match members.get("kind") {
        None | Some(Value::Null) if expected.is_some() => return expected,
        None | Some(Value::Null) => {
            checker.add(&path, Part::Value, "a definition needs kind", Some(&all));
            return None;
        }
        Some(Value::String(text)) => text,
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            checker.add(&path, Part::Value, "kind must be text", Some(&all));
            return None;
        }
    };
    match (written.parse::<Kind>(), expected) {
        (Ok(kind), Some(expected)) if kind != expected => {
            let message = format!("this is {written:?} where {:?} is expected", expected.as_str());
            checker.add(&path, Part::Value, &message, None);
            None
        }
        (Ok(kind), _) => Some(kind),
        (Err(error), _) => {
            let hint = nearest(written, names).map_or(all, |near| format!("did you mean {near:?}?"));
            checker.add(&path, Part::Value, &error.to_string(), Some(&hint));
            None
        }
    }
}
