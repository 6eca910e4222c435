//! The audit: every run in exactly one place, and no key without an owner. For checks, tests and operators; it walks
//! over all keys of the environment in slices, so it belongs on no hot path.
//!
//! Each slice is one script that runs where its partition lives and judges at one moment, so what it finds is not a
//! run on its way from one place to the next. Only an owner that lives in another slot (an account, a trigger) is
//! compared afterwards: a key it left when it was deleted a moment ago goes with the janitor's next round.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::time::Duration;

use super::maintenance::CONSUMER_IDLE_MAX;
use super::{PATIENCE, Store, StoreError, keys};
use crate::definition::Kind;

/// Keys or members that one slice looks at; bounds a script's time.
const SLICE: usize = 100;

/// Findings that are kept of each kind; a store in ruins needs no longer list.
const FINDINGS_MAX: usize = 1_000;

/// How much longer than allowed an idle consumer may stay: it goes with the janitor's next rounds.
const CONSUMER_MARGIN: Duration = Duration::from_secs(600);

/// What an audit found. Each entry is a sentence: what, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Runs that are in no place, in two, or in another than they say.
    pub orphans: Vec<String>,
    /// Keys, and members of keys, without an owner.
    pub leftovers: Vec<String>,
}

impl Audit {
    /// Whether all is as it should be.
    pub fn is_clean(&self) -> bool {
        self.orphans.is_empty() && self.leftovers.is_empty()
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("every run is in its place, and every key has an owner");
        }
        write!(f, "{} orphans, {} leftovers", self.orphans.len(), self.leftovers.len())?;
        let lines = self.orphans.iter().chain(&self.leftovers);
        lines.into_iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// What the slices of one prefix found.
#[derive(Debug, Default)]
struct Findings {
    orphans: BTreeSet<String>,
    leftovers: BTreeSet<String>,
    /// (account, what belongs to it)
    accounts: BTreeSet<(String, String)>,
    /// (trigger, what belongs to it)
    triggers: BTreeSet<(String, String)>,
    /// Keys whose members are to be looked at.
    members: HashSet<String>,
}

impl Store {
    /// Looks at every key of the environment. Nothing is changed.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn audit(&self) -> Result<Audit, StoreError> {
        let mut prefixes: Vec<String> = (0..self.partitions).map(|n| self.partition(n)).collect();
        prefixes.push(keys::definitions(&self.environment));
        let mut all = Findings::default();
        for prefix in prefixes {
            let mut found = Findings::default();
            self.slices(&prefix, "", &mut found).await?;
            for key in std::mem::take(&mut found.members) {
                self.slices(&prefix, &key, &mut found).await?;
            }
            all.add(&prefix, found);
        }
        // Read last: an owner made while we looked is known.
        let accounts = self.defined(Kind::Account).await?;
        let triggers = self.defined(Kind::Trigger).await?;
        for (kind, owned, defined) in
            [("account", &all.accounts, accounts), ("trigger", &all.triggers, triggers)]
        {
            let left = owned.iter().filter(|(owner, _)| !defined.contains(owner));
            all.leftovers.extend(left.map(|(owner, what)| format!("{what}: there is no {kind} {owner:?}")));
        }
        let list = |set: BTreeSet<String>| set.into_iter().take(FINDINGS_MAX).collect();
        Ok(Audit { orphans: list(all.orphans), leftovers: list(all.leftovers) })
    }

    /// Looks at all slices of a prefix's keys (`name` is empty), or of the members of one of them.
    async fn slices(&self, prefix: &str, name: &str, found: &mut Findings) -> Result<(), StoreError> {
        let mut cursor = "0".to_owned();
        let idle = CONSUMER_IDLE_MAX + CONSUMER_MARGIN;
        loop {
            let mut call = self.scripts.audit.key(prefix);
            call.arg(name).arg(&cursor).arg(SLICE).arg(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
            call.arg(0);
            let answer: Vec<String> = self.call(&call, PATIENCE).await?;
            let Some((next, findings)) = answer.split_first() else {
                return Err(StoreError::Damaged("an audit without an answer".into()));
            };
            findings.chunks_exact(3).for_each(|finding| found.note(finding));
            if next == "0" {
                return Ok(());
            }
            cursor.clone_from(next);
        }
    }

    async fn defined(&self, kind: Kind) -> Result<HashSet<String>, StoreError> {
        let key = format!("{}{kind}", keys::definitions(&self.environment));
        Ok(redis::cmd("HKEYS").arg(key).query_async(&mut self.shared.clone()).await?)
    }
}

impl Findings {
    fn note(&mut self, finding: &[String]) {
        let [what, subject, why] = finding else { return };
        match what.as_str() {
            "orphan" => drop(self.orphans.insert(format!("run {subject}: {why}"))),
            "account" => drop(self.accounts.insert((subject.clone(), why.clone()))),
            "trigger" => drop(self.triggers.insert((subject.clone(), why.clone()))),
            "members" => drop(self.members.insert(subject.clone())),
            _ => drop(self.leftovers.insert(format!("{subject}: {why}"))),
        }
    }

    /// Takes over what was found under `prefix`, named in full.
    fn add(&mut self, prefix: &str, other: Self) {
        let full = |(owner, what): (String, String)| (owner, format!("{prefix} {what}"));
        self.orphans.extend(other.orphans);
        self.leftovers.extend(other.leftovers.into_iter().map(|line| format!("{prefix} {line}")));
        self.accounts.extend(other.accounts.into_iter().map(full));
        self.triggers.extend(other.triggers.into_iter().map(full));
    }
}
