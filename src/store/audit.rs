//! The audit: every run in exactly one place, and no key without an owner. For checks, tests and operators; it walks
//! over all keys of the environment in slices, so it belongs on no hot path. The sweep is the same walk a few slices at
//! a time, and removes what has no owner: the janitor's answer to accidents and to whatever was deleted.
//!
//! Each slice is one script that runs where its partition lives and judges at one moment, so what it finds is not a
//! run on its way from one place to the next. Only an owner that lives in another slot (an account, a trigger) is
//! compared afterwards: a key it left when it was deleted a moment ago goes with the janitor's next round.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::time::Duration;

use super::maintenance::CONSUMER_IDLE_MAX;
use super::{PATIENCE, Store, StoreError, keys};
use crate::definition::Kind;

/// Keys or members that one slice looks at; bounds a script's time.
const SLICE: usize = 200;

/// Slices that one step of a sweep takes of each prefix.
const SWEEP_SLICES: usize = 10;

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
    /// (turn, key) as the slots of keys have them
    locks: BTreeSet<(String, String)>,
    /// (turn, key) as the partitions of runs have them
    waits: BTreeSet<(String, String)>,
    /// Keys whose members are to be looked at.
    members: HashSet<String>,
}

/// Where a sweep is. Each janitor has its own; it need not outlive it.
#[derive(Debug, Default)]
pub struct Sweep {
    /// For each prefix: what to look at next, as (key or "" for the keys themselves, cursor).
    next: Vec<VecDeque<(String, String)>>,
}

impl Store {
    /// Looks at every key of the environment. Nothing is changed.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn audit(&self) -> Result<Audit, StoreError> {
        let mut all = Findings::default();
        for prefix in self.prefixes() {
            let mut found = Findings::default();
            let mut todo = VecDeque::from([whole()]);
            while let Some(at) = todo.pop_front() {
                self.slice(&prefix, at, "0", &mut todo, &mut found).await?;
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
        for (turn, key) in std::mem::take(&mut all.locks) {
            all.leftovers.extend(self.wrong_lock(&turn, &key).await?);
        }
        for (turn, key) in std::mem::take(&mut all.waits) {
            let wrong = self.wrong_wait(&turn, &key).await?;
            all.orphans.extend(wrong.map(|why| format!("run {turn}: {why}")));
        }
        Ok(all.into())
    }

    /// Takes the next few slices of every prefix, and removes what has no owner there. Returns what was found.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn sweep(&self, sweep: &mut Sweep) -> Result<Audit, StoreError> {
        let prefixes = self.prefixes();
        sweep.next.resize_with(prefixes.len(), VecDeque::new);
        let mut all = Findings::default();
        for (index, prefix) in prefixes.iter().enumerate() {
            let todo = &mut sweep.next[index];
            if todo.is_empty() {
                todo.push_back(whole());
            }
            let mut found = Findings::default();
            for _ in 0..SWEEP_SLICES {
                let Some(at) = todo.pop_front() else { break };
                self.slice(prefix, at, "1", todo, &mut found).await?;
            }
            self.disown(index, prefix, &mut found).await?;
            for (turn, key) in std::mem::take(&mut found.locks) {
                if let Some(wrong) = self.wrong_lock(&turn, &key).await? {
                    self.drop_turn(&turn, &key).await?;
                    found.leftovers.insert(wrong);
                }
            }
            // Reconciliation lets those that wait ask again.
            found.waits.clear();
            all.add(prefix, found);
        }
        Ok(all.into())
    }

