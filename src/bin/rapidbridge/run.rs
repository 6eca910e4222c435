//! `rapidbridge run`, `stop`, `resume`, `replay` and `trigger run`: what makes or changes one run.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;

use anyhow::Context as _;
use rapidbridge::json::Json;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::client::{Client, Run};
use crate::paint::{self, BOLD, DIM};
use crate::watch;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The sync job to execute
    #[arg(long, value_name = "ID")]
    job: String,
    /// The integrated account to read from
    #[arg(long, value_name = "ID")]
    account: String,
    /// The webhook to deliver to; not needed where the job has destinations
    #[arg(long, value_name = "ID")]
    webhook: Option<String>,
    /// An argument of the run, as text; may be given several times
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = pair)]
    args: Vec<(String, String)>,
    /// All arguments as a JSON object; --arg comes on top
    #[arg(long, value_name = "JSON")]
    args_json: Option<String>,
    /// What to do about a request that fails for good; the job says, if left out
    #[arg(long, value_parser = ["ignore", "batch", "fail_fast"])]
    error_handling: Option<String>,
    /// Read everything, as if no run had completed before
    #[arg(long)]
    ignore_previous_run: bool,
    /// Runs with the same one do not overlap, whatever their account; the job says, if left out
    #[arg(long, value_name = "NAME")]
    mutex_key: Option<String>,
    /// The namespace of the run's state cells; the job says, if left out
    #[arg(long, value_name = "NAME")]
    state_key: Option<String>,
    /// Wait for no mutex, neither that one nor the one of its job and account
    #[arg(long)]
    force: bool,
    /// Repeating the command with the same key makes no second run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Watch the run until it ends; the exit code is 0 completed, 1 failed, 2 stopped
    #[arg(long)]
    watch: bool,
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

pub(crate) async fn run(client: &Client, options: Options) -> anyhow::Result<ExitCode> {
    let mut body = Map::new();
    body.insert("sync_job_id".into(), options.job.into());
    body.insert("integrated_account_id".into(), options.account.into());
    if let Some(webhook) = options.webhook {
        body.insert("webhook_id".into(), webhook.into());
    }
    body.insert("ignore_previous_run".into(), options.ignore_previous_run.into());
    if options.force {
        body.insert("force".into(), true.into());
    }
    for (name, key) in [("mutex_key", options.mutex_key), ("state_key", options.state_key)] {
        body.extend(key.map(|key| (name.to_owned(), key.into())));
    }
    if let Some(handling) = options.error_handling {
        body.insert("error_handling".into(), handling.into());
    }
    let args = arguments("--args-json", options.args_json.as_deref(), &options.args)?;
    let mut request = client.post_request(&["sync-job-run"], with_args(&body, &args))?;
    if let Some(key) = options.idempotency_key {
        request = request.header("Idempotency-Key", key);
    }
    let run: Run = client.call(request).await?;
    begun(client, &run, options.watch).await
}

/// The members of an object as JSON text, with `pairs` on top: numbers of `json`, which was given by `option`, stay as they
/// were written.
pub(crate) fn arguments(
    option: &str,
    json: Option<&str>,
    pairs: &[(String, String)],
) -> anyhow::Result<Json> {
    let base = match json {
        None => Json::empty_object(),
        Some(text) => Json::parse(text).with_context(|| format!("{option} is no JSON"))?,
    };
    let Members(mut members) = serde_json::from_str(base.as_str())
        .with_context(|| format!("{option} must be an object, such as '{{\"since\": \"2026-01-01\"}}'"))?;
    members.extend(pairs.iter().map(|(name, value)| (name.clone(), Json::string(value))));
    Ok(Json::of(&members))
}

/// The members of an object. One that stands there twice is a mistake: only one of them would count.
struct Members(BTreeMap<String, Json>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Json>()? {
                    if members.contains_key(&name) {
                        return Err(A::Error::custom(format!("{name:?} is there twice")));
                    }
                    members.insert(name, value);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

pub(crate) fn with_args(body: &Map<String, Value>, args: &Json) -> String {
    let mut text = Value::Object(body.clone()).to_string();
    // Put in as text: a tree would round its numbers.
    text.truncate(text.len() - 1);
    format!("{text},\"args\":{args}}}")
}

async fn begun(client: &Client, run: &Run, watched: bool) -> anyhow::Result<ExitCode> {
    if watched {
        return watch::watch(client, &run.id).await;
    }
    let style = paint::of(run.status);
    anstream::println!("{BOLD}{}{BOLD:#} {style}{}{style:#}", run.id, run.status);
    // Beside the point for a script, which wants the id once.
    anstream::eprintln!("{DIM}follow it: rapidbridge watch {}{DIM:#}", run.id);
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn stop(client: &Client, run: &str, reason: &str) -> anyhow::Result<ExitCode> {
    let run: Run = client.post(&["sync-job-run", run, "stop"], &json!({ "reason": reason })).await?;
    if run.status.is_terminal() {
        anstream::println!("{} is {}", run.id, run.status);
    } else {
        anstream::println!("{} stops after the delivery in flight", run.id);
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn resume(client: &Client, run: &str, watched: bool) -> anyhow::Result<ExitCode> {
    let run: Run = client.post(&["sync-job-run", run, "resume"], &json!({})).await?;
    begun(client, &run, watched).await
}

pub(crate) async fn replay(client: &Client, run: &str, watched: bool) -> anyhow::Result<ExitCode> {
    let run: Run = client.post(&["sync-job-run", run, "replay"], &json!({})).await?;
    begun(client, &run, watched).await
}

pub(crate) async fn trigger(client: &Client, trigger: &str, watched: bool) -> anyhow::Result<ExitCode> {
    let run: Run = client.post(&["sync-job-cron-trigger", trigger, "run"], &json!({})).await?;
    begun(client, &run, watched).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_text_or_exact_json() {
        let pairs = [("since".to_owned(), "2026=x".to_owned()), ("n".to_owned(), "7".to_owned())];
        let args =
            arguments("--args-json", Some(r#"{"big": 12345678901234567890.10, "n": 1}"#), &pairs).unwrap();
        assert_eq!(args.as_str(), r#"{"big":12345678901234567890.10,"n":"7","since":"2026=x"}"#);
        assert!(
            arguments("--args-json", Some("[1]"), &[]).unwrap_err().to_string().contains("must be an object")
        );
        let twice = format!("{:#}", arguments("--args-json", Some(r#"{"a":1,"a":2}"#), &[]).unwrap_err());
        assert!(twice.contains("\"a\" is there twice"), "{twice}");
        assert_eq!(
            with_args(&Map::from_iter([("a".to_owned(), json!(1))]), &args),
            format!("{{\"a\":1,\"args\":{args}}}")
        );
        assert!(pair("=x").is_err() && pair("x").is_err());
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
    }
}
