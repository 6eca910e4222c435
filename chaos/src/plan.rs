//! Which fault comes when: all of it follows from the seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rapidbridge::playground::proxy::Weather;

/// Workers that run at a time.
pub(crate) const WORKERS: usize = 4;
/// Schedulers that run at a time.
pub(crate) const SCHEDULERS: usize = 2;
/// Helpdesks to read from.
pub(crate) const SOURCES: usize = 2;
/// Webhook receivers to deliver to.
pub(crate) const RECEIVERS: usize = 3;

/// The lease of all workers: the shortest that settings allow, so that take-overs are many.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// Nothing happens before this: everything starts.
const LEAD_IN: Duration = Duration::from_millis(1500);

/// One of the product's processes, by its place in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Slot {
    Worker(usize),
    Scheduler(usize),
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Worker(number) => write!(f, "worker {number}"),
            Self::Scheduler(number) => write!(f, "scheduler {number}"),
        }
    }
}

/// A network link with a proxy in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Redis,
    Source(usize),
    Receiver(usize),
}

/// What a source does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceFault {
    /// 429 with `Retry-After`, each account once.
    Limit,
    /// 500, once for each page.
    Error,
    /// Something that is no page, once for each page.
    Garbage,
    /// The cursor is refused, once for each list of a run.
    ExpiredCursor,
}

/// What a receiver does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReceiverFault {
    /// 500.
    Error,
    /// 503 with `Retry-After`.
    Unavailable,
    /// 200, and a body that never comes.
    Silence,
    /// 200, and a body that drips without an end.
    Drip,
    /// Takes the page and hangs up.
    HangUp,
}

/// Something bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; started again when the fault ends.
    Kill(Slot),
    /// SIGSTOP, and SIGCONT when the fault ends: a worker wakes up as a zombie.
    Freeze(Slot),
    /// SIGTERM; another one is started when the fault ends.
    Leave(Slot),
    /// SIGKILL of Redis; started again when the fault ends.
    KillRedis,
    /// SIGKILL of Redis, and its append-only file loses the last second.
    PowerLoss,
    /// Redis forgets its scripts and the readers of its streams, and drops every connection.
    Forget,
    Network(Link, Weather),
    Source(usize, SourceFault),
    Receiver(usize, ReceiverFault),
}

impl Fault {
    /// Its name in the report.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Kill(Slot::Worker(_)) => "worker_kill",
            Self::Kill(Slot::Scheduler(_)) => "scheduler_kill",
            Self::Freeze(Slot::Worker(_)) => "worker_freeze",
            Self::Freeze(Slot::Scheduler(_)) => "scheduler_freeze",
            Self::Leave(Slot::Worker(_)) => "worker_term",
            Self::Leave(Slot::Scheduler(_)) => "scheduler_term",
            Self::KillRedis => "redis_kill",
            Self::PowerLoss => "power_loss",
            Self::Forget => "redis_forgets",
            Self::Network(link, weather) => network(link, weather),
            Self::Source(_, SourceFault::Limit) => "source_429",
            Self::Source(_, SourceFault::Error) => "source_500",
            Self::Source(_, SourceFault::Garbage) => "source_garbage",
            Self::Source(_, SourceFault::ExpiredCursor) => "source_expired_cursor",
            Self::Receiver(_, ReceiverFault::Error) => "receiver_500",
            Self::Receiver(_, ReceiverFault::Unavailable) => "receiver_503",
            Self::Receiver(_, ReceiverFault::Silence) => "receiver_timeout",
            Self::Receiver(_, ReceiverFault::Drip) => "receiver_drip",
            Self::Receiver(_, ReceiverFault::HangUp) => "receiver_hang_up",
        }
    }
}