    /// Removes what accounts and triggers left that are no longer defined; what of them stays is forgotten.
    async fn disown(&self, index: usize, prefix: &str, found: &mut Findings) -> Result<(), StoreError> {
        let Ok(partition) = u16::try_from(index) else { return Ok(()) };
        if !found.accounts.is_empty() {
            let defined = self.defined(Kind::Account).await?;
            for (account, key) in std::mem::take(&mut found.accounts) {
                if !defined.contains(&account) {
                    let whole = format!("{prefix}{key}");
                    redis::cmd("UNLINK").arg(whole).query_async::<()>(&mut self.shared.clone()).await?;
                    found.leftovers.insert(format!("{key}: account {account:?} is gone"));
                }
            }
        }
        if !found.triggers.is_empty() {
            let defined = self.defined(Kind::Trigger).await?;
            for (trigger, _) in std::mem::take(&mut found.triggers) {
                if let (false, Ok(id)) = (defined.contains(&trigger), trigger.parse()) {
                    self.unschedule_trigger(partition, &id).await?;
                    found
                        .leftovers
                        .insert(format!("the clock's place of trigger {trigger:?}, which is gone"));
                }
            }
        }
        Ok(())
    }

    fn prefixes(&self) -> Vec<String> {
        let partitions = (0..self.partitions).map(|partition| self.partition(partition));
        partitions.chain([keys::definitions(&self.environment)]).collect()
    }

    /// Looks at one slice; what is left to look at because of it goes to `todo`.
    async fn slice(
        &self,
        prefix: &str,
        (name, cursor): (String, String),
        sweeps: &str,
        todo: &mut VecDeque<(String, String)>,
        found: &mut Findings,
    ) -> Result<(), StoreError> {
        let idle = CONSUMER_IDLE_MAX + CONSUMER_MARGIN;
        let mut call = self.scripts.audit.key(prefix);
        call.arg(&name).arg(cursor).arg(SLICE).arg(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        call.arg(sweeps);
        let answer: Vec<String> = self.call(&call, PATIENCE).await?;
        let Some((next, findings)) = answer.split_first() else {
            return Err(StoreError::Damaged("an audit without an answer".into()));
        };
        findings.chunks_exact(3).for_each(|finding| found.note(finding));
        if next != "0" {
            todo.push_back((name, next.clone()));
        }
        todo.extend(std::mem::take(&mut found.members).into_iter().map(|key| (key, "0".to_owned())));
        Ok(())
    }

    async fn defined(&self, kind: Kind) -> Result<HashSet<String>, StoreError> {
        let key = format!("{}{kind}", keys::definitions(&self.environment));
        Ok(redis::cmd("HKEYS").arg(key).query_async(&mut self.shared.clone()).await?)
    }
}

/// The beginning of a walk over a prefix's keys.
fn whole() -> (String, String) {
    (String::new(), "0".to_owned())
}

impl From<Findings> for Audit {
    fn from(findings: Findings) -> Self {
        let list = |set: BTreeSet<String>| set.into_iter().take(FINDINGS_MAX).collect();
        Self { orphans: list(findings.orphans), leftovers: list(findings.leftovers) }
    }
}

impl Findings {
    fn note(&mut self, finding: &[String]) {
        let [what, subject, why] = finding else { return };
        match what.as_str() {
            "orphan" => drop(self.orphans.insert(format!("run {subject}: {why}"))),
            "account" => drop(self.accounts.insert((subject.clone(), why.clone()))),
            "trigger" => drop(self.triggers.insert((subject.clone(), why.clone()))),
            "lock" => drop(self.locks.insert((subject.clone(), why.clone()))),
            "line" => drop(self.waits.insert((subject.clone(), why.clone()))),
            "members" => drop(self.members.insert(subject.clone())),
            _ => drop(self.leftovers.insert(format!("{subject}: {why}"))),
        }
    }

    /// Takes over what was found under `prefix`, named in full.
    fn add(&mut self, prefix: &str, other: Self) {
        let full = |(owner, what): (String, String)| (owner, format!("{prefix} {what}"));
        self.orphans.extend(other.orphans);
        self.locks.extend(other.locks);
        self.waits.extend(other.waits);
        self.leftovers.extend(other.leftovers.into_iter().map(|line| format!("{prefix} {line}")));
        self.accounts.extend(other.accounts.into_iter().map(full));
        self.triggers.extend(other.triggers.into_iter().map(full));
    }
}
