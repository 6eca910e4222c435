//! What the helpdesk was asked and what it gave.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::route::Served;
use super::{RequestInfo, Resource};

/// What the helpdesk was asked and what it gave.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Requests that arrived, answered or not.
    pub requests: u64,
    /// Answers by status. A connection that was closed without an answer is not in it.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections closed without an answer.
    pub hung_up: u64,
    /// The ids of the records that were given away with a 200.
    pub served: BTreeMap<Resource, HashSet<u64>>,
    /// How many times a rate limit began: the 429s that were news.
    pub limits: u64,
    /// Requests sent before `Retry-After` was over. A request that was already under way when the limit began
    /// counts as well.
    pub limit_violations: u64,
    /// Requests by (path, cursor); the cursor of a first page is empty.
    pub asked: BTreeMap<(String, String), u64>,
}

impl Ledger {
    /// How many answers had this status.
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// How many different records of a resource were given away.
    pub fn served(&self, resource: Resource) -> usize {
        self.served.get(&resource).map_or(0, HashSet::len)
    }

    /// How many requests there were for a page of `path` (`/api/v1/tickets`); `cursor` is empty for the first.
    pub fn asked(&self, path: &str, cursor: &str) -> u64 {
        self.asked.get(&(path.to_owned(), cursor.to_owned())).copied().unwrap_or(0)
    }

    /// Books an arrival and gives it its number.
    pub(super) fn arrived(&mut self, info: &RequestInfo) -> u64 {
        self.requests += 1;
        *self.asked.entry((info.path.clone(), info.cursor.clone().unwrap_or_default())).or_default() += 1;
        self.requests
    }

    pub(super) fn answered(&mut self, status: Option<u16>, served: &Served) {
        match status {
            Some(status) => *self.statuses.entry(status).or_default() += 1,
            None => self.hung_up += 1,
        }
        match served {
            Served::Nothing => {}
            Served::Limited(limited) if limited.is_first => self.limits += 1,
            Served::Limited(_) => self.limit_violations += 1,
            Served::Records(resource, ids) => self.served.entry(*resource).or_default().extend(ids),
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, answers {:?}, hung up {}", self.requests, self.statuses, self.hung_up)?;
        for resource in Resource::ALL {
            write!(f, ", {resource} {}", self.served(resource))?;
        }
        write!(f, ", limits {} (violated {})", self.limits, self.limit_violations)
    }
}
