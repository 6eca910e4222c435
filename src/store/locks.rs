//! Named mutexes (`mutex_key`): keys that runs of any account share, and so of any partition.
//!
//! A key lives in two kinds of places. Its own slot, which its name gives, has its holder and its line, and so the order
//! of those who wait. Each run's partition has what the run knows: that it waits (`keyed`), or that it has the key
//! (`ticket`, `holds`). What one slot must tell another is an *errand* of the partition that has the news, written by the
//! same script; whoever tends runs it, as often as needed, since each of its steps can be repeated:
//!
//! - `ask`: the key's slot says whose turn it is, and that run is told (`grant`).
//! - `free`: the run has ended; the key's slot passes the key on, and the next one is told.
//!
//! The order may be lost with a fail-over of the key's slot, and then two runs may both have been told. So before a run
//! does anything with a key that it was just given, its worker looks into all partitions whether another run has it
//! ([`Store::keep_key`]). Whoever sets its own mark before it looks at the marks of the others can't be overlooked by
//! somebody who does the same: that, and not the key's slot, is what excludes a second holder.

mod check;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;

use super::ready::{Claim, ReadyEntry};
use super::{PATIENCE, Store, StoreError, keys};
use crate::clock::Millis;
use crate::id::{self, RunId};
use crate::run::RunRequest;

/// Errands taken at once.
const ERRANDS: usize = 50;
/// Times that errands are taken before other partitions get their turn.
const ROUNDS_MAX: usize = 10;
/// When an errand that was taken and not struck out comes again: whoever took it is dead, or Redis was away.
const AGAIN: Duration = Duration::from_secs(5);
/// Turns in a row that may turn out to be over before the rest is left to a later errand.
const OVER_MAX: usize = 100;
/// How long a claim waits to hear from the other partitions.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// A run's attempt that has a key or waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    run: RunId,
    attempt: u32,
    /// When the run was made: its place in the line.
    created: Millis,
    /// When it got the key, by the clock of the key's slot in microseconds.
    ticket: u64,
}

impl Turn {
    /// How the key's slot names it.
    fn name(&self) -> String {
        format!("{}:{}", self.run, self.attempt)
    }

    fn parse_name(name: &str) -> Option<(RunId, u32)> {
        let (run, attempt) = name.split_once(':')?;
        Some((run.parse().ok()?, attempt.parse().ok()?))
    }

    /// From what the key's slot answers: turn, ticket, created; `None` when it says that nobody has the key.
    fn parse(answer: &[String]) -> Result<Option<Self>, StoreError> {
        let read = || {
            let [name, ticket, created] = answer else { return None };
            let (run, attempt) = Self::parse_name(name)?;
            Some(Self { run, attempt, created: Millis(created.parse().ok()?), ticket: ticket.parse().ok()? })
        };
        match answer {
            [] => Ok(None),
            answer => read().map(Some).ok_or_else(|| damaged("holder of a mutex", answer)),
        }
    }

    /// From what a run's partition answers: run, attempt, ticket, created.
    fn parse_run(answer: &[String]) -> Result<Self, StoreError> {
        let read = || {
            let [run, attempt, ticket, created, ..] = answer else { return None };
            Some(Self {
                run: run.parse().ok()?,
                attempt: attempt.parse().ok()?,
                created: Millis(created.parse().ok()?),
                ticket: ticket.parse().ok()?,
            })
        };
        read().ok_or_else(|| damaged("run with a mutex", answer))
    }
}

fn damaged(what: &str, answer: &[String]) -> StoreError {
    StoreError::Damaged(format!("a {what} can't be read: {answer:?}"))
}

/// Something to be said in a key's slot: `<ask|free> <run> <attempt> <created> <key>`.
struct Errand<'e> {
    is_ask: bool,
    run: RunId,
    attempt: &'e str,
    created: &'e str,
    key: &'e str,
}

impl<'e> Errand<'e> {
    fn parse(text: &'e str) -> Option<Self> {
        let mut parts = text.splitn(5, ' ');
        let mut next = || parts.next();
        let is_ask = next()? == "ask";
        Some(Self { is_ask, run: next()?.parse().ok()?, attempt: next()?, created: next()?, key: next()? })
    }
}

/// What a run's partition says to a grant.
enum Granted {
    /// The run knows.
    Yes,
    /// That attempt is over, or needs no such key.
    Gone,
    /// Another run there has it.
    Other(Turn),
}

