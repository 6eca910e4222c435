//! `rapidbridge state`: what jobs remember from run to run.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use rapidbridge::json::Json;
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Client, Page};
use crate::paint::{DIM, short};

/// Characters of a value in a list.
const VALUE_CHARS_MAX: usize = 120;

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// List the cells of a namespace, by name
    List {
        #[command(flatten)]
        namespace: Namespace,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
        /// Where the list before left off
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
    },
    /// Print the value of a cell
    Get {
        /// The cell's name
        key: String,
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Write a cell, whether it is there or not
    Set {
        /// The cell's name
        key: String,
        /// Its value: JSON, or a text as it stands
        value: String,
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Delete a cell: the next run starts as if it had never been
    Delete {
        /// The cell's name
        key: String,
        #[command(flatten)]
        namespace: Namespace,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Namespace {
    /// The namespace: the state_key of the job or run, as it was rendered
    #[arg(long, value_name = "NAME")]
    state_key: String,
}

impl Namespace {
    fn query(&self) -> [(&str, &str); 1] {
        [("state_key", &self.state_key)]
    }
}

#[derive(Deserialize)]
struct Cell {
    key: String,
    value: Json,
    updated_at: String,
}

pub(crate) async fn run(client: &Client, command: StateCommand) -> anyhow::Result<ExitCode> {
    const PATH: &str = "sync-job-run-state";
    match command {
        StateCommand::List { namespace, limit, cursor } => {
            let limit = limit.to_string();
            let mut query = vec![("state_key", namespace.state_key.as_str()), ("limit", &limit)];
            query.extend(cursor.as_deref().map(|cursor| ("next_cursor", cursor)));
            let page: Page<Cell> = client.get(&[PATH], &query).await?;
            if page.result.is_empty() && cursor.is_none() {
                anstream::println!("No cells in {:?}.", namespace.state_key);
            }
            for cell in page.result {
                let value = short(cell.value.as_str(), VALUE_CHARS_MAX);
                anstream::println!("{}  {value}  {DIM}{}{DIM:#}", cell.key, cell.updated_at);
            }
            if let Some(next) = page.next_cursor {
                anstream::eprintln!("{DIM}more: --cursor '{next}'{DIM:#}");
            }
        }
        StateCommand::Get { key, namespace } => {
            let cell: Cell = client.get(&[PATH, &key], &namespace.query()).await?;
            anstream::println!("{}", cell.value);
        }
        StateCommand::Set { key, value, namespace } => {
            let value = Json::parse(&value).unwrap_or_else(|_| Json::string(&value));
            // Put together as text: a number keeps all its digits.
            let body = format!("{{\"key\":{},\"value\":{value}}}", Json::string(&key));
            let request = client.post_request(&[PATH], body)?.query(&namespace.query());
            let cell: Cell = client.call(request).await?;
            anstream::println!("{} = {}", cell.key, short(cell.value.as_str(), VALUE_CHARS_MAX));
        }
        StateCommand::Delete { key, namespace } => {
            client.delete::<Value>(&[PATH, &key], &namespace.query()).await?;
            anstream::println!("deleted {key}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
