//! `rapidbridge dry-run`: what a job would do, step by step.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::{Client, Run};
use crate::paint::{self, BOLD, CYAN, DIM, GREEN, RED};
use crate::run;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The sync job
    job: String,
    /// The integrated account to read from
    #[arg(long, value_name = "ID")]
    account: String,
    /// How many records of each list to read
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: u64,
    /// The webhook that would be delivered to; it gets nothing and need not exist
    #[arg(long, value_name = "ID")]
    webhook: Option<String>,
    /// An argument of the run, as text; may be given several times
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = run::pair)]
    args: Vec<(String, String)>,
    /// All arguments as a JSON object; --arg comes on top
    #[arg(long, value_name = "JSON")]
    args_json: Option<String>,
    /// Print what the API answers, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
struct Shown {
    run: Run,
    steps: Vec<BTreeMap<String, Value>>,
}

pub(crate) async fn run(client: &Client, options: Options) -> anyhow::Result<ExitCode> {
    let mut body = Map::new();
    body.insert("integrated_account_id".into(), options.account.into());
    body.insert("limit".into(), options.limit.into());
    body.extend(options.webhook.map(|webhook| ("webhook_id".to_owned(), webhook.into())));
    let args = run::arguments("--args-json", options.args_json.as_deref(), &options.args)?;
    let path = ["sync-job", options.job.as_str(), "dry-run"];
    let answer: Value = client.call(client.post_request(&path, run::with_args(&body, &args))?).await?;
    let shown: Shown = serde_json::from_value(answer.clone())?;
    if options.json {
        anstream::println!("{answer:#}");
    } else {
        shown.steps.iter().for_each(step);
        let (run, style) = (&shown.run, paint::of(shown.run.status));
        let limit = run.dry_run.unwrap_or_default();
        anstream::println!(
            "\n{BOLD}{}{BOLD:#} {style}{}{style:#}: nothing delivered, {limit} records of each list at most",
            run.id,
            run.status
        );
        for (node, reason) in &run.incomplete {
            anstream::println!("{RED}{node}{RED:#}: {reason}");
        }
        if let Some(message) = run.error.as_ref().and_then(|error| error.message.as_ref()) {
            anstream::println!("{RED}{message}{RED:#}");
        }
        if !run.status.is_terminal() {
            anstream::println!("{DIM}it goes on: rapidbridge show {}{DIM:#}", run.id);
        }
    }
    let well = shown.run.incomplete.is_empty() && shown.run.error.is_none();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn step(line: &BTreeMap<String, Value>) {
    let what = line.get("what").and_then(Value::as_str).unwrap_or_default();
    let detail = line.get("detail").unwrap_or(&Value::Null);
    let text = |name: &str| {
        let value = &detail[name];
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    };
    match what {
        "plan" => {
            anstream::println!("{BOLD}plan{BOLD:#}");
            text("plan").lines().for_each(|line| anstream::println!("  {line}"));
        }
        "request" => {
            anstream::println!(
                "\n{CYAN}request{CYAN:#} {BOLD}{} {}{BOLD:#}",
                text("method"),
                text("resource")
            );
            for name in ["integrated_account_id", "id", "query", "body", "cursor"] {
                let plain = [Value::Null, Value::Object(Map::new()), Value::from("start")];
                if !plain.contains(&detail[name]) {
                    anstream::println!("  {DIM}{name}{DIM:#} {}", text(name));
                }
            }
            let answer = &detail["answer"];
            match answer["message"].as_str() {
                Some(message) => anstream::println!("  {RED}{}{RED:#}", message),
                None => {
                    anstream::println!(
                        "  {GREEN}{} records{GREEN:#}, next {}",
                        answer["records"],
                        answer["next"]
                    );
                    let first = answer["first"].as_array();
                    first.into_iter().flatten().for_each(|record| anstream::println!("  {record}"));
                }
            }
        }
        "node" => {
            anstream::println!("\n{CYAN}node{CYAN:#} {BOLD}{}{BOLD:#}", text("node"));
            anstream::println!("  {DIM}in{DIM:#}  {}", text("input"));
            anstream::println!("  {DIM}out{DIM:#} {}", text("output"));
        }
        "delivery" => {
            let (event, webhook) = (text("event"), text("webhook_id"));
            anstream::println!(
                "\n{CYAN}would deliver{CYAN:#} {BOLD}{event}{BOLD:#} to {webhook}, {} bytes",
                detail["bytes"]
            );
            anstream::println!("  {}", text("body"));
        }
        "state" => anstream::println!("\n{CYAN}state{CYAN:#} {detail}"),
        _ => {}
    }
}