/// The key that a run needs; empty when it needs none.
pub(super) fn key(request: &RunRequest) -> &str {
    request.mutex_key.as_deref().filter(|_| !request.force).unwrap_or_default()
}

/// What a claim found out about its run's key.
pub(super) enum Kept {
    /// It may go on.
    Yes,
    /// Another run has it; this one waits in line again, or has another owner by now.
    No,
    /// That can't be told now.
    Unknown(StoreError),
}

impl Store {
    /// Runs the errands of a partition that are due. Returns how many.
    ///
    /// # Errors
    /// When Redis can't be reached: what was not done comes again.
    pub async fn run_errands(&self, partition: u16) -> Result<usize, StoreError> {
        let prefix = self.partition(partition);
        let mut done = 0;
        for _ in 0..ROUNDS_MAX {
            let mut call = self.scripts.errands.key(&prefix);
            call.arg(ERRANDS).arg(u64::try_from(AGAIN.as_millis()).unwrap_or(u64::MAX));
            let errands: Vec<String> = self.call(&call, Duration::ZERO).await?;
            let mut by_key: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
            for text in &errands {
                let key = Errand::parse(text).map_or("", |errand| errand.key);
                by_key.entry(key).or_default().push(text);
            }
            // Those of one key one after the other: who asks first is first. A key whose slot is away keeps no other.
            let runs = by_key.into_values().map(|errands| self.run_in_order(&prefix, errands));
            for result in join_all(runs).await {
                done += result?;
            }
            if errands.len() < ERRANDS {
                break;
            }
        }
        Ok(done)
    }

    /// Runs errands and strikes them out. Returns how many.
    async fn run_in_order(&self, prefix: &str, errands: Vec<&String>) -> Result<usize, StoreError> {
        let done = errands.len();
        for text in errands {
            if let Some(errand) = Errand::parse(text) {
                self.run_errand(&errand).await?;
            }
            let mut strike = redis::cmd("ZREM");
            strike.arg(format!("{prefix}errands")).arg(text);
            self.look::<u64>(&strike, Duration::ZERO).await?;
        }
        Ok(done)
    }

    async fn run_errand(&self, errand: &Errand<'_>) -> Result<(), StoreError> {
        let turn = format!("{}:{}", errand.run, errand.attempt);
        let script = if errand.is_ask { &self.scripts.lock_ask } else { &self.scripts.lock_free };
        let mut call = script.key(self.of_name(errand.key));
        call.arg(errand.key).arg(turn);
        if errand.is_ask {
            call.arg(errand.created);
        }
        let holder: Vec<String> = self.call(&call, Duration::ZERO).await?;
        self.settle(errand.key, Turn::parse(&holder)?).await
    }

    /// Tells the run that has the key by its slot's word; when that turn is over, the next one.
    async fn settle(&self, key: &str, mut holder: Option<Turn>) -> Result<(), StoreError> {
        for _ in 0..OVER_MAX {
            let Some(turn) = holder else { return Ok(()) };
            match self.grant(key, &turn).await? {
                Granted::Yes => return Ok(()),
                Granted::Gone => holder = self.free(key, &turn.name()).await?,
                Granted::Other(other) => return self.restore(key, &turn, &other).await,
            }
        }
        Ok(())
    }

    async fn grant(&self, key: &str, turn: &Turn) -> Result<Granted, StoreError> {
        let mut call = self.scripts.grant.key(self.of_run(turn.run));
        call.arg(turn.run.to_string()).arg(turn.attempt).arg(key).arg(turn.ticket).arg(1);
        let answer: Vec<String> = self.call(&call, Duration::ZERO).await?;
        match answer.split_first() {
            Some((what, _)) if what == "granted" => Ok(Granted::Yes),
            Some((what, other)) if what == "other" => Turn::parse_run(other).map(Granted::Other),
            _ => Ok(Granted::Gone),
        }
    }

    /// Returns who has the key then.
    async fn free(&self, key: &str, turn: &str) -> Result<Option<Turn>, StoreError> {
        let mut call = self.scripts.lock_free.key(self.of_name(key));
        call.arg(key).arg(turn);
        Turn::parse(&self.call::<Vec<String>>(&call, Duration::ZERO).await?)
    }

