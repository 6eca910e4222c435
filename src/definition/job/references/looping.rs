//! Whether what a request loops on can be a list.

use serde_json::Value;

use super::super::{Argument, SyncJob};
use super::{Judge, Refusal};

/// What can't be a list, whatever is in it.
const NO_LISTS: [&str; 5] =
    ["sync_job_run", "previous_run_date", "tenant_id", "total_records_size", "credentials"];

pub(super) fn refusal(job: &SyncJob, index: usize, path: &[String]) -> Option<Refusal> {
    let shown = path.join(".");
    let (root, rest) = path.split_first()?;
    let refuse = |message: String, hint: &str| Some(Refusal { message, hint: hint.to_owned() });
    match root.as_str() {
        "args" | "resources" | "context" if rest.is_empty() => {
            refuse(format!("{shown} is no list"), "write the path of one, such as args.user_ids")
        }
        "args" => Judge(job).argument(path, &shown).or_else(|| no_list(job, rest, &shown)),
        "resources" => Judge(job).record(path, &shown, index, false),
        root if NO_LISTS.contains(&root) => {
            refuse(format!("{shown} is no list"), "loop on an argument, the account's context or records")
        }
        // A bare name is looked for in the context, whose keys nobody knows here, then among the arguments.
        name if rest.is_empty() => find(job, name).and_then(|_| no_list(job, path, &shown)),
        _ => None,
    }
}

fn find<'j>(job: &'j SyncJob, name: &str) -> Option<&'j Argument> {
    job.arguments.iter().flatten().find(|argument| argument.name == name)
}

/// An argument that is declared as something else than a list.
fn no_list(job: &SyncJob, rest: &[String], shown: &str) -> Option<Refusal> {
    let [name] = rest else { return None };
    let kind = find(job, name)?.schema.get(&["type"])?;
    let types: Value = serde_json::from_str(kind.as_str()).ok()?;
    let may_be_list =
        types.as_array().map_or(types == "array", |types| types.iter().any(|kind| kind == "array"));
    (!may_be_list).then(|| Refusal {
        message: format!("{shown} is declared as {kind}, and loop_on needs a list"),
        hint: format!("declare it as one: {name}: {{ type: array }}"),
    })
}
