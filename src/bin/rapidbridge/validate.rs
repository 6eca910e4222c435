//! `rapidbridge validate`: checks definitions in files without asking anybody, and shows what was understood.

use std::path::PathBuf;
use std::process::ExitCode;

use rapidbridge::definition::{Checked, Document};

use crate::files;
use crate::paint::GREEN;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Files (YAML or JSON) or folders of them; - is the standard input
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let documents = files::read(&options.paths, "")?;
    anyhow::ensure!(!documents.is_empty(), "there is no definition in {}", files::paths_text(&options.paths));
    for document in &documents {
        show(document);
        files::advise(document);
    }
    let noun = if documents.len() == 1 { "definition" } else { "definitions" };
    anstream::println!("{GREEN}{} {noun}, nothing wrong{GREEN:#}", documents.len());
    Ok(ExitCode::SUCCESS)
}

/// One line, or the tree of a job's plan.
fn show(document: &Document) {
    match Checked::of(document) {
        Ok(Checked::SyncJob(job)) => {
            anstream::println!("{GREEN}✓{GREEN:#} {} {}", document.kind, job.outline().replace('\n', "\n  "));
        }
        _ => anstream::println!("{GREEN}✓{GREEN:#} {} {}", document.kind, document.id),
    }
}
