//! `rapidbridge delete`.

use std::process::ExitCode;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Client, Refusal};

#[derive(Debug, clap::Args)]
pub(crate) struct DeleteOptions {
    /// What kind of definition
    kind: Kind,
    /// Its id (an integration's name)
    id: String,
    /// Stop the runs that still need it
    #[arg(long)]
    force: bool,
}

/// Kinds of definition; the names of `kind` in files are understood as well.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    #[value(alias = "unified_model")]
    UnifiedModel,
    Integration,
    #[value(alias = "integrated_account", alias = "integrated-account")]
    Account,
    Webhook,
    #[value(alias = "sync_job", alias = "sync-job")]
    Job,
    #[value(alias = "sync_job_cron_trigger", alias = "sync-job-cron-trigger")]
    Trigger,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::UnifiedModel => "unified-model",
            Self::Integration => "integration",
            Self::Account => "integrated-account",
            Self::Webhook => "webhook",
            Self::Job => "sync-job",
            Self::Trigger => "sync-job-cron-trigger",
        }
    }
}

#[derive(Debug, Deserialize)]
struct Deleted {
    id: String,
    stopped_runs: Vec<String>,
}

pub(crate) async fn delete(client: &Client, options: DeleteOptions) -> anyhow::Result<ExitCode> {
    let force: &[(&str, &str)] = if options.force { &[("force", "true")] } else { &[] };
    match client.delete::<Deleted>(&[options.kind.path(), &options.id], force).await {
        Ok(deleted) => {
            anstream::println!("deleted {} {}", options.kind.path(), deleted.id);
            for run in deleted.stopped_runs {
                anstream::println!("stopped run {run}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let Some(refusal) = error.downcast_ref::<Refusal>().filter(|refusal| refusal.status == 409)
            else {
                return Err(error);
            };
            standing_in_the_way(&refusal.details);
            Err(anyhow::anyhow!(in_our_words(&error.to_string())))
        }
    }
}

/// The API's hint as it is given here.
fn in_our_words(text: &str) -> String {
    text.replace("?force=true", "--force")
}

/// Definitions that refer to it, or runs that need it.
fn standing_in_the_way(details: &Value) {
    for definition in details.as_array().into_iter().flatten() {
        let text = |name: &str| definition[name].as_str().unwrap_or_default();
        anstream::eprintln!("  {} {}", text("kind"), text("id"));
    }
    for run in details["sync_job_runs"].as_array().into_iter().flatten() {
        anstream::eprintln!("  run {}", run.as_str().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_flag_there_is() {
        let said = "1 run needs it; wait, or delete it with ?force=true, which stops what runs";
        let ours = "1 run needs it; wait, or delete it with --force, which stops what runs";
        assert_eq!(in_our_words(said), ours);
    }
}