    /// Tells the key's slot who really has it; `turn` stands in line.
    async fn restore(&self, key: &str, turn: &Turn, other: &Turn) -> Result<(), StoreError> {
        let mut call = self.scripts.lock_restore.key(self.of_name(key));
        call.arg(key).arg(turn.name()).arg(turn.created.0);
        call.arg(other.name()).arg(other.ticket).arg(other.created.0);
        self.call::<Vec<String>>(&call, PATIENCE).await.map(|_| ())
    }

    /// Whether a run that was just claimed may go on with its key: no other run may have it.
    pub(super) async fn keep_key(&self, entry: &ReadyEntry, claim: &Claim) -> Kept {
        let Some(held) = &claim.key else { return Kept::Yes };
        let request = &claim.request;
        let key = key(request);
        let own = request.id.partition() % self.partitions.max(1);
        // Its own partition gives a key to one run only.
        let others = (0..self.partitions).filter(|partition| *partition != own);
        let looks = join_all(others.map(async |partition| {
            let look = tokio::time::timeout(LOOK_MAX, self.held_by(partition, key)).await;
            look.unwrap_or_else(|_| Err(StoreError::Unreachable("no answer in time".to_owned())))
        }));
        let mine = Turn {
            run: request.id,
            attempt: claim.attempt,
            created: request.created_at,
            ticket: held.ticket,
        };
        for look in looks.await {
            match look {
                Ok(None) => {}
                // A run that Redis brought back after its end: whoever was given the key later has it.
                Ok(Some((other, other_is_only))) if held.is_only => {
                    if other_is_only && other.ticket > mine.ticket {
                        return self.step_back(entry, claim, key, &mine, &other).await;
                    }
                }
                Ok(Some((other, _))) => return self.step_back(entry, claim, key, &mine, &other).await,
                // It was the only one before, and a part of Redis that is away must not stop it.
                Err(_) if held.is_only => {}
                Err(error) => return Kept::Unknown(error),
            }
        }
        if held.is_only {
            return Kept::Yes;
        }
        self.hold(claim, "only").await
    }

    async fn step_back(
        &self,
        entry: &ReadyEntry,
        claim: &Claim,
        key: &str,
        mine: &Turn,
        other: &Turn,
    ) -> Kept {
        tracing::warn!(run = %entry.run, other = %other.run, key, "another run has the mutex; this one waits for it");
        if let Err(error) = self.restore(key, mine, other).await {
            return Kept::Unknown(error);
        }
        match self.hold(claim, "back").await {
            Kept::Yes | Kept::No => Kept::No,
            Kept::Unknown(error) => Kept::Unknown(error),
        }
    }

    async fn hold(&self, claim: &Claim, what: &str) -> Kept {
        let mut call = self.scripts.hold.key(self.of_run(claim.request.id));
        call.arg(claim.request.id.to_string()).arg(claim.epoch).arg(&claim.owner).arg(what).arg(1);
        match self.call::<String>(&call, PATIENCE).await {
            Ok(answer) if answer == "ok" => Kept::Yes,
            Ok(_) => Kept::No,
            Err(error) => Kept::Unknown(error),
        }
    }

    /// The run of a partition that has the key, and whether it was found to be the only one.
    async fn held_by(&self, partition: u16, key: &str) -> Result<Option<(Turn, bool)>, StoreError> {
        let mut call = self.scripts.held_by.key(self.partition(partition));
        call.arg(key);
        let answer: Vec<String> = self.call(&call, LOOK_MAX).await?;
        match answer.as_slice() {
            [] => Ok(None),
            [.., is_only] => Ok(Some((Turn::parse_run(&answer)?, is_only == "1"))),
        }
    }

    /// The key of a key's holder in its slot.
    fn locks(&self, key: &str) -> String {
        format!("{}locks", keys::partition(&self.environment, id::partition_of(key, self.partitions)))
    }

    /// Which runs have these keys, as the keys' slots say.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub(super) async fn key_holders(&self, keys: &[&str]) -> Result<Vec<Option<RunId>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.cmd("HGET").arg(self.locks(key)).arg(key);
        }
        let locks: Vec<Option<String>> = pipe.query_async(&mut self.pooled().await?).await?;
        let run = |lock: String| Turn::parse_name(lock.split(' ').next()?).map(|(run, _)| run);
        Ok(locks.into_iter().map(|lock| lock.and_then(run)).collect())
    }
}
