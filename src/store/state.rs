//! State cells: what jobs remember from run to run under a name of their own choice. The cells of a namespace live
//! together in the partition that its name gives, whatever account the runs are of.

use std::time::Duration;

use serde::Deserialize;

use super::{PATIENCE, Store, StoreError, Unconfirmed};
use crate::clock::Millis;
use crate::id::{self, RunId};
use crate::json::Json;

/// The longest value of a cell, as JSON text.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// The longest name of a namespace, and of a cell.
pub const NAME_BYTES_MAX: usize = crate::definition::job::KEY_BYTES_MAX;
/// The most cells of a namespace.
pub const CELLS_MAX: usize = 10_000;
/// How long the fence of a deleted cell is kept: longer than an owner that was left behind may still be at work.
pub const GRAVE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Bytes of values after which a page of a list ends early.
const PAGE_BYTES: usize = 8 << 20;

/// A state cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Its name in its namespace.
    pub key: String,
    /// Its value, as it was written.
    pub value: Json,
    /// The run that wrote it; none when a person did.
    pub run: Option<RunId>,
    /// When it was written first.
    pub created_at: Millis,
    /// When it was written last.
    pub updated_at: Millis,
}

/// One page of a namespace's cells, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CellPage {
    /// The cells.
    pub cells: Vec<Cell>,
    /// The cell after which the next page begins.
    pub next: Option<String>,
}

/// Who changes a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// An owner of a run; one that was left behind is refused.
    Run {
        /// The run.
        run: RunId,
        /// The owner's epoch.
        epoch: u64,
        /// The ordinal of this change in its run.
        step: u64,
    },
    /// Somebody through the API.
    Person,
}

/// What is done to a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellChange<'a> {
    /// It gets this value, and is made if it isn't there.
    Set(&'a Json),
    /// It gets this value if it is there.
    Update(&'a Json),
    /// It goes, if it is there.
    Delete,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is done, now or by an earlier try.
    Done {
        /// Whether the cell is new.
        is_new: bool,
    },
    /// There is no such cell.
    Missing,
    /// A later change of the same run stands.
    Older,
    /// It can't be: why, and what to do.
    Refused(String),
}

/// What is kept of a cell before its value.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    run: String,
    created: String,
    updated: String,
}

impl Store {
    /// Changes a cell.
    ///
    /// # Errors
    /// When Redis can't be written for as long as `patience`.
    pub async fn change_cell(
        &self,
        namespace: &str,
        key: &str,
        change: CellChange<'_>,
        author: Author,
        patience: Duration,
    ) -> Result<Changed, StoreError> {
        let value = match change {
            CellChange::Set(value) | CellChange::Update(value) => value.as_str(),
            CellChange::Delete => "",
        };
        if let Some(reason) = unfit(namespace, key, value) {
            return Ok(Changed::Refused(reason));
        }
        let by_person = author == Author::Person;
        let (run, epoch, step) = match author {
            Author::Run { run, epoch, step } => (run.to_string(), epoch, step),
            Author::Person => (String::new(), 0, 0),
        };
        // What a person writes is new work, and what a run writes finishes work: a full memory refuses the first.
        let is_new_work = by_person && change != CellChange::Delete;
        let script = if is_new_work { &self.scripts.write_cell } else { &self.scripts.remember };
        let deletes = change == CellChange::Delete;
        // A run deletes what may not be there; a person is told.
        let must_be_there = matches!(change, CellChange::Update(_)) || (deletes && by_person);
        let prefix = self.of_name(namespace);
        let mut call = script.key(&prefix);
        call.arg(namespace).arg(key).arg(if deletes { "delete" } else { "set" }).arg(value);
        call.arg(run).arg(epoch).arg(step).arg(if must_be_there { "1" } else { "0" }).arg(CELLS_MAX);
        call.arg(u64::try_from(GRAVE_LIFE.as_millis()).unwrap_or(u64::MAX));
        let unconfirmed = if by_person { Unconfirmed::Fails } else { Unconfirmed::Goes };
        let answer: Vec<String> = self.call_safely(&prefix, &call, patience, unconfirmed).await?;
        Ok(match answer.first().map(String::as_str) {
            Some("older") => Changed::Older,
            Some("missing") => Changed::Missing,
            Some("full") => Changed::Refused(format!(
                "state_key {namespace:?} has {CELLS_MAX} cells, which is the most; delete some, or use another state_key"
            )),
            _ => Changed::Done { is_new: answer.get(3).is_some_and(|is_new| is_new == "1") },
        })
    }

