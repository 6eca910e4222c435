//! What can be written on the command line, with its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use url::Url;

use crate::client::Client;
use crate::state::StateCommand;
use crate::{
    apply, check, connect, definitions, demo, dev, dry_run, lint, new, playground, run, runs, serve, validate,
};

const EXAMPLES: &str = "\
Examples:
  rapidbridge demo                                   see the main job, with workers killed on the way
  rapidbridge dev                                    a private Redis, scheduler and workers on this machine
  rapidbridge playground                             an API and a receiver to try sync jobs with
  rapidbridge validate examples/helpdesk             check files, show each job's plan
  rapidbridge integration new                        answer some questions, get an integration's file
  rapidbridge integration check FILES --resource R   try a declaration on the real API
  rapidbridge apply -f examples/helpdesk             show what would change, ask, apply
  rapidbridge run --job helpdesk-full --account acme --webhook backend --watch
  rapidbridge runs --status failed
  rapidbridge show RUN                               counts, the reason, the log
  rapidbridge resume RUN --watch                     go on at the checkpoint";

/// A self-hosted, durable data-sync engine: HTTP APIs to webhooks, page by page, nothing lost
#[derive(Debug, Parser)]
#[command(name = "rapidbridge", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which scheduler is asked.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// Where the scheduler's REST API is
    #[arg(
        long,
        global = true,
        env = "RAPIDBRIDGE_API_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        help_heading = "Connection"
    )]
    api_url: Url,
    /// A token of the scheduler's setting api.tokens; on this machine that of `rapidbridge dev` if left out
    #[arg(
        long,
        global = true,
        env = "RAPIDBRIDGE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "Connection"
    )]
    token: Option<SecretString>,
}

impl Remote {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let token = match &self.token {
            Some(token) => Some(token.clone()),
            None => dev::token_for(&self.api_url),
        };
        Client::new(self.api_url.clone(), token)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Apply definitions from files: show the difference, ask, and do it
    Apply(apply::Options),
    /// Check definitions in files, without a server: every mistake with its place, or each job's plan
    Validate(validate::Options),
    /// Print the JSON Schema of definitions, by which editors complete and explain them
    Schema,
    /// Integrations: write one, and see what it does with a real API
    #[command(subcommand)]
    Integration(IntegrationCommand),
    /// Let an account in at its source (OAuth 2), in the browser; its tokens are kept by the server
    Connect(connect::Options),
    /// Show what a sync job would do: real requests to the source, nothing delivered, nothing remembered
    DryRun(dry_run::Options),
    /// Start a run of a sync job now
    Run(run::Options),
    /// List runs, the newest first
    Runs(runs::Options),
    /// Show one run: where it is, what it counted, why it ended, its log
    Show {
        /// The run's id
        run: String,
    },
    /// Watch a run until it ends; the exit code is 0 completed, 1 failed, 2 stopped, 3 completed but not all was read
    Watch {
        /// The run's id
        run: String,
    },
    /// Stop a run; it can be resumed
    Stop {
        /// The run's id
        run: String,
        /// Why; kept with the run and told to the webhook
        #[arg(long, default_value = "stopped from the command line")]
        reason: String,
    },
    /// Go on with a failed or stopped run at its checkpoint
    Resume {
        /// The run's id
        run: String,
        /// Watch it until it ends
        #[arg(long)]
        watch: bool,
    },
    /// Do an ended run all over, as a new run with the same arguments
    Replay {
        /// The run's id
        run: String,
        /// Watch the new run until it ends
        #[arg(long)]
        watch: bool,
    },
    /// Triggers
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// State cells: what jobs remember from run to run
    #[command(subcommand)]
    State(StateCommand),
    /// Delete a definition that nothing needs any more
    Delete(definitions::DeleteOptions),
    /// Run everything on this machine: a private Redis, a scheduler with its API, and workers
    Dev(dev::Options),
    /// Show the main job on this machine: a sync that survives killed workers
    Demo(demo::Options),
    /// A helpdesk API and a webhook receiver on this machine, to try sync jobs with
    Playground(playground::Options),
    /// Run a worker, as rapidbridge-worker does
    Worker(serve::Options),
    /// Run a scheduler, as rapidbridge-scheduler does
    Scheduler(serve::Options),
    /// Keys that seal secrets
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum IntegrationCommand {
    /// Write a new integration with an account: asks some questions about the API; flags answer them as well
    New(Box<new::Options>),
    /// Read some pages from files alone, without a server: what is sent, what comes back, where it goes on and why it ends
    Check(Box<check::Options>),
    /// Show what mappings leave out of their unified models, and what they have that the models don't know
    Lint(lint::Options),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TriggerCommand {
    /// Make a run of a trigger now, without a slot
    Run {
        /// The trigger's id
        trigger: String,
        /// Watch the run until it ends
        #[arg(long)]
        watch: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Print a new random key for the setting seal.key
    Generate,
}

/// Files and folders of definitions.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Files (YAML or JSON) or folders of them; may be given several times
    #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    /// Also finds an argument of a command that takes the name of one that all commands have.
    #[test]
    fn every_command_can_be_written() {
        for line in [
            "apply -f x.yaml --dry-run",
            "validate x.yaml folder",
            "schema",
            "integration lint x.yaml",
            "integration new",
            "integration new --name x --base-url https://x.example --auth oauth2-client-credentials --token-url \
             https://x.example/token --resource r --path /r --records data --pagination page --first-page 0 \
             --size-param n --size 50 --rate-limit 10/1s -o x.yaml --force --yes",
            "integration check x.yaml --resource r --method list --query a=1 --pages 2",
            "connect acme --port 8085 --no-browser",
            "run --job j --account a --webhook w --arg x=1 --watch",
            "runs --status failed --limit 5",
            "show r",
            "watch r",
            "stop r --reason lunch",
            "resume r --watch",
            "replay r",
            "trigger run t",
            "state list --state-key k --limit 5",
            "state get c --state-key k",
            "state set c 1 --state-key k",
            "state delete c --state-key k",
            "delete sync_job j --force",
            "dev -f examples --workers 2 --port 1234",
            "demo --kills 1",
            "playground --source-token t",
            "worker --config x.toml",
            "scheduler",
            "key generate",
        ] {
            let words = ["rapidbridge", "--token", "t"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn the_token_is_never_shown() {
        let cli = Cli::try_parse_from(["rapidbridge", "--token", "canary-token", "show", "x"]).unwrap();
        assert!(!format!("{cli:?}").contains("canary-token"));
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("RAPIDBRIDGE_TOKEN") && help.contains("rapidbridge dev"));
    }
}
