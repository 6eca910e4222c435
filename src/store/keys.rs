#![doc = include_str!("../../docs/redis-keys.md")]

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
