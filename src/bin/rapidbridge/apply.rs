//! `rapidbridge apply`: reads definitions from files, shows what would change, asks, applies.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use rapidbridge::definition::{Document, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Client, Refusal};
use crate::commands::Files;
use crate::files;
use crate::paint::{self, CYAN, DIM, GREEN, RED, YELLOW};

/// What is said when files have problems.
const NOTHING_DONE: &str = "; nothing was applied";
/// Characters of a value that a difference shows.
const VALUE_CHARS_MAX: usize = 100;

/// What `apply` exits with when its files hold no documents.
const NOTHING_THERE: u8 = 2;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    files: Files,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Don't ask; needed where nobody can be asked
    #[arg(short, long)]
    yes: bool,
}

/// What applying does, as the API answers.
#[derive(Debug, Deserialize)]
struct Applied {
    result: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    kind: String,
    id: String,
    action: String,
    #[serde(default)]
    diff: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
struct Difference {
    path: String,
    before: Option<String>,
    after: Option<String>,
}

pub(crate) async fn run(client: &Client, options: Options) -> anyhow::Result<ExitCode> {
    let documents = files::read(&options.files.paths, NOTHING_DONE)?;
    if documents.is_empty() {
        anstream::eprintln!("{}", nothing_in(&options.files.paths));
        return Ok(ExitCode::from(NOTHING_THERE));
    }
    documents.iter().for_each(files::advise);
    let changes = send(client, &documents, true).await?;
    show(&changes);
    if changes.iter().all(|change| change.action == "unchanged") {
        anstream::println!("Nothing to do: everything is as it is written.");
        return Ok(ExitCode::SUCCESS);
    }
    if options.dry_run {
        anstream::println!("Nothing was applied (--dry-run).");
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::ensure!(
        options.yes || io::stdin().is_terminal(),
        "nobody can be asked here, so nothing was applied: add --yes to apply without asking"
    );
    if !options.yes && !agreed()? {
        anstream::println!("Nothing was applied.");
        return Ok(ExitCode::FAILURE);
    }
    send(client, &documents, false).await?;
    anstream::println!("{GREEN}Applied.{GREEN:#}");
    Ok(ExitCode::SUCCESS)
}

/// Applies without asking; says what changed in one line.
pub(crate) async fn all_at_once(client: &Client, paths: &[PathBuf]) -> anyhow::Result<String> {
    let documents = files::read(paths, NOTHING_DONE)?;
    Ok(summary(&send(client, &documents, false).await?))
}

/// That files hold no documents: most likely not what was meant, so it is neither success nor an error of ours.
fn nothing_in(paths: &[PathBuf]) -> String {
    format!("there is no definition in {}, so nothing was applied", files::paths_text(paths))
}

async fn send(client: &Client, documents: &[Document], dry: bool) -> anyhow::Result<Vec<Change>> {
    let bodies: Vec<&Value> = documents.iter().map(|document| &document.body).collect();
    let sent = client.post::<Applied>(&["apply"], &json!({ "documents": bodies, "dry_run": dry })).await;
    match sent {
        Ok(applied) => Ok(applied.result),
        Err(error) => Err(match error.downcast::<Refusal>() {
            Ok(refusal) => explain(refusal, documents),
            Err(error) => error,
        }),
    }
}

/// The server's problems, as ours: it knows what is wrong, we know where that stands.
fn explain(refusal: Refusal, documents: &[Document]) -> anyhow::Error {
    let Some(details) = refusal.details.as_array().filter(|_| refusal.status == 422) else {
        return refusal.into();
    };
    let problem = |detail: &Value| {
        let member = |name: &str| detail[name].as_str().filter(|text| !text.is_empty());
        let (path, message) = (member("path").unwrap_or_default(), member("message").unwrap_or_default());
        let title = member("document");
        match documents.iter().find(|document| Some(document.title().as_str()) == title) {
            Some(document) => document.problem(path, message, member("hint")),
            None => {
                let place: Vec<&str> =
                    title.into_iter().chain([path]).filter(|part| !part.is_empty()).collect();
                Problem::of_request(&place.join(": "), message, member("hint"))
            }
        }
    };
    files::refused(details.iter().map(problem).collect::<Vec<_>>().iter(), NOTHING_DONE)
}

fn show(changes: &[Change]) {
    for change in changes {
        let (sign, style) = match change.action.as_str() {
            "created" => ('+', GREEN),
            "updated" => ('~', YELLOW),
            "deleted" => ('-', RED),
            _ => ('=', DIM),
        };
        anstream::println!("{style}{sign} {}{style:#} {}", change.kind, change.id);
        for difference in change.diff.iter().filter(|difference| !is_title(change, difference)) {
            show_difference(difference);
        }
    }
    anstream::println!("{}", summary(changes));
}

/// Whether a difference only repeats the line above it: a new definition's kind and id.
fn is_title(change: &Change, difference: &Difference) -> bool {
    let repeats = |text: &str| difference.after.as_deref() == Some(Value::from(text).to_string().as_str());
    match difference.path.as_str() {
        "kind" => repeats(&change.kind),
        "id" | "name" => repeats(&change.id),
        _ => false,
    }
}

fn show_difference(difference: &Difference) {
    let value = |text: &str| paint::short(text, VALUE_CHARS_MAX);
    let path = &difference.path;
    match (&difference.before, &difference.after) {
        (None, Some(after)) => anstream::println!("    {GREEN}+ {path}{GREEN:#}: {}", value(after)),
        (Some(before), None) => anstream::println!("    {RED}- {path}{RED:#}: {}", value(before)),
        (Some(before), Some(after)) => {
            anstream::println!(
                "    {YELLOW}~ {path}{YELLOW:#}: {} {CYAN}→{CYAN:#} {}",
                value(before),
                value(after)
            );
        }
        (None, None) => {}
    }
}

fn summary(changes: &[Change]) -> String {
    let count = |action: &str| changes.iter().filter(|change| change.action == action).count();
    let parts =
        [("created", "new"), ("updated", "changed"), ("deleted", "deleted"), ("unchanged", "unchanged")];
    let parts = parts.map(|(action, word)| (count(action), word));
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let noun = if changes.len() == 1 { "definition" } else { "definitions" };
    format!("{} {noun}: {}", changes.len(), parts.join(", "))
}

fn agreed() -> anyhow::Result<bool> {
    anstream::print!("Apply this? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_without_a_definition_are_told_before_anybody_is_asked() {
        rapidbridge::process::prepare_tls();
        let client = Client::new("http://127.0.0.1:9".parse().unwrap(), None).unwrap();
        let paths = vec![PathBuf::from("/dev/null")];
        assert!(nothing_in(&paths).contains("no definition in /dev/null"));
        let options = Options { files: Files { paths }, dry_run: false, yes: true };
        let code = run(&client, options).await.unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(NOTHING_THERE)));
    }

    #[test]
    fn the_summary_leaves_out_what_is_not() {
        let change =
            |action: &str| Change { kind: "k".into(), id: "i".into(), action: action.into(), diff: vec![] };
        assert_eq!(summary(&[change("created"), change("unchanged")]), "2 definitions: 1 new, 1 unchanged");
    }
}
