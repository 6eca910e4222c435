//! `rapidbridge validate`: checks definitions in files without asking anybody, and shows what was understood.

use std::path::PathBuf;
use std::process::ExitCode;

use rapidbridge::definition::job::Generation;
use rapidbridge::definition::{Checked, Document};
use rapidbridge::plan::Plan;

use crate::files;
use crate::paint::{GREEN, RED};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Files (YAML or JSON) or folders of them; - is the standard input
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let documents = files::read(&options.paths, "")?;
    anyhow::ensure!(!documents.is_empty(), "there is no definition in {}", files::paths_text(&options.paths));
    let mut impossible = 0;
    for document in &documents {
        impossible += usize::from(!show(document));
        files::advise(document);
    }
    if impossible > 0 {
        anyhow::bail!("{impossible} {}", if impossible == 1 { "problem" } else { "problems" });
    }
    let noun = if documents.len() == 1 { "definition" } else { "definitions" };
    anstream::println!("{GREEN}{} {noun}, nothing wrong{GREEN:#}", documents.len());
    Ok(ExitCode::SUCCESS)
}

/// One line, or a job's plan. False when a job's nodes can't be put in order.
fn show(document: &Document) -> bool {
    let Ok(Checked::SyncJob(job)) = Checked::of(document) else {
        anstream::println!("{GREEN}✓{GREEN:#} {} {}", document.kind, document.id);
        return true;
    };
    let plan = match Plan::outline(&job) {
        Ok(plan) => plan,
        Err(error) => {
            let problem = document.problem(&format!("resources[{}]", error.node), &error.message, None);
            anstream::eprintln!("{RED}✗{RED:#} {problem}\n");
            return false;
        }
    };
    let generation = match job.generation {
        Generation::Flat => "flat list",
        Generation::Graph => "graph",
    };
    let reads = job.integration.as_ref().map_or("several integrations", |name| name.as_str());
    let (kind, id) = (document.kind, &document.id);
    anstream::println!("{GREEN}✓{GREEN:#} {kind} {id} ({generation}, reads from {reads})");
    plan.to_string().lines().for_each(|line| anstream::println!("    {line}"));
    true
}