fn network(link: Link, weather: Weather) -> &'static str {
    match (link, weather) {
        (Link::Redis, Weather::Delay(_)) => "redis_delay",
        (Link::Redis, Weather::CutReply(_)) => "redis_cut_reply",
        (Link::Redis, Weather::SwallowReplies) => "redis_swallowed_replies",
        (Link::Redis, Weather::Refuse) => "redis_refused",
        (Link::Redis, Weather::Strand) => "redis_stranded",
        (Link::Source(_), Weather::Delay(_)) => "source_delay",
        (Link::Source(_), Weather::CutReply(_)) => "source_cut_reply",
        (Link::Source(_), Weather::SwallowReplies) => "source_swallowed_replies",
        (Link::Source(_), Weather::Refuse) => "source_refused",
        (Link::Source(_), Weather::Strand) => "source_stranded",
        (Link::Receiver(_), Weather::Delay(_)) => "receiver_delay",
        (Link::Receiver(_), Weather::CutReply(_)) => "receiver_cut_reply",
        (Link::Receiver(_), Weather::SwallowReplies) => "receiver_swallowed_replies",
        (Link::Receiver(_), Weather::Refuse) => "receiver_refused",
        (Link::Receiver(_), Weather::Strand) => "receiver_stranded",
        (_, Weather::Fair) => "fair_weather",
    }
}

/// A fault with its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

impl Planned {
    fn ends(&self) -> Duration {
        self.at + self.lasts
    }
}

/// The faults of one trial, by the time they begin. The same seed and length give the same plan.
pub(crate) fn plan(seed: u64, length: Duration) -> Vec<Planned> {
    let mut planner = Planner { dice: StdRng::seed_from_u64(seed), length, faults: Vec::new() };
    // Redis first: its times are few and must be had.
    let mut redis = 0;
    planner.every(9_000, |dice, _| {
        redis += 1;
        let fault = if redis % 3 == 2 { Fault::PowerLoss } else { Fault::KillRedis };
        Some((fault, millis(dice, 200, 1200)))
    });
    planner.every(1_400, |dice, busy| {
        let scheduler = dice.random_range(0..4) == 0;
        free(dice, busy, scheduler).map(|slot| (Fault::Kill(slot), millis(dice, 150, 500)))
    });
    planner.every(5_000, |dice, busy| {
        let scheduler = dice.random_range(0..5) == 0;
        // Longer than a lease, so that somebody else has the run when its old owner wakes up.
        free(dice, busy, scheduler).map(|slot| (Fault::Freeze(slot), LEASE + millis(dice, 800, 3000)))
    });
    planner.every(8_000, |dice, busy| {
        let scheduler = dice.random_range(0..4) == 0;
        free(dice, busy, scheduler).map(|slot| (Fault::Leave(slot), millis(dice, 2_000, 3_000)))
    });
    planner.every(2_200, |dice, _| {
        let link = match dice.random_range(0..4) {
            0 => Link::Redis,
            1 => Link::Source(dice.random_range(0..SOURCES)),
            _ => Link::Receiver(dice.random_range(0..RECEIVERS)),
        };
        let weather = match dice.random_range(0..6) {
            0 => Weather::Delay(millis(dice, 20, 250)),
            1 => Weather::CutReply(dice.random_range(0..40)),
            2 => Weather::Refuse,
            3 => Weather::Strand,
            _ => Weather::SwallowReplies,
        };
        Some((Fault::Network(link, weather), millis(dice, 200, 1_800)))
    });
    planner.every(3_500, |dice, _| {
        let fault = match dice.random_range(0..5) {
            0 => ReceiverFault::Error,
            1 => ReceiverFault::Unavailable,
            2 => ReceiverFault::Silence,
            3 => ReceiverFault::Drip,
            _ => ReceiverFault::HangUp,
        };
        Some((Fault::Receiver(dice.random_range(0..RECEIVERS), fault), millis(dice, 300, 2_500)))
    });
    planner.every(2_500, |dice, _| {
        let fault = match dice.random_range(0..4) {
            0 => SourceFault::Limit,
            1 => SourceFault::Error,
            2 => SourceFault::Garbage,
            _ => SourceFault::ExpiredCursor,
        };
        Some((Fault::Source(dice.random_range(0..SOURCES), fault), millis(dice, 300, 2_500)))
    });
    planner.every(10_000, |dice, _| Some((Fault::Forget, millis(dice, 1, 2))));
    planner.faults.sort_by_key(|planned| planned.at);
    planner.faults
}

struct Planner {
    dice: StdRng,
    length: Duration,
    faults: Vec<Planned>,
}

