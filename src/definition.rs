//! What a user writes (integration, integrated account, webhook, sync job, trigger) as checked types.
//! Nothing past this room sees the raw form.
//!
//! A definition is a [`Document`] first: an object of a known [`Kind`] with an id, from a file
//! ([`read_files`]) or from the API ([`Document::new`], [`read_json`]). It is kept and compared in that form.
//! The checked types are made from it, by everybody who needs them, with the same functions.
//!
//! Problems never come one by one: each reader goes on after a mistake and reports all of them with file,
//! line, column, the path in the document, and a hint ([`Problems`]). Messages don't repeat what may be secret.
//!
//! This room reads neither files nor the environment; their contents are arguments.

mod check;
mod document;
mod files;
mod headers;
mod origin;
mod problem;
pub mod schema;
mod set;
mod variables;
mod yaml;

pub mod account;
pub mod integration;
pub mod job;
pub mod trigger;
pub mod unified;
pub mod webhook;

pub use account::Account;
pub use document::{Document, Kind, UnknownKind, read_json};
pub use files::read_files;
pub use integration::Integration;
pub use job::SyncJob;
pub use problem::{Problem, Problems};
use set::Elsewhere;
pub use set::{check_nodes, check_set};
pub use trigger::Trigger;
pub use unified::UnifiedModel;
pub use webhook::Webhook;

use std::sync::Arc;

/// Fields that an API adds to what it returns; they may come back and mean nothing.
const BOOKKEEPING: &[&str] = &["kind", "environment_id", "created_at", "updated_at", "revision"];

/// A definition of any kind, checked.
#[derive(Debug, Clone)]
pub enum Checked {
    /// A common shape of records.
    UnifiedModel(Arc<UnifiedModel>),
    /// A third-party API.
    Integration(Arc<Integration>),
    /// A customer's connection to one.
    Account(Arc<Account>),
    /// A customer's endpoint.
    Webhook(Arc<Webhook>),
    /// A plan.
    SyncJob(Arc<SyncJob>),
    /// A schedule.
    Trigger(Arc<Trigger>),
}

impl Checked {
    /// The definition that `document` describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(document: &Document) -> Result<Self, Problems> {
        Ok(match document.kind {
            Kind::UnifiedModel => Self::UnifiedModel(Arc::new(UnifiedModel::from_document(document)?)),
            Kind::Integration => Self::Integration(Arc::new(Integration::from_document(document)?)),
            Kind::Account => Self::Account(Arc::new(Account::from_document(document)?)),
            Kind::Webhook => Self::Webhook(Arc::new(Webhook::from_document(document)?)),
            Kind::SyncJob => Self::SyncJob(Arc::new(SyncJob::from_document(document)?)),
            Kind::Trigger => Self::Trigger(Arc::new(Trigger::from_document(document)?)),
        })
    }
}

impl Checked {
    /// What it defines.
    pub fn kind(&self) -> Kind {
        match self {
            Self::UnifiedModel(_) => Kind::UnifiedModel,
            Self::Integration(_) => Kind::Integration,
            Self::Account(_) => Kind::Account,
            Self::Webhook(_) => Kind::Webhook,
            Self::SyncJob(_) => Kind::SyncJob,
            Self::Trigger(_) => Kind::Trigger,
        }
    }

    /// The unified model, when it is one.
    pub fn unified_model(&self) -> Option<&UnifiedModel> {
        if let Self::UnifiedModel(model) = self { Some(model) } else { None }
    }

    /// The integration, when it is one.
    pub fn integration(&self) -> Option<&Integration> {
        if let Self::Integration(integration) = self { Some(integration) } else { None }
    }

    /// The account, when it is one.
    pub fn account(&self) -> Option<&Account> {
        if let Self::Account(account) = self { Some(account) } else { None }
    }

    /// The webhook, when it is one.
    pub fn webhook(&self) -> Option<&Webhook> {
        if let Self::Webhook(webhook) = self { Some(webhook) } else { None }
    }

    /// The job, when it is one.
    pub fn sync_job(&self) -> Option<&SyncJob> {
        if let Self::SyncJob(job) = self { Some(job) } else { None }
    }

    /// The trigger, when it is one.
    pub fn trigger(&self) -> Option<&Trigger> {
        if let Self::Trigger(trigger) = self { Some(trigger) } else { None }
    }
}

/// Reads files and checks what they say, as one: every problem of both is reported together.
///
/// # Errors
/// Everything that is wrong with the files or the set of their definitions.
pub fn read_and_check<'f>(
    files: impl IntoIterator<Item = (&'f str, &'f str)>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(Document, Checked)>, Problems> {
    // What could not be told apart may be what the others refer to.
    read_with(files, env, |unread| if unread { Elsewhere::Perhaps } else { Elsewhere::Nothing })
}

/// As [`read_and_check`], for files that are a part of what there is: a reference to a definition that is in none of
/// them is left to whoever knows the rest.
///
/// # Errors
/// Everything that is wrong with the files or what they say about each other.
pub fn read_part<'f>(
    files: impl IntoIterator<Item = (&'f str, &'f str)>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Document>, Problems> {
    let read = read_with(files, env, |_| Elsewhere::Perhaps)?;
    Ok(read.into_iter().map(|(document, _)| document).collect())
}

fn read_with<'f>(
    files: impl IntoIterator<Item = (&'f str, &'f str)>,
    env: &dyn Fn(&str) -> Option<String>,
    elsewhere: impl FnOnce(bool) -> Elsewhere,
) -> Result<Vec<(Document, Checked)>, Problems> {
    let (documents, mut problems) = files::read(files, env);
    let elsewhere = elsewhere(!problems.is_empty());
    let (checked, found) = set::check(&documents, elsewhere);
    problems.extend(found);
    Problems::none_of(problems)?;
    Ok(documents.into_iter().zip(checked.into_iter().flatten()).collect())
}

/// Whether `text` can name a resource, a method or a node. A dot would part it in a placeholder's path.
fn is_plain_name(text: &str) -> bool {
    const NAME_BYTES_MAX: usize = 128;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/');
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.chars().all(plain)
}

#[cfg(test)]
mod tests;