    /// A cell; `None` when there is none.
    ///
    /// # Errors
    /// When Redis can't be reached for as long as `patience`, or what it holds can't be read.
    pub async fn cell(
        &self,
        namespace: &str,
        key: &str,
        patience: Duration,
    ) -> Result<Option<Cell>, StoreError> {
        let mut get = redis::cmd("HGET");
        get.arg(format!("{}state:{namespace}", self.of_name(namespace))).arg(key);
        let kept: Option<String> = self.look(&get, patience).await?;
        kept.map_or(Ok(None), |kept| cell(key, &kept))
    }

    /// Cells of a namespace in the order of their names, at most `limit`, after the cell `after`. A page of large cells
    /// ends early.
    ///
    /// # Errors
    /// When Redis can't be reached, or what it holds can't be read.
    pub async fn cells(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<CellPage, StoreError> {
        let mut call = self.scripts.list_cells.key(self.of_name(namespace));
        call.arg(namespace).arg(after.unwrap_or_default()).arg(limit.max(1)).arg(PAGE_BYTES);
        let answer: Vec<String> = self.call(&call, PATIENCE).await?;
        let (more, kept) = answer.split_first().map_or(("0", [].as_slice()), |(more, kept)| (more, kept));
        let (pairs, _) = kept.as_chunks::<2>();
        let next = pairs.last().filter(|_| more == "1").map(|[key, _]| key.clone());
        let cells: Result<Vec<Option<Cell>>, StoreError> =
            pairs.iter().map(|[key, kept]| cell(key, kept)).collect();
        Ok(CellPage { cells: cells?.into_iter().flatten().collect(), next })
    }

    /// The prefix of the partition that has what is kept under a name of a user's choice.
    pub(super) fn of_name(&self, name: &str) -> String {
        self.partition(id::partition_of(name, self.partitions))
    }
}

/// Why a cell can't be.
fn unfit(namespace: &str, key: &str, value: &str) -> Option<String> {
    for (what, name) in [("state_key", namespace), ("key", key)] {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let bytes = name.len();
            return Some(format!("{what} has {bytes} bytes; it must have 1 to {NAME_BYTES_MAX}"));
        }
    }
    (value.len() > VALUE_BYTES_MAX).then(|| {
        let bytes = value.len();
        format!(
            "the value of {key:?} has {bytes} bytes as JSON, and at most {VALUE_BYTES_MAX} are kept; keep a cursor or a \
             time rather than records"
        )
    })
}

/// Reads what is kept of a cell; one that was deleted is none.
fn cell(key: &str, kept: &str) -> Result<Option<Cell>, StoreError> {
    let damaged = || StoreError::Damaged(format!("state cell {key:?} can't be read"));
    let (head, value) = kept.split_once('\n').ok_or_else(damaged)?;
    if value.is_empty() {
        return Ok(None);
    }
    let head: Head = serde_json::from_str(head).map_err(|_| damaged())?;
    let time = |text: &str| text.parse().map(Millis).map_err(|_| damaged());
    Ok(Some(Cell {
        key: key.to_owned(),
        value: Json::parse(value).map_err(|_| damaged())?,
        run: head.run.parse().ok(),
        created_at: time(&head.created)?,
        updated_at: time(&head.updated)?,
    }))
}