impl Planner {
    /// Draws a fault about every so many milliseconds. `draw` gets the processes that are busy then.
    fn every(
        &mut self,
        period: u64,
        mut draw: impl FnMut(&mut StdRng, &[Slot]) -> Option<(Fault, Duration)>,
    ) {
        let mut at = LEAD_IN + millis(&mut self.dice, 0, period);
        while at < self.length {
            // A process that leaves or sleeps is not killed meanwhile: each fault is seen to its end.
            let margin = Duration::from_secs(7);
            let around = self
                .faults
                .iter()
                .filter(|other| other.at < at + margin && other.ends() + millis_of(300) > at);
            let busy: Vec<Slot> = around.filter_map(|other| slot(other.fault)).collect();
            if let Some((fault, lasts)) = draw(&mut self.dice, &busy)
                && !self.clashes(at, lasts, fault)
            {
                self.faults.push(Planned { at, lasts, fault });
            }
            at += millis(&mut self.dice, period * 3 / 4, period * 5 / 4);
        }
    }

    /// Whether something else already has a hand on the same thing at that time.
    fn clashes(&self, at: Duration, lasts: Duration, fault: Fault) -> bool {
        let overlapping = self.faults.iter().filter(|other| other.at <= at + lasts && at <= other.ends());
        overlapping.into_iter().any(|other| match (fault, other.fault) {
            (Fault::KillRedis | Fault::PowerLoss, Fault::KillRedis | Fault::PowerLoss) => true,
            (Fault::Network(ours, _), Fault::Network(theirs, _)) => ours == theirs,
            (Fault::Source(ours, _), Fault::Source(theirs, _))
            | (Fault::Receiver(ours, _), Fault::Receiver(theirs, _)) => ours == theirs,
            _ => false,
        })
    }
}

fn slot(fault: Fault) -> Option<Slot> {
    match fault {
        Fault::Kill(slot) | Fault::Freeze(slot) | Fault::Leave(slot) => Some(slot),
        Fault::KillRedis
        | Fault::PowerLoss
        | Fault::Forget
        | Fault::Network(..)
        | Fault::Source(..)
        | Fault::Receiver(..) => None,
    }
}

/// A worker or a scheduler that nothing else happens to.
fn free(dice: &mut StdRng, busy: &[Slot], scheduler: bool) -> Option<Slot> {
    let all: Vec<Slot> = if scheduler {
        (0..SCHEDULERS).map(Slot::Scheduler).collect()
    } else {
        (0..WORKERS).map(Slot::Worker).collect()
    };
    let free: Vec<Slot> = all.into_iter().filter(|slot| !busy.contains(slot)).collect();
    (!free.is_empty()).then(|| free[dice.random_range(0..free.len())])
}

fn millis(dice: &mut StdRng, from: u64, to: u64) -> Duration {
    millis_of(dice.random_range(from..=to))
}

fn millis_of(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(plan: &[Planned], kinds: &[&str]) -> usize {
        plan.iter().filter(|planned| kinds.contains(&planned.fault.kind())).count()
    }

    #[test]
    fn a_minute_has_what_was_promised_whatever_the_seed() {
        for seed in 0..300 {
            let plan = plan(seed, Duration::from_secs(60));
            let kills = count(&plan, &["worker_kill", "scheduler_kill"]);
            assert!(kills >= 30, "seed {seed}: {kills} kills");
            assert!(
                count(&plan, &["redis_kill", "power_loss"]) >= 4,
                "seed {seed}: Redis restarts too rarely"
            );
            assert!(count(&plan, &["power_loss"]) >= 1, "seed {seed}: no power loss");
            assert!(count(&plan, &["worker_freeze"]) >= 3, "seed {seed}: too few zombies");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        let shown = |seed| format!("{:?}", plan(seed, Duration::from_secs(60)));
        assert_eq!(shown(7), shown(7));
        assert_ne!(shown(7), shown(8));
    }

    #[test]
    fn nothing_happens_twice_to_one_process_at_a_time() {
        for seed in 0..50 {
            let plan = plan(seed, Duration::from_secs(120));
            for (index, one) in plan.iter().enumerate() {
                for other in &plan[index + 1..] {
                    let both = slot(one.fault).is_some() && slot(one.fault) == slot(other.fault);
                    assert!(!both || other.at >= one.ends(), "seed {seed}: {one:?} and {other:?}");
                }
            }
        }
    }
}
