//! Every key, in one place. All keys of a partition share a hash tag, so a script touches one slot; every key
//! carries its environment.
//!
//! Under `rb:{<environment>.<partition>}:` (built in Lua from this prefix):
//!
//! | key | type | what |
//! |---|---|---|
//! | `run:<run>` | hash | request, status, place, epoch, owner, checkpoint, outcome |
//! | `stage:<run>` | hash | bytes the checkpoint names: events not yet acknowledged, parents' records |
//! | `stages`, `staged` | zset, counter | bytes staged by each run, and by all of the partition |
//! | `log:<run>` | list | what happened, for people; capped |
//! | `backlog:<account>` | zset | runs that wait for a slot, by time of creation |
//! | `ring` | zset | accounts with a backlog, by turn: one after the other is admitted |
//! | `turn` | counter | the next turn |
//! | `asleep` | zset | accounts whose gate is closed, by the time it opens |
//! | `ready` | stream | admitted runs; group `workers`; shallow, never trimmed |
//! | `leases` | zset | runs a worker has, by the end of the lease |
//! | `parked` | zset | runs that wait for a time |
//! | `mutexes` | hash | mutex → the run that holds it, parked included |
//! | `waiting:<mutex>` | zset | runs that wait for it, first come first served |
//! | `gate:<account>` | hash | generation and opening time of the account's rate limit; expires |
//! | `watermarks:<account>` | hash | series (job and webhooks) → start of its newest completed run; never expires |
//! | `triggers` | zset | triggers by the time they are due |
//! | `trigger:<trigger>` | hash | last slot, next, counts |
//! | `trigger-runs:<trigger>` | set | its runs that have not ended |
//! | `live` | set | runs that have not ended |
//! | `runs` | zset | all runs by time of creation |
//! | `ended` | zset | ended runs by time of their end |
//! | `idempotency:<key>` | string | the run a client's key made; expires |
//! | `beat`, `reap-after` | string | when somebody last tended; when reaping may go on |
//!
//! Under `rb:{<environment>.definitions}:`
//!
//! | key | type | what |
//! |---|---|---|
//! | `integration`, `integrated_account`, `webhook`, `sync_job`, `sync_job_cron_trigger` | hash | id → record, secrets sealed |
//! | `generation` | counter | how often anything was applied |
//! | `content:<address>` | string | a job or integration that runs may have pinned |
//! | `contents` | zset | addresses by the time they were last applied or pinned |
//!
//! And `rb:{<environment>.definitions}:layout`, which says how many partitions there are.

use crate::id::EnvironmentId;

/// The consumer group of every ready stream.
pub const GROUP: &str = "workers";

/// The prefix of a partition's keys.
pub fn partition(environment: &EnvironmentId, partition: u16) -> String {
    format!("rb:{{{environment}.{partition}}}:")
}

/// The prefix of the definitions' keys.
pub fn definitions(environment: &EnvironmentId) -> String {
    format!("rb:{{{environment}.definitions}}:")
}

/// The runs that share a watermark: of one job to the same webhooks (the account is in the key).
pub fn series(request: &crate::run::RunRequest) -> String {
    let webhooks: Vec<&str> = request.webhooks.iter().map(crate::id::WebhookId::as_str).collect();
    format!("{}:{}", request.job, webhooks.join(","))
}

/// What a run pins itself to so that two of one job and account never overlap.
pub fn overlap_mutex(job: &crate::id::JobId, account: &crate::id::AccountId) -> String {
    format!("{job}:{account}")
}
